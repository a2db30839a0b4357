"""Until when the runtime may answer for what was changed, and what is done when it has not. Pure.

Its deployer pauses after each update, so a deadline counts those that are ahead. Who misses one is
asked, if the runtime can be asked; then its file is touched, because a runtime may swallow a change;
and when that brings nothing either, nothing is claimed.
"""

from __future__ import annotations

from enum import Enum, auto
from itertools import chain
from typing import TYPE_CHECKING

from syncagent.agent.effects import TellRuntime, Touch
from syncagent.agent.node.hearing import UNCLEAR_S
from syncagent.agent.node.loading import NOT_LOADED
from syncagent.core.artifact import tenant_of
from syncagent.core.outcome import ACK_MARGIN_S, Deployment, ack_deadline_s
from syncagent.core.runtime import Order, OrderItem

if TYPE_CHECKING:
    from collections.abc import Collection

    from syncagent.agent.node.hearing import Hearing
    from syncagent.agent.node.loading import Loading
    from syncagent.agent.node.outcomes import Outcomes
    from syncagent.agent.node.readiness import Readiness
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.digest import Digest

TOUCHES_MAX = 2
"""How often a file is touched for a runtime that says nothing of it: each costs it a redeploy."""
TOUCHES_AT_ONCE = 25
"""A runtime pauses 2 s after each; and one that does not say anything of these is not shown more."""
IN_VAIN = 5
"""So many files that were touched for nothing say that it speaks of such files in unknown words."""
LATE = "the runtime said nothing of it in time, and nothing after its file was touched"
UNHEARD = "the runtime said nothing of it in time"
UNTOUCHED = (
    f"{UNHEARD}; only the manager touches a file, because every runtime deploys it anew then:"
    " syncagent redeploy"
)
UNSHOWN = "the runtime said nothing of it in time, and its file could not be touched"


class _Next(Enum):
    """What follows for an artifact that was not answered for in time."""

    NOTHING = auto()
    ASK = auto()
    TOUCH = auto()


class Deadlines:
    """Watches over what is Pending. Instants are of this node's clock."""

    def __init__(
        self, outcomes: Outcomes, readiness: Readiness, loading: Loading, hearing: Hearing
    ) -> None:
        self._state = outcomes.state
        self._about = outcomes.state.runtime_about
        self._outcomes = outcomes
        self._readiness = readiness
        self._loading = loading
        self._hearing = hearing
        self._touched_at = float("-inf")
        self._touched: tuple[ArtifactPath, ...] = ()
        self._next_at: float | None = None

    def item(self, path: ArtifactPath, digest: Digest | None, *, updated: bool) -> OrderItem:
        """Return how the runtime is told of an artifact."""
        name = self._hearing.name_of(path)
        return OrderItem(path, self._outcomes.kind(path), name, digest, updated)

    def schedule(self, now: float) -> None:
        """Give what waits without a deadline one, if the runtime can answer now."""
        self._next_at = None
        if not self._readiness.may_answer:
            return
        waits = self._outcomes.waits.values()
        ahead = sum(1 for wait in waits if wait.updated)
        due = now + ack_deadline_s(self._about.scan_s, self._about.pause_s, ahead)
        soon = due - ACK_MARGIN_S + UNCLEAR_S
        for wait in waits:
            if wait.due is None:
                wait.due = soon if wait.missed and not wait.tries else due
        for going in self._outcomes.going.values():
            going.due = due if going.due is None else going.due
        dues = chain((w.due for w in waits), (g.due for g in self._outcomes.going.values()))
        self._next_at = min((at for at in dues if at is not None), default=None)

    def suspend(self) -> None:
        """The runtime can't answer now: nothing has a deadline until it can."""
        self._next_at = None
        for wait in self._outcomes.waits.values():
            wait.due = None
        for going in self._outcomes.going.values():
            going.due = None

    def next_at(self) -> float | None:
        """Return when `tick` has something to do."""
        dues = (self._next_at, self._hearing.saving.next_at())
        return min((at for at in dues if at is not None), default=None)

    def tick(self, now: float) -> None:
        """Do what is due: conclude what was saved, ask, touch, or say that nothing is known."""
        self._hearing.saving.tick(now)
        if self._next_at is None or now < self._next_at:
            return
        going = self._outcomes.going
        for path in [p for p, g in going.items() if g.due is not None and now >= g.due]:
            self._state.event("not-confirmed", path=str(path), name=going.pop(path).name)
        waits = self._outcomes.waits
        late = [path for path, wait in waits.items() if wait.due is not None and now >= wait.due]
        told: dict[_Next, list[ArtifactPath]] = {_Next.ASK: [], _Next.TOUCH: []}
        for path in sorted(late, key=lambda path: (-waits[path].tries, path)):
            following = self._late(path, now)
            if following is _Next.TOUCH and len(told[following]) >= TOUCHES_AT_ONCE:
                # The next ones, when it is seen what became of these.
                waits[path].due = None
            elif following is not _Next.NOTHING:
                told[following].append(path)
        self._ask(told[_Next.ASK])
        self._touch(told[_Next.TOUCH], now)
        self.schedule(now)

    def _late(self, path: ArtifactPath, now: float) -> _Next:
        """The runtime has not answered for `path` in time: return what follows."""
        wait = self._outcomes.waits[path]
        if self._loading.loaded_with_tenant(path, wait, now) or self._hearing.no_answer(path, now):
            return _Next.NOTHING
        if self._about.asks and not wait.asked:
            wait.asked, wait.due = True, None
            return _Next.ASK
        mute = self._is_mute(now)
        ready = self._readiness.ready
        if mute and wait.shown and ready and self._about.kind == "synapse":
            self._readiness.silent(str(path))
        gives_up = wait.tries >= TOUCHES_MAX or (mute and not wait.tries)
        if ready and self._state.writes and not gives_up:
            return _Next.TOUCH
        if tenant_of(path.tree):
            self._loading.unloaded(path.tree)
            self._outcomes.turn(path, now, Deployment.DORMANT, NOT_LOADED)
        else:
            in_vain = LATE if wait.shown else UNSHOWN
            unheard = UNHEARD if self._state.keeps else UNTOUCHED
            self._outcomes.turn(path, now, Deployment.UNKNOWN, in_vain if wait.tries else unheard)
        return _Next.NOTHING

    def _is_mute(self, now: float) -> bool:
        """Tell whether nothing came of the last files that were touched: no more need be."""
        if now < self._touched_at + ack_deadline_s(self._about.scan_s, self._about.pause_s, 0):
            return False  # It has not had the time to look at them.
        waits = self._outcomes.waits
        shown = [path for path in self._touched if path not in waits or waits[path].shown]
        unanswered = all(path in waits and waits[path].tries for path in shown)
        in_vain = unanswered and len(shown) >= IN_VAIN
        return in_vain or (bool(shown) and self._hearing.spoke_at < self._touched_at)

    def touched(self, paths: Collection[ArtifactPath]) -> None:
        """These were touched indeed: what else was meant to be, the runtime was not shown."""
        for path in paths:
            wait = self._outcomes.waits.get(path)
            if wait is not None:
                wait.shown = True

    def _ask(self, paths: list[ArtifactPath]) -> None:
        if paths:
            self._state.do(TellRuntime(self._again(paths), ask=True))

    def _touch(self, paths: list[ArtifactPath], now: float) -> None:
        if not paths:
            return
        self._touched_at, self._touched = now, tuple(paths)
        for path in paths:
            wait = self._outcomes.waits[path]
            # It was shown this time only if that is said now.
            wait.tries, wait.due, wait.shown = wait.tries + 1, None, False
            self._state.event("touched", path=str(path), tries=wait.tries)
        known = self._outcomes.known
        files = tuple((path, known[path].digest) for path in paths)
        self._state.do(Touch(files, self._state.fence))
        self._state.do(TellRuntime(self._again(paths)))

    def _again(self, paths: list[ArtifactPath]) -> Order:
        known = self._outcomes.known
        items = tuple(self.item(path, known[path].digest, updated=True) for path in paths)
        return Order(self._state.standing.revision.number, items, again=True)
