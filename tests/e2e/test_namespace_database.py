"""A database on a host of its own keeps the lease: its clock jumps, and the network parts it."""

from collections.abc import Iterator

import pytest

from tests.e2e.artifacts import fill
from tests.e2e.cluster import until
from tests.e2e.hosts import Hosts, Network, needs_namespaces
from tests.e2e.parted import Parted, agreed, edited, epochs, never_went_back, role, status
from tests.servers.databases import PostgreSQL

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root, pytest.mark.needs_servers]

LEASE = {"lease": "6s", "renew": "1s", "operation": "1s", "margin": "2s"}
HOUR_S = 3600


@pytest.fixture(scope="module")
def database() -> Iterator[tuple[Network, PostgreSQL]]:
    needs_namespaces()
    with Network() as network, PostgreSQL(clock=True, place=network.host("store")) as server:
        server.start()
        yield network, server


@pytest.fixture(scope="module")
def parted(
    database: tuple[Network, PostgreSQL], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parted]:
    network, server = database
    folder = tmp_path_factory.mktemp("hosts")
    fill(folder / "source", apis=5, sequences=5)
    nodes = {"gw-1": folder / "source", "gw-2": None, "gw-3": None}
    sections = {"election": {"backend": "sql", "url": server.url, **LEASE}}
    with Hosts(network, folder / "nodes", nodes, sections) as cluster:
        made = cluster["gw-1"].run("init", "--lease-table")
        assert made.returncode == 0, made.stderr
        cluster.start("gw-1")
        until(lambda: role(cluster["gw-1"]) == "manager", "the one with files leads")
        cluster.start()
        cluster.wait_synced()
        yield Parted(network, cluster)


def test_a_clock_of_the_database_that_jumps_takes_no_lease_and_blocks_none(
    parted: Parted, database: tuple[Network, PostgreSQL]
) -> None:
    _, server = database
    manager = parted.leader()
    epoch = status(manager)["epoch"]
    for jump_s in (HOUR_S, -HOUR_S):
        server.step_clock(jump_s)
        edited(manager, parted.others(manager), f"the clock stands {jump_s} s off")
        seen = renewals(server)
        until(lambda seen=seen: renewals(server) >= seen + 8, "more than a lease goes by")  # type: ignore[misc]
        assert parted.leaders == [manager]
        assert status(manager)["epoch"] == epoch, "it was not lost for a moment"
    manager.kill()
    new = parted.leader(without=manager)
    edited(new, parted.others(manager, new), "the clock is an hour behind")
    manager.start()
    until(manager.live, "the old manager is back")
    until(lambda: agreed(parted.cluster, new), "it follows")


def test_a_manager_that_is_cut_off_from_its_database_makes_way(parted: Parted) -> None:
    old = parted.leader()
    epoch = status(old)["epoch"]
    parted.network.cut(old.name, "store")
    until(lambda: parted.leaders and parted.leaders != [old], "another leads")
    new = parted.leader()
    edited(new, parted.others(new), "the old one takes part as a worker")
    parted.network.heal()
    until(lambda: agreed(parted.cluster, new), "nothing changes when it is back")
    for agent in parted.cluster:
        never_went_back(agent)
        assert epochs(agent)[-1] > epoch


def renewals(server: PostgreSQL) -> int:
    """Return how often the lease was renewed since it was taken."""
    ((count,),) = server.ask("SELECT seq FROM syncagent_lease")
    assert isinstance(count, int)
    return count
