"""Standing for an election that goes by itself: who may, from when on, and who lets others go first.

A node campaigns from its start on if it can lead: it writes (`apply`), and lists every tree of the
revision on which it stands. It stands back for a while when it could not do with the lease what a
manager must, so that another has its turn; and as long as its own runtime is not ready it leaves
the lease to those whose runtime is, unless nobody has taken it for longer than they would need.
Nothing here is for safety: the lease is given by the store, and what it is worth by every guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Reply
from syncagent.agent.lease_effects import Campaign, StandBack, Wake
from syncagent.agent.node.candidacy import Candidacy
from syncagent.agent.node.state import Role
from syncagent.core.errors import BusyError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.electing import Electing
    from syncagent.agent.node.state import State
    from syncagent.core.errors import SyncagentError

TURN_S = 10.0
"""How long this node leaves the lease to others after it could do nothing with it."""
RELUCTANT_S = 5.0
"""How much longer than a lease an unready node waits for one that is ready."""
WISH_S = 10.0
"""How much longer than a lease a person who promotes waits for it to come free."""


class Campaigning:
    """Whether this node tries to lead. Idle where a person promotes. Instants are its own clock's."""

    def __init__(self, state: State, electing: Electing) -> None:
        self._state = state
        self._electing = electing
        self._campaigns = False
        self._not_before = float("-inf")
        self._unled_since: float | None = None
        self._wish: tuple[int, float, bool] | None = None
        self._called_until = float("-inf")
        self.ready: Callable[[], bool] = lambda: True
        """Whether the local runtime is ready, or there is none that could say so."""
        self.has_something: Callable[[], bool] = lambda: True
        """Whether there is a revision, or an artifact, that this node could lead with."""
        electing.succeeding.pass_on = self.pass_on
        electing.succeeding.unfit = self.unfit
        electing.wished = self.won

    # --- who may ----------------------------------------------------------------------------

    def unfit(self) -> str:
        """Say why this node can't lead; empty if it can."""
        settings = self._state.settings
        if "twin" in self._state.alarms:
            return self._state.alarms["twin"]
        if not settings.apply:
            return f"{self._state.me} only observes (apply = false)"
        if self._state.auto_failover and not settings.stands:
            return f"the settings of {self._state.me} do not let it be elected"
        lacking = set(self._state.standing.manifest.trees) - set(settings.tree_names)
        if lacking:
            names = ", ".join(sorted(lacking))
            return f"{self._state.me} does not list {names}: it has nothing to serve there"
        return ""

    def _why_not(self, now: float) -> str:
        """Say why this node does not campaign at `now`; empty if it does."""
        if self._wish is not None:
            return ""
        unfit = self.unfit()
        if unfit or now < self._called_until:
            return unfit
        if now < self._not_before:
            return self._state.waits_for or "another node has its turn"
        return "" if self._unled_for(now) >= self.patience_s else self._who_first()

    def _who_first(self) -> str:
        """Say why others should lead rather than this node; empty if there is no reason."""
        if not self.has_something():
            return "it has neither a revision nor an artifact, and another node may"
        return "" if self.ready() else "its runtime is not ready, and another's may be"

    @property
    def patience_s(self) -> float:
        """How long the others need at most until one of them leads."""
        return self._state.settings.election.lease_s + RELUCTANT_S

    def _unled_for(self, now: float) -> float:
        return 0.0 if self._unled_since is None else now - self._unled_since

    # --- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Begin to campaign, or stand back, as it is right now."""
        state = self._state
        state.unfit = self.unfit()
        if not state.auto_failover:
            return
        led = state.manager_link is not None or state.role is not Role.WORKER
        self._unled_since = None if led else self._unled_since or now
        self._wish_late(now)
        why_not = self._why_not(now)
        if why_not != state.waits_for:
            state.waits_for, state.changed = why_not, True
        if not why_not and not self._campaigns:
            self._campaigns = True
            state.do(Campaign(state.guard.epoch))
        elif why_not and self._campaigns and state.role is Role.WORKER:
            self._stand_back()

    def _stand_back(self) -> None:
        """Give the lease back if it is held; until the next campaign none is taken."""
        self._campaigns = False
        self._state.do(StandBack())

    def next_at(self, now: float) -> float | None:
        """Return when `tick` has something to do; what was due had its chance."""
        return self._not_before if self._state.waits_for and self._not_before > now else None

    # --- others first -----------------------------------------------------------------------

    def pass_on(self, why: str, now: float, turn_s: float = TURN_S) -> None:
        """Give the lease to whoever can do more with it."""
        state = self._state
        state.event("passed-on", reason=why)
        state.waits_for, self._not_before = why, now + turn_s
        self._called_until = now
        self._stand_back()
        if state.role is not Role.WORKER:
            self._electing.candidacy_lost(why, now)

    def resign(self, seconds: float, why: str, now: float) -> None:
        """Give the lease back, and let others go first for a while."""
        self.defer(seconds, why, now)
        self._stand_back()

    def defer(self, seconds: float, why: str, now: float) -> None:
        """Let others go first for a while, without giving up anything that is led already."""
        self._state.waits_for, self._not_before = why, now + seconds
        self._called_until = now

    def wake(self, now: float, *, first: bool = False) -> None:
        """The lease has come free: this node may take it now; `first`: it is meant for it."""
        if self._state.auto_failover:
            self._not_before = now
            self.tick(now)
            self._state.do(Wake(first))

    def call(self, now: float) -> None:
        """The manager has chosen this node to be the next."""
        self._called_until = now + self._state.settings.election.lease_s
        self.wake(now, first=True)

    # --- a person's word --------------------------------------------------------------------

    def promote(self, request: int, now: float, *, forced: bool, called: bool = False) -> None:
        """Become manager here as soon as the lease is free; `forced`: at once, whoever holds it.

        `called`: the manager was asked to hand over. Raises RefusedError, BusyError.
        """
        state = self._state
        unfit = self.unfit()
        if unfit and not (forced and state.settings.stands):
            raise RefusedError(unfit, hint="promote a node that can lead: syncagent status")
        if self._wish is not None:
            raise BusyError("a promotion is under way already", hint="syncagent status")
        until = now + self._state.settings.election.lease_s + WISH_S
        self._wish = (request, until, forced)
        if not called:
            self._campaigns = True
            state.do(Campaign(state.guard.epoch, forced=forced))

    def refused(self, error: SyncagentError) -> None:
        """The manager does not hand over: that is the answer."""
        if self._wish is not None:
            self._state.do(Reply(self._wish[0], None, error))
            self._wish = None

    def won(self) -> Candidacy:
        """Return the candidacy that begins: a person's word may have come true."""
        if self._wish is None:
            return Candidacy(0.0, set())
        request, until, forced = self._wish
        self._wish = None
        return Candidacy(until, set(), forced=forced, request=request)

    def _wish_late(self, now: float) -> None:
        if self._wish is None or now < self._wish[1]:
            return
        request, _until, _forced = self._wish
        self._wish = None
        outlook = self._state.outlook()
        if outlook.unavailable_since is not None:
            why = f"the lease store can't be asked: {outlook.fault}"
            error = BusyError(why, hint="syncagent status")
        else:
            holder = outlook.token.holder if outlook.token is not None else "another node"
            why = f"{holder} holds the lease and renews it"
            error = BusyError(why, hint=f"on {holder}: syncagent switchover {self._state.me}")
        self._state.do(Reply(request, None, error))
        self._state.do(Campaign(self._state.guard.epoch))
