"""What each saying of the runtime means, and whether it is about the bytes there now. Pure.

Sayings may come twice (they are heard again from the last remembered place), late (the log is read
after the file was looked at) and early (the runtime meets a file before this node has made a
revision of it). So each is judged by its own time against the time since which the bytes are there,
and the last few are kept for what is declared or committed a moment later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.node.naming import Naming
from syncagent.agent.node.outcomes import LET_GO, STRAYED, WHOLE_S, before, well_before
from syncagent.agent.node.saving import SAYINGS, Saving
from syncagent.agent.node.unseen import LET_GO_UNSEEN, Unseen
from syncagent.core.exempt import Because
from syncagent.core.outcome import Deployment, Outcome
from syncagent.core.runtime import Heard, Saying
from syncagent.core.snapshot import Seen

if TYPE_CHECKING:
    from syncagent.agent.node.loading import Loading
    from syncagent.agent.node.outcomes import Outcomes
    from syncagent.agent.node.readiness import Readiness
    from syncagent.agent.node.restores import Restores
    from syncagent.core.artifact import ArtifactPath, TreeName

RECENT_PATHS = 2_000
RECENT_EACH = 8
UNCLAIMED_MAX = 200
RECENT_S = 60.0
"""A file written this long ago at most may still be on its way into the runtime."""
AFTER_NACK_S = 5.0
"""What a runtime says of an artifact this soon after it rejected it is about its own old version,
which it puts back: its next look at the folder is later."""
UNCLEAR_S = 5.0
LOST = "the runtime serves an older version that no file leads to: restart it"
DUPLICATE = "Duplicate resource definition by the name"
"""How Synapse refuses an API's name that it has. Within a revision names are unique, so that what it
has is an older version, of a file that it knows no more."""
_OF_BYTES = frozenset({Saying.DEPLOYED, Saying.UPDATED, Saying.UNDEPLOYED})
"""Sayings that mean nothing until it is seen what is there."""
UNTAKEN = "the runtime did not take it"


class Hearing:
    """Turns sayings into outcomes. Instants are of this node's clock, `at` is wall time."""

    def __init__(
        self, outcomes: Outcomes, restores: Restores, loading: Loading, readiness: Readiness
    ) -> None:
        self._state = outcomes.state
        self._about = outcomes.state.runtime_about
        self._observing = outcomes.observing
        self._outcomes = outcomes
        self._restores = restores
        self._loading = loading
        loading.recall = restores.recall = self.replay
        loading.claim = self.give
        self._readiness = readiness
        self._naming = Naming(outcomes)
        self.overtaken = restores.overtaken
        self.name_of, self.forget = self._naming.name_of, self._naming.forget
        self.unseen = Unseen(outcomes)
        self.saving = Saving(outcomes, loading, self.name_of)
        self._recent: dict[ArtifactPath, deque[tuple[Heard, bool]]] = {}
        self._unclaimed: deque[Heard] = deque(maxlen=UNCLAIMED_MAX)
        """Sayings of names that nothing here has, yet: a plan's line has no file in it."""
        self._marked: set[ArtifactPath] = set()
        """What the runtime wrote itself: it takes the next change there for its own."""
        self.spoke_at = float("-inf")
        """The instant of the last saying."""
        self._blind: set[TreeName] = set()
        """Trees that can't be seen, and of which something was said."""

    # --- what it says -----------------------------------------------------------------------

    def take(self, heard: Heard, now: float) -> None:
        """Take one saying."""
        if heard.saying in SAYINGS:
            self.saving.said(heard, now)
            return
        if not heard.at:
            heard = replace(heard, at=self._state.wall())
        if not self._loading.failed(heard) and not self._loading.named(heard):
            self.give(heard, now)

    def give(self, heard: Heard, now: float) -> None:
        """Take a saying for that of the artifact that is meant."""
        path = self._naming.whose(heard)
        if path is None:
            if heard.name:
                self._unclaimed.append(heard)
            return
        self.spoke_at = now
        self.saving.spoke(path, heard.at)
        self._readiness.spoke()
        self._loading.spoke(path.tree, heard.at, now)
        if not self.unseen.takes(path, heard, now, ready=self._readiness.ready):
            self._note(path, heard, now)

    def looked(self, path: ArtifactPath, now: float) -> None:
        """It was looked at: what was said of it and waited for that counts now."""
        heard, known = self.unseen.looked(path, now), self._outcomes.known.get(path)
        if heard is None:
            return
        here = self._observing.observed(path)
        moved = path in self._state.exempt
        if moved and self.unseen.doubted and known is not None:
            self.nack(known, heard, now)
        elif known is None or here == known.digest or (moved and self._outcomes.is_owed(path)):
            self._note(path, heard, now)
        else:
            # Nobody knows which of the two it refused: it may be on its way into a revision.
            self._rejected_edit(path, heard, now)
            self._keep(path, heard, answered=False)

    def _note(self, path: ArtifactPath, heard: Heard, now: float) -> None:
        unseen = heard.saying in _OF_BYTES and not self._observing.views[path.tree].ready
        if unseen and path not in self._outcomes.going:
            # Somebody may have put other bytes there since: what was last seen may not be what is meant.
            self._blind.add(path.tree)
            self.unseen.let_go(path, heard, now)
            self._keep(path, heard, answered=False)
        else:
            self._keep(path, heard, answered=self._apply(path, heard, now))

    def scanned(self, tree: TreeName, now: float) -> None:
        """A tree was looked at: take what was said of it while it could not be seen."""
        if tree not in self._blind or not self._observing.views[tree].ready:
            return
        self._blind.discard(tree)
        for path in [path for path in self._recent if path.tree == tree]:
            for heard, _ in self._recent[path]:
                if heard.saying in _OF_BYTES:
                    self._apply(path, heard, now)

    def _keep(self, path: ArtifactPath, heard: Heard, *, answered: bool) -> None:
        recent = self._recent.pop(path, deque(maxlen=RECENT_EACH))
        if len(self._recent) >= RECENT_PATHS:
            del self._recent[next(iter(self._recent))]
        recent.append((heard, answered))
        self._recent[path] = recent

    def replay(self, path: ArtifactPath, came: float, now: float) -> None:
        """Take again what was said of `path` since its bytes came, before they counted here."""
        named = (self._outcomes.kind(path), self.name_of(path))
        said = [each for each in self._unclaimed if (each.kind, each.name) == named]
        latest = self._state.wall() + WHOLE_S  # what is later is of before the clock was set back
        for heard in [*said, *(each for each, _ in self._recent.get(path, ()))]:
            if heard.at <= latest and not before(heard.at, came):
                self._apply(path, heard, now)

    def unanswered(self, path: ArtifactPath, since: float) -> bool:
        """Tell whether what is said about now may still be about the version before."""
        return path in self._outcomes.waits or any(
            answered and not before(heard.at, since)
            for heard, answered in self._recent.get(path, ())
        )

    def has_answered(self, path: ArtifactPath, since: float) -> bool:
        """Tell whether anything was said of `path` after a wall time."""
        return any(not before(heard.at, since) for heard, _ in self._recent.get(path, ()))

    def seen_at(self, path: ArtifactPath) -> float:
        """Return the wall time before which nothing can be said of what somebody put at `path`.

        An old mtime says nothing of when it came, so only what is said from now on counts.
        """
        wall = self._state.wall()
        seen = self._observing.views[path.tree].files.get(path.path)
        mtime = seen.mtime_ns / 1e9 if isinstance(seen, Seen) else wall
        return mtime if wall - RECENT_S <= mtime <= wall else wall

    def may_miss(self, path: ArtifactPath, came: float) -> bool:
        """Tell whether bytes that came at this wall time may be swallowed.

        A runtime marks what it wrote itself, Carbon also all that it loaded at its start until its
        first look is over; the next change of what is marked is not taken up.
        """
        ready_at = self._readiness.runtime.ready_at
        new = self._about.kind == "carbon" and came < ready_at + self._about.scan_s
        return new or path in self._marked or self.saving.passes_over(path, came)

    def confirmed_gone(self, path: ArtifactPath, since: float) -> bool:
        """Tell whether the runtime has let go of what was at `path` already."""
        return any(
            heard.saying is Saying.UNDEPLOYED and heard.at >= since
            for heard, _ in self._recent.get(path, ())
        )

    def _apply(self, path: ArtifactPath, heard: Heard, now: float) -> bool:
        """Do what follows; return whether it answers for what was waited for."""
        if heard.saying is not Saying.BACKED_UP:
            (self._marked.add if heard.saying is Saying.RESTORED else self._marked.discard)(path)
        match heard.saying:
            case Saying.DEPLOYED | Saying.UPDATED:
                return self._took(path, heard, now)
            case Saying.REJECTED:
                return self._rejected(path, heard, now)
            case Saying.LOST_TRACK:
                self._lost_track(path, heard, now)
                return False
            case Saying.UNDEPLOYED:
                return self._let_go(path, heard, now)
            case Saying.RESTORED | Saying.BACKED_UP:
                self._restores.said(path, heard.saying, heard.at, now)
                return False
            case Saying.SAVED | Saying.DROPPED:
                return False  # taken by `saving`

    def _took(self, path: ArtifactPath, heard: Heard, now: float) -> bool:
        known = self._known(path, heard, now)
        if known is None:
            self._strayed(path, heard, now)
            return False
        if known.state is Deployment.DEPLOYED and known.at >= self._readiness.started_at:
            return False
        if known.state is Deployment.REJECTED:
            if heard.at < known.at + AFTER_NACK_S:
                return False
            self._restores.accepted(path)
        awaited = path in self._outcomes.waits
        taken = replace(
            known, state=Deployment.DEPLOYED, reason="", excerpt=heard.excerpt, at=heard.at
        )
        self._outcomes.put(taken, now)
        return awaited

    def _strayed(self, path: ArtifactPath, heard: Heard, now: float) -> None:
        """The runtime did something with other bytes than the revision's: those serve no more.

        So it is with what it put back itself, once it is put there again.
        """
        known = self._outcomes.known.get(path)
        if known is None or known.state is not Deployment.DEPLOYED:
            return
        other = self._observing.observed(path) != known.digest
        if other and not before(heard.at, known.at):
            self._outcomes.turn(path, now, Deployment.UNKNOWN, STRAYED)

    def _known(self, path: ArtifactPath, heard: Heard, now: float) -> Outcome | None:
        """Return the outcome of what is there now, if the saying can be about that."""
        entry = self._state.base.get(path)
        if entry is None or self._observing.observed(path) != entry.digest:
            return None
        known = self._outcomes.known.get(path)
        if known is None:
            seen = self._observing.views[path.tree].files.get(path.path)
            if not isinstance(seen, Seen) or not well_before(seen.mtime_ns / 1e9, heard.at):
                return None  # It may be of what was there before.
            number = self._state.standing.revision.number
            self.name_of(path)
            made = Outcome(path, entry.digest, Deployment.UNKNOWN, revision=number)
            return made if self._outcomes.counts(made) else None
        if known.digest != entry.digest or self._is_older(heard, known, now):
            return None
        return known

    def _is_older(self, heard: Heard, known: Outcome, now: float) -> bool:
        """Tell whether a saying is about what was there before what is known."""
        wait = self._outcomes.waits.get(known.path)
        if wait is None:
            return before(heard.at, known.at)
        older = wait.is_older(heard.at)
        if older and wait.is_unclear(heard.at):
            # If it was the answer no other comes: one look later that is clear.
            soon = now + self._about.scan_s + UNCLEAR_S
            wait.due = soon if wait.due is None else min(wait.due, soon)
        return older

    def _rejected(self, path: ArtifactPath, heard: Heard, now: float) -> bool:
        if self._outcomes.going.pop(path, None) is not None:
            # It never had what is to go.
            self.forget(path)
            return False
        awaited = path in self._outcomes.waits
        known = self._outcomes.known.get(path)
        owed = known is not None and (awaited or known.state is Deployment.REJECTED)
        if known is None or not owed or self._is_of_others(known, heard, now):
            # Bytes that wait may be overwritten by now; any others have to be there to be meant.
            known = self._known(path, heard, now)
        elif self._is_older(heard, known, now):
            return False
        if known is None:
            self._rejected_edit(path, heard, now)
            return False
        self.nack(known, heard, now)
        return awaited

    def _is_of_others(self, known: Outcome, heard: Heard, now: float) -> bool:
        """Tell whether other bytes had been there for a while when this was said: it is of those.

        What the runtime itself writes over bytes that it refuses comes with its words, or after.
        """
        wait = self._outcomes.waits.get(known.path)
        if wait is not None and wait.others_from is not None:
            return well_before(wait.others_from, heard.at)
        seen = self._observing.views[known.path.tree].files.get(known.path.path)
        if seen is None:
            begun = self._restores.gone_since(known.path)
            return begun is not None and before(self._state.wall() - now + begun, heard.at)
        if not isinstance(seen, Seen) or seen.entry.digest == known.digest:
            return False
        return well_before(seen.mtime_ns / 1e9, heard.at)

    def _lost_track(self, path: ArtifactPath, heard: Heard, now: float) -> None:
        """The runtime does not know what it deployed from a file that has changed.

        Where it never had anything of it, it takes the file next; else it refuses it as a duplicate.
        """
        known, wait = self._outcomes.known.get(path), self._outcomes.waits.get(path)
        if self._outcomes.going.pop(path, None) is not None:
            self.forget(path)
        elif wait is not None:
            wait.lost = wait.lost or not wait.is_older(heard.at)
        elif (
            known is not None
            and known.state is Deployment.REJECTED
            and not before(heard.at, known.at)
        ):
            self.nack(known, heard, now)

    def no_answer(self, path: ArtifactPath, now: float) -> bool:
        """Conclude at a deadline what the runtime can't take any more; return whether it is so."""
        wait = self._outcomes.waits[path]
        if wait.lost:
            said = Heard(Saying.LOST_TRACK, path, reason=UNTAKEN, at=self._state.wall())
            self.nack(self._outcomes.known[path], said, now)
        return wait.lost

    def nack(self, known: Outcome, heard: Heard, now: float) -> None:
        """Conclude that the runtime did not take what is known of a path."""
        again = known.state is Deployment.REJECTED
        former = known.reason if again else ""
        clear = former and not former.startswith(UNTAKEN)
        reason = former if clear else heard.reason or former or UNTAKEN
        wait = self._outcomes.waits.get(known.path)
        lost = heard.saying is Saying.LOST_TRACK or (wait is not None and wait.lost)
        # What it says of the bytes themselves no restart heals.
        lost = reason.startswith(DUPLICATE) or (lost and reason.startswith((UNTAKEN, "Duplicate")))
        if lost and LOST not in reason:
            reason = f"{reason}; {LOST}"
        excerpt, state = (known.excerpt if again else "") or heard.excerpt, Deployment.REJECTED
        said = replace(known, state=state, reason=reason, excerpt=excerpt, at=heard.at)
        self._outcomes.put(said, now)
        self._restores.rejected(said)
        if not again:
            told = {"path": str(known.path), "reason": reason}
            self._state.event("rejected", **told, revision=known.revision)

    def _rejected_edit(self, path: ArtifactPath, heard: Heard, now: float) -> None:
        """Something was refused that is no part of a revision (yet)."""
        known = self._outcomes.known.get(path)
        if known is not None and self._is_older(heard, known, now):
            return
        self._state.event("rejected-edit", path=str(path), reason=heard.reason)
        if known is None or known.state is not Deployment.DEPLOYED:
            return
        since = [h for h, _ in self._recent.get(path, ()) if before(known.at, h.at)]
        took = any(h.saying in {Saying.DEPLOYED, Saying.UPDATED} for h in since)
        here = self._observing.observed(path)
        if here != known.digest and (took or here is None):
            # It goes by what it took before that, which nobody has seen, or by nothing there.
            self._outcomes.turn(path, now, Deployment.UNKNOWN, STRAYED)

    def _let_go(self, path: ArtifactPath, heard: Heard, now: float) -> bool:
        if self._outcomes.going.pop(path, None) is not None:
            self.forget(path)
            self._state.changed = True
            return True
        known = self._known(path, heard, now)
        if known is None:
            self._strayed(path, heard, now)
        elif known.state is Deployment.DEPLOYED or known.reason == LET_GO_UNSEEN:
            self._outcomes.owe(known, heard.at, LET_GO, now)
        return False

    # --- restarts ---------------------------------------------------------------------------

    def healed_by_start(self, now: float) -> list[ArtifactPath]:
        """Return where the revision's version can be taken again, now that the runtime is another.

        It was lost track of; or it was never refused: a person's edit was, and took it away.
        """
        started = self._readiness.started_at
        found: list[ArtifactPath] = []
        for path, exemption in self._state.exempt.items():
            known = self._outcomes.known.get(path)
            if exemption.because is not Because.REJECTED or known is None or known.at >= started:
                continue
            if known.state is not Deployment.REJECTED:
                self._outcomes.turn(path, now, Deployment.UNKNOWN, STRAYED)
                found.append(path)
            elif LOST in known.reason:
                found.append(path)
        return found
