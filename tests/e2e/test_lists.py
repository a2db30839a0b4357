"""Every list of a real cluster in every form, on the manager and on a worker."""

import json
from pathlib import Path

import pytest
import yaml

from tests.e2e.cluster import Agent, Cluster, until

pytestmark = pytest.mark.e2e

LISTS = ("nodes", "artifacts", "revisions", "held", "refused", "quarantine", "conflicts")


def sequence(name: str, more: str = "") -> str:
    return f'<sequence xmlns="http://ws.apache.org/ns/synapse" name="{name}">{more}</sequence>'


def trouble(folder: Path) -> Cluster:
    """A manager, a worker that keeps drift, and one that was filled with something else."""
    source, foreign = folder / "source/sequences", folder / "foreign/sequences"
    for each in (source, foreign):
        each.mkdir(parents=True)
    for name in "abcd":
        (source / f"{name}.xml").write_text(sequence(name))
    (foreign / "x.xml").write_text(sequence("x"))
    nodes = {"gw-1": source.parent, "gw-2": None, "gw-3": foreign.parent}
    return Cluster(folder / "c", nodes)


def begun(cluster: Cluster) -> None:
    """Let every list have something in it."""
    cluster.start()
    manager, worker, filled = cluster
    until(lambda: worker.own_row()["revision"] == 1, "the worker is filled")
    until(lambda: filled.own_row()["state"] == "Held", "the filled node is held")
    (manager.tree / "sequences/bad.xml").write_text("<sequence")
    until(lambda: manager.own_row()["refused"] == 1, "the manager refuses one")
    (worker.tree / "sequences/a.xml").write_text(sequence("a", "<drop/>"))
    until(lambda: worker.answer("quarantine"), "the worker has reverted drift")
    until(lambda: worker.answer("refused"), "the worker knows what is refused")


def shown(agent: Agent, what: str, form: str) -> str:
    done = agent.run("get", what, "-o", form)
    assert done.returncode == 0, (what, form, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stdout


def test_every_list_comes_in_every_form(tmp_path: Path) -> None:
    with trouble(tmp_path) as cluster:
        begun(cluster)
        for agent in (cluster.manager, cluster["gw-2"]):
            for what in LISTS:
                listed = json.loads(shown(agent, what, "json"))
                assert isinstance(listed, list), "lists are bare arrays"
                table = shown(agent, what, "table").splitlines()
                assert len(table) == (len(listed) + 1 if listed else 0), "a heading, a line each"
            assert yaml.safe_load(shown(agent, "held", "yaml"))[0]["node"] == "gw-3"
            assert "DIGEST" in shown(agent, "artifacts", "wide")
            (refused,) = json.loads(shown(agent, "refused", "json"))
            assert (refused["node"], refused["path"]) == ("gw-1", "sequences/bad.xml")


def test_each_node_that_is_not_synced_has_its_reason_and_a_next_command(tmp_path: Path) -> None:
    with trouble(tmp_path) as cluster:
        begun(cluster)
        cluster["gw-2"].end()
        manager = cluster.manager

        def states() -> dict[str, str]:
            status = manager.answer("status")
            assert isinstance(status, dict)
            return {row["name"]: row["state"] for row in status["nodes"]}

        until(lambda: states()["gw-2"] == "Offline", "the worker is missed")
        lines = manager.run("status").stdout.splitlines()
        offline = next(at for at, line in enumerate(lines) if line.startswith("gw-2 Offline: "))
        assert lines[offline + 1].startswith("  next: on gw-2: ")
        (held,) = [at for at, line in enumerate(lines) if line.startswith("Held ")]
        assert " on gw-3: gw-3 holds other artifacts than the cluster" in lines[held]
        assert "syncagent diff gw-3   allow: syncagent approve " in lines[held + 1]
        assert not any(line.startswith("gw-3 Held") for line in lines), "it is told once"

        away = manager.run("diff", "gw-2")
        assert away.returncode == 9, "what is not known is not called equal"
        elsewhere = cluster["gw-3"].run("approve", "nonsense")
        assert elsewhere.returncode == 6
        asked = cluster["gw-3"].run("diff", "gw-1")
        assert asked.returncode == 7
        assert "on gw-1: " in asked.stderr or "syncagent diff" in asked.stderr
