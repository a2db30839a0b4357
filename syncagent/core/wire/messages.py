"""The messages that two agents exchange. Values only; their bytes are `codec`'s.

A conversation, manager M to worker W, on a connection that M keeps open:

    M Hello            ->  <-  Hello W          versions, cluster, names: then the version is fixed
    M Survey           ->  <-  Surveyed W       what W has admitted, and on which revision it stands
    M Admit(token)     ->  <-  Admitted | Fenced
    M Offer(revision)  ->                       by parent and changes
                           <-  Want W           what it lacks: the manifest, some blobs
    M ManifestPart*, Blobs*, Delta* ->
                           <-  Prepared | Declined W
    M Commit(token)    ->  <-  Done | Fenced | Failed W
                           <-  Report W         at each change of state and every few seconds
    M View             ->                       the cluster as M sees it, for `status` anywhere

`Want` is answered by either side: a new manager catches up from a worker with the same messages.
`Propose` (W to M) carries a local change where any node may write. `Ask`/`Answered` carry what a
person does on one node to another (approve a hold, list what was kept; from W to M: `adopt`, to
make a revision of bytes that W kept). `Hint` tells, either way, where something happened on a mount
that both nodes have. Lengths, never instants, cross the wire:
clocks of two nodes do not compare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.exempt import NONE_WITHHELD

if TYPE_CHECKING:
    from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
    from syncagent.core.change import Change
    from syncagent.core.digest import Digest
    from syncagent.core.manifest import Entry
    from syncagent.core.revision import RevisionId, Token
    from syncagent.core.verdict import Refused

VERSIONS = (3, 2)
"""Protocol versions this agent speaks, newest first: its own, and the one before.

3 added `Hint`. 2 added `Delta` and what is withheld; 1, which is not spoken any more, sent whole
blobs, and whole revisions, only.
"""


@dataclass(frozen=True, slots=True)
class Hello:
    """First message in each direction. `versions` is what the sender speaks, newest first."""

    versions: tuple[int, ...]
    cluster: str
    node: NodeName
    incarnation: str
    product: str


@dataclass(frozen=True, slots=True)
class Survey:
    """Asks what the other end has admitted and holds; changes nothing there."""


@dataclass(frozen=True, slots=True)
class Surveyed:
    """Answer to `Survey`. `highest` None: epoch 0. `projection` is the digest of its own rows.

    `withheld` names the paths that its manager withheld last (see `Offer`).
    """

    highest: Token | None
    revision: RevisionId
    projection: Digest
    trees: tuple[TreeName, ...]
    withheld: Digest = NONE_WITHHELD


@dataclass(frozen=True, slots=True)
class Admit:
    """Asks the receiver to admit the sender's token."""

    token: Token


@dataclass(frozen=True, slots=True)
class Admitted:
    """The token is durable in the receiver's guard; with what it stands on."""

    token: Token
    revision: RevisionId
    projection: Digest
    trees: tuple[TreeName, ...]
    withheld: Digest = NONE_WITHHELD


@dataclass(frozen=True, slots=True)
class Fenced:
    """The token is not admitted. `highest` is what the receiver's guard holds."""

    highest: Token | None
    reason: str


@dataclass(frozen=True, slots=True)
class Offer:
    """Offers a revision. `changes` lead from `parent` to it; None: ask for the manifest.

    Without changes `parent` may be any older revision: the last that the offerer's line has in
    common with the asked node's, which has strayed from it if it stands on a newer one.

    At the `withheld` paths the worker keeps what it has, although it stands on the revision
    afterwards: the manager's canary has not answered for them, or a runtime refused them. The same
    revision is offered again when that changes.
    """

    token: Token
    revision: RevisionId
    parent: RevisionId
    author: NodeName
    note: str
    released: tuple[Digest, ...]
    changes: tuple[Change, ...] | None
    withheld: tuple[ArtifactPath, ...] = ()


@dataclass(frozen=True, slots=True)
class Want:
    """Asks for what is missing to have `revision`: its manifest, and the bytes of `blobs`.

    `bases` names blobs that the asker has: a wanted blob at the same index may come as a delta
    against it (None: it may not).
    """

    revision: RevisionId
    manifest: bool
    blobs: tuple[Digest, ...] = ()
    bases: tuple[Digest | None, ...] = ()


@dataclass(frozen=True, slots=True)
class ManifestPart:
    """Rows of a manifest, in order; `last` ends it."""

    revision: RevisionId
    rows: tuple[tuple[ArtifactPath, Entry], ...]
    last: bool


@dataclass(frozen=True, slots=True)
class Blobs:
    """A zstd batch: `entries` in order, their bytes one after the other in `frame`."""

    entries: tuple[Entry, ...]
    frame: bytes


@dataclass(frozen=True, slots=True)
class Delta:
    """One blob, zstd-compressed with the bytes of `base` as dictionary."""

    entry: Entry
    base: Digest
    frame: bytes


@dataclass(frozen=True, slots=True)
class Missing:
    """The asked node has not (any more) what `Want` named."""

    revision: RevisionId
    blobs: tuple[Digest, ...]


@dataclass(frozen=True, slots=True)
class Prepared:
    """The revision is staged, verified and validated: it can be committed."""

    revision: RevisionId


@dataclass(frozen=True, slots=True)
class Declined:
    """The revision will not be committed here for now. `code` is one of the codec's words.

    They are held, refused, observing (apply = false), disk, tree (not readable), manifest, failed.

    `hold` is the id of the hold that has to be approved, empty where it is not held.
    """

    revision: RevisionId
    code: str
    reason: str
    hold: str = ""
    refused: tuple[Refused, ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """Asks to make the prepared revision live; the token is re-checked under the guard's lock."""

    token: Token
    revision: RevisionId


@dataclass(frozen=True, slots=True)
class Done:
    """The revision is live and durable; `projection` is the digest of the receiver's rows.

    `withheld` names the paths that were withheld (`core.exempt.paths_digest`).
    """

    revision: RevisionId
    projection: Digest
    withheld: Digest = NONE_WITHHELD


@dataclass(frozen=True, slots=True)
class Failed:
    """The commit failed and was undone or will be redone; what is live is a whole revision."""

    revision: RevisionId
    reason: str


@dataclass(frozen=True, slots=True)
class Report:
    """A node's own row for `status`, and its lists. `body` is JSON text (see `core.report`)."""

    body: str


@dataclass(frozen=True, slots=True)
class View:
    """The cluster as the manager sees it. `body` is JSON text (see `core.report`)."""

    body: str


@dataclass(frozen=True, slots=True)
class Propose:
    """A worker's valid local changes, against the revision it stands on (writers = "any")."""

    proposal: int
    base: RevisionId
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Proposed:
    """What became of a proposal: paths taken into a revision, and paths where the manager's won."""

    proposal: int
    taken: tuple[ArtifactPath, ...]
    lost: tuple[ArtifactPath, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A person's command that another node has to carry out; `body` is JSON text."""

    id: int
    verb: str
    body: str


@dataclass(frozen=True, slots=True)
class Answered:
    """Answer to `Ask`; `body` is JSON text."""

    id: int
    body: str


@dataclass(frozen=True, slots=True)
class Hint:
    """Something happened at `paths`, or anywhere in `trees`, on a mount that both nodes have (version 3).

    The sender's own kernel has seen it, which tells nothing of it to the others. `relayed`: it comes
    from another node by way of its manager, and goes no further.
    """

    paths: tuple[ArtifactPath, ...]
    trees: tuple[TreeName, ...] = ()
    relayed: bool = False


@dataclass(frozen=True, slots=True)
class Ping:
    """Keeps a connection known to be alive; answered with the same number."""

    number: int


@dataclass(frozen=True, slots=True)
class Pong:
    """Answer to `Ping`."""

    number: int


@dataclass(frozen=True, slots=True)
class Bye:
    """The sender closes the connection, and why."""

    reason: str


Message = (
    Hello
    | Survey
    | Surveyed
    | Admit
    | Admitted
    | Fenced
    | Offer
    | Want
    | ManifestPart
    | Blobs
    | Delta
    | Missing
    | Prepared
    | Declined
    | Commit
    | Done
    | Failed
    | Report
    | View
    | Propose
    | Proposed
    | Ask
    | Answered
    | Hint
    | Ping
    | Pong
    | Bye
)
