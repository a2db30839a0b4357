"""The TCP door as a whole: socket, TLS, token, threads; see `door` for what it says.

It lives as long as the process. `take_up` reads token and certificate anew; what can't be used is
said, and what was in force stays so.
"""

from __future__ import annotations

import errno
import logging
import socket
from typing import TYPE_CHECKING

from waitress.adjustments import Adjustments
from waitress.task import ThreadedTaskDispatcher

from syncagent.core.errors import BusyError, UnreachableError
from syncagent.web.channel import RECORD_BYTES, DoorServer
from syncagent.web.door import DoorApp
from syncagent.web.pump import Pump
from syncagent.web.secrets import make_context, read_token

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.desk import Desk
    from syncagent.core.health import Board
    from syncagent.core.settings import HttpSettings
    from syncagent.fsio import OsFS

BACKLOG = 256
THREADS = 4
ASKING_MAX = 2
"""How many of them may wait for the loop; the others answer what is published."""

HEADER_BYTES_MAX = 8 * 1024
BODY_BYTES_MAX = 64 * 1024
"""The longest real question is a path, under 4 KiB."""
_MEMORY_BYTES_MAX = 256 * 1024 * 1024
_EXPIRE_S = 1.0
_IDLE_S = 60.0


class TcpDoor:
    """Serves `settings.listen` from `start` to `stop`.

    Raises SettingsError if a secret can't be used: a door is never less closed than was asked for.
    """

    def __init__(
        self,
        settings: HttpSettings,
        desk: Desk,
        board: Board,
        fs: OsFS,
        environ: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._fs = fs
        self._environ = environ
        self._board = board
        self._app = DoorApp(desk, board, asking_max=ASKING_MAX)
        self._context = make_context(fs, settings)
        self._app.token = read_token(fs, settings, environ)
        self._server: DoorServer | None = None
        self._pump: Pump | None = None

    @property
    def encrypted(self) -> bool:
        """Whether it speaks TLS."""
        return self._context is not None

    @property
    def has_token(self) -> bool:
        """Whether anybody may ask for more than state."""
        return self._app.token is not None

    def start(self) -> int:
        """Listen and serve; return the port.

        Raises BusyError if another process has the address, UnreachableError if this machine has
        not got it.
        """
        logging.getLogger("waitress").setLevel(logging.ERROR)
        listener = listen(self._settings.listen)
        sockets: dict[int, object] = {}
        threads = ThreadedTaskDispatcher()
        threads.set_thread_count(THREADS)
        server = DoorServer(
            self._app,
            sockets,
            _sock=listener,
            dispatcher=threads,
            adj=_adjustments(),
            bind_socket=False,
            sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
        )
        server.context = self._context
        server.clock = self._board.now
        self._server = server
        self._pump = Pump(server, sockets, "door", self._pause)
        self._pump.start()
        return int(listener.getsockname()[1])

    def take_up(self) -> None:
        """Read token and certificate again. Raises SettingsError, and changes nothing."""
        context = make_context(self._fs, self._settings)
        token = read_token(self._fs, self._settings, self._environ)
        self._context, self._app.token = context, token
        if self._server is not None:
            self._server.context = context

    def stop(self) -> None:
        """Stop serving; questions under way may end within seconds."""
        if self._pump is not None:
            self._pump.stop()
            self._pump = None

    def _pause(self) -> float:
        """Close what is overdue; return how long to sleep. Without connections, as good as ever."""
        server = self._server
        assert server is not None, "it was started"
        server.expire()
        busy = server.active_channels or server.deaf_until > server.clock()
        return _EXPIRE_S if busy else _IDLE_S


def listen(address: str) -> socket.socket:
    """Return a listening socket on `host:port`. Raises BusyError or UnreachableError."""
    host, _, port = address.rpartition(":")
    bare = host.strip("[]")
    try:
        info = socket.getaddrinfo(bare, int(port), 0, socket.SOCK_STREAM, 0, socket.AI_PASSIVE)[0]
        listener = socket.create_server(info[4][:2], family=info[0], backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BusyError(
                f"http.listen = {address}: another process listens there",
                hint=f"ss -ltnp 'sport = :{port}' says which",
            ) from error
        raise UnreachableError(
            f"http.listen = {address}: {error.strerror or error}",
            hint="is it an address of this machine? ip address",
        ) from error
    listener.settimeout(0.0)
    return listener


def _adjustments() -> Adjustments:
    return Adjustments(
        threads=THREADS,
        ident="",
        recv_bytes=RECORD_BYTES,
        backlog=BACKLOG,
        max_request_header_size=HEADER_BYTES_MAX,
        max_request_body_size=BODY_BYTES_MAX,
        # Never to a temporary file, and never a thread that waits for a slow reader.
        inbuf_overflow=_MEMORY_BYTES_MAX,
        outbuf_overflow=_MEMORY_BYTES_MAX,
        outbuf_high_watermark=_MEMORY_BYTES_MAX,
        clear_untrusted_proxy_headers=False,
    )
