"""One attempt to become manager: whom it waits for, and what they said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.core.artifact import NodeName
    from syncagent.core.revision import RevisionId
    from syncagent.core.wire.messages import Admitted, Surveyed


@dataclass(slots=True)
class Candidacy:
    """One attempt to become manager. `request` is the desk's, None at start."""

    until: float
    waiting: set[NodeName]
    answers: dict[NodeName, Surveyed] = field(default_factory=dict)
    admitted: dict[NodeName, Admitted] = field(default_factory=dict)
    patience: dict[RevisionId, float] = field(default_factory=dict)
    fault: str = ""
    """Why the last catch-up came to nothing."""
    faults: int = 0
    """How many attempts came to nothing."""
    blocked_since: float | None = None
    """When catching up was first held up by something outside."""
    forced: bool = False
    request: int | None = None
    acquiring: bool = False
