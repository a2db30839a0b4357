"""An NFS client in user space: what an NFS server exports, mounted by FUSE.

    python -m tests.servers.nfs_mount URL POINT

URL is libnfs's: `nfs://127.0.0.1/share?version=4&nfsport=20490`. The kernels that tests run on have no NFS, so
the client here is libnfs behind FUSE: real NFS on the wire, but without the kernel client's page cache, its
silly renames and its locks. Calls go one after another: a server that hangs makes all of them hang, as
on a hard mount. A server that is gone makes them fail with EIO, as on a soft mount; each call tries to connect
again.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from ctypes import POINTER, c_char_p, c_uint64, c_void_p
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

LIBRARY = "libnfs.so.13"
SECOND_NS = 1_000_000_000
LINK_BYTES_MAX = 4096
WRITE_BYTES_MAX = 2048
"""libnfs 4.0 has no room for 5,000 in one call over NFSv4."""


class Url(ctypes.Structure):
    _fields_ = (("server", c_char_p), ("path", c_char_p), ("file", c_char_p))


class Stat(ctypes.Structure):
    """`struct nfs_stat_64`."""

    _fields_ = tuple(
        (name, c_uint64)
        for name in (
            *("dev", "ino", "mode", "nlink", "uid", "gid", "rdev", "size", "blksize", "blocks"),
            *("atime", "mtime", "ctime", "atime_nsec", "mtime_nsec", "ctime_nsec", "used"),
        )
    )


class Name(ctypes.Structure):
    """The beginning of `struct nfsdirent`."""


Name._fields_ = (("next", POINTER(Name)), ("name", c_char_p))


class Times(ctypes.Structure):
    """Two `struct timeval`: when it was read, when it was changed."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("read_s", "read_us", "mod_s", "mod_us"))


class Opened(NamedTuple):
    """An open file, and the client that opened it.

    libnfs 4.0 loses count of what one client has opened over NFSv4 (NFS4ERR_BAD_SEQID): each opens one.
    """

    context: c_void_p
    handle: c_void_p


def library() -> ctypes.CDLL:
    found = ctypes.CDLL(LIBRARY)
    found.nfs_init_context.restype = c_void_p
    found.nfs_parse_url_dir.restype = POINTER(Url)
    found.nfs_readdir.restype = POINTER(Name)
    found.nfs_get_error.restype = c_char_p
    return found


class Exported:
    """The operations, by the names that libfuse has for them."""

    use_ns = True

    def __init__(self, url: str) -> None:
        self._nfs = library()
        self._url = url.encode()
        self._open: dict[int, Opened] = {}
        self._count = 0
        self._context = self._connected()

    def _connected(self) -> c_void_p:
        context = c_void_p(self._nfs.nfs_init_context())
        parsed = self._nfs.nfs_parse_url_dir(context, self._url)
        assert parsed, self._nfs.nfs_get_error(context)
        place = parsed.contents
        if self._nfs.nfs_mount(context, place.server, place.path) != 0:
            self._nfs.nfs_destroy_context(context)
            raise OSError(errno.EIO, "the NFS server can't be reached")
        self._nfs.nfs_set_autoreconnect(context, 0)
        self._nfs.nfs_umask(context, 0)  # the kernel has applied the caller's
        return context

    def _do(self, call: str, *words: object) -> int:
        """Call the library for a path, if need be after connecting again."""
        try:
            return self._by(self._context, call, *words)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
        self._context = self._connected()
        return self._by(self._context, call, *words)

    def _by(self, context: c_void_p, call: str, *words: object) -> int:
        """Call the library; it returns what went wrong as a negative errno."""
        given = [os.fsencode(word) if isinstance(word, str) else word for word in words]
        done: int = getattr(self._nfs, f"nfs_{call}")(context, *given)
        if done < 0:
            raise OSError(-done, os.strerror(-done))
        return done

    def _aside(self, call: str, *words: object) -> int:
        """Call the library for something that it opens the file for."""
        context = self._connected()
        try:
            return self._by(context, call, *words)
        except IsADirectoryError:
            return 0  # libnfs can't over NFSv4: a folder keeps the mode that it was made with
        finally:
            self._nfs.nfs_destroy_context(context)

    def _opened(self, call: str, *words: object) -> int:
        context, handle = self._connected(), c_void_p()
        try:
            self._by(context, call, *words, ctypes.byref(handle))
        except OSError:
            self._nfs.nfs_destroy_context(context)
            raise
        self._count += 1
        self._open[self._count] = Opened(context, handle)
        return self._count

    def _on(self, call: str, fh: int, *words: object) -> int:
        opened = self._open[fh]
        return self._by(opened.context, call, opened.handle, *words)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        found = Stat()
        self._do("lstat64", path, ctypes.byref(found))
        shown = {
            f"st_{name}": getattr(found, name) for name in ("mode", "nlink", "uid", "gid", "size")
        }
        for name in ("atime", "mtime", "ctime"):
            shown[f"st_{name}"] = getattr(found, name) * SECOND_NS + getattr(found, f"{name}_nsec")
        return shown

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        folder = c_void_p()
        self._do("opendir", path, ctypes.byref(folder))
        names = []
        while entry := self._nfs.nfs_readdir(self._context, folder):
            names.append(os.fsdecode(entry.contents.name))
        self._nfs.nfs_closedir(self._context, folder)
        yield from {".", "..", *names}

    def open(self, path: str, flags: int) -> int:
        return self._opened("open", path, flags & os.O_ACCMODE)

    def create(self, path: str, mode: int, fi: object = None) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        return self._opened("open2", path, flags, stat.S_IMODE(mode))

    def release(self, path: str, fh: int) -> int:
        opened = self._open.pop(fh)
        try:
            return self._by(opened.context, "close", opened.handle)
        finally:
            self._nfs.nfs_destroy_context(opened.context)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        into = ctypes.create_string_buffer(size)
        count = self._on("pread", fh, c_uint64(offset), c_uint64(size), into)
        return into.raw[:count]

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        for start in range(0, len(data), WRITE_BYTES_MAX):
            part = data[start : start + WRITE_BYTES_MAX]
            self._on("pwrite", fh, c_uint64(offset + start), c_uint64(len(part)), part)
        return len(data)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        return self._on("fsync", fh)

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        return 0  # an NFS server has made a name durable when it answers

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        if fh is None:
            return self._aside("truncate", path, c_uint64(length))
        return self._on("ftruncate", fh, c_uint64(length))

    def mkdir(self, path: str, mode: int) -> int:
        return self._do("mkdir2", path, mode)

    def rmdir(self, path: str) -> int:
        return self._do("rmdir", path)

    def unlink(self, path: str) -> int:
        return self._do("unlink", path)

    def rename(self, old: str, new: str) -> int:
        return self._do("rename", old, new)

    def link(self, target: str, source: str) -> int:
        return self._do("link", source, target)

    def symlink(self, target: str, source: str) -> int:
        return self._do("symlink", source, target)

    def readlink(self, path: str) -> str:
        into = ctypes.create_string_buffer(LINK_BYTES_MAX)
        self._do("readlink", path, into, LINK_BYTES_MAX)
        return os.fsdecode(into.value)

    def chmod(self, path: str, mode: int) -> int:
        return self._aside("chmod", path, stat.S_IMODE(mode))

    def chown(self, path: str, uid: int, gid: int) -> int:
        return self._aside("lchown", path, uid, gid)

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        if times is None:
            return self._aside("utimes", path, None)
        (read_s, read_ns), (mod_s, mod_ns) = (divmod(one, SECOND_NS) for one in times)
        return self._aside(
            "utimes", path, ctypes.byref(Times(read_s, read_ns // 1000, mod_s, mod_ns // 1000))
        )


def main(url: str, point: str) -> None:
    import mfusepy  # noqa: PLC0415 - it loads libfuse, which who only reads this may not have

    mfusepy.FUSE(
        Exported(url),
        point,
        foreground=True,
        nothreads=True,
        fsname="nfs",
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        default_permissions=True,
        allow_other=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
