"""Moving this node from where it stands to where it shall stand: one job at a time.

Gather the manifest, judge, gather the blobs, stage, seal, and then either wait for the manager's
word (an offer) or commit at once (own work). Everything before the commit can be dropped at any
point; after it, only finished.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import CommitIntent, Discard, Recover, Seal, Send
from syncagent.agent.node.gathering import Gathering
from syncagent.agent.node.goingwithout import leave, leave_the_rest
from syncagent.agent.node.job import (
    Job,
    Stage,
    Why,
    answer_stray,
    judge_job,
    own_changes,
    paths_of,
    take_rows,
    tell,
    tell_done,
    tell_refused,
)
from syncagent.agent.node.planning import Planning
from syncagent.agent.node.sharing import read_only, stands_only, txid_floor
from syncagent.core.diff import diff
from syncagent.core.intent import Intent
from syncagent.core.wire.messages import Blobs, Delta, Failed, Fenced, Prepared, Want

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.lasting import Lasting
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.agent.results import (
        BlobsKept,
        CommitDone,
        CommitFailed,
        CommitFenced,
        Staged,
        StageFailed,
    )
    from syncagent.core.manifest import Manifest
    from syncagent.core.revision import RevisionId
    from syncagent.core.verdict import Refused
    from syncagent.core.wire.messages import ManifestPart

STUCK_RETRY_S = 30.0
"""How often a commit that the disk refuses half-way is finished anew: a full disk is emptied by hand."""


class Advancing:
    """The node's one job. `finished` is told of each job that ends: None means it went well."""

    def __init__(self, state: State, observing: Observing) -> None:
        self._state = state
        self._observing = observing
        self._planning = Planning(state, observing)
        self.gathering = Gathering(state)
        self.job: Job | None = None
        self.wanted: Manifest | None = None
        """This node's rows of an offer that waits for a person or for `apply`, for `diff`."""
        self.lay: Callable[[Job, Manifest], Manifest] = lambda _job, rows: rows
        """What a job leads to on this node, given its rows of the revision (see `exempting`)."""
        self.may_write: Callable[[], bool] = lambda: True
        """False while the runtime would miss what is written."""
        self.committing: Callable[[Job], None] = lambda _job: None
        """Told of each job just before it is made live."""
        self.finished: Callable[[Job, str | None, float], None] = lambda _job, _fault, _now: None
        self._txid = state.standing.txid

    @property
    def lasting(self) -> Lasting:
        """What stays in the revision while the trees hold something else."""
        return self._planning.lasting

    # --- beginning --------------------------------------------------------------------------

    def next_txid(self) -> int:
        """Return a txid above all that this node has used, and all that wrote here before it."""
        self._txid = max(self._txid, self._state.standing.txid, txid_floor(self._state)) + 1
        return self._txid

    def begin(self, job: Job, now: float) -> None:
        """Take on a job; one that is under way and can be dropped is dropped for it."""
        assert self.job is None or self.job.interruptible, "a commit is never dropped"
        self.drop("superseded", now)
        self.job = job
        job.since, job.whole = now, self._state.in_place
        job.fence = self._state.fence
        if job.target is None and job.changes is not None:
            target = self._state.standing.manifest.after(job.changes)
            if job.parent == self._state.standing.revision and target.digest == job.revision.digest:
                job.target = target
            else:
                job.changes = None
        if job.target is None:
            self._ask(Want(job.revision, manifest=True))
        else:
            self._judge(job, now)

    def drop(self, why: str, now: float) -> None:
        """Drop the job, if there is one that can be dropped."""
        job = self.job
        if job is None or not job.interruptible:
            return
        self.job = None
        if job.steps:
            self._state.do(Discard(job.txid))
        if job.phase in {Stage.SEALING, Stage.READY}:
            self._planning.uncheck(job)
        if job.hold is not None:
            self._state.holds.pop(job.hold.id, None)
        self.finished(job, why, now)

    def give_back(self, why: str, now: float) -> None:
        """Drop the job, if there is one that can be dropped, and tell who offered it."""
        if self.job is not None and self.job.interruptible:
            self._decline(self.job, "failed", why, now)

    def link_down(self, link: int, now: float) -> None:
        """A job that hangs on this connection can't go on."""
        if self.job is not None and self.job.link == link:
            self.drop("the connection is gone", now)

    # --- the manifest -----------------------------------------------------------------------

    def manifest_part(self, link: int, part: ManifestPart, now: float) -> None:
        """Take rows of the manifest that was asked for."""
        job = self.job
        if job is None or job.link != link or job.phase is not Stage.MANIFEST:
            return
        if part.revision != job.revision:
            return
        fault = take_rows(job, part)
        if fault is not None:
            self._decline(job, "manifest", fault, now)
        elif job.target is not None:
            self._judge(job, now)

    # --- judging and planning ---------------------------------------------------------------

    def say_again(self, now: float) -> None:
        """Tell the manager again how far an offer is: it asked again."""
        job = self.job
        if job is None or job.link is None:
            return
        if job.phase is Stage.READY:
            self._state.do(Send(job.link, Prepared(job.revision)))
        elif job.phase in {Stage.HELD, Stage.TREES}:
            self._judge(job, now)

    def reconsider(self, now: float) -> None:
        """Go on with a job that waited for a tree or a person."""
        job = self.job
        if job is not None and job.phase in {Stage.TREES, Stage.HELD}:
            self._judge(job, now)

    def _judge(self, job: Job, now: float) -> None:
        assert job.target is not None, "the manifest comes first"
        if job.hold is not None:
            self._state.holds.pop(job.hold.id, None)
            job.hold = None
        rows = job.target.project(self._state.settings.tree_names)
        target = self.lay(job, rows)
        job.over = self._state.exemptions
        changes = own_changes(self._state, job, target)
        if stands_only(self._state, job):
            read_only(self._state, self._observing, job, changes)
            self._gather(job, now)
            return
        reason = self._planning.wait_for_trees(job, changes)
        if job.waits_for and job.why in {Why.OWN, Why.REPAIR}:
            # A person's wish: it would hold up the other trees for no one.
            self._fail(job, reason, now)
            return
        if job.waits_for:
            job.phase = Stage.TREES
            tell(self._state, job, "tree", reason)
            return
        # All that the revision brings is judged at once, what is withheld of it too.
        whole = changes if not job.withheld else diff(self._state.base, rows)
        hold = judge_job(self._state, job, whole, self._observing.views)
        waits = hold is not None or not self._state.settings.apply
        self.wanted = target if waits and job.why is Why.OFFER else None
        self._planning.plan(job, target, [change.path for change in changes])
        if not self._state.settings.apply and job.steps:
            why = f"apply = false: {len(job.steps)} changes not made"
            self._decline(job, "observing", why, now)
            return
        if hold is not None:
            job.phase, job.hold = Stage.HELD, hold
            self._state.holds[hold.id] = hold
            self._state.event("held", id=hold.id, reason=hold.reason, text=hold.text)
            tell(self._state, job, "held", hold.text, hold.id)
            return
        self._gather(job, now)

    # --- gathering, staging -----------------------------------------------------------------

    def _gather(self, job: Job, now: float) -> None:
        self._gathered(job, self.gathering.begin(job), now)

    def _gathered(self, job: Job, fault: str | None, now: float) -> None:
        if fault is not None:
            self._fail(job, fault, now)
        elif self.gathering.complete(job):
            self._staged_all(job, now)

    def blobs(self, link: int, message: Blobs | Delta) -> bool:
        """Take blobs; return whether they belong to this node's job."""
        job = self.job
        if job is None or job.link != link or job.phase is not Stage.BLOBS:
            return False
        self.gathering.blobs(job, message)
        return True

    def ahead(self, link: int, message: Blobs | Delta) -> None:
        """Take blobs that nobody asked for: the manager's, ahead of its offer."""
        self.gathering.ahead(link, message)

    def missing(self, link: int, revision: object, now: float) -> None:
        """The asked node has not got what is needed (any more)."""
        job = self.job
        if job is None or job.link != link or job.revision != revision:
            return
        if job.reads is None or job.phase is not Stage.BLOBS:
            self._fail(job, "the other node has not got the bytes any more", now)
        else:
            self._gathered(job, self.gathering.without(job), now)

    def kept(self, result: BlobsKept, now: float) -> None:
        """Take that something is in the history."""
        job = self.job
        if job is not None and job.txid == -result.job and job.phase is Stage.BLOBS:
            self._gathered(job, self.gathering.kept(job) or result.fault or None, now)

    def staged(self, result: Staged, now: float) -> None:
        """Take what was staged."""
        job = self.job
        if job is None or job.txid != result.txid or job.phase is not Stage.BLOBS:
            return
        fault = self.gathering.staged(job, result)
        if result.refused and not leave(job, result.refused, self._state, self._observing):
            self._refuse(job, result.refused, now)
        else:
            self._gathered(job, fault, now)

    def _staged_all(self, job: Job, now: float) -> None:
        if job.leaving:
            leave_the_rest(job, self._state, self._observing)
            self._state.do(Discard(job.txid))
            self._judge(job, now)
            return
        refused, strays = self._planning.cross_check(job)
        if strays:
            self.lay(job, self._planning.displace(job, strays))
            job.over = self._state.exemptions
            self._state.do(Discard(job.txid))
            self._gather(job, now)
            return
        if refused:
            self._refuse(job, refused, now)
            return
        if job.examined and any(step.after is None for step in job.steps):
            # Only now names are known: a deletion may be half of a rename.
            job.steps = self._planning.ordered(job, job.steps)
        if not job.sealed and any(step.after for step in job.steps):
            job.phase = Stage.SEALING
            self._state.do(Seal(job.txid))
        else:
            self._ready(job, now)

    def sealed(self, txid: int, now: float) -> None:
        """All that was staged is durable."""
        if self.job is not None and self.job.txid == txid and self.job.phase is Stage.SEALING:
            self._ready(self.job, now)

    def stage_failed(self, result: StageFailed, now: float) -> None:
        """Staging failed: nothing live has changed."""
        job = self.job
        if job is not None and job.txid == result.txid and job.interruptible:
            self._state.alarm("disk", result.reason)
            self._decline(job, "disk", result.reason, now)

    # --- committing -------------------------------------------------------------------------

    def _ready(self, job: Job, now: float) -> None:
        job.phase = Stage.READY
        if job.why is Why.OFFER and not job.go:
            if job.link is not None:
                self._state.do(Send(job.link, Prepared(job.revision)))
        elif not self.may_write():
            job.reason = "the runtime is starting and would miss it"
        elif job.why is Why.OFFER:
            self.commit(job.link, job.revision, now)
        else:
            self._commit(job, now)

    def commit(self, link: int | None, revision: RevisionId, now: float) -> None:
        """The manager's word: make it live, as soon as it is ready."""
        job = self.job
        if job is None or job.link != link or job.revision != revision:
            answer_stray(self._state, link, revision)
            return
        job.go = True
        if job.phase is Stage.READY and self.may_write():
            self._commit(job, now)

    def _commit(self, job: Job, now: float) -> None:
        if self._planning.is_outdated(job):
            self._planning.uncheck(job)
            self._state.do(Discard(job.txid))
            self._judge(job, now)
            return
        self.committing(job)
        job.phase = Stage.COMMITTING
        intent = Intent(job.txid, job.revision, job.steps)
        self._state.do(CommitIntent(job.token or job.fence, intent, job.change, job.record))

    def committed(self, result: CommitDone, now: float) -> None:
        """The commit is live and in the ledger."""
        job = self.job
        if job is None or job.txid != result.txid:
            return
        self.job = None
        touched = [(step.path, job.examined.get(step.path)) for step in job.steps]
        paths = paths_of(job, result.change)
        self._state.stand(result.change, job.laid | job.lift)
        self.wanted = None
        self._observing.committed(touched, self._state.base)
        self._observing.rebase(self._state.base, paths)
        self._state.use_up(job.used)
        tell_done(self._state, job, result)
        self.finished(job, None, now)

    def fenced(self, result: CommitFenced, now: float) -> None:
        """The token was overtaken: nothing live changed."""
        job = self.job
        if job is None or job.txid != result.txid:
            return
        self.job = None
        self._planning.uncheck(job)
        self._state.do(Discard(job.txid))
        highest = result.state.highest if result.state else None
        if job.link is not None and job.why is Why.OFFER:
            self._state.do(Send(job.link, Fenced(highest, result.reason)))
        self.finished(job, result.reason, now)

    def failed(self, result: CommitFailed, now: float) -> None:
        """The disk refused. Before the first step: dropped. After it: finished later."""
        job = self.job
        if job is None or job.txid != result.txid:
            return
        self._state.alarm("disk", result.reason)
        if result.stuck:
            job.phase, job.retry_at, job.reason = Stage.STUCK, now + STUCK_RETRY_S, result.reason
            return
        job.phase = Stage.READY
        if job.link is not None and job.why is Why.OFFER:
            self._state.do(Send(job.link, Failed(job.revision, result.reason)))
        self.drop(result.reason, now)

    def tick(self, now: float) -> None:
        """Finish what is stuck, go on with what waited."""
        job = self.job
        if job is not None and job.phase is Stage.STUCK and now >= job.retry_at:
            job.retry_at = now + STUCK_RETRY_S
            intent = Intent(job.txid, job.revision, job.steps)
            self._state.do(Recover(intent, job.change, job.record, job.fence))
        goes = job is not None and job.phase is Stage.READY and (job.go or job.why is not Why.OFFER)
        if job is not None and goes and self.may_write():
            self._ready(job, now)
        waits = job is not None and job.phase is Stage.TREES
        if job is not None and waits and not self._observing.unready(job.waits_for):
            self._judge(job, now)

    # --- saying no --------------------------------------------------------------------------

    def _ask(self, want: Want) -> None:
        assert self.job is not None, "only a job asks"
        if self.job.link is not None:
            self._state.do(Send(self.job.link, want))

    def _decline(self, job: Job, code: str, reason: str, now: float) -> None:
        tell(self._state, job, code, reason)
        self.drop(reason, now)

    def _fail(self, job: Job, reason: str, now: float) -> None:
        self._state.event("job-failed", why=job.why, reason=reason)
        self._decline(job, "failed", reason, now)

    def _refuse(self, job: Job, refused: tuple[Refused, ...], now: float) -> None:
        self.drop(tell_refused(self._state, job, refused), now)
