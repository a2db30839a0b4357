"""The list of commands; each one's module is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import click


class Entry(NamedTuple):
    """Where a command is defined, and its line in the list (its own help says the same)."""

    module: str
    attribute: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "status": Entry("status", "status", "Show the cluster: every node, and what holds it up."),
    "version": Entry("version", "version", "Show the version of this program."),
}

LATER = frozenset(
    "check doctor history pause redeploy resume rollback switchover undeploy".split()  # noqa: SIM905 - a list of words
)
"""Commands that are planned; typing one says so."""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports the one that is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order in which people meet them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return the command; None if there is no such."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = getattr(import_module(f"syncagent.cli.commands.{entry.module}"), entry.attribute)
        assert isinstance(command, click.Command), f"{cmd_name} is no command"
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that `args` starts with; say what was probably meant otherwise."""
        name = args[0]
        if name in COMMANDS or name.startswith("-"):
            return super().resolve_command(ctx, args)
        if name in LATER:
            raise click.UsageError(f"{name!r} is not in this version.", ctx)
        from difflib import get_close_matches  # noqa: PLC0415 - only for a typo

        close = get_close_matches(name, COMMANDS, n=3)
        meant = f" Did you mean {' or '.join(close)}?" if close else ""
        raise click.UsageError(f"There is no command {name!r}.{meant}", ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    name="syncagent",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def root() -> None:
    """Keep the Synapse artifacts and Siddhi plans of a gateway cluster the same on every node."""
