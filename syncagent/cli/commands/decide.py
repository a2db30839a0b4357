"""Decisions that only a person takes: approve, reject, restore."""

from __future__ import annotations

import click

from syncagent.cli.candidates import HELD, KEPT
from syncagent.cli.help import ExampleCommand
from syncagent.cli.reading import Row, as_row, count, items, text
from syncagent.cli.session import Session, config_option, output_option, pass_session
from syncagent.cli.words import harmless, plural
from syncagent.core.errors import ExitCode


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent get held", "first see what waits, and why"),
        ("syncagent approve b-0193", "release exactly what was shown"),
    ],
    exits={
        0: "released",
        7: "this node is not the manager",
        9: "the node that holds it is away",
    },
)
@click.argument("held_id", metavar="ID", shell_complete=HELD)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def approve(session: Session, held_id: str) -> ExitCode:
    """Release what is held, on every node that holds the same."""
    answer = as_row(session.ask("approve", {"id": held_id}))
    session.emit(answer, lambda _: _decided("released", answer))
    return ExitCode.DONE


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent get held", "first see what waits, and why"),
        ("syncagent reject b-0193", "bring back what the held change took away"),
        ("syncagent reject n-54343bb0", "a runtime refused it: the last good version, everywhere"),
    ],
    exits={
        0: "rejected",
        7: "this node is not the manager",
        9: "the node that holds it is away",
    },
)
@click.argument("held_id", metavar="ID", shell_complete=HELD)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def reject(session: Session, held_id: str) -> ExitCode:
    """Refuse what is held: the last good revision stays, and what was deleted comes back."""
    answer = as_row(session.ask("reject", {"id": held_id}))
    session.emit(answer, lambda _: _decided("rejected", answer))
    return ExitCode.DONE


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent get quarantine", "what was kept, with ids"),
        ("syncagent restore t1a-5c0ffee5c0ffee55", "bring one back"),
        ("syncagent restore gw-2:t7-5c0ffee5c0ffee55", "what another node kept, on the manager"),
        ("syncagent restore synapse:api/Pizza.xml", "bring back the newest kept of that path"),
    ],
    exits={
        0: "restored",
        6: "nothing of that id or path was kept, or it is not valid",
        7: "a revision is on its way",
        9: "no manager, or the node that kept it, can be reached",
    },
)
@click.argument("what", metavar="ID|PATH", shell_complete=KEPT)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def restore(session: Session, what: str) -> ExitCode:
    """Bring quarantined bytes back to where they were: the manager makes a revision of them."""
    answer = as_row(session.ask("restore", {"what": what}))
    session.emit(
        answer,
        lambda _: (
            f"restored {text(answer, 'tree')}:{text(answer, 'path')}  {text(answer, 'digest')}"
            f"  revision {text(answer, 'revision')}\n"
        ),
    )
    return ExitCode.DONE


def _decided(word: str, answer: Row) -> str:
    nodes = ", ".join(harmless(node) for node in items(answer.get("nodes")))
    where = f" on {nodes}" if nodes else ""
    return f"{word} {text(answer, 'id')}: {plural(count(answer, 'released'), 'change')}{where}\n"
