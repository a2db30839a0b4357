"""In which order workers commit: canary, then waves; interrupted anywhere, the rest is the same."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import NodeName
from syncagent.core.rollout import CANARY_WORKERS_MIN, Progress, Standing, may_commit
from syncagent.core.settings import RolloutSettings

LETTERS = {
    ".": Standing.BEHIND,
    "p": Standing.PREPARED,
    "c": Standing.COMMITTING,
    "C": Standing.COMMITTED,
    "a": Standing.ACKED,
}


def workers(text: str, *, answers: bool = True) -> list[Progress]:
    """One worker per letter, named by its place."""
    return [Progress(NodeName(str(i)), LETTERS[c], answers) for i, c in enumerate(text)]


@pytest.mark.parametrize(
    ("text", "rollout", "tried", "expected"),
    [
        pytest.param("pppp", RolloutSettings(), True, "0", id="a quarter of four, proved here"),
        pytest.param("pppp", RolloutSettings(), False, "0", id="no runtime there: one goes first"),
        pytest.param("cppp", RolloutSettings(), False, "", id="the canary is under way"),
        pytest.param("Cppp", RolloutSettings(), False, "", id="the canary has not answered"),
        pytest.param("appp", RolloutSettings(), False, "1", id="proved: the next wave"),
        pytest.param("pp", RolloutSettings(max_unavailable=1.0), False, "01", id="two: no canary"),
        pytest.param("pppp", RolloutSettings("none", 1.0), False, "0123", id="no canary, all"),
        pytest.param("pppp", RolloutSettings("none", 0.5), False, "01", id="half of them"),
        pytest.param("cppp", RolloutSettings("none", 0.5), False, "1", id="half, one on its way"),
        pytest.param("cCpp", RolloutSettings("none", 0.5), False, "", id="half are on their way"),
        pytest.param("ccpp", RolloutSettings("none", 0.0), False, "", id="more than the width"),
        pytest.param("pppp", RolloutSettings("none", 0.0), False, "0", id="never none at all"),
        pytest.param("pppp", RolloutSettings("worker", 1.0), True, "0", id="a worker first"),
        pytest.param("....", RolloutSettings(), True, "", id="nobody is ready"),
        pytest.param("", RolloutSettings(), False, "", id="nobody is there"),
    ],
)
def test_answering_workers_go_in_waves(
    text: str, rollout: RolloutSettings, tried: bool, expected: str
) -> None:
    assert "".join(may_commit(workers(text), rollout, manager_tried=tried)) == expected


@pytest.mark.parametrize("tried", [True, False])
def test_who_has_no_runtime_does_not_wait(tried: bool) -> None:
    rows = [
        *workers("cppp"),
        *(replace(w, node=NodeName("x" + w.node)) for w in workers("pc.p", answers=False)),
    ]
    assert may_commit(rows, RolloutSettings("worker"), manager_tried=tried) == ("x0", "x3")


ROLLOUTS = st.builds(
    RolloutSettings,
    canary=st.sampled_from(["manager", "worker", "none"]),
    max_unavailable=st.floats(0, 1),
)
ROWS = st.text(st.sampled_from(list(LETTERS)), max_size=7).map(workers)
TRIED = st.booleans()
UNDER_WAY = {Standing.COMMITTING, Standing.COMMITTED}


@settings(deadline=None, max_examples=300)
@given(ROWS, ROLLOUTS, TRIED)
def test_never_more_than_the_width_is_under_way(
    rows: list[Progress], rollout: RolloutSettings, tried: bool
) -> None:
    allowed = may_commit(rows, rollout, manager_tried=tried)
    standing = {row.node: row.standing for row in rows}
    assert all(standing[name] is Standing.PREPARED for name in allowed)
    if not allowed:
        return
    before = sum(row.standing in UNDER_WAY for row in rows)
    assert before + len(allowed) <= max(1, int(len(rows) * rollout.max_unavailable))
    proven = Standing.ACKED in standing.values()
    canary = rollout.canary == "worker" or (rollout.canary == "manager" and not tried)
    if canary and len(rows) >= CANARY_WORKERS_MIN and not proven:
        assert before + len(allowed) == 1


@settings(deadline=None, max_examples=300)
@given(ROWS, ROLLOUTS, TRIED)
def test_told_one_by_one_the_rest_is_the_same(
    rows: list[Progress], rollout: RolloutSettings, tried: bool
) -> None:
    allowed = may_commit(rows, rollout, manager_tried=tried)
    for told in range(len(allowed) + 1):
        begun = set(allowed[:told])
        now = [replace(r, standing=Standing.COMMITTING) if r.node in begun else r for r in rows]
        assert may_commit(now, rollout, manager_tried=tried) == allowed[told:]


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 8), ROLLOUTS)
def test_where_all_answer_well_all_get_it(count: int, rollout: RolloutSettings) -> None:
    rows, waves = workers("p" * count), []
    while any(row.standing is Standing.PREPARED for row in rows):
        wave = may_commit(rows, rollout, manager_tried=True)
        assert wave, "it goes on"
        waves.append(len(wave))
        rows = [replace(r, standing=Standing.ACKED) if r.node in wave else r for r in rows]
    assert sum(waves) == count
    assert all(later <= widest for _, later in pairwise(waves) for widest in [max(waves)])
