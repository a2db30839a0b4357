"""Trees on a network mount as the agent sees them: a part of its disk, reached by another process.

Scans, looks and watches wait as long as that takes, in their tree's own
lane: the node notices a look that is overdue, calls the tree stalled and asks nothing more of it. That
is also what ends the waiting of all others (`shun`), who share their threads with other trees; for
what only they would notice each has a deadline as well.

What a process knew is lost with it: the next one is told what is trusted, reads everything anew that
its cache does not vouch for, and what was staged has to be staged again.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath
from syncagent.core.digest import from_raw, to_raw
from syncagent.core.errors import DiskError, ProtocolError, RefusedError
from syncagent.core.ignore import Ignore
from syncagent.core.intent import Written
from syncagent.core.snapshot import Condition, Seen, Snapshot, Unread
from syncagent.core.wire.fields import bytes_of, items_of, whole_of
from syncagent.core.wire.intents import (
    kept_of,
    pack_written,
    step_row,
    unpack_written,
)
from syncagent.mounts.protocol import (
    ACT,
    ACTING,
    BAD,
    END_S,
    FLUSH,
    READ,
    SAME,
    WHOLE,
    eye,
    look_in,
    maybe_text,
    path_in,
    path_out,
    paths_in,
    paths_out,
    word_in,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from syncagent.core.artifact import TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.intent import Intent, Keep, Kept, Step
    from syncagent.core.settings import Limits
    from syncagent.mounts.process import MountProcess, Request
    from syncagent.ports import Examiner

ANSWER_S = 10.0
"""How long a request may take that nobody else would notice."""
STEP_S = 0.05
"""How much longer for each step of a commit: an exchange and two flushes on a slow server."""
FLUSH_S = 120.0
"""Making staged bytes durable, and tidying up: as much as a server has to write."""
CHUNK_BYTES = 1024 * 1024
"""Bytes that are staged with one request."""


class MountedPart:
    """Implements `ports.Part` by asking a mount's process."""

    def __init__(self, process: MountProcess) -> None:
        self._process = process
        self.settings = process.setup.trees
        self._trees = tuple(tree.name for tree in self.settings)
        self._ignores = {tree.name: Ignore(tree.kind, tree.ignore) for tree in self.settings}
        self._trusted: dict[TreeName, str] = {}
        self._shunned: dict[TreeName, str] = {}
        self._last: dict[TreeName, tuple[int, Snapshot]] = {}
        self._limits: list[object] | None = None
        process.greeting = self._greeting

    @property
    def trees(self) -> tuple[TreeName, ...]:
        """The trees on the mount."""
        return self._trees

    def take_limits(self, limits: Limits) -> None:
        """Work by other limits: see `ports.Part`. A process that does not answer learns them later."""
        self._limits = [limits.file_bytes, limits.tree_files]
        self._tell(READ, "limits", self._limits)

    def save_cache(self) -> bool:
        """Write the scan cache: see `ports.Part`."""
        return not self._shunned and bool(self._act("save-cache", [], lane=READ, within_s=END_S))

    # Looking.

    def scan(self, tree: TreeName, examiner: Examiner) -> Snapshot:
        """Look at the whole tree: see `ports.Disk`."""
        number, last = self._last.get(tree, (0, None))
        taken = _Taken(tree, examiner)
        try:
            answer = self._process.ask(eye(tree), "scan", [tree, number], took=taken.take)
        except DiskError as error:
            return Snapshot(tree, Condition.UNREADABLE, reason=str(error))
        snapshot = self._snapshot(tree, last, items_of(answer))
        return self._show(tree, snapshot, taken)

    def look(
        self, tree: TreeName, paths: Sequence[str], examiner: Examiner
    ) -> Mapping[str, Seen | Unread | None]:
        """Look at some paths: see `ports.Disk`."""
        self._check(tree)
        taken = _Taken(tree, examiner)
        found = self._look(tree, paths, taken, all_of_it=False)
        wanted = [
            path
            for path, what in found.items()
            if isinstance(what, Seen) and taken.lacks(path, what)
        ]
        return found | self._look(tree, wanted, taken, all_of_it=True) if wanted else found

    def read(self, path: ArtifactPath, digest: Digest) -> bytes | None:
        """Return live bytes: see `ports.Disk`."""
        if path.tree in self._shunned:
            return None
        try:
            content = self._ask_of(path, "read", [to_raw(digest)])
        except DiskError:
            return None
        return None if content is None else bytes_of(content)

    def identity_of(self, tree: TreeName) -> str | None:
        """Return what identifies a root: see `ports.Disk`."""
        try:
            return maybe_text(self._process.ask(eye(tree), "identity", [tree]))
        except DiskError:
            return None

    def ask(self, tree: TreeName, within_s: float) -> None:
        """Ask whether a tree is there. Raises DiskError if there is no answer in time."""
        self._process.ask(READ, "identity", [tree], within_s=within_s)

    def trust(self, tree: TreeName, identity: str | None) -> None:
        """Believe the tree only under this identity: see `ports.Disk`."""
        if identity is None:
            self._trusted.pop(tree, None)
        else:
            self._trusted[tree] = identity
        # In the lane of the looks, so that the next one goes by it.
        self._tell(eye(tree), "trust", [tree, identity])

    def shun(self, tree: TreeName, why: str) -> None:
        """Leave a tree alone, or no more: see `ports.Disk`."""
        if not why:
            self._shunned.pop(tree, None)
            return
        self._shunned[tree] = why
        self._process.abandon(ACTING, why)

    # Acting.

    def stage(self, txid: int, items: Iterable[tuple[Step, bytes]]) -> None:
        """Write bytes beside the trees: see `ports.Disk`."""
        for rows, trees in _chunks(items):
            self._check(*trees)
            self._act("stage", [txid, *rows], within_s=ANSWER_S + STEP_S * len(rows))

    def write_back(self, txid: int) -> None:
        """Begin to make durable what is staged: see `ports.Disk`."""
        try:
            self._act("write-back", [txid], lane=FLUSH, within_s=FLUSH_S)
        except DiskError:
            return  # `seal` will say so

    def seal(self, txid: int) -> None:
        """Make what was staged durable: see `ports.Disk`."""
        self._act("seal", [txid], within_s=FLUSH_S)

    def discard(self, txid: int) -> None:
        """Drop what was staged: see `ports.Disk`. A mount that does not answer is swept later."""
        if not self._shunned:
            self._act("discard", [txid], within_s=FLUSH_S)

    def drop(self) -> None:
        """Drop all that was ever staged: see `ports.Part`."""
        if not self._shunned:
            self._act("drop", [], within_s=FLUSH_S)

    def ready(self, intent: Intent) -> Written:
        """Return what the record of an intent must say: see `ports.Part`."""
        self._check(*{step.path.tree for step in intent.steps})
        answer = self._act("ready", [pack_written(Written(intent))])
        return unpack_written(bytes_of(answer))

    def carry_out(self, written: Written, *, again: bool) -> tuple[Kept, ...]:
        """Take the steps of a recorded intent: see `ports.Part`."""
        steps = written.intent.steps
        self._check(*{step.path.tree for step in steps})
        within_s = ANSWER_S + STEP_S * len(steps)
        answer = self._act("carry-out", [pack_written(written), again], within_s=within_s)
        return tuple(kept_of(row) for row in items_of(answer))

    def touch(self, path: ArtifactPath, digest: Digest) -> bool:
        """Raise a live file's mtime: see `ports.Disk`."""
        self._check(path.tree)
        return bool(self._ask_of(path, "touch", [to_raw(digest)], lane=ACT))

    # Quarantine.

    def keep(self, path: ArtifactPath, content: bytes, reason: Keep, detail: str) -> Kept:
        """Put bytes into quarantine: see `ports.Disk`."""
        self._check(path.tree)
        args: list[object] = [content, reason.value, path_out(detail)]
        return kept_of(self._ask_of(path, "keep", args, lane=ACT))

    def kept(self) -> Sequence[Kept]:
        """List the quarantine: see `ports.Disk`."""
        if self._shunned:
            return ()
        return tuple(kept_of(row) for row in items_of(self._act("kept", [], lane=READ)))

    def kept_bytes(self, kept_id: str) -> bytes:
        """Return quarantined bytes: see `ports.Disk`."""
        if self._shunned:
            why = next(iter(self._shunned.values()))
            raise RefusedError(f"nothing is known of {kept_id!r}: {why}")
        return bytes_of(self._act("kept-bytes", [kept_id], lane=READ))

    def sweep(self, *, older_than_s: float, bytes_max: int) -> int:
        """Drop what is too old or too much: see `ports.Disk`."""
        if self._shunned:
            return 0
        return whole_of(self._act("sweep", [older_than_s, bytes_max], within_s=FLUSH_S))

    # Private.

    def _greeting(self) -> list[Request]:
        told: list[Request] = [
            (eye(tree), "trust", [tree, identity]) for tree, identity in self._trusted.items()
        ]
        return [*told, (READ, "limits", self._limits)] if self._limits is not None else told

    def _tell(self, lane: str, verb: str, args: list[object]) -> None:
        """Ask without waiting; a process that does not run yet learns it when it is greeted."""
        with suppress(DiskError):
            self._process.ask(lane, verb, args, within_s=0.0)

    def _check(self, *trees: TreeName) -> None:
        for tree in trees:
            why = self._shunned.get(tree)
            if why is not None:
                raise DiskError(
                    f"tree {tree} is left alone: {why}",
                    errno_name="ETIMEDOUT",
                    hint="look at its mount and the server behind it",
                )

    def _act(
        self, verb: str, args: list[object], *, lane: str = ACT, within_s: float = ANSWER_S
    ) -> object:
        return self._process.ask(lane, verb, args, within_s=within_s)

    def _ask_of(
        self, path: ArtifactPath, verb: str, args: list[object], *, lane: str = READ
    ) -> object:
        return self._act(verb, [path.tree, path_out(path.path), *args], lane=lane)

    def _look(
        self, tree: TreeName, paths: Iterable[str], taken: _Taken, *, all_of_it: bool
    ) -> dict[str, Seen | Unread | None]:
        args: list[object] = [tree, paths_out(paths), all_of_it]
        rows = items_of(self._process.ask(eye(tree), "look", args, took=taken.take))
        return dict(map(look_in, rows))

    def _snapshot(self, tree: TreeName, last: Snapshot | None, answer: list[object]) -> Snapshot:
        what, number, *rest = answer
        if what == SAME and last is not None:
            return last
        if what == BAD:
            condition, reason = rest
            return Snapshot(tree, word_in(Condition, condition), reason=path_in(reason))
        rows, gone, folders, unlisted = rest
        files = dict(last.files) if what != WHOLE and last is not None else {}
        for path, seen in map(look_in, items_of(rows)):
            if seen is None:
                raise ProtocolError("a scan names what is there")
            files[path] = seen
        for path in paths_in(gone):
            files.pop(path, None)
        snapshot = Snapshot(
            tree,
            Condition.GOOD,
            files,
            frozenset(paths_in(folders)),
            unlisted=frozenset(paths_in(unlisted)),
            ignore=self._ignores[tree],
        )
        self._last[tree] = (whole_of(number), snapshot)
        return snapshot

    def _show(self, tree: TreeName, snapshot: Snapshot, taken: _Taken) -> Snapshot:
        """Show the examiner what it wants of a scan and has not been read for it."""
        wanted = [
            path
            for path, what in snapshot.files.items()
            if isinstance(what, Seen) and taken.lacks(path, what)
        ]
        if not wanted:
            return snapshot
        try:
            seen = self._look(tree, wanted, taken, all_of_it=True)
        except DiskError as error:
            return Snapshot(tree, Condition.UNREADABLE, reason=str(error))
        others = {
            path: what
            for path, what in seen.items()
            if what is not None and what != snapshot.files.get(path)
        }
        if not others:
            return snapshot
        # What was written since the scan was shown as it is now, and has to count as it is now.
        self._last.pop(tree, None)
        return replace(snapshot, files={**snapshot.files, **others})


class _Taken:
    """What an examiner was shown in the course of one look."""

    def __init__(self, tree: TreeName, examiner: Examiner) -> None:
        self._tree = tree
        self._examiner = examiner
        self._shown: dict[str, Digest] = {}

    def take(self, row: object) -> None:
        """Show one file's bytes."""
        path, raw, content = items_of(row, 3)
        try:
            digest = from_raw(bytes_of(raw))
        except ValueError as error:
            raise ProtocolError(str(error)) from error
        where = ArtifactPath(self._tree, path_in(path))
        if self._shown.get(where.path) == digest:
            return
        self._shown[where.path] = digest
        self._examiner.take(where, digest, bytes_of(content))

    def lacks(self, path: str, what: Seen) -> bool:
        """Tell whether the examiner wants bytes that it was not shown."""
        digest = what.entry.digest
        if self._shown.get(path) == digest:
            return False
        return self._examiner.wants(ArtifactPath(self._tree, path), digest)


def _chunks(
    items: Iterable[tuple[Step, bytes]],
) -> Iterator[tuple[list[object], set[TreeName]]]:
    rows: list[object] = []
    trees: set[TreeName] = set()
    size = 0
    for step, content in items:
        rows.append([step_row(step), content])
        trees.add(step.path.tree)
        size += len(content)
        if size >= CHUNK_BYTES:
            yield rows, trees
            rows, trees, size = [], set(), 0
    if rows:
        yield rows, trees
