"""Leases as values: who asks, what a store shows, what a holder may still believe.

Safety is the epoch check at each worker's commit (`core.guard`); the lease is for liveness.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.errors import SyncagentError

if TYPE_CHECKING:
    from syncagent.core.artifact import NodeName
    from syncagent.core.revision import Token


class StoreUnavailable(SyncagentError):  # noqa: N818 - an outcome (unknown), named as one
    """The store could not be asked: the outcome is unknown. Keep trying until the deadline."""


class LeadershipLost(SyncagentError):  # noqa: N818 - an outcome (certain), named as one
    """The lease is certainly not ours any more: step down now."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that wants to be manager; `incarnation` is new at each start of its process."""

    cluster: str
    node: NodeName
    incarnation: str


@dataclass(frozen=True, slots=True)
class LeaseView:
    """What `observe` saw. `token` None: free or resigned.

    `version` changes at every acquire, renew and resign: the handle for compare-and-set.
    `last_epoch` is the highest epoch the store knows, also when free. `lease_s` is the holder's.
    """

    token: Token | None
    version: str
    last_epoch: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class Leadership:
    """This node's belief that it leads; local only. `expires` is an instant of its own clock."""

    token: Token
    expires: float

    def holds(self, now: float) -> bool:
        """Tell whether the belief still stands at `now`; the boundary counts as expired."""
        return now < self.expires
