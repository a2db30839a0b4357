"""One way from where a node stands to where it shall stand: the record of it, and its plan."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from syncagent.agent.effects import Backfill, Report, Send
from syncagent.core.artifact import ArtifactPath, Kind, TreeName
from syncagent.core.change import Change
from syncagent.core.diff import diff
from syncagent.core.entry import Entry
from syncagent.core.exempt import NONE_WITHHELD, NOTE, WITHHELD_NOTE, withheld_to_note
from syncagent.core.intent import Keep
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Manifest
from syncagent.core.safety import first_contact_hold, judge_changes, set_digest
from syncagent.core.snapshot import Seen
from syncagent.core.wire.messages import Declined, Done

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.agent.node.state import State
    from syncagent.agent.node.treeview import TreeView
    from syncagent.agent.results import CommitDone
    from syncagent.core.digest import Digest
    from syncagent.core.exempt import Exemption, Exemptions
    from syncagent.core.intent import Kept, Step
    from syncagent.core.revision import Revision, RevisionId, Token
    from syncagent.core.safety import Hold
    from syncagent.core.verdict import Examined, Problem, Refused
    from syncagent.core.wire.messages import ManifestPart


Name = tuple[TreeName, Kind | None, str]
"""What others call an artifact; the kinds that share their names have None for a kind."""
ROWS_MAX = 2_000_000
"""Rows of a manifest that are taken in: twenty trees of the largest size that settings allow."""


class Why(StrEnum):
    """Who wants the node to move."""

    OFFER = "offer"
    """the manager: prepare, then wait for its word"""
    OWN = "own"
    """this node, as manager: a proposal, a restore, a rollback"""
    CATCH_UP = "catch-up"
    """this node, about to lead: the newest revision that the survey found"""
    REPAIR = "repair"
    """this node: its own trees drifted from the revision on which it stands"""


class Stage(StrEnum):
    """How far a job is."""

    MANIFEST = "manifest"
    TREES = "trees"
    HELD = "held"
    BLOBS = "blobs"
    SEALING = "sealing"
    READY = "ready"
    COMMITTING = "committing"
    STUCK = "stuck"


@dataclass(slots=True)
class Job:
    """The node's one job. `link` is who is asked for what is missing, and told."""

    txid: int
    why: Why
    revision: RevisionId
    parent: RevisionId | None = None
    token: Token | None = None
    link: int | None = None
    changes: tuple[Change, ...] | None = None
    target: Manifest | None = None
    record: Revision | None = None
    released: tuple[Digest, ...] = ()
    only: frozenset[ArtifactPath] | None = None
    """A repair of these paths alone, whatever the tree's policy: a person asked for it."""
    withhold: frozenset[ArtifactPath] | None = None
    """What the manager withholds with this offer; None: what is withheld stays so."""
    withheld_as: Digest = NONE_WITHHELD
    withheld: Exemptions | None = None
    """What is withheld once the job is done; None while it is not planned."""
    laid: frozenset[ArtifactPath] = frozenset()
    lift: frozenset[ArtifactPath] = frozenset()
    """Exemptions of the node's own making that begin, and that end, with this job."""
    forced: frozenset[ArtifactPath] = frozenset()
    """What can't be left for later: it has a name that something of this job claims."""
    instead: dict[ArtifactPath, Entry | None] = field(default_factory=dict)
    """What stands there meanwhile, where its version is withheld."""
    left: dict[ArtifactPath, Problem] = field(default_factory=dict)
    """What this node goes without, and why: its validation refused it, or what it needs."""
    leaving: bool = False
    """True while it is still planned with some of that."""
    tripping: frozenset[ArtifactPath] = frozenset()
    """What the deployer here will stumble over: nothing else is to be updated beside it."""
    over: Mapping[ArtifactPath, Exemption] = field(default_factory=dict)
    """The exemptions that it was planned over."""
    note: str | None = None
    """The ledger's note of those exemptions as they are after it."""
    phase: Stage = Stage.MANIFEST
    since: float = 0.0
    rows: list[tuple[ArtifactPath, Entry]] = field(default_factory=list)
    steps: tuple[Step, ...] = ()
    right: frozenset[ArtifactPath] = frozenset()
    """What it moves and has no step for: just that was there when it was planned."""
    whole: bool = False
    """Nothing of it may be left out: what this node does it does for all of them."""
    fence: Token | None = None
    """What it is done under then, as long as that is believed."""
    moves: tuple[Change, ...] = ()
    reads: tuple[Step, ...] | None = None
    """Of a job without steps: what only goes into the history. None: it has steps (see `sharing`)."""
    lacking: dict[Digest, list[Step]] = field(default_factory=dict)
    asked: set[Digest] = field(default_factory=set)
    asked_bytes: int = 0
    staging: int = 0
    tried_share: bool = False
    on_share: bool = False
    """True while the share is looked at for what is lacking; counted as a staging."""
    sealed: bool = False
    """True while everything that was staged is known to be durable."""
    examined: dict[ArtifactPath, Examined] = field(default_factory=dict)
    waits_for: tuple[TreeName, ...] = ()
    """Trees of this node that have to be believed before it goes on."""
    without: frozenset[Name] = frozenset()
    """Names of what was refused of the proposal before: what needs one of them waits with it."""
    refused: tuple[Refused, ...] = ()
    """Why it ended, where validation ended it."""
    hold: Hold | None = None
    used: tuple[Digest, ...] = ()
    go: bool = False
    retry_at: float = 0.0
    reason: str = ""
    files_total: int = 0
    bytes_total: int = 0

    @property
    def interruptible(self) -> bool:
        """False once the commit was handed to disk."""
        return self.phase not in {Stage.COMMITTING, Stage.STUCK}

    @property
    def change(self) -> StandingChange:
        """The ledger record that ends this job."""
        notes: dict[str, str] = {}
        if self.withheld is not None:
            notes[WITHHELD_NOTE] = withheld_to_note(self.withheld_as, self.withheld)
        if self.note is not None:
            notes[NOTE] = self.note
        if self.why is Why.REPAIR or self.again:
            return StandingChange(txid=self.txid, notes=notes)
        if self.changes is not None:
            return StandingChange(
                revision=self.revision, changes=self.changes, txid=self.txid, notes=notes
            )
        return StandingChange(
            revision=self.revision, manifest=self.target, txid=self.txid, notes=notes
        )

    @property
    def again(self) -> bool:
        """True if it leads to the revision on which the node stands: less of it is withheld."""
        return self.why is Why.OFFER and self.parent == self.revision


def writes(job: Job | None, path: ArtifactPath) -> bool:
    """Tell whether a commit that can't be dropped any more may write at `path`."""
    if job is None or job.interruptible:
        return False
    return any(step.path == path for step in job.steps)


def done_of(state: State) -> Done:
    """Return how this node says where it stands."""
    return Done(state.standing.revision, state.rows.digest, state.withheld_as)


def answer_stray(state: State, link: int | None, revision: RevisionId) -> None:
    """Answer the word for what is live already, or not prepared (any more): silence lasts."""
    if link is None:
        return
    if revision == state.standing.revision:
        state.do(Send(link, done_of(state)))
    else:
        state.do(Send(link, Declined(revision, "failed", "it is not prepared here")))


def take_rows(job: Job, part: ManifestPart) -> str | None:
    """Take rows of the manifest; the last ones make it the target. Return why that can't be."""
    job.rows.extend(part.rows)
    if len(job.rows) > ROWS_MAX:
        return f"the manifest has more than {ROWS_MAX} rows"
    if not part.last:
        return None
    target = Manifest.of(job.rows)
    job.rows.clear()
    if target.digest != job.revision.digest:
        return "the manifest that came is not the revision's"
    job.target = target
    return None


def own_changes(state: State, job: Job, target: Manifest) -> tuple[Change, ...]:
    """Return how this node's rows change, from where it stands to `target` (already projected)."""
    exempt = state.exempt or state.withheld or job.withheld is not None or job.note is not None
    if job.changes is None or exempt:
        return diff(state.base, target)
    mine = set(state.settings.tree_names)
    return tuple(change for change in job.changes if change.path.tree in mine)


def paths_of(job: Job, change: StandingChange) -> list[ArtifactPath] | None:
    """Return where what a node should hold may be other after a job; None: anywhere."""
    if change.notes or (job.changes is None and job.why is not Why.REPAIR):
        return None
    return [each.path for each in job.changes or ()]


def made_by(job: Job) -> list[Change]:
    """Return what the steps of a finished job have changed on disk."""
    return [
        Change(step.path, Entry(step.expected, 0) if step.expected else None, step.after)
        for step in job.steps
    ]


def told_of(job: Job) -> Mapping[str, str | int]:
    """Return what the event of a finished job tells."""
    return {"why": job.why, "revision": job.revision.number, "changes": len(job.steps)}


def tell_done(state: State, job: Job, result: CommitDone) -> None:
    """Say what the commit of a job has done, to people, to the manager, and for the next answers."""
    unkept = rows_without_blobs(state, job)
    if unkept:
        state.do(Backfill(unkept))
    state.remember_made(made_by(job))
    state.alarm("disk", None)
    state.do(Report("committed", told_of(job), result.at))
    take_displaced(state, job, result.committed.kept)
    if job.why is Why.OFFER and job.link is not None:
        state.do(Send(job.link, done_of(state)))


def tell(state: State, job: Job, code: str, reason: str, hold: str = "") -> None:
    """Say why a job does not go on (for now), to whoever offered it."""
    job.reason = reason
    state.changed = True
    if job.why is Why.OFFER and job.link is not None:
        state.do(Send(job.link, Declined(job.revision, code, reason, hold)))


def tell_refused(state: State, job: Job, refused: tuple[Refused, ...]) -> str:
    """Say that validation has ended a job; return the reason in short."""
    first, job.refused = refused[0], refused
    reason = f"{first.path}: {first.problem.reason}"
    for row in refused:
        state.event("refused", path=str(row.path), reason=row.problem.reason)
    if job.why is Why.OFFER and job.link is not None:
        state.do(Send(job.link, Declined(job.revision, "refused", reason, refused=refused)))
    return reason


def take_displaced(state: State, job: Job, kept: tuple[Kept, ...]) -> None:
    """Take what the commit of a job has displaced: its steps say from now on what was there.

    What a step did not expect was put there while the commit ran: until its end whatever the runtime
    says may be about that.
    """
    conflicts = {row.path: row.digest for row in kept if row.reason is Keep.CONFLICT}
    job.steps = tuple(
        replace(step, expected=conflicts.get(step.path, step.expected)) for step in job.steps
    )
    for row in kept:
        state.event("kept", id=row.id, path=str(row.path), reason=row.reason)


def rows_without_blobs(state: State, job: Job) -> tuple[tuple[ArtifactPath, Entry], ...]:
    """Return what a finished job found in place: nothing of it came over the wire or was staged."""
    if job.why is Why.REPAIR:
        return ()
    moved = {step.path for step in job.steps}
    named = ((c.path, c.after) for c in job.changes or () if c.path.tree in state.base.trees)
    candidates = state.base if job.changes is None else named
    return tuple(
        (path, entry)
        for path, entry in candidates
        if entry is not None and path not in moved and state.base.get(path) == entry
        if not state.has_blob(entry.digest)
    )


def judge_job(
    state: State, job: Job, changes: tuple[Change, ...], views: Mapping[TreeName, TreeView]
) -> Hold | None:
    """Return why this job has to wait for a person, None if it may go on.

    A released set counts at a worker that stands on the revision's parent: it sees what was shown.
    """
    if job.why is Why.REPAIR or job.target is None or job.again or job.reads is not None:
        return None  # what was withheld was judged with its revision
    if state.standing.revision.number == 0 and job.why is not Why.OWN:
        return _first_contact(state, job, views)
    approved = set(state.approved)
    if job.parent == state.standing.revision:
        approved.update(job.released)
        approved.update(_released_updates(state, job, changes))
    judgement = judge_changes(changes, state.base, state.rules, vanished=(), approved=approved)
    job.used = judgement.released
    return judgement.holds[0] if judgement.holds else None


def _released_updates(state: State, job: Job, own: tuple[Change, ...]) -> tuple[Digest, ...]:
    """Return the name of this node's part of updates that were released as a whole.

    Deletions are judged tree by tree, but updates over all trees: a node with fewer sees a part.
    """
    assert job.target is not None, "judged only when the target is known"
    if not job.released:
        return ()
    whole = job.changes if job.changes is not None else diff(state.standing.manifest, job.target)
    if set_digest(_updates(whole)) not in job.released:
        return ()
    return (set_digest(_updates(own)),)


def _updates(changes: tuple[Change, ...]) -> list[Change]:
    return [change for change in changes if change.before is not None and change.after is not None]


def _first_contact(state: State, job: Job, views: Mapping[TreeName, TreeView]) -> Hold | None:
    """Hold a node that has never stood anywhere and whose trees hold something else."""
    assert job.target is not None, "judged only when the target is known"
    clashes: list[Change] = []
    adds: list[Change] = []
    for name, view in sorted(views.items()):
        wanted = job.target.tree(name)
        for path, seen in sorted(view.files.items()):
            if isinstance(seen, Seen) and seen.entry != wanted.get(path):
                clashes.append(Change(ArtifactPath(name, path), seen.entry, wanted.get(path)))
        adds.extend(
            Change(ArtifactPath(name, path), None, entry)
            for path, entry in sorted(wanted.items())
            if path not in view.files
        )
    if not clashes:
        return None
    hold = first_contact_hold(state.me, tuple(clashes + adds))
    if hold.set_digest in state.approved:
        job.used = (hold.set_digest,)
        return None
    return hold
