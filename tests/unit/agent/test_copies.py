"""Two nodes of one name and key: the copy is told from the first by its state folder."""

from __future__ import annotations

import json

import pytest

from syncagent.agent.node.state import Role
from syncagent.core.errors import BusyError
from syncagent.core.events import StrangerRefused
from syncagent.core.revision import REVISION_ZERO, Token
from syncagent.core.wire.messages import Admit, Fenced, Report, Surveyed
from tests.fakes.agent_bench import ME, PEER, Bench, T, sequence

FILES = {"sequences/a.xml": sequence("a")}
FIRST = Token("c", 1, ME, "key1.state1.x")
NO_ROWS = REVISION_ZERO.digest


class Copy(Bench):
    """The node that was set up with the name and key of the first one."""

    incarnation = "key1.state2.y"


def surveyed(bench: Bench, link: int, highest: Token) -> None:
    bench.hear(link, Surveyed(highest, REVISION_ZERO, NO_ROWS, (T,)))


def alarms(bench: Bench) -> list[str]:
    status = bench.answer("status")
    assert isinstance(status, dict)
    return list(status["alarms"])


def test_a_copy_that_starts_while_the_first_is_away_does_not_lead() -> None:
    bench = Copy(FILES).start()
    surveyed(bench, bench.link(), FIRST)
    bench.pass_(60)
    assert bench.state.role is Role.WORKER
    assert bench.said(Admit) == []
    assert any("another node named gw-1" in text for text in alarms(bench))


def test_a_copy_that_led_alone_steps_down_when_a_worker_tells() -> None:
    bench = Copy(FILES).lead()
    link = bench.link()
    bench.hear(link, Fenced(FIRST, "another node named gw-1 led before"))
    assert bench.state.role is Role.WORKER
    assert link in [each for each, _ in bench.hung_up], "the first finds the way free"
    bench.cut(link)
    bench.dialled.clear()
    bench.pass_(120)
    assert bench.dialled == []
    assert any("--new-identity" in text for text in alarms(bench))


@pytest.mark.parametrize("force", [False, True])
def test_nobody_can_promote_a_copy_over_the_first(force: bool) -> None:
    bench = Copy(FILES).start()
    surveyed(bench, bench.link(), FIRST)
    request = bench.ask("promote", force=force)
    surveyed(bench, 1, FIRST)
    bench.pass_(10)
    error = bench.replies[request].error
    assert isinstance(error, BusyError)
    assert "another node named gw-1" in str(error)
    assert bench.state.role is Role.WORKER


def test_a_restart_of_the_first_leads_on() -> None:
    class Restarted(Bench):
        incarnation = "key1.state1.later"

    bench = Restarted(FILES)
    bench.guard.admit(FIRST)
    bench.state.guard = bench.guard.state()
    surveyed(bench.start(), bench.link(), FIRST)
    bench.pass_(1)
    assert [admit.token.epoch for admit in bench.said(Admit)] == [2]


def test_a_worker_does_not_admit_the_copy_of_who_led_it() -> None:
    bench = Bench(FILES, manager=PEER).start()
    first = Token("c", 3, PEER, "key2.state1.x")
    bench.hear(bench.link(dialled=False), Admit(first))
    bench.said(Fenced)
    link = bench.link(dialled=False)
    bench.hear(link, Admit(Token("c", 4, PEER, "key2.state2.y")))
    (fenced,) = bench.said(Fenced, link)
    assert fenced.highest == first
    assert "another node named gw-2" in fenced.reason


# --- what the first one's status says -------------------------------------------------------------


def refuse(bench: Bench, name: str) -> None:
    bench.handle(
        StrangerRefused(name, "ssh-ed25519 AAAA", "10.0.0.9:4711", "two live nodes", twin=True)
    )


def test_a_manager_tells_of_the_copy_that_its_workers_refuse() -> None:
    bench = Bench(FILES).lead()
    link = bench.follow()
    row = {"name": "gw-1", "address": "10.0.0.9:4711"}
    bench.hear(link, Report(json.dumps({"row": {"state": "Synced"}, "twins": [row]})))
    (text,) = [text for text in alarms(bench) if "gw-1" in text]
    assert "gw-2 refuses a second live node named gw-1, from 10.0.0.9:4711" in text
    assert "--new-identity" in text
    status = bench.answer("status")
    assert isinstance(status, dict)
    assert {row["state"] for row in status["nodes"]} == {"Synced"}, "no node is worse for it"


def test_a_manager_tells_of_the_copy_of_a_worker_that_it_refuses_itself() -> None:
    bench = Bench(FILES).lead()
    refuse(bench, "gw-2")
    refuse(bench, "gw-2")
    assert len([text for text in alarms(bench) if "second live node named gw-2" in text]) == 1


def test_a_worker_reports_whom_it_refuses_for_as_long_as_they_come() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()
    bench.managed()
    refuse(bench, "gw-2")
    bench.pass_(1)
    last = json.loads(bench.said(Report)[-1].body)
    assert last["twins"] == [{"name": "gw-2", "address": "10.0.0.9:4711"}]
    bench.pass_(400)
    assert json.loads(bench.said(Report)[-1].body)["twins"] == []


def test_a_stranger_is_no_copy() -> None:
    bench = Bench(FILES).lead()
    bench.handle(StrangerRefused("gw-9", "key", "10.0.0.9:4711", "unknown key"))
    assert not any("second live node" in text for text in alarms(bench))
