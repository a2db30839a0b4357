"""The end behind OpenSSH's server: a pipe from its session into the running agent.

`authorized_keys` ties a peer's key to `command="syncagent serve --stdio --peer NAME",restrict`.
OpenSSH then has proved who calls and runs that command with the session as stdin and stdout,
whatever the caller asked for. The command connects to the running agent's second socket, says the
name, and copies bytes both ways. The socket lies in the state folder, which only the agent's user
can enter; the kernel tells who connected, and only that user and root are believed.

A Unix socket's path holds at most 108 bytes. A longer one is reached through the folder's
descriptor: `/proc/self/fd/N/links.sock`.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
import struct
import sys
import threading
from typing import TYPE_CHECKING

from syncagent.core.artifact import NodeName
from syncagent.core.errors import DiskError, UnreachableError
from syncagent.fsio import O_FOLDER
from syncagent.ssh.transport import Pipe, shut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.fsio import OsFS

SOCKET_NAME = "links.sock"
"""Name of the socket in the state folder."""

_PATH_BYTES_MAX = 107
_NAME_BYTES_MAX = 253
_CHUNK_BYTES = 256 * 1024
_BACKLOG = 16
_PROVED_TIMEOUT_S = 5.0
_CREDENTIALS = struct.Struct("3i")


@contextlib.contextmanager
def reachable(fs: OsFS, folder: str) -> Iterator[str]:
    """Give a path of the socket that fits into a socket address, for as long as the block runs."""
    path = f"{folder}/{SOCKET_NAME}"
    if len(os.fsencode(path)) <= _PATH_BYTES_MAX:
        yield path
        return
    fd = fs.open(folder, O_FOLDER)
    try:
        yield f"/proc/self/fd/{fd}/{SOCKET_NAME}"
    finally:
        fs.close(fd)


class Doorway:
    """The running agent's side: takes connections of `serve_stdio` and hands them on."""

    def __init__(
        self, fs: OsFS, state_dir: str, take: Callable[[NodeName, Pipe, str], None]
    ) -> None:
        self._fs = fs
        self._folder = state_dir
        self._take = take
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen. The caller holds the state folder's lock: a socket that is there is a dead one's.

        Raises DiskError.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with reachable(self._fs, self._folder) as path:
                with contextlib.suppress(FileNotFoundError):
                    self._fs.unlink(path)
                listener.bind(path)
                self._fs.chmod(path, 0o600)
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise DiskError(
                f"can't make the socket {self._folder}/{SOCKET_NAME}: {error.strerror or error}",
                errno_name=errno.errorcode.get(error.errno or 0, ""),
            ) from error
        self._listener = listener
        self._thread = threading.Thread(target=self._run, name="stdio-accept", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and take the socket away."""
        if self._listener is None or self._thread is None:
            return
        shut(self._listener)
        self._thread.join()
        self._listener.close()
        with contextlib.suppress(OSError), reachable(self._fs, self._folder) as path:
            self._fs.unlink(path)

    def _run(self) -> None:
        assert self._listener is not None, "start made the listener"
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(
                target=self._welcome, args=(sock,), name="stdio-greet", daemon=True
            ).start()

    def _welcome(self, sock: socket.socket) -> None:
        """Read whom OpenSSH has proved: a length byte and a name."""
        try:
            _, uid, _ = _CREDENTIALS.unpack(
                sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )
            if uid not in {0, os.geteuid()}:
                sock.close()
                return
            sock.settimeout(_PROVED_TIMEOUT_S)
            size = _exactly(sock, 1)[0]
            name = _exactly(sock, size).decode()
        except (OSError, EOFError, UnicodeDecodeError):
            sock.close()
            return
        self._take(NodeName(name), Pipe(sock, sock=sock), "sshd")


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def connect(fs: OsFS, state_dir: str, name: NodeName) -> socket.socket:
    """Connect to the agent that runs on `state_dir`, as `name`. Raises UnreachableError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with reachable(fs, state_dir) as path:
            sock.connect(path)
        said = name.encode()[:_NAME_BYTES_MAX]
        sock.sendall(bytes((len(said),)) + said)
    except OSError as error:
        sock.close()
        raise UnreachableError(
            f"no agent runs on {state_dir}: {error.strerror or error}",
            hint="start it with `syncagent run`",
        ) from error
    return sock


def serve_stdio(
    fs: OsFS, state_dir: str, peer: NodeName, ends: tuple[int, int] | None = None
) -> None:
    """Be the pipe between this process's stdin and stdout and the running agent, until it ends.

    `ends` are the descriptors to use instead of 0 and 1. Raises UnreachableError if no agent runs
    on `state_dir`.
    """
    source, sink = ends or (sys.stdin.fileno(), sys.stdout.fileno())
    with connect(fs, state_dir, peer) as sock:
        _copy(fs, sock, source, sink)


def _copy(fs: OsFS, sock: socket.socket, source: int, sink: int) -> None:
    """Copy both ways in one thread until either end is over; writes wait, reads do not."""
    with selectors.DefaultSelector() as selector:
        selector.register(source, selectors.EVENT_READ)
        selector.register(sock, selectors.EVENT_READ)
        with contextlib.suppress(OSError):
            while True:
                for ready, _ in selector.select():
                    if ready.fd == source:
                        data = fs.read(source, _CHUNK_BYTES)
                        if not data:
                            return
                        try:
                            sock.sendall(data)
                        except OSError:
                            # The agent reads no more; what it said last still goes out.
                            selector.unregister(source)
                    else:
                        data = sock.recv(_CHUNK_BYTES)
                        if not data:
                            return
                        fs.write_all(sink, data)
