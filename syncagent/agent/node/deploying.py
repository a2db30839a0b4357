"""What the local runtime did with each artifact of this node, and what is done when it says nothing.

Whoever changes the trees tells it here (`committed`, `declared`); the runtime's sayings arrive as
events. Each changed artifact is Pending until a saying about its very bytes, or until a deadline:
then the file is touched for the runtime to look again, a few times, and in the end it is Unknown.
A saying that is older than the bytes is about others. What was loaded when the runtime started,
without a word of failure, counts as Deployed. Where no runtime answers, nothing is claimed.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING

from syncagent.agent.effects import TellRuntime, Touch
from syncagent.agent.node.deadlines import Deadlines
from syncagent.agent.node.dying import Dying
from syncagent.agent.node.hearing import Hearing
from syncagent.agent.node.job import Stage, writes
from syncagent.agent.node.loading import Loading
from syncagent.agent.node.outcomes import Outcomes, Taking, taking
from syncagent.agent.node.owing import Owing, pending
from syncagent.agent.node.readiness import Readiness
from syncagent.agent.node.restores import Restores
from syncagent.core.artifact import ArtifactPath
from syncagent.core.exempt import Because
from syncagent.core.outcome import Deployment, Outcome
from syncagent.core.runtime import Order, OrderItem, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.agent.results import Touched
    from syncagent.core.artifact import TreeName
    from syncagent.core.change import Change
    from syncagent.core.digest import Digest
    from syncagent.core.events import RuntimeHeard, RuntimeTurned
    from syncagent.core.intent import Step
    from syncagent.core.runtime import About, RuntimeState

QUIET_S = 0.5
"""What was loaded at a start is concluded when nothing was heard for so long: no failure is left."""
BACKLOG_S = 30.0
"""... or so long after it: others go on speaking."""
RENAMED_S = 10.0
"""A file that is declared gone went this long ago at most: absence is believed after a second."""

NOBODY = "nothing deploys it"
CONCLUDING = "what the runtime was started with is about to be concluded"
NOT_HEARD = "nothing was heard of it since the runtime was started"


class Deploying:
    """The outcomes of this node, and what brings them about. Instants are of this node's clock."""

    def __init__(self, state: State, observing: Observing, advancing: Advancing) -> None:
        self.state = state
        self._observing = observing
        self._advancing = advancing
        self.about: About = state.runtime_about
        self._outcomes = Outcomes(state, observing)
        self.readiness = Readiness(state)
        self._restores = Restores(self._outcomes, self.readiness)
        self._loading = Loading(self._outcomes, self.readiness)
        self._hearing = Hearing(self._outcomes, self._restores, self._loading, self.readiness)
        self._dying = Dying(self._outcomes, self._hearing, self.readiness)
        self._owing = Owing(self._outcomes, self._loading, self._hearing)
        self._deadlines = Deadlines(self._outcomes, self.readiness, self._loading, self._hearing)
        self.lift: Callable[[Collection[ArtifactPath], float], None] = lambda _paths, _now: None
        """Has the revision's versions put back (`Exempting.lift`)."""
        self._restores.overwritten = lambda path: writes(advancing.job, path)
        self._loading.rejected = self._restores.rejected
        self._loading.taken = self._restores.accepted
        self._listened_at = self._heard_at = 0.0
        self._mark: str | None = None
        self._began: tuple[int, float] = (-1, 0.0)
        self._base = state.base
        if self.about.answers:
            self._outcomes.load()
            self._restores.load()

    # --- what is known ----------------------------------------------------------------------

    @property
    def runtime(self) -> RuntimeState:
        """What the runtime is doing."""
        return self.readiness.runtime

    @property
    def outcomes(self) -> dict[ArtifactPath, Outcome]:
        """What is known, by path; read only."""
        return self._outcomes.known

    @property
    def answers(self) -> bool:
        """True if there is a runtime that answers, and is ready now."""
        return self.about.answers and self.readiness.ready

    @property
    def may_write(self) -> bool:
        """False while the runtime would miss what is written."""
        return self.readiness.may_write

    @property
    def answered(self) -> Callable[[Outcome, float], None]:
        """Who is told of each outcome that waits for nothing more."""
        return self._outcomes.answered

    @answered.setter
    def answered(self, hook: Callable[[Outcome, float], None]) -> None:
        self._outcomes.answered = hook

    def outcome(self, path: ArtifactPath, digest: Digest) -> Outcome:
        """Return what is known of `digest` at `path`; Unknown if nothing is."""
        known = self._outcomes.known.get(path)
        if known is None and self._concluding and path in self.state.base:
            return Outcome(path, digest, Deployment.PENDING, CONCLUDING)
        if known is None or known.digest != digest:
            return Outcome(path, digest, Deployment.UNKNOWN, self._why_unknown(path))
        if known.state is Deployment.PENDING and not self.readiness.ready:
            return replace(known, reason=self.readiness.why_waiting())
        if known.state is Deployment.DEPLOYED and self.runtime.phase is Phase.DOWN:
            return replace(known, reason=f"{self.readiness.label} is down")
        return known

    def here(self, path: ArtifactPath) -> Outcome | None:
        """Return what is known of this node's artifact at `path`; None if it has none."""
        known = self._outcomes.known.get(path)
        if known is not None:
            return self.outcome(path, known.digest)
        entry = self.state.base.get(path)
        return self.outcome(path, entry.digest) if entry is not None else None

    def counts(self) -> Mapping[Deployment, int]:
        """Return how many artifacts are in each state; together they are all of this node's."""
        counts = dict(self._outcomes.tally())
        if self._concluding:
            unheard = max(0, self._outcomes.total() - len(self._outcomes.known))
            counts[Deployment.UNKNOWN] -= unheard
            counts[Deployment.PENDING] += unheard
        return counts

    def total(self) -> int:
        """Return how many artifacts this node has, with those that its runtime moved away."""
        return self._outcomes.total()

    def not_deployed(self, at_most: int) -> list[Outcome]:
        """Return what is not (known to be) Deployed, what is bad first; all, or `at_most`."""
        known = self._outcomes.not_deployed()[:at_most]
        found = [self.outcome(each.path, each.digest) for each in known]
        unheard = self._outcomes.unheard(at_most - len(found))
        return found + [self.outcome(path, digest) for path, digest in unheard]

    def waiting(self) -> bool:
        """Tell whether any artifact may still be answered for before its deadline."""
        waits, going = self._outcomes.waits, self._outcomes.going
        dues = chain((w.due for w in waits.values()), (g.due for g in going.values()))
        return any(due is not None for due in dues)

    def owed(self) -> int:
        """Return how many answers wait that a commit has asked for, and no tenant's loading."""
        return sum(not wait.loading_since for wait in self._outcomes.waits.values())

    def _why_unknown(self, path: ArtifactPath) -> str:
        if not self.about.answers:
            return ""
        known = path.tree in self.state.settings.tree_names
        if known and taking(self.about, self._outcomes.kind(path)) is Taking.NEVER:
            return NOBODY
        held = self.state.exempt.get(path)
        if held is not None and held.because is Because.REJECTED:
            return held.detail
        return NOT_HEARD if self.readiness.ready else self.readiness.why_waiting()

    # --- what arrives -----------------------------------------------------------------------

    def heard(self, event: RuntimeHeard, now: float) -> None:
        """Take what the runtime said."""
        if not self.about.answers:
            return
        for heard in event.heard:
            self._hearing.take(heard, now)
        self._deadlines.schedule(now)
        if event.heard:
            self._heard_at = now
        self._mark = event.mark
        self._save()

    def turned(self, event: RuntimeTurned, now: float) -> None:
        """Take what became of the runtime itself."""
        if not self.about.answers:
            return
        before = self.runtime.phase
        anew = self.readiness.turned(event.state, now)
        self.state.changed = True
        if anew:
            self._loading.anew()
        if self.readiness.ready:
            self._deadlines.schedule(now)
            self._listened_at = self._heard_at = now
            if before is not Phase.UNKNOWN:
                self._loading.look_at_all(now)
            lost = self._hearing.healed_by_start(now)
            if lost:
                self.lift(lost, now)
        elif not self.readiness.may_answer:
            if event.state.phase is Phase.STUCK:
                self._dying.died(before, now)
            self._deadlines.suspend()

    def looked(self, paths: Iterable[ArtifactPath], now: float) -> None:
        """These were looked at: see what the runtime itself has written."""
        if not self.about.answers:
            return
        for path in paths:
            if not self._observing.views[path.tree].ready:
                continue  # What is known of it is of before.
            self._hearing.saving.seen(path)
            self._restores.looked((path,), now)
            self._hearing.looked(path, now)
            exemption = self.state.exempt.get(path)
            if (
                exemption is not None
                and exemption.because is Because.REJECTED
                and exemption.wanted is not None
                and self._observing.observed(path) == exemption.wanted
                and (exemption.here is None or exemption.here.digest != exemption.wanted)
            ):
                # Somebody put it there again: the runtime is asked again.
                self._outcomes.drop(path)
                self._restores.put_again(path)
                self._owing.found(path, exemption.wanted, self.state.standing.revision.number, now)
                self._deadlines.schedule(now)

    def scanned(self, tree: TreeName, now: float) -> None:
        """A whole tree was looked at."""
        if self.about.answers:
            differing = self._observing.views[tree].differing
            paths = [ArtifactPath(tree, path) for path in sorted(differing)]
            paths.extend(p for p in self.state.exempt if p.tree == tree and p.path not in differing)
            self.looked([*paths, *self._hearing.unseen.of(tree)], now)
            self._hearing.scanned(tree, now)

    # --- what this node does ----------------------------------------------------------------

    def committed(
        self,
        steps: Sequence[Step],
        paths: Collection[ArtifactPath] | None,
        revision: int,
        now: float,
    ) -> None:
        """Take that `steps` are live; `paths` are all whose rows may have changed (None: any)."""
        if not self.about.answers:
            return
        job, began = self._began
        since = began if job == self.state.standing.txid else self.state.wall()
        items: list[OrderItem] = []
        for step in steps:
            updated = step.after is not None and step.expected is not None
            digest = step.after.digest if step.after else None
            items.append(self._deadlines.item(step.path, digest, updated=updated))
            if step.after is None:
                self._owing.goes(step.path, since)
            else:
                made = pending(step.path, step.after.digest, revision, since)
                latest = self._owing.until(step.path, step.expected, since)
                self._owing.came(made, now, latest=latest, updated=updated)
        self._outcomes.tend(paths)
        if paths is None or not len(self._base):
            # What was there before this node stood anywhere is what its runtime has loaded.
            self._loading.again()
            paths = ()
        done = {step.path for step in steps}
        for path in paths:
            entry = self.state.base.get(path)
            if path not in done and entry is not None and path not in self._outcomes.known:
                # It was there already: this node's own proposal comes back as a revision.
                self._owing.found(path, entry.digest, revision, now)
        self._tell(revision, items, now)

    def declared(self, changes: Sequence[Change], revision: int, now: float) -> None:
        """Take that what this node's own trees hold has become a revision."""
        if not self.about.answers:
            return
        items: list[OrderItem] = []
        for change in changes:
            digest = change.after.digest if change.after else None
            updated = change.before is not None and digest is not None
            items.append(self._deadlines.item(change.path, digest, updated=updated))
            if digest is None:
                self._owing.goes(change.path, self.state.wall() - RENAMED_S)
            elif revision == 1:
                # All that was there before anybody looked: what the runtime has of it is concluded.
                self._loading.again()
            else:
                self._owing.found(change.path, digest, revision, now, updated=updated)
        # On a mount of all nodes the rows have moved elsewhere too, where nothing has come yet.
        self._outcomes.tend(None if self.state.in_place else [c.path for c in changes])
        self._tell(revision, items, now)

    def _tell(self, revision: int, items: list[OrderItem], now: float) -> None:
        self._base = self.state.base
        if items:
            self.state.do(TellRuntime(Order(revision, tuple(items))))
        self._deadlines.schedule(now)
        self._outcomes.save()

    # --- by hand ----------------------------------------------------------------------------

    def redeploy(self, paths: Collection[ArtifactPath], now: float) -> None:
        """Have the runtime take these up again, by a person's wish: also what it rejected."""
        if not self.about.answers:
            return
        lifted: list[ArtifactPath] = []
        files: list[tuple[ArtifactPath, Digest]] = []
        number = self.state.standing.revision.number
        for path in paths:
            exemption = self.state.exempt.get(path)
            entry = self.state.base.get(path)
            if exemption is not None and (entry is None or entry.digest != exemption.wanted):
                lifted.append(path)
            elif entry is not None and self._observing.observed(path) == entry.digest:
                files.append((path, entry.digest))
                self._restores.accepted(path)
        if lifted:
            self.lift(lifted, now)
        for path, digest in files:
            self._outcomes.drop(path)
            self._owing.came(pending(path, digest, number, self.state.wall()), now)
        if files and self.state.writes:
            self.state.do(Touch(tuple(files), self.state.fence))
        items = [self._deadlines.item(p, digest, updated=True) for p, digest in files]
        self._tell(number, items, now)

    def touched(self, result: Touched, _now: float) -> None:
        """Take which files were shown to the runtime again."""
        self._deadlines.touched(result.paths)

    # --- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Do what is due: doubts, deadlines, what was loaded."""
        if not self.about.answers:
            return
        self._note_commit()
        if self.readiness.tick(now):
            self._deadlines.schedule(now)
        self._restores.tick(now)
        self._dying.tick(now)
        if self._base is not self.state.base:
            self._base = self.state.base
            self._outcomes.tend()
        if (at := self._conclude_at()) is not None and now >= at:
            self._loading.go_on(now)
            self._deadlines.schedule(now)
        self._deadlines.tick(now)
        self._save()

    def next_at(self) -> float | None:
        """Return when `tick` has something to do."""
        instants = (
            self.readiness.next_at(),
            self._restores.next_at(),
            self._deadlines.next_at(),
            self._conclude_at(),
        )
        return min((at for at in instants if at is not None), default=None)

    def _save(self) -> None:
        """Have what is known remembered; and up to where it was heard, unless a start is half heard.

        What fails at a start need not be named, and is concluded only when all of it was heard.
        """
        if self.runtime.phase is Phase.STARTING or self._loading.open:
            self._outcomes.save()
        else:
            mark, self._mark = self._mark, None
            self._outcomes.save(mark)

    @property
    def _concluding(self) -> bool:
        """True while it is yet to be said what the runtime has loaded: it is ready, and heard."""
        return self.readiness.ready and self._loading.left

    def _conclude_at(self) -> float | None:
        """Return when all may have been heard that was said at the start; None if not all was seen."""
        if not self._concluding or not self._loading.looked_at or self._hearing.unseen:
            return None
        return min(self._heard_at + QUIET_S, self._listened_at + BACKLOG_S)

    def _note_commit(self) -> None:
        """Remember when a commit began: the runtime may meet its first files before its end."""
        job = self._advancing.job
        if job is not None and job.phase is Stage.COMMITTING and self._began[0] != job.txid:
            self._began = (job.txid, self.state.wall())
