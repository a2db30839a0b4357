"""What any LeaseStore does. A new backend joins by a maker in `MAKERS`."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.lease import Candidate, LeadershipLost, Timing
from syncagent.core.revision import Token
from syncagent.core.storeurl import StoreUrl
from syncagent.leases.lease_table import make_lease_table
from syncagent.leases.sql import SqlStore
from syncagent.leases.static import StaticStore
from tests.fakes.history import FakeGuard
from tests.fakes.lease_house import LeaseHouse
from tests.fakes.leases import MemoryStore, MemoryTable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from syncagent.ports import LeaseStore

CLUSTER = "apim"
RACERS = 16
ROUNDS = 20
WAIT_S = 10.0


def me(node: str = "gw-1", start: str = "start-1", *, promoted: bool = False) -> Candidate:
    return Candidate(CLUSTER, NodeName(node), start, promoted=promoted)


def static(_folder: Path) -> Callable[[], LeaseStore]:
    guard = FakeGuard(CLUSTER)
    return lambda: StaticStore(NodeName("gw-1"), guard)


def memory(_folder: Path) -> Callable[[], LeaseStore]:
    table = MemoryTable()
    return lambda: MemoryStore(table)


def sqlite(folder: Path) -> Callable[[], LeaseStore]:
    url = StoreUrl(f"sqlite:///{folder}/lease.db")
    make_lease_table(url)
    return lambda: SqlStore(url, CLUSTER, Timing())


def house(_folder: Path) -> Callable[[], LeaseStore]:
    store = LeaseHouse(lambda: 0.0)
    return lambda: store


MAKERS = {"static": static, "memory": memory, "house": house, "sqlite": sqlite}


@pytest.fixture(params=MAKERS)
def connect(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], LeaseStore]:
    """Makes connections to one and the same store."""
    made: Callable[[], LeaseStore] = MAKERS[request.param](tmp_path)
    return made


def acquire(store: LeaseStore, candidate: Candidate, floor: int = 0) -> Token | None:
    return store.try_acquire(candidate, store.observe(), floor)


def test_an_empty_store_is_free_at_epoch_zero(connect: Callable[[], LeaseStore]) -> None:
    view = connect().observe()
    assert (view.token, view.last_epoch) == (None, 0)


def test_the_first_lease_has_epoch_one_and_is_seen_by_others(
    connect: Callable[[], LeaseStore],
) -> None:
    token = acquire(connect(), me())
    assert token == Token(CLUSTER, 1, NodeName("gw-1"), "start-1")
    view = connect().observe()
    assert (view.token, view.last_epoch) == (token, 1)


def test_the_epoch_is_above_the_floor(connect: Callable[[], LeaseStore]) -> None:
    token = acquire(connect(), me(), floor=41)
    assert token is not None
    assert token.epoch == 42


def test_epochs_rise_with_every_lease(connect: Callable[[], LeaseStore]) -> None:
    epochs = []
    for number in range(5):
        token = acquire(connect(), me(start=f"start-{number}"))
        assert token is not None
        epochs.append(token.epoch)
    assert epochs == [1, 2, 3, 4, 5]


def test_a_stale_look_takes_nothing(connect: Callable[[], LeaseStore]) -> None:
    store = connect()
    stale = store.observe()
    holder = acquire(connect(), me())
    assert store.try_acquire(me(start="start-2", promoted=True), stale, 0) is None
    assert store.observe().token == holder


def test_acquiring_changes_the_version(connect: Callable[[], LeaseStore]) -> None:
    store = connect()
    before = store.observe()
    acquire(store, me())
    assert store.observe().version != before.version


def test_the_holder_renews(connect: Callable[[], LeaseStore]) -> None:
    store = connect()
    token = acquire(store, me())
    assert token is not None
    store.renew(token)
    assert store.observe().token == token


@pytest.mark.parametrize("other", [me("gw-2", "start-9", promoted=True), me("gw-1", "start-2")])
def test_an_old_token_is_surely_lost_and_changes_nothing(
    connect: Callable[[], LeaseStore], other: Candidate
) -> None:
    old = acquire(connect(), me())
    new = acquire(connect(), other)
    assert old is not None
    assert new is not None
    before = connect().observe()
    with pytest.raises(LeadershipLost):
        connect().renew(old)
    connect().resign(old)
    assert connect().observe() == before


def test_after_resigning_another_takes_it_with_a_higher_epoch(
    connect: Callable[[], LeaseStore],
) -> None:
    store = connect()
    first = acquire(store, me())
    assert first is not None
    store.resign(first)
    second = acquire(connect(), me("gw-2", "start-9", promoted=True))
    assert second is not None
    assert second.epoch > first.epoch


def test_sixteen_at_once_give_one_winner_per_round(connect: Callable[[], LeaseStore]) -> None:
    epochs: list[int] = []
    for number in range(ROUNDS):
        won: list[Token] = []
        seen = connect().observe()
        start = threading.Barrier(RACERS)

        def race(racer: int, number: int = number, start: threading.Barrier = start) -> None:
            store = connect()
            candidate = me(f"gw-{racer}", f"start-{number}", promoted=True)
            start.wait(WAIT_S)
            token = store.try_acquire(candidate, seen, 0)  # noqa: B023 - joined in this round
            if token is not None:
                won.append(token)  # noqa: B023 - joined in this round

        threads = [threading.Thread(target=race, args=(racer,)) for racer in range(RACERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        assert len(won) == 1
        epochs.append(won[0].epoch)
    assert epochs == list(range(1, ROUNDS + 1))
