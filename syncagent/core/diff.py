"""All changes between two manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath
from syncagent.core.change import Change

if TYPE_CHECKING:
    from syncagent.core.manifest import Manifest


def diff(before: Manifest, after: Manifest) -> tuple[Change, ...]:
    """Return the changes that lead from `before` to `after`, sorted by path.

    `before.after(diff(before, after)) == after` for all manifests.
    """
    changes: list[Change] = []
    for tree in sorted({*before.trees, *after.trees}):
        old, new = before.tree(tree), after.tree(tree)
        if old is new or old == new:
            continue
        changes.extend(
            Change(ArtifactPath(tree, path), old.get(path), new.get(path))
            for path in sorted(old.keys() | new.keys())
            if old.get(path) != new.get(path)
        )
    return tuple(changes)
