"""The elector's threads: hanging stores, races, deadlines on the real clock (short leases)."""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING, cast

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.election import Election, Lost, Won
from syncagent.core.errors import BusyError, StateError
from syncagent.core.lease import Candidate, StoreUnavailable, Timing
from syncagent.core.revision import Token
from syncagent.leases.elector import Elector
from syncagent.leases.static import StaticStore
from syncagent.ports import Instant, LeaseStore
from tests.fakes.history import FakeGuard
from tests.fakes.leases import MemoryStore, MemoryTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.core.election import LeadChange
    from syncagent.core.guard import GuardState

SHORT = Timing(lease_s=0.6, renew_s=0.1, operation_s=0.1, margin_s=0.1)
"""Far too short for production: `Timing.faults` would refuse the margin."""
LONG_ENOUGH_S = 15.0


class BootClock:
    def now(self) -> Instant:
        return Instant(time.clock_gettime(time.CLOCK_BOOTTIME))

    def wall(self) -> float:
        return 0.0


class Node:
    def __init__(self, name: str, store: LeaseStore, timing: Timing = SHORT) -> None:
        self.store = store
        self.changes: list[LeadChange] = []
        self.clock = BootClock()
        election = Election(
            Candidate("apim", NodeName(name), "start-1"),
            timing,
            server_expiry=store.server_expiry,
            never_expires=not store.auto_failover,
            jitter=random.Random(name).random,
        )
        self.crashes: list[BaseException] = []
        self.elector = Elector(
            store, election, self.clock, self.changes.append, self.crashes.append
        )
        self.elector.start()

    @property
    def leads(self) -> bool:
        return self.elector.current() is not None


def wait_for(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + LONG_ENOUGH_S
    woken = threading.Event()
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited in vain until {what}")
        woken.wait(0.005)


@pytest.fixture
def table() -> MemoryTable:
    return MemoryTable(lease_s=SHORT.lease_s)


@pytest.fixture
def node(table: MemoryTable) -> Iterator[Callable[[str], Node]]:
    made: list[Node] = []

    def make(name: str) -> Node:
        made.append(Node(name, MemoryStore(table)))
        return made[-1]

    yield make
    for each in made:
        cast("MemoryStore", each.store).stall = lambda: None
        each.elector.close()


def test_nobody_leads_before_it_was_asked_to(node: Callable[[str], Node]) -> None:
    one = node("gw-1")
    with pytest.raises(BusyError, match="not the manager"):
        one.elector.require()
    assert cast("MemoryStore", one.store).calls == []


def test_it_leads_and_goes_on_leading(node: Callable[[str], Node]) -> None:
    one = node("gw-1")
    one.elector.acquire(4)
    wait_for(lambda: one.leads, "it leads")
    assert one.elector.require().epoch == 5
    renewals = lambda: cast("MemoryStore", one.store).calls.count("renew")  # noqa: E731
    wait_for(lambda: renewals() > 10, "ten renewals, more than one lease")
    assert one.leads
    assert one.changes == [Won(one.elector.require())]


def test_of_many_one_leads(node: Callable[[str], Node]) -> None:
    nodes = [node(f"gw-{number}") for number in range(8)]
    for each in nodes:
        each.elector.acquire(0)
    wait_for(lambda: any(each.leads for each in nodes), "one leads")
    assert sum(each.leads for each in nodes) == 1


def test_the_watchdog_ends_the_belief_while_the_store_hangs(node: Callable[[str], Node]) -> None:
    one, two = node("gw-1"), node("gw-2")
    one.elector.acquire(0)
    wait_for(lambda: one.leads, "it leads")
    hanging = threading.Event()
    cast("MemoryStore", one.store).stall = lambda: (hanging.wait(LONG_ENOUGH_S), None)[1]
    wait_for(lambda: len(one.changes) == 2, "the watchdog ended the belief")
    assert isinstance(one.changes[1], Lost)
    two.elector.acquire(0)
    wait_for(lambda: two.leads, "the other leads")
    assert two.elector.require().epoch == 2
    hanging.set()
    wait_for(lambda: cast("MemoryStore", one.store).calls[-1] == "observe", "it looks again")
    assert not one.leads


def test_what_a_store_is_not_prepared_for_is_told_and_the_watchdog_goes_on(
    node: Callable[[str], Node],
) -> None:
    one = node("gw-1")
    one.elector.acquire(0)
    wait_for(lambda: one.leads, "it leads")

    def broken() -> None:
        raise ZeroDivisionError

    cast("MemoryStore", one.store).stall = broken
    wait_for(lambda: len(one.changes) == 2, "the belief ends in time")
    assert [type(error) for error in one.crashes] == [ZeroDivisionError]


def test_a_fenced_node_leads_again_only_above_that_epoch(node: Callable[[str], Node]) -> None:
    one = node("gw-1")
    one.elector.acquire(0)
    wait_for(lambda: one.leads, "it leads")
    one.elector.fenced(7)
    assert isinstance(one.changes[1], Lost)
    wait_for(lambda: one.leads, "it leads again")
    assert one.elector.require().epoch == 8


def test_resigning_gives_the_lease_back(node: Callable[[str], Node], table: MemoryTable) -> None:
    one, two = node("gw-1"), node("gw-2")
    one.elector.acquire(0)
    wait_for(lambda: one.leads, "it leads")
    one.elector.resign()
    assert not one.leads
    wait_for(lambda: table.token is None, "the lease is free")
    two.elector.acquire(0)
    wait_for(lambda: two.leads, "the other leads")


def test_closing_gives_the_lease_back_and_ends_the_threads(
    node: Callable[[str], Node], table: MemoryTable
) -> None:
    before = threading.active_count()
    one = node("gw-1")
    one.elector.acquire(0)
    wait_for(lambda: one.leads, "it leads")
    one.elector.close()
    assert table.token is None
    assert threading.active_count() == before


def test_an_outage_leaves_no_threads_behind(node: Callable[[str], Node]) -> None:
    one = node("gw-1")
    one.elector.acquire(0)
    wait_for(lambda: one.leads, "it leads")
    threads = threading.active_count()
    store = cast("MemoryStore", one.store)
    for _ in range(3):
        store.down = True
        wait_for(lambda: not one.leads, "it does not lead")
        store.down = False
        wait_for(lambda: one.leads, "it leads again")
    assert threading.active_count() == threads
    assert one.elector.require().epoch == 4


def static_elector(guard: FakeGuard, name: str = "gw-1") -> tuple[Elector, list[LeadChange]]:
    node = Node(name, StaticStore(NodeName("gw-1"), guard), Timing())
    return node.elector, node.changes


def test_static_leads_at_once_for_ever_and_without_threads() -> None:
    threads = threading.active_count()
    elector, changes = static_elector(FakeGuard("apim"))
    assert elector.current() is None
    token = elector.acquire(3)
    assert token == Token("apim", 4, NodeName("gw-1"), "start-1")
    assert elector.require() == token
    assert elector.acquire(3) == token, "it leads already"
    belief = elector.current()
    assert belief is not None
    assert belief.expires == float("inf")
    assert threading.active_count() == threads
    assert changes == []


def test_static_refuses_a_node_that_nobody_named() -> None:
    guard = FakeGuard("apim")
    elector, _ = static_elector(guard, "gw-2")
    assert elector.acquire(0) is None
    assert guard.state().epoch == 0
    promoted = elector.acquire(0, promoted=True)
    assert promoted is not None
    assert promoted.epoch == 1


def test_static_steps_down_when_fenced_and_comes_back_by_promotion() -> None:
    guard = FakeGuard("apim")
    elector, changes = static_elector(guard)
    first = elector.acquire(0)
    assert first is not None
    other = Token("apim", 2, NodeName("gw-2"), "start-9")
    guard.admit(other)
    elector.fenced(2)
    assert elector.current() is None
    assert changes == [Lost(first, "epoch 2 was admitted elsewhere")]
    assert elector.acquire(0) is None
    again = elector.acquire(0, promoted=True)
    assert again is not None
    assert again.epoch == 3


def test_static_takes_a_new_epoch_when_its_own_is_not_enough() -> None:
    """Two nodes were promoted apart and hold one epoch: the next promotion parts them."""
    elector, changes = static_elector(FakeGuard("apim"))
    first = elector.acquire(0)
    assert first is not None
    again = elector.acquire(first.epoch, promoted=True)
    assert again is not None
    assert again.epoch == 2
    assert changes == [], "what it returns says it all"


def test_static_resigns_and_leads_again_with_a_new_epoch() -> None:
    elector, _ = static_elector(FakeGuard("apim"))
    elector.acquire(0)
    elector.resign()
    assert elector.current() is None
    again = elector.acquire(0)
    assert again is not None
    assert again.epoch == 2


def test_static_says_when_the_guard_can_not_be_asked() -> None:
    class Broken(FakeGuard):
        def state(self) -> GuardState:
            raise StateError("the guard is missing")

    elector, _ = static_elector(Broken("apim"))
    with pytest.raises(StoreUnavailable):
        elector.acquire(0)


def test_who_resigns_may_wait_until_the_lease_is_free(
    node: Callable[[str], Node], table: MemoryTable
) -> None:
    one = node("gw-1")
    one.elector.campaign(0)
    wait_for(lambda: one.leads, "it leads")
    one.elector.resign(wait_s=LONG_ENOUGH_S)
    assert table.token is None
    assert one.elector.outlook().campaigning is False


def test_a_person_s_campaign_takes_a_lease_that_is_held(node: Callable[[str], Node]) -> None:
    one, two = node("gw-1"), node("gw-2")
    one.elector.campaign(0)
    wait_for(lambda: one.leads, "it leads")
    two.elector.campaign(0, forced=True)
    wait_for(lambda: two.leads, "the other leads")
    wait_for(lambda: not one.leads, "the first knows")
    assert isinstance(one.changes[-1], Lost)


def test_a_campaign_above_its_own_epoch_makes_it_lead_anew(node: Callable[[str], Node]) -> None:
    one = node("gw-1")
    one.elector.campaign(0)
    wait_for(lambda: one.leads, "it leads")
    one.elector.campaign(3)
    wait_for(lambda: one.leads, "it leads again")
    assert one.elector.require().epoch == 4


def test_what_the_store_said_last_is_told(node: Callable[[str], Node]) -> None:
    one = node("gw-1")
    cast("MemoryStore", one.store).down = True
    one.elector.campaign(0)
    wait_for(lambda: one.elector.outlook().unavailable_since is not None, "it was asked in vain")
    assert one.elector.outlook().fault == "the store is down"
    cast("MemoryStore", one.store).down = False
    one.elector.wake()
    wait_for(lambda: one.leads, "it leads")


def test_who_starts_again_at_once_keeps_its_lease(
    node: Callable[[str], Node], table: MemoryTable
) -> None:
    one = node("gw-1")
    one.elector.campaign(0)
    wait_for(lambda: one.leads, "it leads")
    one.elector.close(keep=True)
    assert table.token is not None


def test_who_ends_gives_its_lease_back(node: Callable[[str], Node], table: MemoryTable) -> None:
    one = node("gw-1")
    one.elector.campaign(0)
    wait_for(lambda: one.leads, "it leads")
    one.elector.close()
    assert table.token is None
