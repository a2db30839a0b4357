"""What the compiler refuses in a plan that follows the grammar: names used twice, numbers too large.

It puts definitions into maps by their id, streams first, then tables, functions, windows, and
triggers at last, which are streams of one attribute. A second definition of an id passes if it is
the same word for word; some pairs never do.
"""

from __future__ import annotations

from bisect import bisect
from typing import TYPE_CHECKING

from syncagent.core.verdict import Problem
from syncagent.validation.siddhi_tokens import INT, KINDS, LONG, SCRIPT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncagent.validation.siddhi_reader import Reading
    from syncagent.validation.siddhi_tokens import Tokens

_DEFINED = ("stream", "table", "window", "trigger")
"""In the order in which the compiler looks at them."""
_NEVER_BOTH = frozenset(
    {("stream", "table"), ("table", "window"), ("table", "trigger")}
    | {("window", "window"), ("trigger", "trigger")}
)
_TRIGGER: tuple[str, ...] = ("triggered_time", "long")
_INT_MAX, _LONG_MAX = 2**31 - 1, 2**63 - 1
_DIGITS_ALWAYS = 9
"""A number of so many digits is never too large."""
_DIGITS_MAX = 20
"""A number of more digits always is."""
_UNITS = frozenset(
    KINDS[unit]
    for unit in ["years", "months", "weeks", "days", "hours", "minutes", "seconds", "milliseconds"]
)


Fault = tuple[int, str, str]
"""Which token is wrong, the code of the problem and its reason."""


def meaning_problem(tokens: Tokens, reading: Reading) -> Problem | None:
    """Tell what is wrong with a plan that follows the grammar; the first of what there is."""
    fault = min(_Meaning(tokens, reading).faults(), default=None)
    if fault is None:
        return None
    at, code, reason = fault
    return Problem(code, reason, tokens.line(at))


def _twice(what: str, name: str, at: int) -> Fault:
    return at, "duplicate", f"{what} {name!r} is there twice"


class _Meaning:
    """All that is wrong with one plan, in no order."""

    def __init__(self, tokens: Tokens, reading: Reading) -> None:
        self._tokens = tokens
        self._reading = reading

    def faults(self) -> Iterator[Fault]:
        yield from self._definitions()
        yield from self._functions()
        yield from self._columns()
        yield from self._partitions()
        yield from self._numbers()

    def _repeated(self, what: str, places: list[int], seen: set[str]) -> Iterator[Fault]:
        """Tell of a name or text at `places` that was seen before, and note them."""
        for at in places:
            name = self._tokens.bare(at)
            if name in seen:
                yield _twice(what, name, at)
            seen.add(name)

    def _definitions(self) -> Iterator[Fault]:
        known: dict[str, set[tuple[str, tuple[str, ...]]]] = {}
        for kind in _DEFINED:
            for at in self._reading.places(f"define_{kind}"):
                place = self._past_annotations(at) + 2
                name = self._tokens.bare(place)
                content = _TRIGGER
                if kind != "trigger":
                    attributes = self._reading.row("attribute", place + 2)
                    yield from self._repeated(
                        "the attribute", [start for start, _ in attributes], set()
                    )
                    content = self._content(at, place + 2, attributes)
                for other, before in known.get(name, ()):
                    if (other, kind) in _NEVER_BOTH or content != before:
                        yield _twice("the definition of", name, place)
                        break
                known.setdefault(name, set()).add((kind, content))

    def _content(self, at: int, to: int, attributes: list[tuple[int, int]]) -> tuple[str, ...]:
        """Return what makes two definitions the same: annotations and attributes."""
        notes = [self._tokens.bare(place) for place in range(at, to - 4)]
        for start, _ in attributes:
            notes += [self._tokens.bare(start), self._tokens.word(start + 1).lower()]
        return tuple(notes)

    def _functions(self) -> Iterator[Fault]:
        places = self._reading.places("define_function")
        yield from self._repeated("the function", [at + 2 for at in places], set())
        for at, kind in enumerate(self._tokens.kinds):
            if kind == SCRIPT and self._tokens.word(at) == "{}":
                yield at, "statement", "the function's body is empty: write { }"

    def _columns(self) -> Iterator[Fault]:
        for at in self._reading.places("selection"):
            columns = self._reading.row("column", at + 1)
            yield from self._repeated(
                "the output attribute", [end - 1 for _, end in columns], set()
            )

    def _partitions(self) -> Iterator[Fault]:
        yield from self._names(self._reading.places("element"))
        queries = self._reading.places("inner")
        for at in self._reading.places("partition"):
            splits = self._reading.row("split", at + 3)
            yield from self._repeated("the partition of", [end - 1 for _, end in splits], set())
            end = self._reading.end("partition", at)
            yield from self._names(queries[bisect(queries, at) : bisect(queries, end)])

    def _names(self, places: list[int]) -> Iterator[Fault]:
        """Tell of queries of the same name; `places` are those where their annotations begin."""
        seen: set[str] = set()
        for at in places:
            infos = [start for start in self._annotations(at) if self._key(start + 1) == "info"]
            if len(infos) > 1:
                yield _twice("the annotation", "@info", infos[1])
            names = self._settings(infos[0], "name") if infos else []
            if len(names) > 1:
                yield _twice("the setting", "name", names[1])
            yield from self._repeated("the query", names[:1], seen)

    def _annotations(self, at: int) -> Iterator[int]:
        while self._tokens.kinds[at] == "@":
            yield at
            at = self._reading.end("annotation", at)

    def _past_annotations(self, at: int) -> int:
        for start in self._annotations(at):
            at = self._reading.end("annotation", start)
        return at

    def _key(self, at: int) -> str:
        return self._tokens.bare(at).lower()

    def _settings(self, at: int, key: str) -> list[int]:
        """Return where the values of the setting `key` are in the annotation at `at`."""
        row = self._reading.row("setting", at + 3)
        return [
            end - 1
            for start, end in row
            if self._tokens.kinds[start + 1] == "=" and self._key(start) == key
        ]

    def _numbers(self) -> Iterator[Fault]:
        for at, kind in enumerate(self._tokens.kinds):
            if kind not in {INT, LONG}:
                continue
            word = self._tokens.word(at).rstrip("lL").lstrip("0")
            if len(word) <= _DIGITS_ALWAYS:
                continue
            if len(word) > _DIGITS_MAX or int(word) > self._most(at, kind):
                yield at, "number", f"{word[:_DIGITS_MAX]} is too large a number"

    def _most(self, at: int, kind: str) -> int:
        """Return the largest number that may be at `at`."""
        long = kind == LONG or self._tokens.kinds[at + 1] in _UNITS
        signed = (
            at > 0 and self._tokens.kinds[at - 1] == "-" and self._reading.end("constant", at - 1)
        )
        return (_LONG_MAX if long else _INT_MAX) + bool(signed)
