"""Who leads, and whether anything moves: promote, switchover, pause, resume."""

from __future__ import annotations

import getpass
import os
from typing import TYPE_CHECKING

import click

from syncagent.cli.candidates import NODES
from syncagent.cli.help import ExampleCommand
from syncagent.cli.reading import Row, as_row, text
from syncagent.cli.session import Session, config_option, output_option, pass_session, talk
from syncagent.core.errors import ExitCode
from syncagent.core.units import parse_duration

if TYPE_CHECKING:
    from syncagent.core.desk import JSON

CHANGE_S = 180.0
"""How long a change of managers may take: the agent gives up before, and says why."""


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent promote", "make this node the manager; the old one steps down"),
        ("syncagent promote --force", "the old one is gone and will not come back by itself"),
    ],
    exits={
        0: "this node is the manager",
        6: "this node can't lead",
        7: "the old manager can't be reached (see --force), or keeps its lease",
    },
)
@click.option(
    "--force",
    is_flag=True,
    help="Also when the old manager can't be reached; what only it had is not waited for.",
)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def promote(session: Session, *, force: bool) -> ExitCode:
    """Make this node the manager."""
    wish: dict[str, JSON] = {"force": force, "timeout_s": CHANGE_S}
    answer = as_row(session.ask("promote", wish, timeout_s=CHANGE_S))
    session.emit(answer, lambda _: _leads(answer))
    return ExitCode.DONE


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent switchover gw-2", "on the manager: gw-2 leads from now on"),
        ("syncagent switchover", "the best of the others does: before this machine is serviced"),
    ],
    exits={
        0: "the node that was meant is the manager",
        4: "another node than the one that was meant is the manager",
        6: "that node can't lead",
        7: "this node is not the manager, or no other can lead",
        8: "that node did not get the newest revision in time, or nobody took over",
        9: "that node, or the agent here, can't be reached",
    },
)
@click.argument("node", required=False, shell_complete=NODES)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def switchover(session: Session, node: str | None) -> ExitCode:
    """Hand over to another node, in order.

    What is being committed is finished, the other node gets the newest revision, then it leads.
    """
    wish: dict[str, JSON] = {"timeout_s": CHANGE_S}
    if node is not None:
        wish["node"] = node
    answer = as_row(session.ask("switchover", wish, timeout_s=CHANGE_S))
    session.emit(answer, lambda _: _leads(answer))
    if node is not None and text(answer, "manager") != node:
        talk(f"{node} did not take over in time: {text(answer, 'manager')} was first")
        return ExitCode.PARTLY
    return ExitCode.DONE


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent pause --for 2h", "on the manager: nothing moves for two hours"),
        ("syncagent pause", "until `syncagent resume`"),
    ],
    exits={0: "paused", 7: "this node is not the manager"},
)
@click.option("--for", "for_", metavar="DURATION", help="End by itself after this time.")
@output_option("table", "json", "yaml")
@config_option
@pass_session
def pause(session: Session, for_: str | None) -> ExitCode:
    """Have the whole cluster stand still.

    The manager declares and sends nothing, and no node puts back what is changed by hand. What is
    being committed is finished. It outlasts restarts and changes of manager.
    """
    wish: dict[str, JSON] = {"by": _who()}
    if for_ is not None:
        wish["for_s"] = _length(for_)
    answer = as_row(session.ask("pause", wish))
    end = text(answer, "until")
    until = f"until {end}" if end else "until `syncagent resume`"
    session.emit(answer, lambda _: f"the cluster is paused {until}\n")
    return ExitCode.DONE


@click.command(
    cls=ExampleCommand,
    examples=[("syncagent resume", "on the manager: all that has changed meanwhile travels now")],
    exits={0: "nothing is paused (any more)", 7: "this node is not the manager"},
)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def resume(session: Session) -> ExitCode:
    """End a pause of the cluster."""
    answer = as_row(session.ask("resume"))
    was = answer.get("resumed") is True
    session.emit(answer, lambda _: "resumed\n" if was else "nothing was paused\n")
    return ExitCode.DONE


def _leads(answer: Row) -> str:
    return f"{text(answer, 'manager')} is the manager (epoch {text(answer, 'epoch')})\n"


def _length(for_: str) -> float:
    """Return a length of time in seconds. Raises click.BadParameter."""
    try:
        for_s = parse_duration(for_)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--for'") from error
    if for_s <= 0:
        raise click.BadParameter(f"{for_} is no time at all", param_hint="'--for'")
    return for_s


def _who() -> str:
    """Return who is asking, for the others to know whom to ask."""
    try:
        return f"{getpass.getuser()}@{os.uname().nodename}"
    except (KeyError, OSError):
        # A user without a name, as in a container.
        return f"uid {os.getuid()}@{os.uname().nodename}"
