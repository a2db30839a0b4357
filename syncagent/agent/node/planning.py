"""What a job does to each artifact, and whether the outcome fits together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.node import leftout, undelivered
from syncagent.agent.node.job import Why, judge_job
from syncagent.agent.node.lasting import Lasting
from syncagent.agent.node.meeting import unmet
from syncagent.core.artifact import ArtifactPath, kind_of
from syncagent.core.exempt import Because
from syncagent.core.intent import Keep, Step
from syncagent.core.order import order_steps
from syncagent.core.plan import LEAVE, REVERT, make_plan
from syncagent.core.settings import Drift, Writers
from syncagent.core.verdict import Problem, Refused, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from syncagent.agent.node.job import Job
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.core.artifact import Kind
    from syncagent.core.change import Change
    from syncagent.core.digest import Digest
    from syncagent.core.entry import Entry
    from syncagent.core.manifest import Manifest
    from syncagent.core.plan import DriftPolicy, Unknown
    from syncagent.core.verdict import Examined


class _Unmoved:
    """The settled paths but for those that a job moves."""

    def __init__(self, settled: Container[ArtifactPath], moved: Container[ArtifactPath]) -> None:
        self._settled = settled
        self._moved = moved

    def __contains__(self, path: object) -> bool:
        return path not in self._moved and path in self._settled


def _digest(entry: Entry | None) -> Digest | None:
    return entry.digest if entry is not None else None


def _as_conflict(step: Step) -> Step:
    return replace(step, keep=Keep.CONFLICT) if step.keep is Keep.DRIFT else step


class Planning:
    """Plans a job from base, observed and desired, by this node's settings."""

    def __init__(self, state: State, observing: Observing) -> None:
        self._state = state
        self._observing = observing
        self.lasting = Lasting(state, observing)

    def wait_for_trees(self, job: Job, changes: tuple[Change, ...]) -> str:
        """Note which trees have to be believed before the job goes on; return why they are not.

        A tree that can't be believed delays only what concerns it. Where a node has never stood on
        a revision, or has not looked yet, nothing says what does not concern it.
        """
        observing = self._observing
        if self._state.standing.revision.number == 0 or not observing.begun:
            concerned = {*observing.views}
        else:
            concerned = {change.path.tree for change in changes}
            concerned.update(path.tree for path in job.only or ())
        job.waits_for = observing.unready(concerned)
        waiting = [observing.views[name] for name in job.waits_for]
        return "; ".join(
            f"{view.name}: {view.reason or 'not readable or not scanned yet'}" for view in waiting
        )

    def plan(self, job: Job, target: Manifest, changed: list[ArtifactPath]) -> None:
        """Give the job its steps towards `target`; `changed` and what drifted may differ."""
        differing = self._observing.differing()
        differing = tuple(path for path in differing if self._state.can_revert(path))
        if job.only is not None:
            differing = tuple(path for path in differing if path in job.only)
        strayed, own = self._strayed(job), self._state.base
        base = undelivered.forked(self._state) if strayed else own
        plan = make_plan(
            [*changed, *differing],
            base=base,
            observed=self._observing.observed,
            desired=target,
            policy=lambda path: self._policy(job, path),
        )
        steps = plan.steps
        planned = {*plan.drift, *(step.path for step in steps)}
        moved = (path for path in changed if own.get(path) != target.get(path))
        job.right = frozenset(path for path in moved if path not in planned)
        if strayed:
            # This node stands on a revision that the cluster never knew: what it loses is kept.
            # Where it is known what is its alone, the rest is an update like any other.
            known = base is not own
            steps = tuple(
                step
                if known and base.get(step.path) == own.get(step.path)
                else replace(step, keep=step.keep or Keep.CONFLICT)
                for step in steps
            )
        if self._state.unsent:
            # Edits from when this node led are no drift: nobody was ever asked about them.
            steps = tuple(_as_conflict(step) for step in steps)
        job.steps = self.ordered(job, tuple(self._kept(job, step) for step in steps))

    def _strayed(self, job: Job) -> bool:
        """Tell whether the job leads away from a revision that its line surely does not have."""
        standing, parent = self._state.standing.revision, job.parent
        if parent is None or parent == standing:
            return False
        after_parent = standing[:2] > parent[:2] and standing.epoch < job.revision.epoch
        # Numbers rise along a line, and epochs do not fall.
        beside_parent = standing.epoch < parent.epoch and standing.number >= parent.number
        aside = after_parent or beside_parent or self._state.alone == standing
        return standing > job.revision or aside

    def _kept(self, job: Job, step: Step) -> Step:
        """Have displaced bytes kept that the history would not keep.

        It keeps what a revision's record names, as long as the record. It was never sent what was
        here before, it has no record of what lies between two revisions where only the manifest
        came, and what was withheld was named by a record that may be gone by now.
        """
        if step.keep is not None or step.expected is None:
            return step
        if not self._state.has_blob(step.expected):
            return replace(step, keep=Keep.CONFLICT)
        changes = job.record.changes if job.record is not None else ()
        named = any(
            change.path == step.path
            and change.before is not None
            and change.before.digest == step.expected
            for change in changes
        )
        return step if named else replace(step, keep=Keep.DELETED)

    def _policy(self, job: Job, path: ArtifactPath) -> DriftPolicy:
        settings = self._state.settings
        if job.only is not None and path in job.only:
            return REVERT
        if job.why in {Why.OWN, Why.CATCH_UP} or settings.writers is Writers.ANY:
            return LEAVE
        tree = next(tree for tree in settings.trees if tree.name == path.tree)
        met = tree.name not in unmet(self._state)
        return REVERT if met and tree.drift is Drift.REVERT else LEAVE

    def _kind(self, path: ArtifactPath) -> Kind:
        return kind_of(self._observing.views[path.tree].kind, path.path)

    def _name(self, job: Job) -> Callable[[ArtifactPath, Digest], str | None]:
        def name(path: ArtifactPath, _digest: Digest) -> str | None:
            examined = job.examined.get(path) or self._observing.examined(path)
            return examined.facts.name if examined else None

        return name

    def ordered(self, job: Job, steps: tuple[Step, ...]) -> tuple[Step, ...]:
        """Return the steps in the order in which the runtime should meet them."""
        return order_steps(steps, self._kind, self._name(job))

    def cross_check(self, job: Job) -> tuple[tuple[Refused, ...], tuple[ArtifactPath, ...]]:
        """Check what was staged against the rest of the trees: duplicates break the runtime.

        Return what is refused, and the paths where this node holds what no revision asked for and
        what claims the same.
        """
        index = self._observing.index
        overruled = self._overruled(job)
        for path in (*overruled, *(step.path for step in job.steps)):
            if path not in job.examined:
                index.forget(path)
        for path, examined in job.examined.items():
            index.take(path, self._kind(path), examined.facts)
        checked = dict.fromkeys(job.examined)
        if job.why is Why.OWN:
            # What is there already (a refused file that is restored) becomes part of the revision too.
            checked |= dict.fromkeys(c.path for c in job.changes or () if c.after is not None)
        # What the job changes has no older right to its names than what stays.
        settled, index.settled = index.settled, _Unmoved(index.settled, {s.path for s in job.steps})
        problems = [
            Refused(path, problem)
            for path in checked
            for problem in self._errors(index.problems(path))
        ]
        index.settled = settled
        if job.why is Why.OWN:
            problems.extend(self._lasting_clashes(job))
            problems.extend(leftout.waiting(job, self._observing))
        for path, examined in overruled.items():
            index.take(path, self._kind(path), examined.facts)
        # Whoever would keep the name by the index's order: the runtime meets both.
        rivals = {rival for path in checked for rival in index.rivals(path)}
        rivals.update(row.path for row in problems)
        strays = tuple(sorted(rival for rival in rivals if self._is_stray(job, rival)))
        if problems or strays:
            self.uncheck(job)
        return tuple(problems), strays

    def _overruled(self, job: Job) -> dict[ArtifactPath, Examined]:
        """Return what this node refuses of its own trees: it keeps no name from a revision."""
        if job.why is not Why.OWN:
            return {}
        moved = {change.path for change in job.changes or ()}
        known = ((path, self._observing.examined(path)) for path in self._state.refused)
        return {
            path: examined
            for path, examined in known
            if examined is not None and examined.valid and path not in moved
        }

    def _lasting_clashes(self, job: Job) -> list[Refused]:
        """Return what claims something that stays in the revision, though the trees differ there."""
        changes = tuple(job.changes or ())
        facts = {
            change.path: known.facts
            for change in changes
            if change.after is not None
            and (known := job.examined.get(change.path) or self._observing.examined(change.path))
        }
        clashes = self.lasting.clashes(changes, facts)
        if clashes is None:
            wait = Problem("busy", "what stays in the revision is being looked at: try again")
            clashes = dict.fromkeys(list(facts)[:1], wait)
        return [Refused(path, problem) for path, problem in clashes.items()]

    def uncheck(self, job: Job) -> None:
        """Have the index say what is there, after it was asked about a job that comes to nothing."""
        for step in job.steps:
            known = self._observing.examined(step.path)
            if known is not None and known.valid:
                self._observing.index.take(step.path, self._kind(step.path), known.facts)
            else:
                self._observing.index.forget(step.path)

    def _is_stray(self, job: Job, path: ArtifactPath) -> bool:
        """Tell whether what is at `path` is this node's own doing, and not the job's."""
        if job.why is Why.OWN or job.target is None:
            return False
        wanted = job.target.get(path)
        for step in job.steps:
            if step.path == path:
                # What stands in for the revision's version may have a name that comes with it.
                return step.after is not None and step.after != wanted
        return self._observing.observed(path) != (wanted.digest if wanted else None)

    def is_outdated(self, job: Job) -> bool:
        """Tell whether a job has to be planned anew before it is made live: its node has looked since.

        Somebody, or the runtime, has written meanwhile: what was planned may write over that.
        """
        over = job.over != self._state.exemptions
        return over or self._is_undone(job) or self._meets_others(job)

    def _is_undone(self, job: Job) -> bool:
        """Tell whether something that was right when the job was planned is as before the job again.

        A tree that had lost its files has them back, say: what goes with this job would stay, as if
        somebody had made it anew. Other bytes are an edit that comes after the job, and so is what was
        written here and is taken back here.
        """
        if job.record is not None and job.record.author == self._state.me:
            return False
        base = self._state.base
        left = job.right.difference(step.path for step in job.steps)
        return any(self._observing.observed(path) == _digest(base.get(path)) for path in left)

    def _meets_others(self, job: Job) -> bool:
        """Tell whether a node that has never stood anywhere has come by other artifacts meanwhile.

        It has waited for its runtime, say. They were not there when it was judged whether a person has
        to say yes to this first contact.
        """
        state = self._state
        if state.standing.revision.number or job.why is not Why.OFFER:
            return False
        return judge_job(state, job, (), self._observing.views) is not None

    def displace(self, job: Job, strays: tuple[ArtifactPath, ...]) -> Manifest:
        """Add steps that put the revision's version (or nothing) where strays stand; they are kept.

        Return this node's rows of the revision, for what is exempt to be laid over them anew.

        Otherwise one stray file that happens to have a name of the revision would keep this node
        from every revision to come. Nor is it exempt any more: the runtime wrote it back, say. What
        is withheld stays so: the version before it is put back, or nothing.
        """
        assert job.target is not None, "planned already"
        job.lift |= self._state.exempt.keys() & set(strays)
        steps = [step for step in job.steps if step.path not in strays]
        for path in strays:
            seen = self._observing.observed(path)
            wanted = self._put_back(job, path, seen)
            job.examined.pop(path, None)
            if isinstance(seen, str):
                steps.append(Step(path, seen, wanted, Keep.CONFLICT))
        job.forced |= set(strays)
        job.steps = self.ordered(job, tuple(steps))
        return job.target.project(self._state.settings.tree_names)

    def _put_back(
        self, job: Job, path: ArtifactPath, seen: Digest | Unknown | None
    ) -> Entry | None:
        """Return what replaces a stray; notes it in the job where the revision's own is withheld."""
        assert job.target is not None, "planned already"
        withheld = job.withheld if job.withheld is not None else self._state.withheld
        exemption = withheld.get(path)
        if exemption is None or exemption.because is not Because.WITHHELD:
            return job.target.get(path)
        before = exemption.here if path not in job.forced else None
        if before is not None and (
            before.digest == seen or not self._state.has_blob(before.digest)
        ):
            before = None
        job.instead[path] = before
        return before

    @staticmethod
    def _errors(problems: tuple[Problem, ...]) -> list[Problem]:
        return [problem for problem in problems if problem.severity is Severity.ERROR]
