"""`NodeHistory`: ledger, blobs and records of one node behind the History port.

A standing is durable in this order: first the packs (one flush, none if nothing was added), then
the ledger (one flush). A crash between leaves bytes that nothing names, never a name without
bytes. The records come later and may be lost: what the ledger knows of them is put back at load, and
before it or the packs forget anything.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from syncagent.core.artifact import NodeName
from syncagent.core.change import Change
from syncagent.core.revision import REVISION_ZERO, Revision
from syncagent.core.settings import Limits
from syncagent.history.blobs import BlobStore
from syncagent.history.ledger import Ledger
from syncagent.history.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.digest import Digest
    from syncagent.core.ledger import Standing, StandingChange
    from syncagent.core.manifest import Entry, Manifest
    from syncagent.core.outcome import Outcome
    from syncagent.fsio import OsFS

LEDGER_NAME: Final = "ledger"
BLOBS_NAME: Final = "blobs"
RECORDS_NAME: Final = "records.db"
UNKNOWN_NOTE: Final = "put back from the ledger: who made it is not known any more"
REVISIONS_MIN: Final = 2
"""Revisions that are remembered however old they are: the one that runs and one to return to."""


class NodeHistory:
    """History in the folder `path`, which exists. Any thread may call any method.

    `wall` is the clock for people (seconds since the Unix epoch): ages of revisions. `records` is
    the folder of the records where that is another one, because `path` is on a mount: SQLite needs a
    local file system, and no file there stays open, so that it can be unmounted.
    """

    def __init__(
        self,
        fs: OsFS,
        path: str,
        *,
        wall: Callable[[], float],
        limits: Limits | None = None,
        records: str = "",
    ) -> None:
        self._wall = wall
        self._limits = limits or Limits()
        self._ledger = Ledger(fs, f"{path}/{LEDGER_NAME}", self._save)
        self._blobs = BlobStore(fs, f"{path}/{BLOBS_NAME}")
        self._records = Records(fs, f"{records or path}/{RECORDS_NAME}", wall)
        self._writing = threading.Lock()
        self._mounted = records not in {"", path}

    def take_limits(self, limits: Limits) -> None:
        """Forget by other limits from the next `tidy` on. From any thread."""
        self._limits = limits

    def load(self) -> Standing:
        """Return where this node stands. Raises StateError if the ledger is damaged, DiskError."""
        with self._writing:
            standing = self._ledger.load()
            self._blobs.load()
            self._let_go()
            return standing

    def look(self) -> Standing:
        """Return where this node stands, by files that are only read: an agent may be at work.

        What would write is not to be called then. Raises StateError if the ledger is damaged,
        DiskError.
        """
        self._blobs.look()
        self._records.look()
        return self._ledger.look()

    def standing(self) -> Standing:
        """Return where this node stands now: see `ports.History`."""
        return self._ledger.standing

    def stand(self, change: StandingChange, blobs: Sequence[tuple[Entry, bytes]] = ()) -> None:
        """Append to the ledger; all blobs added so far and the change are durable on return.

        At most two flushes, one if no blobs were added. Raises DiskError: then the standing is
        as it was, and blobs that were not durable are not kept.
        """
        with self._writing:
            self._blobs.add_contents(blobs)
            self._blobs.sync()
            self._ledger.append(change)
            self._let_go()

    def add_blobs(self, entries: Sequence[Entry], frame: bytes) -> None:
        """Keep a zstd batch as it came; durable by the next `stand`. Raises DiskError."""
        with self._writing:
            self._blobs.add(entries, frame)

    def has(self, digest: Digest) -> bool:
        """Tell whether the bytes of `digest` are kept; does not block."""
        return self._blobs.has(digest)

    def blob(self, digest: Digest) -> bytes | None:
        """Return kept bytes, verified; None if they are not (any more) kept."""
        return self._blobs.get(digest)

    def batches(self, wanted: Sequence[Digest]) -> Iterator[tuple[tuple[Entry, ...], bytes]]:
        """Yield zstd batches that together hold every kept blob of `wanted`."""
        return self._blobs.batches(wanted)

    def record(self, revision: Revision, at: float) -> None:
        """Remember a revision; not flushed. Raises DiskError."""
        self._records.record(revision, at)

    def revisions(self, limit: int) -> Sequence[tuple[Revision, float]]:
        """Return the newest revisions and when they were recorded, newest first."""
        return self._records.revisions(limit)

    def manifest_of(self, number: int) -> Manifest | None:
        """Return the manifest of revision `number`, by undoing changes from where the node stands.

        None if a revision on the way is not remembered, or does not lead where it says.
        """
        with self._writing:
            standing = self._ledger.standing
        at, manifest = standing.revision, standing.manifest
        if number < 0 or number > at.number:
            return None
        while at.number > number:
            revision = self._records.revision(at)
            if revision is None:
                return None
            undone = [Change(each.path, each.after, each.before) for each in revision.changes]
            manifest = manifest.after(undone)
            at = revision.parent
            if manifest.digest != at.digest:
                return None
        return manifest

    def event(self, at: float, what: str, fields: Mapping[str, str | int]) -> None:
        """Remember something that happened. Raises DiskError."""
        self._records.event(at, what, fields)

    def events(
        self, after_id: int, limit: int
    ) -> Sequence[tuple[int, float, str, Mapping[str, str | int]]]:
        """Return events with id above `after_id`, oldest first: id, wall time, what, fields."""
        return self._records.events(after_id, limit)

    def remember(
        self,
        outcomes: Sequence[Outcome],
        gone: Sequence[ArtifactPath] = (),
        mark: str | None = None,
    ) -> None:
        """Remember what the runtime did: see `ports.History`. Raises DiskError."""
        self._records.remember(outcomes, gone, mark)

    def outcomes(self) -> Sequence[Outcome]:
        """Return what was last remembered of each artifact. Raises DiskError."""
        return self._records.outcomes()

    def runtime_mark(self) -> str | None:
        """Return the mark that was remembered last. Raises DiskError."""
        return self._records.runtime_mark()

    def tidy(self, also: Collection[Digest] = ()) -> int:
        """Forget old revisions and the blobs that nothing needs; return how many bytes came free.

        Needed are the blobs of the current manifest, of the remembered revisions, and `also`
        (what is being prepared). A ledger that has grown is compacted. Call it when nothing is
        urgent: `stand` waits meanwhile. Raises DiskError, StateError (the ledger was damaged since).
        """
        with self._writing:
            self._ledger.compact_if_large()
        self._records.prune(
            keep=self._limits.history_revisions,
            newer_than=self._wall() - self._limits.history_s,
            at_least=REVISIONS_MIN,
        )
        needed = self._records.needed()
        with self._writing:
            needed.update(entry.digest for _, entry in self._ledger.standing.manifest)
            needed.update(also)
            freed = self._blobs.tidy(needed)
            self._let_go()
            return freed

    def _let_go(self) -> None:
        if self._mounted:
            self._ledger.let_go()
            self._blobs.let_go()

    def _save(self, changes: Sequence[StandingChange]) -> None:
        """Have the records remember, durably, the revisions that ledger records tell of."""
        told: list[Revision] = []
        parent = REVISION_ZERO
        for change in changes:
            if change.revision is None:
                continue
            if change.manifest is None and change.changes:
                told.append(
                    Revision(
                        change.revision, parent, change.changes, NodeName(""), note=UNKNOWN_NOTE
                    )
                )
            parent = change.revision
        self._records.save(told, self._wall())

    def close(self) -> None:
        """Close all files."""
        with self._writing:
            self._ledger.close()
            self._blobs.close()
        self._records.close()
