"""What was read lately: verdicts by path, and bytes of new artifacts until they are in the history.

Shared by the hands that read and the hands that commit: each operation on verdicts is one step of
a dict, and what counts bytes holds a lock.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from syncagent.core.artifact import kind_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from syncagent.core.artifact import ArtifactPath, Kind, TreeKind, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.verdict import Examined
    from syncagent.ports import Validator

CONTENT_BYTES_MAX = 16 * 1024 * 1024
"""Bytes of new artifacts that are kept in memory; older ones are read again from disk."""


class Memory:
    """Verdicts on what is (or is about to be) at each path, and lately read bytes."""

    def __init__(self, validator: Validator, kinds: Mapping[TreeName, TreeKind]) -> None:
        self._validator = validator
        self._kinds = dict(kinds)
        self._verdicts: dict[ArtifactPath, tuple[Digest, Examined]] = {}
        self._contents: OrderedDict[Digest, bytes] = OrderedDict()
        self._bytes = 0
        self._counting = threading.Lock()

    def examine(self, path: ArtifactPath, digest: Digest, content: bytes) -> Examined:
        """Return the verdict on bytes at a path; each is judged once."""
        known = self._verdicts.get(path)
        if known is not None and known[0] == digest:
            return known[1]
        examined = self.judge(path, content)
        self._verdicts[path] = (digest, examined)
        return examined

    def judge(self, path: ArtifactPath, content: bytes) -> Examined:
        """Return the verdict on bytes that are not at the path now; it is not remembered."""
        return self._validator.examine(self.kind(path), path.path, content)

    def learn(self, path: ArtifactPath, digest: Digest, examined: Examined) -> None:
        """Take a verdict on bytes at a path that the same rules have brought about elsewhere."""
        self._verdicts[path] = (digest, examined)

    def kind(self, path: ArtifactPath) -> Kind:
        """Return what the artifact at a path is."""
        return kind_of(self._kinds[path.tree], path.path)

    def verdict(self, path: ArtifactPath, digest: Digest) -> Examined | None:
        """Return the verdict on `digest` at a path, None if it was not judged."""
        known = self._verdicts.get(path)
        return known[1] if known is not None and known[0] == digest else None

    def forget(self, path: ArtifactPath) -> None:
        """Forget a path that is gone."""
        self._verdicts.pop(path, None)

    def forget_others(self, tree: TreeName, there: Collection[str]) -> None:
        """Forget all paths of a tree but those that are there."""
        for path in list(self._verdicts):
            if path.tree == tree and path.path not in there:
                self._verdicts.pop(path, None)

    def remember(self, digest: Digest, content: bytes) -> None:
        """Keep bytes for a while."""
        if len(content) > CONTENT_BYTES_MAX:
            return
        with self._counting:
            if digest in self._contents:
                return
            self._contents[digest] = content
            self._bytes += len(content)
            while self._bytes > CONTENT_BYTES_MAX:
                _, dropped = self._contents.popitem(last=False)
                self._bytes -= len(dropped)

    def content(self, digest: Digest) -> bytes | None:
        """Return kept bytes."""
        return self._contents.get(digest)

    def let_go(self, digest: Digest) -> None:
        """Drop bytes that are in the history now."""
        with self._counting:
            dropped = self._contents.pop(digest, None)
            if dropped is not None:
                self._bytes -= len(dropped)
