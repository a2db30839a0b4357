"""One connection: its greeting, its two directions, its end. Knows bytes and messages, not SSH.

Two threads serve a link. The one that made the connection reads: it greets, posts `LinkUp`, then
each message, and at the very end `LinkDown`, so nothing is received before the one or after the
other. A second writes what `send` queued, so that the agent's loop never waits for a network.

A link ends in one of two ways. `close` is polite: what is queued goes out, then a `Bye`, then the
other end hangs up. `cut` is at once. Either way the reader notices, and posts why.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Protocol

from syncagent.core.errors import ProtocolError, RefusedError
from syncagent.core.events import LinkDown, LinkUp, Received
from syncagent.core.wire.handshake import Conversation
from syncagent.core.wire.messages import Bye, Ping, Pong
from syncagent.ssh.transport import BROKEN, why

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.artifact import NodeName
    from syncagent.core.events import ShellEvent
    from syncagent.core.wire.messages import Hello, Message
    from syncagent.ports import LinkId
    from syncagent.ssh.transport import Pipe

READ_BYTES = 256 * 1024
WRITE_BYTES = 1024 * 1024
"""Bytes that are gathered for one write: many small messages leave in few packets."""
QUEUE_BYTES_MAX = 128 * 1024 * 1024
QUEUE_MESSAGES_MAX = 10_000
ASIDE_BYTES = 500
DRAIN_S = 1.0
"""Seconds for which what still comes is read and dropped after the protocol was broken."""
GOODBYE_S = 2.0
"""Seconds that the other end has to hang up after a goodbye."""


class Clock(Protocol):
    """Seconds that never step back."""

    def __call__(self) -> float:
        """Return now."""


class Link:
    """A connection to one peer whose name its key has proved."""

    def __init__(
        self, link_id: LinkId, peer: NodeName, pipe: Pipe, *, dialled: bool, clock: Clock
    ) -> None:
        self.id = link_id
        self.peer = peer
        self.dialled = dialled
        self.incarnation = ""
        self.closing_since: float | None = None
        self._pipe = pipe
        self._clock = clock
        self._talk: Conversation | None = None
        self._early: list[Message] = []
        self._heard = clock()
        self._asked = float("-inf")
        self._busy = False
        self._reason = ""
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._ready = threading.Condition()
        self._over = False
        self._writer: threading.Thread | None = None

    # Called by the thread that made the connection.

    def greet(self, me: Hello, timeout_s: float, accept: Callable[[Link], None]) -> None:
        """Exchange hellos; `accept` looks at this link with the other end's.

        Raises RefusedError, also of `accept`, after the other end was told; or one of `BROKEN`.
        """
        talk = Conversation(me, self.peer)
        self._pipe.set_timeout(timeout_s)
        try:
            if self.dialled:
                self._pipe.send(talk.open())
            self.incarnation = self._hear_hello(talk).incarnation
            accept(self)
            if not self.dialled:
                self._pipe.send(talk.open())
        except RefusedError as error:
            if not talk.dismissed:
                with contextlib.suppress(*BROKEN):
                    self._pipe.send(talk.say(Bye(str(error))))
                    self._drain()
            raise
        self._talk = talk

    def _hear_hello(self, talk: Conversation) -> Hello:
        while talk.hello is None:
            data = self._pipe.receive(READ_BYTES)
            if not data:
                raise EOFError(self._pipe.said_aside(ASIDE_BYTES) or "the other end hung up")
            # What came in one piece with the hello waits for `serve`.
            self._early = talk.hear(data)
        return talk.hello

    def serve(self, post: Callable[[ShellEvent], None]) -> None:
        """Post what happens on this link until it is over; the last event is `LinkDown`."""
        talk = self._talk
        assert talk is not None, "a link is greeted before it is served"
        assert talk.version is not None, "a greeting agrees on a version"
        self._pipe.settle()
        self._writer = threading.Thread(
            target=self._write, name=f"link-{self.id}-write", daemon=True
        )
        self._writer.start()
        post(LinkUp(self.id, self.peer, self.dialled, talk.version, self.incarnation))
        reason = "this node failed at the link, see its log"
        try:
            reason = self._read(talk, post)
        except ProtocolError as error:
            reason = str(error)
            self.close(reason)
            self._drain()
        except BROKEN as error:
            reason = f"connection lost: {why(error)}"
        finally:
            self.end()
            post(LinkDown(self.id, self.peer, self._reason or reason))

    def end(self) -> None:
        """Close everything, also of a link that was never served."""
        self.cut("")
        self._pipe.finish()

    def _read(self, talk: Conversation, post: Callable[[ShellEvent], None]) -> str:
        """Post messages until the stream ends; return why it did."""
        messages = self._early
        while True:
            for message in messages:
                if isinstance(message, Bye):
                    return f"{self.peer} closed the link: {message.reason}"
                self._take(message, post)
            data = self._pipe.receive(READ_BYTES)
            if not data:
                return self._pipe.said_aside(ASIDE_BYTES) or f"{self.peer} hung up"
            self._heard = self._clock()
            messages = talk.hear(data)

    def _take(self, message: Message, post: Callable[[ShellEvent], None]) -> None:
        if isinstance(message, Ping):
            self.send(Pong(message.number))
        elif not isinstance(message, Pong) and self.closing_since is None:
            self._busy = True
            post(Received(self.id, message))
            self._heard = self._clock()
            self._busy = False

    def _drain(self) -> None:
        """Let the other end read our goodbye before the socket closes under it."""
        deadline = self._clock() + DRAIN_S
        with contextlib.suppress(*BROKEN):
            self._pipe.set_timeout(DRAIN_S)
            while self._clock() < deadline and self._pipe.receive(READ_BYTES):
                pass

    # Called from any thread.

    def quiet_s(self) -> float:
        """Return for how long nothing was heard; 0 while this node itself keeps us from reading."""
        return 0.0 if self._busy else self._clock() - self._heard

    @property
    def over(self) -> bool:
        """True once nothing can be sent any more."""
        return self._over

    def heard_since(self, instant: float) -> bool:
        """Tell whether something came after that time."""
        return self._heard > instant

    def ping(self, number: int) -> None:
        """Ask for a sign of life."""
        self._asked = self._clock()
        self.send(Ping(number))

    def ping_once_per(self, seconds: float, number: int) -> None:
        """Ask for a sign of life unless that was done within `seconds`."""
        if self._clock() - self._asked >= seconds:
            self.ping(number)

    def send(self, message: Message) -> None:
        """Queue a message. A message that can't be said, or a full queue, ends the link."""
        talk = self._talk
        if talk is None or self._over or self.closing_since is not None:
            return
        try:
            data = talk.say(message)
        except ProtocolError as error:
            self.close(str(error))
            return
        with self._ready:
            fits = not self._queue or (
                self._queued + len(data) <= QUEUE_BYTES_MAX
                and len(self._queue) < QUEUE_MESSAGES_MAX
            )
            if fits:
                self._queue.append(data)
                self._queued += len(data)
                self._ready.notify()
        if not fits:
            self.cut(
                f"{self.peer} takes nothing any more: {self._queued} bytes in "
                f"{len(self._queue)} messages wait to be sent"
            )

    def close(self, reason: str) -> None:
        """Send what is queued, say goodbye, and hang up; a second call changes nothing."""
        talk = self._talk
        if talk is None:
            self.cut(reason)
            return
        with self._ready:
            if self._over or self.closing_since is not None:
                return
            self.closing_since = self._clock()
            self._reason = self._reason or reason
            self._queue.append(talk.say(Bye(reason)))
            self._ready.notify()

    def cut(self, reason: str) -> None:
        """End the link at once; the other end learns that the connection is gone."""
        with self._ready:
            self._reason = self._reason or reason
            self._over = True
            self._queue.clear()
            self._ready.notify()
        self._pipe.interrupt()

    def join(self, timeout_s: float) -> None:
        """Wait until the writer has ended."""
        if self._writer is not None:
            self._writer.join(timeout_s)

    # Private.

    def _write(self) -> None:
        with contextlib.suppress(*BROKEN):
            while data := self._next_bytes():
                self._pipe.send(data)
            if not self._over:
                self._await_hang_up()
            return
        # The reader learns it from the stream, which may take it long: the other half can live on.
        self._pipe.interrupt()

    def _next_bytes(self) -> bytes:
        """Wait for and return what to write next, empty when the link is over or a goodbye went."""
        with self._ready:
            self._ready.wait_for(
                lambda: self._queue or self._over or self.closing_since is not None
            )
            if self._over or not self._queue:
                return b""
            parts = [self._queue.popleft()]
            size = len(parts[0])
            while self._queue and size + len(self._queue[0]) <= WRITE_BYTES:
                parts.append(self._queue.popleft())
                size += len(parts[-1])
            self._queued -= size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _await_hang_up(self) -> None:
        """Give the other end time to hang up after our goodbye; our hanging up could outrun it."""
        with self._ready:
            self._ready.wait_for(lambda: self._over, GOODBYE_S)
        self._pipe.interrupt()
