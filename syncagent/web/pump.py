"""The thread that moves a waitress server's bytes, and its orderly end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from waitress.wasyncore import close_all, loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from waitress.server import BaseWSGIServer

STOP_S = 2.0
"""How long questions under way, and then answers on their way out, may take at the end."""
_DRAIN_S = 0.01


class Pump:
    """Moves the bytes of `server`, whose descriptors are in `sockets`, from `start` to `stop`.

    Before each turn `pause` says how long it may sleep if nothing happens (seconds).
    """

    def __init__(
        self,
        server: BaseWSGIServer,
        sockets: dict[int, object],
        name: str,
        pause: Callable[[], float],
    ) -> None:
        self._server = server
        self._sockets = sockets
        self._pause = pause
        self._stopping = threading.Event()
        self._name = name
        self._thread = threading.Thread(target=self._turn_for_ever, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let questions under way end within seconds, then cut them off; close everything."""
        self._server.task_dispatcher.shutdown(timeout=STOP_S)
        self._drain()
        self._stopping.set()
        self._server.pull_trigger()
        self._thread.join()
        closer = threading.Thread(target=self._close, name=f"{self._name}-close", daemon=True)
        closer.start()
        closer.join(_DRAIN_S if self._server.task_dispatcher.threads else None)

    def _close(self) -> None:
        """Close every descriptor, as soon as no thread can write to one any more.

        A question that is stuck in the desk writes to the trigger when it is answered after all:
        were that descriptor closed, it might be another file by then.
        """
        dispatcher = self._server.task_dispatcher
        with dispatcher.lock:
            while dispatcher.threads:
                dispatcher.thread_exit_cv.wait()
        close_all(self._sockets)

    def _turn_for_ever(self) -> None:
        while not self._stopping.is_set():
            loop(timeout=self._pause(), use_poll=True, map=self._sockets, count=1)

    def _drain(self) -> None:
        """Let answers that were given go out, for as long as their readers read."""
        pause = threading.Event()
        for _ in range(int(STOP_S / _DRAIN_S)):
            channels = list(self._server.active_channels.values())
            if not any(channel.total_outbufs_len for channel in channels):
                return
            pause.wait(_DRAIN_S)
