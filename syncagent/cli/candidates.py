"""What Tab offers for names that only the running agent knows; nothing where none answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.cli.reading import Row, rows, text
from syncagent.cli.session import Session
from syncagent.core.errors import SyncagentError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import click

    from syncagent.core.desk import JSON

_ANSWER_S = 1.0


def offer(
    *verbs: str, name: Callable[[Row], str], arguments: Mapping[str, JSON] | None = None
) -> Callable[..., list[str]]:
    """Return a `shell_complete` that offers `name` of each row that the agent lists for `verbs`."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
        session = ctx.ensure_object(Session)
        try:
            answers = [session.ask(verb, arguments, timeout_s=_ANSWER_S) for verb in verbs]
        except SyncagentError:
            return []
        lists = [one.get("entries") if isinstance(one, dict) else one for one in answers]
        found = [row for entries in lists for row in rows(entries)]
        return sorted({name(row) for row in found if name(row).startswith(incomplete)})

    return complete


def _id(row: Row) -> str:
    return text(row, "id")


def _artifact(row: Row) -> str:
    return f"{text(row, 'kind')}/{text(row, 'name')}"


NODES = offer("nodes", name=lambda row: text(row, "name"))
HELD = offer("held", name=_id)
KEPT = offer("kept", name=_id, arguments={"what": "quarantine"})
ARTIFACTS = offer("artifacts", name=_artifact)
STRANGERS = offer("strangers", name=lambda row: text(row, "name"))
