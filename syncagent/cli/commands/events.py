"""`syncagent events`: what happened, and what happens."""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import TYPE_CHECKING

import click

from syncagent.cli.help import ExampleCommand
from syncagent.cli.reading import Row, as_row, count, rows, text
from syncagent.cli.session import Session, config_option, output_option, pass_session
from syncagent.cli.words import harmless
from syncagent.core.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLLOW_S = 1.0
_BATCH = 1_000


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent events", "the last 50"),
        ("syncagent events -f", "and what comes, until ^C"),
        ("syncagent events -f -o json", "for programs: one object in a line"),
    ],
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until ^C.")
@click.option(
    "--limit", type=click.IntRange(1, _BATCH), default=50, show_default=True, help="How many."
)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def events(session: Session, limit: int, *, follow: bool) -> ExitCode:
    """Show what happened on this node, oldest first."""
    seen = _newest(session, limit)
    if not follow:
        session.emit(seen, lambda _: _lines(seen))
        return ExitCode.DONE
    pause = threading.Event()
    last = 0
    while True:
        for event in seen:
            last = max(last, count(event, "id"))
            line = json.dumps(event, ensure_ascii=False) + "\n"
            click.echo(line if session.output == "json" else _lines([event]), nl=False)
        pause.wait(FOLLOW_S)
        seen = rows(session.ask("events", {"after": last, "limit": _BATCH}))


def _newest(session: Session, limit: int) -> list[Row]:
    """Return the newest events, oldest first; the agent gives them out from the oldest on."""
    newest: deque[Row] = deque(maxlen=limit)
    last = -1
    batch = rows(session.ask("events", {"after": 0, "limit": _BATCH}))
    while batch and count(batch[-1], "id") > last:
        newest.extend(batch)
        last = count(batch[-1], "id")
        batch = (
            rows(session.ask("events", {"after": last, "limit": _BATCH}))
            if len(batch) == _BATCH
            else []
        )
    return list(newest)


_SENTENCES = {
    "answered": "revision {revision}: {deployed} deployed, {rejected} rejected, {unknown} unknown",
    "nacked": "{path}: {node} did not take it: {reason}",
    "not-confirmed": "{path}: the runtime has not said that it let go of {name}",
    "redeployed": "{path}: told again, by hand",
    "rejected": "{path}: the runtime did not take it: {reason}",
    "rejected-edit": "{path}: the runtime did not take it, and no revision has it: {reason}",
    "rollback": "{path}: back to the last good version everywhere; {node} did not take it: {reason}",
    "runtime": "{phase}  {detail}",
    "runtime-wrote": "{path}: the runtime wrote it itself; it is kept from the others",
    "touched": "{path}: the runtime said nothing of it, its file was touched ({tries})",
    "unanswered": "{peer}: its runtime still owes {owed} answers after {waited_s} s; the next go on",
    "undeployed": "{path}: away from this node until {until}, by hand",
    "untried": "{path}: goes on untried: {reason}",
}
"""What people read of events about runtimes; an event without these fields is shown as it is."""


def _lines(seen: Sequence[Row]) -> str:
    return "".join(f"{text(event, 'at')}  {text(event, 'what')}{_told(event)}\n" for event in seen)


def _told(event: Row) -> str:
    """Return an event's sentence, or its fields."""
    fields = as_row(event.get("fields"))
    try:
        sentence = _SENTENCES[text(event, "what")].format_map(
            {key: text(fields, key) for key in fields}
        )
    except KeyError:
        return "".join(harmless(f"  {key}={value}") for key, value in fields.items())
    return f"  {sentence}".rstrip()
