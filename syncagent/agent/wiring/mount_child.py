"""The program of a mount's own process: it reaches the trees there, for `mounts.process`.

It is started with a socket as its standard input, over which it is told everything. It ends with that
socket, or with its parent, whatever hangs in its threads. Signals that are meant for the agent (Ctrl-C, a
service manager that stops the whole group) are not its business: the agent wants to finish first.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING

from syncagent.agent.wiring import heap
from syncagent.agent.wiring.clock import SystemClock
from syncagent.agent.wiring.tether import die_with_parent
from syncagent.core.errors import DiskError, ProtocolError
from syncagent.core.settings import Limits
from syncagent.disk.local_part import LocalPart
from syncagent.fsio import OsFS
from syncagent.mounts.protocol import receive, setup_in
from syncagent.mounts.worker import Server
from syncagent.watch.watcher import Watcher

if TYPE_CHECKING:
    from syncagent.core.events import ShellEvent
    from syncagent.mounts.protocol import Setup

_O_LOCK = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW


class _Part(LocalPart):
    """Gives memory back when there is some to give."""

    def save_cache(self) -> bool:
        saved = super().save_cache()
        if saved or heap.grown():
            heap.trim()
        return saved


def main(parent: int) -> None:
    """Serve the socket that is the standard input; does not return."""
    die_with_parent(parent)
    heap.tame()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    code = 1
    try:
        with socket.socket(fileno=sys.stdin.fileno()) as link:
            _serve(link, setup_in(receive(link)))
        code = 0
    except (OSError, ProtocolError, DiskError) as error:
        sys.stderr.write(f"a mount's process ends: {error}\n")
    finally:
        # Threads that hang in the mount are not waited for.
        os._exit(code)


def _serve(link: socket.socket, setup: Setup) -> None:
    fs = OsFS()
    clock = SystemClock()
    clear = threading.Event()
    lock = fs.open(setup.lock_path, _O_LOCK, 0o600)

    def wait() -> None:
        """An earlier agent's process may still hang in the mount: one at a time goes there."""
        fs.flock(lock, wait=True)
        clear.set()

    threading.Thread(target=wait, name="lock", daemon=True).start()
    limits = Limits(file_bytes=setup.file_bytes, tree_files=setup.tree_files, poll_s=setup.poll_s)
    part = _Part(fs, setup.trees, limits, setup.cache_path, clock)

    def post(event: ShellEvent) -> None:
        server.post(event)

    hints = Watcher(fs, setup.trees, post=post, poll_s=setup.poll_s)
    server = Server(link, part, hints, clear=clear)
    heap.set_aside()
    server.serve()
