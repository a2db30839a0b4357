"""What shells tell the loop. Each is posted to the agent's one bounded inbox; nothing else is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.core.artifact import NodeName, TreeName
    from syncagent.core.runtime import Heard, RuntimeState
    from syncagent.core.wire.messages import Message


class HintKind(StrEnum):
    """What a watcher saw, as far as it decides how long to wait before looking."""

    WRITTEN = "written"
    """closed after writing, or moved into place: complete unless proved otherwise"""
    CREATED = "created"
    """a bare create: a link, a move from outside, or a write still to come"""
    DELETED = "deleted"
    SUBTREE = "subtree"
    """a folder came, went or moved: everything below `path`"""


@dataclass(frozen=True, slots=True)
class Hinted:
    """Something may have happened at `path` (relative; "" is the root). A hint, never a fact.

    `seen_here`: this machine's own kernel told of it, so that a process here did it. What a poll
    finds on a mount may be anybody's.
    """

    tree: TreeName
    path: str
    kind: HintKind
    seen_here: bool = False


@dataclass(frozen=True, slots=True)
class ShareHinted:
    """This kernel saw something at `path` of a tree's folder on the share, beside the tree itself.

    For the form `shadow`, where this node's tree is another folder: it is for whoever keeps the share.
    """

    tree: TreeName
    path: str
    kind: HintKind


class WatchTrouble(StrEnum):
    """What keeps a watcher from being believed until a full scan."""

    OVERFLOW = "overflow"
    UNMOUNTED = "unmounted"
    ROOT_MOVED = "root-moved"
    WATCH_FAILED = "watch-failed"
    DIED = "died"


@dataclass(frozen=True, slots=True)
class WatchFault:
    """The watcher of `tree` missed something or can't see any more."""

    tree: TreeName
    trouble: WatchTrouble
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A connection is open and the peer's name is proved. `version` is the protocol's, agreed.

    `dialled` tells who opened it: True if this node did.
    """

    link: int
    peer: NodeName
    dialled: bool
    version: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class DialFailed:
    """An attempt to connect came to nothing."""

    peer: NodeName
    reason: str


@dataclass(frozen=True, slots=True)
class LinkDown:
    """A connection is gone."""

    link: int
    peer: NodeName
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message came in."""

    link: int
    message: Message


@dataclass(frozen=True, slots=True)
class StrangerRefused:
    """A peer with an unknown or wrong key was refused; `key` is its OpenSSH public key line.

    `name` is the name it claimed, empty if it claimed none. `twin`: its key is that of the node of
    this name, and that node is connected: one of the two is a copy.
    """

    name: str
    key: str
    address: str
    reason: str
    twin: bool = False


@dataclass(frozen=True, slots=True)
class RuntimeHeard:
    """What the local runtime said, in its order; `mark` tells the adapter where to go on.

    The sayings are to be remembered with the mark: from an older mark they are said again.
    """

    heard: tuple[Heard, ...]
    mark: str


@dataclass(frozen=True, slots=True)
class RuntimeTurned:
    """The local runtime came, went, got ready or lost its deployer; also told once at the start."""

    state: RuntimeState


ShellEvent = (
    Hinted
    | ShareHinted
    | WatchFault
    | LinkUp
    | DialFailed
    | LinkDown
    | Received
    | StrangerRefused
    | RuntimeHeard
    | RuntimeTurned
)
