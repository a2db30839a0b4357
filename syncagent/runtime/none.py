"""No runtime: a node on which nobody deploys, or where nobody is to be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.runtime import NO_RUNTIME

if TYPE_CHECKING:
    from syncagent.core.runtime import About, Order


class NoRuntime:
    """The `Runtime` port where there is none: it is told nothing and says nothing."""

    @property
    def about(self) -> About:
        """What kind of runtime it is: none."""
        return NO_RUNTIME

    def start(self, mark: str | None) -> None:
        """Begin to listen: there is nothing to hear."""

    def tell(self, order: Order) -> None:
        """Tell nobody."""

    def verify(self, order: Order) -> None:
        """Ask nobody."""

    def stop(self) -> None:
        """Stop listening."""
