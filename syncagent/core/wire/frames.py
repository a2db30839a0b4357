"""A byte stream cut into messages, sans-I/O.

A stream begins with a preface, the same for all protocol versions: what is not an agent (a login
banner, an HTTP server, a shell's complaint) is told apart by it. Then each frame is four bytes
of length, big-endian, and as many bytes of message; the first of those is the message's type,
and the length is refused by what that type may have before anything is kept for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

PREFACE = b"syncagent\r\n\x1a\n"
"""Sent once, first, by both ends. Its control characters show a channel that changes bytes."""

HEADER_BYTES = 4
_SHOWN_BYTES = 60


def frame(message: bytes) -> bytes:
    """Return the frame of one message's bytes."""
    assert message, "a message has at least its type"
    return len(message).to_bytes(HEADER_BYTES, "big") + message


class FrameReader:
    """Collects bytes until messages are whole. After one error every call raises it again.

    `limit_of` tells the most bytes that a message may have, by its first byte.
    """

    def __init__(self, limit_of: Callable[[int], int]) -> None:
        self._limit_of = limit_of
        self._buffer = bytearray()
        self._greeted = False
        self._fault: ProtocolError | None = None

    @property
    def within(self) -> bool:
        """True while the stream is inside the preface or a frame: an end here cuts something off."""
        return bool(self._buffer) or not self._greeted

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes as they came and return the messages that are whole now.

        Raises ProtocolError, now and from now on, if this is not a stream of frames.
        """
        if self._fault is not None:
            raise self._fault
        self._buffer += data
        try:
            return list(self._whole())
        except ProtocolError as error:
            self._fault = error
            self._buffer.clear()
            raise

    def _whole(self) -> list[bytes]:
        if not self._greeted and not self._take_preface():
            return []
        messages = []
        start = 0
        while (end := self._end_of_frame(start)) is not None:
            with memoryview(self._buffer) as view:
                messages.append(bytes(view[start + HEADER_BYTES : end]))
            start = end
        del self._buffer[:start]
        return messages

    def _take_preface(self) -> bool:
        """Take the preface off the buffer; False while it is not all there."""
        there = bytes(self._buffer[: len(PREFACE)])
        if not PREFACE.startswith(there):
            shown = bytes(self._buffer[:_SHOWN_BYTES])
            raise ProtocolError(
                f"the other end does not speak syncagent's protocol; it says {shown!r}",
                hint="if that is text of a login shell, keep the profile of the account silent; "
                "if it is another program, check the peer's address and port",
            )
        if len(there) < len(PREFACE):
            return False
        del self._buffer[: len(PREFACE)]
        self._greeted = True
        return True

    def _end_of_frame(self, start: int) -> int | None:
        """Return where the frame at `start` ends, None while it is not all there."""
        body = start + HEADER_BYTES
        if len(self._buffer) < body:
            return None
        size = int.from_bytes(self._buffer[start:body], "big")
        if size == 0:
            raise ProtocolError("a frame of no bytes")
        if len(self._buffer) == body:
            return None
        limit = self._limit_of(self._buffer[body])
        if size > limit:
            raise ProtocolError(
                f"a frame of {size} bytes; type {self._buffer[body]} has at most {limit}"
            )
        return body + size if len(self._buffer) >= body + size else None
