"""Who is dialled, and when: quickly at first, at once when a peer is heard of, ever more rarely else."""

from __future__ import annotations

import itertools

import pytest

from syncagent.agent.effects import Dial
from syncagent.agent.node.connecting import HEARD_S, KNOCK_S
from syncagent.agent.node.peer import GIVEN_UP_S
from syncagent.agent.node.state import Role
from syncagent.core.events import DialFailed, LinkUp
from tests.fakes.agent_bench import ME, PEER, Bench, sequence

FILES = {"sequences/a.xml": sequence("a")}


def attempts(bench: Bench, seconds: float) -> list[float]:
    """Let time pass in which every attempt fails at once; return when each began."""
    begun, until = [], bench.at + seconds
    while bench.at < until:
        for peer in bench.dialled:
            begun.append(bench.at)
            bench.handle(DialFailed(peer, "connection refused"))
        bench.dialled.clear()
        bench.pass_(0.05)
    return begun


def knocks(bench: Bench) -> int:
    """Have the peer open a connection, and hang up; return its number."""
    link = bench.link(dialled=False)
    bench.cut(link)
    return link


@pytest.mark.parametrize("seed", range(20))
def test_who_does_not_listen_is_given_up_soon_after_the_moment_it_is_waited_for(seed: int) -> None:
    bench = Bench(FILES)
    bench.state.chance.seed(seed)
    bench.start()
    begun = bench.at
    while not bench.state.peers[PEER].unreachable:
        attempts(bench, 0.05)
    first = bench.settings.limits.reconnect_first_s
    assert GIVEN_UP_S <= bench.at - begun <= GIVEN_UP_S + first + 0.2


def test_attempts_follow_quickly_at_first_and_then_ever_more_rarely() -> None:
    bench = Bench(FILES).start()
    begun = bench.at
    made = attempts(bench, 300.0)
    assert sum(at < begun + GIVEN_UP_S for at in made) >= 3
    pauses = [after - before for before, after in itertools.pairwise(made)]
    assert max(pauses) > 20.0
    assert max(pauses) <= bench.settings.limits.reconnect_max_s + 0.2
    assert len(made) < 25


def test_a_peer_that_dials_in_is_dialled_at_once_whatever_its_pause() -> None:
    bench = Bench(FILES).start()
    attempts(bench, 400.0)
    assert bench.state.peers[PEER].dial_at > bench.at + 1.0
    knocks(bench)
    bench.tick()
    assert bench.dialled == [PEER]
    assert not bench.state.peers[PEER].unreachable, "it is waited for"


def test_two_that_keep_dialling_each_other_do_so_rarely() -> None:
    bench = Bench(FILES).start()
    attempts(bench, 400.0)
    begun, made = bench.at, 0
    while bench.at < begun + HEARD_S - 1.0:
        knocks(bench)
        made += len(attempts(bench, 0.1))
    assert made < 20, "quickly for a moment, as at first, and then as rarely as before"


def test_a_worker_that_starts_knocks_once_at_who_may_lead_it() -> None:
    bench = Bench(FILES, manager=PEER).start()
    bench.pass_(KNOCK_S + 0.1)
    assert bench.dialled == [PEER]
    bench.handle(DialFailed(PEER, "connection refused"))
    bench.pass_(120.0)
    assert bench.dialled == [PEER]
    assert bench.state.role is Role.WORKER


def test_a_knock_is_a_connection_that_is_closed_at_once() -> None:
    bench = Bench(FILES, manager=PEER).start()
    bench.pass_(KNOCK_S + 0.1)
    bench.handle(LinkUp(7, PEER, dialled=True, version=2, incarnation="p"))
    assert [link for link, _ in bench.hung_up] == [7]
    assert bench.state.peers[PEER].link is None


def test_who_is_led_already_does_not_knock() -> None:
    bench = Bench(FILES, manager=PEER).start()
    bench.managed()
    bench.pass_(KNOCK_S + 1.0)
    assert bench.dialled == []


def test_who_has_no_address_for_its_manager_does_not_knock() -> None:
    bench = Bench(FILES, manager=PEER, peers=())
    bench.start()
    bench.link(dialled=False)
    bench.pass_(KNOCK_S + 1.0)
    assert bench.dialled == []


def test_a_manager_does_not_knock() -> None:
    bench = Bench(FILES, manager=ME, peers=()).lead()
    bench.pass_(KNOCK_S + 1.0)
    assert not any(isinstance(effect, Dial) for effect in bench.others)
    assert bench.dialled == []
