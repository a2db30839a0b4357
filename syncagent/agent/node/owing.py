"""What the runtime owes an answer for: bytes that came, and files that went. Pure.

Not everything does: what no deployer watches is never answered for, a root file only by a restart, and
what a tenant that is not loaded has only when it is. Of what stands in for a rejected version nothing
is told but that that was rejected.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.node.loading import NEXT_START, NOT_LOADED
from syncagent.agent.node.outcomes import WHOLE_S, Going, Taking, Wait, taking
from syncagent.core.outcome import Deployment, Outcome

if TYPE_CHECKING:
    from syncagent.agent.node.hearing import Hearing
    from syncagent.agent.node.loading import Loading
    from syncagent.agent.node.outcomes import Outcomes
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.digest import Digest

OVERLAP_S = 0.25
"""What is said this soon after a write may be about the version before, if that was unanswered: a
runtime reads a file some milliseconds before it says so."""
SILENT = "the runtime has said nothing of it yet"


class Owing:
    """Makes what has changed wait for its answer."""

    def __init__(self, outcomes: Outcomes, loading: Loading, hearing: Hearing) -> None:
        self._state = outcomes.state
        self._about = outcomes.state.runtime_about
        self._outcomes = outcomes
        self._loading = loading
        self._hearing = hearing

    def found(
        self, path: ArtifactPath, digest: Digest, revision: int, now: float, *, updated: bool = True
    ) -> None:
        """Bytes are there that are of a revision now, and that this node did not write."""
        moved_at = self._hearing.overtaken(path)
        came = self._hearing.seen_at(path) if moved_at is None else moved_at - WHOLE_S
        made = pending(path, digest, revision, came)
        # Another node's agent dates what it writes by whole seconds, as some servers date everything.
        rounded = self._state.in_place and moved_at is None and came.is_integer()
        latest = came + WHOLE_S if rounded else None
        self.came(made, now, latest=latest, updated=updated, found=True)

    def came(
        self,
        made: Outcome,
        now: float,
        *,
        latest: float | None = None,
        updated: bool = True,
        found: bool = False,
    ) -> None:
        """New bytes are there: wait for what is said of them, or conclude what nobody says.

        They came at the wall time `made.at`; or until `latest`, and what is said before then may be
        about those that were there before (see `until`). `found`: this node did not write them; what it
        wrote itself is surely there only now, so what was started since may have been without.
        """
        path, there = made.path, made.at if found else self._state.wall()
        self._loading.moved(path)
        self._outcomes.going.pop(path, None)
        how = taking(self._about, self._outcomes.kind(path))
        if how is Taking.NEVER or not self._outcomes.counts(made):
            return
        if how is Taking.AT_START:
            held = replace(made, state=Deployment.RESTART_REQUIRED, reason=NEXT_START, at=there)
            self._outcomes.put(held, now)
        elif not self._loading.is_loaded(path.tree):
            dormant = replace(made, state=Deployment.DORMANT, reason=NOT_LOADED, at=there)
            self._outcomes.put(dormant, now)
        else:
            missed = self._hearing.may_miss(path, made.at)
            wait = Wait(made.at, there=there, updated=updated, missed=missed, found=found)
            if latest is not None or self._hearing.unanswered(path, made.at):
                wait.unclear_from = made.at
                wait.came = (made.at if latest is None else latest) + OVERLAP_S
            self._outcomes.put(replace(made, at=wait.loaded_by), now, wait)
            self._hearing.replay(path, made.at, now)
            self._hearing.saving.look()

    def until(self, path: ArtifactPath, over: Digest | None, since: float) -> float | None:
        """Return the wall time until which the runtime may still have met `over` at `path`.

        It was overwritten after `since`. None if it had been taken before: no more is said of it.
        """
        known = self._outcomes.known.get(path)
        taken = known is not None and known.state is Deployment.DEPLOYED and known.at < since
        met = over is None or (taken and known is not None and known.digest == over)
        return None if met else self._state.wall()

    def goes(self, path: ArtifactPath, since: float) -> None:
        """The file at `path` is gone: wait until the runtime says that it has let go of it."""
        self._loading.moved(path)
        known = self._outcomes.known.get(path)
        kind, name = self._outcomes.kind(path), self._hearing.name_of(path)
        gone = path not in self._state.base and taking(self._about, kind) is Taking.HOT
        deployed = known is not None and known.state is Deployment.DEPLOYED
        self._outcomes.drop(path)
        if gone and deployed and not self._hearing.confirmed_gone(path, since):
            self._outcomes.going[path] = Going(kind, name, since, None)
            self._hearing.saving.look()
        else:
            self._hearing.forget(path)


def pending(path: ArtifactPath, digest: Digest, revision: int, came: float) -> Outcome:
    """Return the outcome of bytes that came at this wall time."""
    return Outcome(path, digest, Deployment.PENDING, SILENT, "", revision, came)
