"""`syncagent init --share`: the file by which each folder of a shared mount is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.wiring import tools
from syncagent.cli.reading import Row, as_row, rows, text
from syncagent.cli.session import Session, talk
from syncagent.core.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator


def share(session: Session, *, side: str, force: bool) -> ExitCode:
    """Put the marks; or say how share and node differ, and ask which side is right."""
    made = tools.init_share(session.settings, side=side or None, force=force)
    session.emit(made, lambda _: "".join(f"{line}\n" for line in _lines(made)))
    if made["asks"]:
        talk("error: the share holds other artifacts than this node; nothing was made")
        talk("  next: syncagent init --share --from share   (take the share's artifacts)")
        talk("    or: syncagent init --share --from node    (put this node's onto the share)")
        return ExitCode.HELD
    talk("  next: the same on each other node, then: syncagent run")
    return ExitCode.DONE


def _lines(made: Row) -> Iterator[str]:
    for gap in rows(made["differences"]):
        yield (
            f"{text(gap, 'tree')}: {text(gap, 'only_share')} only on the share, "
            f"{text(gap, 'only_node')} only on this node, {text(gap, 'differ')} differ "
            f"(of {text(gap, 'share')} and {text(gap, 'node')})"
        )
    if made["carried"]:
        carried = as_row(made["carried"])
        yield (
            f"{text(carried, 'written')} written, {text(carried, 'removed')} removed, "
            f"{text(carried, 'kept')} kept in quarantine"
        )
        for each in rows(carried["refused"]):
            yield f"left out: {text(each, 'tree')}: {text(each, 'path')}: {text(each, 'reason')}"
    for tree in rows(made["trees"]):
        yield (
            f"{text(tree, 'tree')}: {text(tree, 'path')} ({text(tree, 'mount')}): "
            f"{text(tree, 'did')} {text(tree, 'uuid')}"
        )
