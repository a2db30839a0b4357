"""The looking half of the disk: scans, looks and reads of all trees of this node.

A tree is believed only under the identity it is trusted by, asked for before and after each look
(`identity`); inside, every name ends up seen, unread or, on evidence, absent (`scan`, `look`,
`read`); what was read is remembered (`cache`). A tree that was never trusted, or was told to
trust whatever comes, keeps to the first identity it finds.

Scans, looks and reads may run beside each other and beside a commit. They block for as long as
the file system does: that a mount hangs (`Condition.STALLED`) is for whoever waits to notice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.ignore import Ignore
from syncagent.core.snapshot import Condition, Snapshot, Unread
from syncagent.disk import cache
from syncagent.disk.identity import DoubtError, identify, let_go, opened
from syncagent.disk.look import Look
from syncagent.disk.mark import owner_of
from syncagent.disk.read import read_stable
from syncagent.disk.scan import Walk
from syncagent.disk.sight import Sight
from syncagent.fsio import O_FOLDER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.settings import Limits, TreeSettings
    from syncagent.core.snapshot import Seen
    from syncagent.disk.identity import Root
    from syncagent.fsio import OsFS
    from syncagent.ports import Clock, Examiner

_HINTS: Final = {
    Condition.MISSING: "mount or restore the folder; nothing is deleted elsewhere meanwhile",
    Condition.REPLACED: "mount the right file system, or approve the folder that is there now",
    Condition.UNREADABLE: "look at the folder's permissions and at the disk",
}


class Looking:
    """Looks at trees: the part of `ports.Disk` that changes nothing.

    `cache_path` is a file in the state folder; a second one beside it, `.clock`, is touched to
    read the file system's clock. Neither has to be there, and neither is missed.
    """

    def __init__(
        self,
        fs: OsFS,
        trees: Sequence[TreeSettings],
        limits: Limits,
        cache_path: str,
        clock: Clock,
    ) -> None:
        self._fs = fs
        self.limits = limits
        self._cache_path = cache_path
        self._clock = clock
        self._paths = {tree.name: tree.path for tree in trees}
        self._owners = {tree.name: owner_of(tree) for tree in trees}
        self._ignores = {tree.name: Ignore(tree.kind, tree.ignore) for tree in trees}
        self._trusted: dict[TreeName, str] = {}
        self._last: dict[TreeName, Snapshot] = {}
        self._saved = True
        loaded = cache.load(fs, cache_path)
        self._caches = {
            name: _usable(loaded.get(name), ignore.fingerprint)
            for name, ignore in self._ignores.items()
        }

    def scan(self, tree: TreeName, examiner: Examiner) -> Snapshot:
        """Look at the whole tree. Never raises for what the tree is like: see `Condition`.

        Returns the very snapshot of the scan before if nothing differs.
        """
        try:
            with self._opened(tree) as root:
                walk = self._walk(tree, root, examiner)
        except DoubtError as doubt:
            return Snapshot(tree, doubt.condition, reason=str(doubt))
        self._trusted.setdefault(tree, root.identity)
        snapshot = Snapshot(
            tree,
            Condition.GOOD,
            walk.files,
            frozenset(walk.folders),
            unlisted=frozenset(walk.unlisted),
            ignore=self._ignores[tree],
        )
        last = self._last.get(tree)
        if last == snapshot:
            return last
        self._saved = False
        self._last[tree] = snapshot
        return snapshot

    def look(
        self, tree: TreeName, paths: Sequence[str], examiner: Examiner
    ) -> Mapping[str, Seen | Unread | None]:
        """Look at some paths. None: absent, and its folder was listed to say so.

        Ignored paths are left out. Raises DiskError if the root can't be believed.
        """
        try:
            with self._opened(tree) as root:
                look = Look(self._sight(tree, root, examiner), root)
                look.run(paths)
        except DoubtError as doubt:
            raise DiskError(
                f"tree {tree}: {doubt}",
                errno_name=doubt.errno_name,
                hint=_HINTS.get(doubt.condition, ""),
            ) from doubt
        self._trusted.setdefault(tree, root.identity)
        return look.found

    def read(self, path: ArtifactPath, digest: Digest) -> bytes | None:
        """Return the live bytes at `path` if they are `digest`; None if they are not (any more).

        None too if they can't be had at the moment.
        """
        folder, _, name = path.path.rpartition("/")
        fs = self._fs
        try:
            with self._opened(path.tree) as root:
                fd = fs.openat2(root.fd, folder, O_FOLDER)
                try:
                    got = read_stable(fs, fd, name, self.limits.file_bytes)
                finally:
                    let_go(fs, fd)
        except (DoubtError, OSError):
            return None
        if isinstance(got, Unread) or digest_of(got[0]) != digest:
            return None
        return got[0]

    def identity_of(self, tree: TreeName) -> str | None:
        """Return what identifies a tree's root now; None if it can't be read."""
        try:
            return identify(self._fs, self._paths[tree], self._owners[tree])
        except OSError:
            return None

    def trust(self, tree: TreeName, identity: str | None) -> None:
        """From now on only this identity is the tree; None: whatever is found next."""
        if identity is None:
            self._trusted.pop(tree, None)
        else:
            self._trusted[tree] = identity

    def save_cache(self) -> bool:
        """Write what is remembered to disk if it may have changed; tell whether it was written.

        For every half minute and the end of the process. Raises DiskError; nothing is lost then.
        """
        if self._saved:
            return False
        self._saved = True
        try:
            cache.save(self._fs, self._cache_path, self._caches)
        except DiskError:
            self._saved = False
            raise
        return True

    def _opened(self, tree: TreeName) -> AbstractContextManager[Root]:
        path = self._paths.get(tree)
        if path is None:
            raise DiskError(f"this node has no tree {tree}")
        return opened(self._fs, path, self._trusted.get(tree), self._owners[tree])

    def _walk(self, tree: TreeName, root: Root, examiner: Examiner) -> Walk:
        sight = self._sight(tree, root, examiner)
        wall = self._clock.wall()
        everything = sight.cache.rehash_due(wall)
        sight.trusting = not everything
        if sight.waited_at is None:
            sight.settled_before_ns = self._settled_before_ns()
        walk = Walk(sight, root, self.limits.tree_files)
        walk.run()
        sight.cache.forget_waiting(walk.files)
        if sight.viewed:
            self._saved = False
        if everything:
            sight.cache.read_all_at = wall
        return walk

    def _sight(self, tree: TreeName, root: Root, examiner: Examiner) -> Sight:
        remembered = self._caches[tree]
        remembered.bind(root.ground)
        sight = Sight(self._fs, tree, remembered, self._ignores[tree], examiner)
        sight.size_max = self.limits.file_bytes
        if not self._is_local(tree):
            sight.waited_at = self._clock.now()
        return sight

    def _is_local(self, tree: TreeName) -> bool:
        try:
            return cache.is_local(self._fs.statfs_type(self._paths[tree]))
        except OSError:
            return False

    def _settled_before_ns(self) -> int:
        """Return the instant before which a file must have been left alone to be remembered."""
        try:
            return cache.fs_clock_ns(self._fs, f"{self._cache_path}.clock") - cache.WINDOW_LOCAL_NS
        except OSError:
            return 0


def _usable(loaded: cache.TreeCache | None, fingerprint: Digest) -> cache.TreeCache:
    """Return what was loaded if it was made under these ignore rules, else an empty cache."""
    if loaded is not None and loaded.fingerprint == fingerprint:
        return loaded
    return cache.TreeCache(fingerprint)
