"""What killed the runtime's deployer, if that is sure. Pure.

It dies of an update that it refuses, and does not say of which. Of the one that waits, if there is no
other: neither another that waits, nor one of which nothing is known (what waits may be forgotten in a
power cut), nor a file that somebody wrote and no revision has. So everything is looked at once more
before anything is concluded. Else the next start shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from syncagent.agent.node.outcomes import Taking, taking
from syncagent.core.artifact import ArtifactPath
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import Heard, Phase, Saying
from syncagent.core.snapshot import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncagent.agent.node.hearing import Hearing
    from syncagent.agent.node.outcomes import Outcomes
    from syncagent.agent.node.readiness import Readiness
    from syncagent.core.artifact import TreeName


class _Death(NamedTuple):
    """A death that was heard of at an instant, and at a wall time; `why` in the runtime's words."""

    since: float
    at: float
    why: str


class Dying:
    """Concludes what killed the deployer. Instants are of this node's clock."""

    def __init__(self, outcomes: Outcomes, hearing: Hearing, readiness: Readiness) -> None:
        self._outcomes = outcomes
        self._observing = outcomes.observing
        self._hearing = hearing
        self._readiness = readiness
        self._death: _Death | None = None

    def died(self, before: Phase, now: float) -> None:
        """The deployer is dead: look what is there, if it was alive `before`.

        When it died is not known to an agent that finds it dead, nor what was there then.
        """
        if before is not Phase.READY:
            return
        self._death = _Death(now, self._outcomes.state.wall(), self._readiness.why_stuck)
        self._observing.want_scans(now)

    def tick(self, now: float) -> None:
        """Conclude what killed it, once all trees were looked at since."""
        death = self._death
        if death is None or not self._observing.scans_begun(death.since):
            return
        self._death = None
        if self._readiness.runtime.phase is not Phase.STUCK:
            return
        waits = [path for path, wait in self._outcomes.waits.items() if wait.came <= death.at]
        if len(waits) != 1 or self._others(death.at):
            return
        known = self._outcomes.known[waits[0]]
        if self._observing.observed(known.path) == known.digest:
            at = max(death.at, known.at)
            said = Heard(Saying.REJECTED, known.path, reason=death.why, excerpt=death.why, at=at)
            self._hearing.nack(known, said, now)

    def _others(self, died_at: float) -> bool:
        """Tell whether it may have been a file that is no part of the revision, and unanswered.

        Or one that is part of it, and of which nothing is known.
        """
        return any(
            isinstance(seen := view.files.get(path), Seen)
            and self._readiness.started_at < seen.mtime_ns / 1e9 <= died_at
            and self._is_suspect(ArtifactPath(view.name, path), seen.mtime_ns / 1e9)
            for view in self._observing.views.values()
            for path in (*view.differing, *self._unknown(view.name))
        )

    def _unknown(self, tree: TreeName) -> Iterator[str]:
        """Yield what the revision has in a tree and nobody has heard of, or waits for."""
        for path in self._outcomes.state.base.tree(tree):
            known = self._outcomes.known.get(ArtifactPath(tree, path))
            if known is None or known.state is Deployment.UNKNOWN:
                yield path

    def _is_suspect(self, path: ArtifactPath, written: float) -> bool:
        how = taking(self._outcomes.state.runtime_about, self._outcomes.kind(path))
        return how is Taking.HOT and not self._hearing.has_answered(path, written)
