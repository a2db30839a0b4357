"""What an agent and a mount's process say to each other: frames of packed lists on one socket.

Each frame is its length and one msgpack list. Requests are `[number, lane, verb, arguments]`; lanes
are carried out beside each other, the requests of one lane in their order. Answers are
`[number, what, value]`: any number of `TOOK` (a file's bytes), then `DONE` or `FAILED`. Number 0 is
nobody's request: `HINT` and `FAULT` of a watcher.

Both ends are one version of one program; still whatever does not fit raises ProtocolError and ends
the conversation. Paths travel as bytes, because a folder may show names that are no Unicode.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.digest import from_raw, to_raw
from syncagent.core.errors import DiskError, ProtocolError, RefusedError, SyncagentError
from syncagent.core.events import Hinted, HintKind, WatchFault, WatchTrouble
from syncagent.core.manifest import Entry
from syncagent.core.settings import TreeSettings, WatchMode
from syncagent.core.snapshot import Seen, Unread
from syncagent.core.verdict import Problem
from syncagent.core.wire.fields import bytes_of, items_of, whole_of
from syncagent.core.wire.intents import str_of
from syncagent.core.wire.packing import pack, unpack

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterable, Sequence
    from enum import StrEnum

    from syncagent.core.events import ShellEvent

    Look = Seen | Unread | None

FRAME_BYTES_MAX = 512 * 1024 * 1024
"""More than the record of 100,000 steps, or the rows of a tree with as many files."""
LENGTH: Final = struct.Struct(">I")

TOOK, DONE, FAILED = "took", "done", "failed"
HINT, FAULT = "hint", "fault"

SAME, CHANGED, WHOLE, BAD = "same", "changed", "whole", "bad"
"""What a scan's answer is: as before, what differs, all of it, or not to be believed."""

ACT, READ, FLUSH = "act", "read", "flush"
ACTING: Final = frozenset({ACT, READ, FLUSH})
"""The lanes beside those of the trees' looks (`eye`)."""
END_S = 3.0
"""How long the agent's end waits for a mount's process."""

_T = TypeVar("_T", bound="StrEnum")


@dataclass(frozen=True, slots=True)
class Setup:
    """What a mount's process is told first. `lock_path` is held by one process at a time."""

    trees: tuple[TreeSettings, ...]
    cache_path: str
    lock_path: str
    file_bytes: int
    tree_files: int
    poll_s: float


def send(link: socket.socket, message: Sequence[object]) -> None:
    """Send one message. Raises OSError; ProtocolError if it can't be packed."""
    frame = pack(list(message))
    link.sendall(LENGTH.pack(len(frame)) + frame)


def receive(link: socket.socket) -> list[object] | None:
    """Return the next message, None at the end. Raises OSError and ProtocolError."""
    head = _exactly(link, LENGTH.size)
    if head is None:
        return None
    (size,) = LENGTH.unpack(head)
    if size > FRAME_BYTES_MAX:
        raise ProtocolError(f"a message of {size} bytes")
    frame = _exactly(link, size)
    return None if frame is None else items_of(unpack(frame, limit=FRAME_BYTES_MAX))


def _exactly(link: socket.socket, size: int) -> bytes | None:
    content = bytearray()
    while len(content) < size:
        part = link.recv(min(size - len(content), 1 << 20))
        if not part:
            return None
        content += part
    return bytes(content)


def eye(tree: TreeName) -> str:
    """Return the lane of a tree's looks."""
    return f"eye-{tree}"


# Small values.


def path_out(path: str) -> bytes:
    """Return a path, or any text that the file system had a part in, as bytes."""
    return path.encode("utf-8", "surrogateescape")


def path_in(value: object) -> str:
    """Return what `path_out` made; raises ProtocolError."""
    return bytes_of(value).decode("utf-8", "surrogateescape")


def maybe_text(value: object) -> str | None:
    """Return text or None; raises ProtocolError."""
    return None if value is None else str_of(value)


def word_in(kind: type[_T], value: object) -> _T:
    """Return a word of a closed list; raises ProtocolError."""
    try:
        return kind(str_of(value))
    except ValueError as error:
        raise ProtocolError(str(error)) from error


def error_out(error: Exception) -> list[object]:
    """Return a failure that the other end raises anew: as it is, or as a DiskError."""
    message = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    hint = error.hint if isinstance(error, SyncagentError) else ""
    return [isinstance(error, RefusedError), path_out(message), errno_of(error), path_out(hint)]


def errno_of(error: Exception) -> str:
    """Return the name of the system's error, where there is one."""
    return error.errno_name if isinstance(error, DiskError) else ""


def error_in(value: object) -> SyncagentError:
    """Return what `error_out` took."""
    refused, message, name, hint = items_of(value, 4)
    if refused:
        return RefusedError(path_in(message), hint=path_in(hint))
    return DiskError(path_in(message), errno_name=str_of(name), hint=path_in(hint))


# What was seen.


def look_out(path: str, what: Look) -> list[object]:
    """Return one row of what was seen."""
    if isinstance(what, Seen):
        return [path_out(path), to_raw(what.entry.digest), what.entry.size, what.mtime_ns]
    if what is None:
        return [path_out(path)]
    return [path_out(path), what.problem.code, path_out(what.problem.reason)]


def look_in(row: object) -> tuple[str, Look]:
    """Return path and what was seen; raises ProtocolError."""
    match items_of(row):
        case [path, digest, size, int(mtime_ns)]:
            try:
                entry = Entry(from_raw(bytes_of(digest)), whole_of(size))
            except ValueError as error:
                raise ProtocolError(str(error)) from error
            return path_in(path), Seen(entry, mtime_ns)
        case [path]:
            return path_in(path), None
        case [path, code, reason]:
            return path_in(path), Unread(Problem(str_of(code), path_in(reason)))
        case _:
            raise ProtocolError("a row of what was seen has another length")


def paths_out(paths: Iterable[str]) -> list[object]:
    """Return paths, sorted."""
    return [path_out(path) for path in sorted(paths)]


def paths_in(value: object) -> list[str]:
    """Return what `paths_out` made; raises ProtocolError."""
    return [path_in(path) for path in items_of(value)]


# What a watcher tells.


def event_out(event: ShellEvent) -> list[object]:
    """Return the message that carries a watcher's event."""
    if isinstance(event, Hinted):
        what = [event.tree, path_out(event.path), event.kind.value, event.seen_here]
        return [0, HINT, what]
    assert isinstance(event, WatchFault), "a watcher tells nothing else"
    return [0, FAULT, [event.tree, event.trouble.value, path_out(event.detail)]]


def event_in(what: object, value: object) -> Hinted | WatchFault:
    """Return what `event_out` took; raises ProtocolError."""
    if what == HINT:
        tree, path, kind, seen_here = items_of(value, 4)
        word = word_in(HintKind, kind)
        return Hinted(TreeName(str_of(tree)), path_in(path), word, seen_here=bool(seen_here))
    tree, trouble, detail = items_of(value, 3)
    return WatchFault(TreeName(str_of(tree)), word_in(WatchTrouble, trouble), path_in(detail))


# What a process is told first.


def setup_out(setup: Setup) -> list[object]:
    """Return the first message."""
    trees = [
        [
            *[tree.name, tree.kind.value, path_out(tree.path), list(tree.ignore)],
            *[tree.watch.value, tree.mark, tree.common],
        ]
        for tree in setup.trees
    ]
    files = [path_out(setup.cache_path), path_out(setup.lock_path)]
    return [trees, *files, setup.file_bytes, setup.tree_files, setup.poll_s]


def setup_in(message: list[object] | None) -> Setup:
    """Return what `setup_out` took; raises ProtocolError."""
    trees, cache_path, lock_path, file_bytes, tree_files, poll_s = items_of(message, 6)
    if not isinstance(poll_s, float | int):
        raise ProtocolError("a number of seconds was expected")
    return Setup(
        tuple(_tree(row) for row in items_of(trees)),
        path_in(cache_path),
        path_in(lock_path),
        whole_of(file_bytes),
        whole_of(tree_files),
        poll_s,
    )


def _tree(row: object) -> TreeSettings:
    name, kind, path, ignore, watch, mark, common = items_of(row, 7)
    return TreeSettings(
        TreeName(str_of(name)),
        word_in(TreeKind, kind),
        path_in(path),
        ignore=tuple(str_of(pattern) for pattern in items_of(ignore)),
        watch=word_in(WatchMode, watch),
        mark=str_of(mark),
        common=bool(common),
    )
