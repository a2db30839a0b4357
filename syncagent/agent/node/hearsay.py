"""What other nodes say in JSON, brought into the shape in which it is read here.

A peer has proved its name, not its good sense: a defect or a version to come may put anything
anywhere. Containers stand only where somebody looks for them, everything else is a number, a text
that can be shown, or None. So who reads a row may compare, hash and print what is in it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.desk import JSON

TEXT_CHARS_MAX = 4_096
LIST_MAX = 20_000
DEPTH_MAX = 6
"""Report, row, list of rows, row, list of texts; and one to spare."""
NUMBER_MAX = 2**53
"""What every reader of JSON can take (RFC 8259, 6)."""

_OBJECTS = "row runtime progress group fields"
_LISTS = "held refused differing alarms twins outcomes undeployed nodes paths"
_ANSWERS = (
    "result error changes entries missing members references problems events rejected warnings"
)
_OTHERS = "text before after"
"""Lines of a difference; a digest with its size."""
CONTAINERS = frozenset(f"{_OBJECTS} {_LISTS} {_ANSWERS} {_OTHERS}".split())
"""Names under which an object or a list may stand; whoever reads them looks what it is."""


def hearsay(body: str) -> Mapping[str, JSON]:
    """Return the JSON object in a peer's `body`, tamed; empty if it is anything else."""
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return _object(value, DEPTH_MAX) if isinstance(value, dict) else {}


def _object(value: Mapping[object, object], depth: int) -> dict[str, JSON]:
    return {_text(str(name)): _field(str(name), each, depth) for name, each in value.items()}


def _field(name: str, value: object, depth: int) -> JSON:
    if isinstance(value, dict | list) and name not in CONTAINERS:
        return None
    return _value(value, depth - 1)


def _value(value: object, depth: int) -> JSON:
    match value:
        case str():
            return _text(value)
        case dict() if depth > 0:
            return _object(value, depth)
        case list() if depth > 0:
            return [_value(each, depth - 1) for each in value[:LIST_MAX]]
        case None | bool():
            return value
        case int() | float() if abs(value) <= NUMBER_MAX:
            return value
        case _:
            return None


def _text(text: str) -> str:
    """Return a text without what a terminal would obey; its lines stay lines."""
    if text.isprintable() and len(text) <= TEXT_CHARS_MAX:
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in text[:TEXT_CHARS_MAX]
    )
