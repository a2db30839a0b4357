"""`syncagent keys`: this node's key, and whose keys it trusts."""

from __future__ import annotations

import click

from syncagent.agent.wiring import tools
from syncagent.cli.candidates import STRANGERS
from syncagent.cli.help import ExampleCommand, ExampleGroup
from syncagent.cli.reading import as_row, rows, text
from syncagent.cli.session import Session, config_option, output_option, pass_session, talk
from syncagent.cli.table import Column, render
from syncagent.core.errors import ExitCode, UnreachableError

_STRANGER = (
    Column("NAME", lambda row: text(row, "name") or "-"),
    Column("ADDRESS", lambda row: text(row, "address"), spare=2),
    Column("AT", lambda row: text(row, "at"), spare=1),
    Column("KEY", lambda row: text(row, "key")),
    Column("REASON", lambda row: text(row, "reason")),
)


@click.group(
    cls=ExampleGroup,
    examples=[
        ("syncagent keys show", "this node's public key"),
        ("syncagent keys trust gw-3", "trust the key that gw-3 came with"),
    ],
)
def keys() -> None:
    """Show this node's key, or trust a peer's."""


@keys.command(
    cls=ExampleCommand,
    examples=[("syncagent keys show", "the line for `[[peer]] key` on the other nodes")],
)
@config_option
@pass_session
def show(session: Session) -> ExitCode:
    """Print this node's public key; make the key if there is none."""
    click.echo(tools.public_key(session.settings))
    return ExitCode.DONE


@keys.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent keys trust", "list the peers that were refused"),
        ("syncagent keys trust gw-3", "trust the key that gw-3 came with"),
        ("syncagent keys trust gw-3 'ssh-ed25519 AAAA...'", "trust this key, whoever came"),
    ],
    exits={6: "no such peer came, or the key can't be used", 9: "no agent runs"},
)
@click.argument("name", required=False, shell_complete=STRANGERS)
@click.argument("key", required=False)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def trust(session: Session, name: str | None, key: str | None) -> ExitCode:
    """Trust a peer's key, without a restart; without a NAME list who was refused."""
    if name is None:
        strangers = rows(session.ask("strangers"))
        if not strangers:
            talk("nobody was refused")
        session.emit(
            strangers, lambda style: render(_STRANGER, strangers, style) if strangers else ""
        )
        return ExitCode.DONE
    try:
        answer = as_row(
            session.ask("keys_trust", {"name": name, **({} if key is None else {"key": key})})
        )
    except UnreachableError:
        if key is None:
            raise
        answer = {"name": name, "fingerprint": tools.trust_key(session.settings, name, key)}
    session.emit(answer, lambda _: f"{text(answer, 'name')}  {text(answer, 'fingerprint')}\n")
    return ExitCode.DONE
