"""Real agents beside an Apache Synapse keep out what only WSO2's Synapse knows, and say which word it is."""

from pathlib import Path

import pytest

from tests.e2e.cluster import Cluster, until

pytestmark = pytest.mark.e2e

SEQUENCE = '<sequence xmlns="http://ws.apache.org/ns/synapse" name="s">\n{}\n</sequence>'
GOOD, BAD = SEQUENCE.format("<log/>"), SEQUENCE.format("<call/>")
REASON = "Apache Synapse does not know <call>"


@pytest.mark.parametrize("kind", ["synapse", "carbon"])
def test_an_update_that_apache_synapse_would_not_survive_stays_on_the_manager_beside_one(
    tmp_path: Path, kind: str
) -> None:
    source = tmp_path / "source"
    (source / "sequences").mkdir(parents=True)
    (source / "sequences/s.xml").write_text(GOOD)
    (tmp_path / "runtime.log").touch()
    with Cluster(tmp_path / "c", {"gw-1": source, "gw-2": None}) as cluster:
        for agent in (cluster.manager, cluster["gw-2"]):
            text = agent.settings.read_text()
            told = f'kind = "{kind}"\nlog = "{tmp_path}/runtime.log"'
            assert 'kind = "none"' in text
            agent.settings.write_text(text.replace('kind = "none"', told))
        cluster.start()
        cluster.wait_synced()
        manager, there = cluster.manager, cluster["gw-2"].tree / "sequences/s.xml"
        (manager.tree / "sequences/s.xml").write_text(BAD)
        if kind == "synapse":
            until(lambda: REASON in manager.run("get", "refused").stdout, "it is refused")
            assert there.read_text() == GOOD
        else:
            until(lambda: there.read_text() == BAD, "it travels")
            assert REASON not in manager.run("get", "refused").stdout
        judged = manager.run("validate", str(manager.tree))
        assert (judged.returncode == 6, REASON in judged.stdout) == (kind == "synapse",) * 2
