"""All trees of this node as the `Disk` port: several parts, and one record over all of them.

Acting is a write-ahead intent with redo. `stage` and `seal` put bytes beside the trees, durably;
`commit` makes one intent over all trees durable and then takes its steps; `recover` finishes an
intent that a crash or a failing disk interrupted. Until that has happened nothing else is begun:
an intent that stands is a promise.

Each part reaches some of the trees and takes the steps there, in the intent's order; of
steps in different parts those go first whose part comes first in the intent. The record is always
written here, on the node's own disk: what becomes of a mount meanwhile, one record tells it all.

One small change costs four flushes, wherever its file is: the staged file, its folder, the intent,
the live folder.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from syncagent.core.errors import DiskError, RefusedError, StateError
from syncagent.core.intent import Committed, Written
from syncagent.disk.journal import Journal
from syncagent.disk.local_part import LocalPart

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.intent import Intent, Keep, Kept, Step
    from syncagent.core.settings import Limits, TreeSettings
    from syncagent.core.snapshot import Seen, Snapshot, Unread
    from syncagent.fsio import OsFS
    from syncagent.ports import Clock, Examiner, Part


class NodeDisk:
    """The `Disk` port. `state_dir` must be there, and is the agent's alone.

    `trees` are those that this process reaches by itself; `apart` are the others. `cache_dir` is
    where the scan cache is if it is elsewhere: no other machine can use it.
    """

    def __init__(  # noqa: PLR0913 - the parts of a disk
        self,
        fs: OsFS,
        trees: Sequence[TreeSettings],
        limits: Limits,
        state_dir: str,
        clock: Clock,
        *,
        apart: Sequence[Part] = (),
        cache_dir: str = "",
    ) -> None:
        self._journal = Journal(fs, state_dir)
        cache_path = f"{(cache_dir or state_dir).rstrip('/')}/scan-cache"
        here = LocalPart(fs, trees, limits, cache_path, clock)
        self._parts: tuple[Part, ...] = (here, *apart)
        self._by_tree = {tree: part for part in self._parts for tree in part.trees}
        self._staged: dict[int, dict[int, Part]] = {}
        self._standing: int | None = None

    def take_limits(self, limits: Limits) -> None:
        """Work by other limits from the next look on. From any thread."""
        for part in self._parts:
            part.take_limits(limits)

    # Looking.

    def scan(self, tree: TreeName, examiner: Examiner) -> Snapshot:
        """Look at the whole tree: see `ports.Disk`."""
        return self._part(tree).scan(tree, examiner)

    def look(
        self, tree: TreeName, paths: Sequence[str], examiner: Examiner
    ) -> Mapping[str, Seen | Unread | None]:
        """Look at some paths: see `ports.Disk`."""
        return self._part(tree).look(tree, paths, examiner)

    def read(self, path: ArtifactPath, digest: Digest) -> bytes | None:
        """Return live bytes: see `ports.Disk`."""
        return self._part(path.tree).read(path, digest)

    def identity_of(self, tree: TreeName) -> str | None:
        """Return what identifies a root: see `ports.Disk`."""
        return self._part(tree).identity_of(tree)

    def shun(self, tree: TreeName, why: str) -> None:
        """Leave a tree alone, or no more: see `ports.Disk`."""
        self._part(tree).shun(tree, why)

    def trust(self, tree: TreeName, identity: str | None) -> None:
        """Believe and change this tree only under `identity`; None: whatever is there."""
        self._part(tree).trust(tree, identity)

    def save_cache(self) -> bool:
        """Write the scan caches; tell whether one was written. Nothing is lost without them."""
        saved = [part.save_cache() for part in self._parts]
        return any(saved)

    # Acting.

    def stage(self, txid: int, items: Iterable[tuple[Step, bytes]]) -> None:
        """Write bytes beside the trees: see `ports.Disk`."""
        staged = self._staged.setdefault(txid, {})
        for number, group in groupby(items, lambda item: id(self._part(item[0].path.tree))):
            part = next(part for part in self._parts if id(part) == number)
            staged[number] = part
            part.stage(txid, group)

    def write_back(self, txid: int) -> None:
        """Begin to make durable what is staged: see `ports.Disk`."""
        for part in tuple(self._staged.get(txid, {}).values()):
            part.write_back(txid)

    def seal(self, txid: int) -> None:
        """Make what was staged durable: see `ports.Disk`."""
        for part in self._staged.get(txid, {}).values():
            part.seal(txid)

    def commit(self, intent: Intent) -> Committed:
        """Make `intent` live: see `ports.Disk`.

        Its steps must have been staged and sealed by this process. The caller enters a commit
        into its ledger before it begins the next one, which writes over the intent.
        """
        if self._standing is not None:
            raise StateError(
                f"transaction {self._standing} was interrupted and has to be finished first"
            )
        shares = [(part, part.ready(share)) for part, share in self._shares(intent)]
        written = Written(
            intent,
            frozenset(tree for _, share in shares for tree in share.inside),
            frozenset(fill for _, share in shares for fill in share.whole),
        )
        try:
            self._journal.write(written)
        except StateError:
            self._standing = intent.txid
            raise
        kept = self._carry_out(written, again=False)
        try:
            self._tidy(intent)
        except DiskError:
            return Committed(intent, kept)  # what is left there is swept at the next start
        return Committed(intent, kept)

    def recover(self, done_txid: int) -> Committed | None:
        """Finish an interrupted commit: see `ports.Disk`. Raises StateError if it cannot."""
        written = self._journal.read()
        if written is None or written.intent.txid <= done_txid:
            self._standing = None
            self._drop()
            return None
        kept = self._carry_out(written, again=True)
        try:
            self._drop()
        except DiskError:
            return Committed(written.intent, kept)
        return Committed(written.intent, kept)

    def discard(self, txid: int) -> None:
        """Drop what was staged: see `ports.Disk`. An intent that stands keeps its bytes."""
        if txid == self._standing:
            return
        staged = self._staged.pop(txid, None)
        for part in self._parts if staged is None else staged.values():
            part.discard(txid)

    def touch(self, path: ArtifactPath, digest: Digest) -> bool:
        """Raise a live file's mtime: see `ports.Disk`."""
        return self._part(path.tree).touch(path, digest)

    # Quarantine.

    def keep(self, path: ArtifactPath, content: bytes, reason: Keep, detail: str) -> Kept:
        """Put bytes into quarantine: see `ports.Disk`. Raises DiskError."""
        return self._part(path.tree).keep(path, content, reason, detail)

    def kept(self) -> Sequence[Kept]:
        """List the quarantine: see `ports.Disk`."""
        # Trees side by side have one quarantine, also if a process each.
        rows = {kept.id: kept for part in self._parts for kept in part.kept()}
        return tuple(sorted(rows.values(), key=lambda kept: (-kept.at, kept.id)))

    def kept_bytes(self, kept_id: str) -> bytes:
        """Return quarantined bytes: see `ports.Disk`."""
        for part in self._parts[:-1]:
            try:
                return part.kept_bytes(kept_id)
            except RefusedError:
                continue
        return self._parts[-1].kept_bytes(kept_id)

    def sweep(self, *, older_than_s: float, bytes_max: int) -> int:
        """Drop what is too old or too much: see `ports.Disk`. Each part may hold `bytes_max`."""
        return sum(
            part.sweep(older_than_s=older_than_s, bytes_max=bytes_max) for part in self._parts
        )

    # Private.

    def _part(self, tree: TreeName) -> Part:
        part = self._by_tree.get(tree)
        if part is None:
            raise DiskError(f"this node has no tree {tree!r}")
        return part

    def _shares(self, intent: Intent) -> list[tuple[Part, Intent]]:
        """Return what each part has to do; steps in trees that nobody lists are nobody's."""
        steps: dict[int, list[Step]] = {}
        parts: dict[int, Part] = {}
        for step in intent.steps:
            part = self._by_tree.get(step.path.tree)
            if part is not None:
                parts[id(part)] = part
                steps.setdefault(id(part), []).append(step)
        return [
            (part, replace(intent, steps=tuple(steps[number]), memo=b""))
            for number, part in parts.items()
        ]

    def _carry_out(self, written: Written, *, again: bool) -> tuple[Kept, ...]:
        txid = written.intent.txid
        self._standing = txid
        kept: list[Kept] = []
        try:
            for part, share in self._shares(written.intent):
                kept += part.carry_out(replace(written, intent=share), again=again)
        except (OSError, DiskError) as error:
            raise StateError(
                f"transaction {txid} was begun and can't be finished: {error}",
                hint="mend the disk; the agent then finishes it by itself",
            ) from error
        self._standing = None
        return tuple(kept)

    def _tidy(self, intent: Intent) -> None:
        """Drop the slots of a commit that is durable."""
        parts = self._staged.pop(intent.txid, {}) | {
            id(part): part for part, _ in self._shares(intent)
        }
        for part in parts.values():
            part.discard(intent.txid)

    def _drop(self) -> None:
        self._staged.clear()
        for part in self._parts:
            part.drop()
