"""One node's part in an election, as a state machine: what to ask the store next, and whether we lead.

Pure: a runner (`leases.elector`) asks `next`, does it, and says what came of it; another thread of
its calls `expire`. All instants are the node's own boot-time clock; clocks of two machines, or of
a store, are never compared.

The rules:
1. We believe until the instant before the last successful renewal was *sent*, plus lease, minus
   margin. A renewal that returns later than that changes nothing.
2. Where the store does not end leases itself, a lease has run out when its record did not change
   for the holder's whole lease while we watched; it is then taken by compare-and-set.
3. Surely lost: down at once. Unknown: asked again until the deadline, then down.
4. A belief that ended is never taken up again: leading again needs a new acquire, so a new epoch.
   If the store still shows our old token (or one whose acquire we never heard of), it is given
   back first; else it would keep everybody out, ourselves included. So who stands back looks once
   more if something may be left there: a session may keep it alive whatever we believe.
   A lease that an earlier process of this node held is taken over at once, by compare-and-set and
   with a higher epoch: that process has ended, and nobody else may have it yet.
5. Whoever shows us a higher epoch ends our belief and raises the floor for the next.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from syncagent.core.lease import Leadership

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.lease import Candidate, LeaseView, Timing
    from syncagent.core.revision import Token

NEVER: Final = float("inf")
POLL_SHARE: Final = 0.4
"""A candidate looks at the store every 0.4 renew intervals: 2 s at defaults."""
RETRY_SHARE: Final = 0.1
"""A renewal of unknown outcome is tried again after a tenth of the renew interval, and jitter."""


@dataclass(frozen=True, slots=True)
class Observe:
    """Ask the store what it says."""


@dataclass(frozen=True, slots=True)
class TryAcquire:
    """Take the lease by compare-and-set on `seen`, with an epoch above `floor`."""

    seen: LeaseView
    floor: int


@dataclass(frozen=True, slots=True)
class Renew:
    """Renew the lease."""

    token: Token


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Resign a token that is ours and that we don't (any more) lead under."""

    token: Token


@dataclass(frozen=True, slots=True)
class Rest:
    """Nothing to ask before `until`, unless the runner is woken."""

    until: float


Action = Observe | TryAcquire | Renew | GiveBack | Rest


@dataclass(frozen=True, slots=True)
class Won:
    """This node leads, under `token`."""

    token: Token


@dataclass(frozen=True, slots=True)
class Lost:
    """This node does not lead under `token` any more."""

    token: Token
    reason: str


LeadChange = Won | Lost


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a candidate knows of the lease, for people. Instants are of its own clock.

    `renewed_at`: when its own lease was last renewed, or when it last saw another's change.
    `unavailable_since`: since when the store has not answered, and `fault` why; None while it does.
    """

    token: Token | None = None
    renewed_at: float | None = None
    unavailable_since: float | None = None
    fault: str = ""
    campaigning: bool = False


class Election:
    """The state of one candidate. Not thread-safe: its runner holds a lock around each call.

    `jitter` returns numbers from 0 to 1. `never_expires`: leadership ends only by being lost,
    fenced or resigned (`static`), so that nothing is renewed. A lease that is free is left to others
    for as long as the priority says, unless a person wants this node to have it.
    """

    def __init__(
        self,
        me: Candidate,
        timing: Timing,
        *,
        server_expiry: bool,
        never_expires: bool,
        jitter: Callable[[], float],
    ) -> None:
        self.me = me
        self.floor = 0
        self._timing = timing
        self._server_expiry = server_expiry
        self._never_expires = never_expires
        self._jitter = jitter
        self._head_start_s = 0.0 if never_expires else timing.head_start_s(me.priority)
        self._campaigning = False
        self._leadership: Leadership | None = None
        self._renew_at = NEVER
        self._poll_at = 0.0
        self._seen: LeaseView | None = None
        self._seen_since = 0.0
        self._ready: LeaseView | None = None
        self._take_at = 0.0
        self._give_back: Token | None = None
        self._unsettled = False
        self._first = False
        self._renewed_at = 0.0
        self._unavailable_since: float | None = None
        self._fault = ""

    # What holds.

    def leadership(self, now: float) -> Leadership | None:
        """Return the belief, if there is one and it still stands at `now`."""
        belief = self._leadership
        return belief if belief is not None and belief.holds(now) else None

    @property
    def deadline(self) -> float:
        """When the present belief ends if nothing is renewed; NEVER if there is none."""
        return NEVER if self._leadership is None else self._leadership.expires

    @property
    def giving_back(self) -> bool:
        """True while a token of ours is still to be given back."""
        return self._give_back is not None

    @property
    def outlook(self) -> Outlook:
        """What is known of the lease, whether or not this node holds it."""
        belief, seen = self._leadership, self._seen
        token = belief.token if belief is not None else (seen.token if seen is not None else None)
        known_at = self._renewed_at if belief is not None else self._seen_since
        return Outlook(
            token,
            known_at if token is not None else None,
            self._unavailable_since,
            self._fault,
            self._campaigning,
        )

    # What to do.

    def next(self, now: float) -> Action:
        """Return what to ask the store now; each action's outcome must be told before the next."""
        if self._give_back is not None:
            return GiveBack(self._give_back)
        if self._leadership is not None:
            if now >= self._renew_at:
                return Renew(self._leadership.token)
            return Rest(min(self._renew_at, self._leadership.expires))
        if not (self._campaigning or self._unsettled):
            return Rest(NEVER)
        if self._ready is not None:
            may_take = self.me.promoted or now >= self._take_at
            return TryAcquire(self._ready, self.floor) if may_take else Rest(self._take_at)
        return Observe() if now >= self._poll_at else Rest(self._poll_at)

    # What was decided elsewhere.

    def campaign(self) -> None:
        """Try to lead from now on."""
        if not self._campaigning:
            self._campaigning = True
            self._poll_at = 0.0

    def wake(self, *, first: bool = False) -> None:
        """The lease may have come free: look at the store now, whatever was seen so far.

        `first`: it was given back for this node, so that its priority leaves it to nobody.
        """
        self._poll_at = 0.0
        if first:
            self._first = True
            self._ready = None

    def raise_floor(self, epoch: int) -> None:
        """Take note of an epoch that somebody has admitted: ours must be above it."""
        self.floor = max(self.floor, epoch)

    def outbid(self, floor: int) -> Lost | None:
        """An epoch above `floor` is wanted: a belief under a lower one, or that one, ends."""
        self.raise_floor(floor)
        belief = self._leadership
        if belief is None or belief.token.epoch > floor:
            return None
        return self._step_down(f"an epoch above {floor} is wanted", give_back=True)

    def fenced(self, highest: int) -> Lost | None:
        """Somebody has admitted `highest`: raise the floor; step down if that is above our epoch."""
        self.raise_floor(highest)
        belief = self._leadership
        if belief is None or highest <= belief.token.epoch:
            return None
        return self._step_down(f"epoch {highest} was admitted elsewhere", give_back=True)

    def stand_back(self, reason: str = "resigned") -> Lost | None:
        """Stop leading and trying to, and give the lease back."""
        self._campaigning = False
        self._ready = None
        return self._step_down(reason, give_back=True)

    # What came of it.

    def observed(self, now: float, view: LeaseView) -> None:
        """`Observe` was answered at `now`."""
        self._answered()
        self._poll_at = now + self._timing.renew_s * POLL_SHARE * (0.8 + 0.4 * self._jitter())
        if self._seen is None or view.version != self._seen.version:
            self._seen_since = now
        self._seen = view
        self.raise_floor(view.last_epoch)
        self._unsettled = False
        if self._is_mine(view.token):
            self._give_back = view.token
        elif self._campaigning and self._may_take(now, view):
            self._ready = view
            first = self._first or self._is_former(view.token)
            self._take_at = now if first else now + self._head_start_s
        self._first = False

    def took(self, sent: float, now: float, token: Token | None) -> LeadChange | None:
        """`TryAcquire`, sent at `sent`, was answered at `now`."""
        self._answered()
        self._forget_view()
        if token is None:
            # Somebody else was faster, or the store does not give it: it is not asked in a circle.
            self._poll_at = now + self._timing.renew_s * RETRY_SHARE
            return None
        expires = self._expiry(sent)
        outdone = token.epoch <= self.floor
        # Also if the store is wiped while we lead, no epoch comes twice.
        self.raise_floor(token.epoch)
        if now >= expires or not self._campaigning or outdone:
            # Too late, or not wanted any more: it was never ours to act upon.
            self._give_back = token
            return None
        self._leadership, self._renewed_at = Leadership(token, expires), sent
        if not self._never_expires:
            # A person's word counts once: what is lost later is not taken back by force.
            self.me = replace(self.me, promoted=False)
        self._renew_at = NEVER if self._never_expires else sent + self._timing.renew_s
        return Won(token)

    def renewed(self, sent: float, now: float, token: Token) -> Lost | None:
        """`Renew`, sent at `sent`, was done; told at `now`."""
        self._answered()
        belief = self._leadership
        if belief is None or belief.token != token:
            return None
        if not belief.holds(now):
            return self.expire(now)
        self._leadership, self._renewed_at = Leadership(token, self._expiry(sent)), sent
        self._renew_at = sent + self._timing.renew_s
        return None

    def lost(self, token: Token, reason: str) -> Lost | None:
        """The store says that `token` is certainly not ours any more."""
        self._answered()
        if self._give_back == token:
            self._give_back = None
        belief = self._leadership
        if belief is None or belief.token != token:
            return None
        return self._step_down(reason, give_back=False)

    def gave_back(self, now: float, token: Token) -> None:
        """`GiveBack` was tried; if it came to nothing, the next look at the store shows it."""
        if self._give_back == token:
            self._give_back = None
        self._forget_view()
        self._poll_at = now + self._timing.renew_s * RETRY_SHARE

    def unavailable(self, now: float, why: str = "") -> None:
        """The outcome of the last action is unknown."""
        if self._unavailable_since is None:
            self._unavailable_since = now
        self._fault = why
        pause_s = self._timing.renew_s * RETRY_SHARE * (1.0 + self._jitter())
        self._give_back = None
        self._ready = None
        if self._leadership is not None:
            self._renew_at = now + pause_s
        else:
            # It may have been an acquire that was done, or a lease that was not given back.
            self._unsettled = True
            self._poll_at = now + max(pause_s, self._timing.renew_s * POLL_SHARE)

    def expire(self, now: float) -> Lost | None:
        """End the belief if its deadline has come. The watchdog's call."""
        belief = self._leadership
        if belief is None or belief.holds(now):
            return None
        # Not given back blindly: the store can't be asked, or answered too late.
        self._unsettled = True
        return self._step_down("the lease could not be renewed in time", give_back=False)

    # Private.

    def _answered(self) -> None:
        self._unavailable_since, self._fault = None, ""

    def _expiry(self, sent: float) -> float:
        if self._never_expires:
            return NEVER
        return sent + self._timing.lease_s - self._timing.margin_s

    def _may_take(self, now: float, view: LeaseView) -> bool:
        if view.token is None or self._never_expires or self.me.promoted:
            return True
        if self._server_expiry:
            return False
        return now >= self._seen_since + view.lease_s or self._is_former(view.token)

    def _is_former(self, token: Token | None) -> bool:
        """Tell whether the lease was this node's before its process started."""
        return token is not None and token.is_of_former_start(self.me.node, self.me.incarnation)

    def _is_mine(self, token: Token | None) -> bool:
        if token is None or self._never_expires:
            return False
        return (token.holder, token.incarnation) == (self.me.node, self.me.incarnation)

    def _forget_view(self) -> None:
        self._seen = None
        self._ready = None
        self._poll_at = 0.0

    def _step_down(self, reason: str, *, give_back: bool) -> Lost | None:
        belief, self._leadership = self._leadership, None
        if belief is None:
            return None
        self._renew_at = NEVER
        self._forget_view()
        if give_back:
            self._give_back = belief.token
        return Lost(belief.token, reason)
