"""Bytes of where a node stands, for its ledger and for the memo of an intent.

A manifest is kept in columns, per tree: paths, digests end to end, sizes; that unpacks 10,000 rows
in a few milliseconds. Every record says which of its fields it has, so that a later version can
add one that this version skips.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import RAW_BYTES, from_raw, to_raw, to_raws
from syncagent.core.errors import ProtocolError
from syncagent.core.ledger import Standing, StandingChange
from syncagent.core.manifest import Entry, Manifest
from syncagent.core.revision import RevisionId
from syncagent.core.wire.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RECORD_BYTES_MAX: Final = 512 * 1024 * 1024
"""Far above a full record of 100,000 rows with the longest paths that occur (about 20 MB)."""

_REVISION, _CHANGES, _MANIFEST, _TXID, _IDENTITIES, _NOTES = range(6)

_Row = tuple[bytes, int]


def encode_change(change: StandingChange) -> bytes:
    """Return the bytes of one ledger record; `decode_change` gives an equal one back."""
    fields: dict[int, object] = {}
    if change.revision is not None:
        fields[_REVISION] = _revision(change.revision)
    if change.changes:
        fields[_CHANGES] = pack_changes(change.changes)
    if change.manifest is not None:
        fields[_MANIFEST] = _columns(change.manifest)
    if change.txid:
        fields[_TXID] = change.txid
    if change.identities:
        fields[_IDENTITIES] = dict(change.identities)
    if change.notes:
        fields[_NOTES] = dict(change.notes)
    return pack([[key, value] for key, value in fields.items()])


def encode_standing(standing: Standing) -> bytes:
    """Return the bytes of the record that leads from nothing to `standing` in one step."""
    return encode_change(
        StandingChange(
            revision=standing.revision,
            manifest=standing.manifest,
            txid=standing.txid,
            identities=standing.identities,
            notes=standing.notes,
        )
    )


def decode_change(data: bytes) -> StandingChange:
    """Return the record that `data` holds. Raises ProtocolError if it is not one."""
    try:
        pairs = cast("list[tuple[int, object]]", unpack(data, limit=RECORD_BYTES_MAX))
        fields = {int(key): value for key, value in pairs}
        revision = cast("tuple[int, int, bytes] | None", fields.get(_REVISION))
        columns = fields.get(_MANIFEST)
        return StandingChange(
            revision=None if revision is None else _parse_revision(revision),
            changes=parse_changes(fields.get(_CHANGES) or ()),
            manifest=None if columns is None else _parse_columns(columns),
            txid=int(cast("int", fields.get(_TXID, 0))),
            identities=cast("Mapping[TreeName, str]", _texts(fields.get(_IDENTITIES))),
            notes=_texts(fields.get(_NOTES)),
        )
    except (TypeError, ValueError, KeyError, AttributeError, AssertionError) as error:
        raise ProtocolError(f"not a ledger record: {error}") from error


def pack_changes(changes: Iterable[Change]) -> list[object]:
    """Return `changes` as lists that `pack` takes; `parse_changes` is the way back."""
    return [[*change.path, _entry(change.before), _entry(change.after)] for change in changes]


def parse_changes(packed: object) -> tuple[Change, ...]:
    """Return the changes in what was unpacked.

    Raises TypeError, ValueError, KeyError or AssertionError if it holds anything else.
    """
    rows = cast("list[tuple[str, str, _Row | None, _Row | None]]", packed)
    return tuple(
        Change(ArtifactPath(TreeName(tree), path), _parse_entry(before), _parse_entry(after))
        for tree, path, before, after in rows
    )


def _entry(entry: Entry | None) -> list[object] | None:
    return None if entry is None else [to_raw(entry.digest), entry.size]


def _parse_entry(row: _Row | None) -> Entry | None:
    if row is None:
        return None
    raw, size = row
    return Entry(from_raw(raw), size)


def _revision(revision: RevisionId) -> list[object]:
    return [revision.epoch, revision.number, to_raw(revision.digest)]


def _parse_revision(row: tuple[int, int, bytes]) -> RevisionId:
    epoch, number, raw = row
    return RevisionId(int(epoch), int(number), from_raw(raw))


def _columns(manifest: Manifest) -> dict[str, object]:
    columns: dict[str, object] = {}
    for tree in manifest.trees:
        entries = manifest.tree(tree)
        columns[tree] = [
            list(entries),
            to_raws(entry.digest for entry in entries.values()),
            [entry.size for entry in entries.values()],
        ]
    return columns


def _parse_columns(columns: object) -> Manifest:
    trees = cast("dict[str, tuple[list[str], bytes, list[int]]]", columns)
    rows: dict[TreeName, dict[str, Entry]] = {}
    for tree, (paths, raw, sizes) in trees.items():
        digests = [
            from_raw(raw[start : start + RAW_BYTES]) for start in range(0, len(raw), RAW_BYTES)
        ]
        rows[TreeName(tree)] = {
            path: Entry(digest, size)
            for path, digest, size in zip(paths, digests, sizes, strict=True)
        }
    return Manifest(rows)


def _texts(value: object) -> dict[str, str]:
    if value is None:
        return {}
    texts = cast("dict[str, str]", value)
    if not all(isinstance(text, str) for pair in texts.items() for text in pair):
        raise ValueError("names and texts are strings")
    return dict(texts)
