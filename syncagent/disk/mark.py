"""The file `.syncagent-root`, by which a tree on a shared mount is known.

A shared file system that is mounted again has another id, and an empty folder where it should be
lists without any error. So a person has this file put into each tree's root, once (`init --share`),
and nothing that is seen without it is believed. It is JSON that people can read, with a checksum
over the rest: a half of it must not pass for another share. It is an own name, so no scan lists it
and no revision carries it.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from syncagent.core.digest import digest_of
from syncagent.core.settings import SHARE_PREFIX
from syncagent.fsio import O_CONTENT, O_NEW

if TYPE_CHECKING:
    from syncagent.core.settings import TreeSettings
    from syncagent.fsio import OsFS

MARK_NAME: Final = ".syncagent-root"
_PART_NAME: Final = f"{MARK_NAME}.part"
_FORMAT: Final = 1
_BYTES_MAX: Final = 4096
_MODE: Final = 0o644


class Owner(NamedTuple):
    """Whose mark a root must carry: the tree `tree` of the cluster `cluster`."""

    cluster: str
    tree: str


@dataclass(frozen=True, slots=True)
class Mark:
    """What the file says. `uuid` is made once and is the same on every node that mounts the share."""

    uuid: str
    cluster: str
    tree: str

    @property
    def identity(self) -> str:
        """What the root is known by: in the ledger, and to the scans."""
        return f"{SHARE_PREFIX}{self.uuid}"

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return Owner(self.cluster, self.tree)


class NoMarkError(Exception):
    """A file that is no mark: damaged, or not of this program. Stays inside this package."""


def owner_of(tree: TreeSettings) -> Owner | None:
    """Return whose mark the tree's root must carry; None: it is known without."""
    return Owner(tree.mark, tree.name) if tree.mark else None


def encode_mark(mark: Mark) -> bytes:
    """Return the file's bytes."""
    said = {"format": _FORMAT, **asdict(mark)}
    return (json.dumps({**said, "digest": _digest(said)}, indent=2) + "\n").encode()


def decode_mark(content: bytes) -> Mark:
    """Return what the file says. Raises NoMarkError."""
    try:
        said = json.loads(content)
    except ValueError as error:
        raise NoMarkError("it is not JSON") from error
    if not isinstance(said, dict) or said.pop("digest", None) != _digest(said):
        raise NoMarkError("its checksum does not fit")
    if said.get("format") != _FORMAT:
        raise NoMarkError(f"its format is {said.get('format')!r}, and this version knows {_FORMAT}")
    return Mark(str(said.get("uuid")), str(said.get("cluster")), str(said.get("tree")))


def read_mark(fs: OsFS, folder_fd: int) -> Mark:
    """Return the mark in an open folder. Raises OSError (ENOENT: there is none), NoMarkError."""
    fd = fs.open(MARK_NAME, O_CONTENT, dir_fd=folder_fd)
    try:
        content = fs.read_all(fd, _BYTES_MAX)
    finally:
        with suppress(OSError):
            fs.close(fd)  # it was only read from
    return decode_mark(content)


def write_mark(fs: OsFS, folder_fd: int, mark: Mark) -> bool:
    """Put a mark into an open folder, whole and durable; False if there is one already.

    Raises OSError. Two nodes that do so at once agree on one: a link never takes another's place,
    and where there are no links the last rename wins, which whoever reads it back then sees.
    """
    part = f"{_PART_NAME}.{mark.uuid}"
    fd = fs.open(part, O_NEW, _MODE, dir_fd=folder_fd)
    try:
        try:
            fs.write_all(fd, encode_mark(mark))
            fs.fchmod(fd, _MODE)  # whatever the umask says: the agents of all nodes read it
            fs.fsync(fd)
        finally:
            fs.close(fd)
        made = _give_name(fs, folder_fd, part)
    finally:
        with suppress(FileNotFoundError):
            fs.unlink(part, dir_fd=folder_fd)
    fs.fsync_folder(folder_fd)
    return made


def _give_name(fs: OsFS, folder_fd: int, part: str) -> bool:
    try:
        fs.link(part, MARK_NAME, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
    except FileExistsError:
        return False
    except OSError:
        # SMB and some FUSE file systems have no links.
        try:
            fs.stat(MARK_NAME, dir_fd=folder_fd, follow_symlinks=False)
        except FileNotFoundError:
            fs.rename(part, MARK_NAME, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
            return True
        return False
    return True


def _digest(said: object) -> str:
    return digest_of(json.dumps(said, sort_keys=True).encode())
