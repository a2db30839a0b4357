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


MARGIN_S_MIN = 2.0
"""Less does not cover scheduling and a commit step under way."""
PRIORITY_MAX = 10
PRIORITY_SHARE = 0.5
"""What one step of priority costs, in renew intervals: a little more than a candidate's longest
pause between two looks, so that whoever comes first has looked by then."""


class StoreUnavailable(SyncagentError):  # noqa: N818 - an outcome (unknown), named as one
    """The store could not be asked: the outcome is unknown. Keep trying until the deadline."""


class LeadershipLost(SyncagentError):  # noqa: N818 - an outcome (certain), named as one
    """The lease is certainly not ours any more: step down now."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that wants to be manager; `incarnation` is new at each start of its process.

    `promoted`: a person said so, which counts where no store can decide (`static`), and over a
    lease that another node holds. A lower `priority` only waits longer: see `Timing.head_start_s`.
    """

    cluster: str
    node: NodeName
    incarnation: str
    promoted: bool = False
    priority: int = PRIORITY_MAX


@dataclass(frozen=True, slots=True)
class Timing:
    """Lengths of one lease, in seconds. `faults` says which of them don't fit together.

    A holder renews every `renew_s`; one operation of the store takes `operation_s` at most; a
    holder stops believing `margin_s` before the lease can end for others: room for clocks that
    run at different rates and for a commit step under way.
    """

    lease_s: float = 15.0
    renew_s: float = 5.0
    operation_s: float = 3.0
    margin_s: float = 3.0

    def head_start_s(self, priority: int) -> float:
        """Return how long a candidate of that priority leaves a free lease to others."""
        return (PRIORITY_MAX - priority) * PRIORITY_SHARE * self.renew_s

    def faults(self) -> tuple[str, ...]:
        """Say what is wrong; empty if renewing twice fits into the lease."""
        found = []
        needed = self.renew_s + 2 * self.operation_s + self.margin_s
        if needed > self.lease_s:
            found.append(
                f"renew + 2 x operation + margin is {needed:g} s, more than the lease of "
                f"{self.lease_s:g} s"
            )
        if self.margin_s < MARGIN_S_MIN:
            found.append(f"margin is {self.margin_s:g} s, less than {MARGIN_S_MIN:g} s")
        if self.renew_s > self.lease_s / 3:
            found.append(
                f"renew is {self.renew_s:g} s, more than a third of the lease of {self.lease_s:g} s"
            )
        if min(self.renew_s, self.operation_s) <= 0:
            found.append("renew and operation must be above zero")
        return tuple(found)


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
