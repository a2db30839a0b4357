"""Something to look at while a long reconcile runs: bars on a terminal, else a line now and then.

The question waits in a thread of its own, so that ^C always gets through; this thread asks
`progress` over a second connection. What `progress` can't tell is not shown: it is no failure.
"""

from __future__ import annotations

import queue
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

from syncagent.cli.reading import Row, as_row, count, rows, text
from syncagent.cli.session import Session, talk
from syncagent.core.errors import SyncagentError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.progress import Progress

    from syncagent.core.desk import JSON

FIRST_S = 1.0
"""What is done sooner shows no progress."""
BARS_S = 0.5
LINES_S = 10.0


def watched(session: Session, question: Callable[[], JSON]) -> JSON:
    """Return what `question` returns, showing progress meanwhile; raises what it raises."""
    on_terminal = sys.stderr.isatty()
    if not on_terminal and not session.verbose:
        return question()
    done: queue.SimpleQueue[tuple[JSON, SyncagentError | None]] = queue.SimpleQueue()
    threading.Thread(target=_answer, args=(question, done), daemon=True).start()
    with ExitStack() as screen:
        show: Callable[[Sequence[Row]], None] | None = None
        pause_s = FIRST_S if on_terminal else LINES_S
        while True:
            try:
                answer, error = done.get(timeout=pause_s)
            except queue.Empty:
                if show is None:
                    show = _bars(screen) if on_terminal else _say
                    pause_s = BARS_S if on_terminal else LINES_S
                show(_progress(session))
                continue
            if error is not None:
                raise error
            return answer


def _answer(
    question: Callable[[], JSON], done: queue.SimpleQueue[tuple[JSON, SyncagentError | None]]
) -> None:
    try:
        done.put((question(), None))
    except SyncagentError as error:
        done.put((None, error))


def _progress(session: Session) -> Sequence[Row]:
    try:
        return rows(as_row(session.ask("progress", timeout_s=BARS_S)).get("nodes"))
    except SyncagentError:
        return ()


def _say(nodes: Sequence[Row]) -> None:
    talk(line(nodes))


def line(nodes: Sequence[Row]) -> str:
    """Return in one line where each node is."""
    parts = [
        f"{text(node, 'name')} {text(node, 'phase')}"
        f" {count(node, 'files_done')}/{count(node, 'files_total')} files"
        for node in nodes
    ]
    return "; ".join(parts) if parts else "working"


def _bars(screen: ExitStack) -> Callable[[Sequence[Row]], None]:
    """Open one bar for each node on stderr; return what moves them."""
    from rich.console import Console  # noqa: PLC0415 - slow to load, only for long work
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    progress = screen.enter_context(
        Progress(
            TextColumn("{task.fields[node]} {task.fields[phase]}"),
            BarColumn(),
            TextColumn("{task.fields[files]} files"),
            DownloadColumn(binary_units=True),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
    )
    return lambda nodes: _move(progress, nodes)


def _move(progress: Progress, nodes: Sequence[Row]) -> None:
    bars = {str(task.fields["node"]): task.id for task in progress.tasks}
    for node in nodes:
        name = text(node, "name")
        phase = text(node, "phase")
        files = f"{count(node, 'files_done')}/{count(node, 'files_total')}"
        if name not in bars:
            bars[name] = progress.add_task("", total=None, node=name, phase=phase, files=files)
        progress.update(
            bars[name],
            completed=count(node, "bytes_done"),
            total=count(node, "bytes_total") or None,
            phase=phase,
            files=files,
        )
