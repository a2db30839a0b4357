"""What a lease store does whose server ends leases by itself: etcd and ZooKeeper.

`test_lease_contract` is about stores that never say that a lease has run out; here nobody takes a lease
that stands, and one that nobody keeps alive goes away.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.errors import SettingsError
from syncagent.core.lease import Candidate, StoreUnavailable
from syncagent.leases.etcd import EtcdStore
from syncagent.leases.etcd_gateway import EtcdPlace
from syncagent.leases.zookeeper import ZooKeeperStore
from syncagent.leases.zookeeper_session import ZooKeeperPlace
from tests.servers.certificates import Authority
from tests.servers.consensus import PREFIX, ConsensusBackend
from tests.servers.etcd import Etcd
from tests.servers.leasing import CLUSTER, SHORT, WAIT_S, acquire
from tests.servers.process import reached
from tests.servers.zookeeper import TICK_S, ZooKeeper

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from syncagent.ports import LeaseStore
    from tests.servers.backend import Backend
    from tests.servers.ensemble import Ensemble

pytestmark = [pytest.mark.e2e, pytest.mark.needs_servers]


@pytest.fixture(params=["etcd", "zookeeper"])
def backend(
    request: pytest.FixtureRequest, backend_named: Callable[[str], Backend]
) -> ConsensusBackend:
    found = backend_named(request.param)
    assert isinstance(found, ConsensusBackend)
    return found


class Kind(NamedTuple):
    """One of them: its servers with certificates, and a store at some members."""

    make: Callable[[Path, Authority], Ensemble]
    connect: Callable[..., LeaseStore]


def etcd_at(*members: str, **access: str) -> LeaseStore:
    return EtcdStore(EtcdPlace(members, **access), CLUSTER, SHORT)


def zookeeper_at(*members: str, **access: str) -> LeaseStore:
    place = replace(ZooKeeperPlace(members, tick_s=TICK_S), **access)  # type: ignore[arg-type]  # texts
    return ZooKeeperStore(place, CLUSTER, SHORT)


KINDS = [
    pytest.param(
        Kind(lambda folder, authority: Etcd(folder, authority=authority), etcd_at), id="etcd"
    ),
    pytest.param(
        Kind(lambda folder, authority: ZooKeeper(folder, authority=authority), zookeeper_at),
        id="zookeeper",
    ),
]


@pytest.fixture
def connect(backend: ConsensusBackend, cluster: str) -> Iterator[Callable[[], LeaseStore]]:
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


def test_an_epoch_that_is_no_number_is_told_and_never_guessed(
    connect: Callable[[], LeaseStore],
    me: Callable[..., Candidate],
    backend: ConsensusBackend,
    cluster: str,
) -> None:
    acquire(connect(), me())
    backend.write(f"{PREFIX}/{cluster}/epoch", "seven")
    with pytest.raises(StoreUnavailable, match="does not hold an epoch"):
        connect().observe()


@pytest.mark.parametrize("kind", KINDS)
def test_certificates_prove_both_ends(tmp_path: Path, kind: Kind) -> None:
    authority, other = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    certificate, key = map(str, authority.issue("gw-1"))
    with kind.make(tmp_path / "store", authority) as ensemble, ExitStack() as stack:
        ensemble.start()

        def store(**access: str) -> LeaseStore:
            return stack.enter_context(closing(kind.connect(*ensemble.places, **access)))

        ours = str(authority.certificate)
        holding = store(authority=ours, certificate=certificate, key=key)
        holding.renew(acquire(holding))
        stranger, strangers_key = map(str, other.issue("gw-1"))
        for wrong in (
            {"authority": ours},
            {"authority": ours, "certificate": stranger, "key": strangers_key},
            {"authority": str(other.certificate), "certificate": certificate, "key": key},
        ):
            with pytest.raises(StoreUnavailable):
                store(**wrong).observe()


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_that_cannot_be_read_is_a_mistake_in_the_settings(
    tmp_path: Path, kind: Kind
) -> None:
    with pytest.raises(SettingsError, match="certificates"):
        kind.connect("https://127.0.0.1:1", authority=str(tmp_path / "none"))


def test_nobody_there_is_unknown(
    connect: Callable[[], LeaseStore], me: Callable[..., Candidate], backend: ConsensusBackend
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
