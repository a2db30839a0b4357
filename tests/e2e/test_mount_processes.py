"""A mount's process: what hangs there is said in time, and what becomes of it delays nobody else.

The tree of the second node is a file system of our own over a folder beside it, polled every 10 s as a
share would be. Nothing here touches the mount itself while it hangs.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from syncagent.core.errors import UnreachableError
from tests.e2e.artifacts import api, fill, plan
from tests.e2e.cluster import Agent, Cluster, files_of, until
from tests.servers.mounts import Played, played
from tests.servers.played_mount import Play

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

STALLED_S = 15.0
POLL = {"limits": {"poll": "10s"}}
FUSE_WAIT = "request_wait_answer"
"""Where the kernel lets wait who asked a FUSE server that does not answer."""
WORDS = "does not answer since"


@contextmanager
def cluster_with_mount(folder: Path) -> Iterator[tuple[Cluster, Played]]:
    """Two nodes that are in sync; the first tree of `gw-2` is on a mount."""
    fill(folder / "source", apis=4, sequences=4)
    nodes = Cluster(folder / "nodes", {"gw-1": folder / "source", "gw-2": None}, POLL, plans=True)
    tree = nodes["gw-2"].tree
    behind = tree.with_name("behind")
    tree.rename(behind)
    tree.mkdir()
    with played(folder / "served", behind, tree) as mount, nodes as cluster:
        try:
            cluster.start()
            cluster.wait_synced()
            yield cluster, mount
        finally:
            mount.play()


def workers_of(agent: Agent) -> list[int]:
    """Return the mounts' processes of an agent."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if b"mount_child" in words and agent.process is not None and parent == agent.process.pid:
            found.append(int(folder.name))
    return found


def waits(pid: int) -> set[str]:
    """Return in which of the kernel's functions the threads of a process wait."""
    found = set()
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):
            found.add((thread / "wchan").read_text())
    return found


def stalled(agent: Agent) -> bool:
    row = agent.own_row()
    return row["state"] == "Held" and WORDS in str(row["reason"])


def test_a_mount_that_hangs_is_said_in_time_and_stops_no_end(tmp_path: Path) -> None:
    with cluster_with_mount(tmp_path) as (cluster, mount):
        manager, worker = cluster.manager, cluster["gw-2"]
        full = files_of(mount.behind)
        assert "poll 10 s (fuse; own writes by inotify)" in str(worker.own_row()["watch"])
        (process,) = workers_of(worker)
        mount.play(Play(hang=True))
        hung_at = time.monotonic()
        until(lambda: stalled(worker), "the worker says so", STALLED_S)
        assert time.monotonic() - hung_at <= STALLED_S
        (manager.plans / "One.siddhiql").write_bytes(plan("One"))
        until((worker.plans / "One.siddhiql").is_file, "its other tree is kept equal")
        (manager.tree / "api/New.xml").write_bytes(api("New"))
        until(lambda: manager.answer("status")["revision"] == 3, "the API is declared")
        assert workers_of(worker) == [process], "never a second one beside what hangs"
        assert worker.process is not None
        assert FUSE_WAIT in waits(process)
        assert FUSE_WAIT not in waits(worker.process.pid), "the agent itself touches no mount"
        assert worker.end() == 0, "it stops while the mount hangs"
        assert files_of(mount.behind) == full
        cluster.start("gw-2")
        until(lambda: stalled(worker), "it starts while the mount hangs, and says so")
        mount.play()
        until(lambda: files_of(mount.behind) == files_of(manager.tree), "the API arrives")
        cluster.wait_synced()
        assert worker.answer("quarantine") == [], "nothing was displaced or deleted there"


def test_a_mounts_process_that_is_killed_is_replaced_and_looks_at_everything(
    tmp_path: Path,
) -> None:
    with cluster_with_mount(tmp_path) as (cluster, mount):
        manager, worker = cluster.manager, cluster["gw-2"]
        (process,) = workers_of(worker)
        os.kill(process, signal.SIGKILL)
        (manager.tree / "api/New.xml").write_bytes(api("New"))
        until(lambda: files_of(mount.behind) == files_of(manager.tree), "the API arrives")
        until(lambda: workers_of(worker) not in ([], [process]), "there is another one")
        # By inotify of the new process: no poll is due so soon.
        until(lambda: "poll" in str(worker.own_row()["watch"]), "it is watched again")
        cluster.wait_synced()
        (worker.tree / "api/New.xml").write_bytes(api("Other"))
        until(lambda: files_of(mount.behind) == files_of(manager.tree), "drift is reverted")
        (last,) = workers_of(worker)
        worker.kill()
        until(lambda: not Path(f"/proc/{last}").exists(), "it dies with its agent")


def test_a_mount_that_is_taken_away_while_it_hangs_is_found_when_it_is_back(
    tmp_path: Path,
) -> None:
    with cluster_with_mount(tmp_path) as (cluster, mount):
        manager, worker = cluster.manager, cluster["gw-2"]
        full = files_of(mount.behind)
        mount.play(Play(hang=True))
        until(lambda: stalled(worker), "the worker says so", STALLED_S)
        mount.unmount(lazy=True)
        assert files_of(mount.behind) == full, "nothing was concluded from the empty folder"
        assert files_of(manager.tree) == full
        mount.kill()
        mount.serve()
        (manager.tree / "api/New.xml").write_bytes(api("New"))
        until(
            lambda: go_on(worker) and files_of(mount.behind) == files_of(manager.tree),
            "the API arrives",
        )
        cluster.wait_synced()


def test_a_mount_that_comes_late_gets_its_process(tmp_path: Path) -> None:
    with cluster_with_mount(tmp_path) as (cluster, mount):
        manager, worker = cluster.manager, cluster["gw-2"]
        full = files_of(mount.behind)
        assert worker.end() == 0
        mount.unmount()
        mount.kill()
        cluster.start("gw-2")
        until(lambda: worker.own_row()["state"] == "Held", "it misses its tree")
        assert workers_of(worker) == [], "an empty folder is local"
        mount.serve()
        until(lambda: len(workers_of(worker)) == 1, "the mount that came has a process")
        until(lambda: go_on(worker) and cluster.synced(), "it goes on")
        assert files_of(mount.behind) == files_of(manager.tree) == full


def go_on(agent: Agent) -> bool:
    """Approve what a tree that was mounted anew is held for; return whether nothing is held."""
    try:
        rows = agent.answer("held")
    except UnreachableError:
        return False  # it starts again
    assert isinstance(rows, list)
    for row in rows:
        assert isinstance(row, dict)
        agent.run("approve", str(row["id"]))
    return not rows


def test_a_commit_that_hangs_half_way_is_finished_when_the_mount_answers(tmp_path: Path) -> None:
    with cluster_with_mount(tmp_path) as (cluster, mount):
        manager, worker = cluster.manager, cluster["gw-2"]
        mount.play(Play(hang=True, calls=("rename",)))
        for name in ("One", "Two"):
            (manager.tree / f"api/{name}.xml").write_bytes(api(name))
        (manager.plans / "One.siddhiql").write_bytes(plan("One"))
        until(lambda: worker.own_row()["state"] != "Synced", "it can't follow")
        until(
            lambda: "can't be finished" in worker.log.read_text(),
            "its commit is given up, and stands",
        )
        (process,) = workers_of(worker)
        mount.play()
        until(lambda: files_of(mount.behind) == files_of(manager.tree), "the APIs are there")
        until((worker.plans / "One.siddhiql").is_file, "so is the other tree's plan")
        cluster.wait_synced()
        assert workers_of(worker) == [process], "the same process went on"
        assert worker.answer("quarantine") == []
