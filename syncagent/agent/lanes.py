"""Threads for the hands: each lane carries out its effects in order, beside the other lanes.

What a hand is not prepared for ends the agent: a half-known state is worse than a restart, and
everything that matters survives one.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

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
        self, name: str, do: Callable[[T], object | None], post: Callable[[object], None]
    ) -> None:
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

    def stop(self) -> bool:
        """Carry out what is queued, then end; return whether it ended in time."""
        if self._thread.ident is None:
            return True
        self._queue.put(None)
        self._thread.join(JOIN_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (effect := self._queue.get()) is not None:
            try:
                result = self._do(effect)
            except BaseException as error:  # noqa: BLE001 - passed on: the loop raises it and ends
                self._post(Crashed(self._name, error))
                return
            if result is not None:
                self._post(result)
