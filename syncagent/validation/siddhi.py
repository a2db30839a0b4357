"""Siddhi plans: enough of the language's surface to tell a whole plan from a broken one.

This is no compiler. It knows what is text, comment and bracket, that a plan has exactly one name,
and with which words a statement may begin; a file that was cut off or is not a plan at all does
not pass. What it lets through the runtime may still refuse.
"""

from __future__ import annotations

import re

from syncagent.core.artifact import stem_of
from syncagent.core.verdict import Facts, Problem, Severity

_TOKEN = re.compile(
    r"--[^\r\n]*|/\*.*?\*/"  # comments
    r'|"""(?P<long>.*?)"""|"(?P<double>[^"\r\n]*)"|\'(?P<single>[^\'\r\n]*)\''
    r"|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<end>;)"
    r"|(?P<loose>/\*|\"\"\"|[\"'])"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<other>[^\s\w])",
    re.DOTALL,
)
_CLOSES = {"(": ")", "[": "]", "{": "}"}
_OPENERS = frozenset({"define", "from", "partition", "end"})
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")


def examine_plan(path: str, content: bytes) -> tuple[Facts, tuple[Problem, ...]]:
    """Judge a plan's bytes: name, balance, statements. Problems hold errors first."""
    text = _text_of(content)
    if isinstance(text, Problem):
        return Facts(), (text,)
    plan = _Reader(text)
    problem = plan.read()
    if problem is not None:
        return Facts(), (problem,)
    if len(plan.names) != 1:
        return Facts(), (_name_problem(plan.names),)
    name = plan.names[0][0]
    if not name.strip():
        return Facts(), (Problem("no-name", "@Plan:name is empty", plan.names[0][1]),)
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


def _name_problem(names: list[tuple[str, int]]) -> Problem:
    if not names:
        return Problem("no-name", "no @Plan:name('...'): the runtime needs it", 1)
    reason = f"@Plan:name is there {len(names)} times: one plan per file"
    return Problem("several-names", reason, names[1][1])


class _Reader:
    """One pass over a plan's tokens. `names` are its @Plan:name values with their lines."""

    def __init__(self, text: str) -> None:
        self.names: list[tuple[str, int]] = []
        self._text = text
        self._open: list[tuple[str, int]] = []
        self._annotation = False
        self._recent: list[str] = []
        self._in_statement = False
        self._statements = 0

    def read(self) -> Problem | None:
        """Read to the end; return the first problem."""
        for token in _TOKEN.finditer(self._text):
            problem = self._take(token)
            if problem is not None:
                return problem
        if self._open:
            bracket, at = self._open[-1]
            return self._problem("unbalanced", f"{bracket!r} is never closed", at)
        if not self._statements:
            return Problem("no-statement", "the plan has no statement", 1)
        return None

    def _problem(self, code: str, reason: str, at: int) -> Problem:
        return Problem(code, reason, self._text.count("\n", 0, at) + 1)

    def _take(self, token: re.Match[str]) -> Problem | None:
        group = token.lastgroup
        if group is None:
            return None
        if group == "loose":
            what = "comment" if token.group() == "/*" else "text"
            return self._problem(
                "unbalanced", f"{token.group()} begins a {what} without end", token.start()
            )
        if group == "open":
            self._open.append((token.group(), token.start()))
        elif group == "close":
            return self._close(token)
        elif group in {"long", "double", "single"}:
            self._text_value(token.group(group), token.start())
        elif not self._open:
            return self._top(group, token)
        if self._open and group == "word":
            self._recent.append(token.group().lower())
        return None

    def _close(self, token: re.Match[str]) -> Problem | None:
        if not self._open or _CLOSES[self._open[-1][0]] != token.group():
            return self._problem("unbalanced", f"{token.group()!r} closes nothing", token.start())
        self._open.pop()
        if not self._open and self._annotation:
            self._annotation = False
            self._recent.clear()
        return None

    def _text_value(self, value: str, at: int) -> None:
        if self._annotation and self._recent == ["@", "plan", ":", "name"]:
            self.names.append((value, self._text.count("\n", 0, at) + 1))

    def _top(self, group: str, token: re.Match[str]) -> Problem | None:
        """Take a word, `;` or sign outside all brackets."""
        value = token.group().lower()
        if group == "end":
            self._in_statement = False
            return None
        if self._annotation:
            self._recent.append(value)
            return None
        if self._in_statement:
            # The body of a partition begins a statement of its own.
            self._in_statement = value != "begin"
            return None
        if value == "@":
            self._annotation, self._recent = True, ["@"]
            return None
        if value not in _OPENERS:
            return self._problem(
                "statement", f"no statement begins with {token.group()!r}", token.start()
            )
        self._in_statement = True
        self._statements += 1
        return None
