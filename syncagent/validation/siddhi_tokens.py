"""The words of a Siddhi plan: one sign per token, so that whole stretches can be matched at once.

A token's *kind* is a single character, and a plan's kinds are one `str`. Signs and literals have
kinds of their own (`KINDS`), each keyword has one, everything else that is named has `NAME`. As in
the runtime's compiler (`org.wso2.siddhi:siddhi-query-compiler` 3.2) the longest token wins, keywords
come in any case, most of them serve as names too, and a character that begins no token is a token
of the kind `STRAY`: the compiler takes it where a statement may stand, and so do we.

Most plans are split at once, in C (`_SPLIT`); what a word is, is remembered from plan to plan. Where a
plan holds what needs more than one look, a function's body, a comment without an end, a stray
character, and where the line of a token is asked for, it is gone through token by token (`spelled`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

from syncagent.validation.siddhi_grammar import RULES

_LITERALS = {"ID": "n", "INT": "i", "LONG": "l", "FLOAT": "f", "DOUBLE": "d", "TEXT": "s"}
_LITERALS |= {"SCRIPT": "{", "STRAY": "~", "END": "$"}
KEYWORDS = sorted(
    word.removesuffix("_WORD").lower()
    for word in set(re.findall(r"\b[A-Z_]+\b", RULES)) - _LITERALS.keys()
)
NO_NAMES = frozenset({"function", "trigger", "plan", "at", "in"})
"""The only keywords that are no names."""
_UNITS = {
    "years": "year",
    "months": "month",
    "weeks": "week",
    "days": "day",
    "hours": "hour",
    "minutes": "min minute",
    "seconds": "sec second",
    "milliseconds": "millisec millisecond",
}
_FIRST_KEYWORD = 0x100
KINDS = {word: chr(_FIRST_KEYWORD + at) for at, word in enumerate(KEYWORDS)}
"""Keyword, literal or sign -> its kind."""
_WORDS = KINDS | {short: KINDS[unit] for unit, more in _UNITS.items() for short in more.split()}
NAME, INT, LONG, FLOAT, DOUBLE, TEXT, SCRIPT, STRAY, END = _LITERALS.values()
_SIGNS = {"<=": "≤", ">=": "≥", "==": "≡", "!=": "≠", "->": "→"}
KINDS |= _LITERALS | _SIGNS | {sign: sign for sign in ":;.()[],=*+?-/%<>@#"}
NAMES = NAME + "".join(KINDS[word] for word in KEYWORDS if word not in NO_NAMES)
"""The kinds that may stand where a name is asked for."""

_BLANKS = r"[ \x0b\t\r\n]"
_NUMBER = r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
_EXPONENT = r"[eE][-+]?[0-9]+"
_WORD = r"[A-Za-z_][A-Za-z_0-9]*+"
_SIGN = r"<=|>=|==|!=|->|(?!\.[0-9])[:;.()\[\],=*+?\-/%<>@#]"
_FLOAT = rf"{_NUMBER}(?:{_EXPONENT})?[fF]"
_DOUBLE = rf"{_NUMBER}(?:{_EXPONENT})?[dD]|{_NUMBER}{_EXPONENT}|[0-9]*\.[0-9]+"
_TEXT = r"\"[^\"\x00-\x1f]*\"|'[^'\"\x00-\x1f]*'"
_TOKEN = re.compile(
    rf"{_BLANKS}*(?:--[^\r\n]*|/\*.*?\*/|(?P<open>/\*).*|(?P<word>{_WORD})|(?P<sign>{_SIGN})"
    rf"|(?P<{FLOAT}>{_FLOAT})|(?P<{DOUBLE}>{_DOUBLE})|(?P<{LONG}>[0-9]+[lL])|(?P<{INT}>[0-9]+)"
    rf"|(?P<{TEXT}>{_TEXT})|(?P<{NAME}>`{_WORD}`)|(?P<brace>\{{)|(?P<stray>.)|\Z)",
    re.DOTALL,
)
_COMMENT = r"--[^\r\n]*+|/\*[^*]*+(?>(?:\*(?!/)[^*]*+)*)\*/"
_SPLIT = re.compile(
    rf"{_BLANKS}*+(?>(?:(?:{_COMMENT}){_BLANKS}*+)*)({_WORD}|[;,()\[\]:@]|{_TEXT}|/\*|{_SIGN}"
    rf"|[0-9]++[lL]?+(?![0-9.eEfFdD])|{_FLOAT}|{_DOUBLE}|[0-9]+[lL]|[0-9]+|`{_WORD}`|.|\Z)",
    re.DOTALL,
)
"""The same with nothing but the token as a group, and what is frequent first; empty at the end."""
_QUOTES = frozenset("`'\"")
_SCRIPT_SIGN = re.compile(r"[{}\"\n\r]|//")
_DEPTHS = (1 << 256) - 1
"""How deep braces may be nested in a function's body: no script is that deep."""
_UNIT_MAX = "\uffff"
"""Characters above this one are two in UTF-16."""
_STRAY_BRACES_MAX = 100
"""So many braces without an end are looked into: each costs a look at the rest of the plan."""


_UNCLEAR = "\0"
"""The kind of what more must be known of than the word: what it begins may go on."""
_REMEMBERED_MAX = 8_192
_REMEMBERED_SIZE_MAX = 40
"""So many words are remembered, and none with more characters: less than 2 MB."""


class _Kinds(dict[str, str]):
    """Word -> its kind, of every word; begins anew when it has become too many."""

    def __missing__(self, word: str) -> str:
        # The words that are new in each plan are names and numbers.
        if word.isidentifier() and word.isascii():
            kind = _WORDS.get(word.lower(), NAME)
        elif word.isdigit() and word.isascii():
            kind = INT
        else:
            kind = self._kind(word)
        if len(word) <= _REMEMBERED_SIZE_MAX:
            if len(self) >= _REMEMBERED_MAX:
                self.clear()
            self[word] = kind
        return kind

    @staticmethod
    def _kind(word: str) -> str:
        if not word:
            return END
        token = _TOKEN.fullmatch(word)
        group = None if token is None else token.lastgroup
        if group == "sign":
            return _SIGNS.get(word, word)
        return group if group in _LITERAL_KINDS else _UNCLEAR


_LITERAL_KINDS = frozenset({FLOAT, DOUBLE, LONG, INT, TEXT, NAME})
_REMEMBERED = _Kinds()


@dataclass(frozen=True)
class Tokens:
    """A plan's tokens without blanks and comments; `kinds` ends with one `END`."""

    text: str
    kinds: str
    words: list[str]
    """The tokens as they are written; empty at the end."""
    open_comment: int = 0
    """The line where a comment begins that does not end; 0 if there is none."""

    def word(self, at: int) -> str:
        """Return the token `at` as it is written; empty at the end."""
        return self.words[at]

    def bare(self, at: int) -> str:
        """Return the token `at` without the quotes of a name or text."""
        word = self.words[at]
        return word[1:-1] if word[:1] in _QUOTES else word

    def line(self, at: int) -> int:
        """Return the 1-based line where the token `at` begins."""
        return self.text.count("\n", 0, self._starts[at]) + 1

    @cached_property
    def _starts(self) -> list[int]:
        return spelled(self.text)[1]

    @cached_property
    def strays(self) -> list[int]:
        """Where characters are that begin no token."""
        if STRAY not in self.kinds:
            return []
        return [at for at, kind in enumerate(self.kinds) if kind == STRAY]


def tokens_of(text: str) -> Tokens:
    """Split a plan's text into tokens; every text has some."""
    words = _SPLIT.findall(text)
    if words[-2:] == ["", ""]:
        del words[-1]  # the end was seen behind blanks, and once more
    kinds = "".join(map(_REMEMBERED.__getitem__, words))
    if _UNCLEAR not in kinds:
        return Tokens(text, kinds, words)
    kinds, starts, ends, open_comment = spelled(text)
    words = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    return Tokens(text, kinds, words, open_comment)


def spelled(text: str) -> tuple[str, list[int], list[int], int]:
    """Return the tokens' kinds, where each begins and ends, and the line of an open comment."""
    kinds: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    words, signs, match = _WORDS, _SIGNS, _TOKEN.match
    at, size, braces, open_comment = 0, len(text), 0, 0
    while at < size:
        token = match(text, at)
        assert token is not None, "every character is matched by the last alternative but one"
        at, group = token.end(), token.lastgroup
        if group is None:
            continue
        start = token.start(group)
        if group == "open":
            open_comment = text.count("\n", 0, start) + 1
            continue
        if group == "word":
            kinds.append(words.get(token[group].lower(), NAME))
        elif group == "sign":
            kinds.append(signs.get(token[group], token[group]))
        elif group == "brace":
            end = _script_end(text, start) if braces < _STRAY_BRACES_MAX else 0
            braces += end == 0
            at = max(at, end)
            kinds.append(SCRIPT if end else STRAY)
        else:
            kinds.append(STRAY if group == "stray" else group)
        starts.append(start)
        ends.append(at)
    if not text.isascii():
        kinds, starts, ends = _as_utf_16(text, kinds, starts, ends)
    kinds.append(END)
    starts.append(size)
    ends.append(size)
    return "".join(kinds), starts, ends, open_comment


def _as_utf_16(
    text: str, kinds: list[str], starts: list[int], ends: list[int]
) -> tuple[list[str], list[int], list[int]]:
    """Make two tokens of each stray character that is two to the compiler, which reads UTF-16."""
    places = []
    for at, kind in enumerate(kinds):
        places += [at, at] if kind == STRAY and text[starts[at]] > _UNIT_MAX else [at]
    return [kinds[at] for at in places], [starts[at] for at in places], [ends[at] for at in places]


def _script_end(text: str, start: int) -> int:
    """Return where the function body that begins at `start` ends, 0 if it has no end.

    The compiler takes the longest body there is: each `"` may begin a text and each `//` a comment,
    in which braces do not count, but none of them has to. So all readings go on side by side; bit
    N of each number tells whether some reading is N braces deep now.
    """
    plain, quoted, remark, end = 2, 0, 0, 0
    for found in _SCRIPT_SIGN.finditer(text, start + 1):
        sign = found.group()
        if sign == "{":
            plain = plain << 1 & _DEPTHS | remark
        elif sign == "}":
            if plain & 2:
                end = found.end()
            plain = plain >> 1 & ~1 | remark
        elif sign == '"':
            plain, quoted = plain | quoted, plain
        elif sign == "//":
            remark |= plain
        else:
            remark = 0
        if not plain | quoted:
            break
    return end
