"""What only the lease store in ZooKeeper does; what every store does is in the common suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kazoo.client import KazooClient

from syncagent.core.artifact import NodeName
from syncagent.core.lease import LeadershipLost, StoreUnavailable, Timing
from syncagent.leases.record import Record
from syncagent.leases.zookeeper import ZooKeeperStore
from syncagent.leases.zookeeper_session import ZooKeeperPlace
from tests.servers.leasing import CLUSTER, LEADER, SHORT, WAIT_S, acquire, answers, me, renews
from tests.servers.process import reached
from tests.servers.zookeeper import TICK_S, ZooKeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.core.revision import Token

pytestmark = [pytest.mark.e2e, pytest.mark.needs_servers]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """One server, for tests that leave it running."""
    with ZooKeeper(tmp_path_factory.mktemp("one")) as zookeeper:
        zookeeper.start()
        yield zookeeper


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeper]:
    """Three servers, for tests that leave them running."""
    with ZooKeeper(tmp_path_factory.mktemp("three"), members=3) as zookeeper:
        zookeeper.start()
        yield zookeeper


@pytest.fixture
def hand(request: pytest.FixtureRequest) -> Iterator[KazooClient]:
    """What a person does in the store; each test that asks for it begins with an empty one."""
    zookeeper = request.getfixturevalue("one")
    client = KazooClient(hosts=",".join(zookeeper.places))
    client.start()
    client.delete("/syncagent", recursive=True)
    yield client
    client.stop()
    client.close()


@pytest.fixture
def connect(one: ZooKeeper, hand: KazooClient) -> Iterator[Callable[[], ZooKeeperStore]]:
    """Make connections, which end with the test."""
    made: list[ZooKeeperStore] = []

    def make() -> ZooKeeperStore:
        made.append(store_at(one))
        return made[-1]

    yield make
    for store in made:
        store.close()


def store_at(zookeeper: ZooKeeper, lease_s: float = 2.0, **more: str) -> ZooKeeperStore:
    timing = Timing(lease_s=lease_s, renew_s=0.5, operation_s=1.0, margin_s=0.5)
    return ZooKeeperStore(ZooKeeperPlace(zookeeper.places, tick_s=TICK_S, **more), CLUSTER, timing)


def test_renewing_changes_the_record(connect: Callable[[], ZooKeeperStore]) -> None:
    store = connect()
    token = acquire(store)
    before = store.observe()
    store.renew(token)
    after = store.observe()
    assert after.token == before.token
    assert after.version != before.version


def test_another_session_does_not_renew_what_is_not_bound_to_it(
    connect: Callable[[], ZooKeeperStore],
) -> None:
    token = acquire(connect())
    with pytest.raises(LeadershipLost, match="session"):
        connect().renew(token)


def test_a_node_that_was_written_to_by_hand_keeps_nobody_out(
    connect: Callable[[], ZooKeeperStore], hand: KazooClient
) -> None:
    store, rival = connect(), connect()
    token = acquire(store)
    hand.set(LEADER, b"rubbish")
    assert acquire(rival, me("gw-2")).epoch == token.epoch + 1
    with pytest.raises(LeadershipLost, match="held by"):
        store.renew(token)


def test_a_foreign_lease_that_lives_by_our_session_is_removed(
    connect: Callable[[], ZooKeeperStore], hand: KazooClient
) -> None:
    store, rival = connect(), connect()
    token = acquire(store)
    other = acquire_elsewhere(token)
    hand.set(LEADER, other)
    with pytest.raises(LeadershipLost, match="held by"):
        store.renew(token)
    assert acquire(rival, me("gw-2")).epoch == token.epoch + 1


def test_a_node_that_ends_with_nobodys_session_is_replaced(
    connect: Callable[[], ZooKeeperStore], hand: KazooClient
) -> None:
    token = acquire(connect())
    content = hand.get(LEADER)[0]
    hand.delete(LEADER)
    hand.create(LEADER, content)
    assert acquire(connect(), me("gw-2")).epoch == token.epoch + 1


def test_a_session_shorter_than_the_lease_is_not_enough(one: ZooKeeper) -> None:
    store = store_at(one, lease_s=one.session_s_max + 1)
    with pytest.raises(StoreUnavailable, match="grants sessions of"):
        store.observe()
    store.close()


def test_nobody_there_is_unknown_and_says_where() -> None:
    place = ZooKeeperPlace(("127.0.0.1:1",))
    store = ZooKeeperStore(place, CLUSTER, SHORT)
    with pytest.raises(StoreUnavailable, match="no ZooKeeper answers"):
        store.observe()
    store.close()


@pytest.mark.parametrize("how", ["hang", "kill"])
def test_a_lease_outlives_the_server_that_it_was_made_at(three: ZooKeeper, how: str) -> None:
    timing = Timing(lease_s=8.0, renew_s=0.5, operation_s=1.0, margin_s=0.5)
    store = ZooKeeperStore(ZooKeeperPlace(three.places, tick_s=TICK_S), CLUSTER, timing)
    token = acquire(store)
    member = three.members[three.serving(store._session.number)]
    member.hang() if how == "hang" else member.kill()
    try:
        if how == "hang":
            with pytest.raises(StoreUnavailable):
                store.renew(token)
        reached(lambda: renews(store, token), "renewed at another server", timing.lease_s)
        assert three.members[three.serving(store._session.number)] is not member
    finally:
        store.close()
        member.wake() if how == "hang" else three.start()


def test_without_a_quorum_nothing_is_renewed(three: ZooKeeper) -> None:
    store = store_at(three)
    token = acquire(store)
    for member in three.members[:2]:
        member.kill()
    with pytest.raises(StoreUnavailable):
        store.renew(token)
    # The third may answer from what it has until it notices that it is alone.
    reached(lambda: not answers(store), "nothing is answered", WAIT_S)
    store.close()


def test_only_the_user_may_touch_what_was_made_under_its_name(
    one: ZooKeeper, hand: KazooClient
) -> None:
    store = store_at(one, user="agent", password="secret")
    token = acquire(store)
    store.renew(token)
    stranger = store_at(one)
    with pytest.raises(StoreUnavailable, match="refuses this user"):
        stranger.observe()
    store.resign(token)
    for each in (store, stranger):
        each.close()
    hand.add_auth("digest", "agent:secret")
    hand.delete("/syncagent", recursive=True)


def acquire_elsewhere(token: Token) -> bytes:
    """Return the text of a lease that somebody else has."""
    other = type(token)(token.cluster, token.epoch, NodeName("gw-9"), "start-9")
    return Record(other, 2.0).encode()
