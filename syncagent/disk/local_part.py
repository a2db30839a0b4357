"""Trees that this process reaches by itself, looked at and acted on: one part of a `NodeDisk`.

It stages and seals bytes beside its trees, tells what an intent's record must say about them
(`ready`), and takes the steps of a recorded intent (`carry_out`), also again after a crash. The
record itself, one over all parts, is kept by `NodeDisk`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from syncagent.core.errors import DiskError
from syncagent.core.intent import Written
from syncagent.disk.identity import DoubtError, identify, opened
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


class LocalPart:
    """Implements `ports.Part` over real folders. `cache_path` is for `Looking`."""

    def __init__(
        self,
        fs: OsFS,
        trees: Sequence[TreeSettings],
        limits: Limits,
        cache_path: str,
        clock: Clock,
    ) -> None:
        self._fs = fs
        self._places = Places(fs, trees)
        self._staging = Staging(fs, self._places, clock)
        self._quarantine = Quarantine(fs, self._places, clock)
        self._looking = Looking(fs, trees, limits, cache_path, clock)
        self._trusted: dict[TreeName, str] = {}
        self._clock = clock

    @property
    def trees(self) -> tuple[TreeName, ...]:
        """The trees that are reached here."""
        return self._places.trees

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

    def ready(self, intent: Intent) -> Written:
        """Return what the record of an intent must say: see `ports.Part`."""
        places = {tree: self._believed(tree) for tree in _trees_of(intent)}
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

    def carry_out(self, written: Written, *, again: bool) -> tuple[Kept, ...]:
        """Take the steps of a recorded intent: see `ports.Part`."""
        places = {
            tree: self._believed(tree, inside=tree in written.inside)
            for tree in _trees_of(written.intent)
            if tree in self._places.trees
        }
        return Redo(self._fs, places, self._quarantine, written, again=again).run()

    def drop(self) -> None:
        """Drop all that was ever staged. Raises DiskError if something stays behind."""
        self._staging.drop()

    def discard(self, txid: int) -> None:
        """Drop what was staged: see `ports.Disk`."""
        self._staging.discard(txid)

    def touch(self, path: ArtifactPath, digest: Digest) -> bool:
        """Raise a live file's mtime: see `ports.Disk`."""
        root_path = self._places.root_of(path.tree)
        try:
            owner = self._places.owner_of(path.tree)
            with opened(self._fs, root_path, self._trusted.get(path.tree), owner) as root:
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
                found = identify(self._fs, root, self._places.owner_of(tree))
            except OSError as error:
                raise disk_error(f"tree {tree} ({root}) can't be looked at", error) from error
            if found != trusted:
                raise DiskError(
                    f"tree {tree} ({root}) is not the folder it was",
                    errno_name="ESTALE",
                    hint="mount the right file system, or approve the folder that is there now",
                )
        return self._places.of(tree, inside=inside)


def _trees_of(intent: Intent) -> list[TreeName]:
    return list(dict.fromkeys(step.path.tree for step in intent.steps))
