"""How late a mount shows what other machines did, as far as its line in the mount table tells.

A client answers questions about files from its cache of attributes for a while. No hint from another
node helps against that: whoever looks sees the old file until the time is over. Nothing is wrong with
such a mount, but changes of others are late by so much, and that is worth knowing before it is asked
for in the middle of a night.

Sources of the numbers: nfs(5), mount.cifs(8), sshfs(1), and the kernel's fs/nfs, where an option that
has its default is not shown in the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from syncagent.fsio import Mount

_NFS = frozenset({"nfs", "nfs4"})
_CIFS = frozenset({"cifs", "smb3"})
_NFS_FILES_S, _NFS_FOLDERS_S = 60.0, 60.0
_CIFS_S = 1.0
_SSHFS_S = 20.0
SURE, GUESSED = True, False
_HINT = "nodes tell each other of changes at once, but look through this cache"


class Lateness(NamedTuple):
    """How late others' changes may be seen, in seconds; `surely` False: the table does not tell."""

    late_s: float
    surely: bool
    why: str
    remedy: str


def lateness(mount: Mount) -> Lateness | None:
    """Return how late this mount is; None where its type keeps no attributes, or is not known."""
    options = _options(mount)
    if mount.fs_type in _NFS:
        if "noac" in options:
            return Lateness(0.0, SURE, "noac", "")
        files = _seconds(options, "acregmax", _NFS_FILES_S)
        folders = _seconds(options, "acdirmax", _NFS_FOLDERS_S)
        why = f"attributes are cached: acregmax={files:g}, acdirmax={folders:g}"
        return Lateness(max(files, folders), SURE, why, f"mount it with actimeo=1; {_HINT}")
    if mount.fs_type in _CIFS:
        each = _seconds(options, "actimeo", _CIFS_S)
        late = max(_seconds(options, name, each) for name in ("acregmax", "acdirmax"))
        why = f"attributes are cached: actimeo={late:g}"
        return Lateness(late, SURE, why, f"mount it with actimeo=1; {_HINT}")
    if mount.fs_type == "fuse.sshfs":
        why = "attributes are cached for 20 s unless sshfs was told otherwise"
        remedy = f"mount it with -o dcache_timeout=1,attr_timeout=1,entry_timeout=1; {_HINT}"
        return Lateness(_SSHFS_S, GUESSED, why, remedy)
    return None


def _options(mount: Mount) -> dict[str, str]:
    pairs = (each.partition("=") for each in f"{mount.options},{mount.super_options}".split(","))
    return {name: value for name, _, value in pairs}


def _seconds(options: dict[str, str], name: str, default: float) -> float:
    try:
        return float(options.get(name, default))
    except ValueError:
        return default
