"""Reading from a share in a process of its own, one for each look: this process touches no mount.

What hangs in a mount can be neither ended nor waited for. So whoever reads there is a process that
is asked over a socket and believed for as long as something comes every `SILENCE_S`; then it is
killed, and as long as it hangs nevertheless no other is started. What it does not bring comes over
a connection to the manager, as without a share.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from syncagent.agent.wiring.share_source import ShareSource
from syncagent.agent.wiring.tether import die_with_parent
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, StateError
from syncagent.fsio import OsFS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.manifest import Entry
    from syncagent.core.settings import Settings

    Wanted = Sequence[tuple[ArtifactPath, Entry]]

START_S: Final = 10.0
"""How long the process may take before it looks at the share at all: on a busy machine, seconds."""
SILENCE_S: Final = 2.0
"""Nothing from the share for so long means that it does not answer."""
LONGEST_S: Final = 30.0
"""A slow share is not waited for longer than this: a connection may be faster."""
_END_S: Final = 2.0
_HEAD: Final = struct.Struct(">cI")
"""Before each answer: what it is, and how many bytes follow."""
_READY: Final = b"r"
_FOUND: Final = b"f"
_LACKING: Final = b"l"
_END: Final = b"e"
_BEGIN: Final = """
import sys
sys.path[:] = sys.argv[2:]
from syncagent.agent.wiring.share_reader import main
main(int(sys.argv[1]))
"""


class ShareReader:
    """Reads from the share of `settings`. One thread at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def read(self, wanted: Wanted) -> Iterator[tuple[Entry, bytes]]:
        """Yield what the share has of `wanted`, verified. Raises DiskError when it has no more to say.

        That is if it fails, or does not answer.
        """
        if self._process is not None and self._process.poll() is None:
            raise DiskError(f"an earlier look hangs in the share (process {self._process.pid})")
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = _started(theirs)
            with ours:
                ours.settimeout(START_S)
                ours.sendall(pickle.dumps((self._settings, tuple(wanted))))
                yield from _answers(ours, wanted)
        except OSError as error:
            why = "the share does not answer" if isinstance(error, TimeoutError) else str(error)
            raise DiskError(why) from error
        finally:
            ours.close()
            self._end()

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            return
        self._process = None


def _started(theirs: socket.socket) -> subprocess.Popen[bytes]:
    flags = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
    command = [sys.executable, *flags, "-c", _BEGIN, str(os.getpid()), *sys.path]
    return subprocess.Popen(  # noqa: S603 - our own program, nobody else's words
        command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL
    )


def _answers(link: socket.socket, wanted: Wanted) -> Iterator[tuple[Entry, bytes]]:
    """Yield what is found. Raises OSError, DiskError."""
    until = time.monotonic() + START_S
    _answer(link, until)
    until = time.monotonic() + LONGEST_S
    entries = {entry.digest: entry for _, entry in wanted}
    while True:
        word, content = _answer(link, min(until, time.monotonic() + SILENCE_S))
        if word == _END:
            if content:
                raise DiskError(content.decode(errors="replace"))
            return
        entry = entries.get(digest_of(content)) if word == _FOUND else None
        if entry is not None:
            yield entry, content


def _answer(link: socket.socket, until: float) -> tuple[bytes, bytes]:
    word, size = _HEAD.unpack(_exactly(link, _HEAD.size, until))
    return word, _exactly(link, size, until)


def _exactly(link: socket.socket, size: int, until: float) -> bytes:
    """Return exactly `size` bytes. Raises OSError if they don't come in time."""
    content = bytearray()
    while len(content) < size:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        link.settimeout(left)
        part = link.recv(min(size - len(content), 1 << 20))
        if not part:
            raise ConnectionError("the process that looked has ended")
        content += part
    return bytes(content)


def main(parent: int) -> None:
    """Be the process: answer the one request that comes over standard input, a socket."""
    die_with_parent(parent)
    link = socket.socket(fileno=sys.stdin.fileno())
    with link.makefile("rb") as requests, link.makefile("wb") as answers:
        settings, wanted = pickle.load(requests)  # noqa: S301 - from our own agent
        serve(settings, wanted, answers)


def serve(settings: Settings, wanted: Wanted, answers: BinaryIO) -> None:
    """Look for everything that is wanted; write one answer for each, then the end."""

    def say(word: bytes, content: bytes = b"") -> None:
        answers.write(_HEAD.pack(word, len(content)) + content)
        answers.flush()

    say(_READY)
    why = ""
    try:
        for found in ShareSource(OsFS(), settings).read(wanted):
            say(_LACKING) if found is None else say(_FOUND, found[1])
    except (DiskError, StateError) as error:
        why = str(error)
    say(_END, why.encode())
