"""Nodes that were away, are new, or were filled by other means."""

from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill, sequence
from tests.e2e.cluster import Agent, Cluster, files_of, until

pytestmark = pytest.mark.e2e


def holds_of(agent: Agent) -> list[dict[str, object]]:
    held = agent.answer("held")
    assert isinstance(held, list)
    return held


def test_a_node_that_was_away_during_a_hundred_changes_catches_up_by_itself(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=40, sequences=80)
    with Cluster(tmp_path, {"gw-1": tmp_path / "source", "gw-2": None, "gw-3": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager, away = cluster.manager, cluster["gw-3"]
        kept = manager.tree / "api/Api039.xml"
        untouched = (away.tree / "api/Api039.xml").stat().st_mtime_ns
        assert away.end() == 0
        until(lambda: manager.answer("status")["nodes"][2]["state"] == "Offline", "it is missed")
        for number in range(60):
            name = f"Sequences{number:03}"
            (manager.tree / f"sequences/{name}.xml").write_bytes(sequence(name, "later"))
        for number in range(5):
            (manager.tree / f"api/Api{number:03}.xml").unlink()
            (manager.tree / f"api/New{number}.xml").write_bytes(api(f"New{number}"))
        until(lambda: files_of(cluster["gw-2"].tree) == files_of(manager.tree), "gw-2 has them all")
        partly = manager.run("reconcile")
        assert partly.returncode == 4, "a node that is not there is told"
        assert "gw-3 Offline" in partly.stderr

        cluster.start("gw-3")
        cluster.wait_synced()
        assert kept.exists()
        assert (away.tree / "api/Api039.xml").stat().st_mtime_ns == untouched
        assert {row["path"] for row in away.ask("get", "quarantine")} >= {
            f"api/Api{number:03}.xml" for number in range(5)
        }
        assert manager.run("reconcile").returncode == 0


def test_a_manager_that_was_away_takes_the_edits_of_its_tree_up_at_its_start(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "source", apis=4, sequences=4)
    with Cluster(tmp_path, {"gw-1": tmp_path / "source", "gw-2": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager = cluster.manager
        assert manager.end() == 0
        (manager.tree / "api/Api000.xml").write_bytes(api("Api000", note="while away"))
        (manager.tree / "api/Api001.xml").unlink()
        (manager.tree / "api/Late.xml").write_bytes(api("Late"))
        cluster.start("gw-1")
        until(cluster.equal, "the worker has all three")
        cluster.wait_synced()
        assert "api/Api001.xml" not in files_of(cluster["gw-2"].tree)


def test_a_new_empty_node_fills_itself_and_an_equal_one_needs_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=20, sequences=20)
    nodes = {"gw-1": tmp_path / "source", "gw-2": None, "gw-3": tmp_path / "source"}
    with Cluster(tmp_path, nodes) as cluster:
        cluster.start("gw-1")
        until(lambda: cluster.manager.answer("status")["revision"] == 1, "it leads")
        before = {path: path.stat().st_mtime_ns for path in cluster["gw-3"].tree.rglob("*.xml")}
        cluster.start("gw-2", "gw-3")
        cluster.wait_synced()
        assert {path: path.stat().st_mtime_ns for path in before} == before
        assert holds_of(cluster.manager) == []
        assert cluster["gw-3"].ask("get", "quarantine") == []
        assert cluster.manager.answer("status")["revision"] == 1


def test_a_filled_node_is_held_at_first_contact_until_its_difference_was_shown_and_approved(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    fill(tmp_path / "other", apis=5, sequences=3)
    (tmp_path / "other/api/Api001.xml").write_bytes(api("Api001", note="its own"))
    (tmp_path / "other/api/Only.xml").write_bytes(api("Only"))
    nodes = {"gw-1": tmp_path / "source", "gw-2": tmp_path / "other"}
    with Cluster(tmp_path, nodes) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        cluster.start()
        until(lambda: holds_of(manager), "the manager shows the hold of its worker")
        (hold,) = manager.ask("get", "held")
        assert (hold["node"], hold["kind"]) == ("gw-2", "first-contact")
        assert "add 2, update 1, delete 1" in hold["reason"]
        assert manager.answer("status")["nodes"][1]["state"] == "Held"
        assert files_of(worker.tree) == files_of(tmp_path / "other"), "nothing was touched"
        shown = manager.run("diff", "gw-2")
        assert shown.returncode == 3
        for name in ("api/Only.xml", "api/Api001.xml", "sequences/Sequences004.xml"):
            assert name in shown.stdout
        assert manager.run("reconcile").returncode == 5

        # It is held still after a restart, and what the manager does meanwhile does not release it.
        assert worker.end() == 0
        cluster.start("gw-2")
        until(lambda: worker.own_row()["state"] == "Held", "it is held after its restart")
        assert files_of(worker.tree) == files_of(tmp_path / "other")

        until(lambda: holds_of(manager), "the manager shows it again")
        approved = manager.run("approve", str(holds_of(manager)[0]["id"]))
        assert approved.returncode == 0, approved.stderr
        assert "gw-2" in approved.stdout
        cluster.wait_synced()
        kept = {row["path"] for row in worker.ask("get", "quarantine")}
        assert {"api/Only.xml", "api/Api001.xml"} <= kept, "nothing is lost"
