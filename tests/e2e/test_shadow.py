"""A share as the source: what changes there or in any node's tree becomes equal everywhere."""

from pathlib import Path

import pytest

from tests.e2e.cluster import files_of, until
from tests.e2e.shadowed import ShadowCluster

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "tests/data/corpus/apim-releases/v3.0.0/synapse-configs/default"
FAULT = "sequences/_auth_failure_handler_.xml"

pytestmark = pytest.mark.e2e


def test_a_change_on_the_share_reaches_every_tree_and_one_in_any_tree_the_share(
    tmp_path: Path,
) -> None:
    nodes = {"gw-1": RELEASE, "gw-2": None, "gw-3": None}
    with ShadowCluster(tmp_path, nodes, RELEASE) as cluster:
        cluster.start()
        cluster.wait_synced()
        assert cluster.share_row(cluster.manager)["role"] == "share"

        on_the_share = cluster.share / FAULT
        on_the_share.write_bytes(on_the_share.read_bytes() + b"<!-- on the share -->\n")
        cluster.wait_synced()
        assert files_of(cluster["gw-2"].tree)[FAULT].endswith(b"<!-- on the share -->\n")

        on_a_node = cluster["gw-3"].tree / FAULT
        on_a_node.write_bytes(on_a_node.read_bytes() + b"<!-- by a runtime -->\n")
        until(lambda: on_the_share.read_bytes() == on_a_node.read_bytes(), "the share has it")
        cluster.wait_synced()
        assert files_of(cluster.manager.tree)[FAULT].endswith(b"<!-- by a runtime -->\n")
    for agent in cluster:
        assert agent.process is not None
        assert agent.process.returncode == 0, agent.log.read_text()
