"""What the loop publishes for doors that must not wait for it.

Two values, each replaced whole and never changed, so that readers need no lock: a `Pulse` at every
turn, and the status at most once per `STATUS_S`.
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
"""How old the published status may be while the loop is idle. Making it costs 30 microseconds per
node of the cluster."""


class Bulletin:
    """`turned` is the loop's; everything else may be asked by any thread."""

    def __init__(self, node: Node, belief: Callable[[], Leadership | None]) -> None:
        self._node = node
        self.belief = belief
        """What the elector believes at the instant of the question."""
        self.pulse: Pulse | None = None
        self.status: tuple[JSON, float] | None = None

    def turned(self, now: float) -> None:
        """The loop has turned."""
        if not self._node.state.settings.http.listen:
            return
        if self.status is None or now - self.status[1] >= STATUS_S:
            self.status = (self._node.reporting.status(now), now)
        self.pulse = self._node.pulse(now, self.pulse)
