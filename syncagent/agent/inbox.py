"""What waits for the loop: bounded, so that a source that is too fast is slowed down.

The loop's own thread never waits for room, since only it makes some; and when the loop has ended
nobody waits any more, since the hands must finish what they have.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque

INBOX_MAX = 100_000
"""Events that may wait; a poster beyond that waits itself, which slows the source down."""
ROOM_S = 0.5
"""How often who waits for room looks whether the loop has ended."""
BATCH_MAX = 1_000
"""Events taken before time is looked at again."""


class Inbox:
    """Events for one reader. Any thread may put, also the reader's."""

    def __init__(self, most: int = INBOX_MAX) -> None:
        self._queue: queue.Queue[object] = queue.Queue(most)
        self._own: deque[object] = deque()
        self._reader = 0
        self._over = False

    def open(self) -> None:
        """From now on this thread reads."""
        self._reader = threading.get_ident()

    def close(self) -> None:
        """Nobody reads any more: what is put is dropped."""
        self._over = True

    def put(self, event: object) -> None:
        """Add an event."""
        if threading.get_ident() == self._reader:
            self._own.append(event)
            return
        while not self._over:
            with contextlib.suppress(queue.Full):
                self._queue.put(event, timeout=ROOM_S)
                return

    def take(self, pause_s: float) -> list[object]:
        """Wait for the first event, then take what else is there; empty if none came in time."""
        events: list[object] = list(self._own)
        self._own.clear()
        try:
            if not events and pause_s > 0:
                events.append(self._queue.get(timeout=pause_s))
            while len(events) < BATCH_MAX:
                events.append(self._queue.get_nowait())
        except queue.Empty:
            return events
        return events
