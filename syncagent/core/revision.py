"""Revisions and tokens: what was declared, by whom, under which epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from syncagent.core.manifest import EMPTY

if TYPE_CHECKING:
    from syncagent.core.artifact import NodeName
    from syncagent.core.change import Change
    from syncagent.core.digest import Digest


_INCARNATION_PARTS = 3


def incarnation_of(key: str, state: str, start: str) -> str:
    """Return the name of one start of a node: of which key, from which state folder.

    Each part is text without a dot that tells it from others of its kind.
    """
    return f"{key}.{state}.{start}"


@dataclass(frozen=True, slots=True)
class Token:
    """The fencing token that every push carries: who manages, under which epoch (>= 1).

    `incarnation` is new at every start of the holder's process.
    """

    cluster: str
    epoch: int
    holder: NodeName
    incarnation: str

    def __post_init__(self) -> None:
        assert self.epoch >= 1, "epoch 0 is before the first managership and holds no token"

    def is_twin(self, node: NodeName, incarnation: str) -> bool:
        """Tell whether a node has the holder's name and key, but a state folder of its own.

        One of the two is a copy of the other. Another key is another matter: a person trusted it.
        """
        mine, theirs = self.incarnation.split("."), incarnation.split(".")
        told = len(mine) == len(theirs) == _INCARNATION_PARTS
        return told and node == self.holder and mine[0] == theirs[0] and mine[1] != theirs[1]

    def is_of_former_start(self, node: NodeName, incarnation: str) -> bool:
        """Tell whether an earlier process of this node held it: one over the same state folder.

        That process has ended: the folder's lock lets no second one run.
        """
        mine, theirs = self.incarnation.split("."), incarnation.split(".")
        told = len(mine) == len(theirs) == _INCARNATION_PARTS
        return told and node == self.holder and mine[:2] == theirs[:2] and mine != theirs


class RevisionId(NamedTuple):
    """Names a revision. Tuples compare by epoch, then number: the greater is the newer.

    The digest is that of the whole manifest, before any projection.
    """

    epoch: int
    number: int
    digest: Digest

    def __str__(self) -> str:
        return f"{self.number} (epoch {self.epoch})"


REVISION_ZERO = RevisionId(0, 0, EMPTY.digest)
"""Before the first declaration: no artifacts."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A declared manifest as its changes against its parent.

    `number` is the parent's plus one, across epochs, for the life of the cluster. `released`
    holds the digests of the sets of deletions that a person approved for it (see `core.safety`).
    `author` is the node whose tree it came from; `note` says why, for people ("edit",
    "rollback to 7", "proposal of gw-2").
    """

    id: RevisionId
    parent: RevisionId
    changes: tuple[Change, ...]
    author: NodeName
    note: str = ""
    released: tuple[Digest, ...] = ()

    def __post_init__(self) -> None:
        assert self.id.number == self.parent.number + 1, "a revision's number is its parent's + 1"
        assert self.id.epoch >= self.parent.epoch, "epochs never fall"
