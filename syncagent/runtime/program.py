"""Runs one program with text in, text out, a time limit, and nothing left behind.

The program is the leader of its own session and process group: whatever it started is ended with it,
also if it ends well and leaves a child that still holds its output.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncagent.fsio import OsFS

OUTPUT_BYTES_MAX = 1024 * 1024
"""Kept of each of the two outputs; the rest is read and dropped."""
LOOK_S = 0.2
LINGER_S = 1.0
"""How long output may stay open after the program has ended."""
_BLOCK_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended. `code` is its exit code, None if it had to be killed."""

    code: int | None
    out: bytes
    err: bytes


@dataclass(slots=True)
class _Pipes:
    """The program's three ends, as far as they are still open."""

    fs: OsFS
    selector: selectors.BaseSelector
    rest: memoryview
    got: dict[str, bytearray] = field(
        default_factory=lambda: {"out": bytearray(), "err": bytearray()}
    )

    def serve(self, pause_s: float) -> None:
        """Move what can be moved, waiting at most `pause_s`."""
        for key, _ in self.selector.select(pause_s):
            stream = key.fileobj
            if key.data == "in":
                self._feed(stream, key.fd)  # type: ignore[arg-type]
            else:
                self._drain(stream, key.fd, self.got[key.data])  # type: ignore[arg-type]

    @property
    def open(self) -> bool:
        """Whether the program, or a child of it, may still say something."""
        return any(key.data != "in" for key in self.selector.get_map().values())

    def _feed(self, stream: IO[bytes], fd: int) -> None:
        try:
            self.rest = self.rest[self.fs.write(fd, self.rest[:_BLOCK_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:
            self.rest = self.rest[:0]
        if not self.rest:
            self._shut(stream)

    def _drain(self, stream: IO[bytes], fd: int, into: bytearray) -> None:
        try:
            part = self.fs.read(fd, _BLOCK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        into += part[: OUTPUT_BYTES_MAX - len(into)]
        if not part:
            self._shut(stream)

    def _shut(self, stream: IO[bytes]) -> None:
        self.selector.unregister(stream)
        with suppress(OSError):
            stream.close()


def run_program(
    fs: OsFS,
    argv: Sequence[str],
    text: bytes,
    timeout_s: float,
    unwanted: Callable[[], bool],
) -> Ended:
    """Run `argv` with `text` on its standard input. Raises OSError if it can't be started.

    It is killed, with all that it started, after `timeout_s` or when `unwanted` says so.
    """
    with subprocess.Popen(  # noqa: S603 - the settings name the program
        list(argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None, "asked for"
        assert process.stdout is not None, "asked for"
        assert process.stderr is not None, "asked for"
        with selectors.DefaultSelector() as selector:
            for stream, event, name in (
                (process.stdin, selectors.EVENT_WRITE, "in"),
                (process.stdout, selectors.EVENT_READ, "out"),
                (process.stderr, selectors.EVENT_READ, "err"),
            ):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, event, name)
            pipes = _Pipes(fs, selector, memoryview(text))
            try:
                in_time = _attend(process, pipes, time.monotonic() + timeout_s, unwanted)
            finally:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
        return Ended(code if in_time else None, bytes(pipes.got["out"]), bytes(pipes.got["err"]))


def _attend(
    process: subprocess.Popen[bytes],
    pipes: _Pipes,
    until: float,
    unwanted: Callable[[], bool],
) -> bool:
    """Serve the program until it has ended; return False if it must be killed before."""
    ended = 0.0
    while True:
        now = time.monotonic()
        if process.poll() is not None:
            ended = ended or now
            if not pipes.open or now - ended >= LINGER_S:
                return True
        elif now >= until or unwanted():
            return False
        if pipes.open or pipes.rest:
            pipes.serve(LOOK_S)
        else:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_S)
