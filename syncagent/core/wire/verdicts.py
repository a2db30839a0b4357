"""Batches to be judged and verdicts on them, as an agent and its validating process speak them.

Both ends are of one version and one machine, but the process that reads hostile documents is not
believed more than a peer: whatever does not fit raises ProtocolError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from syncagent.core.artifact import Kind
from syncagent.core.errors import ProtocolError
from syncagent.core.verdict import Examined, Facts, Problem, Reference, Severity
from syncagent.core.wire.columns import ENTRIES
from syncagent.core.wire.fields import bytes_of, items_of, whole_of
from syncagent.core.wire.packing import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncagent.core.manifest import Entry

_T = TypeVar("_T")

REQUEST_BYTES_MAX = 128 * 1024 * 1024
ANSWER_BYTES_MAX = 64 * 1024 * 1024


class Exhibit(NamedTuple):
    """One artifact to be judged: which of the batch's entries holds its bytes, what it is, where."""

    entry: int
    kind: Kind
    path: str


class Docket(NamedTuple):
    """A zstd batch, and what is to be judged of it."""

    entries: tuple[Entry, ...]
    frame: bytes
    exhibits: tuple[Exhibit, ...]


def pack_docket(docket: Docket) -> bytes:
    """Return `docket` as bytes."""
    exhibits = [[one.entry, one.kind.value, one.path] for one in docket.exhibits]
    return pack([ENTRIES.out(docket.entries), docket.frame, exhibits])


def unpack_docket(content: bytes) -> Docket:
    """Return what `pack_docket` packed; raises ProtocolError."""
    entries, frame, exhibits = items_of(unpack(content, limit=REQUEST_BYTES_MAX), 3)
    known = ENTRIES.into(entries)
    assert isinstance(known, tuple), "the field of entries is a tuple"
    return Docket(known, bytes_of(frame), tuple(_exhibit(row) for row in items_of(exhibits)))


def _exhibit(row: object) -> Exhibit:
    entry, kind, path = items_of(row, 3)
    return Exhibit(whole_of(entry), _kind(kind), _text(path))


def pack_verdicts(verdicts: Sequence[Examined]) -> bytes:
    """Return verdicts as bytes."""
    return pack([_verdict_out(one.facts, one.problems) for one in verdicts])


def unpack_verdicts(content: bytes, count: int) -> tuple[Examined, ...]:
    """Return the `count` verdicts that `pack_verdicts` packed; raises ProtocolError."""
    rows = items_of(unpack(content, limit=ANSWER_BYTES_MAX), count)
    return tuple(_verdict(items_of(row, 6)) for row in rows)


def _verdict_out(facts: Facts, problems: Sequence[Problem]) -> list[object]:
    return [
        facts.name,
        facts.context,
        facts.version,
        [_reference_out(one) for one in facts.references],
        [_reference_out(one) for one in facts.defines],
        [[one.code, one.reason, one.line, one.severity.value] for one in problems],
    ]


def _reference_out(reference: Reference) -> list[object]:
    return [reference.kind.value if reference.kind is not None else None, reference.key]


def _verdict(row: list[object]) -> Examined:
    name, context, version, references, defines, problems = row
    facts = Facts(
        _text(name),
        None if context is None else _text(context),
        None if version is None else _text(version),
        _several(references, _reference),
        _several(defines, _reference),
    )
    return Examined(facts, _several(problems, _problem))


def _several(rows: object, read: Callable[[object], _T]) -> tuple[_T, ...]:
    # Mostly there are none, ten thousand times.
    return () if rows == [] else tuple(read(row) for row in items_of(rows))


def _reference(row: object) -> Reference:
    kind, key = items_of(row, 2)
    return Reference(None if kind is None else _kind(kind), _text(key))


def _problem(row: object) -> Problem:
    code, reason, line, severity = items_of(row, 4)
    try:
        grade = Severity(_text(severity))
    except ValueError as error:
        raise ProtocolError(str(error)) from error
    return Problem(_text(code), _text(reason), whole_of(line), grade)


def _kind(value: object) -> Kind:
    try:
        return Kind(_text(value))
    except ValueError as error:
        raise ProtocolError(str(error)) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ProtocolError(f"text was expected, not {type(value).__name__}")
    return value
