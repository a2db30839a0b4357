"""What a lease store does whose server ends leases by itself: etcd and ZooKeeper.

`test_lease_contract` is about stores that never say that a lease has run out; here nobody takes a lease
that stands, and one that nobody keeps alive goes away.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.lease import Candidate, LeadershipLost, StoreUnavailable
from syncagent.core.revision import Token
from tests.servers.process import reached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.ports import LeaseStore
    from tests.servers.backend import Backend

pytestmark = [pytest.mark.e2e, pytest.mark.needs_servers]

RACERS = 16
ROUNDS = 60
WAIT_S = 20.0


@pytest.fixture(params=["etcd", "zookeeper"])
def backend(request: pytest.FixtureRequest, backend_named: Callable[[str], Backend]) -> Backend:
    return backend_named(request.param)


@pytest.fixture
def connect(backend: Backend, cluster: str) -> Iterator[Callable[[], LeaseStore]]:
    """Make connections, which end with the test."""
    made: list[LeaseStore] = []

    def make() -> LeaseStore:
        made.append(backend.connect(cluster))
        return made[-1]

    yield make
    for store in made:
        store.close()


@pytest.fixture
def me(cluster: str) -> Callable[..., Candidate]:
    """Make candidates."""

    def make(node: str = "gw-1", start: str = "start-1") -> Candidate:
        return Candidate(cluster, NodeName(node), start)

    return make


def acquire(store: LeaseStore, candidate: Candidate, floor: int = 0) -> Token:
    token = store.try_acquire(candidate, store.observe(), floor)
    assert token is not None
    return token


def test_an_empty_store_is_free_at_epoch_zero(connect: Callable[[], LeaseStore]) -> None:
    view = connect().observe()
    assert (view.token, view.last_epoch) == (None, 0)


def test_a_lease_is_seen_by_others_and_taken_by_none_of_them(
    connect: Callable[[], LeaseStore], me: Callable[..., Candidate]
) -> None:
    token = acquire(connect(), me(), floor=6)
    rival = connect()
    view = rival.observe()
    assert (view.token, view.last_epoch) == (token, 7)
    assert token.epoch == 7
    assert rival.try_acquire(me("gw-2"), view, 0) is None
    assert rival.observe() == view


def test_the_same_node_with_another_start_does_not_take_it_either(
    connect: Callable[[], LeaseStore], me: Callable[..., Candidate]
) -> None:
    token = acquire(connect(), me())
    again = connect()
    assert again.try_acquire(me(start="start-2"), again.observe(), 0) is None
    assert again.observe().token == token


def test_a_stale_look_takes_nothing(
    connect: Callable[[], LeaseStore], me: Callable[..., Candidate]
) -> None:
    store, other = connect(), connect()
    stale = store.observe()
    other.resign(acquire(other, me("gw-2")))
    assert store.try_acquire(me(), stale, 0) is None
    view = store.observe()
    assert (view.token, view.last_epoch) == (None, 1)


def test_renewing_keeps_it_and_not_renewing_ends_it(
    connect: Callable[[], LeaseStore], me: Callable[..., Candidate]
) -> None:
    holder, rival = connect(), connect()
    token = acquire(holder, me())
    holder.renew(token)
    assert rival.observe().token == token
    holder.close()
    reached(lambda: rival.observe().token is None, "the lease has run out", WAIT_S)
    assert acquire(rival, me("gw-2")).epoch == token.epoch + 1


@pytest.mark.parametrize(
    "changed", [{"epoch": 1}, {"incarnation": "start-0"}, {"holder": NodeName("gw-9")}]
)
def test_another_token_is_surely_lost_and_changes_nothing(
    connect: Callable[[], LeaseStore],
    me: Callable[..., Candidate],
    changed: dict[str, int | str],
) -> None:
    store, look = connect(), connect()
    token = acquire(store, me(), floor=1)
    fields = {"epoch": token.epoch, "holder": token.holder, "incarnation": token.incarnation}
    wrong = Token(token.cluster, **{**fields, **changed})  # type: ignore[arg-type]
    before = look.observe()
    with pytest.raises(LeadershipLost):
        look.renew(wrong)
    look.resign(wrong)
    assert look.observe() == before
    store.renew(token)


def test_a_lease_may_be_given_back_over_another_connection(
    connect: Callable[[], LeaseStore], me: Callable[..., Candidate]
) -> None:
    token = acquire(connect(), me())
    connect().resign(token)
    assert acquire(connect(), me("gw-2")).epoch == token.epoch + 1


def test_a_wiped_store_goes_on_above_the_floor(
    connect: Callable[[], LeaseStore],
    me: Callable[..., Candidate],
    backend: Backend,
    cluster: str,
) -> None:
    store = connect()
    token = acquire(store, me(), floor=6)
    backend.forget(cluster)
    with pytest.raises(LeadershipLost):
        store.renew(token)
    assert acquire(store, me(start="start-2"), floor=token.epoch).epoch == 8


def test_nobody_there_is_unknown(
    connect: Callable[[], LeaseStore], me: Callable[..., Candidate], backend: Backend
) -> None:
    store = connect()
    seen = store.observe()
    token = acquire(store, me())
    backend.kill()
    for question in (
        store.observe,
        lambda: store.try_acquire(me(), seen, 0),
        lambda: store.renew(token),
        lambda: store.resign(token),
    ):
        with pytest.raises(StoreUnavailable):
            question()
    backend.start()


def test_sixteen_at_once_give_one_winner_per_round_for_sixty_rounds(
    connect: Callable[[], LeaseStore], me: Callable[..., Candidate]
) -> None:
    stores = [connect() for _ in range(RACERS)]
    epochs: list[int] = []
    for number in range(ROUNDS):
        won: list[tuple[LeaseStore, Token]] = []
        start = threading.Barrier(RACERS)

        def race(
            racer: int,
            number: int = number,
            start: threading.Barrier = start,
            won: list[tuple[LeaseStore, Token]] = won,
        ) -> None:
            store = stores[racer]
            seen = store.observe()
            start.wait(WAIT_S)
            token = store.try_acquire(me(f"gw-{racer}", f"start-{number}"), seen, 0)
            if token is not None:
                won.append((store, token))

        threads = [threading.Thread(target=race, args=(racer,)) for racer in range(RACERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        ((winner, token),) = won
        epochs.append(token.epoch)
        winner.resign(token)
    assert epochs == list(range(1, ROUNDS + 1))
