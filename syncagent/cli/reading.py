"""Reading the agent's answers without trusting their shape: another version may have sent them.

What is absent or of another type reads as empty, so that an old agent's answer still prints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from syncagent.cli.words import harmless
from syncagent.core.desk import JSON

Row: TypeAlias = Mapping[str, JSON]
"""One JSON object of an answer."""


def as_row(value: JSON) -> Row:
    """Return `value` if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def items(value: JSON) -> Sequence[JSON]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def rows(value: JSON) -> list[Row]:
    """Return the objects in a list."""
    return [item for item in items(value) if isinstance(item, Mapping)]


def text(row: Row, key: str) -> str:
    """Return a field as people read it (`harmless`); empty for null and absent."""
    value = row.get(key)
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return harmless(value) if isinstance(value, str | int | float) else ""


def number(row: Row, key: str) -> float | None:
    """Return a field that is a number, else None."""
    value = row.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def count(row: Row, key: str) -> int:
    """Return a field that counts something; 0 where nobody knows."""
    return int(number(row, key) or 0)
