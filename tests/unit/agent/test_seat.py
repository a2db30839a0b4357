"""The seat: questions and signals find the agent, also between two starts of it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, cast

import pytest

from syncagent.agent.wiring.seat import Seat
from syncagent.core.errors import DeadlineError, UnreachableError
from syncagent.core.lease import Leadership
from tests.fakes.board import TOKEN, WORKER
from tests.fakes.loopback import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from syncagent.agent.wiring.assembly import Assembly
    from syncagent.core.desk import JSON

WAIT_S = 20.0


class Desk:
    """Answers with its agent's name once it is let go; a closed one is gone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[str] = []
        self.go = threading.Event()
        self.closed = threading.Event()

    def ask(self, verb: str, arguments: Mapping[str, JSON], timeout_s: float) -> JSON:
        self.asked.append(verb)
        while not self.go.wait(0.005):
            if self.closed.is_set():
                raise UnreachableError("gone")
        return self.name

    def close(self) -> None:
        self.closed.set()


class Agent:
    def __init__(self, name: str) -> None:
        self.desk = Desk(name)
        self.bulletin: Published | None = None
        self.stopped = False

    def request_stop(self) -> None:
        self.stopped = True


def sit(seat: Seat, agent: Agent) -> None:
    seat.take(cast("Assembly", agent))
    seat.open()


class Asker(threading.Thread):
    """Asks the seat in a thread; `said` is the answer or the error."""

    def __init__(self, seat: Seat, verb: str) -> None:
        super().__init__(daemon=True)
        self._seat, self._verb = seat, verb
        self.said: object = None
        self.start()

    def run(self) -> None:
        try:
            self.said = self._seat.ask(self._verb, {}, WAIT_S)
        except (UnreachableError, DeadlineError) as error:
            self.said = error

    def answer(self) -> object:
        self.join(WAIT_S)
        return self.said


@pytest.fixture
def seat(tmp_path: Path) -> Seat:
    return Seat(tmp_path / "settings.toml")


def test_a_question_before_the_start_waits_for_it(seat: Seat) -> None:
    agent = Agent("first")
    agent.desk.go.set()
    seat.take(cast("Assembly", agent))
    asker = Asker(seat, "status")
    asker.join(0.05)
    assert asker.is_alive()
    seat.open()
    assert asker.answer() == "first"


def test_a_question_whose_agent_starts_again_is_asked_of_the_next(seat: Seat) -> None:
    first, second = Agent("first"), Agent("second")
    second.desk.go.set()
    sit(seat, first)
    asker = Asker(seat, "reconcile")
    eventually(lambda: first.desk.asked == ["reconcile"], "the first was asked")
    seat.shut(again=True)
    sit(seat, second)
    assert asker.answer() == "second"


def test_a_decision_is_never_asked_twice(seat: Seat) -> None:
    first, second = Agent("first"), Agent("second")
    sit(seat, first)
    asker = Asker(seat, "approve")
    eventually(lambda: first.desk.asked == ["approve"], "the first was asked")
    seat.shut(again=True)
    sit(seat, second)
    assert isinstance(asker.answer(), UnreachableError)
    assert second.desk.asked == []


def test_when_the_agent_goes_for_good_nobody_waits(seat: Seat) -> None:
    agent = Agent("only")
    sit(seat, agent)
    asker = Asker(seat, "status")
    eventually(lambda: agent.desk.asked == ["status"], "it was asked")
    seat.leave()
    assert isinstance(asker.answer(), UnreachableError)
    with pytest.raises(UnreachableError, match="is stopping"):
        seat.ask("status", {}, WAIT_S)


def test_a_start_that_takes_too_long_is_a_deadline(seat: Seat) -> None:
    with pytest.raises(DeadlineError, match="did not start within"):
        seat.ask("status", {}, 0.01)


def test_a_stop_between_two_starts_stops_the_next(seat: Seat) -> None:
    first, second = Agent("first"), Agent("second")
    sit(seat, first)
    seat.shut(again=True)
    seat.stop()
    assert first.stopped
    seat.take(cast("Assembly", second))
    assert second.stopped


class Published:
    """A bulletin with one word of each kind."""

    pulse = WORKER

    def belief(self) -> Leadership:
        return Leadership(TOKEN, 200.0)

    def status(self) -> tuple[JSON, float]:
        return {}, 1.0


def test_what_is_published_is_of_the_agent_that_answers_now(seat: Seat) -> None:
    agent = Agent("first")
    agent.bulletin = Published()
    assert (seat.pulse(), seat.belief(), seat.status()) == (None, None, None)
    sit(seat, agent)
    assert (seat.pulse(), seat.belief()) == (WORKER, Leadership(TOKEN, 200.0))
    assert seat.status() == ({}, 1.0)
    before = seat.now()
    seat.shut(again=True)
    assert seat.pulse() is None, "nobody is the manager between two starts"
    assert before <= seat.now()
