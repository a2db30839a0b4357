"""A broken file on the manager is told at once, stays where it is, and goes nowhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.artifacts import SYNAPSE, api, fill, plan, sequence
from tests.e2e.cluster import Cluster, files_of, until

BROKEN = Path(__file__).resolve().parents[1] / "data/corpus/broken"

pytestmark = pytest.mark.e2e

CASES = {
    "malformed, as once released": (
        "proxy-services/HeadMethodResponseTestProxy.xml",
        (BROKEN / "malformed/HeadMethodResponseTestProxy.xml").read_bytes(),
        True,
        "",
    ),
    "an API that was cut off": ("api/Api000.xml", api("Api000", note="x")[:-12], True, ""),
    "nameless": (
        "proxy-services/content.xml",
        (BROKEN / "nameless/content.xml").read_bytes(),
        True,
        "name",
    ),
    "the wrong root element": (
        "api/Api001.xml",
        f'<sequence xmlns="{SYNAPSE}" name="Api001"/>'.encode(),
        True,
        "sequence",
    ),
    "a document type": (
        "sequences/Sequences000.xml",
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + sequence("Sequences000"),
        True,
        "DOCTYPE",
    ),
    "a context that another API has": (
        "api/Second.xml",
        api("Second", context="/api002"),
        False,
        "Api002",
    ),
    "empty": ("sequences/Sequences001.xml", b"", False, ""),
}
"""What is broken: path, bytes, whether a line is told, a word of the reason."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("broken")
    fill(folder / "source", apis=4, sequences=4)
    nodes = {"gw-1": folder / "source", "gw-2": None}
    with Cluster(folder / "nodes", nodes, plans=True) as cluster:
        cluster.start()
        cluster.wait_synced()
        yield cluster


@pytest.fixture
def broken(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[tuple[str, bytes | None]]:
    """Put a broken file on the manager, beside a good change; mend it afterwards."""
    case = request.param
    cluster.wait_synced()
    name, data, _, _ = CASES[case]
    path = cluster.manager.tree / name
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    (cluster.manager.tree / "sequences/Witness.xml").write_bytes(sequence("Witness", case))
    yield case, before
    if before is None:
        path.unlink()
    else:
        path.write_bytes(before)
    until(lambda: not cluster.manager.answer("refused"), f"{case} is mended")
    cluster.wait_synced()


@pytest.mark.parametrize("broken", CASES, indirect=True)
def test_a_broken_file_reaches_no_worker_and_its_mended_one_does(
    cluster: Cluster, broken: tuple[str, bytes | None]
) -> None:
    case, good = broken
    name, data, has_line, word = CASES[case]
    manager, worker = cluster.manager, cluster["gw-2"]
    until(lambda: manager.answer("refused"), f"{case} is listed")
    (row,) = manager.ask("get", "refused")
    assert (row["id"], row["tree"], row["path"]) == (f"synapse:{name}", "synapse", name)
    assert {"id", "tree", "path", "reason", "at", "node", "line"} <= set(row)
    assert row["at"]
    assert word in row["reason"]
    assert (row["line"] > 0) is has_line, row
    assert f"line {row['line']}" in row["reason"] or not has_line
    # What was right in the same moment has gone through.
    witness = sequence("Witness", case)
    until(
        lambda: files_of(worker.tree).get("sequences/Witness.xml") == witness,
        "the witness has arrived",
    )
    assert (manager.tree / name).read_bytes() == data, "a refused file stays where it is"
    assert files_of(worker.tree).get(name) == good
    shown = {row["path"]: row for row in manager.ask("get", "artifacts")}[name]
    assert (shown["state"], bool(shown["reason"])) == ("Refused", True)
    assert manager.own_row()["refused"] == 1


def test_a_broken_siddhi_plan_is_refused_and_the_mended_one_arrives(cluster: Cluster) -> None:
    manager, worker = cluster.manager, cluster["gw-2"]
    (manager.plans / "Good.siddhiql").write_bytes(plan("Good"))
    (manager.plans / "Bad.siddhiql").write_bytes(plan("Bad").replace(b");", b"", 1))
    until((worker.plans / "Good.siddhiql").exists, "the good plan has arrived")
    until(lambda: manager.answer("refused"), "the bad plan is refused")
    (row,) = manager.ask("get", "refused")
    assert (row["tree"], row["path"]) == ("plans", "Bad.siddhiql")
    assert row["line"] > 0
    assert not (worker.plans / "Bad.siddhiql").exists()
    (manager.plans / "Bad.siddhiql").write_bytes(plan("Bad"))
    until((worker.plans / "Bad.siddhiql").exists, "the mended plan has arrived")
    cluster.wait_synced()


def test_a_broken_file_is_still_told_after_a_restart_and_the_last_good_one_stays(
    cluster: Cluster,
) -> None:
    manager, worker = cluster.manager, cluster["gw-2"]
    cluster.wait_synced()
    good = files_of(worker.tree)["api/Api003.xml"]
    (manager.tree / "api/Api003.xml").write_bytes(b"<api")
    until(lambda: manager.answer("refused"), "it is listed")
    assert manager.end() == 0
    cluster.start("gw-1")
    until(lambda: manager.answer("refused"), "it is listed after the restart")
    until(lambda: cluster.manager.answer("status")["nodes"][1]["state"] == "Synced", "gw-2 is back")
    assert (worker.tree / "api/Api003.xml").read_bytes() == good
    described = manager.ask("describe", "synapse:api/Api003.xml")
    assert described["problems"]
    (manager.tree / "api/Api003.xml").write_bytes(api("Api003", note="mended"))
    cluster.wait_synced()
