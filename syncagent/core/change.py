"""A change is one artifact going from before to after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.entry import Entry


@dataclass(frozen=True, slots=True)
class Change:
    """One artifact going from `before` to `after`; None means absent."""

    path: ArtifactPath
    before: Entry | None
    after: Entry | None

    def __post_init__(self) -> None:
        assert self.before != self.after, f"a change must change something: {self.path}"

    @property
    def word(self) -> str:
        """`add`, `update` or `delete`."""
        if self.before is None:
            return "add"
        return "delete" if self.after is None else "update"
