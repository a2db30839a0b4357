"""Small files that are replaced whole and durably, and the translation of their failures.

A file is written under another name, synced, renamed over the old one, and the folder is synced:
after power loss it is the old one or the new one. All calls go through the `OsFS` handed in.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from syncagent import fsio
from syncagent.core.errors import DiskError

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_MODE: Final = 0o600
FOLDER_MODE: Final = 0o700
SMALL_BYTES_MAX: Final = 1 << 20
"""More than any of the small files ever holds (they have a few hundred bytes)."""


@contextmanager
def disk_errors(doing: str, *, hint: str = "") -> Iterator[None]:
    """Turn OSError into DiskError: `doing` says what was being done, e.g. `append to /x/ledger`."""
    try:
        yield
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "")
        if error.errno == errno.ENOSPC:
            hint = "make room on that disk; nothing was lost"
        raise DiskError(
            f"can't {doing}: {error.strerror or error}", errno_name=name, hint=hint
        ) from error


def read_if_there(fs: fsio.OsFS, path: str, limit: int = SMALL_BYTES_MAX) -> bytes | None:
    """Return the bytes of `path`, None if there is no such file. Raises OSError for the rest."""
    try:
        fd = fs.open(path, fsio.O_CONTENT)
    except FileNotFoundError:
        return None
    try:
        return fs.read_all(fd, limit)
    finally:
        fs.close(fd)


def is_there(fs: fsio.OsFS, path: str) -> bool:
    """Tell whether `path` exists. Raises OSError if that can't be known."""
    try:
        fs.lstat(path)
    except FileNotFoundError:
        return False
    return True


def replace_durably(fs: fsio.OsFS, path: str, content: bytes) -> None:
    """Make `path` hold `content`, durably. Raises OSError: then it holds the old or the new."""
    temporary = f"{path}.tmp"
    with suppress(FileNotFoundError):
        fs.unlink(temporary)
    fd = fs.open(temporary, fsio.O_NEW, FILE_MODE)
    try:
        fs.write_all(fd, content)
        fs.fsync(fd)
    finally:
        fs.close(fd)
    fs.replace(temporary, path)
    fs.fsync_dir(os.path.dirname(path))  # noqa: PTH120 - paths are strings for the sake of fsio


def make_folder(fs: fsio.OsFS, path: str) -> bool:
    """Make the folder `path` durably if it is not there; return whether it was made."""
    try:
        fs.mkdir(path, FOLDER_MODE)
    except FileExistsError:
        return False
    fs.fsync_dir(os.path.dirname(path))  # noqa: PTH120 - paths are strings for the sake of fsio
    return True
