"""A validator in a process beside the agent: judging large sets takes a second processor.

The interpreter lets one thread run at a time, and judging ten thousand artifacts costs it most of a
second, in which a worker could write them. So whole batches go to a process of its own, packed as
they came over the wire. It is the same code (`ArtifactValidator`) on the same bytes, whose digests it
verifies as the agent does: its verdict is as good.

It is an aid, never a need. When it can't be started, ends, does not answer in time or answers
nonsense, it is put down and the caller judges for itself; the next batch starts a new one, but after
`FAILURES_MAX` in a row it is left alone for good. It holds no lock and no file of the agent, ends
with the socket, and is put down when there has been nothing to do for a while: about 30 MB.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from syncagent.core.dialect import Dialect
from syncagent.core.errors import ProtocolError
from syncagent.core.wire.verdicts import ANSWER_BYTES_MAX, pack_docket, unpack_verdicts
from syncagent.validation.child import LENGTH

if TYPE_CHECKING:
    from syncagent.core.verdict import Examined
    from syncagent.core.wire.verdicts import Docket

LOG = logging.getLogger("syncagent")

ANSWER_S = 30.0
"""A batch has at most 64 MiB, for which a slow machine needs a few seconds."""
FAILURES_MAX = 3
_END_S = 2.0
_BEGIN = """
import sys
sys.path[:] = sys.argv[3:]
from syncagent.validation.child import main
main(int(sys.argv[1]), sys.argv[2])
"""


class ValidatorAside:
    """Judges batches in a process of its own. One thread at a time."""

    def __init__(
        self,
        size_max_bytes: int,
        dialect: Dialect = Dialect.WSO2,
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._rules = (str(size_max_bytes), str(dialect))
        self._answer_s = answer_s
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._failures = 0

    @property
    def usable(self) -> bool:
        """False once it has failed too often."""
        return self._failures < FAILURES_MAX

    def begin(self) -> None:
        """Start the process, if it does not run; returns long before it is ready."""
        if self._process is not None or not self.usable:
            return
        ours, theirs = socket.socketpair()
        flags = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
        command = [sys.executable, *flags, "-c", _BEGIN, *self._rules, *sys.path]
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603 - our own program, nobody else's words
                    command,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
        except OSError as error:
            ours.close()
            self._failed(str(error))
            return
        self._socket = ours

    def judge(self, docket: Docket) -> tuple[Examined, ...] | None:
        """Return the verdict on each exhibit, in their order; None if it can't be had here."""
        try:
            self.begin()
            if self._socket is None:
                return None
            verdicts = self._ask(self._socket, docket)
        except (OSError, ProtocolError) as error:
            self._put_down(0.0)
            self._failed(str(error))
            return None
        self._failures = 0
        return verdicts

    def end(self) -> None:
        """Put the process down, if there is one; safe to call again."""
        self._put_down(_END_S)

    def _put_down(self, patience_s: float) -> None:
        """At the end of its input it goes by itself; one that has not gone in time is killed."""
        process, self._process = self._process, None
        link, self._socket = self._socket, None
        if link is not None:
            link.close()
        if process is None:
            return
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_END_S)

    def _ask(self, link: socket.socket, docket: Docket) -> tuple[Examined, ...]:
        deadline = time.monotonic() + self._answer_s
        request = pack_docket(docket)
        link.settimeout(self._answer_s)
        link.sendall(LENGTH.pack(len(request)) + request)
        (size,) = LENGTH.unpack(_receive(link, LENGTH.size, deadline))
        if size > ANSWER_BYTES_MAX:
            raise ProtocolError(f"an answer of {size} bytes")
        return unpack_verdicts(_receive(link, size, deadline), len(docket.exhibits))

    def _failed(self, why: str) -> None:
        self._failures += 1
        LOG.warning("the validating process is of no use, the agent judges for itself: %s", why)


def _receive(link: socket.socket, size: int, deadline: float) -> bytes:
    """Return exactly `size` bytes. Raises OSError if they don't come in time."""
    content = bytearray()
    while len(content) < size:
        link.settimeout(max(0.001, deadline - time.monotonic()))
        part = link.recv(min(size - len(content), 1 << 20))
        if not part:
            raise ConnectionError("it has ended")
        content += part
    return bytes(content)
