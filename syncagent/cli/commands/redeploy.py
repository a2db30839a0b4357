"""By hand: `syncagent redeploy` and `undeploy`, of one artifact, on one node or on all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from syncagent.cli.candidates import ARTIFACTS, NODES
from syncagent.cli.help import ExampleCommand
from syncagent.cli.reading import Row, as_row, rows, text
from syncagent.cli.session import Session, config_option, output_option, pass_session, talk
from syncagent.core.errors import ExitCode
from syncagent.core.units import parse_duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.desk import JSON

ANSWER_S = 60.0
"""How long the nodes may take: the agent gives up on a silent one long before."""

_EXITS: Mapping[int, str] = {
    0: "done on every node that was meant",
    1: "done on no node",
    4: "done on some nodes only",
    6: "there is no such artifact",
    7: "this node is not the manager, which alone can do it elsewhere",
    9: "that node, or the agent here, can't be reached",
}


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent redeploy api/Pizza--v1.0", "on every node, on the manager"),
        ("syncagent redeploy api/Pizza--v1.0 --node gw-2", "there only; ends an undeploy there"),
        ("syncagent wait --deployed", "and see what the runtimes make of it"),
    ],
    exits=_EXITS,
)
@click.argument("artifact", metavar="[TREE:]KIND/NAME", shell_complete=ARTIFACTS)
@click.option("--node", metavar="NODE", shell_complete=NODES, help="On this node only.")
@output_option("table", "json", "yaml")
@config_option
@pass_session
def redeploy(session: Session, artifact: str, node: str | None) -> ExitCode:
    """Have the runtimes take up an artifact again, as it should be.

    The file's bytes stay as they are; only its time moves on, which a runtime takes for an update.
    Where the artifact was undeployed, or its runtime had put something else in its place, the
    file comes back. The manager does it on every node, a worker on itself (with --node).
    """
    answer = _ask(session, "redeploy", artifact, node, {})
    session.emit(answer, lambda _: _text(answer, "told again"))
    return _code(session, answer, "syncagent wait --deployed")


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent undeploy api/Pizza--v1.0 --node gw-2", "there, for an hour"),
        ("syncagent undeploy api/Pizza--v1.0 --node gw-2 --for 10m", "again: for 10 min from now"),
        ("syncagent redeploy api/Pizza--v1.0 --node gw-2", "end it"),
    ],
    exits=_EXITS,
)
@click.argument("artifact", metavar="[TREE:]KIND/NAME", shell_complete=ARTIFACTS)
@click.option("--node", metavar="NODE", shell_complete=NODES, help="On this node only.")
@click.option(
    "--for",
    "for_",
    metavar="DURATION",
    default="1h",
    show_default=True,
    help="After this time it comes back by itself.",
)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def undeploy(session: Session, artifact: str, node: str | None, for_: str) -> ExitCode:
    """Take an artifact away from a node for a while, to debug that node.

    The revision stays as it is: no other node changes, nothing is deleted from the cluster, and
    `reconcile` lets it be. `status` lists it. It ends by itself, or with `redeploy`.
    """
    try:
        for_s = parse_duration(for_)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--for'") from error
    if for_s <= 0:
        raise click.BadParameter(f"{for_} is no time at all", param_hint="'--for'")
    answer = _ask(session, "undeploy", artifact, node, {"for_s": for_s})
    session.emit(answer, lambda _: _text(answer, f"undeployed until {text(answer, 'until')}"))
    where = f" --node {node}" if node else ""
    return _code(session, answer, f"syncagent redeploy {artifact}{where} ends it")


def _ask(
    session: Session, verb: str, artifact: str, node: str | None, more: Mapping[str, JSON]
) -> Row:
    """Put the question. Raises click.BadParameter if the artifact is named without its kind."""
    if "/" not in artifact:
        raise click.BadParameter(
            f"{artifact!r} has no kind; write KIND/NAME, for example api/{artifact}",
            param_hint="'[TREE:]KIND/NAME'",
        )
    where: dict[str, JSON] = {} if node is None else {"node": node}
    return as_row(session.ask(verb, {"artifact": artifact, **where, **more}, timeout_s=ANSWER_S))


def _text(answer: Row, done: str) -> str:
    """Return a line for each node: what was done there, or why it was not."""
    what = f"{text(answer, 'kind')}/{text(answer, 'name')}"
    lines = []
    for node in rows(answer.get("nodes")):
        reason = text(node, "reason")
        outcome = done if node.get("done") is True else "not done"
        lines.append(
            f"{what} on {text(node, 'node')}: {outcome}{f': {reason}' if reason else ''}\n"
        )
    return "".join(lines)


def _code(session: Session, answer: Row, following: str) -> ExitCode:
    """Return how many nodes it was: all, some or none; say what comes next."""
    done = [node.get("done") is True for node in rows(answer.get("nodes"))]
    if any(done) and session.for_people and session.style.width is not None:
        talk(f"  next: {following}")
    if all(done):
        return ExitCode.DONE
    return ExitCode.PARTLY if any(done) else ExitCode.ERROR
