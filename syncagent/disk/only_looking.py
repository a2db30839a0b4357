"""A node's trees and quarantine for a command that may change nothing: no agent runs, or it hangs.

The part of the `Disk` port that reads. No rename is tried in the trees, and no scan is remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.disk.looking import Looking
from syncagent.disk.places import Places
from syncagent.disk.quarantine import Quarantine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.intent import Kept
    from syncagent.core.settings import Settings
    from syncagent.core.snapshot import Snapshot
    from syncagent.fsio import OsFS
    from syncagent.ports import Clock, Examiner

_NOWHERE = "/dev/null/scan-cache"
"""Below what is no folder: nothing can be read there, and nothing written."""


class OnlyLooking:
    """Reads what `NodeDisk` would. A root counts only under the identity it is trusted by."""

    def __init__(
        self, fs: OsFS, settings: Settings, clock: Clock, trusted: Mapping[TreeName, str]
    ) -> None:
        self._looking = Looking(fs, settings.trees, settings.limits, _NOWHERE, clock)
        self._quarantine = Quarantine(fs, Places(fs, settings.trees), clock)
        for tree in settings.trees:
            identity = trusted.get(tree.name)
            # What a root was known by in a mode that was left says nothing of this one.
            if identity is not None and tree.knows(identity):
                self._looking.trust(tree.name, identity)

    def scan(self, tree: TreeName, examiner: Examiner) -> Snapshot:
        """Look at the whole tree: see `ports.Disk`."""
        return self._looking.scan(tree, examiner)

    def read(self, path: ArtifactPath, digest: Digest) -> bytes | None:
        """Return live bytes: see `ports.Disk`."""
        return self._looking.read(path, digest)

    def identity_of(self, tree: TreeName) -> str | None:
        """Return what identifies a root: see `ports.Disk`."""
        return self._looking.identity_of(tree)

    def kept(self) -> Sequence[Kept]:
        """List the quarantine, newest first. Raises DiskError."""
        return self._quarantine.kept(looking=True)
