"""A cluster that is just being started: who did not listen yet is not passed over."""

from __future__ import annotations

import pytest

from syncagent.core.events import DialFailed
from tests.fakes.agent_bench import PEER, Bench, sequence

FILES = {"sequences/a.xml": sequence("a")}


def fail(bench: Bench) -> None:
    """Let the attempts that are under way come to nothing."""
    for peer in bench.dialled:
        bench.handle(DialFailed(peer, "connection refused"))
    bench.dialled.clear()


def wait(bench: Bench, seconds: float) -> None:
    """Let time pass in which every attempt comes to nothing."""
    until = bench.at + seconds
    while bench.at < until:
        fail(bench)
        bench.pass_(0.1)


@pytest.mark.parametrize("verb", ["wait", "reconcile"])
def test_a_worker_that_did_not_listen_yet_is_waited_for(verb: str) -> None:
    bench = Bench(FILES).start()
    fail(bench)
    request = bench.ask(verb)
    wait(bench, 1.5)
    assert bench.state.leads
    assert request not in bench.replies, "it may come up any moment"
    bench.follow()
    wait(bench, 5.0)
    assert request not in bench.replies, "now it is there, and has not said that it is in sync"


@pytest.mark.parametrize("verb", ["wait", "reconcile"])
def test_a_worker_that_is_off_is_not_waited_for_long(verb: str) -> None:
    bench = Bench(FILES).start()
    request = bench.ask(verb)
    wait(bench, 8.0)
    assert bench.replies[request].error is None


def test_one_long_attempt_is_enough() -> None:
    """A machine that is off does not even refuse: the attempt itself takes the time."""
    bench = Bench(FILES).start()
    request = bench.ask("wait")
    bench.pass_(6.0)
    assert bench.state.leads
    assert request not in bench.replies
    bench.handle(DialFailed(PEER, "timed out"))
    bench.pass_(1.0)
    assert bench.replies[request].error is None


def test_a_worker_whose_connection_broke_is_given_a_moment() -> None:
    bench = Bench(FILES).lead()
    link = bench.follow()
    bench.cut(link)
    request = bench.ask("wait")
    wait(bench, 1.5)
    assert request not in bench.replies
    wait(bench, 8.0)
    assert bench.replies[request].error is None
