"""What disk is asked to make live in one step, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.manifest import Entry
    from syncagent.core.revision import RevisionId


class Keep(StrEnum):
    """Why displaced bytes are kept; the `reason` word of a quarantine row."""

    DELETED = "deleted"
    DRIFT = "drift"
    CONFLICT = "conflict"
    REFUSED = "refused"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Step:
    """One artifact to make live (`after`) or to take away (`after` None).

    `expected` is the digest that should be on disk now, None for absent. If something else is
    found there, at the last instant, it is kept as a conflict and the step goes on. `keep` says
    why the expected bytes themselves are to be kept, None if they need not be (history has them).
    """

    path: ArtifactPath
    expected: Digest | None
    after: Entry | None
    keep: Keep | None = None

    def __post_init__(self) -> None:
        assert self.expected is not None or self.after is not None, "a step must do something"


@dataclass(frozen=True, slots=True)
class Intent:
    """The whole of one commit on this node, over all its trees, in the order to be done.

    `txid` is unique on this node and rises; `revision` is what the node stands on afterwards.
    `memo` is opaque to disk: it is durable with the intent and comes back from `recover`, so that
    a commit which was interrupted can be entered into the ledger as if it had not been.
    """

    txid: int
    revision: RevisionId
    steps: tuple[Step, ...]
    memo: bytes = b""


@dataclass(frozen=True, slots=True)
class Written:
    """An intent as its record has it, with what recovery has to know about staging.

    `inside` are the trees whose bytes wait in the root itself; `whole` are the top folders that
    become live by one rename.
    """

    intent: Intent
    inside: frozenset[TreeName] = frozenset()
    whole: frozenset[tuple[TreeName, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes in quarantine. `at` is wall time in seconds since the Unix epoch, for people."""

    id: str
    path: ArtifactPath
    reason: Keep
    digest: Digest
    size: int
    at: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Committed:
    """A commit that is durable. `kept` lists what was displaced and is restorable."""

    intent: Intent
    kept: tuple[Kept, ...] = ()
