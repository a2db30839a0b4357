"""What a load balancer is told, and when it changes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncagent.core import health
from syncagent.core.lease import Leadership
from syncagent.core.runtime import Phase
from tests.fakes.board import TOKEN, WORKER

if TYPE_CHECKING:
    from syncagent.core.desk import JSON

LEADER = replace(WORKER, role="leading", token=TOKEN)
BELIEF = Leadership(TOKEN, 200.0)
NOW = 101.0


def test_a_manager_that_believes_and_has_a_ready_runtime_is_one() -> None:
    assert health.manager(LEADER, BELIEF, NOW) == health.Finding(good=True)


def test_no_node_is_the_manager_before_its_agent_has_said_anything() -> None:
    assert health.manager(None, BELIEF, NOW) == health.Finding(good=False, reason=health.AWAY)
    assert not health.worker(None, NOW).good
    assert not health.ready(None, NOW).good
    assert health.alive(None, NOW).good, "an agent that starts lives"


def test_a_manager_whose_belief_has_ended_is_none_although_its_loop_has_not_heard() -> None:
    assert health.manager(LEADER, None, NOW).reason == "gw-1 is not the manager"


def test_a_belief_in_another_epoch_than_the_loop_leads_under_counts_for_nothing() -> None:
    newer = Leadership(replace(TOKEN, epoch=4), 200.0)
    assert not health.manager(LEADER, newer, NOW).good


def test_a_node_that_holds_the_lease_and_still_catches_up_is_not_the_manager() -> None:
    becoming = replace(WORKER, role="catching-up")
    assert health.manager(becoming, BELIEF, NOW).reason == "gw-1 is still catching-up"


def test_a_manager_whose_loop_hangs_may_have_been_deposed() -> None:
    assert health.manager(LEADER, BELIEF, 100.0 + health.FRESH_S).good
    late = health.manager(LEADER, BELIEF, 100.5 + health.FRESH_S)
    assert not late.good
    assert late.reason.endswith("it may be deposed")


def test_a_manager_that_was_asleep_says_no_until_it_has_heard_of_others() -> None:
    at = 100.0 + health.ASLEEP_S
    assert health.woke_at(LEADER, at) == LEADER.woke_at, "a long turn is no sleep"
    woken = replace(LEADER, at=at + 1, woke_at=health.woke_at(LEADER, at + 1))
    assert woken.woke_at == at + 1
    assert not health.manager(woken, BELIEF, at + 1 + health.AWAKE_S / 2).good
    assert health.manager(woken, BELIEF, at + 1 + health.AWAKE_S).good
    assert health.woke_at(woken, at + 2) == at + 1, "it stays known when that was"


def test_the_first_turn_is_no_waking() -> None:
    first = replace(LEADER, woke_at=health.woke_at(None, 100.0))
    assert health.manager(first, BELIEF, NOW).good


@pytest.mark.parametrize("phase", [p for p in Phase if p is not Phase.READY])
def test_a_manager_whose_runtime_is_not_ready_takes_nothing(phase: Phase) -> None:
    found = health.manager(replace(LEADER, phase=phase), BELIEF, NOW)
    assert not found.good
    assert found.reason.startswith("its runtime is ")


def test_a_runtime_that_nobody_can_ask_counts_as_ready() -> None:
    assert health.manager(replace(LEADER, answers=False, phase=Phase.UNKNOWN), BELIEF, NOW).good


def test_a_worker_serves_while_its_gate_is_open_and_it_does_not_lead() -> None:
    assert health.worker(WORKER, NOW).good
    assert health.worker(LEADER, NOW).reason == "gw-1 is the manager"
    shut = replace(WORKER, ready=False, reason="the trees are being looked at")
    assert health.worker(shut, NOW).reason == "the trees are being looked at"


def test_the_gate_is_as_the_loop_says_as_long_as_it_turns() -> None:
    assert health.ready(WORKER, NOW).good
    hung = 101.0 + health.ALIVE_S
    assert health.ready(WORKER, hung).reason == "the agent's loop hangs: 31 s"
    assert not health.alive(WORKER, hung).good
    assert health.alive(WORKER, 100.0 + health.ALIVE_S).good


def test_what_a_lease_store_said_is_taken_out_wherever_a_status_repeats_it() -> None:
    fault = "db-7.internal:5432 refuses apim_sync"
    why = f"the lease store (sql) can't be asked since 10:00: {fault}"
    status: JSON = {
        "leader": {"holder": "gw-1", "fault": fault, "why": why, "epoch": 3, "renewed_s": None},
        "alarms": [why, "another"],
        "revision": 7,
    }
    told = health.for_everybody(status)
    short = f"the lease store (sql) can't be asked since 10:00: {health.UNTOLD}"
    assert told == {
        "leader": {
            "holder": "gw-1",
            "fault": health.UNTOLD,
            "why": short,
            "epoch": 3,
            "renewed_s": None,
        },
        "alarms": [short, "another"],
        "revision": 7,
    }


@pytest.mark.parametrize("status", [None, [], {}, {"leader": None}, {"leader": {"fault": ""}}])
def test_a_status_without_a_fault_is_told_as_it_is(status: JSON) -> None:
    assert health.for_everybody(status) == status
