"""`syncagent wait`: for pipelines, and before a gateway starts."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import click

from syncagent.cli.help import ExampleCommand
from syncagent.cli.progress import watched
from syncagent.cli.reading import Row, as_row, items, rows, text
from syncagent.cli.session import (
    Session,
    config_option,
    output_option,
    pass_session,
    talk,
    timeout_option,
)
from syncagent.cli.words import harmless, plural
from syncagent.core.errors import ExitCode, NoAgentError

if TYPE_CHECKING:
    from syncagent.core.desk import JSON

AGENT_S = 30.0
"""How long `--ready` waits for an agent: systemd starts it and the gateway at the same time."""
AGAIN_S = 0.25
"""How often it looks whether one has come."""


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent wait", "until every reachable node has what is on disk now"),
        ("syncagent wait --deployed", "and their runtimes have answered for it"),
        ("syncagent wait --ready --timeout 60s", "before this node's gateway starts"),
        ("syncagent wait --timeout 30s", "and give up after 30 s"),
        ("syncagent wait --revision 412", "until that revision is everywhere"),
    ],
    exits={
        0: "it is so; --ready: also with the last good revision, which stderr says",
        5: "it is held",
        6: "a runtime rejected an artifact; stderr lists them",
        8: "not in time",
        9: "no agent runs",
    },
)
@click.option("--synced", is_flag=True, help="Files are equal on all reachable nodes (default).")
@click.option(
    "--deployed",
    is_flag=True,
    help="Also, nothing is Pending: each runtime has answered, or its time is over.",
)
@click.option(
    "--ready",
    is_flag=True,
    help="This node's files are those of the newest revision; its runtime may be down.",
)
@click.option("--revision", type=click.IntRange(0), help="This revision or a later one is there.")
@timeout_option("5m", "How long to wait.")
@output_option("table", "json", "yaml")
@config_option
@pass_session
def wait(
    session: Session, *, synced: bool, deployed: bool, ready: bool, revision: int | None
) -> ExitCode:
    """Wait until what is on disk now is on all reachable nodes, deployed there, or ready here.

    With more than one of --synced, --deployed, --ready and --revision, until all of them are so.
    --ready is for the unit that starts the gateway: where no manager answers in time it ends
    with the last good revision and a warning. It waits for an agent that is just starting.
    """
    synced = synced or not (deployed or ready or revision is not None)
    arguments: dict[str, JSON] = {
        "synced": synced,
        "deployed": deployed,
        "ready": ready,
        "timeout_s": session.timeout_s,
        **({} if revision is None else {"revision": revision}),
    }
    if ready:
        _await_agent(session, min(AGENT_S, session.timeout_s))
    answer = as_row(
        watched(session, lambda: session.ask("wait", arguments, timeout_s=session.timeout_s))
    )
    session.emit(answer, lambda _: _text(answer))
    for warning in items(answer.get("warnings")):
        talk(f"warning: {harmless(warning)}")
    return _code(rows(answer.get("rejected")))


def _await_agent(session: Session, wait_s: float) -> None:
    """Return when an agent answers. Raises NoAgentError if none has come within `wait_s`."""
    pause = threading.Event()
    for _ in range(max(int(wait_s / AGAIN_S), 1)):
        try:
            session.ask("progress")
        except NoAgentError:
            pause.wait(AGAIN_S)
        else:
            return
    session.ask("progress")


def _text(answer: Row) -> str:
    return f"revision {text(answer, 'revision')}  {text(answer, 'state')}\n"


def _code(rejected: list[Row]) -> ExitCode:
    """Return whether runtimes took everything; say on stderr what they did not."""
    if not rejected:
        return ExitCode.DONE
    talk(f"{plural(len(rejected), 'artifact')} rejected:")
    for row in rejected:
        talk(
            f"  {text(row, 'node')}  {text(row, 'tree')}:{text(row, 'path')}  {text(row, 'reason')}"
        )
    talk("  next: syncagent describe KIND/NAME shows the runtime's own words")
    return ExitCode.REJECTED
