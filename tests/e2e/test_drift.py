"""What nobody asked for on a worker: reverted, reported, or taken as a proposal."""

from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill, sequence
from tests.e2e.cluster import Agent, Cluster, files_of, until

pytestmark = pytest.mark.e2e


def read(agent: Agent, name: str) -> bytes | None:
    return files_of(agent.tree).get(name)


def kept(agent: Agent) -> dict[str, dict[str, object]]:
    rows = agent.answer("quarantine")
    assert isinstance(rows, list)
    return {row["path"]: row for row in rows}


def test_drift_on_a_worker_is_reverted_kept_and_can_become_a_revision(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    with Cluster(tmp_path, {"gw-1": tmp_path / "source", "gw-2": None, "gw-3": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager, worker = cluster.manager, cluster["gw-2"]
        wanted = files_of(manager.tree)
        mine = api("Api000", note="a fix made at night on the worker")
        (worker.tree / "api/Api000.xml").write_bytes(mine)
        (worker.tree / "api/Extra.xml").write_bytes(api("Extra"))
        (worker.tree / "api/Api001.xml").unlink()
        (worker.tree / "sequences/Sequences000.xml").write_bytes(b"<broken")
        until(lambda: files_of(worker.tree) == wanted, "all four are as the manager has them")
        until(lambda: worker.own_row()["state"] == "Synced", "and it says so")
        found = kept(worker)
        assert {"api/Api000.xml", "api/Extra.xml", "sequences/Sequences000.xml"} <= set(found)
        assert manager.answer("status")["revision"] == 1, "a worker's edit is no revision"
        assert files_of(cluster["gw-3"].tree) == wanted

        # A person who asks for it on the worker makes it a revision, whoever may write.
        restored = worker.ask("restore", str(found["api/Api000.xml"]["id"]))
        assert isinstance(restored, dict)
        assert restored["revision"] == 2
        cluster.wait_synced()
        assert read(cluster["gw-3"], "api/Api000.xml") == mine

        # The manager lists it too, by the worker's name, and can have it restored there.
        listed = manager.ask("get", "quarantine")
        assert isinstance(listed, list)
        theirs = {row["path"]: row["id"] for row in listed if row["node"] == "gw-2"}
        assert set(theirs) == set(found)
        assert manager.ask("restore", theirs["api/Extra.xml"])["revision"] == 3  # type: ignore[index]
        cluster.wait_synced()
        assert read(cluster["gw-3"], "api/Extra.xml") == api("Extra")

        broken = worker.run("restore", str(found["sequences/Sequences000.xml"]["id"]))
        assert broken.returncode == 6, "it is no more valid than it was"
        assert broken.stderr.count("sequences/Sequences000.xml") == 1
        assert manager.answer("status")["revision"] == 3


def test_what_was_deleted_on_the_manager_is_restored_by_its_path(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    with Cluster(tmp_path, {"gw-1": tmp_path / "source", "gw-2": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager = cluster.manager
        bytes_before = read(manager, "api/Api000.xml")
        (manager.tree / "api/Api000.xml").unlink()
        until(lambda: read(cluster["gw-2"], "api/Api000.xml") is None, "deleted everywhere")
        cluster.wait_synced()
        done = manager.run("restore", "synapse:api/Api000.xml")
        assert done.returncode == 0, done.stderr
        cluster.wait_synced()
        assert read(cluster["gw-2"], "api/Api000.xml") == bytes_before
        assert manager.run("restore", "synapse:api/Never.xml").returncode == 6


def test_drift_that_is_only_reported_is_listed_and_not_touched(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    nodes = {"gw-1": tmp_path / "source", "gw-2": None}
    with Cluster(tmp_path, nodes, own={"gw-2": {"tree": {"drift": "report"}}}) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager, worker = cluster.manager, cluster["gw-2"]
        mine = api("Api000", note="mine")
        (worker.tree / "api/Api000.xml").write_bytes(mine)
        (worker.tree / "api/Extra.xml").write_bytes(api("Extra"))
        until(lambda: worker.own_row()["state"] == "OutOfSync", "the drift is shown")
        until(
            lambda: manager.answer("status")["nodes"][1]["state"] == "OutOfSync",
            "the manager shows it",
        )
        until(lambda: "Extra" in manager.run("diff", "gw-2").stdout, "by name")
        assert worker.run("diff").returncode == 3
        # A revision that changes something else passes by what has drifted.
        (manager.tree / "api/Api004.xml").write_bytes(api("Api004", note="new"))
        until(lambda: b"new" in (read(worker, "api/Api004.xml") or b""), "the revision arrives")
        assert read(worker, "api/Api000.xml") == mine
        assert read(worker, "api/Extra.xml") is not None
        # A revision of the very file that drifted wins, and the drifted bytes are kept.
        (manager.tree / "api/Api000.xml").write_bytes(api("Api000", note="newer"))
        until(lambda: b"newer" in (read(worker, "api/Api000.xml") or b""), "it is taken")
        until(lambda: "api/Api000.xml" in kept(worker), "what drifted is kept")


def test_a_node_with_apply_off_shows_what_it_would_do_and_writes_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    fill(tmp_path / "old", apis=3, sequences=5)
    (tmp_path / "old/api/Api001.xml").write_bytes(api("Api001", note="rsync's"))
    nodes = {"gw-1": tmp_path / "source", "gw-2": tmp_path / "old"}
    with Cluster(tmp_path, nodes, own={"gw-2": {"node": {"apply": False}}}) as cluster:
        cluster.start()
        manager, worker = cluster.manager, cluster["gw-2"]
        before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in worker.tree.rglob("*.xml")}
        until(lambda: "api/Api003.xml" in worker.run("diff").stdout, "it shows what it would do")
        shown = worker.run("diff").stdout
        for name in ("api/Api001.xml", "api/Api003.xml", "api/Api004.xml"):
            assert name in shown
        until(lambda: "Api004" in manager.run("diff", "gw-2").stdout, "the manager shows it too")
        until(
            lambda: manager.answer("status")["nodes"][1]["state"] == "OutOfSync",
            "it is not called synced",
        )
        (manager.tree / "api/Api000.xml").write_bytes(api("Api000", note="new"))
        until(lambda: "api/Api000.xml" in worker.run("diff").stdout, "a new revision is shown")
        assert manager.run("reconcile").returncode == 4
        after = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in worker.tree.rglob("*.xml")}
        assert after == before
        assert {path.name for path in worker.folder.iterdir()} <= {
            *("tree", "state", "settings.toml", "log", "pid", ".syncagent"),
        }


ANY = {"cluster": {"writers": "any"}}


def test_a_valid_edit_on_any_node_becomes_a_revision_and_a_broken_one_does_not(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    nodes = {"gw-1": tmp_path / "source", "gw-2": None, "gw-3": None}
    with Cluster(tmp_path, nodes, ANY) as cluster:
        cluster.start()
        cluster.wait_synced()
        worker = cluster["gw-2"]
        edit = api("Api000", note="saved on gw-2")
        (worker.tree / "api/Api000.xml").write_bytes(edit)
        (worker.tree / "api/New.xml").write_bytes(api("New"))
        (worker.tree / "api/Api001.xml").unlink()
        until(lambda: read(cluster["gw-3"], "api/Api000.xml") == edit, "the edit is on gw-3")
        until(lambda: read(cluster["gw-3"], "api/New.xml") is not None, "the new one too")
        until(lambda: read(cluster["gw-3"], "api/Api001.xml") is None, "and the deletion")
        cluster.wait_synced()
        authors = {row["author"] for row in cluster.manager.ask("get", "revisions")}
        assert authors == {"gw-1", "gw-2"}

        good = read(cluster["gw-3"], "api/Api002.xml")
        (worker.tree / "api/Api002.xml").write_bytes(b"<api")
        until(lambda: worker.own_row()["refused"] == 1, "it is refused where it was saved")
        until(lambda: cluster.manager.answer("refused"), "and the manager lists it")
        assert read(worker, "api/Api002.xml") == b"<api", "never reverted"
        assert read(cluster["gw-3"], "api/Api002.xml") == good


def test_two_edits_of_one_file_at_once_leave_the_managers_and_keep_the_other(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    with Cluster(tmp_path, {"gw-1": tmp_path / "source", "gw-2": None}, ANY) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager, worker = cluster.manager, cluster["gw-2"]
        ours, theirs = api("Api000", note="manager's"), api("Api000", note="worker's")
        worker.pause()
        (worker.tree / "api/Api000.xml").write_bytes(theirs)
        (manager.tree / "api/Api000.xml").write_bytes(ours)
        until(lambda: manager.answer("status")["revision"] == 2, "the manager's is revision 2")
        worker.resume()
        until(lambda: read(worker, "api/Api000.xml") == ours, "the manager's wins")
        cluster.wait_synced()
        until(lambda: worker.answer("conflicts"), "the other is kept as a conflict")
        (row,) = worker.ask("get", "conflicts")
        assert row["path"] == "api/Api000.xml"
        assert read(manager, "api/Api000.xml") == ours


def test_while_there_is_no_manager_nothing_is_reverted_and_the_edit_is_proposed_when_it_is_back(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    with Cluster(tmp_path, {"gw-1": tmp_path / "source", "gw-2": None}, ANY) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager, worker = cluster.manager, cluster["gw-2"]
        manager.kill()
        edit = sequence("Sequences000", "while there was no manager")
        (worker.tree / "sequences/Sequences000.xml").write_bytes(edit)
        until(lambda: worker.own_row()["state"] == "OutOfSync", "the difference is shown")
        assert worker.run("reconcile", "--timeout", "5s").returncode != 0
        assert read(worker, "sequences/Sequences000.xml") == edit
        cluster.start("gw-1")
        until(lambda: read(manager, "sequences/Sequences000.xml") == edit, "it is proposed")
        cluster.wait_synced()
