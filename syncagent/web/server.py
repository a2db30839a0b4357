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
from contextlib import suppress
from typing import TYPE_CHECKING

from waitress.server import create_server

from syncagent.core.errors import StateError
from syncagent.fsio import OsFS
from syncagent.web.address import socket_address
from syncagent.web.app import BODY_BYTES_MAX, ControlApp
from syncagent.web.pump import Pump

if TYPE_CHECKING:
    from pathlib import Path

    from syncagent.core.desk import Desk

THREADS = 8
PROMPT_THREADS = 2
"""Threads that slow verbs never take."""

_LOOP_S = 10.0
_QUIET_S = 60
_CONNECTIONS_MAX = 64
_HEADER_BYTES_MAX = 16 * 1024
_MEMORY_BYTES_MAX = 64 * 1024 * 1024
_SOCKET_MODE = 0o600


class ControlServer:
    """Serves the control socket at `path` from `start` to `stop`."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self._path = path
        self._fs = OsFS()
        self._app = ControlApp(desk, slow_max=THREADS - PROMPT_THREADS)
        self._map: dict[int, object] = {}
        self._pump: Pump | None = None
        self._inode: int | None = None

    def start(self) -> None:
        """Bind and serve. Raises StateError if the socket can't be made."""
        assert self._pump is None, "a server starts once"
        logging.getLogger("waitress").setLevel(logging.ERROR)
        try:
            listener = self._listen()
        except OSError as error:
            raise StateError(
                f"the control socket {self._path} can't be made: {error.strerror}",
                hint="may this user write in the state folder?",
            ) from error
        server = create_server(
            self._app,
            map=self._map,
            sockets=[listener],
            threads=THREADS,
            connection_limit=_CONNECTIONS_MAX,
            channel_timeout=_QUIET_S,
            cleanup_interval=int(_LOOP_S),
            # Never to a temporary file: what an answer holds is nobody else's business.
            outbuf_overflow=_MEMORY_BYTES_MAX,
            inbuf_overflow=_MEMORY_BYTES_MAX,
            max_request_body_size=2 * BODY_BYTES_MAX,  # up to here the application says no itself
            max_request_header_size=_HEADER_BYTES_MAX,
            ident="syncagent",
        )
        self._pump = Pump(server, self._map, "control", lambda: _LOOP_S)
        self._pump.start()

    def stop(self) -> None:
        """Stop serving; questions under way may end within seconds, then are cut off."""
        if self._pump is None:
            return
        if self._inode is not None:
            with suppress(OSError):
                if self._fs.lstat(str(self._path)).st_ino == self._inode:
                    self._fs.unlink(str(self._path))
        self._pump.stop()
        self._pump = None

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
