"""What `doctor` says of a shared mount: is it there, is it the right one, what does it hide how long.

Each folder of the share is asked in a thread of its own first: what hangs is said, and not asked on.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from syncagent.agent.wiring.clock import SystemClock
from syncagent.agent.wiring.findings import Check, Found, looked
from syncagent.agent.wiring.reach import silent_trees
from syncagent.agent.wiring.sharing import known_marks
from syncagent.core.ledger import Standing
from syncagent.core.settings import SHARE_PREFIX
from syncagent.disk.identity import identify
from syncagent.disk.mark import owner_of
from syncagent.disk.places import OWN_FOLDER
from syncagent.fsio import LOCAL_TYPES
from syncagent.history.ledger import peek
from syncagent.mountpoints import mount_of
from syncagent.mounts.caching import lateness

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from syncagent.core.settings import Settings, TreeSettings
    from syncagent.fsio import Mount, OsFS

LATE_S = 10.0
"""Seen later than this, a change waits longer for the mount's cache than for the agents' poll."""


def examine_share(fs: OsFS, settings: Settings) -> Iterator[Check]:
    """Look at each folder of the share; nothing is said in a mode without one."""
    trees = settings.share_trees
    silent = silent_trees(fs, trees, SystemClock())
    standing = peek(fs, f"{settings.state_dir}/ledger") or Standing()
    known = known_marks(fs, settings, standing)
    mounts: dict[Mount, list[str]] = {}
    for tree in trees:
        what = f"share {tree.name}"
        if tree.name in silent:
            hint = "look at its mount and its server; gateways in shadow form serve on meanwhile"
            yield Check(what, Found.FAIL, silent[tree.name], hint)
            continue
        yield from looked(what, partial(_folder, fs, settings, tree, known))
        mount = mount_of(fs, tree.path, fs.mount_table())
        if mount is not None:
            mounts.setdefault(mount, []).append(tree.name)
    for mount, names in mounts.items():
        yield _cached(mount, ", ".join(names))


def _folder(
    fs: OsFS, settings: Settings, tree: TreeSettings, known: Mapping[str, str]
) -> Iterator[Check]:
    """Say whether one folder is there, known, shared, and writable by who has to write it."""
    what = f"share {tree.name}"
    try:
        identity = identify(fs, tree.path, owner_of(tree))
    except FileNotFoundError as error:
        hint = "mount the share; if the folder is right: syncagent init --share"
        yield Check(what, Found.FAIL, error.strerror or str(error), hint)
        return
    before = known.get(tree.name)
    if before is not None and f"{SHARE_PREFIX}{before}" != identity:
        text = f"{tree.path} is {identity}, and this node knew {SHARE_PREFIX}{before}"
        yield Check(
            what, Found.WARN, text, "mount the right share, or approve what the agent holds"
        )
    else:
        yield Check(what, Found.OK, f"{tree.path}: {identity}")
    if fs.statfs_type(tree.path) in set(LOCAL_TYPES.values()):
        text = f"{tree.path} lies on a file system that only this machine writes to"
        yield Check(what, Found.WARN, text, "mount the share there, if it is to be one")
    writes = settings.stands or settings.in_place
    if writes and not os.access(tree.path, os.W_OK | os.X_OK):
        does = "keep the share when it leads" if settings.shadow else "change anything there"
        text = f"{tree.path} can't be written by this user: this node can't {does}"
        yield Check(what, Found.FAIL, text, "mount it writable, and run as the gateway's user")
    if settings.shadow and settings.stands:
        yield from _owned(fs, what, tree.path)


def _owned(fs: OsFS, what: str, root: str) -> Iterator[Check]:
    """Say if what an agent made on the share is another user's: this node could not go on with it."""
    for folder in (f"{root.rpartition('/')[0]}/{OWN_FOLDER}", f"{root}/{OWN_FOLDER}"):
        with suppress(FileNotFoundError):
            owner = fs.stat(folder).st_uid
            if owner != os.geteuid():
                text = f"{folder} belongs to user {owner}, and this is user {os.geteuid()}"
                hint = "run the agents of all nodes as one user id, or map it at the mount"
                yield Check(what, Found.FAIL, text, hint)


def _cached(mount: Mount, trees: str) -> Check:
    """Say how late a mount shows what others did."""
    what, where = f"mount {mount.point}", f"{mount.fs_type} {mount.source} ({trees})"
    late = lateness(mount)
    if late is None:
        return Check(what, Found.OK, f"{where}: nothing is known of a cache of attributes")
    seen = f"up to {late.late_s:g} s late" if late.late_s else "at once"
    text = f"{where}: what others change is seen {seen}: {late.why}"
    found = Found.WARN if late.surely and late.late_s > LATE_S else Found.OK
    return Check(what, found, text, late.remedy if late.late_s else "")
