"""What any LeaseStore's answers mean; how elections come out on it is in `test_election_conformance`.

The same tests run on the fake that other tests trust, on `static`, and on every backend: those
that need a server of their own are marked so.
"""

from __future__ import annotations

import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.lease import Candidate, LeadershipLost, Timing
from syncagent.core.revision import Token
from syncagent.leases.elector import Elector
from syncagent.leases.static import StaticStore
from tests.fakes.history import FakeGuard
from tests.fakes.leases import MemoryStore, MemoryTable
from tests.servers.backends import MAKERS
from tests.servers.candidate import Candidate as Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.ports import LeaseStore
    from tests.servers.backends import Backend

RACERS = 16
ROUNDS = 60
WAIT_S = 60.0
PATIENT = Timing(operation_s=15.0)
"""What is asked here is what an answer means, never when it comes; a busy machine syncs slowly."""
IN_MEMORY = ("static", "memory")
FILES = ("sqlite",)


class Store:
    """One store; each `connect` is another node's connection to it."""

    def __init__(
        self, cluster: str, make: Callable[[], LeaseStore], backend: Backend | None
    ) -> None:
        self.cluster = cluster
        self.backend = backend
        self._make = make
        self._made: list[LeaseStore] = []

    def connect(self) -> LeaseStore:
        self._made.append(self._make())
        return self._made[-1]

    def close(self) -> None:
        for each in self._made:
            each.close()

    def me(
        self, node: str = "gw-1", start: str = "start-1", *, promoted: bool = False
    ) -> Candidate:
        return Candidate(self.cluster, NodeName(node), start, promoted=promoted)

    def acquire(self, candidate: Candidate, floor: int = 0) -> Token | None:
        store = self.connect()
        return store.try_acquire(candidate, store.observe(), floor)

    def taken(self, candidate: Candidate, floor: int = 0) -> Token:
        token = self.acquire(candidate, floor)
        assert token is not None
        return token


BACKENDS = [
    pytest.param(name, marks=() if name in FILES else pytest.mark.needs_servers) for name in MAKERS
]


@pytest.fixture(params=[*IN_MEMORY, *BACKENDS])
def store(
    request: pytest.FixtureRequest, cluster: str, backend_named: Callable[[str], Backend]
) -> Iterator[Store]:
    """Any store."""
    with closing(_store(request.param, cluster, backend_named)) as made:
        yield made


@pytest.fixture(params=BACKENDS)
def kept(
    request: pytest.FixtureRequest, cluster: str, backend_named: Callable[[str], Backend]
) -> Iterator[Store]:
    """A store whose records can be altered behind the agents' backs."""
    with closing(_store(request.param, cluster, backend_named)) as made:
        yield made


def _store(name: str, cluster: str, backend_named: Callable[[str], Backend]) -> Store:
    if name == "static":
        guard = FakeGuard(cluster)
        return Store(cluster, lambda: StaticStore(NodeName("gw-1"), guard), None)
    if name == "memory":
        table = MemoryTable()
        return Store(cluster, lambda: MemoryStore(table), None)
    backend = backend_named(name)
    return Store(cluster, lambda: backend.connect(cluster, PATIENT), backend)


# Taking it.


def test_an_empty_store_is_free_at_epoch_zero(store: Store) -> None:
    view = store.connect().observe()
    assert (view.token, view.last_epoch) == (None, 0)


def test_the_first_lease_has_epoch_one_and_is_seen_by_others(store: Store) -> None:
    token = store.acquire(store.me())
    assert token == Token(store.cluster, 1, NodeName("gw-1"), "start-1")
    view = store.connect().observe()
    assert (view.token, view.last_epoch) == (token, 1)


def test_the_epoch_is_above_the_floor(store: Store) -> None:
    assert store.taken(store.me(), floor=41).epoch == 42


def test_epochs_rise_with_every_lease(store: Store) -> None:
    epochs = [store.taken(store.me(start=f"start-{n}", promoted=True)).epoch for n in range(5)]
    assert epochs == [1, 2, 3, 4, 5]


def test_clusters_do_not_know_of_each_other(kept: Store) -> None:
    assert kept.backend is not None
    kept.taken(kept.me(), floor=8)
    other = kept.backend.connect(f"{kept.cluster}-2", PATIENT)
    assert (other.observe().token, other.observe().last_epoch) == (None, 0)
    other.close()


def test_a_stale_look_takes_nothing(store: Store) -> None:
    """Neither with a connection that was idle, nor with one to a member that lags."""
    late = store.connect()
    stale = late.observe()
    holder = store.acquire(store.me())
    assert late.try_acquire(store.me(start="start-2", promoted=True), stale, 0) is None
    assert late.observe().token == holder


def test_a_look_from_before_a_renewal_takes_nothing(store: Store) -> None:
    holding = store.connect()
    token = holding.try_acquire(store.me(), holding.observe(), 0)
    assert token is not None
    stale = store.connect().observe()
    holding.renew(token)
    renewed = store.connect().observe()
    if renewed.version == stale.version:
        ends_by_itself = holding.server_expiry or not holding.auto_failover
        assert ends_by_itself, "nobody could see that the holder lives"
        return
    other = store.me("gw-2", "start-9", promoted=True)
    assert store.connect().try_acquire(other, stale, 0) is None
    holding.renew(token)


def test_acquiring_changes_the_version(store: Store) -> None:
    look = store.connect()
    before = look.observe()
    store.taken(store.me())
    assert look.observe().version != before.version


def test_a_person_s_word_takes_it_from_another_node(store: Store) -> None:
    first = store.taken(store.me())
    second = store.taken(store.me("gw-2", "start-9", promoted=True))
    assert second.epoch == first.epoch + 1
    assert store.connect().observe().token == second
    with pytest.raises(LeadershipLost):
        store.connect().renew(first)


def test_of_sixteen_at_once_one_wins_in_each_of_sixty_rounds(store: Store) -> None:
    """They begin on an empty store, as all nodes of a new cluster do."""
    racers = [store.connect() for _ in range(RACERS)]
    epochs: list[int] = []
    for number in range(ROUNDS):
        won: list[Token] = []
        seen = racers[0].observe()
        start = threading.Barrier(RACERS)

        def race(racer: int, number: int = number, start: threading.Barrier = start) -> None:
            candidate = store.me(f"gw-{racer}", f"start-{number}", promoted=True)
            start.wait(WAIT_S)
            token = racers[racer].try_acquire(candidate, seen, 0)  # noqa: B023 - joined in this round
            if token is not None:
                won.append(token)  # noqa: B023 - joined in this round

        threads = [threading.Thread(target=race, args=(racer,)) for racer in range(RACERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
        assert not any(thread.is_alive() for thread in threads), "somebody got no answer"
        assert len(won) == 1
        epochs.append(won[0].epoch)
    assert epochs == list(range(1, ROUNDS + 1))


# Keeping it.


def test_the_holder_renews(store: Store) -> None:
    holding = store.connect()
    token = holding.try_acquire(store.me(), holding.observe(), 0)
    assert token is not None
    holding.renew(token)
    assert holding.observe().token == token


@pytest.mark.parametrize("other", [("gw-2", "start-9"), ("gw-1", "start-2")])
def test_an_old_token_is_surely_lost_and_changes_nothing(
    store: Store, other: tuple[str, str]
) -> None:
    old = store.taken(store.me())
    store.taken(store.me(*other, promoted=True))
    before = store.connect().observe()
    with pytest.raises(LeadershipLost):
        store.connect().renew(old)
    store.connect().resign(old)
    assert store.connect().observe() == before


def test_a_token_of_another_epoch_or_start_is_surely_lost(store: Store) -> None:
    token = store.taken(store.me(), floor=4)
    before = store.connect().observe()
    for wrong in (
        Token(store.cluster, token.epoch - 1, token.holder, token.incarnation),
        Token(store.cluster, token.epoch + 1, token.holder, token.incarnation),
        Token(store.cluster, token.epoch, token.holder, "start-2"),
        Token(store.cluster, token.epoch, NodeName("gw-2"), token.incarnation),
    ):
        with pytest.raises(LeadershipLost):
            store.connect().renew(wrong)
        store.connect().resign(wrong)
    assert store.connect().observe() == before


# Giving it back.


def test_after_resigning_another_takes_it_with_a_higher_epoch(store: Store) -> None:
    holding = store.connect()
    first = holding.try_acquire(store.me(), holding.observe(), 0)
    assert first is not None
    holding.resign(first)
    second = store.taken(store.me("gw-2", "start-9", promoted=True))
    assert second.epoch > first.epoch


def test_resigning_twice_is_quiet(store: Store) -> None:
    token = store.taken(store.me())
    store.connect().resign(token)
    before = store.connect().observe()
    store.connect().resign(token)
    assert store.connect().observe() == before


# Altered by others.


@pytest.mark.parametrize("harm", ["forget", "usurp"])
def test_a_record_that_is_deleted_or_altered_is_surely_lost(kept: Store, harm: str) -> None:
    assert kept.backend is not None
    holding = kept.connect()
    token = holding.try_acquire(kept.me(), holding.observe(), 0)
    assert token is not None
    getattr(kept.backend, harm)(kept.cluster)
    with pytest.raises(LeadershipLost):
        holding.renew(token)


@pytest.mark.parametrize("harm", ["forget", "rewind"])
def test_after_a_wipe_or_an_old_backup_the_next_epoch_is_above_the_floor(
    kept: Store, harm: str
) -> None:
    assert kept.backend is not None
    kept.taken(kept.me(), floor=7)
    if harm == "forget":
        kept.backend.forget(kept.cluster)
    else:
        kept.backend.rewind(kept.cluster, 2)
    view = kept.connect().observe()
    assert view.token is None
    assert view.last_epoch == (0 if harm == "forget" else 2)
    assert kept.taken(kept.me("gw-2"), floor=8).epoch == 9


def test_the_floor_carries_the_epoch_into_another_store(kept: Store) -> None:
    """A change of backend: what was admitted under the old one is the floor of the new one."""
    table = MemoryTable()
    before = MemoryStore(table)
    old = before.try_acquire(kept.me(), before.observe(), 30)
    assert old is not None
    assert kept.taken(kept.me("gw-2"), floor=old.epoch).epoch == 32


# What needs a person.


def test_static_never_takes_a_lease_by_itself() -> None:
    guard = FakeGuard("apim")
    holder = Token("apim", 3, NodeName("gw-1"), "start-1")
    guard.admit(holder)
    store = StaticStore(NodeName("gw-2"), guard)
    assert not store.auto_failover
    idle = Standing(store, "apim", "gw-2", Timing())
    idle.elector.start()
    assert idle.elector.acquire(0) is None
    assert guard.state().highest == holder
    assert isinstance(idle.elector, Elector)
    idle.end()
    assert idle.changes == []
