"""`syncagent doctor`: what this node needs, looked at piece by piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from syncagent.cli.help import ExampleCommand
from syncagent.cli.reading import Row, rows, text
from syncagent.cli.session import Session, config_option, output_option, pass_session
from syncagent.cli.words import paint
from syncagent.core.errors import ExitCode

if TYPE_CHECKING:
    from syncagent.cli.table import Style

_WORD = len("warn")


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent doctor", "before the first start, and when something is odd"),
        ("syncagent doctor -o json | jq '.checks[] | select(.found != \"ok\")'", "for programs"),
    ],
    exits={
        0: "nothing is broken; there may be warnings",
        1: "something is broken",
        2: "the settings have mistakes; nothing else was looked at",
    },
)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def doctor(session: Session) -> ExitCode:
    """Look at all that this node needs, and say what to do about what is wrong; change nothing."""
    found = session.examine(session.config)
    session.emit(dict(found), lambda style: _text(found, style))
    return ExitCode.ERROR if text(found, "found") == "fail" else ExitCode.DONE


def _text(found: Row, style: Style) -> str:
    """Return a line for each check, and what to do below it."""
    checks = rows(found.get("checks"))
    width = max((len(text(check, "check")) for check in checks), default=0)
    lines = []
    for check in checks:
        word, what = text(check, "found"), text(check, "check")
        pad = " " * (_WORD - len(word))
        lines.append(
            f"{paint(word, colour=style.colour)}{pad}  {what:{width}}  {text(check, 'text')}"
        )
        if text(check, "next"):
            lines.append(f"{'':{_WORD + width + 4}}next: {text(check, 'next')}")
    return "".join(f"{line}\n" for line in lines)
