"""File system calls of which one fails: what the fault tests run the real code on."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from syncagent.fsio import Mount, OsFS

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLS = (
    *("open", "read", "write", "close", "fsync", "fdatasync", "fstat", "lstat", "stat"),
    *("scandir", "listdir", "mkdir", "rmdir", "rename", "replace", "unlink", "link"),
    *("utime", "chmod", "chown", "fchmod", "fchown", "ftruncate", "lseek", "dup"),
)
_OPENS = {"open", "dup", "openat2"}


class FaultyFS(OsFS):
    """The calls of `inner`; number `k` (from 1) fails with `code`, if `k` is not 0.

    `fail_on` names a call of which the next one fails. With `short_write`, call `k` writes only a part instead, if it is a write. `calls` counts,
    `opened` are the descriptors that were not closed, `flushes` counts by name.
    """

    __slots__ = (
        "calls",
        "code",
        "fail_on",
        "failed",
        "flushes",
        "inner",
        "k",
        "opened",
        "short_write",
    )

    def __init__(
        self, inner: OsFS, k: int = 0, code: int = 0, *, short_write: bool = False
    ) -> None:
        self.inner = inner
        self.k = k
        self.code = code
        self.short_write = short_write
        self.calls = 0
        self.failed = ""
        self.fail_on = ""
        self.flushes: list[str] = []
        self.opened: set[int] = set()
        self.native = inner.native
        self._beneath = inner._beneath
        self._libc = inner._libc
        for name in _CALLS:
            setattr(self, name, self._counted(name, getattr(inner, name)))

    def _counted(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            if self._hits(name) and not (self.short_write and name != "write"):
                self.failed = name
                if name == "write" and self.short_write:
                    fd, content = args
                    assert isinstance(content, bytes | memoryview)
                    return call(fd, content[: max(1, len(content) // 2)])
                if name == "close":
                    call(*args)
                    self.opened.discard(args[0])  # type: ignore[arg-type]
                raise OSError(self.code, os.strerror(self.code))
            if name in {"fsync", "fdatasync"}:
                self.flushes.append(name)
            result = call(*args, **kwargs)
            if name in _OPENS:
                assert isinstance(result, int)
                self.opened.add(result)
            elif name == "close":
                self.opened.discard(args[0])  # type: ignore[arg-type]
            return result

        return counted

    def _hits(self, name: str) -> bool:
        self.calls += 1
        if name == self.fail_on:
            self.fail_on = ""
            return True
        return self.calls == self.k

    def _method(self, name: str) -> None:
        if self._hits(name) and not self.short_write:
            self.failed = name
            raise OSError(self.code, os.strerror(self.code))

    def syncfs(self, fd: int) -> None:
        self._method("syncfs")
        self.flushes.append("syncfs")
        self.inner.syncfs(fd)

    def openat2(self, root_fd: int, path: str, flags: int, mode: int = 0) -> int:
        self._method("openat2")
        fd = self.inner.openat2(root_fd, path, flags, mode)
        self.opened.add(fd)
        return fd

    def exchange(self, a: str, b: str, *, src_dir_fd: int = -1, dst_dir_fd: int = -1) -> None:
        self._method("exchange")
        self.inner.exchange(a, b, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def rename_noreplace(
        self, a: str, b: str, *, src_dir_fd: int = -1, dst_dir_fd: int = -1
    ) -> None:
        self._method("rename_noreplace")
        self.inner.rename_noreplace(a, b, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    def statfs_type(self, path: str) -> int:
        self._method("statfs")
        return self.inner.statfs_type(path)

    def fsid(self, path: str) -> str:
        self._method("statfs")
        return self.inner.fsid(path)

    def mount_table(self) -> tuple[Mount, ...]:
        return self.inner.mount_table()
