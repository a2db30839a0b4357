"""On which line each key of a TOML text stands.

tomllib says what a text means but not where; a mistake without a line is half a message. This
scanner runs after tomllib has accepted the text, so it need not judge: it walks over keys and
values and notes lines. What it must get right is where strings, arrays and tables end; the
property test compares its keys with tomllib's for every document that hypothesis invents.

A position is named by its way through the parsed document: `("peer", 1, "name")`.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Step = str | int
Way = tuple[Step, ...]
"""Keys and list indexes that lead to a value in the parsed document."""


def lines_of(text: str) -> Mapping[Way, int]:
    """Return the line (from 1) of every key, table and list item of a valid TOML text."""
    return _Scanner(text.replace("\r\n", "\n")).scan()


class _Scanner:
    """One walk over one text; `_at` is the index of the next character."""

    def __init__(self, text: str) -> None:
        self._text = text + "\n"
        self._at = 0
        self._line_at = 0
        self._line = 1
        self._lines: dict[Way, int] = {}
        self._tables: dict[Way, int] = {}

    def scan(self) -> Mapping[Way, int]:
        """Walk over all statements."""
        table: Way = ()
        while self._skip_blank():
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _note(self, way: Way) -> None:
        """Remember the first line on which `way` is named, counting from the last one noted."""
        self._line += self._text.count("\n", self._line_at, self._at)
        self._line_at = self._at
        self._lines.setdefault(way, self._line)

    def _peek(self) -> str:
        return self._text[self._at]

    def _skip_blank(self) -> bool:
        """Go to the next character that means something; False at the end of the text."""
        while self._at < len(self._text):
            if self._peek() == "#":
                self._at = self._text.index("\n", self._at)
            elif self._peek() not in " \t\n":
                return True
            else:
                self._at += 1
        return False

    def _header(self) -> Way:
        """Read `[a.b]` or `[[a.b]]`; return the way that the keys below it extend."""
        many = self._text.startswith("[[", self._at)
        start = self._at
        self._at += 2 if many else 1
        parts = self._key()
        self._at += 2 if many else 1
        way = self._into(parts[:-1], ())
        last = (*way, parts[-1])
        if many:
            self._tables[last] = self._tables.get(last, -1) + 1
            last = (*last, self._tables[last])
        end, self._at = self._at, start
        for size in range(1, len(last) + 1):
            self._note(last[:size])
        self._at = end
        return last

    def _into(self, parts: tuple[str, ...], base: Way) -> Way:
        """Follow `parts` from `base`; a list of tables means its newest one."""
        way = base
        for part in parts:
            way = (*way, part)
            if way in self._tables:
                way = (*way, self._tables[way])
        return way

    def _pair(self, table: Way) -> None:
        """Read `key = value`."""
        self._skip_blank()
        start = self._at
        parts = self._key()
        end, self._at = self._at, start
        for size in range(1, len(parts) + 1):
            self._note((*table, *parts[:size]))
        self._at = end + 1  # the "="
        self._value((*table, *parts))

    def _key(self) -> tuple[str, ...]:
        """Read a dotted key up to `=` or `]`."""
        parts: list[str] = []
        while True:
            self._skip_blank()
            parts.append(self._key_part())
            self._skip_blank()
            if self._peek() != ".":
                return tuple(parts)
            self._at += 1

    def _key_part(self) -> str:
        start = self._at
        if self._peek() in "\"'":
            self._string()
            quoted = self._text[start : self._at]
            return str(tomllib.loads(f"x = {quoted}")["x"])
        while self._peek() not in " \t.=]":
            self._at += 1
        return self._text[start : self._at]

    def _value(self, way: Way) -> None:
        self._skip_blank()
        mark = self._peek()
        if mark in "\"'":
            self._string()
        elif mark == "[":
            self._array(way)
        elif mark == "{":
            self._inline(way)
        else:
            while self._peek() not in ",]}#\n":
                self._at += 1

    def _string(self) -> None:
        """Go past a string of any of the four kinds."""
        mark = self._peek()
        fence = mark * 3 if self._text.startswith(mark * 3, self._at) else mark
        self._at += len(fence)
        while not self._text.startswith(fence, self._at):
            self._at += 2 if mark == '"' and self._peek() == "\\" else 1
        self._at += len(fence)
        while len(fence) == len('"""') and self._peek() == mark:
            self._at += 1  # up to two quotes may stand before the closing three

    def _array(self, way: Way) -> None:
        self._at += 1
        index = 0
        while self._skip_blank() and self._peek() != "]":
            self._note((*way, index))
            self._value((*way, index))
            index += 1
            self._skip_blank()
            if self._peek() == ",":
                self._at += 1
        self._at += 1

    def _inline(self, way: Way) -> None:
        self._at += 1
        while self._skip_blank() and self._peek() != "}":
            self._pair(way)
            self._skip_blank()
            if self._peek() == ",":
                self._at += 1
        self._at += 1
