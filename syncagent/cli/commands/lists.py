"""`syncagent get`: everything that comes as a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from syncagent.cli.commands.status import NODE_COLUMNS, WIDE_COLUMNS
from syncagent.cli.help import ExampleCommand
from syncagent.cli.reading import as_row, rows, text
from syncagent.cli.session import Session, config_option, output_option, pass_session, talk
from syncagent.cli.table import Column, Style, render

if TYPE_CHECKING:
    from syncagent.core.desk import JSON
    from syncagent.core.errors import ExitCode


def _field(key: str, spare: int = 0) -> Column:
    return Column(key.upper(), lambda row: text(row, key) or "-", spare)


_ENTRY = (
    _field("id"),
    _field("node", 3),
    _field("tree", 1),
    _field("path"),
    _field("at", 2),
    Column("REASON", lambda row: text(row, "reason")),
)
# The id of what is refused is its place: tree and path again would only push the reason out.
_REFUSED = (_ENTRY[0], _ENTRY[1], *_ENTRY[4:])
_HELD = (_field("id"), _field("node"), *_ENTRY[2:])
_ARTIFACT = (
    _field("tree", 2),
    _field("kind", 1),
    _field("name"),
    _field("state"),
    Column("REASON", lambda row: text(row, "reason")),
)
_REVISION = (
    _field("number"),
    _field("epoch", 3),
    _field("author", 1),
    _field("at", 2),
    _field("added"),
    _field("updated"),
    _field("deleted"),
    Column("NOTE", lambda row: text(row, "note")),
)

LISTS = {
    "nodes": (NODE_COLUMNS, WIDE_COLUMNS),
    "artifacts": (
        _ARTIFACT,
        (
            _field("tree"),
            _field("path"),
            _field("kind"),
            _field("name"),
            _field("digest"),
            *_ARTIFACT[-2:],
        ),
    ),
    "revisions": (_REVISION, (*_REVISION[:2], _field("digest"), *_REVISION[2:])),
    "held": (_HELD, _HELD),
    "refused": (_REFUSED, _ENTRY),
    "quarantine": (_ENTRY, _ENTRY),
    "conflicts": (_ENTRY, _ENTRY),
}
"""What can be listed: its columns as `table` and as `wide`."""
KEPT_LISTS = frozenset({"quarantine", "conflicts"})

_EMPTY = {
    "nodes": "no nodes",
    "artifacts": "no artifacts: no revision has any here, and nothing is refused",
    "revisions": "no revisions yet",
    "held": "nothing is held",
    "refused": "nothing is refused",
    "quarantine": "nothing is in quarantine here",
    "conflicts": "no conflicts were kept here",
}
_NEXT = {
    "held": "syncagent approve ID, after syncagent diff NODE; or syncagent reject ID",
    "refused": "mend the file where it was written; the next scan reads it again",
    "quarantine": "syncagent restore ID brings one back",
    "conflicts": "syncagent restore ID brings one back",
}
"""What people can do about what a list shows; said on stderr, at a terminal."""
_MEND = "mend what the reason names; nothing here waits for an approval"


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent get nodes", "every node"),
        ("syncagent get artifacts -o json", "for programs: one array"),
        ("syncagent get held", "what waits for `syncagent approve`"),
    ],
    exits={
        0: "the list, also when it is empty",
        9: "no agent runs: from files, but for `held` and `refused`, which no file tells",
    },
)
@click.argument("what", type=click.Choice(list(LISTS)))
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="How many revisions, newest first.",
)
@output_option("table", "wide", "json", "yaml")
@config_option
@pass_session
def get(session: Session, what: str, limit: int) -> ExitCode:
    """List nodes, artifacts, revisions, or what waits, was refused or was kept."""
    answer, code = _ask(session, what, limit)
    session.emit(answer, lambda style: _list_text(what, answer, session.output, style))
    return code


def _ask(session: Session, what: str, limit: int) -> tuple[JSON, ExitCode]:
    """Return the rows. What workers kept comes with it; who could not be asked is said on stderr."""
    if what == "nodes":
        status, code = session.status()
        return status.get("nodes"), code
    if what not in KEPT_LISTS:
        return session.answer(what, {"limit": limit} if what == "revisions" else {})
    answer, code = session.answer("kept", {"what": what})
    found = as_row(answer)
    for node in rows(found.get("missing")):
        talk(f"not listed: {text(node, 'node')}: {text(node, 'reason')}")
    return [*rows(found.get("entries"))], code


def _list_text(what: str, answer: JSON, output: str, style: Style) -> str:
    """Return the table; a list without entries says so on stderr."""
    entries = rows(answer)
    if not entries:
        talk(_EMPTY[what])
        return ""
    if what in _NEXT and style.width is not None:
        mend = what == "held" and all(entry.get("approvable") is False for entry in entries)
        talk(f"  next: {_MEND if mend else _NEXT[what]}")
    table, wide = LISTS[what]
    return render(wide if output == "wide" else table, entries, style)
