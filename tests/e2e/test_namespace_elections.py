"""An elected manager and its lease store on hosts that a network parts: nobody leads twice."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.e2e.artifacts import api, fill
from tests.e2e.cluster import Agent, files_of, until
from tests.e2e.hosts import Hosts, Network, needs_namespaces
from tests.e2e.parted import (
    Parted,
    agreed,
    edited,
    epochs,
    kept,
    never_went_back,
    role,
    rows,
    status,
)
from tests.servers.process import Server, program

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root, pytest.mark.needs_servers]

LEASE = {"lease": "6s", "renew": "1s", "operation": "1s", "margin": "2s"}
"""The shortest that the rules allow but for a little."""
LOSS_PERCENT = 10
STORE_PORT = 2379
HEALTHY = "import sys, urllib.request as u; sys.exit(b'true' not in u.urlopen(sys.argv[1]).read())"


@pytest.fixture
def parted(hosts: Parted) -> Parted:
    """Nothing is cut, and all follow one manager."""
    hosts.network.heal()
    manager = hosts.leader()
    until(lambda: agreed(hosts.cluster, manager), "they are one cluster")
    return hosts


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parted]:
    needs_namespaces()
    tmp_path = tmp_path_factory.mktemp("hosts")
    with Network() as network:
        place = network.host("store")
        url = f"http://{place.address}:{STORE_PORT}"
        member = [
            *place.prefix,
            program("etcd"),
            f"--data-dir={tmp_path}/etcd",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            "--heartbeat-interval=50",
            "--election-timeout=500",
        ]
        check = [*place.prefix, sys.executable, "-c", HEALTHY, f"{url}/health"]
        with Server(member, tmp_path / "store") as store:
            store.start()
            store.wait_ready(
                lambda: subprocess.run(check, capture_output=True, check=False).returncode == 0
            )
            fill(tmp_path / "source", apis=5, sequences=5)
            nodes = {"gw-1": tmp_path / "source", "gw-2": None, "gw-3": None}
            election = {"backend": "etcd", "endpoints": [url], **LEASE}
            with Hosts(network, tmp_path / "nodes", nodes, {"election": election}) as cluster:
                cluster.start("gw-1")
                until(lambda: role(cluster["gw-1"]) == "manager", "the one with files leads")
                cluster.start()
                cluster.wait_synced()
                yield Parted(network, cluster)


def in_flight(parted: Parted, manager: Agent) -> None:
    """Have workers answer a manager that stands still, so that its next step is a commit."""
    network, workers = parted.network, parted.others(manager)
    for worker in workers:
        network.deafen(manager.name, to=worker.name)
    (manager.tree / "api/Unsent.xml").write_bytes(api("Unsent"))
    for worker in workers:
        until(
            lambda worker=worker: network.unsent(worker.name, receiver=manager.name),  # type: ignore[misc]
            f"{worker.name} has answered",
        )
    manager.pause()
    network.heal()
    for worker in workers:
        until(
            lambda worker=worker: network.unread(manager.name, sender=worker.name),  # type: ignore[misc]
            "its answer lies unread",
        )


def test_a_manager_that_stood_still_past_its_lease_commits_nothing_anywhere(
    parted: Parted,
) -> None:
    old = parted.leader()
    in_flight(parted, old)
    new = parted.leader(without=old)
    edited(new, parted.others(old, new), "while it stands still")
    old.resume()
    until(lambda: agreed(parted.cluster, new), "it follows who was elected meanwhile")
    for agent in parted.cluster:
        never_went_back(agent)
        assert "api/Unsent.xml" not in files_of(agent.tree)
    assert kept(old, "api/Unsent.xml"), "what it never sent can be restored"
    assert parted.leaders == [new]


def test_a_manager_that_is_cut_off_from_all_steps_down_by_itself(parted: Parted) -> None:
    old = parted.leader()
    epoch = status(old)["epoch"]
    parted.network.isolate(old.name)
    until(lambda: role(old) == "worker", "it ends its own lease")
    (old.tree / "api/Apart.xml").write_bytes(api("Apart"))
    new = parted.leader(without=old)
    edited(new, parted.others(old, new), "without the one cut off")
    assert parted.leaders == [new]
    parted.network.heal()
    until(lambda: agreed(parted.cluster, new), "they are one again")
    for agent in parted.cluster:
        never_went_back(agent)
        assert epochs(agent)[-1] > epoch
    assert kept(old, "api/Apart.xml"), "what was saved there meanwhile can be restored"


@pytest.mark.parametrize(
    "deaf", ["both ways", "the agent hears nothing", "the store hears nothing"]
)
def test_a_manager_that_only_loses_its_store_makes_way_for_another(
    parted: Parted, deaf: str
) -> None:
    old, network = parted.leader(), parted.network
    if deaf != "the agent hears nothing":
        network.deafen("store", to=old.name)
    if deaf != "the store hears nothing":
        network.deafen(old.name, to="store")
    until(lambda: parted.leaders and parted.leaders != [old], "another leads")
    new = parted.leader()
    assert new is not old
    edited(new, parted.others(new), "the old one takes part as a worker")
    network.heal()
    until(lambda: agreed(parted.cluster, new), "nothing changes when it is back")
    assert parted.leaders == [new]
    for agent in parted.cluster:
        never_went_back(agent)


def test_a_manager_that_loses_its_workers_and_not_its_store_still_leads(parted: Parted) -> None:
    manager = parted.leader()
    epoch, revision = status(manager)["epoch"], status(manager)["revision"]
    for worker in parted.others(manager):
        parted.network.cut(manager.name, worker.name)
    content = api("Api001", note="nobody can get it")
    (manager.tree / "api/Api001.xml").write_bytes(content)
    until(lambda: status(manager)["revision"] == revision + 1, "it declares")
    until(
        lambda: all(
            row["state"] != "Synced" for row in rows(manager) if row["name"] != manager.name
        ),
        "and claims nothing of the others",
    )
    assert parted.leaders == [manager]
    parted.network.heal()
    until(lambda: agreed(parted.cluster, manager), "all get it")
    assert [epochs(agent)[-1] for agent in parted.cluster] == [epoch] * 3


def test_without_its_store_nobody_leads_and_lost_packets_only_delay(parted: Parted) -> None:
    old = parted.leader()
    epoch = status(old)["epoch"]
    parted.network.isolate("store")
    until(lambda: not parted.leaders, "nobody leads")
    before = files_of(old.tree)
    for agent in parted.cluster:
        until(lambda agent=agent: says_why(agent), f"{agent.name} says why")  # type: ignore[misc]
        assert files_of(agent.tree) == before, "what is there stays"
    parted.network.heal()
    parted.network.lose(LOSS_PERCENT)
    new = parted.leader()
    edited(new, parted.others(new), "over a bad network")
    parted.network.lose(0)
    until(lambda: agreed(parted.cluster, parted.leader()), "they are one")
    for agent in parted.cluster:
        never_went_back(agent)
        assert epochs(agent)[-1] > epoch, "a lease that ended is not taken up again"


def says_why(agent: Agent) -> bool:
    """Tell whether a node's status names the store as the reason that nobody leads."""
    shown = agent.run("status").stdout
    return "etcd" in shown
