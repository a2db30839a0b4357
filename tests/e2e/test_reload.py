"""SIGHUP: what a running agent takes up from its settings file, and what it says of the rest."""

import signal
import tomllib
from pathlib import Path

import pytest

from tests.e2e.cluster import Agent, Cluster, until

pytestmark = pytest.mark.e2e

SEQUENCE = '<sequence xmlns="http://ws.apache.org/ns/synapse" name="s">{}</sequence>'


def hang_up(agent: Agent) -> None:
    assert agent.process is not None
    agent.process.send_signal(signal.SIGHUP)


def log_says(agent: Agent, words: str) -> None:
    until(lambda: words in agent.log.read_text(), f"the log of {agent.name} says {words!r}")


def nodes(agent: Agent) -> set[str]:
    status = agent.answer("status")
    assert isinstance(status, dict)
    return {str(row["name"]) for row in status["nodes"]}


def without_peer(text: str, name: str) -> str:
    head, *peers = text.split("[[peer]]\n")
    return "[[peer]]\n".join([head, *(each for each in peers if f'name = "{name}"' not in each)])


def test_peers_limits_and_drift_are_taken_up_without_a_restart(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sequences").mkdir(parents=True)
    (source / "sequences/s.xml").write_text(SEQUENCE.format(""))
    with Cluster(tmp_path / "c", {"gw-1": source, "gw-2": None, "gw-3": None}) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        whole = manager.settings.read_text()
        manager.settings.write_text(without_peer(whole, "gw-3"))
        assert len(tomllib.loads(manager.settings.read_text())["peer"]) == 2
        cluster.start()
        until(cluster.synced, "both nodes that the manager knows are Synced")
        assert nodes(manager) == {"gw-1", "gw-2"}

        manager.settings.write_text(whole)
        hang_up(manager)
        until(lambda: nodes(manager) == {"gw-1", "gw-2", "gw-3"}, "the new peer is known")
        cluster.wait_synced()

        text = worker.settings.read_text()
        drift = text.replace("[[tree]]\n", '[[tree]]\ndrift = "report"\n')
        worker.settings.write_text(drift.replace('kind = "none"', 'kind = "auto"'))
        hang_up(worker)
        log_says(worker, "needs a restart: runtime.kind: none -> auto")
        log_says(worker, "settings read again")
        stray = worker.tree / "sequences/s.xml"
        stray.write_text(SEQUENCE.format("<drop/>"))
        until(lambda: worker.own_row()["state"] == "OutOfSync", "drift is reported")
        assert "<drop/>" in stray.read_text(), "and left alone"
        worker.settings.write_text(text)
        hang_up(worker)
        cluster.wait_synced()
        assert "<drop/>" not in stray.read_text()

        manager.settings.write_text(without_peer(whole, "gw-3"))
        hang_up(manager)
        until(lambda: nodes(manager) == {"gw-1", "gw-2"}, "the peer is forgotten")
        (manager.tree / "sequences/s.xml").write_text(SEQUENCE.format("<log/>"))
        until(cluster.synced, "the others go on")
        assert "<log/>" not in (cluster["gw-3"].tree / "sequences/s.xml").read_text()


def test_a_file_with_mistakes_changes_nothing_and_each_is_logged(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": None, "gw-2": None}) as cluster:
        cluster.start()
        manager = cluster.manager
        whole = manager.settings.read_text()
        bad = without_peer(whole, "gw-2").replace("listen =", "listens =")
        manager.settings.write_text(bad + '[limits]\nupdates = "many"\n')
        hang_up(manager)
        log_says(manager, "settings not taken up: ")
        log_says(manager, "listens")
        log_says(manager, "limits.updates")
        assert nodes(manager) == {"gw-1", "gw-2"}, "the old settings stay"
        manager.settings.write_text(whole)
        hang_up(manager)
        log_says(manager, "settings read again")


def test_a_key_that_is_trusted_counts_without_a_restart(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": None, "gw-2": None}) as cluster:
        manager = cluster.manager
        cluster.write_settings(manager, {"gw-1": cluster.keys["gw-1"]})
        cluster.start()
        until(lambda: manager.ask("keys", "trust") != [], "the peer without a key was seen")
        done = manager.run("keys", "trust", "gw-2", cluster.keys["gw-2"])
        assert done.returncode == 0, done.stderr
        until(lambda: "connected" in manager.log.read_text(), "it is linked", 20.0)
        hang_up(manager)
        log_says(manager, "settings read again")
        assert "needs a restart" not in manager.log.read_text()
