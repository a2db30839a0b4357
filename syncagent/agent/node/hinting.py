"""Hints between agents: a kernel tells of what is done on a mount only the machine that does it.

So an agent that has seen something there with its own kernel tells those that it is connected to
where, and they look without waiting for their poll. All connections end at the manager, which passes
on what a worker tells; what was passed on goes no further, so that nothing goes round. A hint is
never a fact: who gets one looks, and looks again for some seconds while it sees what it saw before,
because attributes are cached. A worker, which declares nothing, looks at once; a manager when the
path is quiet, as for its own hints.

In place all nodes look at the mount. In the form `shadow` the share's keeper does, whoever's kernel
has seen it (`ShareHinted`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.agent.effects import Send
from syncagent.core.artifact import ArtifactPath
from syncagent.core.events import Hinted, HintKind
from syncagent.core.settings import SHARE
from syncagent.core.snapshot import Seen, Unread
from syncagent.core.wire.messages import Hint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.core.artifact import TreeName
    from syncagent.core.change import Change
    from syncagent.core.events import ShareHinted

HINT_VERSION = 3
"""The protocol version that brought hints."""
TOGETHER_S = 0.02
"""How long hints are collected before they are sent as one."""
PATHS_MAX = 256
"""More paths of a tree than this are told as the whole tree."""
AWAITED_MAX = 2_000
"""More paths than this are not looked at one by one either."""
AGAIN_S = (0.1, 0.3, 1.0, 3.0)
"""Pauses after which a path is looked at again that still looks as before."""
WHOLE_AGAIN_S = 3.0
"""When a tree is scanned once more; no hint has it scanned a third time before."""


@dataclass(slots=True)
class _Awaited:
    """A path that should look other than `before`. `due`: when to look again, then after `pauses`."""

    before: Seen | Unread | None
    due: float
    pauses: tuple[float, ...]


class Hinting:
    """Tells others what was seen here, and looks at what was seen elsewhere."""

    def __init__(self, state: State, observing: Observing) -> None:
        self._state = state
        self._observing = observing
        self._told: dict[TreeName, set[str]] = {}
        self._send_at: float | None = None
        self._awaited: dict[ArtifactPath, _Awaited] = {}
        self._scans: dict[TreeName, float] = {}
        self._arriving: dict[ArtifactPath, tuple[Change, int]] = {}
        self.arrived: Callable[[Sequence[Change], int, float], None] = lambda _c, _n, _now: None
        """Told of what a revision brings when it was seen on the mount (see `stands`)."""

    # --- seen here --------------------------------------------------------------------------

    def hinted(self, event: Hinted, now: float) -> None:
        """Take a hint; if this kernel saw it on a mount of all nodes, tell the others."""
        self._observing.hinted(event, now)
        if event.seen_here and self._state.in_place and event.tree in self._observing.views:
            self._tell(event.tree, event.path, event.kind, now)

    def seen_on_share(self, event: ShareHinted, now: float) -> None:
        """This kernel saw something on the share, beside this node's trees: tell who keeps it."""
        if self._state.settings.shadow and event.tree in self._observing.views:
            self._tell(event.tree, event.path, event.kind, now)

    def _tell(self, tree: TreeName, path: str, kind: HintKind, now: float) -> None:
        # A folder that came or went is the whole tree: what is in it is not known here.
        paths = self._told.setdefault(tree, set())
        paths.add("" if kind is HintKind.SUBTREE else path)
        if self._send_at is None:
            self._send_at = now + TOGETHER_S

    # --- seen elsewhere ---------------------------------------------------------------------

    def heard(self, link: int, message: Hint, now: float) -> None:
        """Another node has seen something: look there, and pass it on as far as it goes."""
        state = self._state
        paths, trees = message.paths, message.trees
        if len(paths) > AWAITED_MAX:
            trees = tuple(sorted({*trees, *(path.tree for path in paths)}))
            paths = ()
        if state.leads and not message.relayed:
            self._send(Hint(paths, trees, relayed=True), but=state.links.get(link))
        if not (state.in_place or state.me == SHARE):
            return
        self.expect(paths, now)
        for tree in trees:
            self._expect_anything(tree, now)

    def expect(self, paths: Iterable[ArtifactPath], now: float) -> None:
        """Look at these, now and for some seconds, until they look other than they do."""
        for path in paths:
            view = self._observing.views.get(path.tree)
            if view is None:
                continue
            if len(self._awaited) >= AWAITED_MAX and path not in self._awaited:
                self._expect_anything(path.tree, now)
                continue
            before = view.files.get(path.path)
            self._awaited[path] = _Awaited(before, now + AGAIN_S[0], AGAIN_S[1:])
            self._look(path, now)

    def stands(self, moves: Sequence[Change], number: int, now: float) -> None:
        """Take what a revision says of the mount: what was not seen there yet is looked for.

        Until then nobody here can say when its bytes came, so what the runtime says is not of them.
        """
        there = [change for change in moves if self._is_there(change)]
        if there:
            self.arrived(there, number, now)
        for change in moves:
            self._arriving.pop(change.path, None)
            if not self._is_there(change):
                self._arriving[change.path] = (change, number)
                self.expect((change.path,), now)

    def _is_there(self, change: Change) -> bool:
        view = self._observing.views.get(change.path.tree)
        here = view.files.get(change.path.path) if view is not None else None
        return (here.entry if isinstance(here, Seen) else here) == change.after

    def _see_arrivals(self, now: float) -> None:
        """Tell of what is on the mount by now as the revision says; forget what that says no more."""
        for path, (change, number) in list(self._arriving.items()):
            if self._state.base.get(path) != change.after:
                del self._arriving[path]
            elif self._is_there(change):
                del self._arriving[path]
                self.arrived([change], number, now)

    def _expect_anything(self, tree: TreeName, now: float) -> None:
        if tree in self._observing.views and tree not in self._scans:
            self._scans[tree] = now + WHOLE_AGAIN_S
            self._observing.want_scan(tree, now)

    def _look(self, path: ArtifactPath, now: float) -> None:
        if self._state.leads:
            self._observing.hinted(Hinted(path.tree, path.path, HintKind.WRITTEN), now)
        else:
            self._observing.look_at(path.tree, (path.path,), now)

    # --- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Send what was collected; look again where nothing has changed."""
        if self._send_at is not None and now >= self._send_at:
            self._send_collected()
        self._see_arrivals(now)
        for path, awaited in list(self._awaited.items()):
            if now < awaited.due:
                continue
            here = self._observing.views[path.tree].files.get(path.path)
            # What is just being written has no bytes yet: it looks other once more.
            changed = here != awaited.before and not isinstance(here, Unread)
            if changed or not awaited.pauses:
                del self._awaited[path]
            else:
                awaited.due, awaited.pauses = now + awaited.pauses[0], awaited.pauses[1:]
            if not changed:
                self._look(path, now)
        for tree in [tree for tree, due in self._scans.items() if now >= due]:
            del self._scans[tree]
            self._observing.want_scan(tree, now)

    def next_at(self) -> float | None:
        """Return when `tick` has something to do."""
        instants = [awaited.due for awaited in self._awaited.values()]
        instants.extend(self._scans.values())
        if self._send_at is not None:
            instants.append(self._send_at)
        return min(instants, default=None)

    # --- sending ----------------------------------------------------------------------------

    def _send_collected(self) -> None:
        told, self._told, self._send_at = self._told, {}, None
        whole = {t for t, paths in told.items() if "" in paths or len(paths) > PATHS_MAX}
        paths = (ArtifactPath(t, path) for t in told.keys() - whole for path in told[t])
        # It reaches the others by way of the manager; what that tells is for those it is told to.
        relayed = self._state.leads
        self._send(Hint(tuple(sorted(paths)), tuple(sorted(whole)), relayed), but=None)

    def _send(self, hint: Hint, but: str | None) -> None:
        """Send to who may need it: in place to all, else to who keeps the share, or to its manager."""
        state = self._state
        for name in sorted({*state.links.values()}):
            peer = state.peers[name]
            link = peer.link if peer.link is not None else state.manager_link
            meant = state.in_place or peer.share or link == state.manager_link
            if name == but or not meant or link is None or state.links.get(link) != name:
                continue
            if state.versions.get(link, 0) >= HINT_VERSION:
                state.do(Send(link, hint))
