"""`syncagent diff`: what is different, between a node or two revisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from syncagent.cli.candidates import NODES
from syncagent.cli.changes import changes_text
from syncagent.cli.help import ExampleCommand
from syncagent.cli.reading import as_row, rows, text
from syncagent.cli.session import Session, config_option, output_option, pass_session, talk
from syncagent.core.errors import ExitCode

if TYPE_CHECKING:
    from syncagent.core.desk import JSON


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent diff", "this node against the current revision"),
        ("syncagent diff gw-2", "another node against the current revision"),
        ("syncagent diff 411", "revision 411 against the current one"),
        ("syncagent diff 409 411", "between two revisions"),
    ],
    exits={
        0: "nothing is different",
        3: "differences exist",
        9: "no agent runs: from files, whatever differs",
    },
)
@click.argument("first", metavar="[NODE | REV]", required=False, shell_complete=NODES)
@click.argument("second", metavar="[REV]", required=False, type=click.IntRange(0))
@output_option("table", "json", "yaml")
@config_option
@pass_session
def diff(session: Session, first: str | None, second: int | None) -> ExitCode:
    """Show what differs between a node, or a revision, and a revision."""
    arguments: dict[str, JSON] = {}
    if first is not None:
        arguments["from"] = int(first) if first.isdecimal() else first
    if second is not None:
        if not isinstance(arguments.get("from"), int):
            raise click.UsageError(f"{first!r} is a node: compare it with no second revision")
        arguments["to"] = second
    found, code = session.answer("diff", arguments)
    answer = as_row(found)
    changes = rows(answer.get("changes"))
    if changes and session.for_people and session.style.width is not None:
        talk(f"from {text(answer, 'from')} to {text(answer, 'to')}:")
    session.emit(answer, lambda style: changes_text(changes, colour=style.colour))
    return ExitCode.DIFFERENT if changes and code is ExitCode.DONE else code
