"""From raw cells to checked values: one `Answer` per key of the table, with where it came from.

A key with a mistake answers its default and is marked broken, so that later rules go on and
don't complain a second time about the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.settings.sheet import Cell, Mistakes, Row, Sheet, guess
from syncagent.settings.table import SECTIONS

if TYPE_CHECKING:
    from syncagent.settings.section import Key, Section
    from syncagent.settings.shapes import Value

DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Answer:
    """The value of one key; None where it was left out and has no default."""

    value: Value | None
    cell: Cell
    broken: bool = False

    @property
    def given(self) -> bool:
        """Whether somebody wrote it."""
        return self.cell.where != DEFAULT


@dataclass(frozen=True, slots=True)
class Group:
    """The answers of one table."""

    section: str
    head: Cell
    answers: dict[str, Answer]

    def text(self, key: str) -> str:
        """Return a text, empty if left out."""
        value = self.answers[key].value
        assert value is None or isinstance(value, str), f"{self.section}.{key} is text"
        return value or ""

    def texts(self, key: str) -> tuple[str, ...]:
        """Return a list of texts."""
        value = self.answers[key].value
        assert isinstance(value, tuple), f"{self.section}.{key} is a list"
        return value

    def number(self, key: str) -> float:
        """Return a length of time in seconds, or a share."""
        value = self.answers[key].value
        assert isinstance(value, float | int), f"{self.section}.{key} is a number"
        return float(value)

    def count(self, key: str) -> int:
        """Return a whole number."""
        value = self.answers[key].value
        assert isinstance(value, int), f"{self.section}.{key} is a whole number"
        return value

    def flag(self, key: str) -> bool:
        """Return true or false."""
        return self.answers[key].value is True

    def cell(self, key: str) -> Cell:
        """Return where to point for this key: its own place, else the table's."""
        answer = self.answers[key]
        return answer.cell if answer.given else self.head

    def sound(self, *keys: str) -> bool:
        """Tell whether none of the keys has a mistake already."""
        return not any(self.answers[key].broken for key in keys)


Groups = dict[str, list[Group]]
"""The answers by section; one group for a section that is no array."""


def answer_all(sheet: Sheet, mistakes: Mistakes) -> Groups:
    """Check every cell against the table."""
    groups: Groups = {}
    for section in SECTIONS:
        rows = sheet.rows.get(section.name, [])
        if not section.many and not rows:
            rows = [{}]
        groups[section.name] = [
            _group(section, row, sheet.head(section.name, index, mistakes.source), mistakes)
            for index, row in enumerate(rows)
        ]
    return groups


def _group(section: Section, row: Row, head: Cell, mistakes: Mistakes) -> Group:
    names = [key.name for key in section.keys]
    for name, cell in row.items():
        if section.key(name) is None:
            what = f"{_title(section)} has no key {name}{guess(name, names)}"
            mistakes.add(cell, what)
    answers = {key.name: _answer(section, key, row, head, mistakes) for key in section.keys}
    return Group(section.name, head, answers)


def _title(section: Section) -> str:
    return f"[[{section.name}]]" if section.many else f"[{section.name}]"


def _answer(section: Section, key: Key, row: Row, head: Cell, mistakes: Mistakes) -> Answer:
    cell = row.get(key.name)
    if cell is None:
        if key.required:
            mistakes.add(head, f"{_title(section)} needs {key.name} and has none: {key.about}")
        return Answer(key.default, Cell(None, DEFAULT), broken=key.required)
    try:
        return Answer(key.shape.parse(cell.raw), cell)
    except ValueError as error:
        mistakes.add(cell, f"{section.name}.{key.name} = {key.shape.told(cell.raw)}: {error}")
        return Answer(key.default, cell, broken=True)
