"""The list of commands; each one's module is imported when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

import click

from syncagent.cli.help import CODES, ExampleGroup


class Entry(NamedTuple):
    """Where a command is defined, and its line in the list (its own help says the same)."""

    module: str
    attribute: str
    summary: str


COMMANDS: dict[str, Entry] = {
    "run": Entry("agent", "run", "Run the agent in the foreground until SIGTERM."),
    "init": Entry("init", "init", "Make a settings file, a state folder and a key for this node."),
    "doctor": Entry(
        "doctor",
        "doctor",
        "Look at all that this node needs, and say what to do about what is wrong; change nothing.",
    ),
    "status": Entry("status", "status", "Show the cluster: every node, and what holds it up."),
    "get": Entry(
        "lists", "get", "List nodes, artifacts, revisions, or what waits, was refused or was kept."
    ),
    "describe": Entry(
        "describe", "describe", "Show one artifact: its bytes, and what each node made of it."
    ),
    "diff": Entry(
        "diff", "diff", "Show what differs between a node, or a revision, and a revision."
    ),
    "validate": Entry(
        "validate", "validate", "Check artifacts as the agent would before it lets them pass."
    ),
    "reconcile": Entry(
        "reconcile",
        "reconcile",
        "Compare every file on every node with the current revision, and mend what differs.",
    ),
    "wait": Entry(
        "waiting",
        "wait",
        "Wait until what is on disk now is on all reachable nodes, deployed there, or ready here.",
    ),
    "approve": Entry(
        "decide", "approve", "Release what is held, on every node that holds the same."
    ),
    "reject": Entry(
        "decide",
        "reject",
        "Refuse what is held: the last good revision stays, and what was deleted comes back.",
    ),
    "restore": Entry(
        "decide",
        "restore",
        "Bring quarantined bytes back to where they were: the manager makes a revision of them.",
    ),
    "redeploy": Entry(
        "redeploy", "redeploy", "Have the runtimes take up an artifact again, as it should be."
    ),
    "undeploy": Entry(
        "redeploy", "undeploy", "Take an artifact away from a node for a while, to debug that node."
    ),
    "leader": Entry("leader", "leader", "Show who leads, by what right, and why nobody does."),
    "pause": Entry("lead", "pause", "Have the whole cluster stand still."),
    "resume": Entry("lead", "resume", "End a pause of the cluster."),
    "promote": Entry("lead", "promote", "Make this node the manager."),
    "switchover": Entry("lead", "switchover", "Hand over to another node, in order."),
    "events": Entry("events", "events", "Show what happened on this node, oldest first."),
    "keys": Entry("keys", "keys", "Show this node's key, or trust a peer's."),
    "config": Entry("config", "config", "Check or show the settings."),
    "serve": Entry(
        "agent", "serve", "Join a peer that an OpenSSH server let in with the running agent."
    ),
    "completion": Entry("completion", "completion", "Write a completion script for a shell."),
    "version": Entry("version", "version", "Show the version of this program."),
}

LATER = frozenset(
    "check history rollback".split()  # noqa: SIM905 - a list of words
)
"""Commands that are planned; typing one says so."""


class LazyGroup(ExampleGroup):
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
    examples=[
        ("syncagent status", "every node of the cluster"),
        ("syncagent reconcile", "compare everything now, and mend"),
        ("syncagent status --help", "every command has examples"),
    ],
    exits=CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def root() -> None:
    """Keep the Synapse artifacts and Siddhi plans of a gateway cluster the same on every node."""
