"""A server of somebody else's as a child of the test: started, hung, killed and started again.

    with ExitStack() as stack:
        server = stack.enter_context(Server(["etcd", ...], folder))
        server.start()
        server.wait_ready(lambda: answers(port))
        server.hang(); server.wake(); server.kill(); server.start()

Leaving the context kills it, if need be also one that hangs.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers.ends import Ends

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

READY_S = 60.0
STOP_S = 20.0
POLL_S = 0.02


def need(found: object, what: str) -> None:
    """Skip the test, or fail it where everything is required, unless `found`."""
    if not found:
        assert os.environ.get("SYNCAGENT_REQUIRE_ALL") != "1", f"no {what} on this machine"
        pytest.skip(f"no {what} on this machine")


def program(name: str) -> str:
    """Return where a program is; without it the test is skipped, or fails."""
    found = shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    need(found, name)
    return str(found)


def reached(fact: Callable[[], object], what: str, patience_s: float = READY_S) -> None:
    """Poll until `fact()` is true; AssertionError naming `what` after `patience_s`."""
    deadline = time.monotonic() + patience_s
    pause = threading.Event()
    while not fact():
        assert time.monotonic() < deadline, f"not within {patience_s:.0f} s: {what}"
        pause.wait(POLL_S)


class Server(Ends):
    """One process in `folder`, which also gets its log. What it keeps there outlives it."""

    def __init__(
        self, command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.command = list(command)
        self.folder = folder
        self.env = dict(env or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.hung = False
        self.pipes = False
        """Whether it is told things by `tell`, on its standard input."""

    def end(self) -> None:
        self.kill()

    @property
    def log(self) -> str:
        path = self.folder / "server.log"
        return path.read_text(errors="replace") if path.is_file() else ""

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        assert not self.running, "it runs already"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.hung = False
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.PIPE if self.pipes else subprocess.DEVNULL,
                stdout=subprocess.PIPE if self.pipes else log,
                stderr=log,
                env={**os.environ, **self.env},
                start_new_session=True,
            )

    def wait_ready(self, answers: Callable[[], object]) -> None:
        """Wait until `answers()` is true; the log is in the failure."""
        deadline = time.monotonic() + READY_S
        pause = threading.Event()
        while not answers():
            assert self.running, f"{self.command[0]} ended:\n{self.log[-3000:]}"
            assert time.monotonic() < deadline, (
                f"{self.command[0]} is not ready:\n{self.log[-3000:]}"
            )
            pause.wait(POLL_S)

    def hang(self) -> None:
        """Stop it where it is; its sockets stay open."""
        self._signal(signal.SIGSTOP)
        reached(self._stands_still, "all its threads are stopped")
        self.hung = True

    def wake(self) -> None:
        self._signal(signal.SIGCONT)
        self.hung = False

    def tell(self, line: bytes) -> bytes:
        """Write a line to its standard input; returns the line that it answers."""
        assert self.process is not None, "it was not started"
        assert self.process.stdin is not None
        assert self.process.stdout is not None, "it has no pipes"
        self.process.stdin.write(line)
        self.process.stdin.flush()
        answer: bytes = self.process.stdout.readline()
        return answer

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self._end(signal.SIGTERM)

    def quit(self) -> None:
        """Ask it to end without waiting for anybody, and wait until it has."""
        self._end(signal.SIGQUIT)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        assert self.process is not None
        self.process.wait(STOP_S)

    def kill(self) -> None:
        """End it with SIGKILL, also if it hangs; quiet if it does not run."""
        if self.process is None:
            return
        if self.running:
            self.process.kill()
        self.process.wait(STOP_S)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()

    def _stands_still(self) -> bool:
        assert self.process is not None
        try:
            tasks = Path(f"/proc/{self.process.pid}/task").iterdir()
            stats = [(task / "stat").read_text() for task in tasks]
        except (FileNotFoundError, ProcessLookupError):
            return False  # a thread ended meanwhile
        return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None, "it was not started"
        self.process.send_signal(number)
