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
    r'|"""(?P<long>.*?)"""|"(?P<double>[^"\r\n]*)"|\'(?P<single>[^\'\r\n]*)\''
    r"|(?P<open>[(\[])|(?P<close>[)\]])|(?P<end>;)"
    r"|(?P<loose>/\*|\"\"\"|[\"'])"
    r"|(?P<word>[^\W\d]\w*)|(?P<other>[^\s\w])",
    re.DOTALL,
)
_SCRIPT = re.compile(
    r"""//[^\r\n]*|"[^"]*"|'[^'\r\n]*'|(?P<open>\{)|(?P<close>\})""",
)
"""What counts in the body of a function, which is another language: `--` is no comment there."""
_TEXTS = frozenset({"long", "double", "single"})
_CLOSES = {"(": ")", "[": "]"}
_NEEDS = {
    "define": frozenset({"stream", "table", "window", "trigger", "function"}),
    "from": frozenset({"insert", "delete", "update", "return"}),
    "partition": frozenset({"begin"}),
    "end": frozenset[str](),
}
"""With which word a statement begins, and one of which words it must have."""
_NAME_HEAD = ["@", "plan", ":", "name"]
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def examine_plan(path: str, content: bytes) -> tuple[Facts, tuple[Problem, ...]]:
    """Judge a plan's bytes: name, balance, statements. Problems hold errors first."""
    text = _text_of(content)
    if isinstance(text, Problem):
        return Facts(), (text,)
    reader = _Reader(text)
    problem = reader.read() or _name_problem(reader.names)
    if problem is not None:
        return Facts(), (problem,)
    name = reader.names[0][0]
    if stem_of(path) == name:
        return Facts(name), ()
    reason = f"the file of the plan {name!r} would be {name}.siddhiql if the runtime wrote it"
    return Facts(name), (Problem("file-name", reason, 0, Severity.WARNING),)


def _text_of(content: bytes) -> str | Problem:
    """Return a plan's text, or why the bytes are none."""
    if not content.strip():
        return Problem("empty", "the file is empty")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return Problem("encoding", f"not UTF-8 text: {error.reason}", line)
    control = _CONTROL.search(text)
    if control is None:
        return text
    line = text.count("\n", 0, control.start()) + 1
    return Problem("binary", f"control character {control.group()!r}: not a text file", line)


def _name_problem(names: list[tuple[str, int]]) -> Problem | None:
    """Tell what is wrong with the plan's names and their lines; there has to be just one."""
    if not names:
        return Problem("no-name", "no @Plan:name('...'): the runtime needs it", 1)
    if len(names) > 1:
        reason = f"@Plan:name is there {len(names)} times: one plan per file"
        return Problem("several-names", reason, names[1][1])
    name, line = names[0]
    return None if name.strip() else Problem("no-name", "@Plan:name is empty", line)


@dataclass(slots=True)
class _Statement:
    """The statement that is being read: where it began and which words it still needs one of."""

    word: str
    at: int
    missing: frozenset[str] = field(default_factory=frozenset)


class _Reader:
    """One pass over a plan's tokens. `names` are its @Plan:name values with their lines."""

    def __init__(self, text: str) -> None:
        self.names: list[tuple[str, int]] = []
        self._text = text
        self._brackets: list[tuple[str, int]] = []
        self._annotation: list[str] = []
        self._statement: _Statement | None = None
        self._partition: int | None = None
        self._statements = 0

    def read(self) -> Problem | None:
        """Read to the end; return the first problem."""
        token = _TOKEN.search(self._text)
        while token is not None:
            end = token.end()
            if token.group() == "{":
                end = self._script_end(token.start())
                if end < 0:
                    return self._problem("unbalanced", "'{' is never closed", token.start())
            elif (problem := self._take(token)) is not None:
                return problem
            token = _TOKEN.search(self._text, end)
        return self._finish()

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
        if self._partition is not None:
            return self._problem("unfinished", "the partition has no 'end'", self._partition)
        return None if self._statements else Problem("no-statement", "the plan says nothing", 1)

    def _problem(self, code: str, reason: str, at: int) -> Problem:
        return Problem(code, reason, self._text.count("\n", 0, at) + 1)

    def _take(self, token: re.Match[str]) -> Problem | None:
        """Take one token; comments have no group."""
        group = token.lastgroup
        if group is None:
            return None
        if group == "loose":
            what = "comment" if token.group() == "/*" else "text"
            reason = f"{token.group()} begins a {what} that does not end"
            return self._problem("unbalanced", reason, token.start())
        if group == "open":
            self._brackets.append((token.group(), token.start()))
        elif group == "close":
            return self._close(token)
        elif self._brackets:
            self._inside(group, token)
        else:
            return self._outside(group, token)
        return None

    def _close(self, token: re.Match[str]) -> Problem | None:
        if not self._brackets or _CLOSES[self._brackets[-1][0]] != token.group():
            return self._problem("unbalanced", f"{token.group()!r} closes nothing", token.start())
        self._brackets.pop()
        if not self._brackets:
            self._annotation = []
        return None

    def _inside(self, group: str, token: re.Match[str]) -> None:
        """Take a token inside brackets: only the text of a name annotation matters."""
        if group in _TEXTS and self._annotation == _NAME_HEAD:
            line = self._text.count("\n", 0, token.start()) + 1
            self.names.append((token.group(group), line))

    def _outside(self, group: str, token: re.Match[str]) -> Problem | None:
        """Take a word, text, `;` or sign outside all brackets."""
        word = token.group().lower()
        if self._annotation and (word == ":" or self._annotation[-1] in {"@", ":"}):
            self._annotation.append(word)
            return None
        self._annotation = []
        if group == "end":
            return self._end_statement()
        if self._statement is not None:
            self._in_statement(word)
            return None
        if word == "@":
            self._annotation = ["@"]
            return None
        return self._begin_statement(word, token)

    def _begin_statement(self, word: str, token: re.Match[str]) -> Problem | None:
        needs = _NEEDS.get(word)
        if needs is None or (word == "end" and self._partition is None):
            reason = f"no statement begins with {token.group()!r}"
            return self._problem("statement", reason, token.start())
        if word == "end":
            self._partition = None
        self._statements += 1
        self._statement = _Statement(word, token.start(), needs)
        return None

    def _in_statement(self, word: str) -> None:
        statement = self._statement
        assert statement is not None, "only called inside a statement"
        if word not in statement.missing:
            return
        statement.missing = frozenset()
        if word == "begin":
            self._partition, self._statement = statement.at, None

    def _end_statement(self) -> Problem | None:
        """Judge the statement that ends here, if there is one."""
        statement, self._statement = self._statement, None
        if statement is None or not statement.missing:
            return None
        wanted = ", ".join(f"'{word}'" for word in sorted(statement.missing))
        reason = f"the statement that begins with '{statement.word}' has none of {wanted}"
        return self._problem("unfinished", reason, statement.at)
