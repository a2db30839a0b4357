"""The only user of file system calls: a layer below the shells, which get it handed in.

An `OsFS` holds the builtins of `os` as they are when it is made, so that a fake file system that
is switched on before (pyfakefs) is the one that is used, and so that a call costs nothing over
calling `os` itself. Fault injection and crash simulation are other classes with the same slots.

Calls that Python does not have (`syncfs`, `openat2`, `renameat2`, `statfs`) go through ctypes and
would reach past a fake file system to the real disk. They are therefore used only where `os.open`
is the real builtin; elsewhere each says ENOSYS, or does the same in safe small steps.

Raw calls raise OSError: turning it into DiskError or StateError is the shells' business, because
only they know whether anything changed.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import platform
import re
import shutil
import stat
from types import BuiltinFunctionType
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_BUILTIN: Final = (
    *("open", "read", "write", "close", "fsync", "fdatasync", "fstat", "lstat", "stat"),
    *("scandir", "listdir", "mkdir", "rmdir", "rename", "replace", "unlink", "link", "readlink"),
    *("utime", "chmod", "chown", "fchmod", "fchown", "ftruncate", "lseek", "dup"),
)

O_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""Open a folder, and nothing else, not through a symlink as the last part."""
O_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
"""Open a folder that may be reached through a symlink: a tree's root."""
O_CONTENT: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Open a file for reading; a FIFO of that name does not block."""
O_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""Make a file that was not there."""

_AT_FDCWD: Final = -100
_SYS_OPENAT2: Final = 437  # the same on every architecture: calls from 424 on are unified
_RESOLVE: Final = 0x08 | 0x04 | 0x01  # BENEATH, NO_SYMLINKS, NO_XDEV (linux/openat2.h)
_RENAME_NOREPLACE: Final = 1
_RENAME_EXCHANGE: Final = 2
_SYNCFS_REPORTS: Final = (5, 8)  # before Linux 5.8 syncfs does not report failed writes
_STATFS_BYTES: Final = 512  # more than struct statfs has anywhere (120 on x86-64)
_RACES_MAX: Final = 16
_CHUNK_BYTES: Final = 1 << 20


LOCAL_TYPES: Final = {
    "ext2": 0xEF53,
    "ext3": 0xEF53,
    "ext4": 0xEF53,
    "xfs": 0x58465342,
    "btrfs": 0x9123683E,
    "f2fs": 0xF2F52010,
    "zfs": 0x2FC12FC1,
    "tmpfs": 0x01021994,
    "ramfs": 0x858458F6,
    "overlay": 0x794C7630,
}
"""File system types that only this kernel writes to, with their statfs magic (linux/magic.h)."""


class Mount(NamedTuple):
    """One line of the kernel's mount table (`man 5 proc`, mountinfo).

    `super_options` are the file system's, `options` those of this mount of it.
    """

    mount_id: int
    parent_id: int
    device: str
    root: str
    point: str
    fs_type: str
    source: str
    options: str
    super_options: str = ""


def _open_how(flags: int, mode: int) -> ctypes.Array[ctypes.c_uint64]:
    """Return a `struct open_how` (linux/openat2.h): flags, mode, resolve, 64 bits each."""
    return (ctypes.c_uint64 * 3)(flags, mode, _RESOLVE)


class OsFS:
    """File system calls as attributes. Make one after any fake file system is switched on.

    Attributes are the `os` functions of the same name, with their arguments. Methods are what
    `os` lacks. All raise OSError and nothing else.
    """

    __slots__ = (*_BUILTIN, "_beneath", "_libc", "native")

    open: Callable[..., int]
    read: Callable[[int, int], bytes]
    write: Callable[[int, bytes | memoryview], int]
    close: Callable[[int], None]
    fsync: Callable[[int], None]
    fdatasync: Callable[[int], None]
    fstat: Callable[[int], os.stat_result]
    lstat: Callable[..., os.stat_result]
    stat: Callable[..., os.stat_result]
    scandir: Callable[[str | int], AbstractContextManager[Iterator[os.DirEntry[str]]]]
    listdir: Callable[[str | int], list[str]]
    mkdir: Callable[..., None]
    rmdir: Callable[..., None]
    rename: Callable[..., None]
    replace: Callable[..., None]
    unlink: Callable[..., None]
    link: Callable[..., None]
    readlink: Callable[[str], str]
    utime: Callable[..., None]
    chmod: Callable[..., None]
    chown: Callable[..., None]
    fchmod: Callable[[int, int], None]
    fchown: Callable[[int, int, int], None]
    ftruncate: Callable[[int, int], None]
    lseek: Callable[[int, int, int], int]
    dup: Callable[[int], int]
    native: bool
    """Whether C calls reach the same files as the builtins."""

    def __init__(self) -> None:
        for name in _BUILTIN:
            setattr(self, name, getattr(os, name))
        self.native = isinstance(os.open, BuiltinFunctionType)
        self._libc = ctypes.CDLL(None, use_errno=True) if self.native else None
        self._beneath = self.native and self._has_openat2()

    # What `os` lacks.

    def syncfs(self, fd: int) -> None:
        """Write out everything on the file system that `fd` is on.

        ENOSYS where the call is missing or would not report failed writes (before Linux 5.8):
        the caller then syncs each file.
        """
        if self._libc is None or _kernel() < _SYNCFS_REPORTS:
            raise OSError(errno.ENOSYS, "syncfs is not to be had")
        if self._libc.syncfs(fd) != 0:
            raise _c_error(f"syncfs of descriptor {fd}")

    def openat2(self, root_fd: int, path: str, flags: int, mode: int = 0) -> int:
        """Open `path` below the folder `root_fd` without leaving it.

        No part of `path` may be a symlink (ELOOP, or ENOTDIR where parts are walked), lead above
        the root or over a mount point (EXDEV). `path` "" or "." is the root itself.
        """
        if not self._beneath:
            return self._walk_open(root_fd, path, flags, mode)
        how = _open_how(flags | os.O_CLOEXEC, mode if flags & os.O_CREAT else 0)
        name = os.fsencode(path or ".")
        for _ in range(_RACES_MAX):
            fd = self._openat2(root_fd, name, how)
            if fd >= 0:
                return fd
            # EAGAIN: somebody renamed something meanwhile and the kernel could not be sure.
            if ctypes.get_errno() not in {errno.EAGAIN, errno.EINTR}:
                break
        raise _c_error(path)

    def exchange(self, a: str, b: str, *, src_dir_fd: int = -1, dst_dir_fd: int = -1) -> None:
        """Swap two existing names in one step. ENOSYS or EINVAL where that is not to be had."""
        self._renameat2((src_dir_fd, a), (dst_dir_fd, b), _RENAME_EXCHANGE)

    def rename_noreplace(
        self, a: str, b: str, *, src_dir_fd: int = -1, dst_dir_fd: int = -1
    ) -> None:
        """Rename unless `b` exists (EEXIST). ENOSYS or EINVAL where that is not to be had."""
        self._renameat2((src_dir_fd, a), (dst_dir_fd, b), _RENAME_NOREPLACE)

    def statfs_type(self, path: str) -> int:
        """Return the magic number of the file system at `path` (linux/magic.h); 0: not known."""
        if self._libc is None:
            self.stat(path)
            return 0
        answer = (ctypes.c_long * (_STATFS_BYTES // ctypes.sizeof(ctypes.c_long)))()
        if self._libc.statfs(os.fsencode(path), ctypes.byref(answer)) != 0:
            raise _c_error(path)
        return int(answer[0]) & 0xFFFFFFFF

    def fsid(self, path: str) -> str:
        """Return the file system's id at `path`: hex digits, the same after a reboot on ext4."""
        if self._libc is None:
            return f"{self.stat(path).st_dev:x}"
        return f"{os.statvfs(path).f_fsid:x}"

    def mount_table(self) -> tuple[Mount, ...]:
        """Return the mounts of this process, in the kernel's order; empty where not known."""
        if self._libc is None:
            return ()
        fd = self.open("/proc/self/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = b"".join(iter(lambda: self.read(fd, _CHUNK_BYTES), b""))
        finally:
            self.close(fd)
        return tuple(_mount(line) for line in os.fsdecode(text).splitlines() if " - " in line)

    def mount_id(self, fd: int) -> int:
        """Return the number of the mount that `fd` was opened through; 0: not known.

        While `fd` is open no other mount has this number (`man 5 proc`, fdinfo).
        """
        if self._libc is None:
            return 0
        info = self.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            found = re.search(rb"^mnt_id:\s*(\d+)$", self.read(info, _CHUNK_BYTES), re.MULTILINE)
        finally:
            self.close(info)
        return int(found[1]) if found else 0

    def flock(self, fd: int, *, wait: bool = False) -> None:
        """Lock the open file of `fd` for itself; BlockingIOError if another has it."""
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

    def unlock(self, fd: int) -> None:
        """Give the lock of `flock` back. Closing the last descriptor does so too."""
        fcntl.flock(fd, fcntl.LOCK_UN)

    def disk_free(self, path: str) -> int:
        """Return how many bytes this user may still write on the file system of `path`."""
        return shutil.disk_usage(path).free

    # Coarse operations, in the calls above.

    def read_all(self, fd: int, limit: int) -> bytes:
        """Return what is left to read of `fd`; EFBIG if that is more than `limit` bytes."""
        parts: list[bytes] = []
        left = limit + 1
        while left > 0:
            part = self.read(fd, min(left, _CHUNK_BYTES))
            if not part:
                return parts[0] if len(parts) == 1 else b"".join(parts)
            parts.append(part)
            left -= len(part)
        raise OSError(errno.EFBIG, f"more than {limit} bytes")

    def write_all(self, fd: int, content: bytes) -> None:
        """Write all of `content`, in as many calls as it takes."""
        if not content:
            return
        written = self.write(fd, content)
        if written < len(content):
            rest = memoryview(content)[written:]
            while rest:
                rest = rest[self.write(fd, rest) :]

    def fsync_folder(self, fd: int) -> None:
        """Make the names in an open folder durable.

        Quiet where the file system has no such thing for folders (EINVAL: CIFS, some FUSE): its
        server orders names as it likes, and nothing more can be done from here.
        """
        try:
            self.fsync(fd)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise

    def fsync_dir(self, path: str) -> None:
        """Make the names in folder `path` durable, as `fsync_folder` does."""
        fd = self.open(path, O_FOLDER)
        try:
            self.fsync_folder(fd)
        finally:
            self.close(fd)

    # Private.

    def _has_openat2(self) -> bool:
        # Old container runtimes answer EPERM, not ENOSYS, for calls they do not know.
        fd = self._openat2(_AT_FDCWD, b".", _open_how(O_FOLDER, 0))
        if fd >= 0:
            self.close(fd)
        return fd >= 0 or ctypes.get_errno() not in {errno.ENOSYS, errno.EPERM}

    def _openat2(self, root_fd: int, name: bytes, how: ctypes.Array[ctypes.c_uint64]) -> int:
        assert self._libc is not None, "openat2 is only called on the real file system"
        size = ctypes.c_size_t(ctypes.sizeof(how))
        return int(
            self._libc.syscall(
                ctypes.c_long(_SYS_OPENAT2), ctypes.c_int(root_fd), name, ctypes.byref(how), size
            )
        )

    def _walk_open(self, root_fd: int, path: str, flags: int, mode: int) -> int:
        parts = [part for part in path.split("/") if part not in {"", "."}]
        if ".." in parts or path.startswith("/"):
            raise OSError(errno.EXDEV, "the path leaves its root", path)
        device = self.fstat(root_fd).st_dev
        here = root_fd
        try:
            for part in parts[:-1]:
                below = self.open(part, O_FOLDER, dir_fd=here)
                if here != root_fd:
                    self.close(here)
                here = below
                self._same_device(here, device, path)
            if not parts:
                return self.open(".", flags | os.O_NOFOLLOW, mode, dir_fd=here)
            fd = self.open(parts[-1], flags | os.O_NOFOLLOW, mode, dir_fd=here)
        finally:
            if here != root_fd:
                self.close(here)
        try:
            self._same_device(fd, device, path)
        except OSError:
            self.close(fd)
            raise
        return fd

    def _same_device(self, fd: int, device: int, path: str) -> None:
        status = self.fstat(fd)
        if status.st_dev != device and not stat.S_ISCHR(status.st_mode):
            raise OSError(errno.EXDEV, "the path leads over a mount point", path)

    def _renameat2(self, source: tuple[int, str], target: tuple[int, str], flags: int) -> None:
        call = getattr(self._libc, "renameat2", None) if self._libc is not None else None
        if call is None:
            raise OSError(errno.ENOSYS, "renameat2 is not to be had")
        (source_fd, a), (target_fd, b) = source, target
        done = call(
            ctypes.c_int(source_fd if source_fd >= 0 else _AT_FDCWD),
            os.fsencode(a),
            ctypes.c_int(target_fd if target_fd >= 0 else _AT_FDCWD),
            os.fsencode(b),
            ctypes.c_uint(flags),
        )
        if done != 0:
            raise _c_error(a, b)


def _kernel() -> tuple[int, int]:
    numbers = re.match(r"(\d+)\.(\d+)", platform.release())
    return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)


def _c_error(*paths: str) -> OSError:
    code = ctypes.get_errno()
    # OSError(errno, text, filename, winerror, filename2) is the builtin's own order.
    if len(paths) > 1:
        return OSError(code, os.strerror(code), paths[0], None, paths[1])
    return OSError(code, os.strerror(code), *paths)


def _mount(line: str) -> Mount:
    left, _, right = line.partition(" - ")
    mount_id, parent_id, device, root, point, options = left.split(" ")[:6]
    fs_type, source, super_options = (*right.split(" ")[:3], "")[:3]
    return Mount(
        int(mount_id),
        int(parent_id),
        device,
        _unescape(root),
        _unescape(point),
        fs_type,
        _unescape(source),
        options,
        super_options,
    )


def _unescape(text: str) -> str:
    # The kernel writes space, tab, newline and backslash as three octal digits.
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
