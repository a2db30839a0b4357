"""What a runtime is doing, from what its process and its log say: the table of `phase`, row by row."""

from __future__ import annotations

import pytest

from syncagent.core.runtime import Phase
from syncagent.runtime.phase import PATIENCE_S, Process, judge
from syncagent.runtime.place import NO_RUN, Run

NOW = 1_700_000_000.0
YOUNG = Process(4711, "boot-4711-1", NOW - 10.0)
OLD = Process(4711, "boot-4711-1", NOW - PATIENCE_S)
BEFORE = Run(started_at=NOW - 9_000.0, ready_at=NOW - 8_990.0)


@pytest.mark.parametrize(
    ("process", "run", "phase"),
    [
        (None, NO_RUN, Phase.DOWN),
        (None, BEFORE, Phase.DOWN),
        (YOUNG, Run(NOW - 9.0, NOW - 5.0), Phase.READY),
        (YOUNG, Run(0.0, NOW - 5.0), Phase.READY),
        (YOUNG, Run(NOW - 9.0, NOW - 5.0, dead="why"), Phase.STUCK),
        (YOUNG, Run(NOW - 9.0), Phase.STARTING),
        (YOUNG, Run(NOW - 11.0), Phase.STARTING),
        (YOUNG, Run(NOW - 9.0, NOW - 5.0, stopped=True), Phase.DOWN),
        (YOUNG, BEFORE, Phase.STARTING),
        (YOUNG, NO_RUN, Phase.STARTING),
        (OLD, NO_RUN, Phase.READY),
        (OLD, BEFORE, Phase.READY),
    ],
)
def test_a_process_that_is_watched(process: Process | None, run: Run, phase: Phase) -> None:
    state = judge(process, run, NOW, watched=True)
    assert state.phase is phase
    assert state.detail
    if process is not None:
        assert state.incarnation == process.incarnation
        assert state.started_at >= process.started_at


@pytest.mark.parametrize(
    ("line_s", "began_s"), [(-1.0, 0.0), (0.0, 0.0), (0.3, 0.3), (60.0, 60.0), (3_600.0, 0.0)]
)
def test_what_came_before_the_line_of_the_start_was_loaded_by_it(
    line_s: float, began_s: float
) -> None:
    began = NOW - 5_000.0
    process = Process(4711, "boot-4711-1", began)
    state = judge(process, Run(began + line_s, began + 4_000.0), NOW, watched=True)
    assert state.started_at == began + began_s


@pytest.mark.parametrize(
    ("run", "phase"),
    [
        (NO_RUN, Phase.UNKNOWN),
        (Run(NOW - 9.0), Phase.STARTING),
        (Run(NOW - 9.0, NOW), Phase.READY),
        (Run(0.0, NOW), Phase.READY),
        (Run(NOW - 9.0, NOW, dead="why"), Phase.STUCK),
        (Run(NOW - 9.0, NOW, stopped=True), Phase.DOWN),
    ],
)
def test_a_process_that_only_its_log_tells_of(run: Run, phase: Phase) -> None:
    assert judge(None, run, NOW, watched=False).phase is phase


def test_what_is_assumed_is_said() -> None:
    assert "assumed" in judge(OLD, NO_RUN, NOW, watched=True).detail
    assert "assumed" not in judge(YOUNG, Run(NOW - 9.0, NOW), NOW, watched=True).detail


def test_a_dead_deployer_says_its_last_word_and_what_to_do() -> None:
    run = Run(NOW - 9.0, NOW, dead="API context must begin with '/' character")
    detail = judge(YOUNG, run, NOW, watched=True).detail
    assert "API context must begin with '/' character" in detail
    assert "restarted" in detail
