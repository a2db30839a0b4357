"""The validating process: batches in, verdicts out, until nobody is at the other end.

It is started by `validation.aside` with a socket as its standard input, and nothing else: it opens
no file and no connection. Whatever surprises it ends it; the agent then judges for itself.
"""

from __future__ import annotations

import os
import signal
import struct
import sys
from typing import TYPE_CHECKING, Final

from syncagent.core.dialect import Dialect
from syncagent.core.wire.packing import split_batch
from syncagent.core.wire.verdicts import pack_verdicts, unpack_docket
from syncagent.validation.validator import ArtifactValidator

if TYPE_CHECKING:
    from typing import BinaryIO

LENGTH: Final = struct.Struct(">I")
"""What comes before each request and each answer: how many bytes follow."""


def serve(validator: ArtifactValidator, requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer every request until they end. Raises what a request or an artifact makes of it."""
    while len(head := requests.read(LENGTH.size)) == LENGTH.size:
        docket = unpack_docket(requests.read(LENGTH.unpack(head)[0]))
        contents = split_batch(docket.entries, docket.frame)
        answer = pack_verdicts(
            [validator.examine(one.kind, one.path, contents[one.entry]) for one in docket.exhibits]
        )
        answers.write(LENGTH.pack(len(answer)) + answer)
        answers.flush()


def main(size_max_bytes: int, dialect: str) -> None:
    """Serve the socket that is the standard input."""
    validator = ArtifactValidator(size_max_bytes, Dialect(dialect))
    # Ctrl-C is for the agent, which closes the socket when it ends, however it ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stdin = sys.stdin.fileno()
    with (
        os.fdopen(stdin, "rb", closefd=False) as requests,
        os.fdopen(stdin, "wb", closefd=False) as answers,
    ):
        validator.warm()
        serve(validator, requests, answers)
