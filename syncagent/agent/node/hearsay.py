"""What other nodes say in JSON, brought into the shape in which it is read here.

A peer has proved its name, not its good sense: a defect or a version to come may put anything
anywhere. Containers stand only where somebody looks for them, everything else is a number, a text
that can be shown, or None. So who reads a row may compare, hash and print what is in it.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.desk import JSON

TEXT_CHARS_MAX = 4_096
LIST_MAX = 20_000
DEPTH_MAX = 6
"""Report, row, list of rows, row, list of texts; and one to spare."""
KNOWN_CHARS_MAX = 64
KNOWN_MAX = 4_096
NUMBER_MAX = 2**53
"""What every reader of JSON can take (RFC 8259, 6)."""

_OBJECTS = "row runtime progress group fields leader pause paused"
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


def _object(value: dict[str, object], depth: int) -> dict[str, JSON]:
    return {
        _text(name): each
        if each is None
        else _text(each)
        if isinstance(each, str)
        else _other(each, depth - 1, named=name in CONTAINERS)
        for name, each in value.items()
    }


def _other(value: object, depth: int, *, named: bool = True) -> JSON:
    """Return what is no text and not None; a container only where it is `named` as one."""
    if isinstance(value, dict | list):
        if not named or depth <= 0:
            return None
        if isinstance(value, dict):
            return _object(value, depth)
        return [_text(e) if isinstance(e, str) else _other(e, depth - 1) for e in value[:LIST_MAX]]
    fits = isinstance(value, bool) or (isinstance(value, int | float) and abs(value) <= NUMBER_MAX)
    return value if fits else None  # type: ignore[return-value]  # a number


def _text(text: str) -> str:
    """Return a text without what a terminal would obey; its lines stay lines."""
    return _known(text) if len(text) <= KNOWN_CHARS_MAX else _tamed(text[:TEXT_CHARS_MAX])


def _tamed(text: str) -> str:
    if text.isprintable() or text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else ascii(letter)[1:-1]
        for letter in text
    )


_known = lru_cache(maxsize=KNOWN_MAX)(_tamed)
"""Names and short words come with every report."""
