"""The manager's gate: what its own runtime has not proved, and what any runtime refused, waits.

A change is noted as on trial before it is declared, so that no crash lets it slip by. The answer
of this node's runtime, or its deadline, lets the workers have it; a refusal stops its group, here
or at a worker, and becomes a hold that a person approves (have it in spite of that) or rejects
(put back what was there before, everywhere, by a new revision). With `on_reject = "rollback"` the
manager rejects by itself, with `continue` it goes on.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.node import rows
from syncagent.agent.node.job import Job, Why
from syncagent.core import trials as t
from syncagent.core.artifact import ArtifactPath, Kind, TreeName, kind_of, stem_of
from syncagent.core.change import Change
from syncagent.core.groups import groups
from syncagent.core.ledger import StandingChange
from syncagent.core.outcome import Deployment
from syncagent.core.revision import Revision, RevisionId
from syncagent.core.runtime import Phase
from syncagent.core.safety import Hold, HoldReason, hold_id, set_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.deploying import Deploying
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import Peer, State
    from syncagent.core.outcome import Outcome
    from syncagent.core.verdict import Examined

AWAY_S = 60.0
"""For so long the canary may be away (a restart) before changes go on without its word."""
DECLARED_MAX = 100_000
ROLLED_BACK = "rolled-back"
UNTRIED = frozenset({Kind.ROOT, Kind.FILE})
"""Kinds of which a running deployer says nothing."""


class Trying:
    """Knows what is on trial while this node leads; keeps it in the ledger."""

    def __init__(
        self, state: State, observing: Observing, advancing: Advancing, deploying: Deploying
    ) -> None:
        self._state = state
        self._observing = observing
        self._advancing = advancing
        self._deploying = deploying
        self.trials = t.from_note(state.standing.notes.get(t.NOTE, ""))
        self._gone_at: float | None = None
        self._rolling: dict[int, frozenset[ArtifactPath]] = {}
        self._rolled: frozenset[ArtifactPath] = frozenset()
        self._refused: tuple[t.Trial, ...] = ()
        self._refused_at = 0.0
        self._declared: dict[ArtifactPath, int] = {}
        self._known: set[int] = set()
        self.changed: Callable[[float], None] = lambda _now: None
        """Called when workers may get more, or less, than before."""

    # --- what workers wait for --------------------------------------------------------------

    def rolled_back(self, since: float) -> list[t.Trial]:
        """Return what a runtime refused and was put back since `since`, the last time only."""
        return list(self._refused) if self._refused_at >= since else []

    @property
    def has_canary(self) -> bool:
        """True if this node's own runtime tries changes first."""
        canary = self._state.settings.rollout.canary == "manager"
        here = self._deploying.runtime.phase in {Phase.READY, Phase.STARTING}
        return canary and self._deploying.about.answers and here

    @property
    def withheld(self) -> frozenset[ArtifactPath]:
        """The paths that workers don't get for now."""
        number = self._state.standing.revision.number
        told = {path: trial for path, trial in self.trials.items() if trial.revision <= number}
        waiting = t.withheld(told, nacks_stop=self._nacks_stop)
        # What this node's own manager withheld from it before it led was not proved either.
        return waiting | self._state.withheld.keys() if self._state.withheld else waiting

    @property
    def _is_stuck(self) -> bool:
        """True if the canary's deployer is dead: one of what it has not proved may have killed it."""
        canary = self._state.settings.rollout.canary == "manager"
        return canary and self._deploying.runtime.phase is Phase.STUCK

    @property
    def _rolls_back(self) -> bool:
        return self._state.settings.rollout.on_reject == "rollback"

    @property
    def _nacks_stop(self) -> bool:
        return self._state.settings.rollout.on_reject != "continue"

    def nothing_for(self, standing: RevisionId | None) -> bool:
        """Tell whether all that was declared since `standing` waits: an offer would bring nothing."""
        newest = self._state.standing.revision
        if standing is None or standing >= newest or not self.trials:
            return False
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
        held = [h.id for h in self._state.holds.values() if h.reason is HoldReason.NACKED]
        if held:
            return f"waits for a decision: {held[0]} is held on {self._state.me}"
        return f"waits for the runtime of {self._state.me}"

    # --- beginning --------------------------------------------------------------------------

    def declaring(
        self,
        changes: Sequence[Change],
        revision: int,
        examined: Mapping[ArtifactPath, Examined] | None = None,
    ) -> None:
        """Put the changes of a revision that is about to be declared on trial.

        `examined` are verdicts on bytes that are not in the trees yet.
        """
        if len(self._declared) > DECLARED_MAX:
            self._declared.clear()
            self._known.clear()
        self._declared.update((change.path, revision) for change in changes)
        self._known.add(revision)
        if self._rolled.intersection(change.path for change in changes):
            self._rolled = frozenset()
            self._state.alarm(ROLLED_BACK, None)
        if not self.has_canary and not self.trials:
            return
        tried = [c for c in changes if self._is_tried(c)] if self.has_canary else []
        group_of = self._groups(tried, examined or {}) if tried else {}
        self._note(t.begun(self.trials, changes, group_of, revision))

    def committing(self, job: Job) -> None:
        """A job of this node's own is about to be made live: what it brings is on trial."""
        state = self._state
        if job.why is Why.OWN and job.changes and job.txid not in self._rolling:
            self.declaring(job.changes, job.revision.number, job.examined)
        elif job.why is Why.REPAIR and state.leads and job.withheld is not None:
            lifted = [e for path, e in state.withheld.items() if path not in job.withheld]
            changes = [Change(e.path, e.here, state.rows.get(e.path)) for e in lifted]
            self.declaring(changes, state.standing.revision.number, job.examined)

    def _is_tried(self, change: Change) -> bool:
        return self._kind(change.path) not in UNTRIED

    def _kind(self, path: ArtifactPath) -> Kind:
        return kind_of(self._state.settings.tree_kinds[path.tree], path.path)

    def _groups(
        self, changes: Sequence[Change], fresh: Mapping[ArtifactPath, Examined]
    ) -> dict[ArtifactPath, str]:
        """Return the group of each change; deletions alone are not tried, they only undeploy."""
        known = {
            ArtifactPath(view.name, path): (kind_of(view.kind, path), examined.facts)
            for name in {change.path.tree for change in changes}
            for view in (self._observing.views[name],)
            for path, examined in view.examined.items()
        }
        known.update((path, (self._kind(path), examined.facts)) for path, examined in fresh.items())
        by_path = groups(known)
        puts = {c.path: str(by_path.get(c.path, c.path)) for c in changes if c.after is not None}
        halves = {gone: puts[new] for gone, new in t.ties(changes).items() if new in puts}
        return {**puts, **halves}

    # --- answers ----------------------------------------------------------------------------

    def answered(self, outcome: Outcome, now: float) -> None:
        """This node's runtime has said (or not said in time) what became of an artifact."""
        trial = self.trials.get(outcome.path)
        if trial is None or not _is_about(trial, outcome.digest):
            return
        if outcome.state is Deployment.REJECTED:
            self._nack(trial, self._state.me, outcome.reason, now)
        elif outcome.state is Deployment.DEPLOYED and trial.nacked_by == self._state.me:
            # It was tried once more, and taken.
            self._note({**self.trials, trial.path: replace(trial, nacked_by="", reason="")})
            self._prove({trial.path}, now)
        elif outcome.state is not Deployment.PENDING and not trial.proven:
            if outcome.state is Deployment.UNKNOWN:
                self._state.event("untried", path=str(trial.path), reason=outcome.reason)
            self._prove({trial.path}, now)

    def reported(self, peer: Peer, now: float) -> None:
        """A worker has told what its runtime did: a refusal of what is on trial stops its group."""
        if not self._state.leads:
            return
        for row in rows.listed(peer.report, "outcomes"):
            if row.get("state") != str(Deployment.REJECTED):
                continue
            trial = self.trials.get(_path_of(row))
            if trial is not None and _is_about(trial, str(row.get("digest"))):
                self._nack(trial, peer.name, str(row.get("reason") or ""), now)
        self._end(now)

    def _prove(self, paths: set[ArtifactPath], now: float) -> None:
        """Let trials pass; the deletions that are tied to them pass with their group's last one."""
        made = {p: t.proven(trial) if p in paths else trial for p, trial in self.trials.items()}
        open_groups = {
            trial.group for trial in made.values() if not trial.proven and trial.after is not None
        }
        for path, trial in made.items():
            if trial.after is None and trial.group not in open_groups:
                made[path] = t.proven(trial)
        self._note(made)
        self._end(now)
        self.changed(now)

    def _nack(self, trial: t.Trial, by: str, reason: str, now: float) -> None:
        if trial.nacked_by:
            return
        self._state.event("nacked", path=str(trial.path), node=by, reason=reason)
        self._note({**self.trials, trial.path: replace(trial, nacked_by=by, reason=reason)})
        self.tick(now)
        self.changed(now)

    def _end(self, now: float) -> None:
        """Forget what every runtime that there is has taken."""
        open_groups = {tr.group for tr in self.trials.values() if tr.nacked_by or not tr.proven}
        peers = [peer for peer in self._state.peers.values() if peer.link is not None]
        if not all(self.acked(peer) for peer in peers):
            return
        left = {path: trial for path, trial in self.trials.items() if trial.group in open_groups}
        if len(left) != len(self.trials):
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
        return told and here and isinstance(row, dict) and not row.get("pending")

    # --- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Keep the holds, carry out what a person decided, go on without a canary that is away."""
        if not self._state.leads:
            self._list_holds({})
            return
        self._mind_canary(now)
        holds: dict[str, Hold] = {}
        for group in t.stopped_groups(self.trials, stuck=self._is_stuck).values():
            hold = self._hold(group)
            if hold.set_digest in self._state.approved or not self._nacks_stop:
                self._let_pass(group, hold, now)
            elif self._rolls_back and any(trial.nacked_by for trial in group):
                self.roll_back(hold, now)
            else:
                holds[hold.id] = hold
        self._list_holds(holds)

    def _mind_canary(self, now: float) -> None:
        """Go on without a canary that is away, or that can't try anything any more."""
        if self.has_canary or self._is_stuck:
            self._gone_at = None
            return
        if self._gone_at is None:
            self._gone_at = now
        untried = {p for p, tr in self.trials.items() if not (tr.proven or tr.nacked_by)}
        if untried and now >= self._gone_at + AWAY_S:
            for path in sorted(untried):
                self._state.event("untried", path=str(path), reason="no runtime answers here")
            self._prove(untried, now)

    def next_at(self) -> float | None:
        """Return when to go on without the canary."""
        return self._gone_at + AWAY_S if self._gone_at is not None and self.trials else None

    def _let_pass(self, group: Sequence[t.Trial], hold: Hold, now: float) -> None:
        self._state.use_up((hold.set_digest,))
        left = {path: trial for path, trial in self.trials.items() if trial not in group}
        self._note(left)
        self.changed(now)

    def _hold(self, group: Sequence[t.Trial]) -> Hold:
        """Return the hold of a group that a runtime refused."""
        changes = [trial.change for trial in group]
        digest = set_digest(changes)
        first = next((trial for trial in group if trial.nacked_by), group[0])
        kind = self._kind(first.path)
        examined = self._observing.examined(first.path)
        name = (examined.facts.name if examined else None) or stem_of(first.path.path)
        ident = hold_id(HoldReason.NACKED, digest)
        what = (
            f"the runtime of {first.nacked_by} refused {kind}/{name}: {first.reason}. Mend it"
            if first.nacked_by
            else f"the deployer of {self._state.me} died before it had taken up {kind}/{name}: it may"
            " be what killed it. Restart that runtime"
        )
        text = (
            f"{what}, or syncagent reject {ident} to put back what was there before, or syncagent"
            f" approve {ident} to go on: nobody else gets its group ({len(group)} artifacts) meanwhile"
        )
        return Hold(
            ident,
            self._state.me,
            first.path.tree,
            HoldReason.NACKED,
            digest,
            tuple(trial.path for trial in group),
            text,
        )

    def _list_holds(self, holds: dict[str, Hold]) -> None:
        known = self._state.holds
        for name in [
            n for n, h in known.items() if h.reason is HoldReason.NACKED and n not in holds
        ]:
            del known[name]
            self._state.event("hold-ended", id=name, reason=HoldReason.NACKED)
        for name, hold in holds.items():
            if name not in known:
                known[name] = hold
                self._state.event("held", id=name, reason=hold.reason, text=hold.text)

    # --- going back -------------------------------------------------------------------------

    def roll_back(self, hold: Hold, now: float) -> bool:
        """Begin to put back what was there before a refused group; False while that can't be."""
        state, token = self._state, self._state.token
        if self._advancing.job is not None or state.recording or token is None:
            return False
        group = [self.trials[path] for path in hold.paths if path in self.trials]
        standing = state.standing
        changes = tuple(
            Change(trial.path, here, trial.before)
            for trial in group
            if (here := standing.manifest.get(trial.path)) != trial.before
        )
        if not changes:
            self._note({p: trial for p, trial in self.trials.items() if trial not in group})
            return False
        target = standing.manifest.after(changes)
        own = RevisionId(token.epoch, standing.revision.number + 1, target.digest)
        first = next((trial for trial in group if trial.nacked_by), group[0])
        by = first.nacked_by or f"{state.me}, whose deployer died"
        note = f"rollback of {first.path}: refused by the runtime of {by}"
        job = Job(
            self._advancing.next_txid(),
            Why.OWN,
            own,
            parent=standing.revision,
            token=token,
            changes=changes,
            target=target,
            record=Revision(own, standing.revision, changes, state.me, note),
        )
        self._rolling[job.txid] = frozenset(trial.path for trial in group)
        self._refused, self._refused_at = tuple(tr for tr in group if tr.nacked_by), now
        state.event("rollback", path=str(first.path), node=first.nacked_by, reason=first.reason)
        self._advancing.begin(job, now)
        return True

    def finished(self, job: Job, fault: str | None, now: float) -> None:
        """A job has ended: a group that was put back is on trial no more."""
        paths = self._rolling.pop(job.txid, frozenset())
        if paths and fault is None:
            self._note({p: trial for p, trial in self.trials.items() if p not in paths})
            self._rolled = paths
            self._state.alarm(
                ROLLED_BACK,
                f"revision {job.revision.number} put back what a runtime refused: the Publisher is"
                " ahead of the gateways until it publishes again",
            )
            self.changed(now)

    def _note(self, trials: t.Trials) -> None:
        """Have these trials, durably before whatever is decided next."""
        if trials != self.trials:
            self.trials = trials
            self._state.note(StandingChange(notes={t.NOTE: t.to_note(trials)}))
            self._state.changed = True


def answers(peer: Peer) -> bool:
    """Tell whether a worker has a runtime that says, now, what became of what it gets."""
    runtime = peer.report.get("runtime")
    if not isinstance(runtime, dict) or not runtime.get("answers"):
        return False
    return runtime.get("phase") in {str(Phase.READY), str(Phase.STARTING)}


def _is_about(trial: t.Trial, digest: str) -> bool:
    return trial.after is not None and trial.after.digest == digest


def _path_of(row: Mapping[str, object]) -> ArtifactPath:
    return ArtifactPath(TreeName(str(row.get("tree"))), str(row.get("path")))
