"""Who looks over a scan's shoulder, and a clock that stands still until it is moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.ports import Instant

if TYPE_CHECKING:
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.digest import Digest


@dataclass
class KeepingExaminer:
    """Keeps what it was shown; asks for the digests in `wanted`."""

    wanted: set[Digest] = field(default_factory=set)
    shown: dict[str, bytes] = field(default_factory=dict)

    def wants(self, path: ArtifactPath, digest: Digest) -> bool:
        return digest in self.wanted

    def take(self, path: ArtifactPath, digest: Digest, content: bytes) -> None:
        assert path.path not in self.shown, f"{path} was read twice"
        self.shown[path.path] = content


@dataclass
class StillClock:
    """Both times stand still."""

    instant: float = 1_000.0
    unix: float = 1_800_000_000.0

    def now(self) -> Instant:
        return Instant(self.instant)

    def wall(self) -> float:
        return self.unix
