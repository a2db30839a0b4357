"""Whether the runtime's process is there: looked for in /proc by the gateway's home.

A process is the runtime's if it runs one of the product's main classes and its command line, or its
working folder, names the home. Command lines are readable for everyone (except under `hidepid`: then
for the same user, as which the agent runs anyway). A pid file (`wso2carbon.pid`) is looked at first;
it only says which process to look at.

Once found, the process is known by its start time: one read per look. While it is not there, new
processes are looked at every `NEW_S`, all of them every `ALL_S` (a shell that becomes Java keeps its
process id). A line in the log is a reason to look at once: `hurry`.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.mountpoints import canonical
from syncagent.runtime.phase import Process

if TYPE_CHECKING:
    from syncagent.fsio import OsFS
    from syncagent.ports import Clock

NEW_S = 2.0
ALL_S = 15.0
ALIVE_S = 1.0
HURRY_S = 0.5
"""Least pause between two looks, however many reasons there are."""
_BYTES_MAX = 256 * 1024
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Traits:
    """What a runtime's process is known by. Without a home it can't be found.

    `mains` are main classes, `pid_files` lie below the home; `proc` is where processes are listed.
    """

    home: str
    mains: tuple[str, ...] = ()
    pid_files: tuple[str, ...] = ()
    proc: str = "/proc"


class Presence:
    """Finds one runtime's process. Not for several threads."""

    def __init__(self, fs: OsFS, clock: Clock, traits: Traits) -> None:
        self._fs = fs
        self._clock = clock
        home = traits.home.rstrip("/")
        self._homes = {home, canonical(fs, home)} if home else set()
        self._mains = {name.encode() for name in traits.mains}
        self._pid_files = [f"{home}/{name}" for name in traits.pid_files]
        self._proc = traits.proc
        self._known: set[int] = set()
        self._next_all = 0.0
        self._next_look = 0.0
        self._looked_at = float("-inf")
        self._boot = ""
        self.process: Process | None = None

    @property
    def watched(self) -> bool:
        """Whether a process would be found if it were there."""
        return bool(self._homes)

    def hurry(self) -> None:
        """Look at once: something says that the process came or went."""
        self._next_look = min(self._next_look, self._looked_at + HURRY_S)
        self._next_all = min(self._next_all, self._next_look)

    def look(self) -> Process | None:
        """Return the runtime's process as of now, or as of the last look if that is fresh enough."""
        now = self._clock.now()
        if not self._homes or now < self._next_look:
            return self.process
        self._looked_at = now
        if self.process is not None and not self._lives(self.process):
            self.process = None
            self._next_all = now
        if self.process is None:
            self.process = self._find(now)
        self._next_look = now + (NEW_S if self.process is None else ALIVE_S)
        return self.process

    def _lives(self, process: Process) -> bool:
        started = self._ticks(process.pid)
        return started is not None and process.incarnation.endswith(f"-{process.pid}-{started}")

    def _find(self, now: float) -> Process | None:
        for pid in self._from_files():
            if self._is_ours(pid):
                return self._made(pid)
        try:
            pids = {int(name) for name in self._fs.listdir(self._proc) if name.isdecimal()}
        except OSError:
            return None
        every = now >= self._next_all
        if every:
            self._next_all = now + ALL_S
        # The youngest first: during a restart the old one may still be ending.
        for pid in sorted(pids if every else pids - self._known, reverse=True):
            if self._is_ours(pid):
                return self._made(pid)
        self._known = pids
        return None

    def _from_files(self) -> list[int]:
        found = []
        for path in self._pid_files:
            text = self._text(path).strip()
            if text.isdigit():
                found.append(int(text))
        return found

    def _is_ours(self, pid: int) -> bool:
        words = self._text(f"{self._proc}/{pid}/cmdline").split(b"\0")
        if self._mains.isdisjoint(words):
            return False
        for home in self._homes:
            wanted = os.fsencode(home)
            for word in words:
                value = word.rpartition(b"=")[2]
                if value == wanted or value.startswith(wanted + b"/"):
                    return True
        return self._works_at_home(pid)

    def _works_at_home(self, pid: int) -> bool:
        with suppress(OSError):
            cwd = self._fs.stat(f"{self._proc}/{pid}/cwd")
            for home in self._homes:
                here = self._fs.stat(home)
                if (here.st_dev, here.st_ino) == (cwd.st_dev, cwd.st_ino):
                    return True
        return False

    def _made(self, pid: int) -> Process | None:
        ticks = self._ticks(pid)
        if ticks is None:
            return None
        self._boot = (
            self._boot or self._text(f"{self._proc}/sys/kernel/random/boot_id").decode()[:8]
        )
        # /proc counts from the boot, suspended time included: the same clock as the agent's own.
        started_at = self._clock.wall() - (self._clock.now() - ticks / _TICKS)
        return Process(pid, f"{self._boot}-{pid}-{ticks}", started_at)

    def _ticks(self, pid: int) -> int | None:
        """Return when a process started, in ticks since the boot; None if it is gone, or a zombie."""
        fields = self._text(f"{self._proc}/{pid}/stat").rpartition(b")")[2].split()
        # man 5 proc: state is field 3, starttime is field 22; the list begins with field 3.
        if len(fields) < 20 or fields[0] in {b"Z", b"X"}:  # noqa: PLR2004
            return None
        return int(fields[19])

    def _text(self, path: str) -> bytes:
        """Return what a file holds, empty if it can't be read: processes end at any moment."""
        try:
            fd = self._fs.open(path, _READ)
        except OSError:
            return b""
        try:
            return self._fs.read(fd, _BYTES_MAX)
        except OSError:
            return b""
        finally:
            with suppress(OSError):
                self._fs.close(fd)
