"""Leadership handed over in order: switchover, promote, a stop, a runtime that is down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import lease_effects as lx
from syncagent.agent import results as rs
from syncagent.agent.node.state import Role
from syncagent.core.errors import (
    BusyError,
    DeadlineError,
    RefusedError,
    SettingsError,
    UnreachableError,
)
from syncagent.core.lease import Candidate
from syncagent.core.settings import ElectionSettings, PeerSettings
from syncagent.core.wire.messages import (
    Admit,
    Answered,
    Ask,
    Commit,
    Done,
    Offer,
    Prepared,
    Report,
    Survey,
)
from tests.fakes.agent_bench import ME, PEER, THIRD, Bench, at, sequence
from tests.fakes.leases import MemoryStore, MemoryTable

if TYPE_CHECKING:
    from syncagent.core.artifact import NodeName

FILES = {f"sequences/{name}.xml": sequence(name) for name in "ab"}
PEERS = (PeerSettings(PEER, "10.0.0.2:7421", ""), PeerSettings(THIRD, "10.0.0.3:7421", ""))


def says(
    bench: Bench, link: int, *, eligible: bool = True, ready: bool = True, priority: int = 10
) -> None:
    """Let a worker report whether it can lead."""
    row: dict[str, object] = {
        "eligible": eligible,
        "ready": ready,
        "unfit": "" if eligible else "apply = false",
    }
    row["priority"] = priority
    bench.hear(link, Report(json.dumps({"row": {"state": "Synced", **row}})))


def leading(**given: object) -> tuple[Bench, int, int]:
    """A manager with two workers that can lead; the store elects."""
    bench = Bench(FILES, store=MemoryStore(MemoryTable()), peers=PEERS, **given).start()  # type: ignore[arg-type]
    links = bench.link(PEER), bench.link(THIRD)
    for link in links:
        bench.admit(link)
    assert bench.state.leads
    bench.pass_(1)
    for link in links:
        catch_up(bench, link)
        says(bench, link)
    return bench, *links


def catch_up(bench: Bench, link: int) -> None:
    """Let a worker have what the manager has."""
    standing = bench.state.standing.revision
    bench.hear(link, Prepared(standing))
    bench.hear(link, Done(standing, bench.state.base.digest))
    bench.said(Commit, link)


def table_of(bench: Bench) -> MemoryTable:
    assert isinstance(bench.store, MemoryStore)
    return bench.store.table


def told(bench: Bench, link: int) -> list[tuple[str, object]]:
    return [(ask.verb, json.loads(ask.body)["after_s"]) for ask in bench.said(Ask, link)]


def takes_over(bench: Bench, name: NodeName) -> None:
    """Let another node take the free lease and be admitted here."""
    store = MemoryStore(table_of(bench))
    token = store.try_acquire(Candidate("c", name, "p1"), store.observe(), 0)
    assert token is not None
    bench.hear(bench.link(name, dialled=False), Admit(token))


# --- switchover -----------------------------------------------------------------------------------


def test_the_chosen_node_is_told_first_and_the_lease_is_free_by_then() -> None:
    bench, second, third = leading()
    request = bench.ask("switchover", node=str(THIRD))
    assert (bench.state.role, table_of(bench).token) == (Role.WORKER, None)
    assert (told(bench, third), told(bench, second)) == ([("take-over", 0)], [("wake", 2.0)])
    assert {link for link, _ in bench.hung_up} == {second, third}
    assert request not in bench.replies
    takes_over(bench, THIRD)
    assert bench.replies[request].result == {"epoch": 2, "manager": THIRD}
    bench.pass_(60)
    assert bench.state.role is not Role.WORKER, "it is a candidate like any other afterwards"


def test_nothing_new_is_declared_and_what_is_under_way_is_finished_first() -> None:
    bench, second, _ = leading()
    bench.put("sequences/new.xml", sequence("new"))
    bench.pass_(1)
    assert bench.said(Offer, second)
    request = bench.ask("switchover", node=str(PEER))
    bench.put("sequences/late.xml", sequence("late"))
    bench.pass_(3)
    assert bench.state.leads
    assert bench.state.handing_over == "a person hands over to gw-2"
    number = bench.state.standing.revision.number
    catch_up(bench, second)
    assert not bench.state.leads
    assert bench.state.standing.revision.number == number
    assert bench.files["sequences/late.xml"] == sequence("late")
    takes_over(bench, PEER)
    assert bench.replies[request].error is None


def test_while_a_worker_commits_nothing_is_given_away() -> None:
    bench, second, third = leading()
    bench.put("sequences/new.xml", sequence("new"))
    bench.pass_(1)
    newest = bench.state.standing.revision
    bench.hear(third, Prepared(newest))
    assert bench.said(Commit, third)
    catch_up(bench, second)
    bench.ask("switchover", node=str(PEER))
    assert bench.state.leads
    bench.hear(third, Done(newest, bench.state.base.digest))
    assert not bench.state.leads


def test_who_does_not_catch_up_in_time_is_not_handed_to() -> None:
    bench, second, _ = leading()
    bench.put("sequences/new.xml", sequence("new"))
    bench.pass_(1)
    bench.said(Offer, second)
    request = bench.ask("switchover", node=str(PEER))
    bench.pass_(61)
    error = bench.replies[request].error
    assert isinstance(error, DeadlineError)
    assert "gw-2 has not got the newest revision" in str(error)
    assert bench.state.leads
    assert bench.state.withholds == ""


def test_where_nobody_takes_over_it_leads_again_and_says_so() -> None:
    bench, _, _ = leading()
    request = bench.ask("switchover")
    bench.pass_(20)
    assert bench.state.leads
    assert "no other node took over" in str(bench.replies[request].error)


def test_the_best_is_ready_and_up_to_date() -> None:
    bench, second, third = leading()
    says(bench, second, ready=False)
    bench.ask("switchover")
    assert told(bench, third) == [("take-over", 0)]


def test_of_two_that_are_equal_the_one_of_higher_priority_is_better() -> None:
    bench, second, third = leading()
    says(bench, second, priority=3)
    bench.ask("switchover")
    assert told(bench, third) == [("take-over", 0)]


@pytest.mark.parametrize(
    ("name", "error", "text"),
    [
        ("gw-9", SettingsError, "no node 'gw-9'"),
        (str(PEER), RefusedError, "gw-2 can't lead: apply = false"),
        (str(THIRD), UnreachableError, "gw-3 is not connected"),
    ],
)
def test_who_can_t_lead_is_not_handed_to(name: str, error: type[Exception], text: str) -> None:
    bench, second, third = leading()
    says(bench, second, eligible=False)
    bench.cut(third, THIRD)
    with pytest.raises(error, match=text):
        bench.answer("switchover", node=name)
    assert bench.state.leads
    with pytest.raises(BusyError, match="no other node can lead"):
        bench.answer("switchover")


def test_who_has_told_nothing_of_itself_yet_is_joining_and_not_unfit() -> None:
    bench = Bench(FILES, store=MemoryStore(MemoryTable()), peers=PEERS).start()
    link = bench.link(PEER)
    bench.admit(link)
    bench.pass_(6)
    catch_up(bench, link)
    with pytest.raises(BusyError, match="gw-2 is joining"):
        bench.answer("switchover", node=str(PEER))
    says(bench, link)
    bench.ask("switchover", node=str(PEER))
    bench.pass_(1)
    assert told(bench, link) == [("take-over", 0)]


def test_what_was_saved_just_before_a_switchover_goes_with_it() -> None:
    bench, second, _ = leading()
    bench.disk.put(at("sequences/c.xml"), sequence("c"))
    before = bench.state.standing.revision.number
    bench.ask("switchover", node=str(PEER))
    bench.pass_(1)
    assert bench.state.leads, "the other one has not got it"
    assert bench.state.standing.revision.number == before + 1
    catch_up(bench, second)
    assert told(bench, second) == [("take-over", 0)]


def test_a_switchover_to_the_manager_itself_is_done() -> None:
    bench, _, _ = leading()
    assert bench.answer("switchover", node=str(ME)) == {"epoch": 1, "manager": ME}


def test_only_one_at_a_time() -> None:
    bench, second, _ = leading()
    bench.put("sequences/new.xml", sequence("new"))
    bench.pass_(1)
    bench.said(Offer, second)
    bench.ask("switchover", node=str(PEER))
    with pytest.raises(BusyError, match="handed over already"):
        bench.answer("switchover")


def test_a_worker_says_who_can_hand_over() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()
    with pytest.raises(BusyError, match="only the manager can hand over") as caught:
        bench.answer("switchover")
    assert "on gw-2: syncagent switchover" in caught.value.hint


def test_a_lease_that_is_lost_meanwhile_ends_it() -> None:
    bench, second, _ = leading()
    bench.put("sequences/new.xml", sequence("new"))
    bench.pass_(1)
    bench.said(Offer, second)
    request = bench.ask("switchover", node=str(PEER))
    store = MemoryStore(table_of(bench))
    assert store.try_acquire(Candidate("c", THIRD, "p1"), store.observe(), 0)
    bench.pass_(6)
    assert isinstance(bench.replies[request].error, BusyError)


# --- without a store ------------------------------------------------------------------------------


def test_without_a_store_the_chosen_node_promotes_itself() -> None:
    bench = Bench(FILES, manager=ME).lead()
    link = bench.follow()
    bench.pass_(1)
    catch_up(bench, link)
    says(bench, link)
    request = bench.ask("switchover")
    (ask,) = bench.said(Ask, link)
    assert (ask.verb, bench.state.leads) == ("take-over", True)
    bench.put("sequences/late.xml", sequence("late"))
    bench.pass_(2)
    assert "sequences/late.xml" not in {p.path for p, _ in bench.state.base}
    bench.hear(bench.link(dialled=False), Admit(bench.token(2)))
    assert bench.replies[request].result == {"epoch": 2, "manager": PEER}


def test_without_a_store_the_chosen_node_may_say_no() -> None:
    bench = Bench(FILES, manager=ME).lead()
    link = bench.follow()
    bench.pass_(1)
    catch_up(bench, link)
    says(bench, link)
    request = bench.ask("switchover")
    (ask,) = bench.said(Ask, link)
    body = {"error": {"message": "it does not list siddhi", "hint": "", "exit_code": 7}}
    bench.hear(link, Answered(ask.id, json.dumps(body)))
    assert "does not list siddhi" in str(bench.replies[request].error)
    assert bench.state.leads
    assert bench.state.handing_over == ""


def test_without_a_store_who_is_called_asks_everybody_first() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()
    link, _ = bench.managed()
    bench.hear(link, Ask(1, "take-over", "{}"))
    assert bench.state.role is Role.SURVEYING
    assert bench.said(Survey) == []
    assert bench.dialled == [PEER]


# --- a stop ---------------------------------------------------------------------------------------


def departed(bench: Bench) -> bool:
    return any(isinstance(effect, lx.Depart) for effect in bench.others)


def test_who_is_told_to_stop_gives_the_lease_back_and_wakes_the_others() -> None:
    bench, second, third = leading()
    bench.handle(rs.Leaving())
    bench.rest()
    assert table_of(bench).token is None
    assert (told(bench, second), told(bench, third)) == ([("take-over", 0)], [("wake", 2.0)])
    assert departed(bench)


def test_a_stop_waits_for_a_commit_on_a_worker_but_not_for_ever() -> None:
    bench, second, third = leading()
    bench.put("sequences/new.xml", sequence("new"))
    bench.pass_(1)
    bench.hear(second, Prepared(bench.state.standing.revision))
    bench.hear(third, Prepared(bench.state.standing.revision))
    bench.handle(rs.Leaving())
    bench.pass_(19)
    assert (bench.state.leads, departed(bench)) == (True, False)
    bench.pass_(2)
    assert (bench.state.leads, departed(bench)) == (False, True)
    assert table_of(bench).token is None


def test_a_worker_and_a_manager_without_a_store_stop_at_once() -> None:
    for bench in (Bench(FILES, manager=ME).lead(), Bench(FILES, manager=PEER).start()):
        bench.handle(rs.Leaving())
        assert departed(bench), bench.hands


def test_a_stop_while_it_is_handed_over_ends_with_that() -> None:
    bench, _, _ = leading()
    bench.ask("switchover", node=str(THIRD))
    bench.handle(rs.Leaving())
    bench.rest()
    assert not departed(bench)
    takes_over(bench, THIRD)
    assert departed(bench)


# --- who is told ----------------------------------------------------------------------------------


def following(**given: object) -> tuple[Bench, int, MemoryTable]:
    """A worker of a manager that holds the lease."""
    table = MemoryTable()
    store = MemoryStore(table)
    token = store.try_acquire(Candidate("c", PEER, "p1"), store.observe(), 1)
    assert token is not None
    bench = Bench(FILES, store=MemoryStore(table), peers=PEERS, **given).start()  # type: ignore[arg-type]
    link = bench.link(dialled=False)
    bench.hear(link, Admit(token))
    return bench, link, table


def free(table: MemoryTable) -> None:
    assert table.token is not None
    MemoryStore(table).resign(table.token)


def test_who_is_woken_takes_a_lease_that_is_free_at_once() -> None:
    bench, link, table = following()
    free(table)
    bench.hear(link, Ask(1, "wake", '{"after_s": 0}'))
    assert table.token is not None
    assert table.token.holder == ME


def test_who_is_woken_takes_no_lease_that_is_held() -> None:
    bench, link, table = following()
    bench.hear(link, Ask(1, "wake", '{"after_s": 0}'))
    assert table.token is not None
    assert table.token.holder == PEER


def test_who_is_to_wait_leaves_the_lease_to_the_chosen_one_for_two_seconds() -> None:
    bench, link, table = following()
    bench.hear(link, Ask(1, "wake", '{"after_s": 60}'))
    free(table)
    bench.pass_(1.9)
    assert table.token is None
    bench.pass_(1)
    assert table.token is not None


def test_who_is_called_takes_over_though_its_runtime_is_not_ready() -> None:
    bench, link, table = following()
    bench.node.campaigning.ready = lambda: False
    bench.pass_(1)
    assert bench.state.waits_for
    free(table)
    bench.hear(link, Ask(1, "take-over", "{}"))
    assert table.token is not None
    assert table.token.holder == ME


def test_who_is_called_takes_it_at_once_whatever_its_priority() -> None:
    election = ElectionSettings("sql", eligible=(ME,), priority=1)
    bench, link, table = following(election=election)
    free(table)
    bench.hear(link, Ask(1, "wake", "{}"))
    bench.pass_(1)
    assert table.token is None, "it leaves a lease that is free to others"
    bench.hear(link, Ask(2, "take-over", "{}"))
    assert table.token is not None


def test_a_stranger_wakes_nobody() -> None:
    bench, _, table = following()
    free(table)
    other = bench.link(THIRD, dialled=False)
    bench.hear(other, Ask(1, "wake", "{}"))
    (answer,) = bench.said(Answered, other)
    assert "not allowed" in answer.body
    assert table.token is None


# --- promote --------------------------------------------------------------------------------------


def test_promote_has_the_manager_hand_over() -> None:
    bench, link, table = following()
    request = bench.ask("promote")
    (ask,) = bench.said(Ask, link)
    assert (ask.verb, json.loads(ask.body)) == ("switchover", {"node": ME})
    free(table)
    bench.hear(link, Ask(7, "take-over", "{}"))
    bench.cut(link)
    bench.pass_(6)
    assert bench.replies[request].result == {"epoch": 3, "manager": ME}


def test_a_manager_that_does_not_hand_over_is_the_answer() -> None:
    bench, link, _ = following()
    request = bench.ask("promote")
    (ask,) = bench.said(Ask, link)
    body = {"error": {"message": "it is being handed over already", "hint": "", "exit_code": 7}}
    bench.hear(link, Answered(ask.id, json.dumps(body)))
    assert "handed over already" in str(bench.replies[request].error)
    again = bench.ask("promote")
    assert again not in bench.replies, "it may be asked again"
    assert "under way already" in str(bench.replies[bench.ask("promote")].error)


def test_promote_without_contact_waits_for_the_lease_to_run_out() -> None:
    bench, link, _ = following()
    bench.cut(link)
    request = bench.ask("promote")
    bench.pass_(5)
    assert request not in bench.replies
    bench.pass_(20)
    assert bench.replies[request].result == {"epoch": 3, "manager": ME}


def test_promote_says_who_keeps_the_lease() -> None:
    bench, link, table = following()
    bench.cut(link)
    request = bench.ask("promote")
    store = MemoryStore(table)
    for _ in range(13):
        bench.pass_(2)
        assert table.token is not None
        store.renew(table.token)
    error = bench.replies[request].error
    assert isinstance(error, BusyError)
    assert "gw-2 holds the lease and renews it" in str(error)


def test_promote_says_that_the_store_is_away() -> None:
    bench, link, _ = following()
    assert isinstance(bench.store, MemoryStore)
    bench.store.down = True
    bench.cut(link)
    request = bench.ask("promote")
    bench.pass_(26)
    assert "the lease store can't be asked: the store is down" in str(bench.replies[request].error)


def test_force_takes_a_lease_that_is_held() -> None:
    bench, link, table = following()
    bench.cut(link)
    request = bench.ask("promote", force=True)
    bench.pass_(6)
    assert bench.replies[request].result == {"epoch": 3, "manager": ME}
    assert table.token is not None
    assert table.token.holder == ME


def test_who_may_not_be_elected_is_not_promoted() -> None:
    bench, _, _ = following(apply=False)
    with pytest.raises(RefusedError, match="only observes"):
        bench.answer("promote", force=True)


def test_the_manager_is_promoted_already() -> None:
    bench, _, _ = leading()
    assert bench.answer("promote") == {"epoch": 1, "manager": ME}


# --- a runtime that is not ready ------------------------------------------------------------------


def test_a_manager_whose_runtime_is_not_ready_hands_over_after_thirty_seconds() -> None:
    bench, _, third = leading()
    bench.node.campaigning.ready = lambda: False
    bench.pass_(29)
    assert bench.state.leads
    bench.pass_(2)
    assert not bench.state.leads
    (event,) = bench.events("handing-over")
    assert event["reason"] == "the runtime of gw-1 is not ready, that of gw-2 is"
    takes_over(bench, PEER)
    bench.pass_(11)
    assert bench.state.waits_for == "its runtime is not ready, and another's may be"
    assert third


def test_where_no_runtime_is_ready_it_stays() -> None:
    bench, second, third = leading()
    for link in (second, third):
        says(bench, link, ready=False)
    bench.node.campaigning.ready = lambda: False
    bench.pass_(90)
    assert bench.state.leads
    assert bench.wake_at > bench.at, "it looks now and then, not without end"


def test_a_runtime_that_comes_back_in_time_changes_nothing() -> None:
    bench, _, _ = leading()
    bench.node.campaigning.ready = lambda: False
    bench.pass_(20)
    bench.node.campaigning.ready = lambda: True
    bench.pass_(1)
    bench.node.campaigning.ready = lambda: False
    bench.pass_(20)
    assert bench.state.leads


def test_who_is_not_ready_leaves_a_lease_that_ran_out_to_others_for_a_while() -> None:
    bench, link, table = following()
    bench.node.campaigning.ready = lambda: False
    bench.pass_(1)
    free(table)
    bench.cut(link)
    bench.pass_(19)
    assert table.token is None
    bench.pass_(3)
    assert table.token is not None
    assert [e for e in bench.others if isinstance(e, fx.Resign)] == []
