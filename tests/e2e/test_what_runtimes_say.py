"""What people and programs see of runtimes' answers: a program stands for each node's runtime."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill
from tests.e2e.cluster import Cluster, until

pytestmark = pytest.mark.e2e

PROGRAM = """\
import json, pathlib, sys
order = json.load(sys.stdin)
here = pathlib.Path(sys.argv[1])
with open(here / "orders", "a") as orders:
    orders.write(json.dumps(order) + chr(10))
items = []
for item in order["items"]:
    file = here / "tree" / item["path"]
    bad = file.is_file() and b"refuse me" in file.read_bytes()
    if bad:
        print("ERROR - it was tried, and it failed", file=sys.stderr)
    state = "rejected" if bad else "deployed" if item["digest"] else "undeployed"
    items.append({**item, "state": state, "reason": "no such mediator" if bad else ""})
print(json.dumps({"items": items}))
"""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("runtimes")
    fill(folder / "source", apis=3, sequences=2)
    program = folder / "program.py"
    program.write_text(PROGRAM)
    nodes = {"gw-1": folder / "source", "gw-2": None, "gw-3": None}
    own = {
        name: {
            "runtime": {
                "kind": "command",
                "command": [sys.executable, str(program), str(folder / "nodes" / name)],
                "timeout": "10s",
            }
        }
        for name in nodes
    }
    with Cluster(folder / "nodes", nodes, own=own) as cluster:
        cluster.start()
        cluster.wait_synced()
        yield cluster


@pytest.fixture
def calm(cluster: Cluster) -> Cluster:
    cluster.start()
    cluster.wait_synced()
    done = cluster.manager.run("wait", "--deployed", "--timeout", "60s")
    assert done.returncode == 0, done.stderr
    return cluster


def rows(cluster: Cluster, on: str = "gw-1") -> dict[str, dict[str, object]]:
    status = cluster[on].ask("status")
    assert isinstance(status, dict)
    return {row["name"]: row for row in status["nodes"]}


def states(cluster: Cluster, artifact: str, on: str = "gw-1") -> dict[str, str]:
    described = cluster[on].ask("describe", artifact)
    assert isinstance(described, dict)
    return {row["node"]: row["state"] for row in described["nodes"]}


def orders(cluster: Cluster, name: str) -> list[dict[str, object]]:
    lines = (cluster[name].folder / "orders").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_every_node_s_artifacts_are_deployed_and_every_node_says_so(calm: Cluster) -> None:
    for row in rows(calm).values():
        assert (row["deployed"], row["artifacts"], row["unknown"]) == (5, 5, 0)
        runtime = row["runtime"]
        assert isinstance(runtime, dict)
        assert (runtime["kind"], runtime["phase"]) == ("command", "ready")
    shown = calm["gw-2"].run("status", "-o", "wide").stdout
    assert "5/5" in shown
    assert "ready (command)" in shown
    listed = calm["gw-3"].ask("get", "artifacts")
    assert isinstance(listed, list)
    assert {row["state"] for row in listed} == {"Deployed"}


def test_a_new_artifact_is_deployed_everywhere_and_wait_knows_when(calm: Cluster) -> None:
    (calm.manager.tree / "api/Fresh.xml").write_bytes(api("Fresh"))
    done = calm.manager.run("wait", "--deployed", "--timeout", "60s", "-o", "json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["state"], answer["rejected"], answer["warnings"]) == ("Deployed", [], [])
    assert set(states(calm, "api/Fresh").values()) == {"Deployed"}
    (calm.manager.tree / "api/Fresh.xml").unlink()
    assert calm.manager.run("wait", "--deployed", "--timeout", "60s").returncode == 0


def test_what_the_manager_s_runtime_rejects_goes_no_further_and_is_told_in_its_words(
    calm: Cluster,
) -> None:
    path = calm.manager.tree / "api/Bad.xml"
    path.write_bytes(api("Bad", note="refuse me"))
    done = calm.manager.run("wait", "--deployed", "--timeout", "60s")
    assert done.returncode == 6
    assert "gw-1  synapse:api/Bad.xml  rejected by the runtime: no such mediator" in done.stderr
    listed = calm.manager.ask("get", "refused")
    assert isinstance(listed, list)
    (row,) = listed
    assert (row["node"], row["path"]) == ("gw-1", "api/Bad.xml")
    assert "no such mediator" in row["reason"]
    until(lambda: calm["gw-2"].ask("get", "refused") == listed, "the others list it too")
    text = calm.manager.run("describe", "api/Bad").stdout
    assert "the runtime of gw-1 said:" in text
    assert "ERROR - it was tried, and it failed" in text
    elsewhere = states(calm, "api/Bad", on="gw-3")
    assert elsewhere["gw-1"] == "Rejected", "what only the manager has is described on any node"
    assert set(states(calm, "api/Api000", on="gw-3").values()) == {"Deployed"}
    assert not (calm["gw-2"].tree / "api/Bad.xml").exists()
    assert not (calm["gw-3"].tree / "api/Bad.xml").exists()
    events = calm.manager.run("events").stdout
    assert "rejected  synapse:api/Bad.xml: the runtime did not take it: no such mediator" in events
    path.write_bytes(api("Bad", note="mended"))
    until((calm["gw-3"].tree / "api/Bad.xml").exists, "what is mended travels")
    until(lambda: set(states(calm, "api/Bad").values()) == {"Deployed"}, "and is deployed")


def test_a_redeploy_tells_the_runtimes_again(calm: Cluster) -> None:
    before = {name: len(orders(calm, name)) for name in ("gw-1", "gw-2", "gw-3")}
    done = calm.manager.run("redeploy", "api/Api000")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 3), done
    for name, count in before.items():
        until(lambda n=name, c=count: len(orders(calm, n)) > c, f"{name} was told")  # type: ignore[misc]
        assert [item["name"] for item in orders(calm, name)[-1]["items"]] == ["Api000"]  # type: ignore[attr-defined]
    assert calm.manager.run("wait", "--deployed", "--timeout", "60s").returncode == 0
    elsewhere = calm["gw-2"].run("redeploy", "api/Api000")
    assert (elsewhere.returncode, elsewhere.stdout) == (7, "")
    assert "on gw-1: syncagent redeploy api/Api000" in elsewhere.stderr
    assert calm["gw-2"].run("redeploy", "api/Api000", "--node", "gw-2").returncode == 0


def test_an_undeploy_on_one_node_lasts_over_restarts_and_touches_no_other(calm: Cluster) -> None:
    file = calm["gw-2"].tree / "api/Api001.xml"
    number = rows(calm)["gw-1"]["revision"]
    done = calm.manager.run("undeploy", "api/Api001", "--node", "gw-2", "--for", "2m")
    assert done.returncode == 0, done.stderr
    assert not file.exists()
    assert (calm.manager.tree / "api/Api001.xml").exists()
    assert (calm["gw-3"].tree / "api/Api001.xml").exists()
    until(lambda: rows(calm)["gw-2"]["undeployed"], "the manager lists it")
    assert "gw-2: api/Api001 is undeployed there until" in calm["gw-3"].run("status").stdout
    calm["gw-2"].kill()
    calm.start("gw-2")
    assert calm.manager.run("reconcile", "--timeout", "60s").returncode == 0
    assert not file.exists(), "reconcile lets it be"
    assert rows(calm)["gw-1"]["revision"] == number
    kept = calm.manager.ask("get", "quarantine")
    assert isinstance(kept, list)
    assert ("gw-2", "api/Api001.xml") in {(row["node"], row["path"]) for row in kept}
    back = calm.manager.run("redeploy", "api/Api001", "--node", "gw-2")
    assert back.returncode == 0, back.stderr
    assert file.read_bytes() == (calm.manager.tree / "api/Api001.xml").read_bytes()
    assert calm.manager.run("wait", "--deployed", "--timeout", "60s").returncode == 0
    until(lambda: states(calm, "api/Api001")["gw-2"] == "Deployed", "and is deployed there")


def test_an_undeploy_on_the_manager_is_no_deletion_and_ends_by_itself(calm: Cluster) -> None:
    file = calm.manager.tree / "api/Api002.xml"
    content, number = file.read_bytes(), rows(calm)["gw-1"]["revision"]
    done = calm.manager.run("undeploy", "api/Api002", "--node", "gw-1", "--for", "3s")
    assert done.returncode == 0, done.stderr
    until(file.exists, "it is back when its time is over")
    assert file.read_bytes() == content
    assert (calm["gw-2"].tree / "api/Api002.xml").exists()
    assert rows(calm)["gw-1"]["revision"] == number


def test_a_gateway_may_start_when_its_tree_is_complete_also_without_a_manager(
    calm: Cluster,
) -> None:
    assert calm["gw-2"].run("wait", "--ready", "--timeout", "30s").returncode == 0
    calm["gw-2"].end()
    calm.manager.end()
    calm["gw-2"].start()
    done = calm["gw-2"].run("wait", "--ready", "--timeout", "6s", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["state"] == "Ready"
    assert "warning: no manager answered within" in done.stderr
    calm["gw-2"].end()
    gone = calm["gw-2"].run("wait", "--ready", "--timeout", "500ms")
    assert (gone.returncode, gone.stdout) == (9, "")


def test_doctor_finds_a_healthy_node_and_says_what_is_not(calm: Cluster, tmp_path: Path) -> None:
    found = calm.manager.ask("doctor")
    assert isinstance(found, dict)
    words = {check["check"]: check["found"] for check in found["checks"]}
    assert words["runtime"] == words["agent"] == words["peer gw-2"] == words["tree synapse"] == "ok"
    assert "fail" not in words.values()
    moved = calm.manager.tree.rename(tmp_path / "elsewhere")
    try:
        done = calm.manager.run("doctor")
        assert done.returncode == 1
        assert "fail  tree synapse" in done.stdout
    finally:
        moved.rename(calm.manager.tree)
