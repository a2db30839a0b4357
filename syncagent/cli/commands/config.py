"""`syncagent config`: look at the settings without starting anything."""

from __future__ import annotations

import json

import click

from syncagent.agent.wiring import tools
from syncagent.cli.help import ExampleCommand, ExampleGroup
from syncagent.cli.session import Session, config_option, pass_session
from syncagent.core.errors import ExitCode


@click.group(
    cls=ExampleGroup,
    examples=[
        ("syncagent config check", "list every mistake"),
        ("syncagent config show", "what is in force, and why"),
    ],
)
def config() -> None:
    """Check or show the settings."""


@config.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent config check", "before a restart or in CI"),
        ("syncagent config check --config new.toml", "another file"),
    ],
    exits={0: "no mistakes", 2: "mistakes; every one is listed with its line"},
)
@config_option
@pass_session
def check(session: Session) -> ExitCode:
    """Read the settings and list every mistake."""
    settings = session.settings
    click.echo(f"{session.config}: good; node {settings.node} of cluster {settings.cluster}")
    return ExitCode.DONE


@config.command(
    cls=ExampleCommand,
    examples=[("syncagent config show", "every value, and where it comes from")],
    exits={2: "the settings have mistakes"},
)
@config_option
@pass_session
def show(session: Session) -> ExitCode:
    """Show the effective settings as TOML, with where each value comes from."""
    click.echo(tools.settings_as_toml(session.config), nl=False)
    return ExitCode.DONE


@config.command(
    cls=ExampleCommand,
    examples=[("syncagent config schema > syncagent.schema.json", "for an editor")],
)
@config_option
@pass_session
def schema(session: Session) -> ExitCode:  # noqa: ARG001 - `--config` is taken everywhere
    """Write the JSON schema of the settings file."""
    click.echo(json.dumps(tools.settings_schema(), indent=2))
    return ExitCode.DONE
