"""`syncagent init`: a first settings file, a state folder and a key."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from syncagent.agent.wiring import tools
from syncagent.cli.commands.share import share
from syncagent.cli.help import ExampleCommand
from syncagent.cli.reading import Row, items, rows, text
from syncagent.cli.session import Session, config_option, output_option, pass_session, talk
from syncagent.core.errors import ExitCode

STATE_DIR = "/var/lib/syncagent"


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent init --cluster apim-prod --home /opt/wso2am-3.1.0", "on each node"),
        (
            "syncagent init --cluster c --peer gw-2=10.0.0.12:7421 --tree conf=generic:/srv/conf",
            "any folder",
        ),
        ("syncagent init --new-identity", "after this node was copied from another"),
        ("syncagent init --lease-table", "once, with the settings of any node: election by sql"),
        ("syncagent init --share", "on each node, with the shared mount there: mode shared"),
        (
            "syncagent init --share --from node",
            "the share holds other artifacts: the node is right",
        ),
        ("syncagent init --re-enrol", "after `run` refused a guard that is missing or damaged"),
    ],
    exits={
        0: "made, or there already",
        2: "what was asked for has mistakes; nothing was made",
        5: "--share: share and node hold different artifacts; say --from which",
        7: "the settings file exists (--force), or an agent runs",
        9: "--re-enrol: no peer answered (--force)",
    },
)
@click.option("--cluster", metavar="NAME", default="", help="Name of the cluster.")
@click.option("--node", metavar="NAME", default="", help="Name of this node. Default: its host.")
@click.option("--home", metavar="FOLDER", default="", help="Where the gateway is installed.")
@click.option(
    "--tree",
    metavar="NAME=KIND:PATH",
    multiple=True,
    help="A folder to keep equal; KIND is synapse, siddhi or generic. May be repeated.",
)
@click.option("--listen", metavar="HOST:PORT", default="", help="Where peers reach this node.")
@click.option("--manager", metavar="NAME", default="", help="Which node leads at first.")
@click.option(
    "--peer", metavar="NAME=HOST:PORT", multiple=True, help="Another node; may be repeated."
)
@click.option(
    "--state-dir",
    metavar="FOLDER",
    default=STATE_DIR,
    show_default=True,
    help="Where the agent keeps what it has to remember.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Write over a settings file that exists; with --re-enrol: go on without any answer; "
    "with --share: take folders on a local disk.",
)
@click.option(
    "--new-identity",
    is_flag=True,
    help="Only make this node a new one: new key; what it remembered is moved to `former-N`.",
)
@click.option(
    "--re-enrol",
    is_flag=True,
    help="Only begin the guard anew, at the highest epoch that the peers know.",
)
@click.option(
    "--lease-table",
    is_flag=True,
    help="Only make the table that [election] needs in its database, if it is not there.",
)
@click.option(
    "--share",
    is_flag=True,
    help="Only put .syncagent-root, by which a shared mount is known, into its folders.",
)
@click.option(
    "--from",
    "side",
    type=click.Choice(["share", "node"]),
    help="With --share: whose artifacts are right; those of the other side go to quarantine.",
)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def init(session: Session, /, **asked: str | bool | tuple[str, ...] | None) -> ExitCode:
    """Make a settings file, a state folder and a key for this node."""
    alone = ("new_identity", "re_enrol", "lease_table", "share")
    if len(chosen := [f"--{name.replace('_', '-')}" for name in alone if asked[name]]) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} are two things: run one, then the other")
    if asked["side"] and not asked["share"]:
        raise click.UsageError("--from needs --share")
    if asked["share"]:
        return share(session, side=str(asked["side"] or ""), force=bool(asked["force"]))
    if asked["lease_table"]:
        return _lease_table(session)
    if asked["re_enrol"]:
        return _re_enrol(session, force=bool(asked["force"]))
    if asked["new_identity"]:
        line = tools.renew_identity(session.settings)
        session.emit({"public_key": line}, lambda _: f"{line}\n")
        talk("  next: give this key to the other nodes, then: syncagent run")
        return ExitCode.DONE
    peers, trees = asked["peer"], asked["tree"]
    assert isinstance(peers, tuple), "the option may be repeated"
    assert isinstance(trees, tuple), "the option may be repeated"
    wish = {key: value for key, value in asked.items() if isinstance(value, str | bool)}
    wish["node"] = wish["node"] or socket.gethostname().partition(".")[0]
    made = tools.initialize(wish, peers, trees, Path(session.config).absolute())
    session.emit(made, lambda _: _text(made))
    return ExitCode.DONE


def _lease_table(session: Session) -> ExitCode:
    """Make the table of the lease; say where."""
    table = tools.install_lease_table(session.settings)
    word = "made" if table["made"] else "there already"
    session.emit(table, lambda _: f"{text(table, 'table')} in {text(table, 'database')}: {word}\n")
    return ExitCode.DONE


def _re_enrol(session: Session, *, force: bool) -> ExitCode:
    """Begin the guard anew; say which peers answered."""
    found = tools.re_enrol(session.settings, force=force)
    session.emit(found, lambda _: _enrolled_text(found))
    for warning in items(found.get("warnings")):
        talk(f"warning: {warning}")
    talk("  next: syncagent run")
    return ExitCode.DONE


def _enrolled_text(found: Row) -> str:
    holder, before = text(found, "holder"), text(found, "before")
    was = f"it was {before}" if before else text(found, "fault")
    by = f", held by {holder}" if holder else ""
    lines = [f"epoch {text(found, 'epoch')}{by} ({was})"]
    lines += [
        f"answered: {text(peer, 'name')} (epoch {text(peer, 'epoch')}, revision {text(peer, 'revision')})"
        for peer in rows(found.get("answered"))
    ]
    lines += [
        f"silent: {text(peer, 'name')} ({text(peer, 'reason')})"
        for peer in rows(found.get("silent"))
    ]
    return "".join(f"{line}\n" for line in lines)


def _text(made: Row) -> str:
    """Return what was made, what to know, and what to do next."""
    lines = [
        f"settings    {text(made, 'path')}",
        f"state       {text(made, 'state_dir')}",
        f"gateway     {text(made, 'gateway') or '-'}",
        f"trees       {', '.join(str(tree) for tree in items(made.get('trees'))) or '-'}",
        f"public key  {text(made, 'public_key')}",
        *(f"note: {note}" for note in items(made.get("notes"))),
        *(f"next: {step}" for step in items(made.get("steps"))),
    ]
    return "".join(f"{line}\n" for line in lines)
