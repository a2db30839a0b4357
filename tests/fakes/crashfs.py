"""A file system in memory that can lose power: what the durability tests run the real code on.

The model (ext4 and xfs keep more than this, POSIX promises no more):

- The bytes, mtime and mode of a file are durable after `fsync`, `fdatasync` or `syncfs`. Bytes that
  are not may be found old, empty, torn, zeroed, new, or new at the front and old behind.
- Every change of names is one atomic step (a rename and an exchange too, with both folders). It is
  durable after `fsync` of one of its folders or `syncfs`. Of the steps that are not, a power cut
  leaves a prefix (`ordered`), any subset (`subset`), `none` or `all`.

`crash_at` stops the run before call number k of those that change something. `image` then returns
what the next boot may find; `reborn` is a restart of the process alone, with the kernel's memory
as it was. `deaf` drops flushes, to seed a bug.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from syncagent.fsio import Mount, OsFS

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

Mode = Literal["ordered", "subset", "none", "all"]
MODES: tuple[Mode, ...] = ("ordered", "subset", "none", "all")


class Crash(BaseException):
    """The lights go out."""


@dataclass(eq=False)
class Inode:
    """A file or folder: as it is, and as it would be found without anything un-synced."""

    number: int
    mode: int
    mtime_ns: int = 0
    content: bytes = b""
    names: dict[str, Inode] = field(default_factory=dict)
    durable_content: bytes = b""
    durable_mtime_ns: int = 0
    durable_names: dict[str, Inode] = field(default_factory=dict)

    @property
    def is_folder(self) -> bool:
        return stat.S_ISDIR(self.mode)


@dataclass
class Handle:
    inode: Inode
    position: int = 0


Step = list[tuple[Inode, str, Inode | None]]


class Found:
    """A directory entry, as `os.scandir` yields it."""

    def __init__(self, name: str, status: os.stat_result) -> None:
        self.name = name
        self._status = status

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        return self._status

    def inode(self) -> int:
        return self._status.st_ino

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        return stat.S_ISDIR(self._status.st_mode)

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        return stat.S_ISREG(self._status.st_mode)

    def is_symlink(self) -> bool:
        return False


class Listing:
    """The context manager that `os.scandir` returns."""

    def __init__(self, found: list[Found]) -> None:
        self._found = iter(found)

    def __enter__(self) -> Iterator[Found]:
        return self._found

    def __exit__(self, *_: object) -> None:
        return None


class CrashFS(OsFS):
    """The calls of `OsFS` over the model. Without `swaps` it can neither exchange nor `noreplace`."""

    __slots__ = (
        *("_dead", "_handles", "_next", "_numbers", "_pending", "_root"),
        *("calls", "crash_at", "deaf", "swaps", "trace", "watch"),
    )

    def __init__(self, *, swaps: bool = True) -> None:
        for name in (
            *(
                "open",
                "read",
                "write",
                "close",
                "fsync",
                "fdatasync",
                "fstat",
                "stat",
                "scandir",
                "listdir",
            ),
            *("mkdir", "rmdir", "rename", "unlink", "link", "utime", "fchmod", "fchown"),
            *("ftruncate", "lseek"),
        ):
            setattr(self, name, getattr(self, f"_do_{name}"))
        self.lstat = self.stat
        self.replace = self.rename
        self.native = False
        self._beneath = False
        self._libc = None
        self.swaps = swaps
        self._numbers = 1
        self._root = Inode(1, stat.S_IFDIR | 0o755)
        self._pending: list[Step] = []
        self._handles: dict[int, Handle] = {}
        self._next = 100
        self.calls = 0
        self.crash_at = -1
        self._dead = False
        self.trace: list[str] = []
        self.deaf: Callable[[str, Inode | None], bool] = lambda _call, _inode: False
        self.watch: Callable[[str], None] = lambda _call: None

    # Crashing.

    @property
    def open_files(self) -> int:
        return len(self._handles)

    def inode_at(self, path: str) -> Inode:
        """Return what is at `path`."""
        return self._at(path, None)

    def freeze(self) -> None:
        """Make all that is there durable, and count from zero."""
        self._flush_all()
        self.calls = 0
        self.trace.clear()

    def reborn(self) -> None:
        """Start another process: descriptors are gone, un-synced changes are still visible."""
        self._handles.clear()
        self._dead = False
        self.calls, self.crash_at = 0, -1

    def image(self, rng: random.Random, mode: Mode) -> CrashFS:
        """Return one of the disks that the next boot may find."""
        names: dict[Inode, dict[str, Inode]] = {}
        for step in self._survivors(rng, mode):
            for folder, name, inode in step:
                found = names.setdefault(folder, dict(folder.durable_names))
                if inode is None:
                    found.pop(name, None)
                else:
                    found[name] = inode
        after = CrashFS(swaps=self.swaps)
        after._numbers = self._numbers
        copies: dict[Inode, Inode] = {}

        def copy(inode: Inode) -> Inode:
            if inode in copies:
                return copies[inode]
            kept = rng.random() < 0.5
            mtime_ns = inode.mtime_ns if kept else inode.durable_mtime_ns
            twin = copies[inode] = Inode(inode.number, inode.mode, mtime_ns)
            twin.content = self._torn(rng, inode)
            below = names.get(inode, inode.durable_names)
            twin.names = {name: copy(one) for name, one in below.items()}
            return twin

        after._root = copy(self._root)
        after.freeze()
        return after

    def _survivors(self, rng: random.Random, mode: Mode) -> list[Step]:
        match mode:
            case "ordered":
                return self._pending[: rng.randint(0, len(self._pending))]
            case "subset":
                return [step for step in self._pending if rng.random() < 0.5]
            case "none":
                return []
            case "all":
                return self._pending

    def _torn(self, rng: random.Random, inode: Inode) -> bytes:
        new, old = inode.content, inode.durable_content
        if new == old:
            return new
        half = len(new) // 2
        return rng.choice((old, b"", new[:half], bytes(len(new)), new, new[:half] + old[half:]))

    def _call(self, what: str) -> None:
        self.calls += 1
        self.trace.append(what)
        if self.calls == self.crash_at:
            self._dead = True
        self._alive()
        self.watch(what)

    def _alive(self) -> None:
        # Nothing that a `finally` does after the crash may reach the disk.
        if self._dead:
            raise Crash(self.trace[-1])

    def _change(self, step: Step) -> None:
        self._pending.append(step)
        for folder, name, inode in step:
            if inode is None:
                folder.names.pop(name, None)
            else:
                folder.names[name] = inode

    def _flush_folder(self, folder: Inode) -> None:
        rest: list[Step] = []
        for step in self._pending:
            if any(one is folder for one, _, _ in step):
                self._make_durable(step)
            else:
                rest.append(step)
        self._pending = rest

    def _make_durable(self, step: Step) -> None:
        for folder, name, inode in step:
            if inode is None:
                folder.durable_names.pop(name, None)
            else:
                folder.durable_names[name] = inode

    def _flush_all(self) -> None:
        for step in self._pending:
            self._make_durable(step)
        self._pending = []
        todo = [self._root]
        while todo:
            inode = todo.pop()
            inode.durable_content, inode.durable_mtime_ns = inode.content, inode.mtime_ns
            if inode.is_folder:
                inode.durable_names = dict(inode.names)
                todo.extend(inode.names.values())

    # Names.

    def _parent(self, path: str, dir_fd: int | None) -> tuple[Inode, str]:
        self._alive()
        here = self._root
        if dir_fd is not None and not path.startswith("/"):
            here = self._handles[dir_fd].inode
        parts = [part for part in path.split("/") if part not in {"", "."}]
        assert ".." not in parts
        if not parts:
            return here, ""
        for part in parts[:-1]:
            here = self._below(here, part, path)
        return here, parts[-1]

    def _below(self, folder: Inode, name: str, path: str) -> Inode:
        if not folder.is_folder:
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", path)
        if name and name not in folder.names:
            raise FileNotFoundError(errno.ENOENT, "not there", path)
        return folder.names[name] if name else folder

    def _at(self, path: str, dir_fd: int | None) -> Inode:
        folder, name = self._parent(path, dir_fd)
        return self._below(folder, name, path)

    def _new(self, mode: int) -> Inode:
        self._numbers += 1
        return Inode(self._numbers, mode)

    # Calls.

    def _do_open(
        self, path: str, flags: int, mode: int = 0o777, *, dir_fd: int | None = None
    ) -> int:
        folder, name = self._parent(path, dir_fd)
        inode = folder if not name else folder.names.get(name)
        if not folder.is_folder:
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", path)
        if inode is None:
            if not flags & os.O_CREAT:
                raise FileNotFoundError(errno.ENOENT, "not there", path)
            self._call(f"create {name}")
            inode = self._new(stat.S_IFREG | mode)
            self._change([(folder, name, inode)])
        elif flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, "there", path)
        elif flags & os.O_DIRECTORY and not inode.is_folder:
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", path)
        elif flags & os.O_TRUNC:
            self._call(f"truncate {name}")
            inode.content = b""
        self._next += 1
        self._handles[self._next] = Handle(inode)
        return self._next

    def _handle(self, fd: int) -> Handle:
        self._alive()
        if fd not in self._handles:
            raise OSError(errno.EBADF, "no such descriptor")
        return self._handles[fd]

    def _do_read(self, fd: int, size: int) -> bytes:
        handle = self._handle(fd)
        part = handle.inode.content[handle.position : handle.position + size]
        handle.position += len(part)
        return part

    def _do_write(self, fd: int, content: bytes | memoryview) -> int:
        handle = self._handle(fd)
        self._call(f"write {len(content)}")
        old = handle.inode.content
        end = handle.position + len(content)
        handle.inode.content = old[: handle.position] + bytes(content) + old[end:]
        handle.position = end
        return len(content)

    def _do_close(self, fd: int) -> None:
        self._handle(fd)
        del self._handles[fd]

    def _do_fsync(self, fd: int) -> None:
        self._flush("fsync", self._handle(fd).inode)

    def _do_fdatasync(self, fd: int) -> None:
        self._flush("fdatasync", self._handle(fd).inode)

    def _flush(self, call: str, inode: Inode) -> None:
        call = f"{call} folder" if inode.is_folder else f"{call} file"
        self._call(call)
        if self.deaf(call, inode):
            return
        if inode.is_folder:
            self._flush_folder(inode)
        else:
            inode.durable_content, inode.durable_mtime_ns = inode.content, inode.mtime_ns

    def syncfs(self, fd: int) -> None:
        self._handle(fd)
        self._call("syncfs")
        if not self.deaf("syncfs", None):
            self._flush_all()

    def _status(self, inode: Inode) -> os.stat_result:
        whole_s, time_ns = inode.mtime_ns // 10**9, inode.mtime_ns
        times = (whole_s, whole_s, whole_s, time_ns / 1e9, time_ns / 1e9, time_ns / 1e9)
        return os.stat_result(
            (inode.mode, inode.number, 1, 1, 0, 0, len(inode.content), *times, *(time_ns,) * 3)
        )

    def _do_fstat(self, fd: int) -> os.stat_result:
        return self._status(self._handle(fd).inode)

    def _do_stat(
        self, path: str, *, dir_fd: int | None = None, follow_symlinks: bool = True
    ) -> os.stat_result:
        return self._status(self._at(path, dir_fd))

    def _folder(self, where: str | int) -> Inode:
        folder = self._handle(where).inode if isinstance(where, int) else self._at(where, None)
        if not folder.is_folder:
            raise NotADirectoryError(errno.ENOTDIR, "not a folder")
        return folder

    def _do_listdir(self, where: str | int) -> list[str]:
        return sorted(self._folder(where).names)

    def _do_scandir(self, where: str | int) -> Listing:
        names = self._folder(where).names
        return Listing([Found(name, self._status(names[name])) for name in sorted(names)])

    def _do_mkdir(self, path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        folder, name = self._parent(path, dir_fd)
        if not folder.is_folder:
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", path)
        if name in folder.names:
            raise FileExistsError(errno.EEXIST, "there", path)
        self._call(f"mkdir {name}")
        self._change([(folder, name, self._new(stat.S_IFDIR | mode))])

    def _do_rmdir(self, path: str, *, dir_fd: int | None = None) -> None:
        folder, name = self._parent(path, dir_fd)
        if self._below(folder, name, path).names:
            raise OSError(errno.ENOTEMPTY, "not empty", path)
        self._call(f"rmdir {name}")
        self._change([(folder, name, None)])

    def _do_rename(
        self,
        a: str,
        b: str,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
    ) -> None:
        source, old = self._parent(a, src_dir_fd)
        target, new = self._parent(b, dst_dir_fd)
        moved = self._below(source, old, a)
        there = target.names.get(new)
        if there is moved:
            return
        if there is not None and moved.is_folder and not there.is_folder:
            raise NotADirectoryError(errno.ENOTDIR, "not a folder", b)
        if there is not None and there.is_folder and not moved.is_folder:
            raise IsADirectoryError(errno.EISDIR, "a folder", b)
        if there is not None and there.names:
            raise OSError(errno.ENOTEMPTY, "not empty", b)
        self._call(f"rename {old} {new}")
        self._change([(target, new, moved), (source, old, None)])

    def exchange(self, a: str, b: str, *, src_dir_fd: int = -1, dst_dir_fd: int = -1) -> None:
        if not self.swaps:
            raise OSError(errno.ENOSYS, "no exchange")
        source, old = self._parent(a, src_dir_fd if src_dir_fd >= 0 else None)
        target, new = self._parent(b, dst_dir_fd if dst_dir_fd >= 0 else None)
        there, here = self._below(target, new, b), self._below(source, old, a)
        self._call(f"exchange {old} {new}")
        self._change([(target, new, here), (source, old, there)])

    def rename_noreplace(
        self, a: str, b: str, *, src_dir_fd: int = -1, dst_dir_fd: int = -1
    ) -> None:
        if not self.swaps:
            raise OSError(errno.ENOSYS, "no noreplace")
        target, new = self._parent(b, dst_dir_fd if dst_dir_fd >= 0 else None)
        if new in target.names:
            raise FileExistsError(errno.EEXIST, "there", b)
        self.rename(a, b, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def _do_unlink(self, path: str, *, dir_fd: int | None = None) -> None:
        folder, name = self._parent(path, dir_fd)
        if self._below(folder, name, path).is_folder:
            raise IsADirectoryError(errno.EISDIR, "a folder", path)
        self._call(f"unlink {name}")
        self._change([(folder, name, None)])

    def _do_link(
        self,
        a: str,
        b: str,
        *,
        src_dir_fd: int | None = None,
        dst_dir_fd: int | None = None,
        follow_symlinks: bool = True,
    ) -> None:
        inode = self._at(a, src_dir_fd)
        target, new = self._parent(b, dst_dir_fd)
        if new in target.names:
            raise FileExistsError(errno.EEXIST, "there", b)
        self._call(f"link {new}")
        self._change([(target, new, inode)])

    def _do_utime(self, where: str | int, *, ns: tuple[int, int]) -> None:
        inode = self._handle(where).inode if isinstance(where, int) else self._at(where, None)
        self._call("utime")
        inode.mtime_ns = ns[1]

    def _do_fchmod(self, fd: int, mode: int) -> None:
        inode = self._handle(fd).inode
        inode.mode = stat.S_IFMT(inode.mode) | mode

    def _do_fchown(self, fd: int, uid: int, gid: int) -> None:
        self._handle(fd)

    def _do_ftruncate(self, fd: int, size: int) -> None:
        inode = self._handle(fd).inode
        self._call("ftruncate")
        inode.content = inode.content[:size].ljust(size, b"\0")

    def _do_lseek(self, fd: int, offset: int, whence: int) -> int:
        handle = self._handle(fd)
        start = {0: 0, 1: handle.position, 2: len(handle.inode.content)}[whence]
        handle.position = start + offset
        return handle.position

    def statfs_type(self, path: str) -> int:
        self._at(path, None)
        return 0

    def fsid(self, path: str) -> str:
        self._at(path, None)
        return "crashfs"

    def mount_table(self) -> tuple[Mount, ...]:
        return ()

    def flock(self, fd: int, *, wait: bool = False) -> None:
        self._handle(fd)

    def unlock(self, fd: int) -> None:
        self._handle(fd)

    def disk_free(self, path: str) -> int:
        return 1 << 40
