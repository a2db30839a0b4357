"""The state folder: made, locked, and bound to one node on one machine.

Adding a gateway by copying an installed one is the vendor's own way, and a copied state folder is
a second node that believes to be the first. So the file `identity` says which machine (its
machine-id), which folder (inode) and which path it was made for; where one of them differs the
folder is a copy or was restored, and nothing in it is read further: no intent is replayed, no
token used. `renew` gives such a folder an identity of its own and moves what the other node
remembered to `former-N`; it deletes nothing. The guard stays: what the cluster admitted is as true
for the copy.

The file system's id is written down for people only: some file systems (xfs) change it when
devices are renumbered at boot.
"""

from __future__ import annotations

import json
import os
import posixpath
import re
import stat
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from syncagent.core.digest import digest_of
from syncagent.core.errors import BusyError, StateError
from syncagent.history.durable import (
    FILE_MODE,
    FOLDER_MODE,
    disk_errors,
    is_there,
    make_folder,
    read_if_there,
    replace_durably,
)

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from syncagent.core.artifact import NodeName
    from syncagent.fsio import OsFS

IDENTITY_NAME: Final = "identity"
LOCK_NAME: Final = "lock"
MACHINE_ID_FILE: Final = "/etc/machine-id"
_STAYS: Final = re.compile(r"lock|guard(\.lock)?|former-[0-9]+|identity")
_FORMER: Final = re.compile(r"former-([0-9]+)")
_REMEMBERED: Final = ("ledger", "guard", "intent")
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_MAKE_IT: Final = "make it for the gateway's user: `install -d -m 700 -o USER PATH`"
_NEW_IDENTITY: Final = (
    "if this is a new node: run `syncagent init --new-identity` (new key; what the other node "
    "remembered is moved to a folder `former-N`, nothing is deleted)"
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a state folder is. `machine` is empty on a machine without an id."""

    machine: str
    path: str
    inode: int
    fsid: str

    def moved_from(self, before: Place) -> str:
        """Say how this place differs from `before`; empty if it is the same."""
        if self.machine and before.machine and self.machine != before.machine:
            return "it was made on another machine"
        if self.path != before.path:
            return f"it was made at {before.path}"
        if self.inode != before.inode:
            return "it is another folder than the one that was made here"
        return ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose state this is. `id` is random, new for every identity, and never used again."""

    cluster: str
    node: NodeName
    id: str
    place: Place


class StateHome:
    """An open, locked state folder. Close it last."""

    def __init__(self, path: str, identity: Identity, fs: OsFS, lock_fd: int) -> None:
        self.path = path
        self.identity = identity
        self._fs = fs
        self._lock_fd: int | None = lock_fd

    @classmethod
    def open(
        cls, path: str, cluster: str, node: NodeName, fs: OsFS, *, machine_id: str = MACHINE_ID_FILE
    ) -> StateHome:
        """Make the folder if need be, lock it, and see that it is this node's.

        Raises BusyError if another agent has it, StateError if it is a copy or of another node
        or user, DiskError.
        """
        path = posixpath.normpath(path)
        lock_fd = _enter(fs, path)
        try:
            identity = _own_identity(fs, Identity(cluster, node, "", _place(fs, path, machine_id)))
        except BaseException:
            fs.close(lock_fd)
            raise
        return cls(path, identity, fs, lock_fd)

    @classmethod
    def renew(
        cls, path: str, cluster: str, node: NodeName, fs: OsFS, *, machine_id: str = MACHINE_ID_FILE
    ) -> StateHome:
        """Give the folder a new identity; move all but the guard to `former-N`.

        The new identity is written last: a renewal that was interrupted is simply done again.
        Raises BusyError, StateError (another user's folder) or DiskError.
        """
        path = posixpath.normpath(path)
        lock_fd = _enter(fs, path)
        try:
            with disk_errors(f"renew {path}"):
                _move_aside(fs, path)
            place = _place(fs, path, machine_id)
            identity = _write_identity(fs, Identity(cluster, node, str(uuid.uuid4()), place))
        except BaseException:
            fs.close(lock_fd)
            raise
        return cls(path, identity, fs, lock_fd)

    def file(self, name: str) -> str:
        """Return the path of `name` in the folder."""
        return f"{self.path}/{name}"

    def close(self) -> None:
        """Give the lock back."""
        if self._lock_fd is not None:
            fd, self._lock_fd = self._lock_fd, None
            with suppress(OSError):
                self._fs.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def lock_holder(fs: OsFS, path: str) -> int | None:
    """Return the process id of the agent that has the folder's lock; None if none has it.

    0 if the holder did not say. Raises DiskError.

    RACE: to ask is to lock for some microseconds. Worst case: an agent that starts in just that
    moment says that another one runs, and its service manager starts it again.
    """
    with disk_errors(f"look at {path}/{LOCK_NAME}"):
        try:
            fd = fs.open(f"{path}/{LOCK_NAME}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            fs.flock(fd)
        except BlockingIOError:
            return _pid(fs, fd)
        finally:
            fs.close(fd)
    return None


def inspect_home(
    path: str, cluster: str, node: NodeName, fs: OsFS, *, machine_id: str = MACHINE_ID_FILE
) -> Identity | None:
    """Return whose the folder is, as `StateHome.open` would find it; None if nobody's yet.

    Changes nothing and takes no lock. Raises StateError as `open` does, DiskError if it can't be
    read (errno ENOENT where there is no folder yet).
    """
    path = posixpath.normpath(path)
    with disk_errors(f"look at the state folder {path}"):
        _check_owned(path, fs.lstat(path))
    place = _place(fs, path, machine_id)
    return _checked(fs, Identity(cluster, node, "", place))


def read_identity(fs: OsFS, path: str) -> Identity | None:
    """Return whose the folder is; None if it says nothing. Raises StateError or DiskError."""
    with disk_errors(f"read {path}/{IDENTITY_NAME}"):
        content = read_if_there(fs, f"{path}/{IDENTITY_NAME}")
    if content is None:
        return None
    line, _, check = content.partition(b"\n")
    damaged = StateError(f"{path}/{IDENTITY_NAME} is damaged", hint=_NEW_IDENTITY)
    if check != digest_of(line).encode() + b"\n":
        raise damaged
    try:
        found = json.loads(line)
        place = Place(**found.pop("place"))
        return Identity(place=place, **found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged from error


def _enter(fs: OsFS, path: str) -> int:
    """Make the folder private and lock it; return the lock's descriptor."""
    with disk_errors(f"make the state folder {path}", hint=_MAKE_IT):
        make_folder(fs, path)
        status = fs.lstat(path)
    _check_owned(path, status)
    with disk_errors(f"lock {path}"):
        if stat.S_IMODE(status.st_mode) & 0o077:
            fs.chmod(path, FOLDER_MODE)
        fd = fs.open(f"{path}/{LOCK_NAME}", _LOCK_FLAGS, FILE_MODE)
        try:
            fs.flock(fd)
            fs.ftruncate(fd, 0)
            fs.write_all(fd, f"{os.getpid()}\n".encode())
        except BlockingIOError as error:
            pid = _pid(fs, fd)
            fs.close(fd)
            who = f"process {pid}" if pid else "another process"
            raise BusyError(
                f"an agent already runs on {path}: {who}",
                hint="stop it first, or ask it: `syncagent status`",
            ) from error
        except OSError:
            fs.close(fd)
            raise
    return fd


def _check_owned(path: str, status: os.stat_result) -> None:
    """Raise StateError unless it is a folder of this process's user."""
    if not stat.S_ISDIR(status.st_mode):
        raise StateError(f"the state folder {path} is not a folder")
    if status.st_uid != os.geteuid():
        raise StateError(
            f"the state folder {path} belongs to user id {status.st_uid}, this is {os.geteuid()}",
            hint="run syncagent as the user that the gateway runs as",
        )


def _pid(fs: OsFS, fd: int) -> int:
    fs.lseek(fd, 0, os.SEEK_SET)
    digits = fs.read_all(fd, 64).strip()
    return int(digits) if digits.isdigit() else 0


def _own_identity(fs: OsFS, wanted: Identity) -> Identity:
    """Return the identity in the folder if it is `wanted`'s; make one in a new folder."""
    found = _checked(fs, wanted)
    if found is not None:
        return found
    fresh = Identity(wanted.cluster, wanted.node, str(uuid.uuid4()), wanted.place)
    return _write_identity(fs, fresh)


def _checked(fs: OsFS, wanted: Identity) -> Identity | None:
    """Return the identity in the folder if it is `wanted`'s; None in a new folder."""
    path = wanted.place.path
    found = read_identity(fs, path)
    if found is None:
        with disk_errors(f"look into {path}"):
            left = [name for name in _REMEMBERED if is_there(fs, f"{path}/{name}")]
        if left:
            raise StateError(
                f"{path} holds {left[0]} of some node, but not whose: it has no identity",
                hint=_NEW_IDENTITY,
            )
        return None
    moved = wanted.place.moved_from(found.place)
    if moved:
        raise StateError(
            f"{path} is a copied state folder of node {found.node}: {moved}", hint=_NEW_IDENTITY
        )
    if (found.cluster, found.node) != (wanted.cluster, wanted.node):
        raise StateError(
            f"{path} is of node {found.node} in cluster {found.cluster}, "
            f"the settings say {wanted.node} in {wanted.cluster}",
            hint="correct `[node] name` and `[cluster] name`, or " + _NEW_IDENTITY,
        )
    return found


def _write_identity(fs: OsFS, identity: Identity) -> Identity:
    line = json.dumps(asdict(identity), sort_keys=True).encode()
    file = f"{identity.place.path}/{IDENTITY_NAME}"
    with disk_errors(f"write {file}"):
        replace_durably(fs, file, line + b"\n" + digest_of(line).encode() + b"\n")
    return identity


def _place(fs: OsFS, path: str, machine_id: str) -> Place:
    with disk_errors(f"look at {path}"):
        machine = (read_if_there(fs, machine_id) or b"").decode(errors="replace").strip()
        return Place(
            # A machine-id should not be shown around (man 5 machine-id): its digest will do.
            machine=digest_of(machine.encode()) if machine else "",
            path=path,
            inode=fs.lstat(path).st_ino,
            fsid=fs.fsid(path),
        )


def _move_aside(fs: OsFS, path: str) -> None:
    names = sorted(fs.listdir(path))
    moving = [name for name in names if not _STAYS.fullmatch(name)]
    if IDENTITY_NAME in names:
        moving.append(IDENTITY_NAME)  # last: until then the folder is recognised as a copy
    if not moving:
        return
    former = [int(match[1]) for name in names if (match := _FORMER.fullmatch(name))]
    target = f"{path}/former-{max(former, default=0) + 1}"
    make_folder(fs, target)
    for name in moving:
        fs.replace(f"{path}/{name}", f"{target}/{name}")
    fs.fsync_dir(target)
    fs.fsync_dir(path)
