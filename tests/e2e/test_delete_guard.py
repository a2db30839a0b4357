"""Deletions in bulk wait for a person; the person releases what was shown and nothing else."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill, sequence
from tests.e2e.cluster import Agent, Cluster, files_of, until

pytestmark = pytest.mark.e2e


def started(folder: Path, apis: int, sequences: int) -> Cluster:
    fill(folder / "source", apis=apis, sequences=sequences)
    cluster = Cluster(folder / "nodes", {"gw-1": folder / "source", "gw-2": None})
    try:
        cluster.start()
        cluster.wait_synced()
    except BaseException:
        cluster.close()
        raise
    return cluster


def delete(agent: Agent, names: Iterable[str]) -> None:
    for name in names:
        (agent.tree / name).unlink()


def held(agent: Agent) -> list[dict[str, object]]:
    rows = agent.answer("held")
    assert isinstance(rows, list)
    return rows


def some(count: int, start: int = 0) -> list[str]:
    return [f"sequences/Sequences{number:03}.xml" for number in range(start, start + count)]


def test_sixty_deleted_files_wait_with_their_number_and_the_rest_of_the_moment_passes(
    tmp_path: Path,
) -> None:
    with started(tmp_path, apis=20, sequences=400) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        full = files_of(worker.tree)
        delete(manager, some(60))
        (manager.tree / "api/Api000.xml").write_bytes(api("Api000", note="passes"))
        until(lambda: held(manager), "the deletions are held")
        until(
            lambda: b"passes" in (worker.tree / "api/Api000.xml").read_bytes(),
            "the edit passes",
        )
        (hold,) = manager.ask("get", "held")
        assert (hold["kind"], hold["node"], len(hold["paths"])) == ("deletions", "gw-1", 60)
        assert "60 of 420 artifacts of synapse are gone on gw-1" in hold["reason"]
        assert set(files_of(worker.tree)) == set(full), "nothing was deleted"
        assert manager.own_row()["state"] == "Held"
        assert manager.run("reconcile").returncode == 5
        assert manager.run("wait", "--timeout", "1s").returncode == 5

        # A different set is not what was shown: the old id releases nothing any more.
        delete(manager, some(1, start=60))
        until(lambda: any(row["id"] != hold["id"] for row in held(manager)), "a new set, a new id")
        refused = manager.run("approve", str(hold["id"]))
        assert refused.returncode == 6, refused.stdout
        assert "get held" in refused.stderr
        assert set(files_of(worker.tree)) == set(full)

        approved = manager.run("approve", str(held(manager)[0]["id"]))
        assert approved.returncode == 0, approved.stderr
        assert "61 changes" in approved.stdout
        cluster.wait_synced()
        assert set(full) - set(files_of(worker.tree)) == set(some(61))
        assert {row["path"] for row in worker.ask("get", "quarantine")} >= set(some(61))
        # A worker shows what it heard last from the manager.
        until(lambda: held(manager) == held(worker) == [], "one approval is enough for all nodes")

        # One approval releases one set once.
        delete(manager, some(60, start=100))
        until(lambda: held(manager), "the next deletions are held again")


def test_files_that_come_back_end_the_hold_and_reject_brings_them_back(tmp_path: Path) -> None:
    with started(tmp_path, apis=20, sequences=100) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        full = files_of(worker.tree)
        delete(manager, some(60))
        until(lambda: held(manager), "held")
        for name in some(60):
            (manager.tree / name).write_bytes(full[name])
        until(lambda: not held(manager), "the hold has ended")
        cluster.wait_synced()

        delete(manager, some(60))
        until(lambda: held(manager), "held again")
        rejected = manager.run("reject", str(held(manager)[0]["id"]))
        assert rejected.returncode == 0, rejected.stderr
        until(lambda: files_of(manager.tree) == full, "the files are back")
        until(lambda: not held(manager), "nothing is held")
        cluster.wait_synced()
        assert files_of(worker.tree) == full


def test_ten_apis_may_go_at_once_and_eleven_wait(tmp_path: Path) -> None:
    with started(tmp_path, apis=60, sequences=60) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        ten = [f"api/Api{number:03}.xml" for number in range(10)]
        delete(manager, ten)
        cluster.manager.run("wait", "--timeout", "60s")
        until(cluster.equal, "ten deleted APIs pass")
        eleven = [f"api/Api{number:03}.xml" for number in range(20, 31)]
        delete(manager, eleven)
        until(
            lambda: held(manager) and len(manager.ask("get", "held")[0]["paths"]) == 11,
            "eleven deleted APIs wait, together",
        )
        assert set(eleven) <= set(files_of(worker.tree))
        (manager.tree / "sequences/Sequences000.xml").write_bytes(sequence("Sequences000", "x"))
        until(
            lambda: b"<!-- x -->" in (worker.tree / "sequences/Sequences000.xml").read_bytes(),
            "changes beside a hold pass",
        )


def test_a_hold_outlives_a_restart_of_the_manager(tmp_path: Path) -> None:
    with started(tmp_path, apis=20, sequences=100) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        full = files_of(worker.tree)
        delete(manager, some(60))
        until(lambda: held(manager), "held")
        before = held(manager)[0]["id"]
        manager.kill()
        cluster.start("gw-1")
        until(lambda: held(manager), "held after the restart")
        assert held(manager)[0]["id"] == before, "the same set has the same id"
        assert files_of(worker.tree) == full
        assert manager.run("approve", str(before)).returncode == 0
        cluster.wait_synced()
        assert len(files_of(worker.tree)) == len(full) - 60
