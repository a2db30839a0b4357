"""What a lease store does whose server ends leases by itself: etcd and ZooKeeper.

`test_lease_contract` is about stores that never say that a lease has run out; here nobody takes a lease
that stands, and one that nobody keeps alive goes away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.lease import Candidate, StoreUnavailable
from tests.servers.process import reached

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.core.revision import Token
    from syncagent.ports import LeaseStore
    from tests.servers.backend import Backend

pytestmark = [pytest.mark.e2e, pytest.mark.needs_servers]

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


def test_a_lease_may_be_given_back_over_another_connection(
    connect: Callable[[], LeaseStore], me: Callable[..., Candidate]
) -> None:
    token = acquire(connect(), me())
    connect().resign(token)
    assert acquire(connect(), me("gw-2")).epoch == token.epoch + 1


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
