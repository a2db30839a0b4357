"""Managers that come and go, with a lease in SQLite: killed, stopped, switched, cut from the store."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import files_of, until
from tests.e2e.electing import Electorate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.cluster import Agent

pytestmark = pytest.mark.e2e

NAMES = ("gw-1", "gw-2", "gw-3")
EDIT = b'<sequence xmlns="http://ws.apache.org/ns/synapse" name="%s"><!--%s--></sequence>'


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seed") / "tree"
    (folder / "sequences").mkdir(parents=True)
    for name in ("main", "fault"):
        (folder / f"sequences/{name}.xml").write_bytes(EDIT % (name.encode(), b"first"))
    return folder


@pytest.fixture(scope="module")
def electorate(tmp_path_factory: pytest.TempPathFactory, seed: Path) -> Iterator[Electorate]:
    nodes = {"gw-1": seed, "gw-2": None, "gw-3": None}
    with Electorate(tmp_path_factory.mktemp("elected"), nodes) as cluster:
        cluster.start()
        cluster.wait_led()
        cluster.wait_synced()
        yield cluster


@pytest.fixture
def cluster(electorate: Electorate) -> Electorate:
    """All three run, one leads, all are in sync."""
    electorate.start()
    electorate.wait_led()
    electorate.wait_synced()
    until(lambda: all_may_lead(electorate), "each has told that it can lead")
    return electorate


def all_may_lead(electorate: Electorate) -> bool:
    rows = electorate.status_of(electorate.manager)["nodes"]
    assert isinstance(rows, list)
    return all(row["eligible"] for row in rows)


def edit(agent: Agent, name: str, text: str) -> bytes:
    """Write a sequence into a node's tree."""
    content = EDIT % (name.encode(), text.encode())
    (agent.tree / f"sequences/{name}.xml").write_bytes(content)
    return content


def test_who_has_artifacts_leads_first_and_the_others_get_them(cluster: Electorate) -> None:
    assert cluster.epoch() >= 1
    assert set(files_of(cluster["gw-3"].tree)) >= {"sequences/main.xml", "sequences/fault.xml"}


def test_a_killed_manager_is_replaced_and_comes_back_as_a_worker(cluster: Electorate) -> None:
    old, epoch = cluster.manager, cluster.epoch()
    old.kill()
    unsent = edit(old, "unsent", "nobody has seen this")
    new = cluster.wait_led(but=old)
    assert cluster.epoch() == epoch + 1
    sent = edit(new, "sent", f"by {new.name}")
    old.start()
    until(old.live, "the old manager runs again")
    cluster.wait_led()
    cluster.wait_synced()
    assert (old.tree / "sequences/sent.xml").read_bytes() == sent
    assert not (old.tree / "sequences/unsent.xml").exists()
    conflicts = old.ask("get", "conflicts")
    assert isinstance(conflicts, list)
    assert [row["path"] for row in conflicts] == ["sequences/unsent.xml"]
    assert new.run("restore", f"{old.name}:{conflicts[0]['id']}").returncode == 0
    until((old.tree / "sequences/unsent.xml").exists, "a person brings it back")
    assert (new.tree / "sequences/unsent.xml").read_bytes() == unsent


def test_a_manager_that_is_stopped_hands_over(cluster: Electorate) -> None:
    old, epoch = cluster.manager, cluster.epoch()
    assert old.end(signal.SIGTERM) == 0
    new = cluster.wait_led(but=old)
    assert cluster.epoch() == epoch + 1
    log = old.log.read_text()
    assert "handing-over" in log.rpartition("is up")[2]
    assert new is not old


def test_a_switchover_waits_for_the_newest_revision(cluster: Electorate) -> None:
    old = cluster.manager
    content = edit(old, "late", old.name)
    target = next(agent for agent in cluster if agent is not old)
    done = old.run("switchover", target.name)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{target.name} is the manager" in done.stdout
    assert cluster.wait_led(but=old) is target
    cluster.wait_synced()
    assert (target.tree / "sequences/late.xml").read_bytes() == content
    refused = old.run("switchover")
    assert refused.returncode == 7
    assert f"on {target.name}: syncagent switchover" in refused.stderr


def test_promote_has_the_manager_hand_over(cluster: Electorate) -> None:
    old = cluster.manager
    target = next(agent for agent in cluster if agent is not old)
    done = target.run("promote")
    assert (done.returncode, done.stderr) == (0, "")
    assert cluster.wait_led(but=old) is target


def test_a_paused_cluster_stands_still_on_every_node(cluster: Electorate) -> None:
    manager = cluster.manager
    worker = next(agent for agent in cluster if agent is not manager)
    assert manager.run("pause", "--for", "1h").returncode == 0
    until(lambda: "Paused until" in worker.run("status").stdout, "the worker knows it")
    before = cluster.status_of(manager)["revision"]
    edit(manager, "paused", "on the manager")
    drift = edit(worker, "main", "by hand")
    assert manager.run("wait", "--timeout", "2s").returncode == 8
    assert cluster.status_of(manager)["revision"] == before
    assert (worker.tree / "sequences/main.xml").read_bytes() == drift
    resumed = manager.run("resume")
    assert (resumed.returncode, resumed.stdout) == (0, "resumed\n")
    cluster.wait_synced()
    assert (worker.tree / "sequences/paused.xml").exists()
    assert (worker.tree / "sequences/main.xml").read_bytes() != drift


def test_a_store_that_is_away_ends_leadership_and_says_so(cluster: Electorate) -> None:
    manager, epoch = cluster.manager, cluster.epoch()
    away = cluster.database.with_name("away.db")
    cluster.database.rename(away)
    until(lambda: cluster.leader() is None, "nobody leads")
    until(lambda: "can't be asked since" in manager.run("status").stdout, "status says why")
    leader = cluster.status_of(manager)["leader"]
    assert isinstance(leader, dict)
    assert leader["backend"] == "sql"
    assert leader["unavailable_s"] is not None
    assert leader["fault"], "and what came of asking it"
    away.replace(cluster.database)
    cluster.wait_led()
    assert cluster.epoch() > epoch
    cluster.wait_synced()


def test_a_manager_that_is_killed_and_started_at_once_leads_again(cluster: Electorate) -> None:
    manager, epoch = cluster.manager, cluster.epoch()
    manager.kill()
    manager.start()
    until(manager.live, "it runs again")
    assert cluster.wait_led() is manager
    assert cluster.epoch() == epoch + 1
