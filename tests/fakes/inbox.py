"""An inbox for tests: keeps what shells post, and waits for it with a deadline."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from syncagent.core.events import Hinted, HintKind, WatchFault

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.events import ShellEvent

DEADLINE_S = 20.0
"""Generous: a test that waits so long has failed."""


class Inbox:
    """Collects events from any thread. `gate` can hold the posting thread back."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self._events: list[ShellEvent] = []
        self._came = threading.Condition(threading.RLock())

    def post(self, event: ShellEvent) -> None:
        """Keep an event; waits while the gate is shut."""
        assert self.gate.wait(DEADLINE_S), "the gate was never opened"
        with self._came:
            self._events.append(event)
            self._came.notify_all()

    @property
    def events(self) -> tuple[ShellEvent, ...]:
        """Everything so far, oldest first."""
        with self._came:
            return tuple(self._events)

    @property
    def hints(self) -> tuple[tuple[str, HintKind], ...]:
        """Path and kind of every hint so far."""
        return tuple((e.path, e.kind) for e in self.events if isinstance(e, Hinted))

    @property
    def faults(self) -> tuple[WatchFault, ...]:
        """Every fault so far."""
        return tuple(e for e in self.events if isinstance(e, WatchFault))

    def clear(self) -> None:
        """Forget what came."""
        with self._came:
            self._events.clear()

    def wait(self, what: Callable[[Inbox], object]) -> None:
        """Wait until `what` of this inbox is true; fail after the deadline."""
        with self._came:
            came = self._came.wait_for(lambda: what(self), DEADLINE_S)
        assert came, f"not within {DEADLINE_S:g} s; came: {self.events[-20:]}"

    def wait_hint(self, path: str, *kinds: HintKind) -> None:
        """Wait for a hint of one of `kinds` (any, if none are given) at `path`."""
        wanted = set(kinds or HintKind)
        self.wait(lambda inbox: any(p == path and kind in wanted for p, kind in inbox.hints))

    def wait_fault(self) -> WatchFault:
        """Wait for a fault and return the first."""
        self.wait(lambda inbox: inbox.faults)
        return self.faults[0]
