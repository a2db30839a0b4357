"""A node that was made by copying another, state and all, as the vendor's own guide says."""

import json
import shutil
from pathlib import Path

import pytest

from tests.e2e.artifacts import fill
from tests.e2e.cluster import Cluster, files_of, free_ports, until

pytestmark = pytest.mark.e2e


def test_a_copied_node_refuses_to_start_until_it_has_an_identity_of_its_own(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    nodes = {"gw-1": tmp_path / "source", "gw-2": None, "gw-3": None}
    with Cluster(tmp_path, nodes) as cluster:
        cluster.start("gw-1", "gw-2")
        until(lambda: files_of(cluster["gw-2"].tree) == files_of(cluster["gw-1"].tree), "filled")
        original, copy = cluster["gw-2"], cluster["gw-3"]
        assert original.end() == 0
        shutil.rmtree(copy.state)
        shutil.copytree(original.state, copy.state)
        shutil.rmtree(copy.tree)
        shutil.copytree(original.tree, copy.tree)
        cluster.start("gw-2")

        copy.start()
        assert copy.ended() != 0
        said = copy.log.read_text()
        assert "--new-identity" in said
        assert "copied" in said
        assert files_of(copy.tree) == files_of(original.tree)

        renewed = copy.run("init", "--new-identity")
        assert renewed.returncode == 0, renewed.stderr
        shown = copy.run("keys", "show").stdout.strip()
        assert shown.split()[1] not in {key.split()[1] for key in cluster.keys.values()}
        assert (copy.state / "former-1").is_dir(), "what it remembered is moved, not deleted"
        cluster.keys["gw-3"] = shown
        for agent in cluster:
            cluster.write_settings(agent, cluster.keys)
        for agent in cluster:
            if agent.runs:
                assert agent.end() == 0
        cluster.start()
        cluster.wait_synced()


def test_a_second_live_node_of_one_name_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=5, sequences=5)
    with Cluster(tmp_path / "one", {"gw-1": tmp_path / "source", "gw-2": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        original = cluster["gw-2"]
        # The same state folder: a second run ends at once.
        second = original.run("run", timeout_s=30)
        assert second.returncode == 7, second.stderr
        assert "run" in second.stderr

        # A copy with the same name and key that was told to be new, but kept the other's name.
        twin = tmp_path / "twin"
        shutil.copytree(original.folder, twin, ignore=shutil.ignore_patterns("*.sock", "log"))
        text = (twin / "settings.toml").read_text()
        text = text.replace(str(original.folder), str(twin))
        taken, free = cluster["gw-2"].port, free_ports(1)[0]
        (twin / "settings.toml").write_text(text.replace(f":{taken}", f":{free}", 1))
        refused = original.run("run", "--config", str(twin / "settings.toml"), timeout_s=30)
        assert refused.returncode != 0
        assert "--new-identity" in refused.stderr
        assert original.own_row()["state"] == "Synced"
        assert json.loads(cluster.manager.run("status", "-o", "json").stdout)["state"] == "Synced"
