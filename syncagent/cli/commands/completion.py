"""`syncagent completion`: a script for the shell, which asks this program at each Tab."""

from __future__ import annotations

import click
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from syncagent.cli.help import ExampleCommand
from syncagent.cli.session import config_option
from syncagent.core.errors import ExitCode

_SHELLS: dict[str, type[ShellComplete]] = {
    "bash": BashComplete,
    "zsh": ZshComplete,
    "fish": FishComplete,
}


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent completion bash > /etc/bash_completion.d/syncagent", "for every user"),
        ('eval "$(syncagent completion zsh)"', "in ~/.zshrc"),
        ("syncagent completion fish > ~/.config/fish/completions/syncagent.fish", "for fish"),
    ],
)
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@config_option
@click.pass_context
def completion(ctx: click.Context, shell: str) -> ExitCode:
    """Write a completion script for a shell."""
    maker = _SHELLS[shell](ctx.find_root().command, {}, "syncagent", "_SYNCAGENT_COMPLETE")
    # Not maker.source(): for bash that runs the shell to learn its version.
    click.echo(maker.source_template % maker.source_vars())
    return ExitCode.DONE
