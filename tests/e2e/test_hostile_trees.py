"""Things in the manager's tree that are no artifacts: told by name, sent nowhere, nothing is lost."""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill, sequence
from tests.e2e.cluster import Agent, Cluster, files_of, until

pytestmark = pytest.mark.e2e

RSS_MAX_KIB = 300 * 1024


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("hostile")
    fill(folder / "source", apis=5, sequences=5)
    with Cluster(folder / "nodes", {"gw-1": folder / "source", "gw-2": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        yield cluster


def rss_kib(agent: Agent) -> int:
    """Return the most memory that the agent ever had."""
    assert agent.process is not None
    status = Path(f"/proc/{agent.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


def fifo(folder: Path) -> Path:
    path = folder / "Pipe.xml"
    os.mkfifo(path)
    return path


def listening(folder: Path) -> Path:
    path = folder / "Listening.xml"
    before = Path.cwd()
    os.chdir(folder)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(before)
    return path


def link_out(folder: Path) -> Path:
    path = folder / "Out.xml"
    path.symlink_to("/etc/passwd")
    return path


def link_in(folder: Path) -> Path:
    path = folder / "In.xml"
    path.symlink_to("Sequences000.xml")
    return path


def large(folder: Path) -> Path:
    path = folder / "Large.xml"
    with path.open("wb") as file:
        file.write(sequence("Large")[:-12])
        for _ in range(50):
            file.write(b"<log/>" * (1024 * 1024 // 6))
        file.write(b"</sequence>\n")
    return path


def not_utf8(folder: Path) -> Path:
    path = folder / os.fsdecode(b"caf\xe9.xml")
    path.write_bytes(sequence("Cafe"))
    return path


def deep(folder: Path) -> Path:
    path = folder / "Deep.xml"
    path.write_bytes(sequence("Deep").replace(b"<log/>", b"<filter>" * 5000 + b"</filter>" * 5000))
    return path


def laughs(folder: Path) -> Path:
    path = folder / "Laughs.xml"
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 20))
    text = f'<!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><sequence name="Laughs">&e19;</sequence>'
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (fifo, "regular file"),
        (listening, "regular file"),
        (link_out, "link"),
        (link_in, "link"),
        (large, "5242880 are allowed"),
        (not_utf8, "UTF-8"),
        (deep, "Excessive depth"),
        (laughs, "DOCTYPE"),
    ],
)
def test_what_is_no_artifact_is_refused_by_name_and_the_rest_goes_on(
    cluster: Cluster, make: Callable[[Path], Path], word: str
) -> None:
    manager, worker = cluster.manager, cluster["gw-2"]
    path = make(manager.tree / "sequences")
    witness = api("Api000", note=f"beside {make.__name__}")
    try:
        (manager.tree / "api/Api000.xml").write_bytes(witness)
        until(lambda: manager.answer("refused"), "it is listed")
        (row,) = manager.ask("get", "refused")
        assert word in row["reason"], row
        until(lambda: files_of(worker.tree)["api/Api000.xml"] == witness, "the rest goes on")
        assert len(list((worker.tree / "sequences").iterdir())) == 5
        assert manager.run("get", "refused").returncode == 0
    finally:
        path.unlink()
        until(lambda: not manager.answer("refused"), "it is gone")
    cluster.wait_synced()
    assert rss_kib(manager) < RSS_MAX_KIB


def test_names_up_to_255_bytes_with_blanks_and_letters_of_any_script_arrive(
    cluster: Cluster,
) -> None:
    manager, worker = cluster.manager, cluster["gw-2"]
    names = [
        "x" * 251 + ".xml",
        "\u00e9" * 125 + ".xml",
        "two words.xml",
        "\u8def\u7531.xml",
        "'quoted' $(touch x).xml",
        "-rf.xml",
    ]
    for number, name in enumerate(names):
        (manager.tree / "sequences" / name).write_bytes(sequence(f"Named{number}"))
    cluster.wait_synced()
    assert {f"sequences/{name}" for name in names} <= set(files_of(worker.tree))
    for name in names:
        (manager.tree / "sequences" / name).unlink()
    cluster.wait_synced()
    assert len(files_of(worker.tree)) == 10


def test_two_names_that_differ_in_case_only_do_not_both_travel(cluster: Cluster) -> None:
    manager, worker = cluster.manager, cluster["gw-2"]
    cluster.wait_synced()
    (manager.tree / "sequences/sequences000.xml").write_bytes(sequence("Lower"))
    until(lambda: manager.answer("refused"), "the second name is refused")
    (row,) = manager.ask("get", "refused")
    assert row["path"] == "sequences/sequences000.xml", "the settled one stays"
    assert "Sequences000.xml" in row["reason"]
    assert "sequences/sequences000.xml" not in files_of(worker.tree)
    (manager.tree / "sequences/sequences000.xml").unlink()
    until(lambda: not manager.answer("refused"), "it is gone")
    cluster.wait_synced()


def test_a_linked_folder_is_not_followed_and_does_not_stand_for_deletions(
    cluster: Cluster, tmp_path: Path
) -> None:
    manager, worker = cluster.manager, cluster["gw-2"]
    cluster.wait_synced()
    full = files_of(worker.tree)
    fill(tmp_path / "outside", apis=1, sequences=1)
    elsewhere = tmp_path / "api"
    (manager.tree / "api").rename(elsewhere)
    (manager.tree / "api").symlink_to(elsewhere)
    until(lambda: manager.answer("refused"), "the link is told")
    (row,) = manager.ask("get", "refused")
    assert (row["path"], "link" in row["reason"]) == ("api", True)
    assert manager.run("reconcile", "--timeout", "20s").returncode == 5, "a known folder: held"
    assert files_of(worker.tree) == full, "what is not looked at is not missed"
    (manager.tree / "api").unlink()
    elsewhere.rename(manager.tree / "api")
    until(lambda: not manager.answer("refused"), "it goes on by itself")
    cluster.wait_synced()
    assert files_of(worker.tree) == full
