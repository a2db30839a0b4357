"""What other agents may take from a share: its trees' files, and the packs of its keeper.

Both are only read, and both are believed by their digest alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from syncagent.agent.wiring.clock import SystemClock
from syncagent.agent.wiring.keeper_place import known_keeper
from syncagent.disk.looking import Looking
from syncagent.history.blobs import BlobStore
from syncagent.history.durable import disk_errors
from syncagent.history.node_history import BLOBS_NAME
from syncagent.history.portable import reigns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.manifest import Entry
    from syncagent.core.settings import Settings
    from syncagent.fsio import OsFS

_NOWHERE: Final = "/dev/null/scan-cache"
"""Below what is no folder: no scan is remembered."""


class ShareSource:
    """Reads from the share of `settings`. One thread at a time."""

    def __init__(self, fs: OsFS, settings: Settings) -> None:
        self._fs = fs
        self._trees = settings.share_trees
        self._names = {tree.name for tree in self._trees}
        self._looking = Looking(fs, self._trees, settings.limits, _NOWHERE, SystemClock())

    def read(
        self, wanted: Sequence[tuple[ArtifactPath, Entry]]
    ) -> Iterator[tuple[Entry, bytes] | None]:
        """Yield the bytes of each entry that the share has, None for each that it has not.

        A file in the tree comes first: that is where a change on the share itself is. Raises
        DiskError.
        """
        elsewhere: list[Entry] = []
        for path, entry in wanted:
            content = self._live(path, entry)
            if content is None:
                elsewhere.append(entry)
            else:
                yield entry, content
        if not elsewhere:
            return
        packs = self._packs()
        for entry in elsewhere:
            content = packs.get(entry.digest) if packs is not None else None
            yield (entry, content) if content is not None else None

    def _live(self, path: ArtifactPath, entry: Entry) -> bytes | None:
        if path.tree not in self._names:
            return None
        content = self._looking.read(path, entry.digest)
        return content if content is not None and len(content) == entry.size else None

    def _packs(self) -> BlobStore | None:
        """Return the packs of the newest keeper; None if there is none."""
        known = known_keeper(self._fs, self._trees)
        if known is None:
            return None
        folder = known[1]
        with disk_errors(f"look into {folder}"):
            newest = reigns(self._fs, folder)[-1][1]
        packs = BlobStore(self._fs, f"{folder}/{newest}/{BLOBS_NAME}")
        packs.look()
        return packs
