"""Tenants that appear while the agents run: synced by the same processes, and nobody else's matter."""

import signal
from pathlib import Path

import pytest

from tests.e2e.cluster import Agent, Cluster, files_of, until

pytestmark = pytest.mark.e2e

SUPER = "repository/deployment/server/synapse-configs/default"
TENANT = "repository/tenants/7/synapse-configs/default"


def sequence(name: str) -> bytes:
    return f'<sequence xmlns="http://ws.apache.org/ns/synapse" name="{name}"/>'.encode()


def home(agent: Agent) -> Path:
    return agent.folder / "am"


def put(folder: Path, name: str) -> None:
    (folder / "sequences").mkdir(parents=True, exist_ok=True)
    (folder / "sequences" / f"{name}.xml").write_bytes(sequence(name))


def with_homes(cluster: Cluster) -> None:
    """Give every node a gateway's home in the place of its listed tree."""
    for agent in cluster:
        (home(agent) / SUPER).mkdir(parents=True)
        (home(agent) / "bin").mkdir()
        (home(agent) / "bin/version.txt").write_text("WSO2 API Manager 3.1.0")
        head, _, tail = agent.settings.read_text().partition("[[tree]]")
        _, peer, peers = tail.partition("[[peer]]")
        agent.settings.write_text(f'{head}[gateway]\nhome = "{home(agent)}"\n{peer}{peers}')


def look_for_tenants(agent: Agent) -> None:
    """Have the agent look now, not in its next minute."""
    assert agent.process is not None
    agent.process.send_signal(signal.SIGHUP)


def trees(agent: Agent) -> set[str]:
    found = agent.ask("get", "artifacts")
    assert isinstance(found, list)
    return {row["tree"] for row in found}


def test_a_tenant_that_appears_is_synced_by_the_same_processes(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": None, "gw-2": None, "gw-3": None}) as cluster:
        with_homes(cluster)
        manager, worker, without = cluster
        put(home(manager) / SUPER, "super")
        cluster.start()
        until(cluster.synced, "the super tenant is synced")

        put(home(manager) / TENANT, "tenant")
        (home(worker) / TENANT).mkdir(parents=True)
        for agent in (manager, worker):
            look_for_tenants(agent)
        copied = home(worker) / TENANT / "sequences/tenant.xml"
        until(copied.is_file, "the tenant's sequence is on the worker")
        until(cluster.synced, "all are Synced, also the node that has no such tenant")
        assert copied.read_bytes() == sequence("tenant")
        assert trees(manager) == trees(worker) == {"synapse", "tenant-7"}
        assert trees(without) == {"synapse"}
        assert not (home(without) / TENANT).exists()

        put(home(manager) / SUPER, "later")
        until((home(without) / SUPER / "sequences/later.xml").is_file, "it is not blocked either")

        (home(without) / TENANT).mkdir(parents=True)
        look_for_tenants(without)
        late = home(without) / TENANT / "sequences/tenant.xml"
        until(late.is_file, "the node that has the tenant later fills it")
        until(cluster.synced, "all are Synced")
        assert files_of(home(without) / TENANT) == files_of(home(manager) / TENANT)
        assert all(agent.runs for agent in cluster), "no process was started anew"


def holds(agent: Agent) -> list[tuple[object, object]]:
    """Return node and kind of everything that the agent lists as held."""
    held = agent.answer("held")
    assert isinstance(held, list)
    return [(row["node"], row["kind"]) for row in held]


def holds_of(agent: Agent) -> list[str]:
    """Return the ids of everything that the agent lists as held."""
    held = agent.answer("held")
    assert isinstance(held, list)
    return [row["id"] for row in held]


def test_a_tenants_tree_that_held_other_artifacts_loses_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": None, "gw-2": None}) as cluster:
        with_homes(cluster)
        manager, worker = cluster
        put(home(manager) / TENANT, "tenant")
        cluster.start()
        until(cluster.synced, "the manager's trees are declared")
        put(home(worker) / TENANT, "own")
        look_for_tenants(worker)
        until(lambda: worker.own_row()["state"] == "Held", "it waits for a person")
        own = home(worker) / TENANT / "sequences/own.xml"
        assert own.read_bytes() == sequence("own")
        until(lambda: holds(manager) == [("gw-2", "first-contact")], "the manager knows of it")

        # The worker starts anew for its new tree, and tells of its hold again only after that.
        (hold,) = holds_of(manager)
        approved = manager.run("approve", hold)
        assert approved.returncode == 0, approved.stderr
        until(lambda: not own.exists(), "the worker's own artifact went")
        until((own.parent / "tenant.xml").is_file, "the cluster's came")
        until(cluster.synced, "all are Synced")
        kept = worker.ask("get", "quarantine")
        assert isinstance(kept, list)
        assert any(row["path"] == "sequences/own.xml" for row in kept), "nothing is lost"
