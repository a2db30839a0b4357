"""The agent itself: `run`, and `serve` for an OpenSSH server in front of it."""

from __future__ import annotations

import click

from syncagent.agent.wiring import tools
from syncagent.cli.help import ExampleCommand
from syncagent.cli.session import Session, config_option, pass_session
from syncagent.core.errors import ExitCode


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent run", "in the foreground; systemd starts it like this"),
        ("syncagent run --config gw-1.toml", "with other settings"),
    ],
    exits={
        0: "stopped by SIGTERM",
        1: "the state is damaged, or of another node: it says what to do",
        2: "the settings are wrong, or the gateway brings its artifacts itself",
        7: "an agent runs on this state folder already, or its address is taken",
    },
)
@config_option
@pass_session
def run(session: Session) -> int:
    """Run the agent in the foreground until SIGTERM."""
    return tools.run(session.config)


@click.command(
    cls=ExampleCommand,
    examples=[
        (
            'command="syncagent serve --stdio --peer gw-2",restrict ssh-ed25519 AAAA...',
            "in authorized_keys",
        ),
    ],
    exits={0: "the peer hung up", 9: "no agent runs"},
)
@click.option("--stdio", is_flag=True, required=True, help="Speak on stdin and stdout.")
@click.option("--peer", metavar="NAME", required=True, help="Whose key sshd has checked.")
@config_option
@pass_session
def serve(session: Session, *, stdio: bool, peer: str) -> ExitCode:
    """Join a peer that an OpenSSH server let in with the running agent."""
    assert stdio, "click demands the flag"
    tools.serve_stdio(session.settings, peer)
    return ExitCode.DONE
