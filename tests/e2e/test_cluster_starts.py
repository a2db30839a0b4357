"""Three real agents fill two empty trees from the first one's."""

from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, files_of, until

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "tests/data/corpus/apim-releases/v3.0.0/synapse-configs/default"

pytestmark = pytest.mark.e2e


def test_three_agents_become_equal_and_follow_a_change(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": RELEASE, "gw-2": None, "gw-3": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        assert files_of(cluster["gw-3"].tree) == files_of(RELEASE)

        artifact = cluster.manager.tree / "sequences" / "_auth_failure_handler_.xml"
        changed = artifact.read_bytes() + b"<!-- edited -->\n"
        artifact.write_bytes(changed)
        followed = cluster["gw-2"].tree / "sequences" / "_auth_failure_handler_.xml"
        until(lambda: followed.read_bytes() == changed, "gw-2 has the change")
        cluster.wait_synced()
    for agent in cluster:
        assert agent.process is not None
        assert agent.process.returncode == 0, agent.log.read_text()


def test_what_was_deleted_on_the_manager_is_restored_by_its_path(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": RELEASE, "gw-2": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager, worker = cluster
        (manager.tree / "sequences" / "_cors_request_handler_.xml").unlink()
        assert manager.run("wait", "--timeout", "30s").returncode == 0
        assert "sequences/_cors_request_handler_.xml" not in files_of(worker.tree)

        restored = manager.run("restore", "synapse:sequences/_cors_request_handler_.xml")
        assert restored.returncode == 0, restored.stderr
        cluster.wait_synced()
        assert files_of(worker.tree) == files_of(RELEASE)


def test_wait_does_not_wait_for_a_node_that_is_off(tmp_path: Path) -> None:
    with Cluster(tmp_path, {"gw-1": RELEASE, "gw-2": None, "gw-3": None}) as cluster:
        cluster.start("gw-1", "gw-2")
        waited = cluster.manager.run("wait", "--timeout", "30s")
        assert waited.returncode == 0, waited.stderr
        assert files_of(cluster["gw-2"].tree) == files_of(RELEASE)
