"""What runs in a mount's process, run in threads of the test instead: protocol and all but a process."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from syncagent.core.errors import ProtocolError
from syncagent.core.settings import Limits
from syncagent.disk.local_part import LocalPart
from syncagent.fsio import OsFS
from syncagent.mounts.mounted import MountedPart
from syncagent.mounts.process import MountProcess
from syncagent.mounts.protocol import Setup, receive, setup_in
from syncagent.mounts.worker import Server
from syncagent.watch.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.events import ShellEvent
    from syncagent.core.settings import TreeSettings
    from syncagent.ports import Clock

STOP_S = 20.0


class Thread:
    """Stands for the process; ends when its socket does."""

    def __init__(self, link: socket.socket, serve: Callable[[socket.socket], None]) -> None:
        self._link = link
        self._thread = threading.Thread(target=serve, args=(link,), daemon=True)
        self._thread.start()

    def kill(self) -> None:
        """End it."""
        with suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)

    def wait(self) -> None:
        """Wait for its end."""
        self._thread.join()


class Mount:
    """One mount's process, in threads. `make_part` may make another part than a real one."""

    def __init__(
        self,
        trees: tuple[TreeSettings, ...],
        clock: Clock,
        cache_path: str,
        *,
        poll_s: float = 2.0,
        make_part: Callable[..., LocalPart] = LocalPart,
    ) -> None:
        self._clock = clock
        self._make_part = make_part
        self.launched = 0
        limits = Limits()
        setup = Setup(
            trees,
            cache_path,
            f"{cache_path}.lock",
            limits.file_bytes,
            limits.tree_files,
            poll_s,
        )
        self.process = MountProcess(setup, self.launch)
        self.part = MountedPart(self.process)
        self.process.start()

    def launch(self) -> tuple[socket.socket, Thread]:
        """Start another one."""
        self.launched += 1
        ours, theirs = socket.socketpair()
        self.thread = Thread(theirs, self._serve)
        return ours, self.thread

    def stop(self) -> None:
        """End it."""
        self.process.stop(STOP_S)

    def _serve(self, link: socket.socket) -> None:
        with link, suppress(OSError, ProtocolError):
            setup = setup_in(receive(link))
            fs = OsFS()
            part = self._make_part(fs, setup.trees, Limits(), setup.cache_path, self._clock)

            def post(event: ShellEvent) -> None:
                server.post(event)

            hints = Watcher(fs, setup.trees, post=post, poll_s=setup.poll_s)
            server = Server(link, part, hints, again_s=(0.01, 0.01))
            server.serve()
            hints.stop()


def mount_of(tree: TreeSettings, clock: Clock, cache_path: str) -> Mount:
    """Return a running mount with one tree."""
    return Mount((tree,), clock, f"{cache_path}-{tree.name}")
