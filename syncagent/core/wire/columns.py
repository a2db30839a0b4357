"""What messages carry by the thousand travels as columns, not as rows.

All paths of a tree are one text (no path can hold the NUL that parts them), all digests one run
of 16 bytes each, all sizes 32-bit numbers. Rows of one tree that follow each other share its
name. So lists on the wire are short, which bounds what a hostile frame can make us allocate;
and a column costs one call where rows would cost thousands, and compresses well.
"""

from __future__ import annotations

import struct
from itertools import groupby
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, TreeName, path_fault
from syncagent.core.change import Change
from syncagent.core.digest import RAW_BYTES, Digest, to_raws
from syncagent.core.errors import ProtocolError
from syncagent.core.manifest import Entry
from syncagent.core.verdict import Problem, Refused, Severity
from syncagent.core.wire.fields import (
    LIST_MAX,
    REASON_BYTES_MAX,
    Field,
    bytes_of,
    clipped,
    items_of,
    text_of,
    tree_of,
    whole_of,
    word_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SIZE_MAX = 2**32 - 1
"""Bytes that one artifact on the wire may have: what its 32-bit field holds."""
ROWS_MAX = 200_000
"""Rows that one message may have: twice the files that a tree may hold."""
REFUSED_MAX = 1000
"""Refused artifacts that travel with one message; the rest stay on the node that refused them."""

_SIZE_BYTES = 4
_HEX_DIGITS = RAW_BYTES * 2
_ADD, _UPDATE, _DELETE = 1, 2, 3


def _digests_out(digests: Iterable[Digest]) -> bytes:
    try:
        return to_raws(digests)
    except ValueError as error:
        raise ProtocolError(f"not a digest: {error}") from error


def _digests(value: object) -> list[Digest]:
    raw = bytes_of(value)
    if len(raw) % RAW_BYTES:
        raise ProtocolError(f"{len(raw)} bytes are not a run of digests")
    if len(raw) > ROWS_MAX * RAW_BYTES:
        raise ProtocolError(f"{len(raw) // RAW_BYTES} digests, at most {ROWS_MAX} are allowed")
    digits = raw.hex()
    return [
        Digest("xxh3:" + digits[start : start + _HEX_DIGITS])
        for start in range(0, len(digits), _HEX_DIGITS)
    ]


def _bases_out(bases: Sequence[Digest | None]) -> object:
    present = bytes(base is not None for base in bases)
    return [present, _digests_out(base for base in bases if base is not None)]


def _bases(value: object) -> object:
    mask, column = items_of(value, 2)
    present = bytes_of(mask)
    digests = _digests(column)
    if present.count(0) + present.count(1) != len(present) or present.count(1) != len(digests):
        raise ProtocolError("the bases do not fit their mask")
    if len(present) > ROWS_MAX:
        raise ProtocolError(f"{len(present)} bases, at most {ROWS_MAX} are allowed")
    rest = iter(digests)
    return tuple(next(rest) if there else None for there in present)


def _entries_out(entries: Sequence[Entry]) -> list[bytes]:
    try:
        sizes = struct.pack(f">{len(entries)}I", *[entry.size for entry in entries])
    except struct.error as error:
        raise ProtocolError(f"a size is not in 0 to {SIZE_MAX}") from error
    return [_digests_out(entry.digest for entry in entries), sizes]


def _entries(digest_column: object, size_column: object) -> list[Entry]:
    digests = _digests(digest_column)
    sizes = bytes_of(size_column)
    if len(sizes) != len(digests) * _SIZE_BYTES:
        raise ProtocolError(f"{len(digests)} digests do not fit {len(sizes)} bytes of sizes")
    return list(map(Entry, digests, struct.unpack(f">{len(digests)}I", sizes)))


def _tree_paths_out(tree: TreeName, paths: list[ArtifactPath]) -> list[object]:
    return [tree_of(tree), "\0".join([path.path for path in paths])]


def _tree_paths(tree: object, column: object) -> list[ArtifactPath]:
    name = tree_of(tree)
    if not isinstance(column, str):
        raise ProtocolError(f"paths were expected, not {type(column).__name__}")
    if column.count("\0") >= ROWS_MAX:
        raise ProtocolError(f"more than {ROWS_MAX} paths")
    paths = column.split("\0")
    for path in paths:
        fault = path_fault(path)
        if fault is not None:
            raise ProtocolError(f"{path[:80]!r} is not the path of an artifact: {fault}")
    return [ArtifactPath(name, path) for path in paths]


def _paths_out(paths: Sequence[ArtifactPath]) -> object:
    groups = groupby(_unique(paths), lambda path: path.tree)
    return _few([_tree_paths_out(tree, list(group)) for tree, group in groups])


def _paths(value: object) -> object:
    groups = [_tree_paths(*items_of(item, 2)) for item in items_of(value)]
    paths = [path for group in groups for path in group]
    return _unique(paths)


def _unique(paths: Sequence[ArtifactPath]) -> tuple[ArtifactPath, ...]:
    if len(paths) > ROWS_MAX:
        raise ProtocolError(f"{len(paths)} paths, at most {ROWS_MAX} are allowed")
    if len(set(paths)) != len(paths):
        raise ProtocolError("a path comes twice")
    return tuple(paths)


def _few(groups: list[list[object]]) -> list[list[object]]:
    if len(groups) > LIST_MAX:
        raise ProtocolError(f"{len(groups)} runs of one tree, at most {LIST_MAX} are allowed")
    return groups


def _rows_out(rows: Sequence[tuple[ArtifactPath, Entry]]) -> object:
    groups: list[list[object]] = []
    _check_sorted(rows)
    for tree, group in groupby(rows, lambda row: row[0].tree):
        paths, entries = zip(*group, strict=True)
        groups.append([*_tree_paths_out(tree, list(paths)), *_entries_out(entries)])
    return _few(groups)


def _rows(value: object) -> object:
    rows: list[tuple[ArtifactPath, Entry]] = []
    for item in items_of(value):
        tree, column, digests, sizes = items_of(item, 4)
        paths, entries = _tree_paths(tree, column), _entries(digests, sizes)
        if len(paths) != len(entries):
            raise ProtocolError(f"{len(paths)} paths do not fit {len(entries)} entries")
        rows.extend(zip(paths, entries, strict=True))
    _check_sorted(rows)
    return tuple(rows)


def _check_sorted(rows: Sequence[tuple[ArtifactPath, Entry]]) -> None:
    """Refuse rows that are not those of a manifest; the same on both sides of the wire."""
    if len(rows) > ROWS_MAX:
        raise ProtocolError(f"{len(rows)} rows, at most {ROWS_MAX} are allowed")
    if any(rows[n][0] >= rows[n + 1][0] for n in range(len(rows) - 1)):
        raise ProtocolError("the rows of a manifest are not sorted, or one comes twice")


def _changes_out(changes: Sequence[Change]) -> object:
    groups: list[list[object]] = []
    for tree, group in groupby(changes, lambda change: change.path.tree):
        run = list(group)
        before = [change.before for change in run if change.before is not None]
        after = [change.after for change in run if change.after is not None]
        words = bytes(
            _ADD if change.before is None else _DELETE if change.after is None else _UPDATE
            for change in run
        )
        columns = [*_entries_out(before), *_entries_out(after)]
        groups.append([*_tree_paths_out(tree, [change.path for change in run]), words, *columns])
    return _few(groups)


def _changes(value: object) -> object:
    changes: list[Change] = []
    for item in items_of(value):
        tree, column, words, *columns = items_of(item, 7)
        paths, kinds = _tree_paths(tree, column), bytes_of(words)
        before, after = _entries(*columns[:2]), _entries(*columns[2:])
        adds, updates, deletes = (kinds.count(word) for word in (_ADD, _UPDATE, _DELETE))
        if not adds + updates + deletes == len(kinds) == len(paths):
            raise ProtocolError(f"{len(paths)} paths do not fit {len(kinds)} changes")
        if len(before) != updates + deletes or len(after) != adds + updates:
            raise ProtocolError("the entries do not fit the changes")
        olds, news = iter(before), iter(after)
        for path, kind in zip(paths, kinds, strict=True):
            old = None if kind == _ADD else next(olds)
            new = None if kind == _DELETE else next(news)
            if old == new:
                raise ProtocolError(f"a change must change something: {path}")
            changes.append(Change(path, old, new))
    _unique([change.path for change in changes])
    return tuple(changes)


def _refused_out(refused: Sequence[Refused]) -> object:
    return [
        [*item.path, p.code, clipped(p.reason), p.line, str(p.severity)]
        for item in refused[:REFUSED_MAX]
        for p in (item.problem,)
    ]


def _refused(value: object) -> object:
    severities = {str(severity): severity for severity in Severity}
    found: list[Refused] = []
    for item in items_of(value):
        tree, path, code, reason, line, severity = items_of(item, 6)
        where = _tree_paths(tree, path)
        if len(where) != 1 or not isinstance(severity, str) or severity not in severities:
            raise ProtocolError("a refused artifact has one path and a known severity")
        said = text_of(reason, REASON_BYTES_MAX)
        problem = Problem(word_of(code), said, whole_of(line), severities[severity])
        found.append(Refused(where[0], problem))
    if len(found) > REFUSED_MAX:
        raise ProtocolError(f"{len(found)} refused artifacts, at most {REFUSED_MAX} are allowed")
    return tuple(found)


def _one(entries: list[Entry]) -> Entry:
    if len(entries) != 1:
        raise ProtocolError(f"one entry was expected, not {len(entries)}")
    return entries[0]


DIGESTS = Field(_digests_out, lambda v: tuple(_digests(v)))
BASES = Field(_bases_out, _bases)
ENTRY = Field(lambda v: _entries_out((v,)), lambda v: _one(_entries(*items_of(v, 2))))
ENTRIES = Field(_entries_out, lambda v: tuple(_entries(*items_of(v, 2))))
PATHS = Field(_paths_out, _paths)
ROWS = Field(_rows_out, _rows)
CHANGES = Field(_changes_out, _changes)
REFUSED = Field(_refused_out, _refused)
