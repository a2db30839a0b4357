"""What came of effects, and what is asked of the node. Values only; see `effects`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.guard import GuardState
    from syncagent.core.intent import Committed, Kept
    from syncagent.core.ledger import StandingChange
    from syncagent.core.revision import Revision, RevisionId, Token
    from syncagent.core.settings import Settings
    from syncagent.core.snapshot import Seen, Snapshot, Unread
    from syncagent.core.verdict import Examined, Facts, Refused
    from syncagent.core.wire.messages import Blobs


@dataclass(frozen=True, slots=True)
class Looked:
    """What Look saw; `examined` holds verdicts on bytes that were read."""

    tree: TreeName
    seen: Mapping[str, Seen | Unread | None]
    examined: Mapping[str, Examined]


@dataclass(frozen=True, slots=True)
class Scanned:
    """What Scan saw. `started` is the instant at which it began; `identity` the root's."""

    tree: TreeName
    snapshot: Snapshot
    examined: Mapping[str, Examined]
    started: float
    identity: str | None


@dataclass(frozen=True, slots=True)
class Watching:
    """How a tree is watched, in words; `fault` if it is not."""

    tree: TreeName
    how: str
    fault: str = ""


@dataclass(frozen=True, slots=True)
class TokenAdmitted:
    """The guard holds `token`, durably."""

    token: Token
    state: GuardState
    link: int | None


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """The guard does not admit `token`."""

    token: Token
    state: GuardState | None
    reason: str
    link: int | None


@dataclass(frozen=True, slots=True)
class Elected:
    """The right to be manager is ours, under `token`."""

    token: Token


@dataclass(frozen=True, slots=True)
class NotElected:
    """It is not; `lost` if it was, under `token`."""

    reason: str
    lost: bool = False
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class StoodBack:
    """This node tries no more to lead, and the lease was given back if the store could be asked."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """The agent is told to end; it is asked for with `Depart`, when nothing is left to be finished."""


@dataclass(frozen=True, slots=True)
class Staged:
    """What is beside the tree now. `refused` is what validation would not let through.

    `sealed`: it is durable already, with all that was staged before.
    """

    txid: int
    digests: tuple[Digest, ...]
    examined: Mapping[ArtifactPath, Examined]
    refused: tuple[Refused, ...] = ()
    lacking: tuple[Digest, ...] = ()
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class ShareRead:
    """Bytes of a job that the share had; `why` says why there is not more, if that is known."""

    txid: int
    blobs: tuple[Blobs, ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class BlobsKept:
    """Blobs of a proposal are in the history, durable with the next ledger record."""

    job: int
    digests: tuple[Digest, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Sealed:
    """All that was staged under `txid` is durable."""

    txid: int


@dataclass(frozen=True, slots=True)
class StageFailed:
    """Staging or sealing failed; nothing live changed."""

    txid: int
    reason: str


@dataclass(frozen=True, slots=True)
class CommitDone:
    """The intent is live and in the ledger."""

    txid: int
    committed: Committed
    change: StandingChange
    at: float
    """When the ledger had it, on people's clock."""


@dataclass(frozen=True, slots=True)
class CommitFenced:
    """The token was no longer the admitted one: nothing live changed."""

    txid: int
    state: GuardState | None
    reason: str


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """It failed. `stuck`: after the first step, so that recovery has to finish it."""

    txid: int
    reason: str
    stuck: bool


@dataclass(frozen=True, slots=True)
class Declared:
    """The revision is durable here, with its notes."""

    revision: Revision
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeclareFailed:
    """It is not; `changed` are paths whose bytes were no longer there to be read."""

    revision: RevisionId
    reason: str
    changed: tuple[ArtifactPath, ...] = ()


@dataclass(frozen=True, slots=True)
class Recalled:
    """What artifacts of the history declare; nothing where their bytes are lost."""

    facts: tuple[tuple[ArtifactPath, Digest, Facts], ...]


@dataclass(frozen=True, slots=True)
class Noted:
    """Small facts are in the ledger."""

    change: StandingChange


@dataclass(frozen=True, slots=True)
class Lacking:
    """Blobs of `revision` that a node wanted on `link` and that are not here."""

    link: int
    revision: RevisionId
    blobs: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class NotNoted:
    """Small facts are not in the ledger."""

    change: StandingChange
    reason: str


@dataclass(frozen=True, slots=True)
class Touched:
    """These files have a new mtime; others of the same wish had other bytes, or the disk refused."""

    paths: tuple[ArtifactPath, ...]


@dataclass(frozen=True, slots=True)
class KeptFile:
    """Bytes are in quarantine."""

    kept: Kept


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of the desk, from the control socket or from a peer's person."""

    request: int
    verb: str
    arguments: Mapping[str, object]
    timeout_s: float


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a Fetch brought: a JSON value, or why there is none."""

    request: int
    value: object
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The settings were read again; `settings` holds what a running agent can take up of them."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class Trouble:
    """A hand met something it has no other answer for; shown as an alarm."""

    where: str
    reason: str


Result = (
    Looked
    | Scanned
    | Watching
    | TokenAdmitted
    | TokenRefused
    | Elected
    | NotElected
    | StoodBack
    | Leaving
    | Staged
    | ShareRead
    | BlobsKept
    | Sealed
    | StageFailed
    | CommitDone
    | CommitFenced
    | CommitFailed
    | Declared
    | DeclareFailed
    | Recalled
    | Noted
    | Lacking
    | NotNoted
    | Touched
    | KeptFile
    | Asked
    | Fetched
    | Reloaded
    | Trouble
)
