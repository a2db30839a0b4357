"""What `run` refuses, with which exit code, and what it tells a person to do."""

import shutil
import socket
from pathlib import Path

import pytest

from tests.e2e.cluster import Agent, Cluster, until

pytestmark = pytest.mark.e2e


def refused(agent: Agent, code: int, *words: str) -> str:
    done = agent.run("run")
    assert done.returncode == code, done.stderr
    for word in words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert "next: " in done.stderr
    return done.stderr


def gateway(folder: Path, version: str, deployment: str = "") -> Path:
    (folder / "repository/deployment/server/synapse-configs/default").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/version.txt").write_text(f"WSO2 API Manager {version}")
    (folder / "repository/conf").mkdir()
    (folder / "repository/conf/deployment.toml").write_text(deployment)
    return folder


def with_home(agent: Agent, home: Path) -> None:
    head, _, _ = agent.settings.read_text().partition("[[tree]]")
    agent.settings.write_text(f'{head}[gateway]\nhome = "{home}"\n')


@pytest.mark.parametrize(
    ("version", "deployment", "words"),
    [
        ("4.2.0", "", "leave this gateway to its own synchronizer"),
        (
            "3.2.0",
            "[apim.sync_runtime_artifacts.gateway]\n",
            "out of deployment.toml on every node",
        ),
    ],
)
def test_a_gateway_that_fetches_its_artifacts_itself(
    tmp_path: Path, version: str, deployment: str, words: str
) -> None:
    home = gateway(tmp_path / "am", version, deployment)
    with Cluster(tmp_path / "c", {"gw-1": None}) as cluster:
        with_home(cluster.manager, home)
        refused(cluster.manager, 2, "brings its artifacts itself", words)


def test_a_second_run_on_the_same_state(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": None}) as cluster:
        cluster.start()
        agent = cluster.manager
        assert agent.process is not None
        refused(agent, 7, f"process {agent.process.pid}", "syncagent status")
        assert agent.live(), "the first goes on"


def test_a_copied_state_folder(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": None, "gw-2": None}) as cluster:
        cluster.start("gw-1")
        cluster.manager.end()
        copy = cluster["gw-2"]
        shutil.rmtree(copy.state)
        shutil.copytree(cluster.manager.state, copy.state)
        refused(copy, 1, "copied state folder of node gw-1", "syncagent init --new-identity")
        renewed = copy.run("init", "--new-identity")
        assert renewed.returncode == 0, renewed.stderr
        cluster.start("gw-2")


def test_a_listen_address_that_another_has(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": None}) as cluster, socket.socket() as taken:
        taken.bind(("127.0.0.1", cluster.manager.port))
        taken.listen()
        refused(cluster.manager, 7, cluster.manager.address, "node.listen")


def test_a_tree_that_is_not_there_holds_the_node_and_ends_nothing(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": None, "gw-2": None}) as cluster:
        cluster["gw-2"].tree.rmdir()
        cluster["gw-2"].tree.write_text("a file in its place")
        cluster.manager.tree.rmdir()
        cluster.start()
        for agent in cluster:
            until(lambda: agent.own_row()["state"] == "Held", f"{agent.name} is held")  # noqa: B023
        held = cluster.manager.ask("get", "held")
        assert isinstance(held, list)
        assert any(row["kind"] == "root-missing" for row in held)
        cluster["gw-2"].tree.unlink()
        for agent in cluster:
            agent.tree.mkdir()
        for agent in cluster:
            until(lambda: agent.own_row()["state"] == "Synced", f"{agent.name} resumes")  # noqa: B023


def test_settings_with_mistakes_are_all_named(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": None}) as cluster:
        text = cluster.manager.settings.read_text()
        cluster.manager.settings.write_text(
            text.replace("listen =", "listens =") + "nonsense = 1\n"
        )
        refused(cluster.manager, 2, "listens", "nonsense")
        cluster.manager.settings.unlink()
        refused(cluster.manager, 2, "there is no such file", "syncagent init")
