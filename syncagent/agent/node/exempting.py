"""Where this node rightly holds something else than its revision says, and how that ends.

What is exempt lies over the node's rows (`core.exempt`), so no other part knows of it. It begins
and ends with a job like every change of the trees, and the ledger has both in one record: whatever
the moment of a crash, what is missing from a tree is either exempt or missing, never both.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.node.goingwithout import exemptions
from syncagent.agent.node.inplaceof import let_go
from syncagent.agent.node.job import Job, Why
from syncagent.core.artifact import ArtifactPath, Kind, kind_of
from syncagent.core.backoff import Backoff
from syncagent.core.diff import diff
from syncagent.core.exempt import (
    Because,
    Exemption,
    lasting,
    overlay,
    paths_digest,
    to_note,
)
from syncagent.core.manifest import Manifest
from syncagent.core.rollout import first_portion
from syncagent.core.settings import Writers
from syncagent.core.snapshot import Seen

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.core.change import Change
    from syncagent.core.digest import Digest
    from syncagent.core.entry import Entry
    from syncagent.core.exempt import Exemptions

ASK_EVERY_S = 30.0
"""How often a node that leads asks for bytes that the last manager withheld from it."""
UNSURE_S = 30.0
"""How long after its start a node that knows nothing of its runtime waits with what is left."""
NOWHERE = "nowhere"
"""What the alarm is about that says that nobody has them."""


class Exempting:
    """Begins and ends exemptions, and portions what a runtime can't take up at once."""

    def __init__(self, state: State, observing: Observing, advancing: Advancing) -> None:
        self._state = state
        self._observing = observing
        self._advancing = advancing
        advancing.lay = self.lay
        self._lay: Exemptions = {}
        # Another version of this agent, or another runtime beside it, may take what it refused.
        refused = (p for p, e in state.exempt.items() if e.because is Because.REFUSED)
        self._lift: set[ArtifactPath] = set(refused)
        self._ask_at = 0.0
        self._txid = -1
        self._failures = 0
        self._backoff = Backoff(5.0, 300.0)
        self._again_at = float("-inf")
        self.fetch: Callable[[tuple[Digest, ...], float], None] = lambda _digests, _now: None
        """Asks the others for bytes that this node never had."""
        self._tripping: frozenset[ArtifactPath] = frozenset()
        """Just committed: nothing else is to be updated in the same look of the deployer."""
        self.trips: Callable[[], bool] = lambda: False
        """Whether the deployer here stumbles over files that never deployed."""
        self.answers: Callable[[], bool] = lambda: False
        """Whether a runtime here will say what became of a commit, which portions wait for."""
        self.held: Callable[[], Collection[ArtifactPath]] = frozenset
        """What a person has to decide on: a runtime refused it, and it is not tried on another."""
        self.unsure: Callable[[], bool] = lambda: False
        """Whether that is not known yet."""
        self._sure_at: float | None = None
        self.busy: Callable[[], bool] = lambda: False
        """Whether it still has something to say of what was committed before."""

    # --- wishes -----------------------------------------------------------------------------

    def undeploy(
        self, paths: Collection[ArtifactPath], until: float, detail: str, now: float
    ) -> None:
        """Take artifacts away from this node until the wall time `until`, whatever revisions say."""
        for path in paths:
            entry = self._state.rows.get(path)
            wanted = entry.digest if entry else None
            self._lift.discard(path)
            self._lay[path] = Exemption(path, Because.UNDEPLOYED, wanted, None, until, detail)
        self._again_at = now
        self.tick(now)

    def lift(self, paths: Collection[ArtifactPath], now: float) -> None:
        """Have the revision's versions here again, whatever kept them away."""
        for path in paths:
            self._lay.pop(path, None)
            if path in self._state.exempt:
                self._lift.add(path)
        self._again_at = now
        self.tick(now)

    # --- what a job leads to ----------------------------------------------------------------

    def lay(self, job: Job, rows: Manifest) -> Manifest:
        """Return what this node shall hold after `job`; `rows` are its rows of the revision.

        Notes in the job what is exempt after it.
        """
        state = self._state
        if state.in_place:
            return rows  # no node has files of its own
        if job.why in {Why.OFFER, Why.REPAIR}:
            let_go(state, self._observing)
        laid = self._laid(job, rows)
        kept = {path: e for path, e in state.exempt.items() if path not in job.lift}
        own = {**lasting(kept.values(), rows), **laid, **exemptions(job, rows, self._held())}
        job.note = to_note(own) if own != state.exempt else None
        withheld = self._withheld(job, rows)
        held_back = self._portion(job, overlay(rows, {**withheld, **own}))
        job.withheld = {**held_back, **withheld}
        if job.withheld == state.withheld and job.withheld_as == state.withheld_as:
            job.withheld = None
            return overlay(rows, {**state.withheld, **own})
        return overlay(rows, {**job.withheld, **own})

    def _laid(self, job: Job, rows: Manifest) -> Exemptions:
        """Return what the job takes away: the versions of `rows`, which may be newer than the wish."""
        return {
            path: replace(self._lay[path], wanted=entry.digest)
            for path in job.laid
            if path in self._lay and (entry := rows.get(path)) is not None
        }

    def _withheld(self, job: Job, rows: Manifest) -> Exemptions:
        """Return what the manager withholds, as far as this node does not hold it anyway."""
        state = self._state
        if job.withhold is None and job.why is not Why.OFFER:
            # Whoever leads takes up what is left in its own time (`_due`), as one kind.
            job.withheld_as = state.withheld_as
            own = job.why is not Why.REPAIR
            withheld = state.withheld.items()
            names = [p for p, e in withheld if own or e.because is Because.WITHHELD]
        else:
            names = sorted(job.withhold or ())
            job.withheld_as = paths_digest(names)
        held = self._held()
        return {
            path: Exemption(path, Because.WITHHELD, entry.digest if entry else None, here)
            for path in names
            if path.tree in state.settings.tree_names
            and (path not in job.forced or path in job.instead)
            and (entry := rows.get(path)) != (here := job.instead.get(path, held.get(path)))
            and not self._wrote(path, entry)
        }

    def _wrote(self, path: ArtifactPath, entry: Entry | None) -> bool:
        """Tell whether what is withheld was written here, where any node may write."""
        state = self._state
        anyone = state.settings.writers is Writers.ANY
        return anyone and entry is not None and self._observing.observed(path) == entry.digest

    def _held(self) -> Manifest:
        """Return what this node holds before a job: before its first revision, what it has found."""
        state = self._state
        if state.standing.revision.number:
            return state.base
        return Manifest.of(
            (ArtifactPath(view.name, path), seen.entry)
            for view in self._observing.views.values()
            for path, seen in view.files.items()
            if isinstance(seen, Seen)
        )

    def _portion(self, job: Job, target: Manifest) -> Exemptions:
        """Return what the job leaves for later, so that the runtime can take up what it brings."""
        state = self._state
        if not self.answers() or job.why not in {Why.OFFER, Why.REPAIR}:
            return {}
        # What is lifted is wished now, or in the way of what comes.
        forced = job.lift | job.forced
        changes = [c for c in diff(self._held(), target) if c.path not in forced]
        kinds = state.settings.tree_kinds
        now_due = first_portion(
            changes,
            lambda path: kind_of(kinds[path.tree], path.path),
            ordered=state.rollout.ordered,
        )
        now_due = self._apart(job, changes, now_due)
        two_steps = self._two_steps(changes) if self.trips() else frozenset()
        return {
            change.path: Exemption(
                change.path,
                Because.PORTION,
                change.after.digest if change.after else None,
                None if change.path in now_due else change.before,
            )
            for change in changes
            if change.path not in now_due or change.path in two_steps
        }

    def _two_steps(self, changes: Sequence[Change]) -> frozenset[ArtifactPath]:
        """Return what has to be gone, in the runtime's own words, before its new version comes.

        Apache Synapse takes no update of a message processor: any, even of the same bytes, ends hot
        deployment (seen on 3.0.1: tests/e2e/test_synapse_runtime.py).
        """
        kinds = self._state.settings.tree_kinds
        return frozenset(
            change.path
            for change in changes
            if change.before is not None
            and change.after is not None
            and kind_of(kinds[change.path.tree], change.path.path) is Kind.MESSAGE_PROCESSOR
        )

    def _apart(
        self, job: Job, changes: Sequence[Change], now_due: frozenset[ArtifactPath]
    ) -> frozenset[ArtifactPath]:
        """Return what is due, with what trips this runtime in a look of its own, after the rest.

        On Apache Synapse an update (or the end) of a file that never deployed ends the undeploys of
        that look: every other update in it then fails as a duplicate of itself, and its file is moved
        away (seen: tests/e2e/test_synapse_runtime.py).
        """
        burdens = {change.path for change in changes if change.before is not None}
        if self._tripping and self.busy():
            return now_due - burdens
        self._tripping = frozenset()
        if not self.trips():
            return now_due
        stuck = {
            path
            for path, exemption in self._state.exempt.items()
            if exemption.because is Because.REJECTED
            and exemption.here is not None
            and exemption.here.digest == exemption.wanted
        }
        apart = burdens & stuck
        job.tripping = frozenset() if burdens - apart else frozenset(apart)
        return now_due - apart if burdens - apart else now_due

    # --- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Carry out what is wished, and what has become due, when nothing else is under way."""
        state = self._state
        self._expire()
        idle = self._advancing.job is None and not state.recording and self._observing.begun
        if not idle or not state.settings.apply or state.standing.revision.number == 0:
            return
        self._outdated()
        if now < self._again_at:
            return
        if self._lay or self._lift:
            self._begin({*self._lay, *self._lift}, now)
            return
        due = self._due(now)
        if due:
            self._begin(due, now)

    def _expire(self) -> None:
        wall = self._state.wall()
        for path in [path for path, wish in self._lay.items() if wall >= wish.until]:
            del self._lay[path]
        for path, exemption in self._state.exempt.items():
            if exemption.until and wall >= exemption.until and path not in self._lay:
                self._lift.add(path)

    def _outdated(self) -> None:
        """Drop what ended by itself: somebody put the revision's own bytes there."""
        state = self._state
        self._lift &= state.exempt.keys()
        over = {
            path
            for path, exemption in state.exempt.items()
            if path not in self._lay
            and self._observing.observed(path) == exemption.wanted
            and self._may_end(exemption)
        }
        if over:
            state.exempt_as({p: e for p, e in state.exempt.items() if p not in over})
            self._observing.rebase(state.base, over)

    def _may_end(self, exemption: Exemption) -> bool:
        """Tell whether it counts that somebody put the revision's own bytes there.

        Where people write what is true an undeploy ends with it; elsewhere it is drift.
        """
        here, state = exemption.here, self._state
        if exemption.because is Because.UNDEPLOYED:
            return state.leads or state.settings.writers is Writers.ANY
        rejected = exemption.because is Because.REJECTED
        return rejected and (here is None or here.digest != exemption.wanted)

    def _due(self, now: float) -> set[ArtifactPath]:
        """Return where less may be withheld now: the next portion, or all, where this node leads."""
        state = self._state
        if state.withheld and state.leads:
            return self._taken_over(now)
        state.alarm(NOWHERE, None)
        if not state.withheld or self.busy() or self._is_unsure(now):
            return set()
        portions = {p: e for p, e in state.withheld.items() if e.because is Because.PORTION}
        if state.manager_link is None:
            # Nobody has the bytes who could be asked.
            return {p for p, e in portions.items() if e.wanted is None or state.has_blob(e.wanted)}
        return set(portions)

    def _is_unsure(self, now: float) -> bool:
        """Tell whether it may be known in a moment what the runtime does: the agent just started."""
        if self._sure_at is None:
            self._sure_at = now + UNSURE_S
        return self.unsure() and now < self._sure_at

    def _taken_over(self, now: float) -> set[ArtifactPath]:
        """Return what was withheld from this node before it led, and whose bytes are here.

        They may be only where the last manager is: the others are asked, and the cluster goes on
        with the version before.
        """
        state = self._state
        lacking = {
            e.wanted
            for e in state.withheld.values()
            if e.wanted is not None and not state.has_blob(e.wanted)
        }
        if lacking and now >= self._ask_at:
            self._ask_at = now + ASK_EVERY_S
            self.fetch(tuple(sorted(lacking)), now)
        state.alarm(
            NOWHERE,
            f"{len(lacking)} artifacts of revision {state.standing.revision.number} are on no node"
            " that is connected: their last versions stay until the node that wrote them is back"
            if lacking
            else None,
        )
        held = self.held()
        return {p for p, e in state.withheld.items() if e.wanted not in lacking and p not in held}

    def _begin(self, paths: set[ArtifactPath], now: float) -> None:
        state = self._state
        trees = {path.tree for path in paths}
        if self._observing.unready(trees):
            return
        job = Job(
            self._advancing.next_txid(),
            Why.REPAIR,
            state.standing.revision,
            parent=state.standing.revision,
            link=state.manager_link,
            changes=(),
            target=state.standing.manifest,
            only=frozenset(paths),
            withhold=frozenset(state.withheld.keys() - paths) if state.leads else None,
            laid=frozenset(self._lay),
            lift=frozenset(self._lift),
        )
        self._txid = job.txid
        self._advancing.begin(job, now)

    def finished(self, job: Job, fault: str | None, now: float) -> None:
        """A job has ended: what it has carried out is no wish any more, the rest is tried again."""
        if fault is not None:
            if job.txid == self._txid:
                self._failures += 1
                self._again_at = now + self._backoff.pause_s(self._failures, 0.99)
            return
        self._failures, self._again_at = 0, now
        for path in job.laid:
            self._lay.pop(path, None)
        self._lift -= job.lift
        self._tripping = job.tripping or self._tripping
