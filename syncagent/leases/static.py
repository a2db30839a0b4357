"""`static`: no store at all. The manager is the node that the settings name, or that was promoted.

What the guard admitted decides who holds the lease, so the guard is the store: `manager` of the
settings counts only until the first epoch was admitted here; from then on it is the holder of the
highest token. Taking the lease and raising the epoch is one durable step, the guard's own.

Without a third party nothing here can tell a dead manager from an unreachable one: it never
takes a lease from another node unless a person promotes this one, and a lease never runs out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from syncagent.core.errors import DiskError, FencedError, StateError
from syncagent.core.lease import LeadershipLost, LeaseView, StoreUnavailable
from syncagent.core.revision import Token

if TYPE_CHECKING:
    from syncagent.core.artifact import NodeName
    from syncagent.core.guard import GuardState
    from syncagent.core.lease import Candidate
    from syncagent.ports import Guard

_FOR_EVER: Final = float("inf")


class StaticStore:
    """A LeaseStore on this node's own guard. `manager` is the node that the settings name."""

    server_expiry: bool = False
    auto_failover: bool = False

    def __init__(self, manager: NodeName, guard: Guard) -> None:
        self._manager = manager
        self._guard = guard

    def observe(self) -> LeaseView:
        """Return what the guard says. Raises StoreUnavailable if it can't be read."""
        state = self._state()
        return LeaseView(state.highest, _version(state), state.epoch, _FOR_EVER)

    def try_acquire(self, me: Candidate, seen: LeaseView, epoch_floor: int) -> Token | None:
        """Take the lease if this node is the one that holds it, was named, or was promoted.

        None if it is none of these, or if another token was admitted since `seen`. Raises
        StoreUnavailable.
        """
        state = self._state()
        if _version(state) != seen.version or not self._entitled(me, state):
            return None
        token = Token(me.cluster, max(state.epoch, epoch_floor) + 1, me.node, me.incarnation)
        try:
            # A person's word lifts the limit on jumps: the floor is what honest peers admitted.
            self._guard.admit(token, forced=me.promoted)
        except FencedError:
            return None
        except (DiskError, StateError) as error:
            raise StoreUnavailable(str(error), hint=error.hint) from error
        return token

    def renew(self, token: Token) -> None:
        """See that no other token was admitted here. Raises LeadershipLost or StoreUnavailable."""
        state = self._state()
        if state.highest != token:
            holder = state.highest.holder if state.highest else "nobody"
            raise LeadershipLost(f"epoch {state.epoch} is held by {holder}")

    def resign(self, token: Token) -> None:
        """Nothing to give back: whoever is promoted next takes a higher epoch."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _state(self) -> GuardState:
        try:
            return self._guard.state()
        except (DiskError, StateError) as error:
            raise StoreUnavailable(str(error), hint=error.hint) from error

    def _entitled(self, me: Candidate, state: GuardState) -> bool:
        holder = self._manager if state.highest is None else state.highest.holder
        return me.promoted or me.node == holder


def _version(state: GuardState) -> str:
    highest = state.highest
    return f"{highest.epoch}/{highest.holder}/{highest.incarnation}" if highest else "0"
