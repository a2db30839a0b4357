"""`syncagent leader`: who leads, by what right, and why nobody does."""

from __future__ import annotations

import click

from syncagent.cli.help import ExampleCommand
from syncagent.cli.reading import Row, as_row, number, text
from syncagent.cli.session import Session, config_option, output_option, pass_session
from syncagent.cli.words import renewed
from syncagent.core.errors import ExitCode


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent leader", "who leads, its epoch, and how old its last renewal is"),
        ("syncagent leader -o json", "for programs"),
    ],
    exits={0: "there is a manager", 7: "there is none; it says why"},
)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def leader(session: Session) -> ExitCode:
    """Show who leads, by what right, and why nobody does."""
    status = as_row(session.ask("status"))
    manager = text(status, "manager")
    answer = {"manager": status.get("manager"), **as_row(status.get("leader"))}
    session.emit(answer, lambda _: _lines(manager, answer))
    return ExitCode.DONE if manager else ExitCode.BUSY


def _lines(manager: str, answer: Row) -> str:
    backend = text(answer, "backend")
    if not manager:
        return f"no manager ({backend}): {text(answer, 'why')}\n"
    lease = renewed(number(answer, "renewed_s"))
    return f"{manager} is the manager (epoch {text(answer, 'epoch')}, {backend}{lease})\n"
