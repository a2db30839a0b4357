"""What a runtime is doing, from its process and from what its log says of its last start. Pure.

Two witnesses, each with gaps. The process is looked for every few seconds, so the log may tell of a
start before it is found; and the log may have been rotated away or be another start's. Whatever is
assumed is said in `detail`.

| process | the log's last start | phase |
| --- | --- | --- |
| not there | | DOWN |
| there | of this process, ready | READY, or STUCK if its deployer died |
| there | of this process, not ready yet | STARTING |
| there | of this process, shut down | DOWN |
| there, younger than `PATIENCE_S` | of an earlier one, or none | STARTING |
| there, older | of an earlier one, or none | READY, assumed: the line is gone from the log |
| can't be known | ready, begun, ended, none | READY or STUCK, STARTING, DOWN, UNKNOWN |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.runtime import Phase, RuntimeState

if TYPE_CHECKING:
    from syncagent.runtime.place import Run

PATIENCE_S = 600.0
"""A runtime that has run for so long is ready; big ones take two or three minutes."""
SLACK_S = 3.0
"""By how much a start in the log may seem to come before its process: clocks are rounded."""
LINE_S = 60.0
"""A line of a start this long after its process may be of another time zone, not of a slow start."""


@dataclass(frozen=True, slots=True)
class Process:
    """A runtime's process. `incarnation` is its own for ever; `started_at` is wall time (s)."""

    pid: int
    incarnation: str
    started_at: float


def judge(process: Process | None, run: Run, now: float, *, watched: bool) -> RuntimeState:
    """Return what the runtime is doing at wall time `now`.

    `watched`: a process would be found if it were there; where it can't be, the log alone tells.
    """
    if process is not None:
        return _of_process(process, run, now)
    if watched:
        return RuntimeState(Phase.DOWN, detail="no process of it is there")
    if not run.started_at and not run.ready_at:
        return RuntimeState(Phase.UNKNOWN, detail="its log does not tell of a start")
    incarnation = f"log-{run.started_at or run.ready_at:.0f}"
    return _of_run(run, incarnation, "by its log")


def belongs(process: Process, run: Run) -> bool:
    """Tell whether the log's last start is this process's."""
    began = run.started_at or run.ready_at
    return began > 0 and began >= process.started_at - SLACK_S


def _of_process(process: Process, run: Run, now: float) -> RuntimeState:
    about = f"pid {process.pid}"
    if belongs(process, run):
        return _of_run(run, process.incarnation, about, _began(process, run))
    if now - process.started_at < PATIENCE_S:
        return RuntimeState(
            Phase.STARTING,
            process.incarnation,
            process.started_at,
            detail=f"{about}, not ready yet by its log",
        )
    return RuntimeState(
        Phase.READY,
        process.incarnation,
        process.started_at,
        detail=f"{about}; assumed to be ready, since it has run for more than "
        f"{PATIENCE_S / 60:.0f} minutes: its log does not say so (any more)",
    )


def _began(process: Process, run: Run) -> float:
    """Return the wall time before which the runtime has read no artifact.

    Its log says so first: what came between the process and that line was loaded too.
    """
    late = run.started_at - process.started_at
    return run.started_at if 0 < late <= LINE_S else process.started_at


def _of_run(run: Run, incarnation: str, about: str, started_at: float = 0.0) -> RuntimeState:
    started = started_at or run.started_at
    if run.stopped:
        return RuntimeState(Phase.DOWN, incarnation, started, detail=f"{about}, it was shut down")
    if not run.ready_at:
        return RuntimeState(Phase.STARTING, incarnation, started, detail=about)
    if run.dead:
        return RuntimeState(
            Phase.STUCK,
            incarnation,
            started,
            run.ready_at,
            f"{about}; its deployer died, nothing is deployed until it is restarted: {run.dead}",
        )
    return RuntimeState(Phase.READY, incarnation, started, run.ready_at, about)
