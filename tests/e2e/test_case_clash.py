"""Two names that differ in case only: the one that was here first stays, on every node."""

from pathlib import Path

import pytest

from tests.e2e.artifacts import fill, sequence
from tests.e2e.cluster import Agent, Cluster, files_of, until

pytestmark = pytest.mark.e2e


def refused(agent: Agent) -> set[str]:
    rows = agent.answer("refused")
    assert isinstance(rows, list)
    return {row["path"] for row in rows if row["node"] == agent.name}


def test_the_name_that_was_here_first_stays_until_it_goes(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=2, sequences=2)
    with Cluster(tmp_path, {"gw-1": tmp_path / "source", "gw-2": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager, worker = cluster.manager, cluster["gw-2"]
        folder = manager.tree / "sequences"
        (folder / "mine.xml").write_bytes(sequence("mine"))
        until(lambda: "sequences/mine.xml" in files_of(worker.tree), "the first is a revision")
        (folder / "Mine.xml").write_bytes(sequence("Mine"))
        until(lambda: refused(manager) == {"sequences/Mine.xml"}, "the second is refused")
        manager.run("reconcile")
        assert refused(manager) == {"sequences/Mine.xml"}, "also after a scan"
        (folder / "mine.xml").write_bytes(sequence("mine", note="edited"))
        until(
            lambda: b"edited" in files_of(worker.tree)["sequences/mine.xml"],
            "the first goes on being edited",
        )
        manager.run("reconcile")
        assert refused(manager) == {"sequences/Mine.xml"}

        # Also over a restart that comes before a scan has believed the last edit.
        (folder / "mine.xml").write_bytes(sequence("mine", note="last"))
        manager.end()
        cluster.start("gw-1")
        until(lambda: refused(manager) == {"sequences/Mine.xml"}, "the second is refused again")
        until(lambda: b"last" in files_of(worker.tree)["sequences/mine.xml"], "the edit counts")

        (folder / "mine.xml").unlink()
        until(lambda: refused(manager) == set(), "nothing is against the second any more")
        until(lambda: "sequences/Mine.xml" in files_of(worker.tree), "and it becomes a revision")
        assert "sequences/mine.xml" not in files_of(worker.tree)
        cluster.wait_synced()
