"""Agents on hosts that a network parts: what was in flight, who leads, and what all have afterwards."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill
from tests.e2e.cluster import Cluster, files_of, until
from tests.e2e.hosts import Hosts, Network, needs_namespaces
from tests.e2e.parted import agreed, epochs, events, kept, never_went_back, row, status

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

LOSS_PERCENT = 20


@pytest.fixture
def network() -> Iterator[Network]:
    needs_namespaces()
    with Network() as made:
        yield made


@pytest.fixture
def cluster(network: Network, tmp_path: Path) -> Iterator[Cluster]:
    """Three agents that have the same ten files, each on a host of its own."""
    fill(tmp_path / "source", apis=5, sequences=5)
    source = tmp_path / "source"
    nodes = {"gw-1": source, "gw-2": None, "gw-3": None}
    with Hosts(network, tmp_path / "nodes", nodes) as made:
        made.start()
        made.wait_synced()
        yield made


def test_what_a_frozen_manager_was_told_is_too_late_when_another_leads(
    network: Network, cluster: Cluster
) -> None:
    old, new, third = cluster
    for worker in ("gw-2", "gw-3"):
        network.deafen("gw-1", to=worker)
    unsent = api("Unsent")
    (old.tree / "api/Unsent.xml").write_bytes(unsent)
    for worker in ("gw-2", "gw-3"):
        until(
            lambda worker=worker: network.unsent(worker, receiver="gw-1"),  # type: ignore[misc]
            f"{worker} has staged it, and its word does not arrive",
        )
    assert status(old)["revision"] == 2
    old.pause()
    network.heal()
    for worker in ("gw-2", "gw-3"):
        until(
            lambda worker=worker: network.unread("gw-1", sender=worker),  # type: ignore[misc]
            "the word lies unread at a process that stands still: its next step would be the commit",
        )
    forced = new.run("promote", "--force")
    assert forced.returncode == 0, forced.stderr
    until(lambda: status(third)["manager"] == "gw-2", "the third follows the new manager")
    edit = api("Api000", note="by the new manager")
    (new.tree / "api/Api000.xml").write_bytes(edit)
    until(lambda: files_of(third.tree)["api/Api000.xml"] == edit, "the new manager leads")
    old.resume()
    until(lambda: agreed(cluster, new), "the old manager follows the new one")
    assert events(old, "fenced"), "what it sent under its old epoch was refused"
    for agent in cluster:
        assert "api/Unsent.xml" not in files_of(agent.tree), "it was never live anywhere else"
        never_went_back(agent)
    assert epochs(third)[-1] == 2
    assert kept(old, "api/Unsent.xml"), "what it never sent can be restored"


def test_two_that_lead_apart_become_one_and_nothing_is_lost(
    network: Network, cluster: Cluster
) -> None:
    old, new, third = cluster
    network.isolate("gw-1")
    forced = new.run("promote", "--force")
    assert forced.returncode == 0, forced.stderr
    until(lambda: status(third)["manager"] == "gw-2", "the greater part follows the new manager")
    (old.tree / "api/Apart.xml").write_bytes(api("Apart"))
    (old.tree / "api/Api001.xml").write_bytes(api("Api001", note="apart"))
    (new.tree / "api/Api001.xml").write_bytes(api("Api001", note="together"))
    until(lambda: status(old)["revision"] == 2, "the old one goes on for itself")
    until(lambda: epochs(third)[-1] == 2, "the others go on with the new one")
    assert "api/Apart.xml" not in files_of(third.tree)
    network.heal()
    until(lambda: agreed(cluster, new), "they are one cluster")
    for agent in cluster:
        never_went_back(agent)
    for path in ("api/Apart.xml", "api/Api001.xml"):
        assert kept(old, path), f"{path} as it was there can be restored"


def test_a_manager_that_hears_no_answer_says_so_and_goes_on_when_it_does(
    network: Network, cluster: Cluster
) -> None:
    manager, deaf, third = cluster
    network.deafen("gw-1", to="gw-2")
    edit = api("Api002", note="one way only")
    (manager.tree / "api/Api002.xml").write_bytes(edit)
    until(lambda: files_of(third.tree)["api/Api002.xml"] == edit, "the other one has it")
    until(lambda: row(manager, "gw-2")["state"] != "Synced", "nobody claims it of the one unheard")
    assert files_of(deaf.tree)["api/Api002.xml"] != edit, "it is not committed without an answer"
    network.heal()
    until(lambda: agreed(cluster, manager), "all have it")


def test_lost_packets_delay_and_nothing_else(network: Network, cluster: Cluster) -> None:
    manager = cluster.manager
    network.lose(LOSS_PERCENT)
    for number in range(12):
        (manager.tree / f"api/Api{number:03}.xml").write_bytes(api(f"Api{number:03}", note="lossy"))
        revision = number + 2
        until(lambda revision=revision: status(manager)["revision"] >= revision, "declared")  # type: ignore[misc]
    until(lambda: agreed(cluster, manager), "all have all")
    for agent in cluster:
        never_went_back(agent)
