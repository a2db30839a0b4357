"""Plans of statements that were read before: the way past the reader that most plans take.

What the grammar says of a statement hangs on the kinds of its tokens alone (`siddhi_tokens`), and no
statement but a partition reads past its `;`. So each sequence of kinds is read once, as a plan of one
statement, and what the reader found is remembered: what it is, and where in it the names and numbers
are that the compiler looks at (`siddhi_meaning`). Plans of the same author are mostly the same few
sequences again and again.

It says yes, or nothing: whatever is wrong or merely unusual in a plan is left to the reader, which
knows where and why.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from syncagent.validation.siddhi_reader import Reading, read_plan
from syncagent.validation.siddhi_tokens import END, INT, KINDS, LONG, NAMES, TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.validation.siddhi_tokens import Tokens

_TOKENS_MAX = 500
_BRACKETS_MAX = 50
"""No statement that is remembered has more: some kilobytes each."""
_REMEMBERED_MAX = 512
_PLAN, _PARTITION, _DEFINE = KINDS["plan"], KINDS["partition"], KINDS["define"]
_BEGINS = frozenset({"@", _DEFINE, KINDS["from"]})
_NAME_AFTER = 2
"""`define stream name`."""
_HEAD = re.compile(f"(?>(?:@{_PLAN}:[{NAMES}](?>(?:[(]{TEXT}[)])?))*)")
_DEFINED = ("stream", "table", "window", "trigger")
_DIGITS_ALWAYS = {INT: 9, LONG: 18}
"""A number of so many digits is never too large."""


_Note = tuple[int, tuple[tuple[int, int], ...]]
"""Where an annotation's name is, and the key and the value of each of its settings."""


@dataclass(frozen=True, slots=True)
class _Statement:
    """What matters of a statement beside its grammar; all places are counted from its first token."""

    defined: int
    """Where the name is that it defines; 0 in a query."""
    unlike: tuple[tuple[int, ...], ...]
    """Where names are of which no two may be the same."""
    notes: tuple[_Note, ...]
    """A query's annotations."""
    numbers: tuple[tuple[int, int], ...]
    """Where numbers are, and how long each may be to be small enough without a look."""


def nothing_wrong(tokens: Tokens) -> bool:
    """Tell whether a plan follows the grammar and means something for certain."""
    kinds = tokens.kinds
    if _PARTITION in kinds or "`" in tokens.text:
        return False
    head = _HEAD.match(kinds)
    at, last = 0 if head is None else head.end(), len(kinds) - 1
    plan = _Plan(tokens.words)
    while at < last:
        end = kinds.find(";", at)
        end = last if end < 0 else end
        statement = _statement(kinds[at:end]) if end - at <= _TOKENS_MAX else None
        if statement is None or not plan.takes(statement, at):
            return False
        at = end + 1
    return True


class _Plan:
    """A plan as far as it is known: what it defines, and the names of its queries."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = words
        self._defined: set[str] = set()
        self._queries: set[str] = set()
        self._asks = False

    def takes(self, statement: _Statement, at: int) -> bool:
        """Tell whether the statement at `at` may follow, for certain, and add it."""
        words = self._words
        for places in statement.unlike:
            if len({words[at + place] for place in places}) < len(places):
                return False
        for place, size_max in statement.numbers:
            if len(words[at + place]) > size_max:
                return False
        if not statement.defined:
            self._asks = True
            return not statement.notes or self._named(statement, at)
        name = words[at + statement.defined]
        if self._asks or name in self._defined:
            return False
        self._defined.add(name)
        return True

    def _named(self, statement: _Statement, at: int) -> bool:
        """Tell whether a query has no name, or one that no other has."""
        words = self._words
        infos = [note for note in statement.notes if words[at + note[0]].lower() == "info"]
        names = [
            words[at + value][1:-1]
            for _, settings in infos
            for key, value in settings
            if words[at + key].lower() == "name"
        ]
        if len(infos) > 1 or len(names) > 1 or not self._queries.isdisjoint(names):
            return False
        self._queries.update(names)
        return True


@lru_cache(maxsize=_REMEMBERED_MAX)
def _statement(kinds: str) -> _Statement | None:
    """Return what matters of a statement; None if it is none, or one that is not remembered."""
    if kinds[:1] not in _BEGINS or _PLAN in kinds:
        return None
    if kinds.count("(") + kinds.count("[") > _BRACKETS_MAX:
        return None
    reading = read_plan(kinds + END)
    if not isinstance(reading, Reading):
        return None
    notes, at = _annotations(kinds, reading)
    numbers = tuple(
        (at, _DIGITS_ALWAYS[kind]) for at, kind in enumerate(kinds) if kind in _DIGITS_ALWAYS
    )
    if reading.places("element"):
        columns = [reading.row("column", at + 1) for at in reading.places("selection")]
        names = [[end - 1 for _, end in row] for row in columns]
        return _Statement(0, _several(names), notes, numbers)
    if not any(reading.places(f"define_{what}") for what in _DEFINED):
        return None
    name = at + _NAME_AFTER
    attributes = [start for start, _ in reading.row("attribute", name + 2)]
    return _Statement(name, _several([attributes]), (), numbers)


def _several(lists: list[list[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(places) for places in lists if places[1:])


def _annotations(kinds: str, reading: Reading) -> tuple[tuple[_Note, ...], int]:
    """Return the annotations at a statement's beginning, and where they end."""
    notes = []
    at = 0
    while kinds[at] == "@":
        settings = [
            (start, end - 1)
            for start, end in reading.row("setting", at + 3)
            if kinds[start + 1] == "="
        ]
        notes.append((at + 1, tuple(settings)))
        at = reading.end("annotation", at)
    return tuple(notes), at
