"""The production `Elector` without threads: its two loops run as events of a simulated clock.

Everything that is decided is the elector's and the election's own. What is here instead of the
threads: one question at a time is on its way to the store (the renewer), and the deadline is looked
at when it comes (the watchdog). A machine that stands still does neither until it goes on.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from syncagent.core.election import NEVER, GiveBack, Rest
from syncagent.leases.elector import Elector
from tests.fakes.lease_house import Spoken

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.election import Action, Election, LeadChange
    from syncagent.ports import Clock
    from tests.fakes.lease_house import Answer, House

BREATH_S = 0.0001


class _Bell(threading.Condition):
    """What the elector's threads would be woken by."""

    def __init__(self, ring: Callable[[], None]) -> None:
        super().__init__()
        self._ring = ring

    def notify_all(self) -> None:
        self._ring()


class DrawnElector(Elector):
    """An elector whose store is a `House`. `later` has something happen on the node's machine."""

    def __init__(
        self,
        house: House,
        election: Election,
        clock: Clock,
        on_change: Callable[[LeadChange], None],
        later: Callable[[float, Callable[[], None]], None],
    ) -> None:
        self._spoken = Spoken(server_expiry=house.store.server_expiry)
        super().__init__(self._spoken, election, clock, on_change)
        self._changed = _Bell(lambda: self._wake(clock.now() + BREATH_S))
        self._house = house
        self._later = later
        self._asking = False
        self._wakes: set[float] = set()
        self._started = False

    def start(self) -> None:
        """Begin; see `Elector.start`."""
        self._started = True
        self._go_on()

    def close(self) -> None:
        """Resign; what is given back may reach the store after this."""
        self.resign()
        self._stopping = True
        self._go_on()

    def _settle(self) -> None:
        """What is to be given back is asked like everything else."""
        self._go_on()

    @property
    def giving_back(self) -> bool:
        """Whether something is still to be given back."""
        return self._election.giving_back

    def _go_on(self) -> None:
        """Ask what is to be asked now, or come back when something is."""
        if not self._started:
            return
        now = self._clock.now()
        if self._election.deadline <= now:
            with self._changed:
                self._tell(self._election.expire(now))
        self._wake(self._election.deadline)
        if self._asking:
            return
        action = self._election.next(now)
        if self._stopping and not isinstance(action, GiveBack):
            return
        if isinstance(action, Rest):
            self._wake(action.until)
            return
        self._asking = True
        sent = now
        self._house.ask(
            self._election.me,
            action,
            lambda answer: self._later(0.0, lambda: self._answered(action, sent, answer)),
        )

    def _answered(self, action: Action, sent: float, answer: Answer) -> None:
        self._asking = False
        self._spoken.answer = answer
        self._conclude(action, sent)
        self._go_on()

    def _wake(self, at: float) -> None:
        if at == NEVER or at in self._wakes or at <= self._clock.now():
            return
        self._wakes.add(at)

        def wake() -> None:
            self._wakes.discard(at)
            self._go_on()

        self._later(at - self._clock.now(), wake)
