"""Tables that fit the terminal. Names are never cut: a name that one can't copy is no use.

Where the table is too wide, the last column (a reason, a note) is wrapped below itself; where that
would leave it too narrow to read, columns that can be spared go first, and where none is left it
stands below its row. What still is too wide runs over.
"""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.cli.words import paint

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from syncagent.cli.reading import Row

_GAP = "  "
_BELOW = "    "
_WRAP_MIN = 20
_READABLE = 24
"""Columns that the last column gets before others are spared for it."""
_ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its heading, what it shows of a row, and whether it may be spared.

    Columns with a higher `spare` go first when the terminal is narrow; 0 stays.
    """

    heading: str
    cell: Callable[[Row], str]
    spare: int = 0


@dataclass(frozen=True, slots=True)
class Style:
    """How to print: the terminal's width (None: no limit) and whether to colour."""

    width: int | None = None
    colour: bool = False


def terminal_width(stream: TextIO) -> int | None:
    """Return how many columns `stream` shows; None where it is not a terminal.

    The environment's COLUMNS counts for both.
    """
    columns = os.environ.get("COLUMNS", "")
    if columns.isdigit() and int(columns) > 0:
        return int(columns)
    try:
        return os.get_terminal_size(stream.fileno()).columns or None if stream.isatty() else None
    except (OSError, ValueError):
        return None


def render(columns: Sequence[Column], rows: Sequence[Row], style: Style) -> str:
    """Return the table as lines, with the heading; each line ends in a newline."""
    kept = list(columns)
    while True:
        cells = [[column.cell(row) for column in kept] for row in rows]
        widths = [
            max([_width(column.heading), *(_width(line[at]) for line in cells)])
            for at, column in enumerate(kept)
        ]
        spare = max((column.spare for column in kept), default=0)
        least = _total(widths) - (0 if kept[-1].spare else max(widths[-1] - _READABLE, 0))
        if spare == 0 or style.width is None or least <= style.width:
            break
        kept = [column for column in kept if column.spare != spare]
    lines = [_line([column.heading for column in kept], widths, Style(style.width))]
    lines += [_line(line, widths, style) for line in cells]
    return "".join(lines)


def _total(widths: Sequence[int]) -> int:
    return sum(widths) + len(_GAP) * (len(widths) - 1)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum(_character_width(character) for character in text)


def _character_width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in {"W", "F"} else 1


def _line(cells: Sequence[str], widths: Sequence[int], style: Style) -> str:
    """Return one row of the table: padded, coloured, its last cell wrapped."""
    left = "".join(
        paint(cell, colour=style.colour) + " " * (width - _width(cell)) + _GAP
        for cell, width in zip(cells[:-1], widths, strict=False)
    )
    indent = _width(_ANSI.sub("", left))
    room = None if style.width is None else style.width - indent
    wordy = " " in cells[-1]
    if room is not None and wordy and room < _WRAP_MIN and _width(cells[-1]) > room:
        below = _wrapped(cells[-1], room + indent - len(_BELOW))
        painted = [paint(more, colour=style.colour) for more in below]
        return "\n".join([left.rstrip(), *(_BELOW + more for more in painted)]) + "\n"
    last = _wrapped(cells[-1], room)
    text = left + paint(last[0], colour=style.colour)
    return "\n".join([text.rstrip(), *(" " * indent + more for more in last[1:])]) + "\n"


def _wrapped(text: str, width: int | None) -> list[str]:
    """Return `text` in lines of at most `width` where spaces allow; whole if that is too narrow."""
    if width is None or _width(text) <= width or width < _WRAP_MIN:
        return [text]
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if line and _width(longer) > width:
            lines.append(line)
            longer = word
        line = longer
    return [*lines, line]
