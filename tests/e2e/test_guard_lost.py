"""A node whose guard was lost refuses to run until it is enrolled again."""

import json
from pathlib import Path

import pytest

from tests.e2e.cluster import Agent, Cluster, until

pytestmark = pytest.mark.e2e


def epoch_of(agent: Agent) -> int:
    status = agent.answer("status")
    assert isinstance(status, dict)
    return int(status["epoch"])


def refuses_to_run(agent: Agent, words: str) -> None:
    refused = agent.run("run")
    assert refused.returncode == 1, refused.stderr
    assert words in refused.stderr
    assert "syncagent init --re-enrol" in refused.stderr
    assert "Traceback" not in refused.stderr


def source(folder: Path) -> Path:
    artifact = folder / "sequences" / "s.xml"
    artifact.parent.mkdir(parents=True)
    artifact.write_text('<sequence xmlns="http://ws.apache.org/ns/synapse" name="s"/>')
    return folder


def test_a_worker_takes_its_epoch_from_its_peers(tmp_path: Path) -> None:
    tree = source(tmp_path / "source")
    with Cluster(tmp_path / "c", {"gw-1": tree, "gw-2": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        worker = cluster["gw-2"]
        epoch = epoch_of(cluster.manager)

        busy = worker.run("init", "--re-enrol")
        assert busy.returncode == 7, "an agent runs"
        worker.end()
        (worker.state / "guard").unlink()
        refuses_to_run(worker, "is missing")

        answer = worker.run("init", "--re-enrol", "-o", "json")
        assert answer.returncode == 0, answer.stderr
        found = json.loads(answer.stdout)
        assert (found["epoch"], found["holder"], found["before"]) == (epoch, "gw-1", None)
        assert [peer["name"] for peer in found["answered"]] == ["gw-1"]
        assert found["warnings"] == []

        cluster.start("gw-2")
        (cluster.manager.tree / "sequences" / "s.xml").write_text(
            '<sequence xmlns="http://ws.apache.org/ns/synapse" name="s"><log/></sequence>'
        )
        cluster.wait_synced()
        assert epoch_of(worker) >= epoch


def test_a_manager_with_a_damaged_guard_leads_again_above_its_old_epoch(tmp_path: Path) -> None:
    tree = source(tmp_path / "source")
    with Cluster(tmp_path / "c", {"gw-1": tree, "gw-2": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager = cluster.manager
        epoch = epoch_of(manager)
        manager.end()
        (manager.state / "guard").write_bytes(b"not what was written\n")
        refuses_to_run(manager, "is damaged")

        answer = manager.run("init", "--re-enrol")
        assert answer.returncode == 0, answer.stderr
        assert f"epoch {epoch}, held by gw-1" in answer.stdout
        assert f"answered: gw-2 (epoch {epoch}" in answer.stdout

        cluster.start("gw-1")
        cluster.wait_synced()
        assert epoch_of(manager) > epoch


def test_without_an_answer_only_a_persons_word_begins_the_guard_anew(tmp_path: Path) -> None:
    tree = source(tmp_path / "source")
    with Cluster(tmp_path / "c", {"gw-1": tree, "gw-2": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        worker = cluster["gw-2"]
        epoch = epoch_of(cluster.manager)
        for agent in cluster:
            agent.end()
        guard = (worker.state / "guard").read_bytes()

        kept = worker.run("init", "--re-enrol", "--force")
        assert kept.returncode == 0, kept.stderr
        assert "what the guard held is kept" in kept.stderr
        assert (worker.state / "guard").read_bytes() == guard, "a readable guard is never lowered"

        (worker.state / "guard").unlink()
        refused = worker.run("init", "--re-enrol")
        assert refused.returncode == 9, refused.stderr
        assert "no peer answered" in refused.stderr
        assert "gw-1: " in refused.stderr, "each silent peer has its reason"
        assert "--re-enrol --force" in refused.stderr
        assert not (worker.state / "guard").exists()

        forced = worker.run("init", "--re-enrol", "--force")
        assert forced.returncode == 0, forced.stderr
        assert "epoch 0" in forced.stdout
        assert "begins at epoch 0" in forced.stderr
        cluster.start()
        cluster.wait_synced()
        until(lambda: epoch_of(worker) >= epoch, "the worker has admitted the manager's epoch")
