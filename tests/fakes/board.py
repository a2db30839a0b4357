"""A board that says what it was told, and when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.artifact import NodeName
from syncagent.core.health import Pulse
from syncagent.core.revision import Token
from syncagent.core.runtime import Phase

if TYPE_CHECKING:
    from syncagent.core.desk import JSON
    from syncagent.core.lease import Leadership

TOKEN = Token("c", 3, NodeName("gw-1"), "i-1")
WORKER = Pulse(
    at=100.0,
    node="gw-1",
    role="worker",
    token=None,
    answers=True,
    phase=Phase.READY,
    ready=True,
    revision=7,
)


@dataclass
class FakeBoard:
    """What a door reads; `at` is now."""

    at: float = 100.0
    said: Pulse | None = WORKER
    believed: Leadership | None = None
    told: tuple[JSON, float] | None = ({"state": "Synced"}, 98.0)

    def now(self) -> float:
        return self.at

    def pulse(self) -> Pulse | None:
        return self.said

    def belief(self) -> Leadership | None:
        if self.believed is None or not self.believed.holds(self.at):
            return None
        return self.believed

    def status(self) -> tuple[JSON, float] | None:
        return self.told
