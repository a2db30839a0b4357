"""What became of each artifact in the local runtime: the states of promise 7, and their rules."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.digest import Digest

ACK_MARGIN_S = 30.0
"""What a runtime gets beyond its scan interval and pauses before an artifact is `Unknown`."""


class Deployment(StrEnum):
    """What the local runtime did with an artifact; never a guess shown as a fact."""

    DEPLOYED = "Deployed"
    PENDING = "Pending"
    REJECTED = "Rejected"
    RESTART_REQUIRED = "RestartRequired"
    DORMANT = "Dormant"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the runtime did with `digest` at `path`.

    `reason` is one line, `excerpt` the runtime's own words, `revision` the one that brought the
    bytes, `at` wall time (s) at which it was said or concluded.
    """

    path: ArtifactPath
    digest: Digest
    state: Deployment
    reason: str = ""
    excerpt: str = ""
    revision: int = 0
    at: float = 0.0


def ack_deadline_s(scan_s: float, pause_s: float, updated: int) -> float:
    """Return how long (s) a runtime has to answer for a commit that updates `updated` artifacts.

    >>> ack_deadline_s(10.0, 2.0, 14)
    68.0
    """
    return scan_s + pause_s * updated + ACK_MARGIN_S
