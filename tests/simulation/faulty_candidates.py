"""Candidates with a known fault each, by which the checkers of leases are proved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.election import Election, GiveBack, Observe, Renew, Rest
from syncagent.core.lease import Leadership, LeaseView, StoreUnavailable
from tests.fakes.drawn_elector import DrawnElector
from tests.fakes.lease_house import Answer

if TYPE_CHECKING:
    from syncagent.core.election import Action, LeadChange, Lost


class LateDeadline(DrawnElector):
    """Counts a lease from when the answer came, not from when it was asked for."""

    def _conclude(self, action: Action, sent: float) -> None:
        super()._conclude(action, self._clock.now())


class Optimist(DrawnElector):
    """Takes a renewal of which it knows nothing for done."""

    def _conclude(self, action: Action, sent: float) -> None:
        if isinstance(action, Renew) and isinstance(self._spoken.answer.error, StoreUnavailable):
            self._spoken.answer = Answer()
        super()._conclude(action, sent)


class StoreClock(DrawnElector):
    """Takes a lease that has run out by the store's wall clock."""

    def _conclude(self, action: Action, sent: float) -> None:
        view = self._spoken.answer.value
        super()._conclude(action, sent)
        store = self._house.store
        over = store.now() + store.turned_s >= store.row.until
        if isinstance(action, Observe) and isinstance(view, LeaseView) and over:
            self._election._ready = view


class NoWatchdog(Election):
    """Does not look at its deadline unless it hears from the store."""

    def expire(self, now: float) -> Lost | None:
        return None


class NoMargin(Election):
    """Believes for the whole lease."""

    def _expiry(self, sent: float) -> float:
        return super()._expiry(sent) + self._timing.margin_s


class Impatient(Election):
    """Takes a lease without having watched its record for a whole lease."""

    def _may_take(self, now: float, view: LeaseView) -> bool:
        return True


class Resuming(Election):
    """Goes on under its old token when the store shows it still."""

    def observed(self, now: float, view: LeaseView) -> LeadChange | None:  # type: ignore[override]
        super().observed(now, view)
        if self._give_back is not None:
            self._leadership = Leadership(self._give_back, self._expiry(now))
            self._renew_at, self._give_back = now, None
        return None


class Greedy(Election):
    """Never gives back what it holds and does not believe in any more."""

    def next(self, now: float) -> Action:
        action = super().next(now)
        if isinstance(action, GiveBack):
            self._give_back = None
            return Rest(now + 1.0)
        return action


class Forgetful(Election):
    """Takes the store's word for the highest epoch."""

    def raise_floor(self, epoch: int) -> None:
        pass
