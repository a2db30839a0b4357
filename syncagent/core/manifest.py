"""A manifest: which artifacts a revision holds, tree and path to digest and size.

Its digest is the sum, modulo 2**128, of one xxh3-128 per row, kept per tree: one changed row
costs the same at 10 and at 100,000 artifacts, the order of rows plays no part, and the digest
of a projection needs no second pass. (The sum is not a proof against forgery; nothing here is.)

What changed last lies beside the rows until all of a tree is asked for: the digest and single rows
of a revision that one edit makes are had without copying ten thousand others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.digest import Digest, from_number, number_of
from syncagent.core.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from syncagent.core.change import Change

__all__ = ["EMPTY", "Entry", "Manifest"]

_MODULUS = 1 << 128
LATE_MAX = 64
"""Changed rows that may lie beside the others: they are copied with every change."""


def _row_number(tree: str, path: str, entry: Entry) -> int:
    return number_of(
        f"{tree}\0{path}\0{entry.digest}\0{entry.size}".encode("utf-8", "surrogatepass")
    )


_Late: TypeAlias = "dict[TreeName, dict[str, Entry | None]]"
"""What changed of some trees' rows; None: the row is gone."""


class Manifest:
    """An immutable set of rows. Equal digests mean equal rows; iteration is sorted."""

    __slots__ = ("_late", "_rows", "_sums")

    def __init__(
        self,
        rows: Mapping[TreeName, Mapping[str, Entry]] | None = None,
        *,
        _sums: Mapping[TreeName, int] | None = None,
        _late: _Late | None = None,
    ) -> None:
        self._late: _Late = _late or {}
        if _sums is not None:
            # Trees that did not change are shared between manifests: nobody writes to them.
            self._rows: Mapping[TreeName, Mapping[str, Entry]] = rows or {}
            self._sums: Mapping[TreeName, int] = _sums
            return
        self._rows = {tree: dict(entries) for tree, entries in (rows or {}).items() if entries}
        self._sums = {
            tree: sum(_row_number(tree, path, entry) for path, entry in entries.items()) % _MODULUS
            for tree, entries in self._rows.items()
        }

    @classmethod
    def of(cls, rows: Iterable[tuple[ArtifactPath, Entry]]) -> Manifest:
        """Return the manifest of `rows`; a path that comes twice keeps its last entry."""
        trees: dict[TreeName, dict[str, Entry]] = {}
        for (tree, path), entry in rows:
            trees.setdefault(tree, {})[path] = entry
        return cls(trees)

    @property
    def digest(self) -> Digest:
        """The digest of all rows."""
        return from_number(sum(self._sums.values()) % _MODULUS)

    @property
    def trees(self) -> tuple[TreeName, ...]:
        """Names of the trees that hold at least one artifact, sorted."""
        return tuple(sorted(self._all()))

    @property
    def bytes_total(self) -> int:
        """Sum of all sizes, in bytes."""
        return sum(entry.size for entries in self._all().values() for entry in entries.values())

    def tree(self, name: TreeName) -> Mapping[str, Entry]:
        """Return path to entry of one tree; empty if the manifest has none of it. Read only."""
        return self._all().get(name, {})

    def get(self, path: ArtifactPath) -> Entry | None:
        """Return the entry at `path`, or None."""
        late = self._late.get(path.tree)
        if late is not None and path.path in late:
            return late[path.path]
        return self._rows.get(path.tree, {}).get(path.path)

    def project(self, trees: Iterable[TreeName]) -> Manifest:
        """Return the rows of `trees` only: what a node that lists them should have."""
        wanted = set(trees)
        late = self._late  # before the rows: see `_all`
        return Manifest(
            {tree: entries for tree, entries in self._rows.items() if tree in wanted},
            _sums={tree: total for tree, total in self._sums.items() if tree in wanted},
            _late={tree: rows for tree, rows in late.items() if tree in wanted},
        )

    def after(self, changes: Iterable[Change]) -> Manifest:
        """Return this manifest with each change's `after` in place; `before` is not checked."""
        sums = dict(self._sums)
        late = {tree: dict(rows) for tree, rows in self._late.items()}
        for change in changes:
            tree, path = change.path
            here = late.setdefault(tree, {})
            old = here[path] if path in here else self._rows.get(tree, {}).get(path)
            total = sums.get(tree, 0)
            if old is not None:
                total -= _row_number(tree, path, old)
            if change.after is not None:
                total += _row_number(tree, path, change.after)
            here[path] = change.after
            sums[tree] = total % _MODULUS
        made = Manifest(self._rows, _sums=sums, _late=late)
        if sum(map(len, late.values())) > LATE_MAX:
            made._all()
        return made

    def _all(self) -> Mapping[TreeName, Mapping[str, Entry]]:
        """Return all rows, with what changed last among them.

        Threads may meet here: each makes the same rows, and what lay beside them stays true of them.
        Whoever needs both takes what lies beside the rows first.
        """
        late = self._late
        if late:
            rows = dict(self._rows)
            for tree, changed in late.items():
                entries = dict(rows.get(tree, {}))
                for path, entry in changed.items():
                    if entry is None:
                        entries.pop(path, None)
                    else:
                        entries[path] = entry
                rows[tree] = entries
            self._rows = {tree: entries for tree, entries in rows.items() if entries}
            self._late = {}
        return self._rows

    def __contains__(self, path: ArtifactPath) -> bool:
        return self.get(path) is not None

    def __iter__(self) -> Iterator[tuple[ArtifactPath, Entry]]:
        rows = self._all()
        for tree in sorted(rows):
            entries = rows[tree]
            for path in sorted(entries):
                yield ArtifactPath(tree, path), entries[path]

    def __len__(self) -> int:
        return sum(len(entries) for entries in self._all().values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self._all() == other._all()

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"Manifest({len(self)} artifacts, {self.digest})"


EMPTY = Manifest()
"""The manifest of revision 0."""
