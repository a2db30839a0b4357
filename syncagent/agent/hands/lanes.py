"""Threads for the hands: each lane carries out its effects in order, beside the other lanes.

A hand may hang in a file system that does not answer. Nothing can end it: its lane is given up after
a bound when the agent ends, and its thread is a daemon, which no exit waits for.

What a hand is not prepared for ends the agent: a half-known state is worse than a restart, and
everything that matters survives one.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

JOIN_S = 30.0


@dataclass(frozen=True)
class Crashed:
    """A hand met an exception that it has no answer for."""

    lane: str
    error: BaseException


class Lane(Generic[T]):
    """One thread that carries out what is put in. Results and crashes go to `post`."""

    def __init__(
        self,
        name: str,
        do: Callable[[T], object | None],
        post: Callable[[object], None],
        *,
        join_s: float = JOIN_S,
    ) -> None:
        self.join_s = join_s
        self._do = do
        self._post = post
        self._name = name
        self._queue: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"lane-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def put(self, effect: T) -> None:
        """Have something carried out; never blocks."""
        self._queue.put(effect)

    def end(self) -> None:
        """Carry out what is queued, then end; does not wait for it."""
        self._queue.put(None)

    def ended(self, within_s: float) -> bool:
        """Wait for the end; return whether it came in time. What hangs dies with the process."""
        if self._thread.ident is None:
            return True
        self._thread.join(max(0.0, within_s))
        return not self._thread.is_alive()

    def stop(self) -> bool:
        """End and wait for it; return whether it ended in time."""
        self.end()
        return self.ended(self.join_s)

    def _run(self) -> None:
        while (effect := self._queue.get()) is not None:
            try:
                result = self._do(effect)
            except BaseException as error:  # noqa: BLE001 - passed on: the loop raises it and ends
                self._post(Crashed(self._name, error))
                return
            if result is not None:
                self._post(result)


def stop_all(lanes: Mapping[str, Lane[T]]) -> list[str]:
    """End lanes, all of them at once; return the names of those that did not end in their time."""
    began = time.monotonic()
    for lane in lanes.values():
        lane.end()
    return [
        name
        for name, lane in lanes.items()
        if not lane.ended(began + lane.join_s - time.monotonic())
    ]
