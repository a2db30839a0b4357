"""A command's work done by a process of its own, because it touches what may hang for ever.

Who hangs in a mount can't be ended, and a command whose thread does would never come back to the prompt.
So where trees lie on network mounts the work is done elsewhere and given up after a while; the answer
counts as soon as it is said, whatever hangs in there afterwards. It is our own program that is
started, and it is told and says what it does in pickles over pipes that nobody else has.
"""

from __future__ import annotations

import os
import pickle
import selectors
import struct
import subprocess
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Final

from syncagent.agent.wiring.tether import die_with_parent
from syncagent.core.errors import DiskError, SyncagentError
from syncagent.fsio import OsFS
from syncagent.mountpoints import mount_of

if TYPE_CHECKING:
    from typing import IO

    from syncagent.core.settings import Settings

_END_S: Final = 0.5
"""What is killed is gone sooner, unless it hangs."""
_LENGTH: Final = struct.Struct(">Q")
_BEGIN: Final = """
import sys
sys.path[:] = sys.argv[2:]
from syncagent.agent.wiring.errand import main
main(int(sys.argv[1]))
"""


def may_hang(settings: Settings) -> bool:
    """Tell whether a tree, or its folder on a share, lies on a network mount; asks no such mount."""
    fs = OsFS()
    with suppress(OSError):
        table = fs.mount_table()
        paths = {tree.path for tree in (*settings.trees, *settings.share_trees)}
        return any(mount_of(fs, path, table) is not None for path in paths)
    return False


def send(where: str, arguments: tuple[object, ...], within_s: float) -> object:
    """Return what the function `where` ("module:name") returns for these arguments.

    Raises the SyncagentError that it raises; DiskError if it says nothing in time.
    """
    flags = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
    command = [sys.executable, *flags, "-c", _BEGIN, str(os.getpid()), *sys.path]
    process = subprocess.Popen(  # noqa: S603 - our own program, nobody else's words
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what hangs would keep it open for whoever reads ours to its end
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with process.stdin as words:
            pickle.dump((where, arguments), words)
        with process.stdout as answers:
            said = _hear(answers, time.monotonic() + within_s)
    finally:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_END_S)
    if isinstance(said, SyncagentError):
        raise said
    return said


def main(parent: int) -> None:
    """Do what standard input says, and end whatever hangs."""
    die_with_parent(parent)
    where, arguments = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own command
    module, _, name = where.partition(":")
    said: object
    try:
        said = getattr(import_module(module), name)(*arguments)
    except SyncagentError as error:
        said = error
    content = pickle.dumps(said)
    sys.stdout.buffer.write(_LENGTH.pack(len(content)) + content)
    sys.stdout.buffer.flush()
    os._exit(0)


def _hear(answers: IO[bytes], until: float) -> object:
    fs, heard = OsFS(), bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(answers, selectors.EVENT_READ)
        while (
            len(heard) < _LENGTH.size or len(heard) < _LENGTH.size + _LENGTH.unpack_from(heard)[0]
        ):
            if not selector.select(max(0.0, until - time.monotonic())):
                raise DiskError(
                    "a tree's file system does not answer",
                    errno_name="ETIMEDOUT",
                    hint="look at its mount and the server behind it",
                )
            part = fs.read(answers.fileno(), 1 << 20)
            if not part:
                raise DiskError("the process that was to look at the trees has failed")
            heard += part
    said: object = pickle.loads(heard[_LENGTH.size :])  # noqa: S301 - from our own process
    return said
