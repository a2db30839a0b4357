"""The receiving end of pushes: one real guard, behind a socket that candidates of any process reach.

A push says when it begins and, some time later, when it is to be committed; in between it is in
flight. What was committed, and what was refused, is kept in the order in which it happened.
"""

from __future__ import annotations

import json
import socketserver
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from syncagent.core.artifact import NodeName
from syncagent.core.errors import FencedError
from syncagent.core.revision import Token
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from tests.servers.ends import Ends

if TYPE_CHECKING:
    from pathlib import Path

JOIN_S: Final = 10.0


def boot() -> float:
    """The clock of all processes of this machine that leases go by."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True)
class Push:
    """What became of one: `done` is `begun`, `committed`, `refused` or `admitted`."""

    done: str
    node: str
    epoch: int
    number: int
    at: float


class Receiver(Ends):
    """Listens at `path`, which lies in `folder` with the guard."""

    def __init__(self, folder: Path, cluster: str) -> None:
        folder.mkdir()
        self.path = str(folder / "socket")
        self.guard = FileGuard(OsFS(), str(folder), cluster)
        self.guard.enrol()
        self._lock = threading.Lock()
        self._pushes: list[Push] = []
        receiver = self

        class Line(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                for line in self.rfile:
                    answer = receiver.take(json.loads(line))
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        class Listener(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request: object, client_address: object) -> None:
                """A candidate was killed."""

        self._listener = Listener(self.path, Line)
        self._thread = threading.Thread(target=self._listener.serve_forever, args=(0.05,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def end(self) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join(JOIN_S)

    def take(self, said: dict[str, object]) -> dict[str, object]:
        """Carry out what a candidate says, and answer it."""
        number = said["number"]
        assert isinstance(number, int)
        epoch = said["epoch"]
        assert isinstance(epoch, int)
        token = Token(
            str(said["cluster"]), epoch, NodeName(str(said["node"])), str(said["incarnation"])
        )
        done = str(said["do"])
        try:
            if done == "admitted":
                self.guard.admit(token)
            elif done == "committed":
                with self.guard.holding(token):
                    self._note(done, token, number)
        except FencedError:
            done = "refused"
        if done != "committed":
            self._note(done, token, number)
        return {"refused": done == "refused", "highest": self.guard.state().epoch}

    def _note(self, done: str, token: Token, number: int) -> None:
        with self._lock:
            self._pushes.append(Push(done, token.holder, token.epoch, number, boot()))

    def pushes(self, done: str, node: str = "") -> list[Push]:
        """Return all that ended so, in order; of one node if one is named."""
        with self._lock:
            return [each for each in self._pushes if each.done == done and node in {"", each.node}]

    def in_flight(self, node: str) -> Push | None:
        """Return the push of a node that has begun and not ended."""
        with self._lock:
            mine = [each for each in self._pushes if each.node == node]
        last = mine[-1] if mine else None
        return last if last is not None and last.done == "begun" else None
