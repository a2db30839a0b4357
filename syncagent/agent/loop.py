"""The story of the program: wait, take what happened, decide, have it done.

One thread owns the node. Shells and hands post what happened into one bounded inbox; the node
decides; its effects go to the hands' lanes. Only here are failures met that nobody else answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.agent.hands.lanes import Crashed
from syncagent.agent.inbox import INBOX_MAX, Inbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.effects import Effect
    from syncagent.agent.node.node import Node
    from syncagent.ports import Clock, Instant


@dataclass(frozen=True)
class Stop:
    """Posted to end the loop; `again` asks for a fresh start, with the settings as they are then."""

    again: bool = False


class Loop:
    """Runs one node until it is told to stop; `turned` is called after each of its turns."""

    def __init__(
        self,
        node: Node,
        clock: Clock,
        carry_out: Callable[[Effect], None],
        *,
        turned: Callable[[Instant], None] = lambda _now: None,
        inbox_max: int = INBOX_MAX,
    ) -> None:
        self._node = node
        self._clock = clock
        self._carry_out = carry_out
        self._turned = turned
        self._stop: Stop | None = None
        self._inbox = Inbox(inbox_max)

    def post(self, event: object) -> None:
        """Take an event from any thread."""
        self._inbox.put(event)

    def run(self) -> bool:
        """Run until `Stop` is posted; return whether to start again. Raises what crashed a hand."""
        self._inbox.open()
        try:
            self._node.start(self._clock.now())
            while self._stop is None:
                now = self._clock.now()
                wake_at = self._node.tick(now)
                self._act()
                self._turned(now)
                for event in self._inbox.take(wake_at - self._clock.now()):
                    self._take(event)
            return self._stop.again
        finally:
            self._inbox.close()

    def _act(self) -> None:
        for effect in self._node.drain():
            self._carry_out(effect)

    def _take(self, event: object) -> None:
        """Handle one event."""
        if isinstance(event, Stop):
            if self._stop is None or not event.again:
                # Who ends the agent is not overruled by who wants it fresh.
                self._stop = event
            return
        if isinstance(event, Crashed):
            raise event.error
        self._node.handle(event, self._clock.now())  # type: ignore[arg-type]  # posted by hands and shells only
        self._act()
