"""What the local runtime itself writes into the trees: never a change to send on, never drift.

A runtime that does not take an update writes its own old version over it, moves the file away, or
brings back what can't be undeployed; its log says so beside the write. Each such saying is a licence
for one difference at one path: bytes whose mtime is near the saying, or the file's absence. A
difference without one is a person's. Because the look at the file may come before the line of the
log is read, a difference where the runtime still owes an answer is in doubt for a moment; and so is
each that an agent finds when it starts, until it has heard what the runtime did while it was away.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from syncagent.agent.effects import Backfill, KeepFile
from syncagent.agent.node.outcomes import MOVED_AWAY, PUT_BACK, STRAYED, before, well_before
from syncagent.core.events import Hinted, HintKind
from syncagent.core.exempt import Because, Exemption
from syncagent.core.intent import Keep
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import Saying
from syncagent.core.snapshot import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from syncagent.agent.node.outcomes import Outcomes
    from syncagent.agent.node.readiness import Readiness
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.entry import Entry
    from syncagent.core.outcome import Outcome

NEAR_S = 3.0
"""A write this close to the saying is the runtime's: it logs the two within milliseconds, and some
file systems and log formats count whole seconds."""
DOUBT_S = 1.5
"""How long a difference may wait for the line of the log that explains it: a failure is several
lines, and is told when none has followed for a moment."""
LATE_S = 0.5
"""How long after a write its line may be read. Less than Carbon's files settle, so that it keeps
nobody waiting but who has everything looked at at once."""
UNHEARD_S = 30.0
"""How long what differs at a start waits for the log to be read."""
OVERTAKEN_S = 60.0
"""A revision takes this long at most from the look at a file until it is durable."""
LICENCES_MAX = 1_000
NEVER = float("-inf")


class _Licence(NamedTuple):
    """One write of the runtime's: said at the wall time `at`, known here since the instant `since`.

    A look that began before `seen_from` may have seen what was there before.
    """

    at: float
    since: float
    seen_from: float


class Restores:
    """Tells the runtime's own writes from people's. Instants are of this node's clock."""

    def __init__(self, outcomes: Outcomes, readiness: Readiness) -> None:
        self._state = outcomes.state
        self._observing = outcomes.observing
        self._outcomes = outcomes
        self._readiness = readiness
        self._deaf = readiness.unheard
        self._licences: dict[tuple[ArtifactPath, Saying], _Licence] = {}
        self.doubts: dict[ArtifactPath, float] = {}
        """Until when each difference is in doubt."""
        self._cleared: dict[ArtifactPath, object] = {}
        self._moved: dict[ArtifactPath, float] = {}
        """When the runtime last moved each file away."""
        self._begun: dict[ArtifactPath, float] = {}
        """When the last look at each difference began."""
        outcomes.observing.doubts = self.doubts
        self.recall: Callable[[ArtifactPath, float, float], None] = lambda _path, _since, _now: None
        """Has counted again what was said of a path since a wall time (`Hearing.replay`)."""

        self.overwritten: Callable[[ArtifactPath], bool] = lambda _path: False
        """Tells whether a commit is about to write at a path, or has just done so."""

    def load(self) -> None:
        """Take up what a stop may have cut in two: it was rejected, what came of it was not seen."""
        for outcome in self._outcomes.known.values():
            exemption = self._state.exempt.get(outcome.path)
            if outcome.state is Deployment.REJECTED and (exemption is None or _stays(exemption)):
                licence = _Licence(outcome.at, NEVER, NEVER)
                self._licences[outcome.path, Saying.RESTORED] = licence
                self._licences[outcome.path, Saying.BACKED_UP] = licence
        for path, exemption in self._state.exempt.items():
            if exemption.because is Because.REJECTED and _stays(exemption):
                # It may have been moved away since, even if nothing else of it is remembered.
                moved = _Licence(0.0, NEVER, NEVER)
                self._licences.setdefault((path, Saying.BACKED_UP), moved)

    # --- what is said -----------------------------------------------------------------------

    def said(self, path: ArtifactPath, saying: Saying, at: float, now: float) -> None:
        """The runtime says that it wrote `path` back, or moved it away."""
        if len(self._licences) >= LICENCES_MAX:
            self._licences.pop(next(iter(self._licences)))
        ago = self._state.wall() - (at + 1.0 if at.is_integer() else at)
        self._licences[path, saying] = _Licence(at, now, now - max(0.0, ago))
        if self._settle(path):
            return
        if path.path in self._observing.views[path.tree].differing:
            self.doubts[path] = max(now + DOUBT_S, self.doubts.get(path, 0.0))
        kind = HintKind.DELETED if saying is Saying.BACKED_UP else HintKind.WRITTEN
        self._observing.hinted(Hinted(path.tree, path.path, kind), now)

    def rejected(self, outcome: Outcome) -> None:
        """A version was rejected: keep its bytes, and hold it back from the runtime from now on."""
        path = outcome.path
        if self._state.keeps:
            self._state.do(KeepFile(path, outcome.digest, Keep.REJECTED, outcome.reason))
        row = self._state.rows.get(path)
        if row is not None and row.digest == outcome.digest and path not in self._state.exempt:
            self._exempt(path, self._state.base.get(path), outcome.reason)
        self._say_why(outcome)
        self._settle(path)

    def _say_why(self, outcome: Outcome) -> None:
        """Have the ledger say why a version is held back, if it was not known when it was noted."""
        exemption = self._state.exempt.get(outcome.path)
        if exemption is None or exemption.detail not in {PUT_BACK, MOVED_AWAY}:
            return
        if exemption.because is Because.REJECTED and exemption.wanted == outcome.digest:
            made = replace(exemption, detail=outcome.reason or exemption.detail)
            self._state.exempt_at(outcome.path, made)

    def accepted(self, path: ArtifactPath) -> None:
        """A version that was rejected was taken after all, where it is."""
        exemption = self._state.exempt.get(path)
        here = exemption.here.digest if exemption is not None and exemption.here else None
        if exemption is not None and here == exemption.wanted:
            self.put_again(path)

    def put_again(self, path: ArtifactPath) -> None:
        """The version that was rejected is there: it is not held back any more."""
        exemption = self._state.exempt.get(path)
        if exemption is not None and exemption.because is Because.REJECTED:
            self._state.exempt_at(path, None)
            self._observing.rebase(self._state.base, [path])

    # --- what is seen -----------------------------------------------------------------------

    def looked(self, paths: Iterable[ArtifactPath], now: float) -> None:
        """These were looked at: see what of it is the runtime's, and what may be."""
        for path in paths:
            view = self._observing.views[path.tree]
            if path.path in view.differing:
                self._begun[path] = view.started
            if path.path not in view.differing:
                self._forget(path)
            elif not self._settle(path):
                self._overtaken(path, now)
                if self._readiness.ready:
                    self._doubt(path, now)
                elif self._readiness.unheard and path in self._state.base:
                    self.doubts.setdefault(path, now + UNHEARD_S)

    def _overtaken(self, path: ArtifactPath, now: float) -> None:
        """Other bytes are there than were known: what was said since they came was about them."""
        known = self._outcomes.known.get(path)
        seen = self._observing.views[path.tree].files.get(path.path)
        deployed = known is not None and known.state is Deployment.DEPLOYED
        if not deployed or not isinstance(seen, Seen) or path not in self._state.base:
            return
        self.recall(path, seen.mtime_ns / 1e9, now)
        known = self._outcomes.known.get(path)
        still = known is not None and known.state is Deployment.DEPLOYED
        if still and known is not None and well_before(seen.mtime_ns / 1e9, known.at):
            # They were there already when that was said, and an earlier agent has not seen them.
            self._outcomes.turn(path, now, Deployment.UNKNOWN, STRAYED)

    def _forget(self, path: ArtifactPath) -> None:
        """Nothing differs here: a file that was to be gone is there again, or was never moved."""
        self.doubts.pop(path, None)
        self._cleared.pop(path, None)
        self._begun.pop(path, None)
        if path in self._outcomes.waits:
            self._outcomes.waits[path].others_from = None
        view = self._observing.views[path.tree]
        licence = self._licences.get((path, Saying.BACKED_UP))
        there = path in self._state.base and isinstance(view.files.get(path.path), Seen)
        # A look that began before may have seen it before it was moved; one absence is no proof yet.
        if licence is not None and there and view.started > licence.since:
            del self._licences[path, Saying.BACKED_UP]

    def _doubt(self, path: ArtifactPath, now: float) -> None:
        wait = self._outcomes.waits.get(path)
        there = self._observing.views[path.tree].files.get(path.path)
        if wait is not None and wait.others_from is None and isinstance(there, Seen):
            wait.others_from = there.mtime_ns / 1e9
        owes = path in self._outcomes.waits or path in self._outcomes.going
        seen = self._observing.observed(path)
        fresh = isinstance(there, Seen) and self._is_fresh(there)
        if (owes or fresh) and path not in self.doubts and self._cleared.get(path, self) != seen:
            self.doubts[path] = now + (DOUBT_S if owes else LATE_S)
            self._cleared[path] = seen

    def _is_fresh(self, there: Seen) -> bool:
        """Tell whether a file was written just now, so that the log may not have been read since.

        Only where the runtime also writes back what nobody declared: it met it before this node did.
        """
        age = self._state.wall() - there.mtime_ns / 1e9
        return self._state.runtime_about.kind == "carbon" and 0.0 <= age < LATE_S

    def _is_unseen(self, path: ArtifactPath, licence: _Licence) -> bool:
        """Tell whether no look at `path` has begun yet since the runtime wrote there."""
        return self._begun.get(path, NEVER) < licence.seen_from

    def _lasts(self, path: ArtifactPath) -> bool:
        """Tell whether a doubt lasts until a look that is under way or asked for has been taken."""
        licence = self._licences.get((path, Saying.RESTORED))
        return licence is not None and self._is_unseen(path, licence)

    def tick(self, now: float) -> None:
        """End doubts that lasted long enough: it is a person's."""
        if self._deaf and not self._readiness.unheard:
            self._deaf, soon = False, now + DOUBT_S
            self.doubts.update({path: min(soon, until) for path, until in self.doubts.items()})
        for path, until in list(self.doubts.items()):
            if now >= until and not self._lasts(path):
                del self.doubts[path]
        if not self.doubts and len(self._cleared) > LICENCES_MAX:
            self._cleared.clear()

    def next_at(self) -> float | None:
        """Return when `tick` has something to do."""
        return min((at for path, at in self.doubts.items() if not self._lasts(path)), default=None)

    def gone_since(self, path: ArtifactPath) -> float | None:
        """Return when the look began that found `path` gone; None if none did."""
        return self._begun.get(path) if self._observing.observed(path) is None else None

    # --- what follows -----------------------------------------------------------------------

    def _settle(self, path: ArtifactPath) -> bool:
        """Exempt what the runtime wrote at `path`, if that stays; return whether it did."""
        view = self._observing.views[path.tree]
        if path.path not in view.differing or self.overwritten(path):
            return False
        seen = view.files.get(path.path)
        if isinstance(seen, Seen):
            if not self._wrote(path, seen):
                return False
            del self._licences[path, Saying.RESTORED]
            self._licences.pop((path, Saying.BACKED_UP), None)
            return self._take(path, seen.entry)
        moved = self._licences.pop((path, Saying.BACKED_UP), None) if seen is None else None
        if moved is None:
            return False
        if len(self._moved) >= LICENCES_MAX:
            self._moved.clear()
        self._moved[path] = moved.at
        return self._take(path, None)

    def overtaken(self, path: ArtifactPath) -> float | None:
        """Return when the runtime moved away what has become the revision's only now.

        It met it before this node had made a revision of it: that the file is gone is no deletion.
        """
        moved_at = self._moved.pop(path, None)
        there = path.path in self._observing.views[path.tree].files
        if moved_at is None or there or self._state.wall() - moved_at > OVERTAKEN_S:
            return None
        self._exempt(path, None, MOVED_AWAY)
        return moved_at

    def _wrote(self, path: ArtifactPath, seen: Seen) -> bool:
        """Tell whether what was seen at `path` is what the runtime said that it put there."""
        examined = self._observing.examined(path)
        if examined is not None and not examined.valid:
            # What it puts back it has built once: these are the bytes that it refused.
            return False
        licence, mtime = self._licences.get((path, Saying.RESTORED)), seen.mtime_ns / 1e9
        if licence is None or abs(mtime - licence.at) > NEAR_S:
            return False
        # What was seen before, and is older, it has read and written over: a person's.
        return not (before(mtime, licence.at) and self._is_unseen(path, licence))

    def _take(self, path: ArtifactPath, here: Entry | None) -> bool:
        known = self._outcomes.known.get(path)
        reason = known.reason if known and known.state is Deployment.REJECTED else ""
        self.doubts.pop(path, None)
        self._cleared.pop(path, None)
        self._exempt(path, here, reason or PUT_BACK)
        self._state.event("runtime-wrote", path=str(path), digest=here.digest if here else "")
        return True

    def _exempt(self, path: ArtifactPath, here: Entry | None, detail: str) -> None:
        state = self._state
        row = state.rows.get(path)
        wanted = row.digest if row else None
        if path in state.withheld:
            # The version that waits was never tried: what it waits beside is another now.
            state.found_here(path, here)
        else:
            state.exempt_at(path, Exemption(path, Because.REJECTED, wanted, here, 0.0, detail))
        self._observing.rebase(state.base, [path])
        if here is not None and not state.has_blob(here.digest):
            # If somebody edits it, this is what a repair puts back.
            state.do(Backfill(((path, here),)))


def _stays(exemption: Exemption) -> bool:
    """Tell whether what was refused is (still) there itself, as far as was seen."""
    return exemption.here is not None and exemption.here.digest == exemption.wanted
