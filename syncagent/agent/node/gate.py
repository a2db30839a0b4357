"""The gate of `/readyz`: shut while a gateway comes up, and never in the way of one that serves.

It opens once for each start of the gateway, when all of this is so:

- what should be here is here: this node's trees hold what the newest revision says that can be
  learned, and it is not about to become manager;
- the runtime is up: it says so, or there is none that says anything. A start that never ends in
  its log, or a log that says nothing for `SILENT_S`, is not waited for.

Then it stays open whatever comes: the next revision, a hold, a cut wire, an artifact that the
runtime rejects. What a runtime rejected is no part of what should be here either.

Which start of the gateway it opened for is written into the ledger. So an agent that restarts
beside a gateway that has served all the while finds its gate open, and asks nobody. Only another start
of the gateway shuts it; where the runtime can't say which start it is, nothing does.

A node that hears of no manager for `ALONE_S` opens with the last good revision, as a cluster that
comes up without its manager has to serve what it has. A node that never had a revision waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.ledger import StandingChange
from syncagent.core.runtime import Phase

if TYPE_CHECKING:
    from syncagent.agent.node.answering import Answering
    from syncagent.agent.node.deploying import Deploying
    from syncagent.agent.node.state import State

NOTE = "gate"
"""The ledger's name for the start of the gateway for which it opened last."""
ANY = "-"
"""Written for a runtime that can't say which start it is."""
ALONE_S = 60.0
SILENT_S = 60.0
CHECK_S = 1.0


class Gate:
    """Kept only where there is a door that somebody may ask at."""

    def __init__(self, state: State, deploying: Deploying, answering: Answering) -> None:
        self._state = state
        self._deploying = deploying
        self._waiting = answering.waiting
        self._since: float | None = None
        self._alone_since: float | None = None
        self.reason = "the agent is starting"

    @property
    def open(self) -> bool:
        """Whether it has opened for the gateway as it runs now."""
        passed = self._state.standing.notes.get(NOTE, "")
        start = self._start
        return bool(passed) and (start == ANY or passed == start)

    def tick(self, now: float) -> None:
        """Open it if it is time."""
        if not self._state.settings.http.listen:
            return
        self._since = now if self._since is None else self._since
        apart = not self._state.leads and self._state.manager_link is None
        if not apart:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
        if self.open:
            self.reason = ""
            return
        self.reason = self._why_shut(now)
        if not self.reason:
            self._state.note(StandingChange(notes={NOTE: self._start}))
            self._state.event("ready", revision=self._state.standing.revision.number)

    @property
    def _start(self) -> str:
        return self._deploying.runtime.incarnation or ANY

    def _why_shut(self, now: float) -> str:
        return self._runtime_is_not_up(now) or self._not_here(now)

    def _runtime_is_not_up(self, now: float) -> str:
        runtime, deploying = self._deploying.runtime, self._deploying
        if not deploying.about.answers or runtime.phase in {Phase.READY, Phase.STUCK}:
            return ""
        assert self._since is not None, "it has ticked"
        silent = runtime.phase is Phase.UNKNOWN and now - self._since >= SILENT_S
        if silent or (runtime.phase is Phase.STARTING and deploying.readiness.may_answer):
            return ""
        return deploying.readiness.why_waiting()

    def _not_here(self, now: float) -> str:
        why = self._waiting.why_not_here()
        if not why:
            return ""
        since = self._alone_since
        if since is not None and now - since >= ALONE_S and self._waiting.has_last_good:
            return ""
        return why
