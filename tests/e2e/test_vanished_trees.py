"""Trees that are emptied, unmounted, covered, replaced, moved away or half unreadable.

Absence is not evidence: whatever happens to the manager's tree, live or while it was down, no file
is deleted anywhere, status says why it waits, and it goes on when the tree is back.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill
from tests.e2e.cluster import Agent, Cluster, files_of, until

pytestmark = pytest.mark.e2e

NO_DAC = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
"""Root without the right to read what its mode forbids: permissions count as for any user."""


@dataclass
class Place:
    """A mount namespace of its own, in which one agent runs and its mounts are made."""

    pid: int

    @property
    def prefix(self) -> list[str]:
        return ["nsenter", f"--mount=/proc/{self.pid}/ns/mnt"]

    def do(self, *command: str) -> None:
        subprocess.run([*self.prefix, *command], check=True, timeout=30)

    def names(self, folder: Path) -> list[str]:
        """Return what is in a folder there."""
        listed = subprocess.run(
            [*self.prefix, "ls", "-A", str(folder)],
            check=True,
            capture_output=True,
            text=True,
            timeout=30,
        )
        return listed.stdout.split()


def require(found: bool, what: str) -> None:
    if not found:
        assert os.environ.get("SYNCAGENT_REQUIRE_ALL") != "1", what
        pytest.skip(what)


@contextmanager
def namespace() -> Iterator[Place]:
    require(os.geteuid() == 0, "mount namespaces need root")
    holder = subprocess.Popen(
        ["unshare", "--mount", "--propagation=private", "sleep", "infinity"],
        stdin=subprocess.DEVNULL,
    )
    own = Path("/proc/self/ns/mnt").readlink()
    try:
        until(lambda: Path(f"/proc/{holder.pid}/ns/mnt").readlink() != own, "the namespace")
        yield Place(holder.pid)
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait()


def held(agent: Agent) -> list[dict[str, object]]:
    rows = agent.answer("held")
    assert isinstance(rows, list)
    return rows


def kinds(agent: Agent) -> set[object]:
    return {row["kind"] for row in held(agent)}


def away(tree: Path) -> Path:
    return tree.with_name("away")


def empty(agent: Agent) -> None:
    for path in agent.tree.iterdir():
        shutil.move(path, away(agent.tree) / path.name)


def put_back(agent: Agent) -> None:
    for path in away(agent.tree).iterdir():
        shutil.move(path, agent.tree / path.name)


def move_away(agent: Agent) -> None:
    agent.tree.rename(agent.tree.with_name("elsewhere"))


def move_back(agent: Agent) -> None:
    agent.tree.with_name("elsewhere").rename(agent.tree)


def hide_apis(agent: Agent) -> None:
    (agent.tree / "api").chmod(0)


def show_apis(agent: Agent) -> None:
    (agent.tree / "api").chmod(0o755)


@dataclass(frozen=True)
class Case:
    take: Callable[[Agent], None]
    back: Callable[[Agent], None]
    kind: str
    prefix: tuple[str, ...] = ()


CASES = {
    "emptied": Case(empty, put_back, "tree-emptied"),
    "moved away": Case(move_away, move_back, "root-missing"),
    "half unreadable": Case(hide_apis, show_apis, "unreadable", tuple(NO_DAC)),
}


def started(folder: Path) -> Cluster:
    fill(folder / "source", apis=8, sequences=8)
    nodes = {"gw-1": folder / "source", "gw-2": None}
    cluster = Cluster(folder / "nodes", nodes, {"limits": {"safety_scan": "2s"}})
    away(cluster.manager.tree).mkdir()
    return cluster


def nothing_is_deleted(cluster: Cluster, kind: str, full: dict[str, bytes]) -> None:
    """Check that the manager waits, says why, and that its worker has everything."""
    manager, worker = cluster.manager, cluster["gw-2"]
    until(lambda: kinds(manager) == {kind}, f"held: {kind}, not {kinds(manager)}")
    (row,) = manager.ask("get", "held")
    assert (row["tree"], row["node"]) == ("synapse", "gw-1")
    assert "Nothing was deleted" in row["reason"]
    done = manager.run("reconcile", "--timeout", "20s")
    assert done.returncode == 5, f"{done.returncode}: {done.stdout} {done.stderr}"
    assert files_of(worker.tree) == full
    assert manager.own_row()["state"] == "Held"
    until(lambda: manager.answer("status")["nodes"][1]["revision"] == 1, "the worker is there")
    assert manager.answer("status")["revision"] == 1


@pytest.mark.parametrize("name", CASES)
def test_a_managers_tree_that_is_gone_deletes_nothing_live_or_over_a_restart(
    tmp_path: Path, name: str
) -> None:
    case = CASES[name]
    if case.prefix:
        require(os.geteuid() == 0, "capabilities are dropped by root")
    with started(tmp_path) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        manager.prefix = list(case.prefix)
        cluster.start()
        cluster.wait_synced()
        full = files_of(worker.tree)
        case.take(manager)
        nothing_is_deleted(cluster, case.kind, full)
        manager.kill()
        cluster.start("gw-1")
        nothing_is_deleted(cluster, case.kind, full)
        case.back(manager)
        until(lambda: not held(manager), "it goes on by itself")
        cluster.wait_synced()
        assert manager.answer("status")["revision"] == 1, "nothing had changed"

        assert manager.end() == 0
        case.take(manager)
        cluster.start("gw-1")
        nothing_is_deleted(cluster, case.kind, full)
        case.back(manager)
        cluster.wait_synced()
        (manager.tree / "api/New.xml").write_bytes(api("New"))
        until((worker.tree / "api/New.xml").exists, "changes pass again")


def test_another_folder_in_the_trees_place_waits_for_a_person(tmp_path: Path) -> None:
    with started(tmp_path) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        cluster.start()
        cluster.wait_synced()
        full = files_of(worker.tree)
        move_away(manager)
        shutil.copytree(tmp_path / "source", manager.tree)
        (manager.tree / "api/Api000.xml").unlink()
        (manager.tree / "api/Api001.xml").write_bytes(api("Api001", note="of the other folder"))
        nothing_is_deleted(cluster, "root-replaced", full)
        manager.kill()
        cluster.start("gw-1")
        nothing_is_deleted(cluster, "root-replaced", full)
        (row,) = manager.ask("get", "held")
        assert f"approve {row['id']}" in row["reason"]
        assert manager.run("approve", row["id"]).returncode == 0
        cluster.wait_synced()
        assert set(full) - set(files_of(worker.tree)) == {"api/Api000.xml"}
        # The approval is remembered: the folder is known now.
        assert manager.end() == 0
        cluster.start("gw-1")
        cluster.wait_synced()


def test_an_empty_folder_in_the_trees_place_still_waits_after_it_was_approved(
    tmp_path: Path,
) -> None:
    with started(tmp_path) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        cluster.start()
        cluster.wait_synced()
        full = files_of(worker.tree)
        move_away(manager)
        manager.tree.mkdir()
        nothing_is_deleted(cluster, "root-replaced", full)
        assert manager.run("approve", str(held(manager)[0]["id"])).returncode == 0
        nothing_is_deleted(cluster, "tree-emptied", full)
        manager.tree.rmdir()
        move_back(manager)
        until(lambda: kinds(manager) == {"root-replaced"}, "the first folder is the stranger now")
        assert manager.run("approve", str(held(manager)[0]["id"])).returncode == 0
        cluster.wait_synced()
        assert files_of(worker.tree) == full


@pytest.mark.needs_root
@pytest.mark.parametrize("what", ["tree", "tree/api"])
def test_a_file_system_mounted_over_the_managers_tree_deletes_nothing(
    tmp_path: Path, what: str
) -> None:
    with namespace() as place, started(tmp_path) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        manager.prefix = place.prefix
        covered = manager.folder / what
        cluster.start()
        cluster.wait_synced()
        full = files_of(worker.tree)
        kind = "root-replaced" if what == "tree" else "unreadable"
        place.do("mount", "-t", "tmpfs", "none", str(covered))
        nothing_is_deleted(cluster, kind, full)
        manager.kill()
        cluster.start("gw-1")
        nothing_is_deleted(cluster, kind, full)
        place.do("umount", str(covered))
        until(lambda: not held(manager), "it goes on by itself")
        cluster.wait_synced()
        assert files_of(worker.tree) == full


@pytest.mark.needs_root
def test_a_managers_tree_that_is_unmounted_deletes_nothing(tmp_path: Path) -> None:
    with namespace() as place, started(tmp_path) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        manager.prefix = place.prefix
        image = manager.folder / "image"
        manager.tree.rename(image)
        manager.tree.mkdir()
        place.do("mount", "--bind", str(image), str(manager.tree))
        cluster.start()
        until(lambda: len(files_of(worker.tree)) == 16, "filled from the mount")
        full = files_of(worker.tree)
        place.do("umount", str(manager.tree))
        nothing_is_deleted(cluster, "root-replaced", full)
        assert manager.end() == 0
        cluster.start("gw-1")
        nothing_is_deleted(cluster, "root-replaced", full)
        place.do("mount", "--bind", str(image), str(manager.tree))
        until(lambda: not held(manager), "it goes on by itself")
        until(cluster.synced, "all are synced")
        assert files_of(worker.tree) == full
        assert list(manager.tree.iterdir()) == [], "nothing was written below the mount"


def test_a_workers_tree_that_was_emptied_is_filled_again(tmp_path: Path) -> None:
    with started(tmp_path) as cluster:
        worker = cluster["gw-2"]
        cluster.start()
        cluster.wait_synced()
        for path in worker.tree.iterdir():
            shutil.rmtree(path)
        until(cluster.equal, "it is filled again")
        assert worker.end() == 0
        for path in worker.tree.iterdir():
            shutil.rmtree(path)
        cluster.start("gw-2")
        until(cluster.equal, "it is filled again after a restart")
        cluster.wait_synced()


@pytest.mark.needs_root
def test_nothing_is_written_below_the_mount_point_of_a_workers_tree(tmp_path: Path) -> None:
    with namespace() as place, started(tmp_path) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        worker.prefix = place.prefix
        place.do("mount", "-t", "tmpfs", "none", str(worker.tree))
        cluster.start()
        until(cluster.synced, "the worker is synced")
        assert place.names(worker.tree / "api")
        assert list(worker.tree.iterdir()) == [], "seen from outside, it is the mount point"
        place.do("umount", "-l", str(worker.tree))
        until(lambda: kinds(worker) == {"root-replaced"}, "the worker is held")
        (manager.tree / "api/New.xml").write_bytes(api("New"))
        until(lambda: manager.answer("status")["revision"] == 2, "revision 2 is declared")
        until(
            lambda: any(row["node"] == "gw-2" for row in held(manager)),
            "the manager lists its worker's hold",
        )
        assert manager.run("reconcile", "--timeout", "20s").returncode == 5
        assert worker.end() == 0
        cluster.start("gw-2")
        until(lambda: kinds(worker) == {"root-replaced"}, "held after the restart")
        assert list(worker.tree.iterdir()) == [], "nothing was written into it"
