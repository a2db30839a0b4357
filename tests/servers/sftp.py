"""OpenSSH's own server on loopback, that serves files over SFTP and can be hung, cut off and stopped.

    with FileServer(folder) as server:
        server.start()
        ... sshfs ...
        server.hang(); server.wake(); server.cut(); server.stop()

Its keys, its configuration and its log are in `folder`. Whoever has `folder/user.key` is let in as the user
who runs the test. A session that hangs keeps its connection open, as a file server does that has too
much to do, or whose network is gone.
"""

from __future__ import annotations

import getpass
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from syncagent.fsio import OsFS
from syncagent.ssh.keys import make_key, public_line
from tests.e2e.cluster import free_ports
from tests.servers.process import Server, program, reached

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


class FileServer(Server):
    """One sshd with nothing but SFTP."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.port = free_ports(1)[0]
        self.user = getpass.getuser()
        self.key = folder / "user.key"
        fs = OsFS()
        (folder / "authorized_keys").write_text(public_line(make_key(fs, str(self.key)), "user"))
        shown = public_line(make_key(fs, str(folder / "host.key")), "host")
        self.known_hosts = folder / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {shown}")
        config = folder / "sshd_config"
        config.write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {folder}/host.key\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nPidFile none\nStrictModes no\n"
            "UsePAM no\nPermitRootLogin prohibit-password\nPasswordAuthentication no\n"
            "Subsystem sftp internal-sftp\nForceCommand internal-sftp\nMaxStartups 100\n"
        )
        super().__init__([program("sshd"), "-D", "-e", "-f", str(config)], folder)

    def start(self) -> None:
        """Start to listen; returns when it answers."""
        with suppress(OSError):
            Path("/run/sshd").mkdir(
                exist_ok=True
            )  # where it sends those whom it does not trust yet
        super().start()
        self.wait_ready(self._answers)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def sessions(self) -> list[int]:
        """Return the processes that serve those who are connected."""
        assert self.process is not None, "it was not started"
        return list(_descendants(self.process.pid))

    def hang(self) -> None:
        """Stop it and its sessions where they are: all connections stay open, nothing answers."""
        super().hang()
        self._tell_sessions(signal.SIGSTOP)

    def wake(self) -> None:
        self._tell_sessions(signal.SIGCONT)
        super().wake()

    def cut(self) -> None:
        """Kill the sessions, also those that hang; who wants to may connect again."""
        left = self.sessions()
        self._tell_sessions(signal.SIGKILL)
        reached(lambda: not set(left) & set(self.sessions()), "its sessions have ended")

    def kill(self) -> None:
        if self.running:
            self._tell_sessions(signal.SIGKILL)
        super().kill()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _tell_sessions(self, number: signal.Signals) -> None:
        for pid in self.sessions():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


def _descendants(pid: int) -> Iterator[int]:
    """Yield the children of a process, and theirs."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return
    for word in words:
        yield int(word)
        yield from _descendants(int(word))
