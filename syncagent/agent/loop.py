"""The story of the program: wait, take what happened, decide, have it done.

One thread owns the node. Shells and hands post what happened into one bounded inbox; the node
decides; its effects go to the hands' lanes. Only here are failures met that nobody else answers.
"""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.agent.lanes import Crashed

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.effects import Effect
    from syncagent.agent.node import Node
    from syncagent.ports import Clock

INBOX_MAX = 100_000
"""Events that may wait; a poster beyond that waits itself, which slows the source down."""
BATCH_MAX = 1_000
"""Events taken before time is looked at again."""


@dataclass(frozen=True)
class Stop:
    """Posted to end the loop; `again` asks for a fresh start, with the settings as they are then."""

    again: bool = False


class Loop:
    """Runs one node until it is told to stop."""

    def __init__(self, node: Node, clock: Clock, carry_out: Callable[[Effect], None]) -> None:
        self._node = node
        self._clock = clock
        self._carry_out = carry_out
        self._stop: Stop | None = None
        self._inbox: queue.Queue[object] = queue.Queue(INBOX_MAX)

    def post(self, event: object) -> None:
        """Take an event from any thread."""
        self._inbox.put(event)

    def run(self) -> bool:
        """Run until `Stop` is posted; return whether to start again. Raises what crashed a hand."""
        self._node.start(self._clock.now())
        while self._stop is None:
            wake_at = self._node.tick(self._clock.now())
            self._act()
            for event in self._events(wake_at - self._clock.now()):
                self._take(event)
        return self._stop.again

    def _act(self) -> None:
        for effect in self._node.drain():
            self._carry_out(effect)

    def _take(self, event: object) -> None:
        """Handle one event."""
        if isinstance(event, Stop):
            self._stop = event
            return
        if isinstance(event, Crashed):
            raise event.error
        self._node.handle(event, self._clock.now())  # type: ignore[arg-type]  # posted by hands and shells only
        self._act()

    def _events(self, pause_s: float) -> list[object]:
        """Wait for the first event, then take what else is there."""
        events: list[object] = []
        try:
            events.append(
                self._inbox.get(timeout=max(0.0, pause_s))
                if pause_s > 0
                else self._inbox.get_nowait()
            )
            while len(events) < BATCH_MAX:
                events.append(self._inbox.get_nowait())
        except queue.Empty:
            return events
        return events
