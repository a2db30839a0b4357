"""Folders seen through mounts that can be hung, slowed, emptied, cut off, killed, taken away.

    with sshfs(folder, behind, point, "reconnect") as mount:
        mount.server.hang()          # calls on `point` hang; `behind` can be read all the time
        mount.server.wake()
        mount.unmount(); mount.serve()

`behind` is what the share "really" holds: tests look there, never at a `point` that may hang, for a
process that waits on such a mount can't even be killed. Each kind of mount:

| | what serves it | how it fails |
| --- | --- | --- |
| `sshfs` | sshfs over an sshd of its own | `server.hang/wake/cut/stop`, `kill` (ENOTCONN), by its options |
| `nfs` | Ganesha, and libnfs behind FUSE | `server.hang/wake/kill/start`, `kill`; ESTALE |
| `bindfs` | bindfs | `hang`, `wake`, `kill` |
| `played` | a file system of our own | `play(errno=..., hang=..., slow_s=..., empty=...)` by path and call |
| `tmpfs`, `bind` | the kernel | mounted over and under something; `unmount` |

All of them can be unmounted (also lazily), those by FUSE aborted. Leaving the context ends the servers by
their ids, which fails whatever hangs, and unmounts all that is left at the point. Needs root and /dev/fuse:
without them the test is skipped, or fails where everything is required.
"""

from __future__ import annotations

import ctypes.util
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.nfs import NfsServer
from tests.servers.played_mount import Play
from tests.servers.process import READY_S, Server, need, program, reached
from tests.servers.sftp import FileServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
    "FUSE_LIBRARY_NAME": "fuse3",  # which of two mfusepy loads
}

UNCACHED = ("attr_timeout=0", "entry_timeout=0", "negative_timeout=0", "dir_cache=no")
"""Options of sshfs with which a change behind the mount is seen at once."""

WATCHFUL = ("ServerAliveInterval=1", "ServerAliveCountMax=2")
"""Options of ssh with which a server that hangs is noticed after two to three seconds."""


@dataclass(frozen=True)
class Line:
    """A line of the kernel's table that a test needs: what is mounted where."""

    point: Path
    device: str
    kind: str


def table() -> list[Line]:
    """Read the mount table; never touches a mount."""
    lines: list[Line] = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        words = left.split()
        lines.append(Line(Path(words[4]), words[2], right.split()[0]))
    return lines


def mounted(point: Path) -> list[Line]:
    """Return what is mounted at a point, the one on top last."""
    return [line for line in table() if line.point == point]


def need_root() -> None:
    """Skip or fail the test where nothing can be mounted."""
    need(os.geteuid() == 0, "right to mount (root)")


def mount(point: Path, *words: str) -> None:
    """Mount something at a point: `mount(point, "-t", "tmpfs", "none")`."""
    need_root()
    subprocess.run(["mount", *words, str(point)], check=True, timeout=30)


def unmount(point: Path, *, lazy: bool = False) -> None:
    """Unmount what is on top at a point, without a call on the mount itself: it may hang."""
    words = ["-l"] if lazy else []
    command = ["umount", "--no-canonicalize", "--internal-only", *words, str(point)]
    subprocess.run(command, check=True, timeout=30)


def _clear(point: Path) -> None:
    """Unmount all that is at a point, with all that is mounted in it, and what is left below it."""
    for _ in mounted(point):
        unmount(point, lazy=True)
    for line in reversed(table()):
        if point in line.point.parents:
            unmount(line.point, lazy=True)


@contextmanager
def tmpfs(point: Path) -> Iterator[Path]:
    """Mount an empty tmpfs over whatever is at the point."""
    mount(point, "-t", "tmpfs", "none")
    try:
        yield point
    finally:
        with suppress(subprocess.CalledProcessError):  # a test may have unmounted it
            unmount(point, lazy=True)


@contextmanager
def bind(source: Path, point: Path) -> Iterator[Path]:
    """Show a folder at another place too."""
    mount(point, "--bind", str(source))
    try:
        yield point
    finally:
        with suppress(subprocess.CalledProcessError):
            unmount(point, lazy=True)


class Mount:
    """A FUSE mount, and the process that serves it."""

    def __init__(self, behind: Path, point: Path, process: Server) -> None:
        self.behind = behind
        self.point = point
        self.process = process
        self._device = ""
        self._covers: list[Path] = []

    def serve(self) -> None:
        """Start the process, and wait until something more is mounted at the point."""
        before = len(mounted(self.point))
        self.process.start()
        self.process.wait_ready(lambda: len(mounted(self.point)) > before)
        self._device = mounted(self.point)[-1].device

    def hang(self) -> None:
        """Stop the process that serves it: every call that its cache can't answer hangs."""
        self.process.hang()

    def wake(self) -> None:
        """Let it go on."""
        self.process.wake()

    def kill(self) -> None:
        """Kill what serves it: every call fails with ENOTCONN, and it stays mounted."""
        self.process.kill()

    def unmount(self, *, lazy: bool = False) -> None:
        """Take it away; not lazily fails while somebody uses it."""
        unmount(self.point, lazy=lazy)

    def abort(self) -> None:
        """End its connection with the kernel, also when it is no more in the mount table."""
        with tempfile.TemporaryDirectory() as control:
            subprocess.run(["mount", "-t", "fusectl", "none", control], check=True, timeout=30)
            try:
                minor = self._device.partition(":")[2]
                (Path(control) / minor / "abort").write_bytes(b"1")
            finally:
                subprocess.run(["umount", control], check=True, timeout=30)

    def cover(self, where: str = ".") -> None:
        """Mount an empty tmpfs over the point, a folder below it, or the one that it is in ("..")."""
        place = Path(os.path.normpath(self.point / where))
        mount(place, "-t", "tmpfs", "none")
        self._covers.append(place)

    def uncover(self) -> None:
        """Take away what covers it."""
        while self._covers:
            unmount(self._covers.pop(), lazy=True)

    @property
    def is_mounted(self) -> bool:
        """Tell whether it is in the mount table (another may be on top)."""
        return any(line.device == self._device for line in mounted(self.point))

    def close(self) -> None:
        """End the process and unmount all that is at the point."""
        if self.process.process is not None:
            with suppress(ProcessLookupError):  # it leads a session: its children go with it
                os.killpg(self.process.process.pid, signal.SIGKILL)
        self.process.kill()
        while self._covers:
            with suppress(subprocess.CalledProcessError):  # it went with what it was mounted in
                unmount(self._covers.pop(), lazy=True)
        _clear(self.point)
        reached(lambda: not left(self.point), "what hung there has ended")


class Sshfs(Mount):
    """A mount over SFTP, with a server of its own."""

    def __init__(self, folder: Path, behind: Path, point: Path, options: Sequence[str]) -> None:
        self.server = FileServer(folder / "sshd")
        given = (
            f"port={self.server.port}",
            f"IdentityFile={self.server.key}",
            f"UserKnownHostsFile={self.server.known_hosts}",
            "StrictHostKeyChecking=yes",
            "BatchMode=yes",
            *options,
        )
        words = [word for option in given for word in ("-o", option)]
        source = f"{self.server.user}@127.0.0.1:{behind}"
        command = [program("sshfs"), "-f", *words, source, str(point)]
        super().__init__(behind, point, Server(_mortal(command), folder / "sshfs"))

    def serve(self) -> None:
        """Mount it, and wait for an answer of the server: it is mounted before it is connected."""
        super().serve()
        asked = subprocess.run(
            ["stat", "--file-system", str(self.point)],  # nothing keeps this in a cache
            capture_output=True,
            timeout=READY_S,
            check=False,
        )
        assert asked.returncode == 0, f"{asked.stderr.decode()}\n{self.process.log}"

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.server.kill()


class Played(Mount):
    """A mount that misbehaves as it is told."""

    def __init__(self, folder: Path, behind: Path, point: Path) -> None:
        words = [sys.executable, "-m", "tests.servers.played_mount", str(behind), str(point)]
        process = Server(words, folder / "played", ENVIRONMENT)
        process.pipes = True
        super().__init__(behind, point, process)

    def play(self, play: Play | None = None) -> None:
        """Behave like this from now on; without a play, well."""
        self.process.tell((play or Play()).line())


class Nfs(Mount):
    """A mount over NFS, with a server of its own."""

    def __init__(self, folder: Path, behind: Path, point: Path) -> None:
        self.server = NfsServer(folder / "ganesha", behind)
        words = [sys.executable, "-m", "tests.servers.nfs_mount", self.server.url, str(point)]
        super().__init__(behind, point, Server(_mortal(words), folder / "nfs", ENVIRONMENT))

    def close(self) -> None:
        try:
            super().close()
        finally:
            self.server.kill()


def _mortal(command: Sequence[str]) -> list[str]:
    """Have the kernel end a process with the one that started it."""
    return [program("setpriv"), "--pdeathsig", "KILL", *command]


def _need_fuse() -> None:
    need_root()
    need(Path("/dev/fuse").exists(), "/dev/fuse")


@contextmanager
def sshfs(folder: Path, behind: Path, point: Path, *options: str) -> Iterator[Sshfs]:
    """Mount by sshfs; what it needs and logs is in `folder`, `options` go to `-o`."""
    _need_fuse()
    found = Sshfs(folder, behind, point, options)
    try:
        found.server.start()
        found.serve()
        yield found
    finally:
        found.close()


@contextmanager
def nfs(folder: Path, behind: Path, point: Path) -> Iterator[Nfs]:
    """Mount by NFS, from a server and with a client that are both in user space."""
    _need_fuse()
    need(ctypes.util.find_library("nfs"), "libnfs")
    found = Nfs(folder, behind, point)
    try:
        found.server.start()
        found.serve()
        yield found
    finally:
        found.close()


@contextmanager
def bindfs(folder: Path, behind: Path, point: Path, *options: str) -> Iterator[Mount]:
    """Mount by bindfs."""
    _need_fuse()
    words = [word for option in options for word in ("-o", option)]
    command = [program("bindfs"), "-f", *words, str(behind), str(point)]
    found = Mount(behind, point, Server(_mortal(command), folder / "bindfs"))
    try:
        found.serve()
        yield found
    finally:
        found.close()


@contextmanager
def played(folder: Path, behind: Path, point: Path) -> Iterator[Played]:
    """Mount by a file system of our own."""
    _need_fuse()
    found = Played(folder, behind, point)
    try:
        found.serve()
        yield found
    finally:
        found.close()


def reads(point: Path, patience_s: float) -> str | None:
    """List a folder in a process of its own; None if it hangs, what failed or the names if not.

    A process that hangs is left behind: it ends with its mount.
    """
    code = (
        "import errno, os, sys\n"
        "try: print(*sorted(os.listdir(sys.argv[1])))\n"
        "except OSError as error: print(errno.errorcode[error.errno])\n"
    )
    with tempfile.TemporaryFile("w+") as answer:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(point)], stdin=subprocess.DEVNULL, stdout=answer
        )
        try:
            reached(lambda: process.poll() is not None, "the folder is listed", patience_s)
        except AssertionError:
            _LEFT.append((point, process))
            return None
        answer.seek(0)
        return answer.read().strip()


_LEFT: list[tuple[Path, subprocess.Popen[bytes]]] = []
"""Processes that hung when they were last looked at, and where."""


def left(point: Path) -> list[int]:
    """Return the processes that `reads` left behind at a point or below it, and that still hang."""
    _LEFT[:] = [(at, process) for at, process in _LEFT if process.poll() is None]
    return [process.pid for at, process in _LEFT if at.is_relative_to(point)]
