"""A disk in memory: the `Disk` port for simulation. Fast, deterministic, same contract suite.

What is visible and what is durable are kept apart. `killed()` is what a restarted agent finds
after kill -9, `power_cut()` what it finds after the lights went out: the trees as last synced,
and what was staged only if it was sealed.

`crash_at` is called with the name of a point and may raise to stop right there: `stage`, `seal`,
`sealed`, `intent`, `intent-durable`, `step <n>` before each step, `stepped`, `synced`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, RefusedError, StateError
from syncagent.core.intent import Committed, Intent, Keep, Kept, Step
from syncagent.core.manifest import Entry
from syncagent.core.snapshot import NO_FOLDER, Condition, Seen, Snapshot, Unread
from syncagent.core.verdict import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from syncagent.core.artifact import TreeName
    from syncagent.core.digest import Digest
    from syncagent.ports import Examiner

SECOND_NS = 1_000_000_000

Tree = dict[str, tuple[bytes, int]]
"""Path to bytes and mtime in nanoseconds."""


def quiet(_point: str) -> None:
    """Crash nowhere."""


@dataclass
class FakeDisk:
    """All trees of one node. Change `trees`, `conditions`, `identity`, `special` at will.

    `special` holds names that are there but can't be read; `failing` names the errno with which
    the next call of stage, seal, touch or commit (before its intent) is refused; `breaking` makes the next
    commit fail half-way, so that only `recover` may go on.
    """

    names: Sequence[TreeName]
    wall: Callable[[], float] = lambda: 1_700_000_000.0
    crash_at: Callable[[str], None] = quiet
    ignored: Callable[[TreeName, str], bool] = lambda _tree, _path: False
    trees: dict[TreeName, Tree] = field(default_factory=dict)
    conditions: dict[TreeName, Condition] = field(default_factory=dict)
    identity: dict[TreeName, str] = field(default_factory=dict)
    special: dict[ArtifactPath, Problem] = field(default_factory=dict)
    folders: dict[TreeName, set[str]] = field(default_factory=dict)
    shunned: dict[TreeName, str] = field(default_factory=dict)
    failing: str = ""
    breaking: bool = False

    def __post_init__(self) -> None:
        for name in self.names:
            folders = self.folders.setdefault(name, {""})
            for path in self.trees.setdefault(name, {}):
                folders.update(_ancestors(path))
            self.identity.setdefault(name, f"fake-{name}")
        self._durable: dict[TreeName, Tree] = {}
        self._trusted: dict[TreeName, str] = {}
        self._staged: dict[int, dict[ArtifactPath, bytes]] = {}
        self._sealed: set[int] = set()
        self._intent: Intent | None = None
        self._intent_durable = False
        self._standing: int | None = None
        self._taken: set[ArtifactPath] = set()
        self._taken_durable: set[ArtifactPath] = set()
        self._quarantine: dict[str, tuple[Kept, bytes]] = {}
        self._serial = 0
        self._sync()

    # What an operator, a runtime and an accident do.

    def put(self, path: ArtifactPath, content: bytes) -> None:
        """Write a file as an editor would: its mtime is now."""
        self.folders[path.tree].update(_ancestors(path.path))
        self.trees[path.tree][path.path] = (content, int(self.wall() * SECOND_NS))

    def remove(self, path: ArtifactPath) -> None:
        """Remove a file as an operator would; quiet if there is none."""
        self.trees[path.tree].pop(path.path, None)

    def remove_folder(self, tree: TreeName, folder: str) -> None:
        """Remove a folder and all in it, as `rm -r` would."""
        inside = f"{folder}/"
        self.trees[tree] = {
            p: row for p, row in self.trees[tree].items() if not p.startswith(inside)
        }
        self.folders[tree] = {
            f for f in self.folders[tree] if f != folder and not f.startswith(inside)
        }

    def content(self, path: ArtifactPath) -> bytes | None:
        """Return the live bytes, None if absent."""
        row = self.trees[path.tree].get(path.path)
        return row[0] if row else None

    def killed(self) -> None:
        """Forget what a process forgets."""
        self._trusted.clear()
        self.shunned.clear()
        self._standing = None

    def power_cut(self) -> None:
        """Forget what was not durable."""
        self.killed()
        self.trees = {name: dict(tree) for name, tree in self._durable.items()}
        self._taken = set(self._taken_durable)
        self._staged = {txid: rows for txid, rows in self._staged.items() if txid in self._sealed}
        if not self._intent_durable:
            self._intent = None

    # The port: looking.

    def scan(self, tree: TreeName, examiner: Examiner) -> Snapshot:
        condition = self._condition(tree)
        if condition is not Condition.GOOD:
            return Snapshot(tree, condition, reason=f"{tree} is {condition}")
        files: dict[str, Seen | Unread] = {}
        for path in sorted(self.trees[tree]):
            if self.ignored(tree, path):
                continue
            files[path] = self._seen(tree, path, examiner)
        for special, problem in self.special.items():
            if special.tree == tree:
                files[special.path] = Unread(problem)
        return Snapshot(tree, condition, files, frozenset(self.folders[tree]))

    def look(
        self, tree: TreeName, paths: Sequence[str], examiner: Examiner
    ) -> Mapping[str, Seen | Unread | None]:
        self._heed(tree, DiskError)
        condition = self._condition(tree)
        if condition is not Condition.GOOD:
            raise DiskError(f"{tree} is {condition}", errno_name="ENOENT")
        found: dict[str, Seen | Unread | None] = {}
        for path in paths:
            if (special := self._special(tree, path)) is not None:
                found[path] = Unread(special)
            elif path in self.trees[tree] and not self.ignored(tree, path):
                found[path] = self._seen(tree, path, examiner)
            elif path.rpartition("/")[0] in self.folders[tree]:
                found[path] = None
            else:
                found[path] = Unread(Problem(NO_FOLDER, "the folder is not there"))
        return found

    def read(self, path: ArtifactPath, digest: Digest) -> bytes | None:
        content = None if path.tree in self.shunned else self.content(path)
        return content if content is not None and digest_of(content) == digest else None

    # The port: acting.

    def stage(self, txid: int, items: Iterable[tuple[Step, bytes]]) -> None:
        self._may_fail("stage")
        rows = self._staged.setdefault(txid, {})
        for step, content in items:
            self.crash_at("stage")
            self._heed(step.path.tree, DiskError)
            assert step.after is not None, "only bytes that become live are staged"
            if Entry(digest_of(content), len(content)) != step.after:
                raise DiskError(f"the bytes for {step.path} are not {step.after.digest}")
            rows[step.path] = content

    def write_back(self, txid: int) -> None:
        """Nothing is durable before it is sealed."""

    def seal(self, txid: int) -> None:
        self.crash_at("seal")
        self._may_fail("seal")
        self._sealed.add(txid)
        self.crash_at("sealed")

    def commit(self, intent: Intent) -> Committed:
        if self._standing is not None:
            raise StateError(f"transaction {self._standing} has to be finished first")
        self._may_fail("commit")
        for step in intent.steps:
            self._believe(step.path.tree, DiskError)
        staged = self._staged.get(intent.txid, {})
        for step in intent.steps:
            if step.after is not None and step.path not in staged:
                raise DiskError(f"{step.path} was not staged", errno_name="ENOENT")
        self.crash_at("intent")
        self._intent, self._intent_durable = intent, False
        self._taken.clear()
        self._taken_durable.clear()
        self.crash_at("intent")
        self._intent_durable = True
        self.crash_at("intent-durable")
        return self._finish(intent)

    def recover(self, done_txid: int) -> Committed | None:
        intent = self._intent
        if intent is None or intent.txid <= done_txid:
            self._standing = None
            self._staged.clear()
            self._sealed.clear()
            return None
        for step in intent.steps:
            self._believe(step.path.tree, StateError)
        self._intent_durable = True
        done = self._finish(intent)
        self._standing = None
        self._staged.clear()
        self._sealed.clear()
        return done

    def discard(self, txid: int) -> None:
        if txid == self._standing:
            return
        self._staged.pop(txid, None)
        self._sealed.discard(txid)

    def touch(self, path: ArtifactPath, digest: Digest) -> bool:
        self._may_fail("touch")
        self._believe(path.tree, DiskError)
        row = self.trees[path.tree].get(path.path)
        if row is None or digest_of(row[0]) != digest:
            return False
        mtime_s = max(int(self.wall()), row[1] // SECOND_NS + 1)
        self.trees[path.tree][path.path] = (row[0], mtime_s * SECOND_NS)
        return True

    # The port: quarantine and identity.

    def keep(self, path: ArtifactPath, content: bytes, reason: Keep, detail: str) -> Kept:
        self._serial += 1
        return self._keep(f"k{self._serial}", path, content, (reason, detail))

    def kept(self) -> Sequence[Kept]:
        rows = [kept for kept, _ in self._quarantine.values()]
        return tuple(sorted(rows, key=lambda kept: (-kept.at, kept.id)))

    def kept_bytes(self, kept_id: str) -> bytes:
        if kept_id not in self._quarantine:
            raise RefusedError(f"nothing is kept under {kept_id!r}")
        return self._quarantine[kept_id][1]

    def sweep(self, *, older_than_s: float, bytes_max: int) -> int:
        total = sum(kept.size for kept, _ in self._quarantine.values())
        oldest_first = sorted(self.kept(), key=lambda kept: (kept.at, kept.id))
        dropped = 0
        for kept in oldest_first:
            if kept.at >= self.wall() - older_than_s and total <= bytes_max:
                break
            del self._quarantine[kept.id]
            total -= kept.size
            dropped += 1
        return dropped

    def identity_of(self, tree: TreeName) -> str | None:
        gone = {Condition.MISSING, Condition.UNREADABLE, Condition.STALLED}
        return None if self.conditions.get(tree) in gone else self.identity[tree]

    def shun(self, tree: TreeName, why: str) -> None:
        self.shunned.pop(tree, None)
        if why:
            self.shunned[tree] = why

    def trust(self, tree: TreeName, identity: str | None) -> None:
        if identity is None:
            self._trusted.pop(tree, None)
        else:
            self._trusted[tree] = identity

    # Private.

    def _finish(self, intent: Intent) -> Committed:
        kept: list[Kept] = []
        for number, step in enumerate(intent.steps):
            self.crash_at(f"step {number}")
            if self.breaking and number == len(intent.steps) // 2:
                self.breaking, self._standing = False, intent.txid
                raise StateError(f"transaction {intent.txid} was begun and can't be finished")
            if step.path not in self._taken:
                # A step that was taken is not taken again: what is there now is somebody's edit.
                kept.extend(self._step(intent.txid, step))
                self._taken.add(step.path)
        self.crash_at("stepped")
        self._sync()
        self.crash_at("synced")
        self.discard(intent.txid)
        return Committed(intent, tuple(kept))

    def _step(self, txid: int, step: Step) -> list[Kept]:
        tree = self.trees[step.path.tree]
        live = tree.get(step.path.path)
        found = digest_of(live[0]) if live else None
        if found == (step.after.digest if step.after else None):
            return []
        kept: list[Kept] = []
        reason = step.keep if found == step.expected else Keep.CONFLICT
        if live is not None and reason is not None:
            # The same name when the step is done again after a crash.
            name = f"t{txid}-{digest_of(str(step.path).encode())[5:13]}"
            kept.append(self._keep(name, step.path, live[0], (reason, f"displaced by {txid}")))
        if step.after is None:
            tree.pop(step.path.path, None)
            return kept
        content = self._staged.get(txid, {}).get(step.path)
        if content is None:
            raise StateError(f"the staged bytes of {step.path} are gone")
        mtime_s = int(self.wall())
        if live is not None:
            mtime_s = max(mtime_s, live[1] // SECOND_NS + 1)
        tree[step.path.path] = (content, mtime_s * SECOND_NS)
        self.folders[step.path.tree].update(_ancestors(step.path.path))
        return kept

    def _keep(self, name: str, path: ArtifactPath, content: bytes, why: tuple[Keep, str]) -> Kept:
        reason, detail = why
        kept = Kept(
            id=name,
            path=path,
            reason=reason,
            digest=digest_of(content),
            size=len(content),
            at=int(self.wall()),
            detail=detail,
        )
        self._quarantine[name] = (kept, content)
        return kept

    def _sync(self) -> None:
        self._durable = {name: dict(tree) for name, tree in self.trees.items()}
        self._taken_durable = set(self._taken)

    def _condition(self, tree: TreeName) -> Condition:
        condition = self.conditions.get(tree, Condition.GOOD)
        trusted = self._trusted.get(tree)
        if condition is Condition.GOOD and trusted not in {None, self.identity[tree]}:
            return Condition.REPLACED
        return condition

    def _believe(self, tree: TreeName, failure: type[DiskError | StateError]) -> None:
        if tree not in self.trees:
            raise failure(f"this node has no tree {tree}")
        self._heed(tree, failure)
        condition = self._condition(tree)
        if condition is not Condition.GOOD:
            raise failure(f"{tree} is {condition}")

    def _heed(self, tree: TreeName, failure: type[DiskError | StateError]) -> None:
        if tree in self.shunned:
            raise failure(f"{tree} is left alone: {self.shunned[tree]}")

    def _may_fail(self, doing: str) -> None:
        if self.failing:
            code, self.failing = self.failing, ""
            raise DiskError(f"{doing} failed", errno_name=code)

    def _special(self, tree: TreeName, path: str) -> Problem | None:
        return next((p for at, p in self.special.items() if at == (tree, path)), None)

    def _seen(self, tree: TreeName, path: str, examiner: Examiner) -> Seen:
        content, mtime_ns = self.trees[tree][path]
        entry = Entry(digest_of(content), len(content))
        where = ArtifactPath(tree, path)
        if examiner.wants(where, entry.digest):
            examiner.take(where, entry.digest, content)
        return Seen(entry, mtime_ns)


def _ancestors(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]
