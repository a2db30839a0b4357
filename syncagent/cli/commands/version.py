"""`syncagent version`."""

from __future__ import annotations

import click

from syncagent import __version__
from syncagent.cli.help import ExampleCommand
from syncagent.cli.session import Session, config_option, output_option, pass_session
from syncagent.core.errors import ExitCode


@click.command(
    cls=ExampleCommand,
    examples=[("syncagent version", "the version"), ("syncagent version -o json", "for programs")],
)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def version(session: Session) -> ExitCode:
    """Show the version of this program."""
    session.emit({"version": __version__}, lambda _: f"syncagent {__version__}\n")
    return ExitCode.DONE
