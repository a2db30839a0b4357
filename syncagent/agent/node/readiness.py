"""Whether the local runtime can take up what is written, and what people are told of it. Pure.

Between its start and ready a shy runtime may miss what is written, so this node writes nothing
meanwhile; not for ever, because a log that says "ready" in other words must not stop a cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.runtime import Phase, RuntimeState

if TYPE_CHECKING:
    from syncagent.agent.node.state import State

SHY_MAX_S = 600.0
"""A start that takes longer than this is not waited for any more."""
ALARM = "runtime"
SILENT_ALARM = "deployer"


class Readiness:
    """The phase of the local runtime. Instants are of this node's clock."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._about = state.runtime_about
        self.runtime = RuntimeState(Phase.UNKNOWN)
        self._told = False
        self._starting_since: float | None = None
        self._impatient = False
        self._start_seen_at = 0.0

    @property
    def label(self) -> str:
        """What people call the runtime."""
        return self._about.label or "the local runtime"

    @property
    def ready(self) -> bool:
        """True if it takes up what is written now."""
        return self.runtime.phase is Phase.READY

    @property
    def unheard(self) -> bool:
        """True while this node has just started: one that answers may be there, and tells it yet."""
        return self._about.answers and not self._told

    @property
    def may_write(self) -> bool:
        """False while it is starting and would miss what is written."""
        starting = self._about.shy and self.runtime.phase is Phase.STARTING
        return not starting or self._impatient

    @property
    def may_answer(self) -> bool:
        """False while it is known that it can say nothing; a start that does not end is not that."""
        return self._impatient or self.runtime.phase in {Phase.READY, Phase.UNKNOWN}

    @property
    def started_at(self) -> float:
        """Wall time at which it began to load its artifacts, 0.0 if that is not known."""
        return self.runtime.started_at or self._start_seen_at

    def turned(self, runtime: RuntimeState, now: float) -> bool:
        """Take its new state; return whether it is another process than before."""
        before, self.runtime, self._told = self.runtime, runtime, True
        anew = runtime.incarnation != before.incarnation
        if anew:
            self._start_seen_at = 0.0
        if runtime.phase is Phase.STARTING:
            if self._starting_since is None or anew:
                self._starting_since, self._impatient = now, False
                # Somebody who was there saw it start, even if its log has no time of it.
                self._start_seen_at = self._state.wall() if before.phase is not Phase.UNKNOWN else 0
        else:
            self._starting_since, self._impatient = None, False
        self._state.alarm(ALARM, self._alarm())
        if anew or runtime.phase is not Phase.READY:
            self._state.alarm(SILENT_ALARM, None)
        if runtime.phase is not before.phase:
            self._state.event("runtime", phase=runtime.phase, detail=runtime.detail)
        return anew

    def tick(self, now: float) -> bool:
        """Wait no more for a start that does not end; return whether that was just decided."""
        since = self._starting_since
        if since is None or self._impatient or now < since + SHY_MAX_S:
            return False
        self._impatient = True
        self._state.alarm(
            ALARM,
            f"{self.label} has been starting for {SHY_MAX_S / 60:.0f} minutes and has not said that"
            " it is ready: what is written now may be missed; see its log",
        )
        return True

    def next_at(self) -> float | None:
        """Return when `tick` has something to do."""
        if self._starting_since is None or self._impatient:
            return None
        return self._starting_since + SHY_MAX_S

    def silent(self, what: str) -> None:
        """Tell that its deployer may be dead: it did not even see a file that was touched."""
        self._state.alarm(
            SILENT_ALARM,
            f"{self.label} says nothing of {what}, also after its file was touched: its deployer may"
            " be dead; look into its log, and restart it",
        )

    def spoke(self) -> None:
        """It said something of an artifact: its deployer lives."""
        self._state.alarm(SILENT_ALARM, None)

    def _alarm(self) -> str | None:
        if self.runtime.phase is not Phase.STUCK:
            return None
        said = f"{self.label}: {self.runtime.detail or 'its deployer died'}"
        return said if "restarted" in said else f"{said}; nothing is deployed until it is restarted"

    @property
    def why_stuck(self) -> str:
        """Say what its deployer died of, as far as the runtime does."""
        return self.runtime.detail.rpartition("restarted: ")[2] or "its deployer died of it"

    def why_waiting(self) -> str:
        """Say what an answer waits for."""
        detail = f" ({self.runtime.detail})" if self.runtime.detail else ""
        match self.runtime.phase:
            case Phase.DOWN:
                return f"{self.label} is down{detail}: it is loaded when it starts"
            case Phase.STARTING:
                return f"{self.label} is starting"
            case Phase.STUCK:
                return self._alarm() or ""
            case Phase.UNKNOWN:
                return f"nothing is known of {self.label} yet{detail}"
            case Phase.READY:
                return "the runtime has not answered yet"
