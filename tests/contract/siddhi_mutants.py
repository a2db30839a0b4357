"""Plans with one fault each, from real ones: the same on every machine for the same seed.

What a token is they decide for themselves, so that a fault in our own view of it shows.
"""

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.contract.siddhi_judge import FEATURES, PLANS


@dataclass(frozen=True, slots=True)
class Mutant:
    """A plan with one fault: from which plan, of which kind, and its text."""

    plan: str
    kind: str
    text: str


_TOKEN = re.compile(r"--[^\n]*|/\*.*?\*/|\s+|'[^'\n]*'|\"[^\"\n]*\"|\w+|->|[<>=!]=|.", re.DOTALL)


def _words(text: str) -> list[str]:
    return text.split()


_CLAUSES = _words(
    "define from select group having output insert delete update on within partition begin end"
)
_WORDS = _CLAUSES + _words("stream table window by into events as of or and in is not every at")
_TYPES = _words("string int long float double bool object")
_LITERALS = [*_words("1 1.5 2L 3f 4e 'x' true null 99999999999 \" `a`"), "5 min", "1 sec 2 min"]
_ANNOTATIONS = (
    *("@", "@(", "@info", "@info()", "@info(name)", "@info(name=1)", "@info(name='q'"),
    *("@info(name='a', name='b')", "@info name='q')", "@Plan:x('y')", "@a:b('c')"),
    *("@x('a','b')", "@x(a.b='c')", "@x(a-b='c')"),
)
_SIGNS = (*"()[],;:.#@*+-/%<>=!?'\"`{}$~|\\ä\t\f", "->", "==", "!=", "--", "/*", "*/")


class Mutator:
    """Makes one fault in a plan; the kinds are its methods."""

    def __init__(self, text: str, chance: random.Random) -> None:
        self.chance = chance
        self.tokens = _TOKEN.findall(text)
        self.solid = [at for at, token in enumerate(self.tokens) if not _dull(token)]

    def _joined(self, at: int, count: int, *instead: str) -> str:
        return "".join([*self.tokens[:at], *instead, *self.tokens[at + count :]])

    def _some(self, fits: Callable[[str], bool]) -> int | None:
        places = [at for at in self.solid if fits(self.tokens[at])]
        return self.chance.choice(places) if places else None

    def dropped(self) -> str | None:
        return self._joined(self.chance.choice(self.solid), 1, " ")

    def doubled(self) -> str | None:
        at = self.chance.choice(self.solid)
        return self._joined(at, 0, self.tokens[at], " ")

    def swapped(self) -> str | None:
        at = self.chance.randrange(len(self.solid) - 1)
        one, two = self.solid[at], self.solid[at + 1]
        between = self.tokens[one + 1 : two] or [" "]
        return self._joined(one, two + 1 - one, self.tokens[two], *between, self.tokens[one])

    def bracket_dropped(self) -> str | None:
        at = self._some(lambda token: token in "()[]{}")
        return None if at is None else self._joined(at, 1)

    def bracket_changed(self) -> str | None:
        at = self._some(lambda token: token in "()[]")
        return None if at is None else self._joined(at, 1, self.chance.choice("()[]"))

    def misspelt(self) -> str | None:
        at = self._some(lambda token: token.lower() in _WORDS)
        if at is None:
            return None
        word = self.tokens[at]
        place = self.chance.randrange(len(word))
        changed = self.chance.choice(
            [word[:place] + word[place + 1 :], word[:place] + "x" + word[place:]]
        )
        return self._joined(at, 1, changed)

    def keyword_changed(self) -> str | None:
        at = self._some(lambda token: token.lower() in _WORDS)
        return None if at is None else self._joined(at, 1, self.chance.choice(_WORDS))

    def name_is_keyword(self) -> str | None:
        at = self._some(lambda token: token.isidentifier())
        return None if at is None else self._joined(at, 1, self.chance.choice(_WORDS + _TYPES))

    def clause_dropped(self) -> str | None:
        starts = [at for at in self.solid if self.tokens[at].lower() in [*_CLAUSES, ";"]]
        if len(starts) < 2:
            return None
        at = self.chance.randrange(len(starts) - 1)
        return self._joined(starts[at], starts[at + 1] - starts[at])

    def clauses_swapped(self) -> str | None:
        starts = [at for at in self.solid if self.tokens[at].lower() in [*_CLAUSES, ";"]]
        if len(starts) < 3:
            return None
        at = self.chance.randrange(len(starts) - 2)
        one, two, three = starts[at : at + 3]
        return self._joined(one, three - one, *self.tokens[two:three], " ", *self.tokens[one:two])

    def statement_moved(self) -> str | None:
        parts = "".join(self.tokens).split(";")
        part = parts.pop(self.chance.randrange(len(parts)))
        parts.insert(self.chance.randrange(len(parts) + 1), part)
        return ";".join(parts)

    def statement_doubled(self) -> str | None:
        parts = "".join(self.tokens).split(";")
        part = self.chance.choice(parts)
        parts.insert(self.chance.randrange(len(parts) + 1), part)
        return ";".join(parts)

    def literal_changed(self) -> str | None:
        at = self._some(lambda token: token[0] in "0123456789'\"" or token.lower() in _TYPES)
        return None if at is None else self._joined(at, 1, self.chance.choice(_LITERALS + _TYPES))

    def token_replaced(self) -> str | None:
        at, other = self.chance.choice(self.solid), self.chance.choice(self.solid)
        return self._joined(at, 1, self.tokens[other])

    def token_added(self) -> str | None:
        at, other = self.chance.choice(self.solid), self.chance.choice(self.solid)
        return self._joined(at, 0, self.tokens[other], " ")

    def sign_added(self) -> str | None:
        return self._joined(self.chance.choice(self.solid), 0, self.chance.choice(_SIGNS))

    def quote_dropped(self) -> str | None:
        at = self._some(lambda token: token[0] in "'\"" and len(token) > 1)
        if at is None:
            return None
        return self._joined(at, 1, self.chance.choice([self.tokens[at][1:], self.tokens[at][:-1]]))

    def truncated(self) -> str | None:
        text = "".join(self.tokens)
        return text[: self.chance.randrange(len(text))]

    def cut_between_tokens(self) -> str | None:
        return "".join(self.tokens[: self.chance.choice(self.solid)])

    def piece_cut_out(self) -> str | None:
        at = self.chance.randrange(len(self.solid))
        start = self.solid[at]
        end = self.solid[min(at + self.chance.randint(2, 8), len(self.solid) - 1)]
        return self._joined(start, end - start, " ")

    def annotation_bad(self) -> str | None:
        at = self._some(lambda token: token.lower() in {"define", "from", "@", "partition"})
        return None if at is None else self._joined(at, 0, self.chance.choice(_ANNOTATIONS), " ")

    def name_doubled(self) -> str | None:
        at = self._some(lambda token: token.isidentifier() and token.lower() not in _WORDS)
        other = self._some(lambda token: token.isidentifier() and token.lower() not in _WORDS)
        return None if at is None or other is None else self._joined(at, 1, self.tokens[other])


KINDS = [name for name in vars(Mutator) if not name.startswith("_")]


def _dull(token: str) -> bool:
    return token.isspace() or token.startswith(("--", "/*"))


def sources() -> list[tuple[str, str]]:
    """Return name and text of each plan that is mutated; the one with all features is in often."""
    plans = [(plan.name, plan.read_text(encoding="utf-8-sig")) for plan in PLANS]
    return plans + [(FEATURES.name, FEATURES.read_text())] * 12


def mutants(count: int, seed: int) -> Iterator[Mutant]:
    """Return `count` different mutants, of all kinds in turn."""
    chance = random.Random(seed)
    plans = sources()
    seen = {text for _, text in plans}
    made = 0
    while made < count:
        name, text = chance.choice(plans)
        kind = KINDS[made % len(KINDS)]
        changed: str | None = getattr(Mutator(text, chance), kind)()
        if changed is None or changed in seen:
            continue
        seen.add(changed)
        made += 1
        yield Mutant(name, kind, changed)
