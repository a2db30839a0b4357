"""What the node decides to have done. Values only.

The node never acts: it appends effects, the hands carry them out and post a result (`results`).
Effects of one lane are carried out in order; lanes run beside each other (`lanes`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.agent.lease_effects import LeaseEffect
from syncagent.agent.share_effects import ShareEffect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.intent import Intent, Keep, Step
    from syncagent.core.ledger import StandingChange
    from syncagent.core.manifest import Entry, Manifest
    from syncagent.core.outcome import Outcome
    from syncagent.core.revision import Revision, Token
    from syncagent.core.runtime import Order
    from syncagent.core.wire.messages import Blobs, Delta, Message, Want


# --- effects: looking -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """Look at some paths of a tree. Result: Looked or Scanned with a bad condition."""

    tree: TreeName
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scan:
    """Look at a whole tree. Result: Scanned."""

    tree: TreeName


@dataclass(frozen=True, slots=True)
class StartWatch:
    """Watch a tree (again). Result: Watching."""

    tree: TreeName


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """Take this identity, or whatever is found next (None), for the tree's own."""

    tree: TreeName
    identity: str | None


@dataclass(frozen=True, slots=True)
class Shun:
    """Leave a tree alone: its file system does not answer, as `why` says; "" ends it.

    Scans go on. Whoever carries this out must not wait for a hand: a hand may be what hangs.
    """

    tree: TreeName
    why: str


# --- effects: committing --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AdmitToken:
    """Have the guard admit a token. Result: TokenAdmitted or TokenRefused."""

    token: Token
    link: int | None
    forced: bool = False


@dataclass(frozen=True, slots=True)
class StageOwn:
    """Stage steps whose bytes the history (or the tree itself) has. Result: Staged."""

    txid: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class StageBlobs:
    """Verify, validate, keep and stage what came over the wire. Result: Staged.

    `last`: nothing else is to come, so that all may be made durable in one go. `files` tells how
    large the set is that it belongs to, `end` that no more of it is to come.
    """

    txid: int
    blobs: Blobs | Delta
    steps: tuple[Step, ...]
    last: bool = False
    files: int = 0
    end: bool = False


@dataclass(frozen=True, slots=True)
class JudgedBlobs:
    """Finish a `StageBlobs` that was staged before its verdicts came. Result: Staged.

    One hand asks it of another; the node never does.
    """

    staged: StageBlobs


@dataclass(frozen=True, slots=True)
class KeepBlobs:
    """Verify and keep blobs that no step needs now. Result: BlobsKept.

    `job` is who waits for it: a proposal, the txid of a job below zero, or 0 for nobody.
    """

    job: int
    blobs: Blobs | Delta


@dataclass(frozen=True, slots=True)
class Seal:
    """Make what was staged durable. Result: Sealed or StageFailed."""

    txid: int


@dataclass(frozen=True, slots=True)
class Discard:
    """Drop what was staged."""

    txid: int


@dataclass(frozen=True, slots=True)
class CommitIntent:
    """Under the guard's lock with `token` re-checked: make the intent live, enter it in the ledger.

    `token` None: the node's own repair, under whatever token the guard holds. Result: CommitDone,
    CommitFenced or CommitFailed.
    """

    token: Token | None
    intent: Intent
    change: StandingChange
    revision: Revision | None


@dataclass(frozen=True, slots=True)
class Recover:
    """Finish a commit that the disk refused half-way. Result: CommitDone or CommitFailed.

    `token`: what to finish it under, where others write the same trees (then CommitFenced, too).
    """

    intent: Intent
    change: StandingChange
    revision: Revision | None
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Declare:
    """Make a revision, its new blobs and notes durable. Result: Declared or DeclareFailed."""

    token: Token
    revision: Revision
    blobs: tuple[tuple[ArtifactPath, Entry], ...]
    read: bool = False
    """Read all of `blobs` once more, also what the history has: what was seen may be of a cache."""
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Note:
    """Append small facts to the ledger. Result: Noted."""

    change: StandingChange


@dataclass(frozen=True, slots=True)
class Backfill:
    """Put live bytes into the history that a revision names and the history lacks.

    A node whose trees held a revision already never got its bytes; with them it can repair itself.
    """

    rows: tuple[tuple[ArtifactPath, Entry], ...]


@dataclass(frozen=True, slots=True)
class Recall:
    """Say what artifacts declare that the history has and the trees may not. Result: Recalled."""

    rows: tuple[tuple[ArtifactPath, Digest], ...]


@dataclass(frozen=True, slots=True)
class Tidy:
    """Forget what is older than its retention: revisions, blobs, quarantine.

    `needed` blobs stay; quarantined bytes go by age (s; None: they are for another node to tidy) and
    total size (bytes).
    """

    needed: tuple[Digest, ...]
    older_than_s: float | None
    bytes_max: int


@dataclass(frozen=True, slots=True)
class SaveCache:
    """Write the scan cache, if it changed."""


@dataclass(frozen=True, slots=True)
class Discover:
    """See whether the gateway has trees that were not there at start: then the agent starts anew."""


@dataclass(frozen=True, slots=True)
class KeepFile:
    """Copy bytes of a path into quarantine: the live ones, or what the history has of `digest`."""

    path: ArtifactPath
    digest: Digest
    reason: Keep
    detail: str


# --- effects: the runtime -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listen:
    """Begin to hear the local runtime, from where it was heard last.

    Wished for once, when it is known of every tree what is in it: sayings are about artifacts.
    """


@dataclass(frozen=True, slots=True)
class TellRuntime:
    """Tell the local runtime what was made live, or (`ask`) have it say what it has of it."""

    order: Order
    ask: bool = False


@dataclass(frozen=True, slots=True)
class Touch:
    """Raise the mtime of live files whose bytes are (still) these. Result: Touched."""

    files: tuple[tuple[ArtifactPath, Digest], ...]
    token: Token | None = None
    """What to touch them under, where others write the same trees; None: they are this node's."""


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep what the runtime did, forget what is gone, and up to where the runtime was heard."""

    outcomes: tuple[Outcome, ...]
    gone: tuple[ArtifactPath, ...] = ()
    mark: str | None = None


# --- effects: peers -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Acquire:
    """Take the right to be manager, with an epoch above `floor`. Result: Elected or NotElected.

    `promoted`: a person said so.
    """

    floor: int
    promoted: bool


@dataclass(frozen=True, slots=True)
class Resign:
    """Somebody has admitted `highest_epoch`: a right below it is given back, a next one is above it."""

    highest_epoch: int


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect to a peer, one attempt."""

    peer: NodeName


@dataclass(frozen=True, slots=True)
class Send:
    """Send a message."""

    link: int
    message: Message


@dataclass(frozen=True, slots=True)
class Hangup:
    """Close a connection."""

    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class Serve:
    """Answer a `Want`: `manifest` is that of the wanted revision, None if this node has not got it."""

    link: int
    want: Want
    manifest: Manifest | None


@dataclass(frozen=True, slots=True)
class Report:
    """Remember an event, and log it."""

    what: str
    fields: Mapping[str, str | int]
    at: float | None = None
    """When it happened, on people's clock; None: now."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer a request of the desk: a JSON value, or an error."""

    request: int
    result: object
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Fetch:
    """Have a hand bring what disk or history knows; `argument` is JSON. Result: Fetched."""

    request: int
    what: str
    argument: str


Effect = (
    Look
    | Scan
    | StartWatch
    | TrustRoot
    | Shun
    | AdmitToken
    | StageOwn
    | StageBlobs
    | JudgedBlobs
    | KeepBlobs
    | Seal
    | Discard
    | CommitIntent
    | Recover
    | Declare
    | Note
    | KeepFile
    | Backfill
    | Recall
    | Tidy
    | SaveCache
    | Discover
    | Listen
    | TellRuntime
    | Touch
    | Remember
    | Acquire
    | Resign
    | LeaseEffect
    | ShareEffect
    | Dial
    | Send
    | Hangup
    | Serve
    | Report
    | Reply
    | Fetch
)
