"""The runtime's standard error, where it goes to a file: the only place that says what a deployer died of.

The end of a Java thread is printed there by the virtual machine, with the stack trace, which tells which
kind's deployer it was. The file is found through the process (`/proc/PID/fd/2`) and read from where it
ended when the process was first seen, since an older text may be an earlier process's. A terminal, a pipe
or a journal can't be read; then the log has to do (see `reader`).
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.runtime import EXCERPT_MAX, REASON_MAX
from syncagent.runtime.patterns import WORDS

if TYPE_CHECKING:
    from syncagent.core.artifact import Kind
    from syncagent.fsio import OsFS
    from syncagent.runtime.phase import Process

LOOK_S = 1.0
READ_BYTES = 256 * 1024
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC

_DEATH = re.compile(
    rb'^Exception in thread "Timer-\d+" (?P<type>[\w$.]+)(?:: (?P<text>[^\n]*))?\n'
    rb"(?P<trace>(?:\s+(?:at |\.\.\. )[^\n]*\n|Caused by: [^\n]*\n)*)",
    re.MULTILINE,
)
_DEPLOYMENT = b"org.apache.axis2.deployment."
_DEPLOYER = re.compile(rb"\.(\w+)Deployer\.(?:update|deploy|undeploy|restore)SynapseArtifact\(")


@dataclass(frozen=True, slots=True)
class Death:
    """What ended the deployer. `kind` is that of the artifact it was at, None if the trace is silent."""

    reason: str
    kind: Kind | None
    excerpt: str


class Console:
    """Looks at one process's standard error at a time. Not for several threads."""

    def __init__(self, fs: OsFS, proc: str) -> None:
        self._fs = fs
        self._proc = proc
        self._incarnation = ""
        self._at = 0
        self._seen = -1
        self._next = 0.0

    def look(self, process: Process | None, now: float) -> Death | None:
        """Return a death that was printed since the last look, None if there was none.

        `now` is any clock that only rises (s). What can't be read says nothing.
        """
        if process is None or now < self._next:
            return None
        self._next = now + LOOK_S
        path = f"{self._proc}/{process.pid}/fd/2"
        with suppress(OSError):
            status = self._fs.stat(path)
            if stat.S_ISREG(status.st_mode):
                return self._read(path, process, status.st_size)
        return None

    def _read(self, path: str, process: Process, size: int) -> Death | None:
        if process.incarnation != self._incarnation:
            self._incarnation, self._at, self._seen = process.incarnation, size, size
        if size < self._at:
            self._at = 0
        grown, self._seen = size != self._seen, size
        if size <= self._at:
            return None
        fd = self._fs.open(path, _READ)
        try:
            self._fs.lseek(fd, self._at, os.SEEK_SET)
            text = self._fs.read(fd, READ_BYTES)
        finally:
            with suppress(OSError):
                self._fs.close(fd)
        return self._in(text, grown=grown)

    def _in(self, text: bytes, *, grown: bool) -> Death | None:
        for found in _DEATH.finditer(text):
            if grown and b"\n" not in text[found.end() :]:
                # The trace may not be whole yet: it is read again at the next look.
                self._at += found.start()
                return None
            if _DEPLOYMENT in found["trace"]:
                self._at += found.end()
                return _death(found)
        if not grown or len(text) == READ_BYTES:
            self._at += len(text)
        else:
            self._at += text.rfind(b"\n") + 1
        return None


def _death(found: re.Match[bytes]) -> Death:
    deployer = _DEPLOYER.search(found["trace"])
    name = found["type"].decode().rpartition(".")[2]
    text = (found["text"] or b"").decode("utf-8", "replace").strip()
    first = found[0].partition(b"\n\tat ")[0].decode("utf-8", "replace")
    return Death(
        (text or name)[:REASON_MAX],
        WORDS.get(deployer[1].decode()) if deployer else None,
        first[:EXCERPT_MAX],
    )
