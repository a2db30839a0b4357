"""What only the lease store in etcd does; what every lease store does is in the common suite."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from syncagent.core.lease import LeadershipLost, StoreUnavailable
from syncagent.leases.etcd import EtcdStore
from syncagent.leases.etcd_gateway import EtcdPlace
from tests.servers.certificates import Authority
from tests.servers.etcd import Etcd, coded
from tests.servers.leasing import CLUSTER, LEADER, SHORT, WAIT_S, acquire, answers, me, renews
from tests.servers.process import reached

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = [pytest.mark.e2e, pytest.mark.needs_servers]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """One member, for tests that leave it running."""
    with Etcd(tmp_path_factory.mktemp("one")) as etcd:
        etcd.start()
        yield etcd


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """Three members, for tests that leave them running."""
    with Etcd(tmp_path_factory.mktemp("three"), members=3) as etcd:
        etcd.start()
        yield etcd


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> None:
    """Each test begins with an empty store."""
    for name in ("one", "three"):
        if name in request.fixturenames:
            etcd = request.getfixturevalue(name)
            etcd.start()
            etcd.delete("/syncagent/")


def connect(etcd: Etcd, **more: str) -> EtcdStore:
    return EtcdStore(EtcdPlace(etcd.places, **more), CLUSTER, SHORT)


def connect_to(etcd: Etcd, *members: int) -> EtcdStore:
    """Ask these members, in this order."""
    endpoints = tuple(etcd.places[member] for member in members)
    return EtcdStore(EtcdPlace(endpoints), CLUSTER, SHORT)


def test_what_was_written_by_hand_is_nobodys_and_is_taken_over(one: Etcd) -> None:
    store = connect(one)
    token = acquire(store)
    one.put(LEADER, "rubbish")
    with pytest.raises(LeadershipLost):
        store.renew(token)
    assert acquire(store, me("gw-2")).epoch == token.epoch + 1


def test_what_was_written_by_hand_on_the_holders_lease_is_taken_over_too(one: Etcd) -> None:
    store = connect(one)
    token = acquire(store)
    one.put(LEADER, "rubbish", ignore_lease=True)
    with pytest.raises(LeadershipLost):
        store.renew(token)
    assert acquire(connect(one), me("gw-2")).epoch == token.epoch + 1


def test_a_resigned_lease_leaves_no_lease_of_etcds_behind(one: Etcd) -> None:
    store = connect(one)
    before = one.ask("lease/leases", {}).get("leases", [])
    token = acquire(store)
    store.resign(token)
    assert store.try_acquire(me("gw-2"), connect(one).observe(), 0) is not None
    rival = connect(one)
    stale = rival.observe()
    acquired = rival.observe().token
    assert acquired is not None
    rival.resign(acquired)
    # A lost race leaves none either.
    assert rival.try_acquire(me("gw-3"), stale, 0) is None
    assert one.ask("lease/leases", {}).get("leases", []) == before


def test_nobody_there_is_unknown_and_says_where(one: Etcd) -> None:
    store = EtcdStore(EtcdPlace(("http://127.0.0.1:1", "http://127.0.0.1:2")), CLUSTER, SHORT)
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1.*127\.0\.0\.1:2"):
        store.observe()


def test_a_dead_member_costs_nothing_and_a_hung_one_costs_one_operation(three: Etcd) -> None:
    leader = three.leader()
    dead, hung = (number for number in range(3) if number != leader)
    store = connect_to(three, dead, hung, leader)
    token = acquire(store)
    three.members[dead].kill()
    store.renew(token)
    three.start()
    three.members[hung].hang()
    try:
        with pytest.raises(StoreUnavailable, match="timed out"):
            store.renew(token)
        store.renew(token)
    finally:
        three.members[hung].wake()


def test_without_a_quorum_nothing_is_answered(three: Etcd) -> None:
    store = connect(three)
    token = acquire(store)
    three.members[1].kill()
    three.members[2].kill()
    for question in (store.observe, lambda: store.renew(token)):
        with pytest.raises(StoreUnavailable):
            question()


def test_a_store_restored_from_a_backup_elects_again_though_a_member_is_down(
    tmp_path: Path,
) -> None:
    with Etcd(tmp_path / "etcd", members=3) as etcd:
        etcd.start()
        store = connect(etcd)
        acquire(store)
        etcd.stop()
        data = [member.folder / "data" for member in etcd.members]
        for number, folder in enumerate(data):
            shutil.copytree(folder, tmp_path / f"backup-{number}")
        etcd.start()
        for number in range(50):
            etcd.put("/elsewhere", str(number))
        reached(lambda: answers(store), "what is there now was seen", WAIT_S)
        etcd.kill()
        for number in (1, 2):
            shutil.rmtree(data[number])
            shutil.copytree(tmp_path / f"backup-{number}", data[number])
        etcd.start(1, 2)
        with pytest.raises(StoreUnavailable):
            store.observe()
        reached(lambda: answers(store), "the store counts again", WAIT_S)
        store.close()


def test_a_server_that_may_not_be_its_own_client_is_told_so(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ours")
    authority.issue("etcd", client=False)
    certificate, key = map(str, authority.issue("gw-1"))
    with Etcd(tmp_path / "etcd", authority=authority) as etcd:
        etcd.start()
        ours = str(authority.certificate)
        with pytest.raises(StoreUnavailable, match="answers 503") as caught:
            connect(etcd, authority=ours, certificate=certificate, key=key).observe()
        assert "client authentication too" in caught.value.hint


def test_a_user_logs_in_and_again_when_etcd_forgot(tmp_path: Path) -> None:
    with Etcd(tmp_path) as etcd:
        etcd.start()
        for name in ("root", "agent"):
            etcd.ask("auth/user/add", {"name": name, "password": f"{name}'s"})
        etcd.ask("auth/role/add", {"name": "root"})
        etcd.ask("auth/role/add", {"name": "lease"})
        folder = {"key": coded("/syncagent/"), "range_end": coded("/syncagent0")}
        permission = {"permType": "READWRITE", **folder}
        etcd.ask("auth/role/grant", {"name": "lease", "perm": permission})
        etcd.ask("auth/user/grant", {"user": "root", "role": "root"})
        etcd.ask("auth/user/grant", {"user": "agent", "role": "lease"})
        etcd.ask("auth/enable", {})
        store = connect(etcd, user="agent", password="agent's")
        token = acquire(store)
        etcd.stop()
        etcd.start()
        reached(lambda: renews(store, token), "logged in again", WAIT_S)
        store.resign(token)
        with pytest.raises(StoreUnavailable, match="answers 4"):
            connect(etcd, user="agent", password="root's").observe()
        with pytest.raises(StoreUnavailable):
            connect(etcd).observe()
