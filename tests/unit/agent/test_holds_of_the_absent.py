"""Holds of a worker that starts anew: a person decides them as if it had been there all the time."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from syncagent.core.digest import digest_of
from syncagent.core.errors import BusyError, RefusedError, UnreachableError
from syncagent.core.events import DialFailed
from syncagent.core.wire.messages import Answered, Ask, Declined, Done, Report
from tests.fakes.agent_bench import PEER, Bench, sequence

if TYPE_CHECKING:
    from syncagent.agent.effects import Reply

FILES = {"sequences/a.xml": sequence("a")}
HELD = {
    "id": "f-1",
    "node": PEER,
    "tree": "synapse",
    "kind": "first-contact",
    "set": digest_of(b"set"),
}


@dataclass
class Managing:
    """A manager, and a worker that holds something."""

    bench: Bench
    link: int = 0

    def __post_init__(self) -> None:
        self.bench.lead().pass_(3)
        self.back()
        self.reports("Held", HELD)

    def back(self) -> None:
        """Let the worker be connected and admitted."""
        self.link = self.bench.follow(standing=self.bench.state.standing.revision)

    def away(self) -> None:
        """Let the worker's process go, as when it starts anew."""
        self.bench.cut(self.link)

    def reports(self, state: str, *held: dict[str, object]) -> None:
        """Let the worker tell how it is."""
        row = {"state": state, "revision": self.bench.state.standing.revision.number}
        self.bench.hear(self.link, Report(json.dumps({"row": row, "held": list(held)})))

    def asked(self, verb: str = "approve") -> Ask | None:
        """Return what the worker was asked to decide, once."""
        found = [ask for ask in self.bench.said(Ask, self.link) if ask.verb == verb]
        assert len(found) <= 1
        return found[0] if found else None

    def answers(self, ask: Ask | None) -> None:
        """Let the worker say that it is done."""
        assert ask is not None
        result = {"id": "f-1", "released": 1, "nodes": [PEER]}
        self.bench.hear(self.link, Answered(ask.id, json.dumps({"result": result})))

    def reply(self, request: int) -> Reply | None:
        """Return the answer to a person."""
        return self.bench.replies.get(request)

    def listed(self) -> list[object]:
        """Return the ids of everything that is listed as held."""
        held = self.bench.answer("held")
        assert isinstance(held, list)
        return [row["id"] for row in held]


@pytest.fixture
def cluster() -> Managing:
    return Managing(Bench(FILES))


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_what_a_worker_held_is_decided_when_it_is_back(cluster: Managing, verb: str) -> None:
    cluster.away()
    request = cluster.bench.ask(verb, id="f-1")
    assert cluster.reply(request) is None, "it may be back any moment"
    cluster.back()
    assert cluster.asked(verb) is None, "whether it holds the same is not told yet"
    cluster.reports("Unknown")
    cluster.bench.pass_(1.0)
    assert cluster.asked(verb) is None, "its trees are being scanned"
    assert cluster.listed() == ["f-1"], "nor does it vanish from the list meanwhile"
    cluster.reports("Held", HELD)
    cluster.answers(cluster.asked(verb))
    reply = cluster.reply(request)
    assert reply is not None
    assert reply.error is None
    assert cluster.bench.said(Ask) == [], "asked once"


def test_a_hold_that_did_not_come_back_is_no_hold_any_more(cluster: Managing) -> None:
    cluster.away()
    request = cluster.bench.ask("approve", id="f-1")
    cluster.back()
    cluster.reports("Synced")
    cluster.bench.pass_(1.0)
    reply = cluster.reply(request)
    assert reply is not None
    assert isinstance(reply.error, RefusedError)
    assert cluster.listed() == []


def test_a_decline_is_told_before_the_hold_that_explains_it(cluster: Managing) -> None:
    first = cluster.bench.state.standing.revision
    cluster.away()
    cluster.bench.put("sequences/b.xml", sequence("b"))
    cluster.bench.pass_(3.0)
    cluster.link = cluster.bench.follow(standing=first)
    cluster.reports("Synced")
    request = cluster.bench.ask("approve", id="f-1")
    newest = cluster.bench.state.standing.revision
    cluster.bench.pass_(0.1)
    cluster.bench.hear(cluster.link, Declined(newest, "held", "many", "f-1"))
    cluster.bench.pass_(0.1)
    assert cluster.reply(request) is None
    cluster.reports("Held", HELD)
    cluster.answers(cluster.asked())
    assert cluster.reply(request) is not None


def test_who_stays_away_is_named_and_nothing_is_decided(cluster: Managing) -> None:
    cluster.away()
    request = cluster.bench.ask("approve", id="f-1")
    for _ in range(10):
        cluster.bench.pass_(1.0)
        cluster.bench.handle(DialFailed(PEER, "no route to host"))
    cluster.bench.pass_(0.1)
    reply = cluster.reply(request)
    assert reply is not None
    assert isinstance(reply.error, UnreachableError)
    assert "gw-2 is away, and it is what holds f-1: no route to host" in str(reply.error)
    assert "on gw-2: syncagent approve f-1" in reply.error.hint
    with pytest.raises(UnreachableError):
        cluster.bench.answer("approve", id="f-1")
    assert cluster.listed() == ["f-1"], "it holds it still, as far as anybody knows"


def test_who_does_not_say_what_it_holds_is_not_waited_for_long(cluster: Managing) -> None:
    cluster.away()
    cluster.back()
    cluster.reports("Syncing")
    request = cluster.bench.ask("approve", id="f-1", timeout_s=30.0)
    cluster.bench.pass_(11.0)
    assert cluster.reply(request) is None
    cluster.bench.pass_(2.0)
    reply = cluster.reply(request)
    assert reply is not None
    assert isinstance(reply.error, BusyError)
    assert "gw-2 has not told yet what it holds" in str(reply.error)


def test_a_worker_that_goes_before_it_answers_is_asked_again(cluster: Managing) -> None:
    request = cluster.bench.ask("approve", id="f-1")
    assert cluster.asked() is not None
    cluster.away()
    cluster.bench.pass_(0.1)
    assert cluster.reply(request) is None
    cluster.back()
    cluster.reports("Held", HELD)
    cluster.answers(cluster.asked())
    reply = cluster.reply(request)
    assert reply is not None
    assert reply.error is None


def test_a_worker_that_is_back_without_the_hold_may_have_released_it(cluster: Managing) -> None:
    request = cluster.bench.ask("approve", id="f-1")
    assert cluster.asked() is not None
    cluster.away()
    cluster.back()
    cluster.reports("Synced")
    cluster.bench.pass_(0.1)
    reply = cluster.reply(request)
    assert reply is not None
    assert "it may have been done or not" in str(reply.error)


def test_a_hold_that_nobody_told_of_is_refused_at_once_when_all_have_told(
    cluster: Managing,
) -> None:
    with pytest.raises(RefusedError, match="no hold 'f-2'"):
        cluster.bench.answer("approve", id="f-2")
    cluster.bench.hear(
        cluster.link, Done(cluster.bench.state.standing.revision, cluster.bench.state.base.digest)
    )


def test_a_manager_that_has_just_started_waits_for_its_workers_to_tell() -> None:
    bench = Bench(FILES, standing=FILES).start()
    request = bench.ask("approve", id="f-1")
    assert request not in bench.replies, "it does not even lead yet"
    bench.pass_(6.0)
    link = bench.follow(standing=bench.state.standing.revision)
    row = {"state": "Held", "revision": 1}
    bench.hear(link, Report(json.dumps({"row": row, "held": [HELD]})))
    assert [ask.verb for ask in bench.said(Ask)] == ["approve"]


def test_a_worker_that_has_just_started_waits_for_its_manager() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()
    request = bench.ask("approve", id="f-1")
    bench.pass_(1.0)
    assert request not in bench.replies
    bench.managed()
    bench.pass_(0.1)
    assert isinstance(bench.replies[request].error, RefusedError)
    bench.cut(bench.state.manager_link or 0)
    bench.pass_(60.0)
    with pytest.raises(RefusedError):
        bench.answer("approve", id="f-1")
