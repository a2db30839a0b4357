"""All trees of this node as the `Disk` port: the looking half and the acting half together.

Acting is a write-ahead intent with redo. `stage` and `seal` put bytes beside the trees, durably;
`commit` makes one intent over all trees durable and then takes its steps; `recover` finishes an
intent that a crash or a failing disk interrupted. Until that has happened nothing else is begun:
an intent that stands is a promise.

One small change costs four flushes, wherever its file is: the staged file, its folder, the intent,
the live folder.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from syncagent.core.errors import DiskError, StateError
from syncagent.core.intent import Committed
from syncagent.disk.identity import DoubtError, identify, opened
from syncagent.disk.journal import Journal, Written
from syncagent.disk.looking import Looking
from syncagent.disk.places import Places, open_stage
from syncagent.disk.quarantine import Quarantine
from syncagent.disk.redo import Redo
from syncagent.disk.refusal import disk_error
from syncagent.disk.staging import Staging
from syncagent.disk.touch import touch

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.intent import Intent, Keep, Kept, Step
    from syncagent.core.settings import Limits, TreeSettings
    from syncagent.core.snapshot import Seen, Snapshot, Unread
    from syncagent.disk.places import Place
    from syncagent.fsio import OsFS
    from syncagent.ports import Clock, Examiner


class NodeDisk:
    """The `Disk` port over real folders. `state_dir` must be there; it is the agent's alone."""

    def __init__(
        self,
        fs: OsFS,
        trees: Sequence[TreeSettings],
        limits: Limits,
        state_dir: str,
        clock: Clock,
    ) -> None:
        self._fs = fs
        self._places = Places(fs, trees)
        self._staging = Staging(fs, self._places, clock)
        self._quarantine = Quarantine(fs, self._places, clock)
        self._journal = Journal(fs, state_dir)
        self._looking = Looking(fs, trees, limits, f"{state_dir.rstrip('/')}/scan-cache", clock)
        self._trusted: dict[TreeName, str] = {}
        self._standing: int | None = None
        self._clock = clock

    def take_limits(self, limits: Limits) -> None:
        """Work by other limits from the next look on. From any thread."""
        self._looking.limits = limits

    # Looking.

    def scan(self, tree: TreeName, examiner: Examiner) -> Snapshot:
        """Look at the whole tree: see `ports.Disk`."""
        return self._looking.scan(tree, examiner)

    def look(
        self, tree: TreeName, paths: Sequence[str], examiner: Examiner
    ) -> Mapping[str, Seen | Unread | None]:
        """Look at some paths: see `ports.Disk`."""
        self._places.root_of(tree)
        return self._looking.look(tree, paths, examiner)

    def read(self, path: ArtifactPath, digest: Digest) -> bytes | None:
        """Return live bytes: see `ports.Disk`."""
        if self._places.shuns(path.tree):
            return None
        return self._looking.read(path, digest)

    def identity_of(self, tree: TreeName) -> str | None:
        """Return what identifies a root: see `ports.Disk`."""
        return self._looking.identity_of(tree)

    def shun(self, tree: TreeName, why: str) -> None:
        """Leave a tree alone, or no more: see `ports.Disk`."""
        self._places.shun(tree, why)

    def trust(self, tree: TreeName, identity: str | None) -> None:
        """Believe and change this tree only under `identity`; None: whatever is there."""
        self._looking.trust(tree, identity)
        if identity is None:
            self._trusted.pop(tree, None)
        else:
            self._trusted[tree] = identity

    def save_cache(self) -> bool:
        """Write the scan cache; tell whether it could be written. Nothing is lost without it."""
        return self._looking.save_cache()

    # Acting.

    def stage(self, txid: int, items: Iterable[tuple[Step, bytes]]) -> None:
        """Write bytes beside the trees: see `ports.Disk`."""
        self._staging.stage(txid, items)

    def write_back(self, txid: int) -> None:
        """Begin to make durable what is staged: see `ports.Disk`.

        A write that fails is told once to every descriptor that was open by then, and the one that
        `seal` asks was opened before the first byte was written: nothing is hidden from it here.
        """
        batch = self._staging.batch(txid)
        if batch is None or batch.sealed or not batch.many:
            return
        grounds = tuple(batch.grounds.values())
        for place in {ground.place.root_key[0]: ground.place for ground in grounds}.values():
            with suppress(OSError):
                fd = open_stage(self._fs, place)
                try:
                    self._fs.syncfs(fd)
                finally:
                    self._fs.close(fd)

    def seal(self, txid: int) -> None:
        """Make what was staged durable: see `ports.Disk`."""
        self._staging.seal(txid)

    def commit(self, intent: Intent) -> Committed:
        """Make `intent` live: see `ports.Disk`.

        Its steps must have been staged and sealed by this process. The caller enters a commit
        into its ledger before it begins the next one, which writes over the intent.
        """
        if self._standing is not None:
            raise StateError(
                f"transaction {self._standing} was interrupted and has to be finished first"
            )
        places = {tree: self._believed(tree) for tree in _trees_of(intent)}
        written = self._written(intent, places)
        try:
            self._journal.write(written)
        except StateError:
            self._standing = intent.txid
            raise
        kept = self._redo(written, places, again=False)
        try:
            self._staging.discard(intent.txid)
        except DiskError:
            return Committed(intent, kept)  # what is left there is swept at the next start
        return Committed(intent, kept)

    def recover(self, done_txid: int) -> Committed | None:
        """Finish an interrupted commit: see `ports.Disk`. Raises StateError if it cannot."""
        written = self._journal.read()
        if written is None or written.intent.txid <= done_txid:
            self._standing = None
            self._staging.drop()
            return None
        self._standing = written.intent.txid
        try:
            places = {
                tree: self._believed(tree, inside=tree in written.inside)
                for tree in _trees_of(written.intent)
                if tree in self._places.trees
            }
        except DiskError as error:
            raise StateError(
                f"transaction {written.intent.txid} can't be finished: {error}", hint=error.hint
            ) from error
        kept = self._redo(written, places, again=True)
        try:
            self._staging.drop()
        except DiskError:
            return Committed(written.intent, kept)
        return Committed(written.intent, kept)

    def discard(self, txid: int) -> None:
        """Drop what was staged: see `ports.Disk`. An intent that stands keeps its bytes."""
        if txid != self._standing:
            self._staging.discard(txid)

    def touch(self, path: ArtifactPath, digest: Digest) -> bool:
        """Raise a live file's mtime: see `ports.Disk`."""
        root_path = self._places.root_of(path.tree)
        try:
            with opened(self._fs, root_path, self._trusted.get(path.tree)) as root:
                return touch(self._fs, root.fd, path.path, digest, self._clock.wall())
        except DoubtError as doubt:
            raise DiskError(
                f"{path} can't be touched: {doubt}", errno_name=doubt.errno_name
            ) from doubt
        except OSError as error:
            raise disk_error(f"{path} can't be touched", error) from error

    # Quarantine.

    def keep(self, path: ArtifactPath, content: bytes, reason: Keep, detail: str) -> Kept:
        """Put bytes into quarantine: see `ports.Disk`. Raises DiskError."""
        return self._quarantine.keep(path, content, reason, detail)

    def kept(self) -> Sequence[Kept]:
        """List the quarantine: see `ports.Disk`."""
        return self._quarantine.kept()

    def kept_bytes(self, kept_id: str) -> bytes:
        """Return quarantined bytes: see `ports.Disk`."""
        return self._quarantine.kept_bytes(kept_id)

    def sweep(self, *, older_than_s: float, bytes_max: int) -> int:
        """Drop what is too old or too much: see `ports.Disk`."""
        return self._quarantine.sweep(older_than_s=older_than_s, bytes_max=bytes_max)

    # Private.

    def _believed(self, tree: TreeName, *, inside: bool | None = None) -> Place:
        trusted = self._trusted.get(tree)
        if trusted is not None:
            root = self._places.root_of(tree)
            try:
                found = identify(self._fs, root)
            except OSError as error:
                raise disk_error(f"tree {tree} ({root}) can't be looked at", error) from error
            if found != trusted:
                raise DiskError(
                    f"tree {tree} ({root}) is not the folder it was",
                    errno_name="ESTALE",
                    hint="mount the right file system, or approve the folder that is there now",
                )
        return self._places.of(tree, inside=inside)

    def _written(self, intent: Intent, places: Mapping[TreeName, Place]) -> Written:
        batch = self._staging.batch(intent.txid)
        puts = [step.path for step in intent.steps if step.after is not None]
        if puts and (batch is None or not batch.sealed):
            raise DiskError(f"transaction {intent.txid} was not staged and sealed")
        missing = [path for path in puts if batch is None or path not in batch.slots]
        if missing:
            raise DiskError(f"{missing[0]} was not staged", errno_name="ENOENT")
        return Written(
            intent,
            frozenset(tree for tree, place in places.items() if place.inside),
            batch.whole(puts) if batch is not None else frozenset(),
        )

    def _redo(
        self, written: Written, places: Mapping[TreeName, Place], *, again: bool
    ) -> tuple[Kept, ...]:
        txid = written.intent.txid
        self._standing = txid
        redo = Redo(self._fs, places, self._quarantine, written, again=again)
        try:
            kept = redo.run()
        except (OSError, DiskError) as error:
            raise StateError(
                f"transaction {txid} was begun and can't be finished: {error}",
                hint="mend the disk; the agent then finishes it by itself",
            ) from error
        self._standing = None
        return kept


def _trees_of(intent: Intent) -> list[TreeName]:
    return list(dict.fromkeys(step.path.tree for step in intent.steps))
