"""A share behind a mount that hangs, dies and goes away: the nodes' own trees go on without it."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.cluster import Agent, files_of, until
from tests.e2e.shadowed import ShadowCluster, prepare_share
from tests.servers.mounts import bindfs

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "tests/data/corpus/apim-releases/v3.0.0/synapse-configs/default"
XMLNS = "http://ws.apache.org/ns/synapse"
FAULT = "sequences/_auth_failure_handler_.xml"

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]


def append(path: Path, words: str) -> bytes:
    """Edit an artifact; return its bytes."""
    content = path.read_bytes() + f"<!-- {words} -->\n".encode()
    path.write_bytes(content)
    return content


def test_a_share_that_hangs_dies_and_goes_changes_nothing_and_is_caught_up_with(
    tmp_path: Path,
) -> None:
    behind, point, server = (tmp_path / name for name in ("behind", "point", "server"))
    for folder in (behind, point, server):
        folder.mkdir()
    prepare_share(behind / "synapse", RELEASE)
    with (
        bindfs(server, behind, point) as mount,
        ShadowCluster(
            tmp_path / "nodes", {"gw-1": RELEASE, "gw-2": RELEASE}, None, mount=point
        ) as cluster,
    ):
        cluster.start()
        until(cluster.synced, "every node is Synced")
        manager, worker = cluster

        mount.hang()
        try:
            until(
                lambda: "does not answer since" in str(cluster.share_row(manager)["reason"]),
                "status says that the share is stalled",
            )
            edited = append(manager.tree / FAULT, "while the share hung")
            until(lambda: files_of(worker.tree)[FAULT] == edited, "the nodes go on")
            # A node that was away looks at the share first, and does not wait for it.
            worker.end()
            for name in ("large", "larger"):
                write_large(manager, name)
            cluster.start(worker.name)
            until(cluster.nodes_equal, "it has what it missed")
        finally:
            mount.wake()
        until(lambda: files_of(behind / "synapse")[FAULT] == edited, "the share catches up")
        until(cluster.synced, "every node is Synced again")
        whole = files_of(worker.tree)
        said = worker.ask("events")
        assert isinstance(said, list)
        looks = [event["fields"] for event in said if event["what"] == "share-read"]
        assert "the share does not answer" in {row["reason"] for row in looks}

        mount.kill()
        until(
            lambda: "not connected" in str(cluster.share_row(manager)["reason"]),
            "status says that the share is dead",
        )
        mount.unmount()
        until(
            lambda: "Mount the share" in str(cluster.share_row(manager)["reason"]),
            "status says that the share is not there",
        )
        assert list(point.iterdir()) == []
        assert files_of(manager.tree) == files_of(worker.tree) == whole

        mount.serve()
        until(cluster.synced, "it goes on by itself")
        on_the_share = append(point / "synapse" / FAULT, "on the share again")
        until(lambda: files_of(worker.tree)[FAULT] == on_the_share, "and is the source again")
        assert files_of(behind / "synapse").keys() == whole.keys()


def write_large(manager: Agent, name: str) -> None:
    """Write a sequence of which a manager sends nothing unasked, and wait until it is declared."""
    before = manager.own_row()["revision"]
    (manager.tree / f"sequences/{name}.xml").write_text(
        f'<sequence xmlns="{XMLNS}" name="{name}"><!-- {os.urandom(90_000).hex()} --></sequence>'
    )
    until(lambda: manager.own_row()["revision"] != before, f"{name} is declared")


class TwoViews(ShadowCluster):
    """Each node has a mount of its own of what is on the share."""

    def __init__(self, folder: Path, views: Mapping[str, Path]) -> None:
        self.views = views
        first = next(iter(views.values()))
        nodes = dict.fromkeys(views, RELEASE)
        super().__init__(folder, nodes, None, mount=first, sections={"limits": {"poll": "10m"}})

    def write_settings(self, agent: Agent, keys: Mapping[str, str]) -> None:
        share = str(self.views[agent.name] / "synapse")
        self.own = {agent.name: {"tree": {"share": share}}}
        super().write_settings(agent, keys)


def test_a_write_on_another_machine_is_known_long_before_the_keepers_next_poll(
    tmp_path: Path,
) -> None:
    behind, one, two, *servers = (tmp_path / name for name in ("behind", "1", "2", "s1", "s2"))
    for folder in (behind, one, two, *servers):
        folder.mkdir()
    prepare_share(behind / "synapse", RELEASE)
    with (
        bindfs(servers[0], behind, one),
        bindfs(servers[1], behind, two),
        TwoViews(tmp_path / "nodes", {"gw-1": one, "gw-2": two}) as cluster,
    ):
        cluster.start()
        until(cluster.synced, "every node is Synced")
        until(lambda: "poll 600 s" in str(cluster.share_row(cluster.manager)["watch"]), "it polls")
        edited = append(two / "synapse" / FAULT, "where gw-2 is")
        until(lambda: files_of(cluster.manager.tree)[FAULT] == edited, "gw-1 has it")
        until(lambda: files_of(cluster["gw-2"].tree)[FAULT] == edited, "and so has gw-2")
