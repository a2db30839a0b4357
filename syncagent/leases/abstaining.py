"""The store of a node that is never elected: it asks nobody and takes nothing.

Such a node needs no access to the real store. What makes it safe to have is not here: like every
node it obeys the highest epoch that its guard has admitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.lease import LeadershipLost, StoreUnavailable

if TYPE_CHECKING:
    from syncagent.core.lease import Candidate, LeaseView
    from syncagent.core.revision import Token


class AbstainingStore:
    """A LeaseStore that is never won."""

    server_expiry: bool = False
    auto_failover: bool = True

    def observe(self) -> LeaseView:
        """Say that nothing is known here. Raises StoreUnavailable."""
        raise StoreUnavailable(
            "this node may not be elected, and asks no store",
            hint="see nofailover, eligible and apply in its settings",
        )

    def try_acquire(self, me: Candidate, seen: LeaseView, epoch_floor: int) -> Token | None:  # noqa: ARG002
        """Take nothing."""
        return None

    def renew(self, token: Token) -> None:  # noqa: ARG002
        """Nothing can be held here. Raises LeadershipLost."""
        raise LeadershipLost("this node may not be elected")

    def resign(self, token: Token) -> None:
        """Nothing was taken."""

    def close(self) -> None:
        """Nothing to let go of."""
