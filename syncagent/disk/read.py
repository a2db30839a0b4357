"""Reading one file so that what comes back is what the file was at one instant.

The descriptor and the name must show the same size, times and inode before and after the last
byte: then nobody wrote in between (as far as the file system's clock can tell: see `cache`), and
the name still means the file that was read. What can't be read so is `Unread` with a code, never
absent:

    symlink        never followed
    not-regular    a folder, FIFO, socket or device
    too-large      over `Limits.file_bytes`; not a byte of it was read
    unstable       written, replaced or removed meanwhile: look again
    unreadable     the file system refused (EACCES, EIO, ESTALE, ...)
    name           the name can't travel to every node (`core.artifact.path_fault`)
    case-clash     another name in its folder differs only in case or Unicode form

FIFOs and devices are not even opened where the listing tells that they are some; opening one by
a race does not block.
"""

from __future__ import annotations

import errno
import stat
import unicodedata
from typing import TYPE_CHECKING

from syncagent.core.snapshot import Unread
from syncagent.core.verdict import Problem
from syncagent.disk.identity import errno_name, let_go
from syncagent.fsio import O_CONTENT

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from syncagent.fsio import OsFS

_VANISHED = frozenset({errno.ENOENT, errno.ENOTDIR})


def read_stable(fs: OsFS, folder_fd: int, name: str, size_max: int) -> Content | Unread:
    """Return the bytes of `name` in the open folder and its status, or why they are not to be had.

    At most `size_max` + 1 bytes are ever held.
    """
    try:
        fd = fs.open(name, O_CONTENT, dir_fd=folder_fd)
    except OSError as error:
        return unread_for(error)
    try:
        before = fs.fstat(fd)
        if not stat.S_ISREG(before.st_mode):
            return not_regular(before.st_mode)
        size = before.st_size
        if size > size_max:
            return unread("too-large", f"{size} bytes; {size_max} are allowed")
        content = _read(fs, fd, size)
        after = fs.fstat(fd)
        named = fs.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except OSError as error:
        return unread_for(error)
    finally:
        let_go(fs, fd)
    if len(content) != size or not (same(before, after) and same(before, named)):
        return unread("unstable", "it was written or replaced while it was read")
    return content, before


def same(a: os.stat_result, b: os.stat_result) -> bool:
    """Tell whether two looks show one file that nobody wrote to in between."""
    return (
        a.st_mtime_ns == b.st_mtime_ns
        and a.st_ctime_ns == b.st_ctime_ns
        and a.st_size == b.st_size
        and a.st_ino == b.st_ino
    )


def unread(code: str, reason: str) -> Unread:
    """Return `Unread` with a problem of this code."""
    return Unread(Problem(code, reason))


def unread_for(error: OSError) -> Unread:
    """Return why a file that is there can't be read. Even ENOENT is no absence here.

    Whether a name is gone only a listing of its folder tells.
    """
    if error.errno in _VANISHED:
        return unread("unstable", "it went away while it was looked at")
    if error.errno == errno.ELOOP:
        return unread("symlink", "symbolic links are not followed")
    if error.errno == errno.ENXIO:
        return unread("not-regular", "it is a socket, not a regular file")
    return unread("unreadable", f"it can't be read: {error.strerror} ({errno_name(error)})")


def not_regular(mode: int) -> Unread:
    """Return why something with this mode is not read."""
    if stat.S_ISLNK(mode):
        return unread("symlink", "symbolic links are not followed")
    return unread("not-regular", f"it is a {_kind_word(mode)}, not a regular file")


def escaped(path: str) -> str:
    r"""Return `path` so that it can be shown and sent, never equal to a path that is allowed.

    >>> escaped("api/\udcff.xml"), escaped("api/e\u0301.xml"), escaped("a\nb")
    ('api/\\xff.xml', 'api/e\\u0301.xml', 'a\\nb')
    """
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if unicodedata.normalize("NFC", text) != text:
        text = text.encode("ascii", "backslashreplace").decode("ascii")
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def way(path: str) -> Iterator[str]:
    """Yield `path` and the folders above it, without the root.

    >>> list(way("api/deep/a.xml"))
    ['api/deep/a.xml', 'api/deep', 'api']
    """
    while path:
        yield path
        path = path.rpartition("/")[0]


def _read(fs: OsFS, fd: int, size: int) -> bytes:
    """Return up to `size` + 1 bytes: more or fewer than `size` mean that somebody writes."""
    # One call is the rule: asking for a byte too many shows in the same call that it was all.
    content = fs.read(fd, size + 1)
    while len(content) < size:
        more = fs.read(fd, size + 1 - len(content))
        if not more:
            break
        content += more
    return content


def _kind_word(mode: int) -> str:
    words = ((stat.S_ISDIR, "folder"), (stat.S_ISFIFO, "FIFO"), (stat.S_ISSOCK, "socket"))
    return next((word for is_kind, word in words if is_kind(mode)), "device")


if TYPE_CHECKING:
    Content = tuple[bytes, os.stat_result]
