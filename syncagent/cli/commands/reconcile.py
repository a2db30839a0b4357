"""`syncagent reconcile`: compare everything and mend it; made for cron.

Clean, it says nothing and exits 0. It never overlaps with itself.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from syncagent.cli.changes import changes_text
from syncagent.cli.commands.status import held_lines
from syncagent.cli.help import ExampleCommand
from syncagent.cli.lock import reconcile_lock
from syncagent.cli.progress import watched
from syncagent.cli.reading import Row, as_row, rows, text
from syncagent.cli.session import (
    Session,
    config_option,
    output_option,
    pass_session,
    talk,
    timeout_option,
    verbose_option,
)
from syncagent.cli.words import plural
from syncagent.core.errors import BusyError, DeadlineError, ExitCode, UnreachableError
from syncagent.core.units import format_duration

if TYPE_CHECKING:
    from syncagent.core.desk import JSON

_SKIPPED: dict[str, JSON] = {
    "skipped": True,
    "revision": None,
    "changes": [],
    "nodes": [],
    "held": [],
}


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent reconcile", "compare all nodes with all files, and mend"),
        ("syncagent reconcile --dry-run", "only show what would change"),
        ("*/5 * * * * syncagent reconcile", "from cron: silent when clean, never twice at once"),
    ],
    exits={
        0: "every node was compared and is in sync; or another reconcile runs (--if-busy skip)",
        3: "--dry-run: something would change",
        4: "the others were done, but some node is offline or not in sync",
        5: "something is held: see `syncagent get held`",
        7: "another reconcile runs (--if-busy fail)",
        8: "not done before the deadline; the agent goes on",
        9: "no agent runs, and this node is a worker: repaired from its own ledger",
    },
)
@click.option("-n", "--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option(
    "--if-busy",
    type=click.Choice(["skip", "wait", "fail"]),
    default="skip",
    show_default=True,
    help="What to do while another reconcile runs.",
)
@timeout_option("10m", "How long it may take.")
@verbose_option
@output_option("table", "json", "yaml")
@config_option
@pass_session
def reconcile(session: Session, if_busy: str, *, dry_run: bool) -> ExitCode:
    """Compare every file on every node with the current revision, and mend what differs."""
    wait_s = session.timeout_s if if_busy == "wait" else 0.0
    with reconcile_lock(session.settings.state_dir, wait_s=wait_s) as mine:
        if mine:
            return _reconcile(session, dry_run=dry_run)
    busy = "another `syncagent reconcile` runs on this node"
    if if_busy == "fail":
        raise BusyError(busy, hint="wait for it: --if-busy wait")
    if if_busy == "wait":
        waited = format_duration(session.timeout_s)
        raise DeadlineError(f"{busy}, for longer than {waited}", hint="see: syncagent status")
    if session.verbose or sys.stderr.isatty():
        talk(f"{busy}; skipped")
    if not session.for_people:
        session.emit(_SKIPPED, lambda _: "")
    return ExitCode.DONE


def _reconcile(session: Session, *, dry_run: bool) -> ExitCode:
    """Let the agent do it, or do it here if there is none; show it and say how it ended."""
    arguments: dict[str, JSON] = {"dry_run": dry_run, "timeout_s": session.timeout_s}
    alone = False
    try:
        answer = as_row(
            watched(
                session,
                lambda: session.ask("reconcile", arguments, timeout_s=session.timeout_s),
            )
        )
    except UnreachableError:
        alone = True
        answer = session.reconcile_once(
            session.settings, dry_run=dry_run, timeout_s=session.timeout_s
        )
    changes = rows(answer.get("changes"))
    session.emit(answer, lambda style: changes_text(changes, colour=style.colour))
    if alone and text(answer, "role") != "manager":
        talk("no agent runs here; this worker was compared with its own ledger only")
        talk("  next: syncagent run")
        return ExitCode.UNREACHABLE
    if dry_run:
        return ExitCode.DIFFERENT if changes else ExitCode.DONE
    return _judge(answer)


def _judge(answer: Row) -> ExitCode:
    """Say on stderr what is not as it should be, and return the exit code for it."""
    held = rows(answer.get("held"))
    behind = [node for node in rows(answer.get("nodes")) if text(node, "state") != "Synced"]
    for node in behind:
        reason = text(node, "reason")
        talk(f"{text(node, 'name')} {text(node, 'state')}{f': {reason}' if reason else ''}")
    for entry in held:
        talk("\n".join(held_lines(entry)))
    changes = len(rows(answer.get("changes")))
    if changes and sys.stderr.isatty():
        talk(f"{plural(changes, 'change')}, revision {text(answer, 'revision')}")
    if held:
        return ExitCode.HELD
    return ExitCode.PARTLY if behind else ExitCode.DONE
