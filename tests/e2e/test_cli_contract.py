"""The contract that outside programs are written against: exit codes, fields, silence."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from syncagent.cli.lock import LOCK_NAME
from tests.e2e.artifacts import api, fill, plan, sequence
from tests.e2e.cluster import Cluster, files_of, until

pytestmark = pytest.mark.e2e

STATUS = {
    *("apiVersion", "cluster", "mode", "manager", "epoch", "revision", "digest", "state"),
    *("nodes", "held", "alarms", "leader", "paused"),
}
NODE = {
    *("name", "role", "state", "revision", "lag_s", "artifacts", "deployed", "pending"),
    *("rejected", "unknown", "refused", "watch", "seen_s", "reason"),
}
STATES = {"Synced", "OutOfSync", "Syncing", "Held", "Paused", "Offline", "Degraded", "Unknown"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cli")
    fill(folder / "source", apis=4, sequences=4)
    (folder / "source/synapse.xml").write_bytes(
        b'<definitions xmlns="http://ws.apache.org/ns/synapse"/>\n'
    )
    nodes = {"gw-1": folder / "source", "gw-2": None}
    with Cluster(folder / "nodes", nodes, plans=True) as cluster:
        (cluster.manager.plans / "Plan.siddhiql").write_bytes(plan("ThePlan"))
        cluster.start()
        cluster.wait_synced()
        yield cluster


def is_locked(path: Path) -> bool:
    """Tell whether somebody holds a lock on a file, without taking it for a moment."""
    if not path.exists():
        return False
    inode = str(path.stat().st_ino)
    return any(
        line.split()[5].rpartition(":")[2] == inode
        for line in Path("/proc/locks").read_text().splitlines()
        if "->" not in line
    )


@pytest.fixture
def calm(cluster: Cluster) -> Cluster:
    cluster.start()
    cluster.wait_synced()
    return cluster


def test_status_has_its_fields_on_every_node(calm: Cluster) -> None:
    manager = calm.manager.ask("status")
    assert set(manager) == STATUS
    assert manager["apiVersion"] == "syncagent/v1"
    assert (manager["cluster"], manager["mode"], manager["manager"]) == ("loopback", "push", "gw-1")
    assert (manager["state"], manager["epoch"] >= 1) == ("Synced", True)
    assert manager["digest"].startswith("xxh3:")
    assert len(manager["digest"]) == len("xxh3:") + 32
    for row in manager["nodes"]:
        assert set(row) >= NODE
        assert row["state"] in STATES
        assert row["artifacts"] == 10
        assert row["unknown"] == 10, "without a runtime nobody knows"
        assert row["revision"] == manager["revision"]
    assert [row["role"] for row in manager["nodes"]] == ["manager", "worker"]
    # A worker shows the manager's view of the same cluster.
    until(lambda: calm["gw-2"].answer("status")["state"] == "Synced", "the view has arrived")
    worker = calm["gw-2"].ask("status")
    assert set(worker) >= STATUS
    assert worker["manager"] == "gw-1"
    assert worker["digest"] == manager["digest"]
    assert [row["name"] for row in worker["nodes"]] == ["gw-1", "gw-2"]
    one = calm.manager.run("status", "gw-2", "-o", "json")
    assert one.returncode == 0


def test_artifacts_have_their_fields_and_kinds(calm: Cluster) -> None:
    for agent in calm:
        rows = agent.ask("get", "artifacts")
        assert isinstance(rows, list), "lists are bare arrays"
        assert len(rows) == 10
        for row in rows:
            assert set(row) >= {"tree", "path", "kind", "name", "digest", "state"}
            assert row["digest"].startswith("xxh3:")
            assert row["state"] == "Unknown"
        found = {(row["tree"], row["path"]): (row["kind"], row["name"]) for row in rows}
        assert found["synapse", "api/Api000.xml"] == ("api", "Api000")
        assert found["synapse", "sequences/Sequences000.xml"] == ("sequence", "Sequences000")
        assert found["synapse", "synapse.xml"][0] == "root"
        assert found["plans", "Plan.siddhiql"] == ("plan", "ThePlan")


def test_every_list_is_json_and_a_table_and_says_nothing_on_stderr(calm: Cluster) -> None:
    for what in ("nodes", "artifacts", "revisions", "held", "refused", "quarantine", "conflicts"):
        done = calm.manager.run("get", what, "-o", "json")
        assert (done.returncode, done.stderr) == (0, ""), what
        assert isinstance(json.loads(done.stdout), list)
        assert calm.manager.run("get", what).returncode == 0


def test_reconcile_is_quiet_when_clean_and_shows_what_a_dry_run_would_do(calm: Cluster) -> None:
    clean = calm.manager.run("reconcile")
    assert (clean.returncode, clean.stdout, clean.stderr) == (0, "", "")
    assert calm.manager.run("reconcile", "--dry-run").returncode == 0
    assert calm.manager.run("diff").returncode == 0
    # A difference that the agent may not act on is there to be seen.
    (calm.manager.tree / "api/Api000.xml").write_bytes(api("Api000", note="made for reconcile"))
    done = calm.manager.run("reconcile")
    assert done.returncode == 0, done.stderr
    assert files_of(calm["gw-2"].tree) == files_of(calm.manager.tree), "it ends when all have it"


def test_two_reconciles_never_overlap(calm: Cluster) -> None:
    worker = calm["gw-2"]
    worker.pause()
    try:
        (calm.manager.tree / "api/Api001.xml").write_bytes(api("Api001", note="slow"))
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(calm.manager.run, "reconcile", "--timeout", "60s")
            until(lambda: is_locked(calm.manager.state / LOCK_NAME), "the first holds the lock")
            assert calm.manager.run("reconcile", "--if-busy", "fail").returncode == 7
            skipped = calm.manager.run("reconcile")
            assert (skipped.returncode, skipped.stdout) == (0, "")
            waited = calm.manager.run("reconcile", "--if-busy", "wait", "--timeout", "1s")
            assert waited.returncode == 8
            assert not first.done()
            worker.resume()
            assert first.result().returncode == 0
    finally:
        worker.resume()
    assert files_of(worker.tree) == files_of(calm.manager.tree)


def test_wait_ends_when_all_have_it_and_gives_up_in_time(calm: Cluster) -> None:
    assert calm.manager.run("wait").returncode == 0
    revision = calm.manager.answer("status")["revision"]
    late = calm.manager.run("wait", "--revision", str(revision + 1), "--timeout", "1s")
    assert (late.returncode, late.stdout) == (8, "")
    (calm.manager.tree / "api/Api002.xml").write_bytes(api("Api002", note="awaited"))
    assert calm.manager.run("wait", "--timeout", "60s").returncode == 0
    assert files_of(calm["gw-2"].tree) == files_of(calm.manager.tree)
    assert calm["gw-2"].run("wait", "--timeout", "60s").returncode == 0


def test_wrong_words_and_wrong_settings_exit_2(calm: Cluster, tmp_path: Path) -> None:
    assert calm.manager.run("get", "everything").returncode == 2
    assert calm.manager.run("wait", "--timeout", "5 parsecs").returncode == 2
    assert calm.manager.run("rollback", "1").returncode == 2, "not in this version"
    bad = tmp_path / "bad.toml"
    bad.write_text('[cluster]\nname = "x"\nmood = "grim"\n[node]\nname = "a b"\n')
    done = calm.manager.run("status", "--config", str(bad))
    assert done.returncode == 2
    assert "line 3" in done.stderr or ":3" in done.stderr
    assert "mood" in done.stderr
    assert calm.manager.run("status", "--config", str(tmp_path / "none.toml")).returncode == 2


def test_what_does_not_exist_and_what_is_not_allowed_exit_6_and_7(calm: Cluster) -> None:
    assert calm.manager.run("approve", "d-ffffffff").returncode == 6
    assert calm.manager.run("restore", "q-none").returncode == 6
    assert calm.manager.run("diff", "gw-9").returncode == 2
    assert calm.manager.run("describe", "synapse:api/Never.xml").returncode == 6
    assert calm.manager.run("run").returncode == 7
    broken = calm.folder / "broken.xml"
    broken.write_bytes(b"<api")
    assert calm.manager.run("validate", str(broken)).returncode == 6
    assert calm.manager.run("validate", str(calm.manager.tree)).returncode == 0


def test_revisions_and_their_differences_are_there(calm: Cluster) -> None:
    (calm.manager.tree / "sequences/Sequences001.xml").write_bytes(sequence("Sequences001", "x1y"))
    assert calm.manager.run("wait", "--timeout", "60s").returncode == 0
    rows = calm.manager.ask("get", "revisions")
    assert {"number", "epoch", "digest", "author", "note", "at"} <= set(rows[0])
    newest = rows[0]["number"]
    shown = calm.manager.run("diff", str(newest - 1), str(newest))
    assert shown.returncode == 3
    assert "+  <!-- x1y -->" in shown.stdout
    changes = json.loads(calm.manager.run("diff", "1", "-o", "json").stdout)["changes"]
    assert {"tree", "path", "kind", "change", "before", "after"} <= set(changes[0])
    assert calm.manager.run("diff", "gw-2").returncode == 0


def test_an_artifact_is_described_with_what_each_node_has(calm: Cluster) -> None:
    described = calm.manager.ask("describe", "api/Api000")
    assert described["apiVersion"] == "syncagent/v1"
    assert (described["tree"], described["path"]) == ("synapse", "api/Api000.xml")
    assert {row["node"] for row in described["nodes"]} == {"gw-1", "gw-2"}


def test_without_the_daemon_questions_exit_9_and_status_answers_from_files(calm: Cluster) -> None:
    worker = calm["gw-2"]
    assert worker.end() == 0
    down = worker.run("status", "-o", "json")
    assert down.returncode == 9
    status = json.loads(down.stdout)
    assert set(status) >= STATUS
    assert (status["state"], status["manager"]) == ("Unknown", "gw-1")
    assert status["as_of"]
    for words in (("get", "held"), ("approve", "x"), ("diff",), ("wait",), ("promote",)):
        done = worker.run(*words)
        assert (done.returncode, done.stdout) == (9, ""), words
        assert "syncagent run" in done.stderr, words
    assert worker.run("get", "nodes", "-o", "json").returncode == 9
    assert worker.run("version").returncode == 0
    assert worker.run("config", "check").returncode == 0


def test_reconcile_without_a_daemon_repairs_a_worker_and_does_a_round_on_the_manager(
    calm: Cluster,
) -> None:
    manager, worker = calm.manager, calm["gw-2"]
    wanted = files_of(worker.tree)
    assert worker.end() == 0
    (worker.tree / "api/Api000.xml").write_bytes(api("Api000", note="by hand"))
    (worker.tree / "api/Stray.xml").write_bytes(api("Stray"))
    alone = worker.run("reconcile", "--timeout", "60s")
    assert alone.returncode == 9, alone.stderr
    assert files_of(worker.tree) == wanted, "repaired from its own ledger"
    assert "own ledger" in alone.stderr

    calm.start("gw-2")
    assert manager.end() == 0
    (manager.tree / "api/Api003.xml").write_bytes(api("Api003", note="by cron"))
    dry = manager.run("reconcile", "--dry-run", "--timeout", "60s")
    assert dry.returncode == 3, dry.stderr
    assert "api/Api003.xml" in dry.stdout
    assert files_of(worker.tree) != files_of(manager.tree), "a dry run changes nothing"
    done = manager.run("reconcile", "--timeout", "60s")
    assert done.returncode == 0, done.stderr
    assert files_of(worker.tree) == files_of(manager.tree), "pushed in one round"
    again = manager.run("reconcile", "--timeout", "60s")
    assert (again.returncode, again.stdout) == (0, "")


def test_the_manager_away_is_told_on_a_worker_and_promote_needs_force(calm: Cluster) -> None:
    manager, worker = calm.manager, calm["gw-2"]
    manager.kill()
    until(lambda: worker.answer("status")["manager"] is None, "the worker has noticed")
    status = worker.ask("status")
    assert status["state"] == "Unknown"
    assert any("gw-1" in alarm for alarm in status["alarms"])
    assert worker.run("promote").returncode == 7
    late = worker.run("wait", "--timeout", "1s")
    assert late.returncode == 8
    assert "gw-1" in late.stderr
