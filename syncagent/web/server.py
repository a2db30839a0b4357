"""waitress on a Unix socket, in a thread of its own.

The socket appears under its name only when it listens, by a rename over whatever was left there
by an agent that was killed: nobody ever meets a socket that refuses. Its mode is 0600 from its
first instant, because on Linux a socket file takes the mode of the descriptor that is bound.
That no other agent lives on this state folder is the caller's business (its lock).

Idle, the server sleeps in `poll`; it wakes once in `_LOOP_S` to close connections that went quiet.
"""

from __future__ import annotations

import logging
import os
import socket
import stat
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from waitress.server import create_server
from waitress.wasyncore import close_all, loop

from syncagent.core.errors import StateError
from syncagent.fsio import OsFS
from syncagent.web.address import socket_address
from syncagent.web.app import BODY_BYTES_MAX, ControlApp

if TYPE_CHECKING:
    from pathlib import Path

    from syncagent.core.desk import Desk

THREADS = 8
PROMPT_THREADS = 2
"""Threads that slow verbs never take."""

_LOOP_S = 10
_QUIET_S = 60
_CONNECTIONS_MAX = 64
_HEADER_BYTES_MAX = 16 * 1024
_MEMORY_BYTES_MAX = 64 * 1024 * 1024
_STOP_S = 2.0
_DRAIN_S = 0.01
_SOCKET_MODE = 0o600


class ControlServer:
    """Serves the control socket at `path` from `start` to `stop`."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self._path = path
        self._fs = OsFS()
        self._app = ControlApp(desk, slow_max=THREADS - PROMPT_THREADS)
        self._map: dict[int, object] = {}
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._inode: int | None = None

    def start(self) -> None:
        """Bind and serve. Raises StateError if the socket can't be made."""
        assert self._thread is None, "a server starts once"
        logging.getLogger("waitress").setLevel(logging.ERROR)
        try:
            listener = self._listen()
        except OSError as error:
            raise StateError(
                f"the control socket {self._path} can't be made: {error.strerror}",
                hint="may this user write in the state folder?",
            ) from error
        self._server = create_server(
            self._app,
            map=self._map,
            sockets=[listener],
            threads=THREADS,
            connection_limit=_CONNECTIONS_MAX,
            channel_timeout=_QUIET_S,
            cleanup_interval=_LOOP_S,
            # Never to a temporary file: what an answer holds is nobody else's business.
            outbuf_overflow=_MEMORY_BYTES_MAX,
            inbuf_overflow=_MEMORY_BYTES_MAX,
            max_request_body_size=2 * BODY_BYTES_MAX,  # up to here the application says no itself
            max_request_header_size=_HEADER_BYTES_MAX,
            ident="syncagent",
        )
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving; questions under way may end within seconds, then are cut off."""
        if self._thread is None:
            return
        if self._inode is not None:
            with suppress(OSError):
                if self._fs.lstat(str(self._path)).st_ino == self._inode:
                    self._fs.unlink(str(self._path))
        self._server.task_dispatcher.shutdown(timeout=_STOP_S)
        self._drain()
        self._stopping.set()
        self._server.pull_trigger()
        self._thread.join()
        self._thread = None
        closer = threading.Thread(target=self._close, name="control-close", daemon=True)
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
        close_all(self._map)

    def _serve(self) -> None:
        """Move bytes until told to stop."""
        while not self._stopping.is_set():
            loop(timeout=_LOOP_S, use_poll=True, map=self._map, count=1)

    def _drain(self) -> None:
        """Let answers that were given go out, for as long as their readers read."""
        pause = threading.Event()
        for _ in range(int(_STOP_S / _DRAIN_S)):
            channels = list(self._server.active_channels.values())
            if not any(channel.total_outbufs_len for channel in channels):
                return
            pause.wait(_DRAIN_S)

    def _listen(self) -> socket.socket:
        """Make the listening socket under its name. Raises OSError."""
        fresh = self._path.with_name(self._path.name + ".new")
        with suppress(FileNotFoundError):
            self._fs.unlink(str(fresh))
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._fs.fchmod(listener.fileno(), _SOCKET_MODE)
            with socket_address(fresh) as address:
                listener.bind(address)
            listener.listen(_CONNECTIONS_MAX)
            made = self._fs.lstat(str(fresh))
            assert stat.S_IMODE(made.st_mode) == _SOCKET_MODE, "the socket is open to others"
            self._fs.rename(str(fresh), str(self._path))
        except OSError:
            listener.close()
            raise
        self._inode = made.st_ino
        os.set_blocking(listener.fileno(), False)
        return listener
