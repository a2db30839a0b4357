"""A file system of our own that shows a folder, and misbehaves as it is told.

    python -m tests.servers.played_mount BEHIND POINT

mounts at POINT (FUSE) what is in BEHIND. Each line on standard input is a JSON object with the fields of
`Play`: how it behaves from now on; the answer `ok` on standard output says that it does. Calls that hang
go on when a line says so. The end of standard input ends everything, so that nothing outlives the test
that started it, not even one that was killed.

`mounts.played` starts it. Needs root, libfuse3 and mfusepy.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Play:
    """How the calls below `under` (a path from the mount's root, "/" for all) behave.

    `calls` names those that are meant (getattr, readdir, open, read, write, rename, ...); empty: all.
    """

    slow_s: float = 0.0
    hang: bool = False
    errno: int = 0
    """What calls fail with; 0: they don't."""
    empty: bool = False
    """The root lists nothing, and nothing is found in it."""
    whole_seconds: bool = False
    """Times are cut to whole seconds, and ctime is mtime, as over SFTP."""
    under: str = "/"
    calls: tuple[str, ...] = ()

    def line(self) -> bytes:
        """Write it as `heed` reads it."""
        return json.dumps(asdict(self)).encode() + b"\n"

    def meant(self, call: str, path: str) -> bool:
        if self.calls and call not in self.calls:
            return False
        return self.under == "/" or path == self.under or path.startswith(self.under + "/")


class Stage:
    """The play that is on, and the calls that wait for another."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.play = Play()

    def put_on(self, play: Play) -> None:
        with self._changed:
            self.play = play
            self._changed.notify_all()

    def enter(self, call: str, path: str) -> Play:
        """Pass, late or after a hang, or fail, as the play says."""
        with self._changed:
            self._changed.wait_for(lambda: not (self.play.hang and self.play.meant(call, path)))
            play = self.play
            if not play.meant(call, path):
                return play
            if play.slow_s:
                self._changed.wait_for(lambda: self.play != play, play.slow_s)
        if play.errno:
            raise OSError(play.errno, os.strerror(play.errno), path)
        return play


class Shown:
    """The operations, by the names that libfuse has for them."""

    use_ns = True

    def __init__(self, behind: str, stage: Stage) -> None:
        self._behind = behind
        self._stage = stage

    def _way(self, call: str, path: str) -> str:
        play = self._stage.enter(call, path)
        if play.empty and path != "/":
            raise FileNotFoundError(2, "the mount shows an empty root", path)
        return self._behind + path

    def getattr(self, path: str, fh: int | None = None) -> dict[str, int]:
        way = self._way("getattr", path)
        try:
            found = os.lstat(way)
        except FileNotFoundError:
            if fh is None:
                raise
            found = os.fstat(fh)  # unlinked while it is open
        modified, changed = found.st_mtime_ns, found.st_ctime_ns
        if self._stage.play.whole_seconds:
            modified -= modified % SECOND_NS
            changed = modified
        return {
            "st_mode": found.st_mode,
            "st_nlink": found.st_nlink,
            "st_uid": found.st_uid,
            "st_gid": found.st_gid,
            "st_size": found.st_size,
            "st_atime": found.st_atime_ns,
            "st_mtime": modified,
            "st_ctime": changed,
        }

    def readdir(self, path: str, fh: int) -> Iterator[str]:
        way = self._way("readdir", path)
        yield from (".", "..")
        if not self._stage.play.empty:
            yield from os.listdir(way)

    def statfs(self, path: str) -> dict[str, int]:
        found = os.statvfs(self._way("statfs", path))
        names = ("f_bavail", "f_bfree", "f_blocks", "f_bsize", "f_files", "f_ffree", "f_frsize")
        return {name: getattr(found, name) for name in (*names, "f_namemax")}

    def open(self, path: str, flags: int) -> int:
        return os.open(self._way("open", path), flags)

    def create(self, path: str, mode: int, fi: object = None) -> int:
        return os.open(self._way("create", path), os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        self._way("read", path)
        return os.pread(fh, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._way("write", path)
        return os.pwrite(fh, data, offset)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        way = self._way("truncate", path)
        os.truncate(way if fh is None else fh, length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._way("fsync", path)
        os.fsync(fh)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        self._way("fsync", path)
        return 0

    def release(self, path: str, fh: int) -> int:
        os.close(fh)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        os.mkdir(self._way("mkdir", path), mode)
        return 0

    def rmdir(self, path: str) -> int:
        os.rmdir(self._way("rmdir", path))
        return 0

    def unlink(self, path: str) -> int:
        os.unlink(self._way("unlink", path))
        return 0

    def rename(self, old: str, new: str) -> int:
        os.rename(self._way("rename", old), self._way("rename", new))
        return 0

    def link(self, target: str, source: str) -> int:
        os.link(self._way("link", source), self._way("link", target))
        return 0

    def symlink(self, target: str, source: str) -> int:
        os.symlink(source, self._way("symlink", target))
        return 0

    def readlink(self, path: str) -> str:
        return os.readlink(self._way("readlink", path))

    def chmod(self, path: str, mode: int) -> int:
        os.chmod(self._way("chmod", path), mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        os.chown(self._way("chown", path), uid, gid)
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        os.utime(self._way("utimens", path), ns=times)
        return 0


def heed(stage: Stage) -> None:
    """Put on what standard input says; with its end let go of everything."""
    names = {one.name for one in fields(Play)}
    for line in sys.stdin.buffer:
        said = json.loads(line)
        assert said.keys() <= names, said
        stage.put_on(Play(**(said | {"calls": tuple(said.get("calls", ()))})))
        sys.stdout.write("ok\n")
        sys.stdout.flush()
    os._exit(0)  # what hangs in the kernel fails with it


def main(behind: str, point: str) -> None:
    import mfusepy  # noqa: PLC0415 - it loads libfuse, which who only wants a Play may not have

    stage = Stage()
    threading.Thread(target=heed, args=(stage,), daemon=True).start()
    mfusepy.FUSE(
        Shown(behind, stage),
        point,
        foreground=True,
        fsname="played",
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
        default_permissions=True,
        allow_other=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
