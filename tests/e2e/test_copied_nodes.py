"""A node that was made by copying another, state and all, as the vendor's own guide says."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill
from tests.e2e.cluster import Agent, Cluster, files_of, free_ports, until

pytestmark = pytest.mark.e2e

Tree = dict[str, tuple[bytes, int]]
"""Files with the instants at which they were written."""


def test_a_copied_node_refuses_to_start_until_it_has_an_identity_of_its_own(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    nodes = {"gw-1": tmp_path / "source", "gw-2": None, "gw-3": None}
    with Cluster(tmp_path, nodes) as cluster:
        cluster.start("gw-1", "gw-2")
        until(lambda: files_of(cluster["gw-2"].tree) == files_of(cluster["gw-1"].tree), "filled")
        original, copy = cluster["gw-2"], cluster["gw-3"]
        assert original.end() == 0
        shutil.rmtree(copy.state)
        shutil.copytree(original.state, copy.state)
        shutil.rmtree(copy.tree)
        shutil.copytree(original.tree, copy.tree)
        cluster.start("gw-2")

        copy.start()
        assert copy.ended() != 0
        said = copy.log.read_text()
        assert "--new-identity" in said
        assert "copied" in said
        assert files_of(copy.tree) == files_of(original.tree)

        renewed = copy.run("init", "--new-identity")
        assert renewed.returncode == 0, renewed.stderr
        shown = copy.run("keys", "show").stdout.strip()
        assert shown.split()[1] not in {key.split()[1] for key in cluster.keys.values()}
        assert (copy.state / "former-1").is_dir(), "what it remembered is moved, not deleted"
        cluster.keys["gw-3"] = shown
        for agent in cluster:
            cluster.write_settings(agent, cluster.keys)
        for agent in cluster:
            if agent.runs:
                assert agent.end() == 0
        cluster.start()
        cluster.wait_synced()


def test_a_second_live_node_of_one_name_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    with Cluster(tmp_path / "one", {"gw-1": tmp_path / "source", "gw-2": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        original = cluster["gw-2"]
        # The same state folder: a second run ends at once.
        second = original.run("run", timeout_s=30)
        assert second.returncode == 7, second.stderr
        assert "run" in second.stderr

        # A copy with the same name and key that was told to be new, but kept the other's name.
        twin = tmp_path / "twin"
        shutil.copytree(original.folder, twin, ignore=shutil.ignore_patterns("*.sock", "log"))
        text = (twin / "settings.toml").read_text()
        text = text.replace(str(original.folder), str(twin))
        taken, free = cluster["gw-2"].port, free_ports(1)[0]
        (twin / "settings.toml").write_text(text.replace(f":{taken}", f":{free}", 1))
        refused = original.run("run", "--config", str(twin / "settings.toml"), timeout_s=30)
        assert refused.returncode != 0
        assert "--new-identity" in refused.stderr
        assert original.own_row()["state"] == "Synced"
        assert json.loads(cluster.manager.run("status", "-o", "json").stdout)["state"] == "Synced"


@contextmanager
def copy_of(cluster: Cluster, name: str, folder: Path) -> Iterator[Agent]:
    """Run a second node of that name: with its settings and its key, but a state of its own.

    Nothing on its disk tells that it is a copy; only the others can see it.
    """
    original = cluster[name]
    copy = Agent(name, folder, free_ports(1)[0])
    copy.state.mkdir(parents=True, mode=0o700)
    shutil.copytree(original.tree, copy.tree)
    shutil.copy2(original.state / "node.key", copy.state / "node.key")
    cluster.write_settings(copy, cluster.keys)
    try:
        copy.start()
        until(copy.live, "the copy answers")
        yield copy
    finally:
        copy.end()


def refused_by(copy: Agent, *names: str) -> bool:
    """Tell whether the copy's status says that these nodes do not have it, and why."""
    status = copy.answer("status")
    assert isinstance(status, dict)
    rows = {row["name"]: row for row in status["nodes"]}
    return all(
        rows[name]["state"] == "Offline"
        and f"two live nodes are named {copy.name}" in rows[name]["reason"]
        for name in names
    )


def alarms(agent: Agent) -> str:
    status = agent.answer("status")
    assert isinstance(status, dict)
    return "; ".join(status["alarms"])


def knows_that_it_is_one_of_two(copy: Agent) -> bool:
    """Tell whether the copy's status says that another node of its name leads."""
    return copy.live() and "another node named gw-1, with the same key, led before" in alarms(copy)


def everything(agent: Agent) -> Tree:
    """Read a tree with the instants at which its files were written."""
    return {
        name: (data, (agent.tree / name).stat().st_mtime_ns)
        for name, data in files_of(agent.tree).items()
    }


def test_a_copy_of_the_live_manager_is_refused_by_every_worker(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    nodes = {"gw-1": tmp_path / "source", "gw-2": None, "gw-3": None}
    limits = {"limits": {"reconnect_max": "1s"}}
    with Cluster(tmp_path / "nodes", nodes, limits) as cluster:
        cluster.start()
        cluster.wait_synced()
        before = {agent.name: everything(agent) for agent in cluster}
        with copy_of(cluster, "gw-1", tmp_path / "copy") as copy:
            until(
                lambda: refused_by(copy, "gw-2", "gw-3"), "the copy's status tells who refuses it"
            )
            until(lambda: copy.answer("status")["revision"] == 1, "it leads, with nobody to follow")
            (copy.tree / "api/OfTheCopy.xml").write_bytes(api("OfTheCopy"))
            (copy.tree / "api/Api000.xml").unlink()
            until(lambda: copy.answer("status")["revision"] > 1, "the copy takes its own edits")
            shown = copy.run("status")
            assert "syncagent init --new-identity" in shown.stdout
            assert "two live nodes are named gw-1" in copy.log.read_text()
            for worker in cluster.workers:
                (stranger,) = worker.answer("strangers")
                assert (stranger["name"], stranger["key"]) == ("gw-1", cluster.keys["gw-1"])
                assert "syncagent init --new-identity" in stranger["reason"]
                assert "two live nodes are named gw-1" in worker.log.read_text()
            assert {agent.name: everything(agent) for agent in cluster} == before
            assert cluster.synced(), "the first leads on as before"
            told = "refuses a second live node named gw-1"
            until(lambda: told in alarms(cluster.manager), "the first one's status tells of it")
            assert all(f"{worker.name} {told}" in alarms(worker) for worker in cluster.workers)

            # The first goes on leading: an edit of its own arrives, one of the copy does not.
            (cluster.manager.tree / "api/OfTheFirst.xml").write_bytes(api("OfTheFirst"))
            until(cluster.equal, "the workers follow the first")
            cluster.wait_synced()
            assert "api/OfTheCopy.xml" not in files_of(cluster.manager.tree)
            assert "disconnected" not in cluster.manager.log.read_text()
            assert refused_by(copy, "gw-2", "gw-3")


@contextmanager
def copied_manager(folder: Path) -> Iterator[tuple[Cluster, Agent, Tree]]:
    """Run two nodes and a copy of their manager that has led alone and made an edit of its own.

    Gives the cluster, the copy, and what the worker held before.
    """
    fill(folder / "source", apis=5, sequences=5)
    limits = {"limits": {"reconnect_max": "1s"}}
    nodes = {"gw-1": folder / "source", "gw-2": None}
    with Cluster(folder / "nodes", nodes, limits) as cluster:
        cluster.start()
        cluster.wait_synced()
        before = everything(cluster["gw-2"])
        with copy_of(cluster, "gw-1", folder / "copy") as copy:
            until(lambda: refused_by(copy, "gw-2"), "the copy is refused")
            until(
                lambda: copy.answer("status")["revision"] == 1, "it has led, with nobody to follow"
            )
            (copy.tree / "api/OfTheCopy.xml").write_bytes(api("OfTheCopy"))
            yield cluster, copy, before


def test_the_first_manager_comes_back_from_a_pause_that_let_its_copy_in(tmp_path: Path) -> None:
    with copied_manager(tmp_path) as (cluster, copy, before):
        cluster.manager.pause()
        until(lambda: knows_that_it_is_one_of_two(copy), "the copy is let in, and fenced")
        assert "stepped-down" in copy.log.read_text()
        cluster.manager.resume()
        cluster.wait_synced()
        assert everything(cluster["gw-2"]) == before
        (cluster.manager.tree / "api/OfTheFirst.xml").write_bytes(api("OfTheFirst"))
        until(cluster.equal, "the worker follows the first")
        assert knows_that_it_is_one_of_two(copy)


def test_a_copy_that_starts_while_the_first_is_away_is_not_followed(tmp_path: Path) -> None:
    with copied_manager(tmp_path) as (cluster, copy, before):
        until(lambda: copy.answer("status")["revision"] > 1, "it takes its own edits")
        assert copy.end() == 0
        assert cluster.manager.end() == 0
        copy.start()
        until(copy.live, "the copy answers")
        until(lambda: knows_that_it_is_one_of_two(copy), "the worker tells the copy")
        promoted = copy.run("promote", "--force")
        assert promoted.returncode == 7, promoted.stderr
        assert "another node named gw-1" in promoted.stderr
        assert everything(cluster["gw-2"]) == before
        cluster.start("gw-1")
        (cluster.manager.tree / "api/OfTheFirst.xml").write_bytes(api("OfTheFirst"))
        until(cluster.equal, "the worker follows the first")
        cluster.wait_synced()


def test_a_copy_of_a_live_worker_cannot_be_made_to_lead_the_others(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    nodes = {"gw-1": tmp_path / "source", "gw-2": None, "gw-3": None}
    with Cluster(tmp_path / "nodes", nodes) as cluster:
        cluster.start()
        cluster.wait_synced()
        before = {agent.name: everything(agent) for agent in cluster}
        with copy_of(cluster, "gw-2", tmp_path / "copy") as copy:
            # The other worker knows nothing of the first gw-2, but of who leads.
            promoted = copy.run("promote")
            assert promoted.returncode == 7, promoted.stderr
            assert "two live nodes are named gw-2" in promoted.stderr
            assert "syncagent init --new-identity" in promoted.stderr
            assert "two live nodes are named gw-2" in copy.log.read_text()
            until(cluster.synced, "the first goes on")
            assert {agent.name: everything(agent) for agent in cluster} == before
            (stranger,) = cluster.manager.answer("strangers")
            assert (stranger["name"], stranger["key"]) == ("gw-2", cluster.keys["gw-2"])
            assert "two live nodes are named gw-2" in cluster.manager.log.read_text()

            (cluster.manager.tree / "api/Late.xml").write_bytes(api("Late"))
            until((cluster["gw-2"].tree / "api/Late.xml").exists, "the first gw-2 follows")
            cluster.wait_synced()
            assert "api/Late.xml" not in files_of(copy.tree), "it is led by nobody"
