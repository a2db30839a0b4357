"""Intents and kept bytes as rows: for the journal, the quarantine's lists and the mounts' processes.

Whoever reads them checked a digest first, or reads what its own program wrote: what does not fit
was written by another version, and raises ProtocolError.
"""

from __future__ import annotations

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.digest import Digest, from_raw, to_raw
from syncagent.core.errors import ProtocolError
from syncagent.core.intent import Intent, Keep, Kept, Step, Written
from syncagent.core.manifest import Entry
from syncagent.core.revision import RevisionId
from syncagent.core.wire.fields import bytes_of, items_of, whole_of
from syncagent.core.wire.packing import pack, unpack

INTENT_BYTES_MAX = 256 * 1024 * 1024
"""100,000 steps with the longest paths that a tree may hold come to less."""


def pack_written(written: Written) -> bytes:
    """Return the whole of an intent's record."""
    intent = written.intent
    trees = sorted({step.path.tree for step in intent.steps})
    number = {tree: index for index, tree in enumerate(trees)}
    revision = intent.revision
    return pack(
        [
            intent.txid,
            [revision.epoch, revision.number, to_raw(revision.digest)],
            intent.memo,
            list(trees),
            sorted(written.inside),
            [list(fill) for fill in sorted(written.whole)],
            [_step_row(step, number[step.path.tree]) for step in intent.steps],
        ]
    )


def unpack_written(body: bytes) -> Written:
    """Return what `pack_written` packed; raises ProtocolError."""
    try:
        record = items_of(unpack(body, limit=INTENT_BYTES_MAX), 7)
        txid, revision, memo, names, inside, whole, steps = record
        epoch, number, raw = items_of(revision, 3)
        trees = [TreeName(str_of(name)) for name in items_of(names)]
        intent = Intent(
            txid=whole_of(txid),
            revision=RevisionId(whole_of(epoch), whole_of(number), from_raw(bytes_of(raw))),
            steps=tuple(_step(items_of(row, 6), trees) for row in items_of(steps)),
            memo=bytes_of(memo),
        )
        return Written(
            intent,
            frozenset(TreeName(str_of(name)) for name in items_of(inside)),
            frozenset(_fill(items_of(fill, 2)) for fill in items_of(whole)),
        )
    except (ValueError, IndexError) as error:
        raise ProtocolError(str(error)) from error


def step_row(step: Step) -> list[object]:
    """Return a step that names its tree itself."""
    return _step_row(step, step.path.tree)


def step_of(value: object) -> Step:
    """Return what `step_row` made; raises ProtocolError."""
    tree, *rest = items_of(value, 6)
    try:
        return _step([0, *rest], [TreeName(str_of(tree))])
    except (ValueError, IndexError) as error:
        raise ProtocolError(str(error)) from error


def kept_row(kept: Kept) -> list[object]:
    """Return what is kept as a row."""
    path = kept.path
    what = [kept.reason.value, to_raw(kept.digest), kept.size, kept.at, kept.detail]
    return [kept.id, path.tree, path.path, *what]


def kept_of(value: object) -> Kept:
    """Return what `kept_row` made; raises ProtocolError."""
    name, tree, path, reason, raw, size, at, detail = items_of(value, 8)
    try:
        return Kept(
            id=str_of(name),
            path=ArtifactPath(TreeName(str_of(tree)), str_of(path)),
            reason=Keep(str_of(reason)),
            digest=from_raw(bytes_of(raw)),
            size=whole_of(size),
            at=whole_of(at),
            detail=str_of(detail),
        )
    except ValueError as error:
        raise ProtocolError(str(error)) from error


def str_of(value: object) -> str:
    """Return `value` if it is text; raises ProtocolError."""
    if not isinstance(value, str):
        raise ProtocolError(f"text was expected, not {type(value).__name__}")
    return value


def _fill(row: list[object]) -> tuple[TreeName, str]:
    tree, top = row
    return TreeName(str_of(tree)), str_of(top)


def _step_row(step: Step, tree: int | str) -> list[object]:
    return [
        tree,
        step.path.path,
        to_raw(step.expected) if step.expected is not None else None,
        to_raw(step.after.digest) if step.after is not None else None,
        step.after.size if step.after is not None else 0,
        step.keep.value if step.keep is not None else None,
    ]


def _step(row: list[object], trees: list[TreeName]) -> Step:
    tree, path, expected, after, size, keep = row
    return Step(
        path=ArtifactPath(trees[whole_of(tree)], str_of(path)),
        expected=_digest(expected),
        after=Entry(from_raw(bytes_of(after)), whole_of(size)) if after is not None else None,
        keep=Keep(str_of(keep)) if keep is not None else None,
    )


def _digest(value: object) -> Digest | None:
    return from_raw(bytes_of(value)) if value is not None else None
