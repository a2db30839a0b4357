"""The manager's gate: what its own runtime has not proved, and what any runtime refused, waits.

A change is noted as on trial before it is declared, so that no crash lets it slip by. The answer
of this node's runtime, or its deadline, lets the workers have it; a refusal stops its group, here
or at a worker (`refusals`). Answers are looked up, not counted: whatever was missed, what is known
of an artifact now decides.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.node import rows
from syncagent.agent.node.job import Why
from syncagent.agent.node.outcomes import Taking, taking
from syncagent.agent.node.peer import Phase as Progress
from syncagent.agent.node.refusals import Refusals, inherited
from syncagent.core import trials as t
from syncagent.core.artifact import ArtifactPath, TreeName, kind_of
from syncagent.core.change import Change
from syncagent.core.exempt import Because
from syncagent.core.groups import groups, groups_of
from syncagent.core.ledger import StandingChange
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import REASON_MAX, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.deploying import Deploying
    from syncagent.agent.node.job import Job
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.node.state import State
    from syncagent.core.artifact import Kind
    from syncagent.core.outcome import Outcome
    from syncagent.core.revision import RevisionId
    from syncagent.core.verdict import Examined

    Verdicts = Mapping[ArtifactPath, Examined]

AWAY_S = 60.0
"""For so long the canary may be away (a restart), or have nothing to say of a change that it should
know, before changes go on without its word."""
DECLARED_MAX = 100_000
LOOK_S = 1.0
"""How often what is on trial is looked up, if nobody tells that something was answered."""
A_LOOK_PER_S = 2_000
"""Trials that may be looked up in a second: a first sync has ten thousand."""


class Trying:
    """Knows what is on trial while this node leads; keeps it in the ledger."""

    def __init__(
        self, state: State, observing: Observing, advancing: Advancing, deploying: Deploying
    ) -> None:
        self._state = state
        self._observing = observing
        self._deploying = deploying
        # Where all runtimes deploy from the same files nothing is tried on one of them first.
        noted = "" if state.in_place else state.standing.notes.get(t.NOTE, "")
        listed = set(state.settings.tree_names)
        self.trials = {p: trial for p, trial in t.from_note(noted).items() if p.tree in listed}
        self.refusals = Refusals(state, observing, advancing)
        self._gone_at: float | None = None
        self._is_back_soon = False
        """True while a canary that was here is here, or gone for less than a restart takes."""
        self._since: dict[ArtifactPath, float] = {}
        self._untried: dict[str, list[ArtifactPath]] = {}
        self._answered = True
        self._looked_at = 0.0
        self._stood_on: RevisionId | None = None
        self._declared: dict[ArtifactPath, int] = {}
        self._known: set[int] = set()
        self._waiting: frozenset[ArtifactPath] = frozenset()
        self._waiting_by: tuple[object, object, object] = (None, None, None)
        self.changed: Callable[[float], None] = lambda _now: None
        """Called when workers may get more, or less, than before."""

    # --- what workers wait for --------------------------------------------------------------

    @property
    def has_canary(self) -> bool:
        """True if this node's own runtime tries changes first."""
        canary = self._state.rollout.canary == "manager"
        here = self._deploying.runtime.phase in {Phase.READY, Phase.STARTING}
        return canary and self._deploying.about.answers and here

    @property
    def withheld(self) -> frozenset[ArtifactPath]:
        """The paths that workers don't get for now."""
        number = self._state.standing.revision.number
        # Neither is ever changed in place: the same objects say the same.
        trials, withheld, rest = self._waiting_by
        same = trials is self.trials and withheld is self._state.withheld
        if not same or rest != (number, self._nacks_stop):
            told = {path: trial for path, trial in self.trials.items() if self._is_told(trial)}
            waiting = t.withheld(told, nacks_stop=self._nacks_stop)
            # What this node's own manager withheld from it before it led was not proved either.
            self._waiting = waiting | self._state.withheld.keys()
            self._waiting_by = self.trials, self._state.withheld, (number, self._nacks_stop)
        return self._waiting

    def _is_told(self, trial: t.Trial) -> bool:
        """Tell whether the revision has what is on trial, or what it is to replace and was no better.

        Until the new version is declared, and if it never is, the refused one before it still waits.
        """
        standing = self._state.standing
        return (
            trial.revision <= standing.revision.number
            or standing.manifest.get(trial.path) != trial.before
        )

    @property
    def _is_stuck(self) -> bool:
        """True if the canary's deployer is dead: one of what it has not proved may have killed it."""
        canary = self._state.rollout.canary == "manager"
        return canary and self._deploying.runtime.phase is Phase.STUCK

    @property
    def _nacks_stop(self) -> bool:
        return self._state.rollout.on_reject != "continue"

    def nothing_for(self, standing: RevisionId | None) -> bool:
        """Tell whether all that was declared since `standing` waits: an offer would bring nothing."""
        newest = self._state.standing.revision
        if standing is None or standing.number >= newest.number or not self.trials:
            return False  # one of the same number that is not ours was declared by somebody else
        since = range(standing.number + 1, newest.number + 1)
        if not self._known.issuperset(since):
            return False
        waiting = self.withheld
        return all(
            path in waiting for path, number in self._declared.items() if number > standing.number
        )

    @property
    def why_waiting(self) -> str:
        """Say what whoever gets nothing waits for: a person, or this node's runtime."""
        held = self.refusals.holds
        if held:
            return f"waits for a decision: {held[0].id} is held on {self._state.me}"
        return f"waits for the runtime of {self._state.me}"

    # --- beginning --------------------------------------------------------------------------

    def declaring(
        self,
        changes: Sequence[Change],
        revision: int,
        examined: Verdicts | None = None,
    ) -> None:
        """Put the changes of a revision that is about to be declared on trial.

        `examined` are verdicts on bytes that are not in the trees yet.
        """
        if len(self._declared) > DECLARED_MAX:
            self._declared.clear()
            self._known.clear()
        self._declared.update((change.path, revision) for change in changes)
        self._known.add(revision)
        self.refusals.overtaken_by(changes)
        configured = self._state.rollout.canary == "manager"
        unheard = configured and self._deploying.readiness.unheard
        canary = self.has_canary or self._is_back_soon or unheard
        if not canary and not self.trials:
            return
        tried = [c for c in changes if self._is_tried(c)] if canary else []
        group_of = self._groups(tried, examined or {}) if tried else {}
        self._note(t.begun(self.trials, changes, group_of, revision))

    def committing(self, job: Job) -> None:
        """A job of this node's own is about to be made live: what it brings is on trial."""
        state = self._state
        if job.why is Why.OWN and job.changes and not self.refusals.is_rollback(job):
            self.declaring(job.changes, job.revision.number, job.examined)
        elif job.why is Why.REPAIR and state.leads and job.withheld is not None:
            lifted = [e for path, e in state.withheld.items() if path not in job.withheld]
            changes = [Change(e.path, e.here, state.rows.get(e.path)) for e in lifted]
            self.declaring(changes, state.standing.revision.number, job.examined)

    def _is_tried(self, change: Change) -> bool:
        return taking(self._deploying.about, self._kind(change.path)) is Taking.HOT

    def _kind(self, path: ArtifactPath) -> Kind:
        return kind_of(self._state.settings.tree_kinds[path.tree], path.path)

    def _groups(self, changes: Sequence[Change], fresh: Verdicts) -> dict[ArtifactPath, str]:
        """Return the group of each change; deletions alone are not tried, they only undeploy."""
        paths = [change.path for change in changes if change.after is not None]
        index = self._observing.index
        few = None if fresh else groups_of(paths, index.users, index.uses)
        if few is None:
            known = self._observing.artifacts({change.path.tree for change in changes})
            few = groups({**known, **{p: (self._kind(p), e.facts) for p, e in fresh.items()}})
        puts = {path: str(few.get(path, path)) for path in paths}
        halves = {gone: puts[new] for gone, new in t.ties(changes).items() if new in puts}
        return {**puts, **halves}

    # --- answers ----------------------------------------------------------------------------

    def answered(self, _outcome: Outcome, _now: float) -> None:
        """This node's runtime has said (or not said in time) what became of an artifact."""
        self._answered = True

    def _look(self, now: float) -> None:
        """See what is known by now of all that is on trial."""
        pause = LOOK_S if not self._answered else len(self.trials) / A_LOOK_PER_S / 2
        if not self.trials or now < self._looked_at + pause:
            return
        told, self._answered, self._looked_at = self._answered, False, now
        number = self._state.standing.revision.number
        # What is proven already is only looked up again if something was said.
        made = {
            path: self._judged(trial, now)
            if trial.after is not None and trial.revision <= number and (told or not trial.proven)
            else trial
            for path, trial in self.trials.items()
        }
        self._tell_untried()
        self._take(made, now)

    def _judged(self, trial: t.Trial, now: float) -> t.Trial:
        """Return a trial as this node's runtime has judged it by now."""
        assert trial.after is not None, "what is taken away is not judged"
        outcome = self._deploying.outcome(trial.path, trial.after.digest)
        if outcome.state is Deployment.PENDING:
            return trial
        if outcome.state is Deployment.REJECTED:
            return self._nacked(trial, self._state.me, outcome.reason)
        if outcome.state is Deployment.DEPLOYED:
            mine = trial.nacked_by == self._state.me
            # It may have been tried once more, and taken.
            now_taken = replace(trial, nacked_by="", reason="") if mine else trial
            return now_taken if now_taken.proven else t.proven(now_taken)
        if trial.proven or trial.nacked_by or self._is_early(trial, now):
            return trial
        if outcome.state is Deployment.UNKNOWN:
            self._untried.setdefault(outcome.reason, []).append(trial.path)
        return t.proven(trial)

    def _tell_untried(self) -> None:
        """Say what goes on untried: as one event for each reason, however many there are."""
        told, self._untried = self._untried, {}
        for reason, paths in told.items():
            more = f" and {len(paths) - 1} others" if len(paths) > 1 else ""
            self._state.event("untried", path=f"{min(paths)}{more}", reason=reason)

    def _is_early(self, trial: t.Trial, now: float) -> bool:
        """Tell whether nothing is known of what should be known, and that for not long yet."""
        exemption = self._state.exempt.get(trial.path)
        if exemption is not None and exemption.because is Because.UNDEPLOYED:
            # A person took it away before it was tried: that is no proof, and it comes back.
            self._since.pop(trial.path, None)
            return True
        known = self._deploying.outcomes.get(trial.path)
        if known is not None and trial.after is not None and known.digest == trial.after.digest:
            return False
        return now < self._since.setdefault(trial.path, now) + AWAY_S

    def _nacked(self, trial: t.Trial, by: str, reason: str) -> t.Trial:
        if trial.nacked_by:
            return trial
        reason = " ".join(reason.split())[:REASON_MAX]
        self._state.event("nacked", path=str(trial.path), node=by, reason=reason)
        return replace(trial, nacked_by=by, reason=reason)

    def _take(self, made: t.Trials, now: float) -> None:
        """Have these trials; deletions that are tied to others pass with their group's last one."""
        untold = {tr.group for tr in made.values() if not tr.proven and tr.after is not None}
        for path, trial in made.items():
            if trial.after is None and trial.group not in untold and not trial.proven:
                made[path] = t.proven(trial)
        if made != self.trials:
            self._note(made)
            self.changed(now)
        self._end()

    def reported(self, peer: Peer, now: float) -> None:
        """A worker has told what its runtime did: a refusal of what is on trial stops its group."""
        made = dict(self.trials)
        for row in rows.listed(peer.report, "outcomes"):
            trial = made.get(_path_of(row))
            refused = row.get("state") == str(Deployment.REJECTED)
            tried = trial.after if trial is not None else None
            if trial and tried and refused and tried.digest == row.get("digest"):
                made[trial.path] = self._nacked(trial, peer.name, str(row.get("reason") or ""))
        self._take(made, now)
        self.tick(now)

    def _end(self) -> None:
        """Forget what every runtime that there is has taken."""
        open_groups = {tr.group for tr in self.trials.values() if tr.nacked_by or not tr.proven}
        left = {path: trial for path, trial in self.trials.items() if trial.group in open_groups}
        if len(left) == len(self.trials):
            return
        peers = [peer for peer in self._state.peers.values() if peer.link is not None]
        # Who only observes, or is held, may say no for weeks: nobody waits for its runtime.
        if all(peer.phase is Progress.DECLINED or self.acked(peer) for peer in peers):
            self._note(left)

    def acked(self, peer: Peer) -> bool:
        """Tell whether a worker has said of all that it got what became of it."""
        if peer.standing != self._state.standing.revision:
            return False
        if not answers(peer):
            return True
        row = peer.report.get("row")
        told = peer.report.get("withheld") == peer.withheld and not peer.report.get("portions")
        here = isinstance(row, dict) and row.get("revision") == peer.standing.number
        # A tenant that is being loaded says of all its artifacts; no commit waits for that.
        owed = peer.report.get("owed", row.get("pending") if isinstance(row, dict) else None)
        return told and here and not owed

    def take_over(self) -> None:
        """Go on holding what the last manager held of what it withheld from this node."""
        self._note({**inherited(self._state), **self.trials})

    def _drop_overtaken(self) -> None:
        """Forget trials of what the revision does not have (any more)."""
        standing = self._state.standing
        if self._stood_on != standing.revision:
            self._stood_on = standing.revision
            self._note(t.current(self.trials, standing.manifest, standing.revision.number))

    # --- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """See what was answered, keep the holds, go on without a canary that is away."""
        if not self._state.leads:
            self.refusals.forget()
            return
        self._drop_overtaken()
        self._look(now)
        self._mind_canary(now)
        stopped = t.stopped_groups(self.trials, stuck=self._is_stuck)
        held = self.refusals.holds
        over = self.refusals.keep(list(stopped.values()), now)
        if over:
            self._note({path: tr for path, tr in self.trials.items() if path not in over})
        if over or self.refusals.holds != held:
            # Who waits is told for what.
            self.changed(now)

    def finished(self, job: Job, fault: str | None, now: float) -> None:
        """A job has ended: a group that was put back is on trial no more."""
        paths = self.refusals.finished(job, fault, now)
        if paths:
            self._note({path: tr for path, tr in self.trials.items() if path not in paths})
            self.changed(now)

    def _mind_canary(self, now: float) -> None:
        """Go on without a canary that is away, or that can't try anything any more."""
        if self.has_canary or self._is_stuck:
            self._gone_at, self._is_back_soon = None, self._is_back_soon or self.has_canary
            return
        if self._gone_at is None:
            self._gone_at = now
        if now >= self._gone_at + AWAY_S:
            self._is_back_soon = False
        untried = {p for p, tr in self.trials.items() if not (tr.proven or tr.nacked_by)}
        if untried and now >= self._gone_at + AWAY_S:
            self._untried = {"no runtime answers here": list(untried)}
            self._tell_untried()
            made = {p: t.proven(tr) if p in untried else tr for p, tr in self.trials.items()}
            self._take(made, now)

    def next_at(self) -> float | None:
        """Return when there is something to look up, or when to go on without the canary."""
        if not self.trials or not self._state.leads:
            return None
        if self._gone_at is not None:
            untried = any(not (tr.proven or tr.nacked_by) for tr in self.trials.values())
            return self._gone_at + AWAY_S if untried else None
        pause = LOOK_S if not self._answered else len(self.trials) / A_LOOK_PER_S / 2
        return self._looked_at + pause

    def _note(self, trials: t.Trials) -> None:
        """Have these trials, durably before whatever is decided next."""
        if trials != self.trials:
            self.trials = trials
            self._since = {path: at for path, at in self._since.items() if path in trials}
            self._state.note(StandingChange(notes={t.NOTE: t.to_note(trials)}))
            self._state.changed = True


def answers(peer: Peer) -> bool:
    """Tell whether a worker has a runtime that says, now, what became of what it gets."""
    runtime = peer.report.get("runtime")
    if not isinstance(runtime, dict) or not runtime.get("answers"):
        return False
    return runtime.get("phase") in {str(Phase.READY), str(Phase.STARTING)}


def _path_of(row: Mapping[str, object]) -> ArtifactPath:
    return ArtifactPath(TreeName(str(row.get("tree"))), str(row.get("path")))
