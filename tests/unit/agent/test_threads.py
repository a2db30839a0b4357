"""Loop, lanes and desk: the threads around the node."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.hands.desk import AgentDesk
from syncagent.agent.hands.lanes import Crashed, Lane, stop_all
from syncagent.agent.loop import Loop, Stop
from syncagent.core.errors import DeadlineError, RefusedError, UnreachableError
from tests.fakes.agent_bench import Bench
from tests.fakes.inbox import DEADLINE_S


class Posts:
    """Keeps what is posted and waits for it."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self._came = threading.Condition()

    def post(self, event: object) -> None:
        with self._came:
            self.events.append(event)
            self._came.notify_all()

    def wait(self, count: int) -> list[object]:
        with self._came:
            assert self._came.wait_for(lambda: len(self.events) >= count, DEADLINE_S)
            return self.events[:]


# --- lanes ----------------------------------------------------------------------------------------


def test_a_lane_carries_out_in_order_and_posts_what_came_of_it() -> None:
    posts = Posts()
    lane: Lane[int] = Lane("x", lambda number: number * 10 or None, posts.post)
    for number in range(4):
        lane.put(number)
    lane.start()
    assert posts.wait(3) == [10, 20, 30], "nothing came of 0"
    lane.put(5)
    assert lane.stop(), "what is queued is carried out first"
    assert posts.events[-1] == 50


def test_what_a_hand_is_not_prepared_for_is_passed_on() -> None:
    posts = Posts()

    def fail(_effect: int) -> None:
        raise ZeroDivisionError

    lane: Lane[int] = Lane("x", fail, posts.post)
    lane.start()
    lane.put(1)
    (crashed,) = posts.wait(1)
    assert isinstance(crashed, Crashed)
    assert (crashed.lane, type(crashed.error)) == ("x", ZeroDivisionError)
    lane.put(2)
    assert lane.stop()
    assert len(posts.events) == 1, "it does nothing any more"


def test_a_lane_that_was_never_started_is_stopped_already() -> None:
    assert Lane("x", lambda _effect: None, lambda _event: None).stop()


def test_a_lane_that_hangs_is_given_up_and_the_others_end() -> None:
    posts, answer = Posts(), threading.Event()
    hung: Lane[int] = Lane("hung", lambda _effect: answer.wait(), posts.post, join_s=0.01)
    well: Lane[int] = Lane("well", lambda number: number, posts.post)
    for lane in (hung, well):
        lane.start()
        lane.put(7)
    assert stop_all({"hung": hung, "well": well}) == ["hung"]
    assert posts.events == [7]
    answer.set()
    assert hung.ended(DEADLINE_S), "it ends by itself when what hung comes back"


# --- the loop -------------------------------------------------------------------------------------


@contextmanager
def running(
    bench: Bench, last: object = None, **given: int
) -> Iterator[tuple[Loop, list[fx.Effect], list[object]]]:
    """Run a node's loop in a thread of its own; effects are noted, not carried out."""
    effects: list[fx.Effect] = []
    ended: list[object] = []
    loop = Loop(bench.node, bench, effects.append, **given)

    def run() -> None:
        try:
            ended.append(loop.run())
        except ZeroDivisionError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield loop, effects, ended
    finally:
        if last is not None:
            loop.post(last)
        thread.join(DEADLINE_S)
        assert not thread.is_alive()


def test_the_loop_starts_the_node_hands_out_effects_and_answers() -> None:
    bench = Bench()
    with running(bench, Stop(again=True)) as (loop, effects, ended):
        loop.post(rs.Asked(1, "progress", {}, 5.0))
    assert ended == [True]
    assert any(isinstance(effect, fx.Scan) for effect in effects)
    (reply,) = [effect for effect in effects if isinstance(effect, fx.Reply)]
    assert reply.result == {"active": False, "nodes": []}


@pytest.mark.parametrize("stops", [(Stop(), Stop(again=True)), (Stop(again=True), Stop())])
def test_who_ends_the_agent_is_not_overruled(stops: tuple[Stop, Stop]) -> None:
    loop = Loop(Bench().node, Bench(), lambda _effect: None)
    for stop in stops:
        loop.post(stop)
    assert loop.run() is False


def test_what_crashed_a_hand_ends_the_loop() -> None:
    bench = Bench()
    with running(bench) as (loop, _, ended):
        loop.post(Crashed("eye", ZeroDivisionError("x")))
    assert isinstance(ended[0], ZeroDivisionError)
    loop.post("after the end it is dropped")


def test_a_full_inbox_makes_posters_wait_and_the_loop_go_on() -> None:
    bench = Bench()
    with running(bench, Stop(), inbox_max=2) as (loop, effects, _):
        for number in range(50):
            loop.post(rs.Asked(number, "progress", {}, 5.0))
    assert len([effect for effect in effects if isinstance(effect, fx.Reply)]) == 50


# --- the desk -------------------------------------------------------------------------------------


def test_an_answer_finds_who_asked() -> None:
    def answer(event: object) -> None:
        assert isinstance(event, rs.Asked)
        desk.reply(fx.Reply(event.request, [event.verb, event.arguments["x"]]))

    desk = AgentDesk(answer)
    assert desk.ask("status", {"x": 1}, 5.0) == ["status", 1]
    assert desk.ask("nodes", {"x": 2}, 5.0) == ["nodes", 2]


def test_an_error_is_raised_where_it_was_asked() -> None:
    def answer(event: object) -> None:
        assert isinstance(event, rs.Asked)
        desk.reply(fx.Reply(event.request, None, RefusedError("no")))

    desk = AgentDesk(answer)
    with pytest.raises(RefusedError, match="no"):
        desk.ask("approve", {}, 5.0)


def test_who_is_not_answered_is_told_so() -> None:
    desk = AgentDesk(lambda _event: None)
    with pytest.raises(DeadlineError, match="status: no answer"):
        desk.ask("status", {}, -2.0)
    desk.reply(fx.Reply(1, "late"))


def test_who_waits_when_the_agent_stops_is_told_so() -> None:
    desk = AgentDesk(lambda _event: desk.close())
    with pytest.raises(UnreachableError, match="stopping"):
        desk.ask("wait", {}, 5.0)
    with pytest.raises(UnreachableError, match="stopping"):
        desk.ask("status", {}, 5.0)
