"""What the loop publishes for doors that must not wait for it.

Two values, each replaced whole and never changed, so that readers need no lock: a `Pulse` at every
turn of the loop, and the status every `STATUS_S` while somebody reads it, else every `UNREAD_S`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.node import Node
    from syncagent.core.desk import JSON
    from syncagent.core.health import Pulse
    from syncagent.core.lease import Leadership

STATUS_S = 1.0
"""Making it costs 12 microseconds for each node of the cluster."""
UNREAD_S = 10.0
READ_S = 120.0
"""Who has not asked for so long does not scrape."""


class Bulletin:
    """`turned` is the loop's; everything else may be asked by any thread."""

    def __init__(self, node: Node, belief: Callable[[], Leadership | None]) -> None:
        self._node = node
        self.belief = belief
        """What the elector believes at the instant of the question."""
        self.pulse: Pulse | None = None
        self._status: tuple[JSON, float] | None = None
        self._read = False
        self._read_at = float("-inf")

    def status(self) -> tuple[JSON, float] | None:
        """Return the published status and its instant; it is made more often from now on."""
        self._read = True
        return self._status

    def turned(self, now: float) -> None:
        """The loop has turned."""
        if not self._node.state.settings.http.listen:
            return
        if self._read:
            self._read, self._read_at = False, now
        every_s = STATUS_S if now - self._read_at < READ_S else UNREAD_S
        if self._status is None or now - self._status[1] >= every_s:
            self._status = (self._node.reporting.status(now), now)
        self.pulse = self._node.pulse(now, self.pulse)
