"""What Tab offers for names that only the running agent knows; nothing where none answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.cli.reading import Row, rows, text
from syncagent.cli.session import Session
from syncagent.core.errors import SyncagentError

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

_ANSWER_S = 1.0


def offer(*verbs: str, name: Callable[[Row], str]) -> Callable[..., list[str]]:
    """Return a `shell_complete` that offers `name` of each row that the agent lists for `verbs`."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        session = ctx.ensure_object(Session)
        try:
            found = [row for verb in verbs for row in rows(session.ask(verb, timeout_s=_ANSWER_S))]
        except SyncagentError:
            return []
        return sorted({name(row) for row in found if name(row).startswith(incomplete)})

    return complete


def _id(row: Row) -> str:
    return text(row, "id")


def _artifact(row: Row) -> str:
    return f"{text(row, 'kind')}/{text(row, 'name')}"


NODES = offer("nodes", name=lambda row: text(row, "name"))
HELD = offer("held", name=_id)
KEPT = offer("quarantine", name=_id)
ARTIFACTS = offer("artifacts", name=_artifact)
STRANGERS = offer("strangers", name=lambda row: text(row, "name"))
