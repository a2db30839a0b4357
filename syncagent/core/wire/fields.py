"""The fields of messages: each knows how it goes out, and refuses what must not come in.

These are the small ones, which travel as msgpack values; `columns` has what comes by the thousand.

`into` gets what msgpack unpacked from the other end and raises ProtocolError for anything that
is not exactly right. `out` gets our own values; it raises ProtocolError where they can't travel.
Text for people is clipped instead, and what is not Unicode in it replaced: a long reason must
never be the reason that a connection breaks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from syncagent.core.artifact import NodeName, TreeName, path_fault
from syncagent.core.digest import RAW_BYTES, Digest, from_raw, to_raw
from syncagent.core.errors import ProtocolError
from syncagent.core.revision import REVISION_ZERO, RevisionId, Token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NUMBER_MAX = 2**63 - 1
LIST_MAX = 4096
"""Elements that a list on the wire may have; columns are not lists."""
NAME_BYTES_MAX = 253
WORD_BYTES_MAX = 128
REASON_BYTES_MAX = 4096
BODY_BYTES_MAX = 32 * 1024 * 1024


class Field(NamedTuple):
    """How one field goes out, and how it comes in."""

    out: Callable[..., object]
    into: Callable[[object], object]


def items_of(value: object, count: int | None = None) -> list[object]:
    """Return `value` if it is a list (of `count` elements)."""
    if not isinstance(value, list):
        raise ProtocolError(f"a list was expected, not {type(value).__name__}")
    if count is not None and len(value) != count:
        raise ProtocolError(f"{count} fields were expected, not {len(value)}")
    return value


def bytes_of(value: object) -> bytes:
    """Return `value` if it is bytes."""
    if not isinstance(value, bytes):
        raise ProtocolError(f"bytes were expected, not {type(value).__name__}")
    return value


def whole_of(value: object, most: int = NUMBER_MAX, least: int = 0) -> int:
    """Return `value` if it is a whole number in the range."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ProtocolError(f"a whole number was expected, not {type(value).__name__}")
    if not least <= value <= most:
        raise ProtocolError(f"{value} is not in {least} to {most}")
    return value


def text_of(value: object, most: int, least: int = 0) -> str:
    """Return `value` if it is Unicode text of `least` to `most` bytes as UTF-8."""
    if not isinstance(value, str):
        raise ProtocolError(f"text was expected, not {type(value).__name__}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise ProtocolError(f"{value[:40]!r} is not valid Unicode") from error
    if not least <= size <= most:
        raise ProtocolError(f"text of {size} bytes, {least} to {most} are allowed")
    return value


def word_of(value: object, most: int = WORD_BYTES_MAX, least: int = 1) -> str:
    """Return `value` if it is printable text."""
    word = text_of(value, most, least)
    if not word.isprintable():
        raise ProtocolError(f"{word!r} holds a control character")
    return word


def tree_of(value: object) -> TreeName:
    """Return `value` if it can be the name of a tree."""
    name = word_of(value, NAME_BYTES_MAX)
    fault = "it holds a slash" if "/" in name else path_fault(name)
    if fault is not None:
        raise ProtocolError(f"{name!r} is not the name of a tree: {fault}")
    return TreeName(name)


def _digest(value: object) -> Digest:
    raw = bytes_of(value)
    if len(raw) != RAW_BYTES:
        raise ProtocolError(f"a digest has {RAW_BYTES} bytes, not {len(raw)}")
    return from_raw(raw)


def _digest_out(digest: Digest) -> bytes:
    try:
        return to_raw(digest)
    except ValueError as error:
        raise ProtocolError(f"not a digest: {digest!r}") from error


def _revision(value: object) -> RevisionId:
    epoch, number, digest = items_of(value, 3)
    return _checked_revision(RevisionId(whole_of(epoch), whole_of(number), _digest(digest)))


def _checked_revision(revision: RevisionId) -> RevisionId:
    zero = revision.epoch == 0 or revision.number == 0
    if zero and revision != REVISION_ZERO:
        raise ProtocolError(f"there is no revision {revision}: {revision.digest}")
    return revision


def _revision_out(revision: RevisionId) -> object:
    epoch, number, digest = _checked_revision(revision)
    return [whole_of(epoch), whole_of(number), _digest_out(digest)]


def _token(value: object) -> Token:
    cluster, epoch, holder, incarnation = items_of(value, 4)
    return Token(
        word_of(cluster, NAME_BYTES_MAX),
        whole_of(epoch, least=1),
        NodeName(word_of(holder, NAME_BYTES_MAX)),
        word_of(incarnation),
    )


def _token_out(token: Token) -> object:
    return [
        word_of(token.cluster, NAME_BYTES_MAX),
        whole_of(token.epoch, least=1),
        word_of(token.holder, NAME_BYTES_MAX),
        word_of(token.incarnation),
    ]


def whole(most: int = NUMBER_MAX, least: int = 0) -> Field:
    """Return the field of a whole number."""
    return Field(lambda v: whole_of(v, most, least), lambda v: whole_of(v, most, least))


def word(most: int = WORD_BYTES_MAX, least: int = 1) -> Field:
    """Return the field of a name: printable text."""
    return Field(lambda v: word_of(v, most, least), lambda v: word_of(v, most, least))


def choice(allowed: frozenset[str]) -> Field:
    """Return the field of one word out of `allowed`."""

    def check(value: object) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ProtocolError(f"{str(value)[:40]!r} is not one of {', '.join(sorted(allowed))}")
        return value

    return Field(check, check)


def optional(field: Field) -> Field:
    """Return the field of what `field` carries, or None."""
    return Field(
        lambda v: None if v is None else field.out(v),
        lambda v: None if v is None else field.into(v),
    )


def several(field: Field, most: int = LIST_MAX) -> Field:
    """Return the field of a short tuple of what `field` carries."""

    def out(values: Sequence[object]) -> object:
        if len(values) > most:
            raise ProtocolError(f"{len(values)} elements, at most {most} are allowed")
        return [field.out(value) for value in values]

    def into(value: object) -> object:
        items = items_of(value)
        if len(items) > most:
            raise ProtocolError(f"{len(items)} elements, at most {most} are allowed")
        return tuple(field.into(item) for item in items)

    return Field(out, into)


def clipped(text: str) -> str:
    """Return `text` as it may travel: whatever is too long or not Unicode is cut or replaced."""
    clean = text.encode("utf-8", "replace")
    return clean[:REASON_BYTES_MAX].decode("utf-8", "ignore")


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(f"true or false was expected, not {type(value).__name__}")
    return value


NAME = word(NAME_BYTES_MAX)
REASON = Field(clipped, lambda v: text_of(v, REASON_BYTES_MAX))
BODY = Field(lambda v: text_of(v, BODY_BYTES_MAX), lambda v: text_of(v, BODY_BYTES_MAX))
FLAG = Field(_flag, _flag)
TREE = Field(tree_of, tree_of)
RAW = Field(bytes_of, bytes_of)
DIGEST = Field(_digest_out, _digest)
REVISION = Field(_revision_out, _revision)
TOKEN = Field(_token_out, _token)
