"""A cluster that leaves its share for a while: what happened on both sides meets when it is back."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.cluster import Agent, files_of, until
from tests.e2e.shadowed import ShadowCluster

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "tests/data/corpus/apim-releases/v3.0.0/synapse-configs/default"
FAULT = "sequences/_auth_failure_handler_.xml"
MAIN = "sequences/main.xml"

pytestmark = pytest.mark.e2e


class Changing(ShadowCluster):
    """Begins on a share; `change_to` writes other settings and restarts node after node."""

    shadow = True

    def write_settings(self, agent: Agent, keys: Mapping[str, str]) -> None:
        sections = self.sections
        self.sections = sections if self.shadow else {}
        super().write_settings(agent, keys)
        self.sections = sections

    def change_to(self, *, shadow: bool) -> None:
        self.shadow = shadow
        for agent in [*self.workers, self.manager]:
            self.write_settings(agent, self.keys)
            agent.end()
            self.start(agent.name)


def append(path: Path, words: str) -> None:
    path.write_bytes(path.read_bytes() + f"<!-- {words} -->\n".encode())


def test_what_was_changed_on_both_sides_while_there_was_no_keeper_meets_again(
    tmp_path: Path,
) -> None:
    with Changing(tmp_path, {"gw-1": RELEASE, "gw-2": None}, None) as cluster:
        cluster.start()
        cluster.wait_synced()
        append(cluster["gw-2"].tree / FAULT, "written on a worker")
        until(cluster.equal, "it reaches the share")
        shared = files_of(cluster.share)

        cluster.change_to(shadow=False)
        until(cluster.synced, "every node is Synced")
        append(cluster.manager.tree / FAULT, "pushed")
        until(cluster.nodes_equal, "the worker follows")
        assert files_of(cluster.share) == shared
        # The share is still a folder that somebody may write to.
        append(cluster.share / MAIN, "while nobody looked")

        cluster.change_to(shadow=True)
        cluster.wait_synced()
        whole = files_of(cluster.share)
        assert whole[FAULT].endswith(b"<!-- pushed -->\n")
        assert whole[MAIN].endswith(b"<!-- while nobody looked -->\n")
