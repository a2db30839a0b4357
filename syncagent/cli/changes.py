"""Changes as text: what `diff` and `reconcile` show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.cli.reading import Row, items, text
from syncagent.cli.words import harmless, paint

if TYPE_CHECKING:
    from collections.abc import Sequence

_GREEN, _RED, _RESET = "\x1b[32m", "\x1b[31m", "\x1b[0m"
_WORD = len("update")


def changes_text(changes: Sequence[Row], *, colour: bool) -> str:
    """Return one line for each change, and the lines of its text below it where there are any."""
    lines = []
    for change in changes:
        word = text(change, "change")
        pad = " " * (_WORD - len(word))
        path = f"{text(change, 'tree')}:{text(change, 'path')}"
        lines.append(f"{paint(word, colour=colour)}{pad}  {path}")
        lines += [
            _diff_line(harmless(str(line).rstrip("\n")), colour=colour)
            for line in items(change.get("text"))
        ]
    return "".join(f"{line}\n" for line in lines)


def _diff_line(line: str, *, colour: bool) -> str:
    if not colour or not line.startswith(("+", "-")):
        return line
    return f"{_GREEN if line[0] == '+' else _RED}{line}{_RESET}"
