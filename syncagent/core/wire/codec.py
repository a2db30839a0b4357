"""Messages to bytes and back: one table says what each message holds, and how large it may be.

A message's bytes are one byte for its type, then msgpack of its fields in order. The type's
highest bit says that the fields are zstd-compressed, which they are when that makes them
smaller; blobs and deltas carry compressed bytes already. Every field from the other end is
checked, what it may be as well as how it is written, and so is what fields must be to each other:
a message that `decode` returns holds the same promises as one made here. Anything else is a
ProtocolError that says what is wrong, and the connection must be closed.

Versions: `Hello` and `Bye` are the same in all versions, and a `Hello` may grow fields at its
end, so that any two agents can tell each other why they do not fit. Version 3 added `Hint`.
"""

from __future__ import annotations

from dataclasses import fields as fields_of
from typing import TYPE_CHECKING, NamedTuple, cast

from syncagent.core.errors import ProtocolError
from syncagent.core.wire import columns as c
from syncagent.core.wire import fields as f
from syncagent.core.wire import messages as m
from syncagent.core.wire import packing

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.artifact import TreeName

_SMALL = 16 * 1024
_MEDIUM = 4 * 1024 * 1024
_LARGE = f.BODY_BYTES_MAX + _SMALL
_BLOBS = packing.RAW_BYTES_MAX + _MEDIUM

MESSAGE_BYTES_MAX = _BLOBS
"""Bytes that the largest message may have."""

DECLINED_CODES = frozenset({"disk", "failed", "held", "manifest", "observing", "refused", "tree"})
"""What `Declined.code` can be."""

_COMPRESSED = 0x80
_SQUEEZE_BYTES = 512
"""Fields below this size gain nothing that a packet would not carry anyway."""
_OLDEST = min(m.VERSIONS)
_ALWAYS = 0
_HINT_VERSION = 3


class _Shape(NamedTuple):
    """What one type of message holds: its fields in the order of the class, most bytes, since when."""

    kind: type
    fields: tuple[f.Field, ...]
    limit: int = _SMALL
    since: int = _OLDEST


_STANDING = (f.REVISION, f.DIGEST, f.several(f.TREE), f.DIGEST)
_WORKED = (f.REVISION,)

_SHAPES: dict[int, _Shape] = {
    1: _Shape(
        m.Hello,
        (f.several(f.whole(65535), 64), f.NAME, f.NAME, f.word(), f.REASON),
        since=_ALWAYS,
    ),
    2: _Shape(m.Bye, (f.REASON,), since=_ALWAYS),
    3: _Shape(m.Ping, (f.whole(),)),
    4: _Shape(m.Pong, (f.whole(),)),
    10: _Shape(m.Survey, ()),
    11: _Shape(m.Surveyed, (f.optional(f.TOKEN), *_STANDING), _MEDIUM),
    12: _Shape(m.Admit, (f.TOKEN,)),
    13: _Shape(m.Admitted, (f.TOKEN, *_STANDING), _MEDIUM),
    14: _Shape(m.Fenced, (f.optional(f.TOKEN), f.REASON)),
    20: _Shape(
        m.Offer,
        (
            f.TOKEN,
            f.REVISION,
            f.REVISION,
            f.NAME,
            f.REASON,
            c.DIGESTS,
            f.optional(c.CHANGES),
            c.PATHS,
        ),
        _LARGE,
    ),
    21: _Shape(m.Want, (f.REVISION, f.FLAG, c.DIGESTS, c.BASES), _LARGE),
    22: _Shape(m.ManifestPart, (f.REVISION, c.ROWS, f.FLAG), _LARGE),
    23: _Shape(m.Blobs, (c.ENTRIES, f.RAW), _BLOBS),
    24: _Shape(m.Delta, (c.ENTRY, f.DIGEST, f.RAW), _BLOBS),
    25: _Shape(m.Missing, (f.REVISION, c.DIGESTS), _LARGE),
    30: _Shape(m.Prepared, _WORKED),
    31: _Shape(
        m.Declined,
        (f.REVISION, f.choice(DECLINED_CODES), f.REASON, f.word(least=0), c.REFUSED),
        _LARGE,
    ),
    32: _Shape(m.Commit, (f.TOKEN, f.REVISION)),
    33: _Shape(m.Done, (f.REVISION, f.DIGEST, f.DIGEST)),
    34: _Shape(m.Failed, (f.REVISION, f.REASON)),
    40: _Shape(m.Report, (f.BODY,), _LARGE),
    41: _Shape(m.View, (f.BODY,), _LARGE),
    42: _Shape(m.Propose, (f.whole(), f.REVISION, c.CHANGES), _LARGE),
    43: _Shape(m.Proposed, (f.whole(), c.PATHS, c.PATHS, f.REASON), _LARGE),
    44: _Shape(m.Ask, (f.whole(), f.word(), f.BODY), _LARGE),
    45: _Shape(m.Answered, (f.whole(), f.BODY), _LARGE),
    46: _Shape(m.Hint, (c.PATHS, f.several(f.TREE), f.FLAG), _MEDIUM, since=_HINT_VERSION),
}
"""Number of each type on the wire; a number is never used again for another."""

_NUMBERS: dict[type, int] = {shape.kind: number for number, shape in _SHAPES.items()}
_NAMES = {
    number: tuple(field.name for field in fields_of(shape.kind))
    for number, shape in _SHAPES.items()
}
assert all(len(_NAMES[n]) == len(shape.fields) for n, shape in _SHAPES.items()), (
    "a field is missing"
)


def limit_of(first: int) -> int:
    """Return the most bytes that a message whose first byte is `first` may have.

    An unknown type gets the limit of small ones: it is refused when it is decoded.
    """
    shape = _SHAPES.get(first & ~_COMPRESSED)
    return _SMALL if shape is None else shape.limit


def encode(message: m.Message, version: int) -> bytes:
    """Return the bytes of `message` in protocol `version`.

    Text for people is clipped to what may travel. Raises ProtocolError if the message can't be
    said in that version, breaks a rule that the receiver would check, or is too large.
    """
    number = _NUMBERS[type(message)]
    shape = _SHAPES[number]
    if version < shape.since:
        raise ProtocolError(f"{_title(shape)} can't be said in protocol version {version}")
    values = [getattr(message, name) for name in _NAMES[number]]
    _check_together(message)
    body = packing.pack([one.out(value) for one, value in zip(shape.fields, values, strict=True)])
    if len(body) >= shape.limit:
        raise ProtocolError(
            f"{_title(shape)} has {len(body)} bytes, below {shape.limit} may travel"
        )
    if len(body) >= _SQUEEZE_BYTES and shape.kind not in {m.Blobs, m.Delta}:
        squeezed = packing.squeeze(body)
        if len(squeezed) < len(body):
            return bytes((number | _COMPRESSED,)) + squeezed
    return bytes((number,)) + body


def decode(data: bytes, version: int) -> m.Message:
    """Return the message that `data` holds in protocol `version`.

    Raises ProtocolError unless it is exactly right.
    """
    if not data:
        raise ProtocolError("an empty message")
    number = data[0] & ~_COMPRESSED
    shape = _SHAPES.get(number)
    if shape is None or version < shape.since:
        raise ProtocolError(f"message type {number} is not known in protocol version {version}")
    if len(data) > shape.limit:
        raise ProtocolError(f"{_title(shape)} of {len(data)} bytes, at most {shape.limit}")
    try:
        return _decoded(shape, data)
    except ProtocolError as error:
        raise ProtocolError(f"{_title(shape)}: {error}", hint=error.hint) from error


def _decoded(shape: _Shape, data: bytes) -> m.Message:
    body = data[1:]
    if data[0] & _COMPRESSED:
        body = packing.unsqueeze(body, limit=shape.limit)
    values = f.items_of(packing.unpack(body, limit=shape.limit, length_max=f.LIST_MAX))
    wanted = shape.fields
    if shape.kind is m.Hello:
        values = values[: len(wanted)]
    names = _NAMES[_NUMBERS[shape.kind]]
    if len(values) != len(wanted):
        raise ProtocolError(f"{len(wanted)} fields were expected, not {len(values)}")
    made: list[object] = []
    for name, field, value in zip(names, wanted, values, strict=False):
        try:
            made.append(field.into(value))
        except ProtocolError as error:
            raise ProtocolError(f"{name}: {error}") from error
    message = cast("Callable[..., m.Message]", shape.kind)(*made)
    _check_together(message)
    return message


def _title(shape: _Shape) -> str:
    return str(shape.kind.__name__)


def _check_together(message: m.Message) -> None:
    """Refuse what no single field can tell: what the fields of a message must be to each other."""
    match message:
        case m.Hello():
            _check_versions(message.versions)
        case m.Offer():
            _check_follows(message)
        case m.Want():
            _check_bases(message)
        case m.Blobs():
            _check_size(sum(entry.size for entry in message.entries))
        case m.Delta():
            _check_size(message.entry.size)
        case m.Surveyed() | m.Admitted() | m.Hint():
            _check_unique(message.trees)
        case _:
            pass


def _check_versions(versions: tuple[int, ...]) -> None:
    if not versions or list(versions) != sorted(set(versions), reverse=True):
        raise ProtocolError(f"versions {versions} are not a falling list")


def _check_follows(offer: m.Offer) -> None:
    revision, parent = offer.revision, offer.parent
    # Without changes it says only from where the offerer's line goes on (see `core.wire.messages`).
    last = revision.number - 1 if offer.changes is None else parent.number
    follows = parent.number <= last == revision.number - 1 and parent.epoch <= revision.epoch
    if not follows:
        raise ProtocolError(f"revision {revision} does not follow its parent {parent}")


def _check_bases(want: m.Want) -> None:
    if want.bases and len(want.bases) != len(want.blobs):
        raise ProtocolError(f"{len(want.bases)} bases for {len(want.blobs)} blobs")


def _check_size(size: int) -> None:
    if size > packing.RAW_BYTES_MAX:
        raise ProtocolError(f"{size} bytes of blobs, at most {packing.RAW_BYTES_MAX} are allowed")


def _check_unique(trees: tuple[TreeName, ...]) -> None:
    if len(set(trees)) != len(trees):
        raise ProtocolError("a tree comes twice")
