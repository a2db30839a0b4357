"""The gate of /readyz: when it opens, and that nothing but the gateway's own end shuts it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.node.gate import ALONE_S, HEARD_S, SILENT_S
from syncagent.agent.node.readiness import SHY_MAX_S
from syncagent.core.events import RuntimeTurned
from syncagent.core.runtime import Phase, RuntimeState
from syncagent.core.settings import HttpSettings, PeerSettings
from syncagent.core.wire.messages import View
from tests.fakes.agent_bench import PEER, THIRD, Bench, sequence
from tests.fakes.runtime_words import CARBON

if TYPE_CHECKING:
    from tests.fakes.runtime import FakeGateway

FILES = {"sequences/a.xml": sequence("a")}
NEWER = {"sequences/a.xml": sequence("a", text="newer")}
PEERS = (PeerSettings(PEER, "gw-2:1", ""), PeerSettings(THIRD, "gw-3:1", ""))
DOOR = HttpSettings("127.0.0.1:7480")


def worker(files: dict[str, bytes] | None = None, *, standing: bool = True) -> Bench:
    """A worker with its files, whose manager is not there yet."""
    here = FILES if files is None else files
    return Bench(here, manager=PEER, standing=FILES if standing else None, peers=PEERS, http=DOOR)


def view(bench: Bench, number: int) -> int:
    """Let a manager say what is newest."""
    link, _ = bench.managed()
    nodes = [{"name": PEER, "state": "Synced", "revision": number}]
    bench.hear(link, View(json.dumps({"revision": number, "nodes": nodes})))
    return link


def gate(bench: Bench) -> tuple[bool, str]:
    pulse = bench.node.pulse(bench.at, None)
    return pulse.ready, pulse.reason


def gateway(bench: Bench) -> FakeGateway:
    assert bench.gateway is not None
    return bench.gateway


def again(bench: Bench) -> Bench:
    """Start the agent anew, beside the gateway as it is and with what is on disk."""
    if bench.gateway is not None:
        bench.runtime.stop()
    bench.incarnation += "x"
    bench.join(bench.history, bench.guard)
    bench.hands.clear()
    return bench.start()


def test_without_a_door_nothing_is_kept() -> None:
    bench = Bench(FILES).lead().pass_(3)
    assert gate(bench) == (False, "the agent is starting")
    assert "gate" not in bench.history.standing().notes


def test_it_opens_when_the_trees_are_those_of_the_newest_revision() -> None:
    bench = worker().start()
    bench.pass_(3.0)
    ready, why = gate(bench)
    assert not ready
    assert why == "no contact with the manager gw-2 (epoch 1)"
    view(bench, 2)
    bench.pass_(1.0)
    assert gate(bench) == (False, "this node stands on revision 1, the manager on 2")
    bench = worker().start()
    view(bench, 1)
    bench.pass_(1.0)
    assert gate(bench) == (True, "")
    assert bench.events("ready") == [{"revision": 1}]


def test_a_manager_opens_its_own_once_it_leads() -> None:
    bench = Bench(FILES, peers=PEERS, http=DOOR)
    bench.start()
    assert not gate(bench)[0]
    bench.lead().pass_(3.0)
    assert gate(bench) == (True, "")


def test_without_a_manager_the_last_good_revision_opens_it_after_a_while() -> None:
    bench = worker().start()
    bench.pass_(ALONE_S - 2.0)
    assert not gate(bench)[0]
    bench.pass_(4.0)
    assert gate(bench) == (True, "")


def test_in_a_paused_cluster_the_last_good_revision_opens_it() -> None:
    bench = worker().start()
    link = view(bench, 2)
    bench.pass_(1.0)
    assert not gate(bench)[0]
    word = {"number": 1, "on": True, "by": "ann@gw-2", "ago_s": 5, "left_s": None}
    bench.hear(link, View(json.dumps({"revision": 2, "nodes": [], "pause": word})))
    assert bench.state.paused
    bench.pass_(1.0)
    assert gate(bench) == (True, "")


def test_a_node_that_never_had_a_revision_stays_shut() -> None:
    bench = worker({}, standing=False).start()
    bench.pass_(10 * ALONE_S)
    assert not gate(bench)[0]


def test_a_gateway_that_comes_up_keeps_it_shut_until_it_is_ready() -> None:
    bench = worker().beside(CARBON)
    gateway(bench).kill()
    bench.start()
    view(bench, 1)
    bench.pass_(1.0)
    assert "is down" in gate(bench)[1]
    gateway(bench).boot()
    bench.pass_(CARBON.start_s / 2)
    assert "is starting" in gate(bench)[1]
    bench.pass_(CARBON.start_s)
    assert gate(bench) == (True, "")


def opened() -> Bench:
    """A worker whose gate has opened beside a gateway that serves."""
    bench = worker().beside(CARBON).start()
    view(bench, 1)
    bench.pass_(2.0)
    assert gate(bench) == (True, "")
    return bench


def test_it_stays_open_without_a_manager_with_drift_and_with_a_newer_revision() -> None:
    bench = opened()
    link = view(bench, 2)
    bench.pass_(1.0)
    assert gate(bench)[0], "a newer revision is on its way"
    bench.cut(link)
    bench.put("sequences/a.xml", b"<broken")
    bench.pass_(10 * ALONE_S)
    assert gate(bench) == (True, "")


def test_an_agent_that_restarts_beside_a_serving_gateway_finds_it_open_at_once() -> None:
    bench = again(opened())
    assert bench.state.manager_link is None
    assert gate(bench) == (True, ""), "nobody was asked"
    bench.pass_(10 * ALONE_S)
    assert gate(bench) == (True, "")


def test_a_gateway_that_restarts_passes_it_anew() -> None:
    bench = opened()
    gateway(bench).kill()
    bench.pass_(1.0)
    assert "is down" in gate(bench)[1]
    gateway(bench).boot()
    bench.pass_(CARBON.start_s / 2)
    assert not gate(bench)[0]
    bench.pass_(CARBON.start_s)
    assert gate(bench) == (True, "")


def test_a_gateway_that_restarted_while_the_agent_was_away_passes_it_anew() -> None:
    bench = opened()
    gateway(bench).kill()
    gateway(bench).ready()
    again(bench)
    bench.pass_(3.0)
    assert not gate(bench)[0], "it may serve what has been changed meanwhile"
    view(bench, 1)
    bench.pass_(1.0)
    assert gate(bench) == (True, "")


def test_without_a_runtime_that_answers_it_opens_for_good() -> None:
    bench = worker().start()
    view(bench, 1)
    bench.pass_(1.0)
    assert gate(bench)[0]
    assert gate(again(bench)) == (True, "")


@pytest.mark.parametrize(
    ("phase", "after_s"), [(Phase.UNKNOWN, SILENT_S), (Phase.STARTING, SHY_MAX_S)]
)
def test_a_log_that_never_says_ready_is_not_waited_for_for_ever(
    phase: Phase, after_s: float
) -> None:
    bench = worker().beside(CARBON)
    gateway(bench).kill()
    bench.start()
    bench.handle(RuntimeTurned(RuntimeState(phase)))
    view(bench, 1)
    bench.pass_(after_s - 10.0)
    assert not gate(bench)[0]
    bench.pass_(20.0)
    assert gate(bench) == (True, "")


def test_what_nobody_can_say_of_the_runtime_is_as_it_was_before() -> None:
    bench = opened()
    gateway(bench).state = RuntimeState(Phase.UNKNOWN)
    again(bench)
    assert not gate(bench)[0], "the first word of it may be on its way"
    bench.pass_(HEARD_S + 1.0)
    assert gate(bench) == (True, "")
