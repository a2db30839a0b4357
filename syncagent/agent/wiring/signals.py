"""Signals, carried from where nothing may be done to where something can.

A handler runs between two steps of whatever the main thread does, so also while that thread holds
the inbox's lock; posting from there could wait for ever. A handler here only puts a number into a
`SimpleQueue`, which Python makes safe for that, and a thread does what was asked for.
"""

from __future__ import annotations

import queue
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self


class Signals:
    """Carries out an action per signal, one after the other, while the `with` lasts.

    Made and left by the main thread only. Actions run in a thread of their own; what they raise
    ends that thread, so they answer for their own failures.
    """

    def __init__(self, actions: Mapping[signal.Signals, Callable[[], None]]) -> None:
        self._actions = actions
        self._came: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="signals", daemon=True)
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        for number in self._actions:
            self._before[number] = signal.signal(number, lambda came, _: self._came.put(came))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as it was given to us
        self._came.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while (came := self._came.get()) is not None:
            self._actions[signal.Signals(came)]()
