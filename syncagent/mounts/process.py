"""One mount's process, as the agent keeps it: started, asked, waited for, and started again.

Theory of operation. A thread of its own, which lives as long as the agent, starts the process, reads
what it says until it ends, reaps it, and starts the next one after a pause that grows. (The kernel
ends the process with the thread that started it, so that may be no passing one.) Whoever asks waits
for the answer in its own thread, by an ordinary condition: nothing in the agent ever waits in a
system call for the mount.

Single flight: a second process is never started before the first is gone. One that hangs is left
alone for `PATIENCE_S`, since a server that is back lets it go on where it was; then it is killed, which
helps where the mount was replaced meanwhile. What can't even be killed stays the only one. The
process also holds a lock file, so that an agent that starts anew meets what an earlier one left.

An answer that comes after its asker gave up is dropped. What changes trees is asked one at a time: while
a request that was given up may still be at work, the next one is refused.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import queue
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from syncagent.core.errors import DiskError, ProtocolError
from syncagent.core.wire.fields import items_of, whole_of
from syncagent.mounts.protocol import (
    ACT,
    DONE,
    TOOK,
    error_in,
    event_in,
    receive,
    send,
    setup_out,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncagent.core.events import Hinted, WatchFault
    from syncagent.mounts.protocol import Setup

    Request = tuple[str, str, list[object]]
    """Lane, verb and arguments."""

LOG = logging.getLogger("syncagent")

START_S = 10.0
"""How long whoever asks waits for a process that is to be there; to start takes a fifth of a second."""
PATIENCE_S = 300.0
"""After so long without a word about a request the process is killed: its mount is dead."""
LOOK_ROUND_S = 5.0
"""How often whoever waits looks whether the mount is still the one that was asked."""
STEADY_S = 60.0
"""A process that lived so long did not fail to start."""
PAUSE_S = 0.5
PAUSE_MAX_S = 30.0
SEND_S = 5
"""How long the process may not read: its reader does nothing else, so it is ill then."""
ANSWERS_MAX = 256
"""Files that were read and wait to be judged: no more are taken off the socket meanwhile."""

_OVER: Final[list[object]] = []
"""Put among the answers when none will come."""


class Process(Protocol):
    """What `launch` has started."""

    def kill(self) -> None:
        """End it; quiet if it has ended."""

    def wait(self) -> object:
        """Wait for its end, and forget it."""


class _Waiting:
    """Somebody who waits for answers."""

    def __init__(self, lane: str) -> None:
        self.lane = lane
        self.why = ""
        """Why no answer will come."""
        self.answers: queue.Queue[list[object]] = queue.Queue(ANSWERS_MAX)
        self._left = threading.Event()

    def put(self, message: list[object]) -> None:
        """Pass on an answer; waits while too many are waiting, unless nobody takes them."""
        while not self._left.is_set():
            with contextlib.suppress(queue.Full):
                self.answers.put(message, timeout=0.5)
                return

    def over(self, why: str) -> None:
        """Tell that no answer will come."""
        self.why = why
        self.put(_OVER)

    @property
    def left(self) -> bool:
        """Whether nobody takes answers any more."""
        return self._left.is_set()

    def leave(self) -> None:
        """Take no more answers."""
        self._left.set()


class MountProcess:
    """Keeps one mount's process. `ask` is for any thread.

    `launch` starts it: a socket to it, and the process. `setup` and `greeting` tell what a new one has to be
    told, `moved` whether its mount is another one now. What its watcher tells goes to `post`; `died`
    is called when a process has ended that was not told to.
    """

    def __init__(
        self,
        setup: Setup,
        launch: Callable[[], tuple[socket.socket, Process]],
        *,
        moved: Callable[[], bool] = lambda: False,
    ) -> None:
        self.setup = setup
        self.greeting: Callable[[], Sequence[Request]] = tuple
        self.post: Callable[[Hinted | WatchFault], None] = lambda _event: None
        self.died: Callable[[str], None] = lambda _why: None
        self.name = ", ".join(tree.path for tree in setup.trees)
        self._launch = launch
        self._moved = moved
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        self._link: socket.socket | None = None
        self._process: Process | None = None
        self._down = ""
        self._pending: dict[int, _Waiting] = {}
        self._number = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mount", daemon=True)

    def start(self) -> None:
        """Begin to start the process; returns at once."""
        self._thread.start()

    def ask(
        self,
        lane: str,
        verb: str,
        args: list[object],
        *,
        within_s: float | None = None,
        took: Callable[[object], None] | None = None,
    ) -> object:
        """Return the answer to a request; `took` gets the files that were read on the way.

        Waits as long as it takes, or `within_s`. Raises what the request raised there; DiskError if
        there is no process or it ends, and (ETIMEDOUT) if no answer comes in time.
        """
        until = None if within_s is None else time.monotonic() + within_s
        waiting = _Waiting(lane)
        number = self._begin(waiting, [lane, verb, args], until)
        try:
            return self._await(waiting, until, took)
        finally:
            waiting.leave()
            if lane != ACT:
                with self._changed:
                    self._pending.pop(number, None)

    def abandon(self, lanes: frozenset[str], why: str) -> None:
        """Have whoever waits in one of these lanes wait no longer."""
        with self._changed:
            left = [waiting for waiting in self._pending.values() if waiting.lane in lanes]
        for waiting in left:
            waiting.over(why)

    def stop(self, within_s: float) -> None:
        """End the process; what can't be ended in time is left to the kernel."""
        self._closed.set()
        with self._changed:
            link, process = self._link, self._process
            self._changed.notify_all()
        if link is not None:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        if self._thread.ident is not None:
            self._thread.join(within_s)
            if self._thread.is_alive() and process is not None:
                process.kill()

    # Asking.

    def _begin(self, waiting: _Waiting, request: list[object], until: float | None) -> int:
        started_by = time.monotonic() + START_S
        until = started_by if until is None else min(until, started_by)
        with self._changed:
            self._changed.wait_for(
                lambda: self._link is not None or self._closed.is_set(),
                until - time.monotonic(),
            )
            link = self._link
            if link is None:
                raise self._gone(self._down or "it does not start")
            if any(one.left and one.lane == request[0] for one in self._pending.values()):
                raise self._gone("what it was asked before is not done yet")
            self._number += 1
            number = self._number
            self._pending[number] = waiting
        try:
            with self._sending:
                send(link, [number, *request])
        except OSError as error:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)  # half a message may be on its way
            raise self._gone(str(error)) from error
        return number

    def _await(
        self,
        waiting: _Waiting,
        until: float | None,
        took: Callable[[object], None] | None,
    ) -> object:
        heard = time.monotonic()
        while True:
            now = time.monotonic()
            if until is not None and now >= until:
                raise self._gone("it does not answer in time")
            self._judge(now - heard)
            left = LOOK_ROUND_S if until is None else min(LOOK_ROUND_S, until - now)
            try:
                message = waiting.answers.get(timeout=left)
            except queue.Empty:
                continue
            heard = time.monotonic()
            if message is _OVER:
                raise self._gone(waiting.why)
            _, what, value = items_of(message, 3)
            if what != TOOK:
                return _answer(what, value)
            if took is not None:
                took(value)

    def _judge(self, silent_s: float) -> None:
        """End a process that hangs in a mount that is no more, or for too long."""
        if silent_s < LOOK_ROUND_S or not (silent_s >= PATIENCE_S or self._moved()):
            return
        with self._changed:
            process = self._process
        if process is not None:
            process.kill()

    def _gone(self, why: str) -> DiskError:
        return DiskError(
            f"the process that looks after {self.name} is of no use: {why}",
            errno_name="ETIMEDOUT",
            hint="look at the mount and the server behind it",
        )

    # Keeping the process.

    def _run(self) -> None:
        failures = 0
        while not self._closed.is_set():
            began = time.monotonic()
            why = self._live()
            if self._closed.is_set():
                return
            failures = 1 if time.monotonic() - began >= STEADY_S else failures + 1
            LOG.warning("the process that looks after %s has ended: %s", self.name, why)
            self.died(why)
            self._closed.wait(min(PAUSE_MAX_S, PAUSE_S * 2.0 ** min(failures - 1, 16)))

    def _live(self) -> str:
        """Start a process and listen to it until it is gone; return why it ended."""
        try:
            link, process = self._launch()
        except OSError as error:
            why = f"it can't be started: {error}"
            self._end(why)
            return why
        with link:
            try:
                self._greet(link, process)
                why = self._listen(link)
            except (OSError, ProtocolError) as error:
                why = str(error)
            self._end(why)
        process.kill()
        process.wait()
        with self._changed:
            self._process = None
        return why

    def _greet(self, link: socket.socket, process: Process) -> None:
        limit = struct.pack("ll", SEND_S, 0)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        with self._sending:
            send(link, setup_out(self.setup))
            with self._changed:
                if self._closed.is_set():
                    raise OSError(errno.ECANCELED, "nobody needs it any more")
                self._link, self._process = link, process
                for request in self.greeting():
                    self._number += 1
                    send(link, [self._number, *request])
                self._changed.notify_all()

    def _listen(self, link: socket.socket) -> str:
        while (message := receive(link)) is not None:
            number, what, value = items_of(message, 3)
            if number == 0:
                self.post(event_in(what, value))
                continue
            with self._changed:
                look_up = self._pending.get if what == TOOK else self._pending.pop
                waiting = look_up(whole_of(number), None)
            if waiting is not None:
                waiting.put(message)
        return "it was killed or crashed"

    def _end(self, why: str) -> None:
        with self._changed:
            self._link = None
            self._down = why
            pending, self._pending = self._pending, {}
            self._changed.notify_all()
        for waiting in pending.values():
            waiting.over(why)


def _answer(what: object, value: object) -> object:
    if what == DONE:
        return value
    raise error_in(value)
