"""`syncagent describe`: one artifact on every node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from syncagent.cli.candidates import ARTIFACTS
from syncagent.cli.help import ExampleCommand
from syncagent.cli.reading import Row, as_row, items, rows, text
from syncagent.cli.session import Session, config_option, output_option, pass_session
from syncagent.cli.table import Column, Style, render
from syncagent.cli.words import harmless

if TYPE_CHECKING:
    from syncagent.core.errors import ExitCode

_FACTS = ("tree", "path", "kind", "name", "digest", "size", "revision")

_NODES = (
    Column("NODE", lambda row: text(row, "node")),
    Column("STATE", lambda row: text(row, "state")),
    Column("DIGEST", lambda row: text(row, "digest") or "-", spare=1),
    Column("REASON", lambda row: text(row, "reason")),
)


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent describe api/Pizza--v1.0", "by kind and name"),
        ("syncagent describe tenant-1:api/Pizza--v1.0", "where several trees have one"),
    ],
)
@click.argument("artifact", metavar="[TREE:]KIND/NAME", shell_complete=ARTIFACTS)
@output_option("table", "json", "yaml")
@config_option
@pass_session
def describe(session: Session, artifact: str) -> ExitCode:
    """Show one artifact: its bytes, and what each node made of it."""
    if "/" not in artifact:
        raise click.BadParameter(
            f"{artifact!r} has no kind; write KIND/NAME, for example api/{artifact}",
            param_hint="'[TREE:]KIND/NAME'",
        )
    found, code = session.answer("describe", {"artifact": artifact})
    answer = as_row(found)
    session.emit(answer, lambda style: _text(answer, style))
    return code


def _text(answer: Row, style: Style) -> str:
    lines = [f"{f'{key}:':10} {text(answer, key) or '-'}\n" for key in _FACTS]
    members = [
        f"{text(member, 'kind')}/{text(member, 'name')}"
        for member in rows(as_row(answer.get("group")).get("members"))
    ]
    lines.append(f"{'group:':10} {', '.join(members) or '-'}\n")
    nodes = rows(answer.get("nodes"))
    lines.append(render(_NODES, nodes, style))
    for node in nodes:
        lines += _own_words(node)
    for part in ("references", "problems", "events"):
        found = items(answer.get(part))
        if found:
            lines.append(f"{part}:\n")
            lines += [f"  {_one(item)}\n" for item in found]
    return "".join(lines)


def _own_words(node: Row) -> list[str]:
    """Return what a node's runtime wrote about the artifact, line by line as it wrote it."""
    said = node.get("excerpt")
    if not isinstance(said, str) or not said.strip():
        return []
    lines = (f"  {harmless(line.expandtabs(4))}".rstrip() for line in said.rstrip().splitlines())
    return [f"the runtime of {text(node, 'node')} said:\n", *(f"{line}\n" for line in lines)]


def _one(item: object) -> str:
    """Return one reference, problem or event as a line."""
    if isinstance(item, dict):
        return "  ".join(harmless(value) for value in item.values() if value not in {None, ""})
    return harmless(item)
