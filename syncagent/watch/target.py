"""Which tree is watched, where, and what in it is nobody's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.core.artifact import TreeName
    from syncagent.core.ignore import Ignore


@dataclass(frozen=True, slots=True)
class Target:
    """A tree to watch, by the absolute path of its root and the names that it does not show."""

    tree: TreeName
    root: str
    ignore: Ignore

    def skips(self, path: str, *, folder: bool) -> bool:
        """Tell whether `path` (relative) is ignored by its own name."""
        return self.ignore.hides(path, folder=folder)

    def absolute(self, path: str) -> str:
        """Return the absolute path of `path` (relative; "" is the root)."""
        return f"{self.root}/{path}" if path else self.root
