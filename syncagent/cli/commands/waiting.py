"""`syncagent wait`: for pipelines, and before a gateway starts."""

from __future__ import annotations

import click

from syncagent.cli.help import ExampleCommand
from syncagent.cli.progress import watched
from syncagent.cli.reading import Row, as_row, text
from syncagent.cli.session import (
    Session,
    config_option,
    output_option,
    pass_session,
    timeout_option,
)
from syncagent.core.errors import ExitCode


@click.command(
    cls=ExampleCommand,
    examples=[
        ("syncagent wait", "until every reachable node has what is on disk now"),
        ("syncagent wait --timeout 30s", "and give up after 30 s"),
        ("syncagent wait --revision 412", "until that revision is everywhere"),
    ],
    exits={0: "it is so", 5: "it is held", 6: "an artifact was rejected", 8: "not in time"},
)
@click.option("--synced", is_flag=True, help="Files are equal on all reachable nodes (default).")
@click.option(
    "--deployed",
    is_flag=True,
    help="Every artifact was taken up by its runtime (not in this version).",
)
@click.option(
    "--ready", is_flag=True, help="The runtime of this node is ready (not in this version)."
)
@click.option("--revision", type=click.IntRange(0), help="This revision or a later one is there.")
@timeout_option("5m", "How long to wait.")
@output_option("table", "json", "yaml")
@config_option
@pass_session
def wait(
    session: Session, *, synced: bool, deployed: bool, ready: bool, revision: int | None
) -> ExitCode:
    """Wait until what is on disk now is on all reachable nodes."""
    synced = synced or not (deployed or ready or revision is not None)
    arguments = {
        "synced": synced,
        "deployed": deployed,
        "ready": ready,
        "timeout_s": session.timeout_s,
        **({} if revision is None else {"revision": revision}),
    }
    answer = as_row(
        watched(session, lambda: session.ask("wait", arguments, timeout_s=session.timeout_s))
    )
    session.emit(answer, lambda _: _text(answer))
    return ExitCode.DONE


def _text(answer: Row) -> str:
    return f"revision {text(answer, 'revision')}  {text(answer, 'state')}\n"
