"""Which tree is watched, where, and what in it is nobody's business."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.artifact import TreeName


@dataclass(frozen=True, slots=True)
class Target:
    """A tree to watch: its root's absolute path, and which paths in it are nobody's business."""

    tree: TreeName
    root: str
    ignored: Callable[[TreeName, str], bool]

    def skips(self, path: str) -> bool:
        """Tell whether `path` (relative) is ignored."""
        return self.ignored(self.tree, path)

    def absolute(self, path: str) -> str:
        """Return the absolute path of `path` (relative; "" is the root)."""
        return f"{self.root}/{path}" if path else self.root
