"""`syncagent status`: the cluster on one screen."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import click

from syncagent.cli.candidates import NODES
from syncagent.cli.help import ExampleCommand
from syncagent.cli.reading import Row, as_row, count, items, number, rows, text
from syncagent.cli.session import Session, config_option, output_option, pass_session
from syncagent.cli.table import Column, Style, render
from syncagent.cli.words import ago, harmless, length, paint, plural, renewed
from syncagent.core.errors import ExitCode, SettingsError

if TYPE_CHECKING:
    from syncagent.core.desk import JSON

WATCH_S = 2.0
"""How often `-w` asks."""

_CLEAR = "\x1b[H\x1b[2J"


def _deployed(node: Row) -> str:
    """Return `DEPLOYED/ALL`, or `-` where no runtime says: 0 would read as a failure."""
    if count(node, "unknown") == count(node, "artifacts"):
        return "-"
    if number(node, "deployed") is None or number(node, "artifacts") is None:
        return "-"
    return f"{count(node, 'deployed')}/{count(node, 'artifacts')}"


def _runtime(node: Row) -> str:
    """Return what the node's runtime is doing, and which one it is; `-` where there is none."""
    runtime = as_row(node.get("runtime"))
    label, phase = text(runtime, "label"), text(runtime, "phase")
    return " ".join(word for word in (phase, f"({label})" if label else "") if word) or "-"


def _plain(key: str) -> Column:
    return Column(key.upper(), lambda row: text(row, key) or "-", spare=5)


NODE_COLUMNS = (
    Column("NODE", lambda row: text(row, "name")),
    Column("ROLE", lambda row: text(row, "role"), spare=1),
    Column("STATE", lambda row: text(row, "state")),
    Column("REVISION", lambda row: text(row, "revision") or "-"),
    Column("LAG", lambda row: length(number(row, "lag_s")), spare=2),
    Column("DEPLOYED", _deployed),
    Column("REJECTED", lambda row: text(row, "rejected") or "-"),
    Column("WATCH", lambda row: text(row, "watch").partition(" (")[0] or "-", spare=4),
    Column("SEEN", lambda row: ago(number(row, "seen_s")), spare=3),
)

WIDE_COLUMNS = (
    *NODE_COLUMNS[:-2],
    _plain("pending"),
    _plain("unknown"),
    _plain("refused"),
    *NODE_COLUMNS[-2:],
    Column("RUNTIME", _runtime, spare=6),
    Column("REASON", lambda row: text(row, "reason")),
)


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent status", "every node"),
        ("syncagent status gw-2 -o wide", "one node, all columns"),
        ("syncagent status -w", "again every 2 s"),
        ("syncagent status -o json | jq .nodes[].state", "for programs"),
    ],
    exits={0: "the agent answered, whatever it shows", 9: "no agent runs; shown from files"},
)
@click.argument("node", required=False, shell_complete=NODES)
@click.option("-w", "--watch", is_flag=True, help="Ask again every 2 s until ^C.")
@output_option("table", "wide", "json", "yaml")
@config_option
@pass_session
def status(session: Session, node: str | None, *, watch: bool) -> ExitCode:
    """Show the cluster: every node, and what holds it up."""
    if not watch:
        return _show(session, node)
    pause = threading.Event()
    while True:
        if session.for_people and session.style.colour:
            click.echo(_CLEAR, nl=False)
        _show(session, node)
        pause.wait(WATCH_S)


def _show(session: Session, node: str | None) -> ExitCode:
    """Show the status once, from the agent or else from files."""
    answer, code = session.status()
    if node is not None:
        answer = {**answer, "nodes": [_only(answer, node)]}
    columns = WIDE_COLUMNS if session.output == "wide" else NODE_COLUMNS
    session.emit(answer, lambda style: status_text(answer, columns, style))
    return code


def _only(answer: Row, name: str) -> JSON:
    """Return the node of that name. Raises SettingsError naming the nodes there are."""
    nodes = rows(answer.get("nodes"))
    for node in nodes:
        if text(node, "name") == name:
            return node
    known = ", ".join(text(node, "name") for node in nodes)
    raise SettingsError(f"the cluster has no node {name!r}", hint=f"its nodes are: {known}")


def status_text(answer: Row, columns: tuple[Column, ...], style: Style) -> str:
    """Return the whole screen: the cluster's line, the nodes, and what a person should look at."""
    return "".join(
        [
            _headline(answer, style),
            _not_kept(answer) if columns is WIDE_COLUMNS else "",
            render(columns, rows(answer.get("nodes")), style),
            *(f"{line}\n" for line in _attention(answer)),
        ]
    )


def _headline(answer: Row, style: Style) -> str:
    manager = text(answer, "manager") or "none"
    leader = as_row(answer.get("leader"))
    lease = renewed(number(leader, "renewed_s"))
    form = f" ({text(answer, 'form')})" if text(answer, "form") else ""
    words = [
        f"Cluster {text(answer, 'cluster')}",
        f"manager {manager} (epoch {text(answer, 'epoch') or '-'}{lease})",
        f"revision {text(answer, 'revision') or '-'}",
        f"mode {text(answer, 'mode')}{form}",
        paint(text(answer, "state"), colour=style.colour),
    ]
    return "   ".join(words) + "\n"


def _not_kept(answer: Row) -> str:
    """Return the line that says which promises the mode can't keep; empty if it keeps all."""
    numbers = items(answer.get("not_kept"))
    if not numbers:
        return ""
    listed = ", ".join(str(each) for each in numbers)
    return f"Promises {listed} are not kept: what anybody writes to the mount is live everywhere\n"


def _attention(answer: Row) -> list[str]:
    """Return a line or two for each thing that waits for a person: why, and what to do next."""
    held = rows(answer.get("held"))
    nodes_held = {text(each, "node") for each in held}
    said = {text(each, "reason") for each in [*held, *rows(answer.get("nodes"))]}
    lines = _paused_lines(as_row(answer.get("paused")))
    for node in rows(answer.get("nodes")):
        # What is held is told below, with its id; that all is paused, above.
        held_here = text(node, "state") == "Held" and text(node, "name") in nodes_held
        told = held_here or text(node, "state") == "Paused"
        lines += _node_lines(node, told=told)
    for each in held:
        lines += held_lines(each)
    alarms = [harmless(alarm) for alarm in items(answer.get("alarms"))]
    return [*lines, *(f"alarm: {alarm}" for alarm in alarms if alarm not in said)]


def _paused_lines(paused: Row) -> list[str]:
    """Return until when the cluster is paused, and by whom."""
    if not paused:
        return []
    end, left = text(paused, "until"), length(number(paused, "left_s"))
    until = f"until {end} ({left} left)" if end else "until somebody resumes it"
    by = f"by {text(paused, 'by')} since {text(paused, 'since')}"
    return [f"Paused {until}, {by}", "  next: syncagent resume"]


def _node_lines(node: Row, *, told: bool) -> list[str]:
    """Return why a node is not as it should be; `told`: its state is explained elsewhere."""
    name, reason, watch = text(node, "name"), text(node, "reason"), text(node, "watch")
    lines = []
    if not told and (reason or text(node, "state") in _NEXT):
        lines += node_lines(node)
    if "(" in watch:
        lines.append(f"{name} watch: {watch}")
    lines += _runtime_lines(node)
    if count(node, "rejected"):
        lines.append(f"{name}: {plural(count(node, 'rejected'), 'artifact')} rejected")
        lines.append(f"  next: {_REJECTED_NEXT}")
    for each in rows(node.get("undeployed")):
        lines += undeployed_lines(name, each)
    if count(node, "refused"):
        lines.append(f"{name}: {plural(count(node, 'refused'), 'artifact')} refused")
        lines.append("  next: syncagent get refused")
    return lines


_REJECTED_NEXT = "syncagent get refused, then syncagent describe KIND/NAME"
_PHASE_WORDS = {
    "down": "is down",
    "starting": "is starting: what is committed meanwhile waits until it is ready",
    "stuck": "has lost its deployer: nothing more is deployed until it is restarted",
}
"""What to say of a runtime that is not simply ready."""


def _runtime_lines(node: Row) -> list[str]:
    """Return what a node's runtime is doing, where it isn't simply ready and done."""
    name, runtime = text(node, "name"), as_row(node.get("runtime"))
    lines = []
    phase = text(runtime, "phase")
    words = _PHASE_WORDS.get(phase)
    # An agent is Degraded because of a runtime that is stuck: then its reason says so already.
    if words is not None and not (phase == "stuck" and text(node, "state") == "Degraded"):
        detail = text(runtime, "detail")
        label = text(runtime, "label") or "runtime"
        lines.append(f"{name}: its {label} {words}{f' ({detail})' if detail else ''}")
        if phase == "stuck":
            lines.append(
                f"  next: restart the gateway of {name}; the agent then checks what is lost"
            )
    if count(node, "pending"):
        lines.append(f"{name}: {plural(count(node, 'pending'), 'artifact')} pending{eta(node)}")
    return lines


def eta(node: Row) -> str:
    """Return how long its runtime takes at most for what is pending; empty where nobody knows."""
    runtime, pending = as_row(node.get("runtime")), count(node, "pending")
    scan_s, pause_s = number(runtime, "scan_s"), number(runtime, "pause_s")
    if not scan_s or text(runtime, "phase") != "ready":
        return ""
    if not pause_s:
        return f": up to {length(scan_s)}, its next scan"
    whole = length(scan_s + pending * pause_s)
    return f": up to {whole} ({plural(pending, 'artifact')} x {pause_s:g} s after its next scan)"


def undeployed_lines(node: str, row: Row) -> list[str]:
    """Return what is undeployed on a node and until when, and how to end that."""
    what = f"{text(row, 'kind')}/{text(row, 'name')}"
    left = length(number(row, "left_s"))
    return [
        f"{node}: {what} is undeployed there until {text(row, 'until')} ({left} left)",
        f"  ends it: syncagent redeploy {what} --node {node}",
    ]


_NEXT = {
    "Offline": "on {name}: systemctl status syncagent (or: syncagent run)",
    "OutOfSync": "syncagent diff {name}",
    "Degraded": "on {name}: syncagent events",
    "Held": "syncagent get held",
}
"""What to do about a node, by its state."""
_SHARE_NEXT = {
    "Offline": "look at the mount on the manager: it goes on when the share answers",
    "Degraded": "on the manager: syncagent events",
}
"""What is another matter where the share itself is meant."""


def node_lines(node: Row) -> list[str]:
    """Return a node's state, why, and the next command where there is one."""
    name, state = text(node, "name"), text(node, "state")
    lines = [f"{name} {state}: {text(node, 'reason') or 'it did not say why'}"]
    after = {**_NEXT, **_SHARE_NEXT} if text(node, "role") == "share" else _NEXT
    if state in after:
        lines.append(f"  next: {after[state].format(name=name)}")
    return lines


def held_lines(held: Row) -> list[str]:
    """Return what is held and why, and how to look at it and let it pass."""
    node, held_id = text(held, "node"), text(held, "id")
    # The text names the two commands as well, for logs and monitors.
    reason = text(held, "reason").partition(" See: syncagent")[0]
    lines = [f"Held {held_id}{f' on {node}' if node else ''}: {reason}"]
    if text(held, "kind") == "nacked":
        lines.append(
            f"  see: syncagent get refused   put back: syncagent reject {held_id}"
            f"   go on: syncagent approve {held_id}"
        )
    elif held.get("approvable") is not False:
        see = f"syncagent diff{f' {node}' if node else ''}"
        lines.append(f"  see: {see}   allow: syncagent approve {held_id}")
    return lines
