"""Siddhi plans: enough of the language's surface to tell a whole plan from a broken one.

This is no compiler. It knows what is text, comment and bracket, that a plan has exactly one name,
with which words a statement begins and what it can't end without; a file that was cut off or is
not a plan at all does not pass. What it lets through the runtime may still refuse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from syncagent.core.artifact import stem_of
from syncagent.core.verdict import Facts, Problem, Severity

_TOKEN = re.compile(
    r"--[^\r\n]*|/\*.*?\*/"  # comments
    r'|"""(?P<long>.*?)"""|"(?P<double>[^"\x00-\x1f]*)"|\'(?P<single>[^\'"\x00-\x1f]*)\''
    r"|(?P<open>[(\[])|(?P<close>[)\]])|(?P<end>;)"
    r"|(?P<loose>/\*|\"\"\"|[\"'])"
    r"|(?P<word>[^\W\d]\w*)|(?P<other>[^\s\w])",
    re.DOTALL,
)
_SCRIPT = re.compile(
    r"""//[^\r\n]*|"[^"]*"|(?P<open>\{)|(?P<close>\})""",
)
"""What counts in the body of a function, which is another language: `--` is no comment there."""
_TEXTS = frozenset({"long", "double", "single"})
_CLOSES = {"(": ")", "[": "]"}
_ANY = "*"
_NEEDS = {
    "define": frozenset({"stream", "table", "window", "trigger", "function"}),
    "from": frozenset({"insert", "delete", "update", "return"}),
    "partition": frozenset({"begin"}),
    "end": frozenset[str](),
}
"""With which word a statement begins, and one of which it must have then."""
_THEN = {
    "stream": frozenset({"("}),
    "table": frozenset({"("}),
    "window": frozenset({"("}),
    "trigger": frozenset({"at"}),
    "at": frozenset({_ANY}),
    "function": frozenset({"{"}),
    "insert": frozenset({"into", "overwrite"}),
    "into": frozenset({_ANY}),
    # The two may be names of attributes as well: then one of the other words comes after them.
    "delete": frozenset({"on", "insert", "return"}),
    "update": frozenset({"on", "insert", "return"}),
    "overwrite": frozenset({"on"}),
}
"""What must follow, somewhere in the statement, once such a word was there."""
_KEYWORDS = "|".join(
    sorted(frozenset().union(*_NEEDS.values(), *_THEN.values(), {"end"}) - {_ANY, "(", "{"})
)
_DULL_INSIDE = re.compile(r"[^-/\"'()\[\];{}]*+")
"""Inside brackets only texts, comments, brackets, braces and `;` matter."""
_DULL_WORDS = re.compile(
    rf"(?:(?!(?:{_KEYWORDS})\b)[^\W\d]\w*+|\d++|[^-/\"'()\[\];{{}}\w]++)*+", re.IGNORECASE
)
"""What a statement may go on with that can't change what is thought of it."""
_GAP = r"(?:\s++|--[^\r\n]*+|/\*(?>.*?\*/))*+"
_ATTRIBUTE = rf"{_GAP}(?:[A-Za-z_]\w*+|`[^`]*+`){_GAP}(?<![\w`])(?:string|int|long|float|double|bool|object)\b{_GAP}"
_ATTRIBUTES = re.compile(rf"\({_ATTRIBUTE}(?:,{_ATTRIBUTE})*+\)", re.DOTALL | re.IGNORECASE)
"""What a stream, table or window consists of."""
_PLAIN = r"[^-/\"'()\[\];{}]++|'[^'\"\x00-\x1f]*+'"
_NESTED = rf"{_PLAIN}|\((?:{_PLAIN})*+\)|\[(?:{_PLAIN})*+\]"
_NESTED = rf"{_PLAIN}|\((?:{_NESTED})*+\)|\[(?:{_NESTED})*+\]"
_BRACKETS = rf"(?:\((?:{_NESTED})*+\)|\[(?:{_NESTED})*+\])"
_WORD = rf"(?!(?i:{_KEYWORDS})\b)[^\W\d]\w*+"
_DULL = rf"(?:{_WORD}|\d++|[^-/\"'()\[\];{{}}@\w]++|{_BRACKETS})*+"
_DEFINITION = rf"(?ai:define)\s++(?ai:stream|table|window)\s++{_WORD}\s*+(?=(?ai:{_ATTRIBUTES.pattern})){_BRACKETS}"
_QUERY = rf"(?ai:from)\b{_DULL}(?ai:insert)\b{_DULL}(?ai:into)\s++{_WORD}"
_WHOLE = re.compile(rf"(?:{_GAP}(?:{_DEFINITION}|{_QUERY})\s*+;)++", re.DOTALL)
"""Whole statements of the two most common forms, one after the other, nothing unusual in them.

What it matches the reader would take word by word, fifteen times slower.
"""
_NAME_HEAD = ["@", "plan", ":", "name"]
_TEXT_ONLY = re.compile(r"[^\x00-\x08\x0e-\x1f]*+")


def examine_plan(path: str, content: bytes) -> tuple[Facts, tuple[Problem, ...]]:
    """Judge a plan's bytes: name, balance, statements. Problems hold errors first."""
    text = _text_of(content)
    if isinstance(text, Problem):
        return Facts(), (text,)
    reader = _Reader(text)
    problem = reader.read() or _name_problem(text, reader.names) or reader.late
    if problem is not None:
        return Facts(), (problem,)
    name = reader.names[0][0]
    return Facts(name), _warnings(path, name, statements=reader.statements)


def _warnings(path: str, name: str, *, statements: int) -> tuple[Problem, ...]:
    """Tell what is odd about a plan that the runtime takes."""
    found = []
    if not statements:
        reason = "the plan has a name and no statement"
        found.append(Problem("no-statement", reason, 0, Severity.WARNING))
    if stem_of(path) != name:
        reason = f"the file of the plan {name!r} would be {name}.siddhiql if the runtime wrote it"
        found.append(Problem("file-name", reason, 0, Severity.WARNING))
    return tuple(found)


def _text_of(content: bytes) -> str | Problem:
    """Return a plan's text, or why the bytes are none."""
    if not content.strip():
        return Problem("empty", "the file is empty")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Problem("encoding", f"not UTF-8 text: {error.reason}", line)
    clean = _TEXT_ONLY.match(text)
    end = clean.end() if clean is not None else 0
    if end == len(text):
        return text
    reason = f"control character {text[end]!r}: not a text file"
    return Problem("binary", reason, _line_at(text, end))


def _line_at(text: str, at: int) -> int:
    """Return the 1-based line of the character at `at`."""
    return text.count("\n", 0, at) + 1


def _name_problem(text: str, names: list[tuple[str, int]]) -> Problem | None:
    """Tell what is wrong with the plan's names; there has to be just one."""
    if not names:
        return Problem("no-name", "no @Plan:name('...'): the runtime needs it", 1)
    if len(names) > 1:
        reason = f"@Plan:name is there {len(names)} times: one plan per file"
        return Problem("several-names", reason, _line_at(text, names[1][1]))
    name, at = names[0]
    return None if name.strip() else Problem("no-name", "@Plan:name is empty", _line_at(text, at))


@dataclass(slots=True)
class _Statement:
    """The statement that is being read: where it began and which words it still needs one of."""

    word: str
    at: int
    missing: frozenset[str] = field(default_factory=frozenset)


class _Reader:
    """One pass over a plan's tokens.

    `names` are its @Plan:name values and where they are, `statements` how many there are, `late`
    what is wrong if a plan's annotation comes after one of them.
    """

    def __init__(self, text: str) -> None:
        self.names: list[tuple[str, int]] = []
        self._text = text
        self._brackets: list[tuple[str, int]] = []
        self.late: Problem | None = None
        self._annotation: list[str] = []
        self._statement: _Statement | None = None
        self._partition: int | None = None
        self.statements = 0
        self._waiting: int | None = None
        """Where an annotation began that the next statement has to take."""

    def read(self) -> Problem | None:
        """Read to the end; return the first problem."""
        end = 0
        while (token := _TOKEN.search(self._text, self._past_dull(end))) is not None:
            end = token.end()
            if token.group() == "{" and self._wants("{"):
                end = self._script_end(token.start())
                if end < 0:
                    return self._problem("unbalanced", "'{' is never closed", token.start())
                self._in_statement("{", end)
            elif (problem := self._take(token)) is not None:
                return problem
        return self._finish()

    def _past_dull(self, at: int) -> int:
        """Return where the next token may be that matters: most of a plan is passed over in C."""
        if self._brackets:
            dull = _DULL_INSIDE.match(self._text, at)
        elif self._annotation or (self._statement and _ANY in self._statement.missing):
            return at
        elif self._statement is None:
            dull = _WHOLE.match(self._text, at)
            if dull is not None:
                self.statements, self._waiting = self.statements + 1, None
        else:
            dull = _DULL_WORDS.match(self._text, at)
        return dull.end() if dull is not None else at

    def _script_end(self, start: int) -> int:
        """Return where the function body that begins at `start` is over, -1 if nowhere."""
        depth = 0
        for token in _SCRIPT.finditer(self._text, start):
            depth += (token.lastgroup == "open") - (token.lastgroup == "close")
            if depth == 0 and token.lastgroup == "close":
                return token.end()
        return -1

    def _finish(self) -> Problem | None:
        """Judge what is open at the end of the plan."""
        if self._brackets:
            bracket, at = self._brackets[-1]
            return self._problem("unbalanced", f"{bracket!r} is never closed", at)
        problem = self._end_statement()
        if problem is not None:
            return problem
        if self._waiting is not None:
            return self._problem("unfinished", "no statement follows", self._waiting)
        if self._partition is not None:
            return self._problem("unfinished", "the partition has no 'end'", self._partition)
        return None

    def _problem(self, code: str, reason: str, at: int) -> Problem:
        return Problem(code, reason, _line_at(self._text, at))

    def _take(self, token: re.Match[str]) -> Problem | None:
        """Take one token; comments have no group."""
        group = token.lastgroup
        if group is None:
            return None
        if group == "loose":
            what = "comment" if token.group() == "/*" else "text"
            reason = f"{token.group()} begins a {what} that does not end"
            return self._problem("unbalanced", reason, token.start())
        if group in {"open", "close"}:
            return self._open(token) if group == "open" else self._close(token)
        if token.group() in {"{", "}"}:
            reason = f"{token.group()!r} outside a function's body"
            return self._problem("statement", reason, token.start())
        if self._brackets:
            return self._inside(group, token)
        return self._outside(group, token)

    def _open(self, token: re.Match[str]) -> Problem | None:
        if not self._brackets and self._wants("("):
            if _ATTRIBUTES.match(self._text, token.start()) is None:
                reason = "not a list of attributes: (name type, ...)"
                return self._problem("attributes", reason, token.start())
            self._in_statement("(", token.start())
        self._brackets.append((token.group(), token.start()))
        return None

    def _close(self, token: re.Match[str]) -> Problem | None:
        if not self._brackets or _CLOSES[self._brackets[-1][0]] != token.group():
            return self._problem("unbalanced", f"{token.group()!r} closes nothing", token.start())
        self._brackets.pop()
        if not self._brackets:
            self._annotation = []
        return None

    def _inside(self, group: str, token: re.Match[str]) -> Problem | None:
        """Take a token inside brackets: only `;` and the text of a name annotation matter."""
        if group == "end":
            bracket, at = self._brackets[-1]
            return self._problem("unbalanced", f"{bracket!r} is not closed before ';'", at)
        if group in _TEXTS and self._annotation == _NAME_HEAD:
            self.names.append((token.group(group), token.start()))
        return None

    def _outside(self, group: str, token: re.Match[str]) -> Problem | None:
        """Take a word, text, `;` or sign outside all brackets."""
        word = token.group().lower()
        if self._annotation and (word == ":" or self._annotation[-1] in {"@", ":"}):
            return self._in_annotation(word, token.start())
        self._annotation = []
        if group == "end":
            if self._statement is None:
                return self._problem("statement", "';' ends nothing", token.start())
            return self._end_statement()
        if self._statement is not None:
            self._in_statement(word, token.start())
            return None
        if word == "@":
            self._annotation, self._waiting = ["@"], token.start()
            return None
        return self._begin_statement(word, token)

    def _in_annotation(self, word: str, at: int) -> Problem | None:
        """Take a part of an annotation's name; those of the plan come before all statements."""
        self._annotation.append(word)
        if self._annotation == ["@", "plan", ":"]:
            self._waiting = None
            if self.statements and self.late is None:
                self.late = self._problem("statement", "@Plan annotations come first", at)
        elif word == ":":
            return self._problem("statement", "only @Plan: has a colon", at)
        return None

    def _begin_statement(self, word: str, token: re.Match[str]) -> Problem | None:
        needs = _NEEDS.get(word)
        if needs is None or (word == "end" and self._partition is None):
            reason = f"no statement begins with {token.group()!r}"
            return self._problem("statement", reason, token.start())
        if word == "end":
            self._partition = None
        self.statements += 1
        self._waiting = None
        self._statement = _Statement(word, token.start(), needs)
        return None

    def _wants(self, word: str) -> bool:
        return self._statement is not None and word in self._statement.missing

    def _in_statement(self, word: str, at: int) -> None:
        """Take a word of the statement that is being read."""
        statement = self._statement
        assert statement is not None, "only called inside a statement"
        if word == "end" and not statement.missing and self._partition is not None:
            self._partition, self._statement = None, _Statement("end", at)
        elif word in statement.missing or _ANY in statement.missing:
            statement.missing = _THEN.get(word, frozenset()) - {word}
            if word == "begin":
                self._partition, self._statement = statement.at, None

    def _end_statement(self) -> Problem | None:
        """Judge the statement that ends here, if there is one."""
        statement, self._statement = self._statement, None
        if statement is None or not statement.missing:
            return None
        wanted = " or ".join(f"'{word}'" for word in sorted(statement.missing - {_ANY}))
        reason = f"the statement that begins with '{statement.word}' ends too early"
        if wanted:
            reason += f": {wanted} is missing"
        return self._problem("unfinished", reason, statement.at)
