"""An election that goes by itself: who campaigns, who leads when, and what ends it."""

from __future__ import annotations

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.node.campaigning import TURN_S
from syncagent.agent.node.state import Role
from syncagent.agent.node.succeeding import ADMIT_S, CATCH_UP_AGAIN_S, FAULTS_MAX
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import StateError
from syncagent.core.events import DialFailed
from syncagent.core.lease import Candidate
from syncagent.core.revision import RevisionId, Token
from syncagent.core.settings import PeerSettings
from syncagent.core.wire.messages import Admit, Fenced, Missing, Offer, Prepared, Want
from tests.fakes.agent_bench import (
    ME,
    PEER,
    THIRD,
    Bench,
    at,
    entry,
    revision,
    rows,
    sequence,
)
from tests.fakes.leases import MemoryStore, MemoryTable

FILES = {f"sequences/{name}.xml": sequence(name) for name in "ab"}
PEERS = (PeerSettings(PEER, "10.0.0.2:7421", ""), PeerSettings(THIRD, "10.0.0.3:7421", ""))
LEASE_S = 15.0


def voter(table: MemoryTable | None = None, **given: object) -> Bench:
    """A node with a store that elects by itself."""
    return Bench(FILES, store=MemoryStore(table or MemoryTable()), **given)  # type: ignore[arg-type]


def alone(bench: Bench) -> Bench:
    """Let nobody be reached: then a new manager waits for nobody."""
    bench.start()
    for peer in bench.dialled:
        bench.handle(DialFailed(peer, "refused"))
    bench.rest()
    return bench


def other_holds(table: MemoryTable, epoch_floor: int = 0) -> MemoryStore:
    """Let another node take the lease; return its store."""
    store = MemoryStore(table)
    assert store.try_acquire(Candidate("c", PEER, "p1"), store.observe(), epoch_floor)
    return store


# --- leading --------------------------------------------------------------------------------------


def test_it_campaigns_from_its_start_and_leads_when_nobody_else_can_be_reached() -> None:
    bench = voter()
    bench.start()
    assert (bench.state.role, bench.dialled) == (Role.ADMITTING, [PEER])
    bench.handle(DialFailed(PEER, "refused"))
    bench.rest()
    assert bench.state.leads
    assert (bench.state.token, bench.guard.state().epoch) == (bench.store.table.token, 1)  # type: ignore[union-attr]


def test_who_is_named_in_the_settings_does_not_matter_where_a_store_elects() -> None:
    assert alone(voter(manager=PEER)).state.leads


def test_while_another_holds_the_lease_it_is_a_worker() -> None:
    table = MemoryTable()
    store = other_holds(table)
    bench = voter(table).start()
    token = table.token
    assert token is not None
    for _ in range(20):
        bench.pass_(2)
        store.renew(token)
    assert (bench.state.role, bench.dialled) == (Role.WORKER, [])


def test_a_lease_that_is_not_renewed_is_taken_over_with_a_higher_epoch() -> None:
    table = MemoryTable()
    other_holds(table, epoch_floor=6)
    bench = voter(table).start()
    bench.pass_(LEASE_S - 0.5)
    assert bench.state.role is Role.WORKER
    bench.pass_(3.0)
    assert (bench.state.role, bench.state.token.epoch) == (Role.ADMITTING, 8)  # type: ignore[union-attr]


def test_who_can_be_reached_is_asked_before_it_leads() -> None:
    bench = voter(peers=PEERS).start()
    link = bench.link()
    bench.handle(DialFailed(THIRD, "refused"))
    bench.rest()
    assert (bench.state.role, bench.said(Admit, link)) == (
        Role.ADMITTING,
        [Admit(bench.state.token)],  # type: ignore[arg-type]
    )
    bench.admit(link)
    assert bench.state.leads


def test_who_does_not_answer_is_waited_for_five_seconds() -> None:
    bench = voter().start()
    bench.pass_(4.9)
    assert bench.state.role is Role.ADMITTING
    bench.pass_(0.2)
    assert bench.state.leads


def test_what_the_manager_before_it_had_offered_does_not_hold_it_up() -> None:
    table = MemoryTable()
    other_holds(table, epoch_floor=4)
    assert table.token is not None
    bench = voter(table, standing=FILES).start()
    link = bench.link(dialled=False)
    bench.hear(link, Admit(table.token))
    before = bench.state.standing.revision
    path = "sequences/b.xml"
    of = revision(before, rows(FILES), (Change(at(path), entry(FILES[path]), None),), epoch=5)
    bench.hear(link, Offer(table.token, of.id, of.parent, PEER, "edit", (), of.changes))
    assert bench.said(Prepared, link), "it is prepared, and the manager stands still"
    bench.pass_(LEASE_S + ADMIT_S + 3.0)
    assert bench.state.leads
    bench.put("sequences/c.xml", sequence("c"))
    bench.pass_(3.0)
    assert bench.state.standing.revision == RevisionId(
        6, before.number + 1, bench.state.standing.manifest.digest
    )
    assert sorted(path.path for path, _ in bench.state.base) == [*FILES, "sequences/c.xml"]


# --- ceasing to -----------------------------------------------------------------------------------


def led(**given: object) -> tuple[Bench, MemoryStore, int]:
    """A manager with a worker."""
    bench = voter(**given).start()
    link = bench.link()
    bench.admit(link)
    assert bench.state.leads
    assert isinstance(bench.store, MemoryStore)
    return bench, bench.store, link


def test_it_leads_on_as_long_as_it_renews() -> None:
    bench, store, _ = led()
    bench.pass_(60)
    assert bench.state.leads
    assert store.calls.count("renew") >= 10


def test_a_store_that_is_away_ends_it_before_the_lease_ends_for_others() -> None:
    bench, store, link = led()
    bench.pass_(20)
    store.down = True
    down_at = bench.at
    while bench.state.leads:
        bench.pass_(0.1)
        assert bench.at < down_at + LEASE_S, "two would lead"
    assert 6.9 < bench.at - down_at < 12.2
    assert (link, "no longer manager") in bench.hung_up
    store.down = False
    bench.pass_(3)
    assert (bench.state.role, bench.state.token.epoch) == (Role.ADMITTING, 2)  # type: ignore[union-attr]


def test_a_lease_that_has_run_out_is_noticed_before_anything_is_done_that_came_meanwhile() -> None:
    bench, _, _ = led()
    bench.put("sequences/new.xml", sequence("new"))
    bench.said(Offer)
    bench.at += LEASE_S + 1  # the process stood still: neither thread has run
    bench.tick()
    assert (bench.state.role, bench.state.token) == (Role.WORKER, None)
    assert bench.said(Offer) == []


def test_a_lease_that_was_taken_away_ends_it_at_the_next_renewal() -> None:
    bench, store, _ = led()
    other_holds(store.table)
    bench.pass_(5.1)
    assert bench.state.role is Role.WORKER
    assert bench.events("stepped-down")


def test_what_an_earlier_lease_is_said_to_have_lost_ends_no_later_one() -> None:
    bench, _, _ = led()
    bench.handle(rs.NotElected("late news", lost=True, token=bench.token(9, ME)))
    assert bench.state.leads


def test_a_lease_that_is_lost_before_the_own_guard_has_it_leads_to_nothing() -> None:
    bench = voter()
    bench.node.start(bench.at)
    bench._drain()
    for _ in range(100):
        if not bench.arrived and not bench.step():
            bench.tick()
    bench.handle(bench.arrived.popleft())
    assert any(isinstance(effect, fx.AdmitToken) for effect in bench.hands)
    other_holds(bench.elector.elector._store.table)  # type: ignore[attr-defined]
    bench.at += 5.1
    bench.rest()
    assert bench.state.role is Role.WORKER


def test_a_higher_epoch_at_a_worker_raises_the_floor_and_it_is_elected_again_above_it() -> None:
    bench, store, link = led()
    bench.hear(link, Fenced(bench.token(9), "epoch 9 was admitted"))
    bench.pass_(1)
    assert (bench.state.role, bench.state.token.epoch) == (Role.ADMITTING, 10)  # type: ignore[union-attr]
    assert store.table.epoch == 10


def test_a_store_that_gives_an_epoch_twice_is_outbid() -> None:
    bench, _, link = led()
    bench.hear(link, Fenced(bench.token(1, THIRD), "epoch 1 is held by gw-3"))
    bench.pass_(1)
    assert bench.state.token is not None
    assert bench.state.token.epoch == 2
    assert "tie" not in bench.state.alarms


def test_a_store_that_was_wiped_does_not_make_an_epoch_go_backwards() -> None:
    bench = voter(standing=FILES, manager=PEER)
    bench.guard.admit(bench.token(7))
    bench.join(bench.history, bench.guard)
    alone(bench)
    assert bench.state.leads
    assert bench.guard.state().epoch == 8


def test_an_own_guard_that_knows_of_a_higher_epoch_has_it_elected_above_that() -> None:
    bench = voter()
    bench.node.start(bench.at)
    bench._drain()
    bench.guard.admit(bench.token(5))
    bench.pass_(1)
    assert bench.state.token is not None
    assert bench.state.token.epoch == 6


def test_an_own_guard_that_can_t_be_written_leaves_the_lease_to_others() -> None:
    table = MemoryTable()
    bench = voter(table)

    def lost(_what: str) -> None:
        raise StateError("the guard's file is gone")

    bench.guard.fail = lost
    bench.start()
    assert (bench.state.role, table.token) == (Role.WORKER, None)
    assert "the guard's file is gone" in bench.state.waits_for


# --- catching up ----------------------------------------------------------------------------------


def behind(bench: Bench) -> RevisionId:
    """Return a revision that this node does not have."""
    return RevisionId(1, bench.state.standing.revision.number + 1, digest_of(b"newer"))


def test_who_lists_every_tree_is_asked_for_the_newest_before_who_has_a_part_of_it() -> None:
    bench = voter(standing=FILES, peers=PEERS).start()
    part, whole = bench.link(), bench.link(THIRD)
    newest = behind(bench)
    bench.admit(part, newest, digest_of(b"what it lists"))
    bench.admit(whole, newest, newest.digest)
    assert bench.said(Want, whole) == [Want(newest, manifest=True)]
    assert bench.said(Want, part) == []


def refused_five_times(bench: Bench, link: int, newest: RevisionId) -> None:
    """Let the node behind a connection have nothing of what it stands on."""
    bench.admit(link, newest)
    for _ in range(FAULTS_MAX):
        assert bench.state.role is Role.CATCHING_UP
        bench.hear(link, Missing(newest, ()))
        bench.pass_(CATCH_UP_AGAIN_S + 0.1)


def test_what_nobody_can_give_holds_nobody_up_for_ever() -> None:
    bench = voter(standing=FILES).start()
    link, newest = bench.link(), behind(bench)
    refused_five_times(bench, link, newest)
    assert bench.state.role is Role.WORKER, "another candidate has its turn"
    assert "cannot catch up" in bench.state.waits_for
    bench.cut(link)
    bench.pass_(TURN_S - CATCH_UP_AGAIN_S + 1)
    refused_five_times(bench, bench.link(), newest)
    assert bench.state.leads, "nobody else had it either"
    assert bench.events("passed-over")


def test_who_can_t_be_elected_is_not_woken_for_what_is_over() -> None:
    bench = voter(apply=False).start()
    bench.node.campaigning.defer(1.0, "another node has its turn", bench.at)
    bench.pass_(5)
    assert bench.wake_at > bench.at


# --- copies, and epochs that nobody can believe -----------------------------------------------------


class Original(Bench):
    incarnation = "key.folder-1.start"


COPY = Token("c", 5, ME, "key.folder-2.start")


def test_who_meets_the_token_of_its_copy_leaves_the_lease_to_others_for_good() -> None:
    table = MemoryTable()
    bench = Original(FILES, store=MemoryStore(table)).start()
    link = bench.link()
    bench.hear(link, Fenced(COPY, "another node named gw-1 led before"))
    bench.pass_(120)
    assert (bench.state.role, table.token) == (Role.WORKER, None)
    assert "one of the two is a copy" in bench.state.waits_for


def test_who_has_admitted_the_token_of_its_copy_does_not_lead() -> None:
    table = MemoryTable()
    bench = Original(FILES, store=MemoryStore(table))
    bench.guard.admit(COPY)
    bench.join(bench.history, bench.guard)
    bench.start()
    bench.pass_(120)
    assert (bench.state.role, table.token) == (Role.WORKER, None)
    assert "one of the two is a copy" in bench.state.waits_for


def test_an_epoch_of_the_store_that_nobody_can_believe_is_not_asked_for_in_a_circle() -> None:
    table = MemoryTable(epoch=5_000_000)
    bench = voter(table).start()
    bench.pass_(60)
    assert bench.state.role is Role.WORKER
    assert isinstance(bench.store, MemoryStore)
    assert bench.store.calls.count("try_acquire") < 10
    assert "more than 1000000 above" in bench.events("passed-on")[0]["reason"]  # type: ignore[operator]
