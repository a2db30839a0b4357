"""Siddhi plans: bytes to verdict, as the compiler of the runtime would say it.

A plan's text becomes tokens (`siddhi_tokens`), these are read by the grammar (`siddhi_reader`), and
what follows the grammar is looked at for names used twice and numbers too large (`siddhi_meaning`).
That is all that the compiler of Siddhi 3 does; `tests/contract/test_siddhi_compiler.py` asks the real
one. A plan of statements that were read before takes a shorter way (`siddhi_statements`). On top comes
what the runtime's deployer wants: one `@Plan:name`. What the runtime finds out later (a stream that
nobody defines, a function of a missing extension, a type that does not fit) is not looked for: much
of it depends on what else is deployed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from syncagent.core.artifact import stem_of
from syncagent.core.verdict import Facts, Problem, Severity
from syncagent.validation.siddhi_meaning import meaning_problem
from syncagent.validation.siddhi_reader import Misfit, read_plan
from syncagent.validation.siddhi_statements import nothing_wrong
from syncagent.validation.siddhi_tokens import END, KINDS, NAME, NAMES, TEXT, tokens_of

if TYPE_CHECKING:
    from syncagent.validation.siddhi_tokens import Tokens

_CONTROLS = bytes([*range(0x09), *range(0x0E, 0x20)])
_TEXT_ONLY = re.compile(r"[^\x00-\x08\x0e-\x1f]*+")


_NAME_HEAD = re.compile(f"@{KINDS['plan']}:[{NAMES}][(]([^)]*)")
_DEPTH_MAX = 50
"""So deep the reader gets within Python's usual limit of calls; real plans have 5."""
_TOKENS_MAX = 200_000
"""So many are read within a few seconds; the largest plan of the corpus has 3,000."""
_BRACKET = re.compile(r"[()[\]]")
_CLOSES = {"(": ")", "[": "]"}
_BEGINS = {"'": "a text", '"': "a text", "{": "a function's body"}
_OPEN_COMMENT = "/* begins a comment that does not end"
_WANTED_MAX = 5
"""So many words are told that would have fitted; more would help nobody."""
_WRITTEN = {kind: word for word, kind in KINDS.items()} | {
    "s": "a text",
    "i": "a number",
    "{": "a function's body",
    END: "the end",
}


def examine_plan(path: str, content: bytes) -> tuple[Facts, tuple[Problem, ...]]:
    """Judge a plan's bytes: name, grammar, meaning. Problems hold errors first."""
    text = _text_of(content)
    if isinstance(text, Problem):
        return Facts(), (text,)
    tokens = tokens_of(text)
    names = _names(tokens)
    problem = _several(tokens, names) or _plan_problem(tokens) or _no_name(tokens, names)
    if problem is not None:
        return Facts(), (problem,)
    name = tokens.bare(names[0])
    return Facts(name), _warnings(path, name, tokens)


def _names(tokens: Tokens) -> list[int]:
    """Return which tokens are texts of a `@Plan:name`."""
    found = []
    for head in _NAME_HEAD.finditer(tokens.kinds):
        start, end = head.span(1)
        if tokens.word(head.start() + 3).lower() == "name":
            texts = (at for at in range(start, end) if tokens.kinds[at] == TEXT)
            found += [at for at in texts if tokens.kinds[at - 1] in "(,"]
    return found


def _several(tokens: Tokens, names: list[int]) -> Problem | None:
    if not names[1:]:
        return None
    reason = f"@Plan:name is there {len(names)} times: one plan per file"
    return Problem("several-names", reason, tokens.line(names[1]))


def _no_name(tokens: Tokens, names: list[int]) -> Problem | None:
    if not names and tokens.open_comment:
        return Problem("no-name", f"{_OPEN_COMMENT}: no @Plan:name", tokens.open_comment)
    if not names:
        return Problem("no-name", "no @Plan:name('...'): the runtime needs it", 1)
    if tokens.bare(names[0]).strip():
        return None
    return Problem("no-name", "@Plan:name is empty", tokens.line(names[0]))


def _plan_problem(tokens: Tokens) -> Problem | None:
    """Tell what the compiler has against a plan."""
    if len(tokens.kinds) > _TOKENS_MAX:
        reason = f"{len(tokens.kinds)} words and signs; {_TOKENS_MAX} are read"
        return Problem("too-large", reason)
    deep = 0
    try:
        if nothing_wrong(tokens):
            return None
        deep = _too_deep(tokens.kinds)
        reading = None if deep else read_plan(tokens.kinds)
    except RecursionError:
        reading = None
    if reading is None:
        reason = f"nested too deeply: no plan needs {_DEPTH_MAX} brackets in each other"
        return Problem("nested", reason, tokens.line(deep))
    if isinstance(reading, Misfit):
        return _misfit_problem(tokens, reading)
    return meaning_problem(tokens, reading)


def _too_deep(kinds: str) -> int:
    """Return where brackets are nested more than `_DEPTH_MAX` deep, 0 if nowhere."""
    depth = 0
    for bracket in _BRACKET.finditer(kinds):
        depth += 1 if bracket.group() in _CLOSES else -1
        if depth > _DEPTH_MAX:
            return bracket.start()
    return 0


def _misfit_problem(tokens: Tokens, misfit: Misfit) -> Problem:
    """Say which token does not fit, and what would have if that is not too much."""
    at, kind, word = misfit.at, tokens.kinds[misfit.at], tokens.word(misfit.at)
    line = tokens.line(at - 1 if kind == END and at else at)
    if word in _BEGINS:
        return Problem("unbalanced", f"{word} begins {_BEGINS[word]} that does not end", line)
    found = "the plan ends too early" if kind == END else f"{word[:40]!r} does not fit here"
    reason = f"{found}{_wanted(misfit.wanted)}"
    bracket = _open_bracket(tokens.kinds, at)
    if kind in ")]" and (bracket is None or _CLOSES[tokens.kinds[bracket]] != kind):
        return Problem("unbalanced", reason, line)
    if kind not in {";", END} or tokens.kinds[at - 1 : at + 1] == ";;":
        return Problem("statement", reason, line)
    if bracket is None:
        return Problem("unfinished", reason, line)
    reason = f"{tokens.word(bracket)!r} is never closed"
    return Problem("unbalanced", reason, tokens.line(bracket))


def _open_bracket(kinds: str, to: int) -> int | None:
    """Return the innermost bracket that is open before the token `to`."""
    open_: list[int] = []
    for at in range(to):
        if kinds[at] in _CLOSES:
            open_.append(at)
        elif kinds[at] in ")]" and open_:
            open_.pop()
    return open_[-1] if open_ else None


def _wanted(kinds: frozenset[str]) -> str:
    """Return the end of a sentence that tells what would have fitted."""
    words = {_WRITTEN[kind] for kind in kinds}
    if NAME in kinds:
        words = {_WRITTEN[kind] for kind in kinds.difference(NAMES)} | {"a name"}
    if len(words) > _WANTED_MAX:
        return ""
    return f"; expected: {' or '.join(sorted(words))}"


def _warnings(path: str, name: str, tokens: Tokens) -> tuple[Problem, ...]:
    """Tell what is odd about a plan that the runtime takes."""
    found = []
    if not any(KINDS[word] in tokens.kinds for word in ("define", "from")):
        found.append(("no-statement", "the plan has a name and no statement", 0))
    if tokens.open_comment:
        found.append(("open-comment", _OPEN_COMMENT, tokens.open_comment))
    if tokens.strays:
        reason = f"a stray {tokens.word(tokens.strays[0])!r}: the runtime ignores it"
        found.append(("stray", reason, tokens.line(tokens.strays[0])))
    if stem_of(path) != name:
        reason = f"the file of the plan {name!r} would be {name}.siddhiql if the runtime wrote it"
        found.append(("file-name", reason, 0))
    return tuple(Problem(*warning, Severity.WARNING) for warning in found)


def _text_of(content: bytes) -> str | Problem:
    """Return a plan's text, or why the bytes are none."""
    if not content.strip():
        return Problem("empty", "the file is empty")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Problem("encoding", f"not UTF-8 text: {error.reason}", line)
    # In UTF-8 a byte below 0x80 is that character.
    if len(content.translate(None, _CONTROLS)) == len(content):
        return text
    clean = _TEXT_ONLY.match(text)
    end = clean.end() if clean is not None else 0
    reason = f"control character {text[end]!r}: not a text file"
    return Problem("binary", reason, _line_at(text, end))


def _line_at(text: str, at: int) -> int:
    """Return the 1-based line of the character at `at`."""
    return text.count("\n", 0, at) + 1
