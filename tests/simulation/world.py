"""Virtual time: a queue of things to happen, one source of chance, and the story of what did.

Nothing here reads a clock. The network has a queue of its own (see `tests.fakes.network`); the
world takes whichever is due first.
"""

from __future__ import annotations

import heapq
import random
from itertools import count
from typing import TYPE_CHECKING

from syncagent.ports import Instant
from tests.fakes.network import FakeNetwork, Weather

if TYPE_CHECKING:
    from collections.abc import Callable

WALL_START = 1_700_000_000.0


class Violation(AssertionError):  # noqa: N818 - it is what a checker found, not what went wrong in it
    """A promise was broken. `promise` names the checker."""

    def __init__(self, promise: str, text: str) -> None:
        super().__init__(f"{promise}: {text}")
        self.promise = promise


class World:
    """The clock, the queue, chance and the trace of one run."""

    def __init__(self, seed: int, *, tracing: bool = False) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.at_s = 0.0
        self.tracing = tracing
        self.trace: list[str] = []
        self.network = FakeNetwork(self.rng, self.now, Weather())
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()

    # The clock port, the same for all nodes: no rule compares clocks of two of them.

    def now(self) -> Instant:
        return Instant(self.at_s)

    def wall(self) -> float:
        return WALL_START + self.at_s

    # What happens.

    def later(self, after_s: float, act: Callable[[], None]) -> None:
        """Have something happen after `after_s`."""
        heapq.heappush(self._queue, (self.at_s + after_s, next(self._order), act))

    def run(self, until: float) -> None:
        """Let everything happen that is due up to `until`."""
        while True:
            own = self._queue[0][0] if self._queue else float("inf")
            other = self.network.next_due()
            if other is not None and other < own:
                if other > until:
                    break
                due, act = self.network.pop()
            else:
                if own > until:
                    break
                due, _, act = heapq.heappop(self._queue)
            self.at_s = max(self.at_s, due)
            act()
        self.at_s = max(self.at_s, until)

    def chance(self, share: float) -> bool:
        """Be true now and then."""
        return self.rng.random() < share

    def tell(self, who: str, what: str) -> None:
        """Add a line to the trace."""
        if self.tracing:
            self.trace.append(f"{self.at_s:10.3f} {who:<8} {what}")
