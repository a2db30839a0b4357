"""What one look at a tree saw. Absence is evidence only where the look was complete."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.artifact import TreeName
    from syncagent.core.ignore import Ignore
    from syncagent.core.manifest import Entry
    from syncagent.core.verdict import Problem


class Condition(StrEnum):
    """Whether a tree can be believed."""

    GOOD = "good"
    MISSING = "root-missing"
    REPLACED = "root-replaced"
    UNREADABLE = "unreadable"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class Seen:
    """One regular file as a stable read saw it; `mtime_ns` is since the Unix epoch."""

    entry: Entry
    mtime_ns: int


NO_FOLDER = "no-folder"
"""Code of the problem that a look reports for what lies below a folder that is gone."""


@dataclass(frozen=True, slots=True)
class Unread:
    """A name that is there but whose bytes are not to be had: too large, not regular, unstable.

    It is neither present with known bytes nor absent: nothing may be concluded from it.
    """

    problem: Problem


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What one full scan of a tree saw.

    `files` maps path to what is there. `folders` are the relative paths of the folders that were
    listed to their end ("" is the root); a file whose folder is not among them has not been
    looked at, and its absence from `files` says nothing, unless the folder's own parent was
    listed and the folder was not in it. Ignored names are in neither.
    """

    tree: TreeName
    condition: Condition
    files: Mapping[str, Seen | Unread] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()
    reason: str = ""

    def tells_absence(self, path: str) -> bool:
        """Tell whether this snapshot is evidence that `path` is not there.

        False if the file is there in any form, if a folder on the way to it could not be listed,
        or if this node ignores it: what is not looked for is not missed.
        """
        if self.condition is not Condition.GOOD or path in self.files:
            return False
        if self.ignore is not None and self.ignore.hides_way(path):
            return False
        folder = path.rpartition("/")[0]
        while folder not in self.folders:
            if not folder or folder in self.files:
                return False
            if folder in self.unlisted:
                return False
            folder = folder.rpartition("/")[0]
        return True

    unlisted: frozenset[str] = frozenset()
    """Folders that are there but could not be listed (EACCES, EIO, another device)."""

    ignore: Ignore | None = None
    """What was not looked for."""
