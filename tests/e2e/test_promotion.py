"""Another node becomes the manager: asked for, forced, and what the old one then may do."""

from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill, sequence
from tests.e2e.cluster import Agent, Cluster, Sections, files_of, until

pytestmark = pytest.mark.e2e

NODES = ("gw-1", "gw-2", "gw-3")


def started(folder: Path, sections: Sections | None = None) -> Cluster:
    fill(folder / "source", apis=5, sequences=5)
    nodes = {"gw-1": folder / "source", "gw-2": None, "gw-3": None}
    cluster = Cluster(folder / "nodes", nodes, sections)
    try:
        cluster.start()
        cluster.wait_synced()
    except BaseException:
        cluster.close()
        raise
    return cluster


def leader(agent: Agent) -> object:
    status = agent.answer("status")
    assert isinstance(status, dict)
    return status["manager"]


def rows_are_synced(agent: Agent) -> bool:
    status = agent.answer("status")
    assert isinstance(status, dict)
    return all(
        row["state"] == "Synced" and row["revision"] == status["revision"]
        for row in status["nodes"]
    )


def test_promote_takes_over_from_a_living_manager_and_the_old_one_follows(tmp_path: Path) -> None:
    with started(tmp_path) as cluster:
        old, new = cluster["gw-1"], cluster["gw-2"]
        promoted = new.run("promote", "-o", "json")
        assert promoted.returncode == 0, promoted.stderr
        assert '"manager": "gw-2"' in promoted.stdout
        for agent in cluster:
            until(lambda agent=agent: leader(agent) == "gw-2", f"{agent.name} follows gw-2")
        edit = api("Api000", note="by the new manager")
        (new.tree / "api/Api000.xml").write_bytes(edit)
        until(lambda: files_of(old.tree).get("api/Api000.xml") == edit, "the old one follows")
        until(lambda: rows_are_synced(new), "all are synced")
        # An edit on the old one is drift now.
        (old.tree / "api/Api001.xml").write_bytes(api("Api001", note="out of habit"))
        until(lambda: files_of(old.tree) == files_of(new.tree), "it is reverted")
        assert old.run("approve", "d-00000000").returncode in {6, 7}
        # The settings name gw-1; the guard knows better, also after a restart of everything.
        for agent in cluster:
            assert agent.end() == 0
        cluster.start()
        until(lambda: leader(cluster["gw-3"]) == "gw-2", "gw-2 leads after the restart")
        until(lambda: rows_are_synced(new), "all are synced again")


def test_promote_without_the_old_manager_needs_force_and_its_unsent_edit_is_kept(
    tmp_path: Path,
) -> None:
    with started(tmp_path) as cluster:
        old, new = cluster["gw-1"], cluster["gw-2"]
        declare_alone(cluster, api("Api000", note="saved, and never sent"))
        refused = new.run("promote")
        assert refused.returncode == 7, refused.stdout
        assert "gw-1" in refused.stderr
        assert "--force" in refused.stderr
        assert new.run("promote", "--force").returncode == 0
        until(lambda: leader(cluster["gw-3"]) == "gw-2", "gw-3 follows gw-2")
        edit = sequence("Sequences000", "by the new manager")
        (new.tree / "sequences/Sequences000.xml").write_bytes(edit)
        until(
            lambda: files_of(cluster["gw-3"].tree).get("sequences/Sequences000.xml") == edit,
            "gw-3 has the new manager's edit",
        )

        cluster.start("gw-1")
        until(lambda: leader(old) == "gw-2", "the old manager is a worker")
        until(lambda: files_of(old.tree) == files_of(new.tree), "and has the new one's revision")
        until(lambda: rows_are_synced(new), "all are synced")
        kept = [row for row in old.ask("get", "quarantine") if row["path"] == "api/Api000.xml"]
        assert kept, "what only the old manager had is kept"
        assert kept[0] in old.ask("get", "conflicts")


def declare_alone(cluster: Cluster, content: bytes) -> None:
    """Have the manager declare a revision that nobody gets, and die; the others start again."""
    manager = cluster["gw-1"]
    cluster["gw-2"].end()
    cluster["gw-3"].end()
    (manager.tree / "api/Api000.xml").write_bytes(content)
    until(lambda: manager.own_row()["revision"] == 2, "revision 2 is gw-1's alone")
    manager.kill()
    cluster.start("gw-2", "gw-3")


def test_where_any_node_may_write_what_an_old_manager_never_sent_comes_to_all(
    tmp_path: Path,
) -> None:
    with started(tmp_path, {"cluster": {"writers": "any"}}) as cluster:
        old, new = cluster["gw-1"], cluster["gw-2"]
        unsent = api("Api000", note="saved, and never sent")
        declare_alone(cluster, unsent)
        assert new.run("promote", "--force").returncode == 0
        edit = sequence("Sequences000", "by the new manager")
        (new.tree / "sequences/Sequences000.xml").write_bytes(edit)
        until(lambda: new.own_row()["revision"] == 2, "another revision 2")
        cluster.start("gw-1")
        for agent in cluster:
            until(
                lambda agent=agent: files_of(agent.tree).get("api/Api000.xml") == unsent,
                f"{agent.name} has what was never sent",
            )
            until(
                lambda agent=agent: files_of(agent.tree)["sequences/Sequences000.xml"] == edit,
                f"{agent.name} has what was declared meanwhile",
            )
        until(lambda: rows_are_synced(new), "all are synced")
        assert leader(old) == "gw-2"
        assert old.ask("get", "conflicts") == []


def test_a_manager_that_was_frozen_during_its_push_is_refused_when_it_wakes(
    tmp_path: Path,
) -> None:
    with started(tmp_path) as cluster:
        old, new, third = (cluster[name] for name in NODES)
        # Frozen with a push in flight: the workers can't answer, so the offer is out and no more.
        third.pause()
        (old.tree / "api/Api000.xml").write_bytes(api("Api000", note="too late"))
        until(lambda: old.own_row()["revision"] == 2, "revision 2 is declared")
        old.pause()
        third.resume()
        assert new.run("promote", "--force", timeout_s=60).returncode == 0
        until(lambda: leader(third) == "gw-2", "gw-3 has admitted the new manager")
        edit = api("Api001", note="by the new manager")
        (new.tree / "api/Api001.xml").write_bytes(edit)
        until(lambda: files_of(third.tree).get("api/Api001.xml") == edit, "the new one's edit")
        (old.tree / "api/Late.xml").write_bytes(api("Late"))
        old.resume()
        until(lambda: leader(old) == "gw-2", "the frozen one learns that it was deposed")
        until(lambda: files_of(old.tree) == files_of(new.tree), "and follows")
        until(lambda: rows_are_synced(new), "all are synced")
        assert "api/Late.xml" not in files_of(third.tree), "nothing it sent was committed"
        kept = {row["path"] for row in old.ask("get", "quarantine")}
        assert "api/Late.xml" in kept
        epochs = {agent.name: agent.answer("status")["epoch"] for agent in cluster}
        assert len(set(epochs.values())) == 1, epochs
