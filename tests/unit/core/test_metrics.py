"""The numbers that Prometheus reads."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.core.lease import Leadership
from syncagent.core.metrics import exposition
from tests.fakes.board import TOKEN, WORKER

if TYPE_CHECKING:
    from syncagent.core.desk import JSON

ROW: dict[str, JSON] = {
    "name": "gw-1",
    "role": "manager",
    "state": "Synced",
    "revision": 1234567,
    "lag_s": 0.25,
    "seen_s": None,
    "artifacts": 12,
    "deployed": 10,
    "pending": None,
    "rejected": 2,
    "refused": 1,
}
STATUS: dict[str, JSON] = {
    "epoch": 3,
    "paused": {"by": "gw-1"},
    "leader": {"holder": "gw-1", "renewed_s": 1.5, "lease_s": 15.0, "unavailable_s": None},
    "revision": 1234567,
    "nodes": [ROW, {"name": 'od"d\\\n', "role": "worker", "state": "Held"}, "nonsense"],
    "held": [{}],
    "alarms": ["a", "b"],
}
SAMPLE = re.compile(r'[a-z_]+(\{[a-z_]+="[^"\n]*(\\"[^"\n]*)*"(,[a-z_]+="[^"\n]*")*\})? [0-9.e+-]+')


def lines(status: JSON) -> list[str]:
    leader = replace(WORKER, role="leading", token=TOKEN)
    return exposition(leader, Leadership(TOKEN, 200.0), status, 101.5).splitlines()


def test_each_line_is_a_sample_of_a_metric_that_was_described() -> None:
    described: set[str] = set()
    for line in lines(STATUS):
        if line.startswith("# TYPE "):
            assert line.endswith(" gauge")
            described.add(line.split()[2])
        elif not line.startswith("# HELP "):
            assert SAMPLE.fullmatch(line), line
            assert re.split(r"[ {]", line)[0] in described


def test_the_numbers_are_those_of_the_status() -> None:
    found = lines(STATUS)
    for expected in (
        "syncagent_manager 1",
        "syncagent_worker 0",
        "syncagent_turn_age_seconds 1.5",
        "syncagent_epoch 3",
        "syncagent_revision 1234567",
        "syncagent_held 1",
        "syncagent_alarms 2",
        "syncagent_paused 1",
        "syncagent_leader_renewed_seconds 1.5",
        "syncagent_leader_lease_seconds 15",
        'syncagent_node_state{node="gw-1",state="Synced"} 1',
        'syncagent_node_state{node="gw-1",state="Held"} 0',
        'syncagent_node_manager{node="gw-1"} 1',
        'syncagent_node_revision{node="gw-1"} 1234567',
        'syncagent_node_lag_seconds{node="gw-1"} 0.25',
        'syncagent_node_deployment{node="gw-1",state="rejected"} 2',
        'syncagent_node_manager{node="od\\"d\\\\\\n"} 0',
    ):
        assert expected in found


def test_what_nobody_knows_is_left_out() -> None:
    text = "\n".join(lines(STATUS))
    assert "seen_seconds" not in text
    assert "unavailable_seconds" not in text
    assert 'state="pending"' not in text


def test_an_agent_that_starts_says_only_that() -> None:
    text = exposition(None, None, None, 100.0)
    assert "syncagent_alive 1\n" in text
    assert "syncagent_ready 0\n" in text
    assert "node" not in text.replace("this node", "")


def test_a_status_that_makes_no_sense_is_left_out() -> None:
    assert not any("_node_" in line for line in lines({"nodes": 4, "held": None}))
