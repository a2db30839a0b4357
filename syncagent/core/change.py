"""A change is one artifact going from before to after; `diff` finds them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath

if TYPE_CHECKING:
    from syncagent.core.manifest import Entry, Manifest


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
