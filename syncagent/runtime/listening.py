"""A runtime that is only listened to: its log, its process, and the thread that looks at both.

Theory of operation. The committed file itself tells the runtime what to do, so that `tell` and `verify`
do nothing. A thread looks five times a second whether the log has grown; what it says is posted as
`RuntimeHeard` with a mark, what becomes of the runtime as `RuntimeTurned`. `step` is one such look.

**At least once.** A mark only moves where nothing is half heard, and is posted together with, or after,
the sayings before it. Who remembers a mark with its sayings misses none; after a crash those since the
last mark are heard again. Marks without sayings come at most every `MARK_S`.

**Order.** What a runtime said before it turned is posted before: failures of a start come between
`STARTING` and `READY`. While old log is read (after a start of the agent) only the turns of the process
that runs now are posted, and the state as it is now when the end of the log is reached.

**A process out of sight.** In a container of its own a runtime writes its log here and runs elsewhere. Until
its log goes on it counts as down; then it is believed what the log says, until a process is found.

**Trouble.** A log that is missing or can't be read is said in the state's `detail`, and tried again at
every look: the place stays.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from syncagent.core.events import RuntimeHeard, RuntimeTurned
from syncagent.core.runtime import Heard, Phase, RuntimeState, Saying
from syncagent.mountpoints import canonical
from syncagent.runtime.begin import last_start
from syncagent.runtime.console import Console
from syncagent.runtime.entries import zone_of
from syncagent.runtime.follow import Follower
from syncagent.runtime.names import Names
from syncagent.runtime.phase import SLACK_S, belongs, judge
from syncagent.runtime.place import NO_RUN, Mark, Run, mark_from, mark_text
from syncagent.runtime.presence import Presence, Traits
from syncagent.runtime.reader import Reader, Turn, Turning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncagent.core.events import ShellEvent
    from syncagent.core.runtime import About, Order
    from syncagent.core.settings import TreeSettings
    from syncagent.fsio import OsFS
    from syncagent.ports import Clock
    from syncagent.runtime.patterns import Dialect
    from syncagent.runtime.reader import Said

POLL_S = 0.2
RUSH_S = 0.05
"""Pause while the log is being rotated: what is rotated often is deleted soon."""
RUSH_LOOKS = 40
MARK_S = 30.0
BATCH_MAX = 500
STEP_BYTES = 16 * 1024 * 1024
"""Read in one look at most, so that a stop is not kept waiting by old log."""
STOP_S = 5.0
TAIL_BYTES = 4 * 1024
ZONE_MAX_S = 15 * 3600.0
UNSEEN_LOOKS = 3
UNSEEN_S = 5.0
"""A log that goes on for so many looks and so long without a process: it runs where this agent can't see
it, in another container. The last words of one that ends are read within one look."""
AHEAD_S = 60.0
"""By how much a log's time may be ahead: clocks are set back, and some count whole minutes."""
TROUBLE_LOOKS = 10
"""A log that fails for so many looks is told: during a rotation it is missing for a moment."""


@dataclass(frozen=True, slots=True)
class Means:
    """What every adapter is given. `proc` is where the kernel lists processes."""

    fs: OsFS
    clock: Clock
    post: Callable[[ShellEvent], None]
    trees: Sequence[TreeSettings] = ()
    proc: str = "/proc"


class LogRuntime:
    """The `Runtime` port over a log; adapters give it its words and say where things are."""

    def __init__(self, means: Means, about: About, dialect: Dialect, traits: Traits) -> None:
        self._means = means
        self._about = about
        self._dialect = dialect
        self._traits = traits
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._mark: str | None = None

    @property
    def about(self) -> About:
        """What kind of runtime it is."""
        return self._about

    def start(self, mark: str | None) -> None:
        """Begin to listen."""
        assert self._thread is None, "it is started once"
        self._mark = mark
        self._thread = threading.Thread(target=self._run, name="runtime-log", daemon=True)
        self._thread.start()

    def tell(self, order: Order) -> None:
        """Nothing: the runtime sees the files itself."""

    def verify(self, order: Order) -> None:
        """Nothing: a log can't be asked."""

    def stop(self) -> None:
        """Stop listening; nothing arrives afterwards."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def _post(self, event: ShellEvent) -> None:
        if not self._over.is_set():
            self._means.post(event)

    def _run(self) -> None:
        # Made here: it resolves the trees' roots, and a disk may be slow.
        means = replace(self._means, post=self._post)
        listener = Listener(means, self._about.log, self._dialect, self._traits, self._mark)
        well = False
        try:
            while not self._over.is_set():
                if not listener.step():
                    self._over.wait(RUSH_S if listener.rushed else POLL_S)
            well = True
        finally:
            listener.close()
            if not well:
                self._post(
                    RuntimeTurned(
                        RuntimeState(
                            Phase.UNKNOWN,
                            detail="its log is not read any more: the agent's reader failed",
                        )
                    )
                )


class Listener:
    """Looks at one runtime's log and process. Not for several threads."""

    def __init__(
        self, means: Means, log: str, dialect: Dialect, traits: Traits, mark: str | None
    ) -> None:
        self._means = means
        self._log = log
        self._dialect = dialect
        begin = mark_from(mark)
        self._run = begin.run
        self._mark = begin
        self._marked_at = means.clock.now()
        self._posted_mark = begin
        self._presence = Presence(means.fs, means.clock, traits)
        self._console = Console(means.fs, traits.proc)
        self._names = Names(means.trees, partial(canonical, means.fs), means.clock.now)
        self._reader = Reader(dialect, self._names)
        self._reader.zone = -float(time.localtime().tm_gmtoff)
        self._reader.starting = bool(begin.run.started_at and not begin.run.ready_at)
        self._follower: Follower | None = None
        self._heard: list[Heard] = []
        self._caught_up = False
        self._state: RuntimeState | None = None
        self._failures = 0
        self._trouble = ""
        self._files = 0
        self._rush = 0
        self._unseen = 0
        self._unseen_since = 0.0

    @property
    def rushed(self) -> bool:
        """Whether the log was rotated at one of the last looks."""
        return self._rush > 0

    def close(self) -> None:
        """Let go of the log."""
        if self._follower is not None:
            self._follower.close()

    def step(self) -> bool:
        """Look once; return whether there is more to read right now."""
        if self._presence.look() is not None:
            self._unseen = 0
        self._rush = max(0, self._rush - 1)
        try:
            more = self._listen()
            self._failures, self._trouble = 0, self._gap()
        except OSError as error:
            more = False
            self._failures += 1
            if self._failures >= TROUBLE_LOOKS:
                self._trouble = f"its log {self._log} can't be read: {error.strerror or error}"
        if not more:
            self._absorb(self._reader.flush(self._means.clock.now()))
            self._note_place()
            self._caught_up = True
            self._look_at_console()
        self._tell_heard()
        self._tell_mark()
        if self._caught_up:
            self._tell_state()
        return more

    # The log.

    def _look_at_console(self) -> None:
        """See whether the deployer died; of which artifact is not said, but of which kind."""
        if self._dialect.deployer is None:
            return
        death = self._console.look(self._presence.process, self._means.clock.now())
        if death is None:
            return
        at = self._means.clock.wall()
        if death.kind is not None:
            said = Heard(Saying.REJECTED, None, death.kind, "", death.reason, death.excerpt, at)
            self._absorb([said])
        self._turn(Turn(Turning.DEAD, at, death.reason))

    def _listen(self) -> bool:
        """Read what is there; True if it was too much for one look. Raises OSError."""
        follower = self._follower
        if follower is None:
            follower = self._follower = self._begin()
        left = STEP_BYTES
        while left > 0:
            chunk = follower.read()
            if chunk is None:
                return False
            if left == STEP_BYTES and self._caught_up:
                self._goes_on()
            if chunk.at_end:
                self._learn_zone(chunk.data[-TAIL_BYTES:], chunk.written_ns)
            elif follower.files != self._files:
                # The chunk is read: what fails here must not lose it.
                with suppress(OSError):
                    self._learn_zone(*follower.tail(TAIL_BYTES))
            if follower.files != self._files:
                self._rush = RUSH_LOOKS if self._files else 0
                self._files = follower.files
            left -= len(chunk.data)
            self._absorb(self._reader.take(chunk.data, self._means.clock.now()))
            self._note_place()
        return True

    def _goes_on(self) -> None:
        """The log was written just now: there must be a process."""
        if self._presence.process is None:
            self._presence.hurry()
            if self._unseen == 0:
                self._unseen_since = self._means.clock.now()
            self._unseen += 1

    @property
    def _out_of_sight(self) -> bool:
        lasted_s = self._means.clock.now() - self._unseen_since
        return self._unseen >= UNSEEN_LOOKS and lasted_s >= UNSEEN_S

    def _begin(self) -> Follower:
        """Return a follower at the mark's place, or at the runtime's last start."""
        place = self._mark.place
        if place is None:
            process = self._presence.process
            since = process.started_at - SLACK_S if process else 0.0
            place = last_start(self._means.fs, self._log, self._dialect.start_words, since=since)
        return Follower(self._means.fs, self._log, place)

    def _learn_zone(self, tail: bytes, written_ns: int) -> None:
        zone = zone_of(tail, written_ns / 1e9)
        if zone is not None and abs(zone) <= ZONE_MAX_S:
            self._reader.zone = zone

    def _note_place(self) -> None:
        if self._reader.idle and self._follower is not None:
            self._mark = Mark(self._follower.place, self._run)

    def _gap(self) -> str:
        """Say why what is read is less than was said."""
        lost = self._follower is not None and self._follower.gaps > 0
        gone = "a part of its log was gone before it was read" if lost else ""
        layout = f"its log {self._log}: {self._reader.layout}" if self._reader.layout else ""
        return "; ".join(filter(None, (gone, layout)))

    # What it said.

    def _absorb(self, said: list[Said]) -> None:
        latest = self._means.clock.wall() + AHEAD_S
        for each in said:
            if each.at > latest:
                # It is read after it was said: a time that is to come is none.
                each = replace(each, at=0.0)  # noqa: PLW2901 - the same saying
            if isinstance(each, Heard):
                self._heard.append(each)
                if len(self._heard) >= BATCH_MAX:
                    self._tell_heard()
            else:
                self._turn(each)

    def _turn(self, turn: Turn) -> None:
        before, at = self._run, turn.at or self._means.clock.wall()
        match turn.what:
            case Turning.STARTS:
                self._run = Run(started_at=at)
            case Turning.READY:
                self._run = replace(before, ready_at=before.ready_at or at, stopped=False)
            case Turning.STOPS:
                self._run = replace(before, stopped=True)
            case Turning.DEAD:
                why = before.dead or turn.detail or "it does not say why"
                self._run = replace(before, dead=why)
            case Turning.ALIVE:
                self._run = replace(before, dead="")
        if self._run == before:
            return
        self._tell_heard()
        self._presence.hurry()
        process = self._presence.look()
        if self._caught_up or process is None or belongs(process, self._run):
            self._tell_state()

    def _tell_heard(self) -> None:
        if self._heard:
            heard, self._heard = tuple(self._heard), []
            self._tell(heard)

    def _tell_mark(self) -> None:
        """Post the mark alone if the last one is old, so that little is heard again."""
        due = self._means.clock.now() - self._marked_at >= MARK_S
        if due and self._mark != self._posted_mark:
            self._tell(())

    def _tell(self, heard: tuple[Heard, ...]) -> None:
        self._posted_mark = self._mark
        self._marked_at = self._means.clock.now()
        self._means.post(RuntimeHeard(heard, mark_text(self._mark)))

    def _tell_state(self) -> None:
        state = judge(
            self._presence.process,
            self._run if self._run.started_at or self._run.ready_at else NO_RUN,
            self._means.clock.wall(),
            watched=self._presence.watched and not self._out_of_sight,
        )
        if self._trouble:
            state = replace(state, detail="; ".join(filter(None, (state.detail, self._trouble))))
        if state != self._state:
            self._state = state
            self._means.post(RuntimeTurned(state))
