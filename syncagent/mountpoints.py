"""Which mount a path lies on, found without touching what another machine or process serves.

A mount whose server is gone hangs whoever asks it anything, also `lstat` of the mount point and
`realpath` of what lies below. So a path is followed one part at a time from `/`, and not a step
further once a part is the mount point of a file system that is not surely local: everything below is
that mount's. The kernel's table itself can always be read.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from syncagent.fsio import LOCAL_TYPES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from syncagent.fsio import Mount, OsFS

_LINKS_MAX = 40
"""As many symlinks as the kernel follows."""


def foreign_mounts(table: Iterable[Mount]) -> dict[str, Mount]:
    """Return the mounts that may hang or change unseen, by mount point; of several there, the last."""
    points = {mount.point: mount for mount in table}
    return {point: mount for point, mount in points.items() if mount.fs_type not in LOCAL_TYPES}


def mount_of(fs: OsFS, path: str, table: Sequence[Mount]) -> Mount | None:
    """Return the foreign mount that `path` is on, or else one below it; None if all is local.

    Raises OSError if the way to it can't be followed for another reason than that it is not there.
    """
    foreign = foreign_mounts(table)
    found, real = _follow(fs, path, foreign)
    if found is not None:
        return found
    below = real.rstrip("/") + "/"
    return next((foreign[point] for point in sorted(foreign) if point.startswith(below)), None)


def canonical(fs: OsFS, path: str) -> str:
    """Return where `path` leads, with every symlink followed that lies on no foreign mount.

    What can't be followed stays as it is written.
    """
    try:
        return _follow(fs, path, foreign_mounts(fs.mount_table()))[1]
    except OSError:
        return path


def _follow(fs: OsFS, path: str, foreign: Mapping[str, Mount]) -> tuple[Mount | None, str]:
    """Return the first foreign mount on the way, and where the path leads: below a mount, as it says."""
    if "/" in foreign:
        return foreign["/"], path
    here, left, links = "", _parts(path), 0
    while left:
        part = left.pop(0)
        if part == "..":
            here = here.rpartition("/")[0]
            continue
        there = f"{here}/{part}"
        if there in foreign:
            return foreign[there], "/".join([there, *left])
        try:
            is_link = stat.S_ISLNK(fs.lstat(there).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            real = "/".join([there, *left])
            over = [point for point in foreign if f"{real}/".startswith(f"{point}/")]
            return (foreign[max(over, key=len)] if over else None), real
        if is_link and links < _LINKS_MAX:
            links += 1
            target = fs.readlink(there)
            here = "" if target.startswith("/") else here
            left = _parts(target) + left
        else:
            here = there
    return None, here or "/"


def _parts(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]
