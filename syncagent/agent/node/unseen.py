"""Refusals that wait for a look: what is said of a file may be of other bytes by now. Pure.

Nobody waits for a word on what a runtime has taken, or on what it may have had before there was a
revision. If it refuses what it finds there later, that may be the same bytes, or what somebody has put
there since this node looked, just before it declares what it saw. So such a word counts only when a look that began after it was heard says
what is there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from syncagent.agent.node.outcomes import well_before
from syncagent.core.events import Hinted, HintKind
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import Saying
from syncagent.core.snapshot import Seen

if TYPE_CHECKING:
    from syncagent.agent.node.outcomes import Outcomes
    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.runtime import Heard

WAITING_MAX = 1_000
"""What is refused at once of all that was taken: more of it is taken at its word."""
LATE_S = 3.0
"""What was said longer ago than this is heard late: this node, or the one before, was held up."""


_UNASKED = frozenset({Deployment.DEPLOYED, Deployment.UNKNOWN})
UNCLEAR = "it may be what the runtime refused, or have been written since"
"""Why nothing is claimed of what was written about when the runtime refused something there."""
LET_GO_UNSEEN = "the runtime has undeployed it; whether its file is there can't be seen"


class _Waiting(NamedTuple):
    """A refusal that was heard at an instant; `doubted`: of bytes that may have been refused before."""

    heard: Heard
    since: float
    doubted: bool


class Unseen:
    """Keeps refusals until it is known what they are of. Instants are of this node's clock."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        self._observing = outcomes.observing
        self._waiting: dict[ArtifactPath, _Waiting] = {}
        self.doubted = False
        """Whether what was looked at last had been there before, and nothing sure was known of it."""

    def __bool__(self) -> bool:
        """Tell whether any may be cleared up soon."""
        return any(self._observing.views[path.tree].ready for path in self._waiting)

    def takes(self, path: ArtifactPath, heard: Heard, now: float, *, ready: bool) -> bool:
        """Keep a saying, and have its file looked at, if it refuses what is not waited for.

        Or what is, if that may have been written over: nobody can look now, somebody has written there
        before it was said, that was a while ago, or the runtime is not `ready`: at a start it speaks of
        whatever came while it was away. Return whether it was kept.
        """
        known = self._outcomes.known.get(path)
        if heard.saying is not Saying.REJECTED or path in self._outcomes.going:
            return False
        absent = self._observing.observed(path) is None
        if known is None and absent and path not in self._outcomes.state.base:
            return False
        ago = self._outcomes.state.wall() - heard.at
        hinted_at = self._observing.hinted_at(path)
        stale = not ready or ago > LATE_S or (hinted_at is not None and hinted_at < now - ago)
        owed = self._outcomes.is_owed(path) and self._observing.views[path.tree].ready
        if (owed and not stale) or (known is not None and known.state is Deployment.REJECTED):
            return False
        if known is not None and known.state is Deployment.DEPLOYED and self._differs(path):
            return False  # It is of what was seen there last, and that may be overwritten by now.
        if path not in self._waiting and len(self._waiting) >= WAITING_MAX:
            return False
        unsure = known is not None and known.state is Deployment.UNKNOWN
        doubted = unsure and known is not None and self._observing.observed(path) == known.digest
        self._waiting[path] = _Waiting(heard, now, doubted)
        self._observing.hinted(Hinted(path.tree, path.path, HintKind.WRITTEN), now)
        return True

    def _differs(self, path: ArtifactPath) -> bool:
        """Tell whether other bytes were seen at `path` than this node is to have there."""
        view = self._observing.views[path.tree]
        return path.path in view.differing and isinstance(view.files.get(path.path), Seen)

    def of(self, tree: TreeName) -> list[ArtifactPath]:
        """Return of what in a tree something waits."""
        return [path for path in self._waiting if path.tree == tree]

    def looked(self, path: ArtifactPath, now: float) -> Heard | None:
        """Return, once, what was said of `path` if it was looked at since.

        What lies there may have been written since it was said: then it is not of that.
        """
        waiting, view = self._waiting.get(path), self._observing.views[path.tree]
        # What one scan has missed may be there, or not: the next one says.
        if waiting is None or view.started < waiting.since or path.path in view.absent:
            return None
        del self._waiting[path]
        self.doubted = waiting.doubted
        there, wall = view.files.get(path.path), self._outcomes.state.wall()
        written = there.mtime_ns / 1e9 if isinstance(there, Seen) else 0.0
        later = written <= wall and well_before(waiting.heard.at, written)
        unclear = not later and self._is_unclear(path, waiting.heard, written, now)
        return None if later or unclear else waiting.heard

    def _is_unclear(self, path: ArtifactPath, heard: Heard, written: float, now: float) -> bool:
        """Tell whether nobody can say which came first, a refusal or the same bytes once more.

        Nothing is claimed of them then; the runtime meets what is there at its next look.
        """
        known, here = self._outcomes.known.get(path), self._observing.observed(path)
        sure = known is None or here != known.digest or well_before(written, heard.at)
        if sure or known is None or known.state not in _UNASKED:
            return False
        self._outcomes.state.event("rejected-edit", path=str(path), reason=heard.reason)
        if known.state is Deployment.DEPLOYED:
            self._outcomes.turn(path, now, Deployment.UNKNOWN, f"{UNCLEAR}: {heard.reason}")
        return True

    def let_go(self, path: ArtifactPath, heard: Heard, now: float) -> None:
        """Take that the runtime let go of what it had, while nobody can see what is there.

        It may look where this node can't, at a mount that went away. That it serves it no more is sure.
        """
        known = self._outcomes.known.get(path)
        if heard.saying is not Saying.UNDEPLOYED or known is None:
            return
        if known.state is Deployment.DEPLOYED and heard.at >= known.at:
            gone = replace(known, state=Deployment.UNKNOWN, reason=LET_GO_UNSEEN)
            self._outcomes.put(replace(gone, excerpt=heard.excerpt, at=heard.at), now)
