"""A mount that hangs: one tree waits and says so, everything else goes on, and nothing is lost.

The tree of one node is a FUSE mount (bindfs) over a folder beside it; stopping the process that
serves it makes every call on it hang, as a dead NFS server would. The folder behind it can be read
all the time. Nothing here touches the mount itself while it hangs: that could not be ended either.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill, plan
from tests.e2e.cluster import Agent, Cluster, files_of, until

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

WORDS = "does not answer since"


@dataclass
class Mount:
    """A FUSE mount over a tree, served by a process that can be stopped."""

    behind: Path
    server: subprocess.Popen[bytes]

    def hang(self) -> None:
        self.server.send_signal(signal.SIGSTOP)

    def answer(self) -> None:
        self.server.send_signal(signal.SIGCONT)


@contextmanager
def mounted(tree: Path) -> Iterator[Mount]:
    """Put what is in `tree` behind a mount; unmounted at the end, whatever happens."""
    able = os.geteuid() == 0 and shutil.which("bindfs") and Path("/dev/fuse").exists()
    if not able:
        assert os.environ.get("SYNCAGENT_REQUIRE_ALL") != "1", "a FUSE mount needs root and bindfs"
        pytest.skip("a FUSE mount needs root and bindfs")
    behind = tree.with_name("behind")
    tree.rename(behind)
    tree.mkdir()
    server = subprocess.Popen(
        ["bindfs", "-f", "-o", "attr_timeout=0,entry_timeout=0", str(behind), str(tree)],
        stdin=subprocess.DEVNULL,
    )
    try:
        until(lambda: f" {tree} fuse" in Path("/proc/mounts").read_text(), "it is mounted")
        yield Mount(behind, server)
    finally:
        # Without its server every call on it fails at once, also those that hang.
        server.kill()
        server.wait()
        subprocess.run(["umount", "-l", str(tree)], check=True, timeout=30)


@contextmanager
def cluster_with_mount(folder: Path, name: str) -> Iterator[tuple[Cluster, Mount]]:
    """Two nodes that are in sync; the first tree of `name` is on a mount."""
    fill(folder / "source", apis=4, sequences=4)
    nodes = Cluster(folder / "nodes", {"gw-1": folder / "source", "gw-2": None}, plans=True)
    with mounted(nodes[name].tree) as mount, nodes as cluster:
        try:
            cluster.start()
            cluster.wait_synced()
            yield cluster, mount
        finally:
            mount.answer()


def stalled(agent: Agent) -> bool:
    row = agent.own_row()
    return row["state"] == "Held" and WORDS in str(row["reason"])


def test_a_managers_mount_that_hangs_declares_nothing_and_delays_nothing_else(
    tmp_path: Path,
) -> None:
    with cluster_with_mount(tmp_path, "gw-1") as (cluster, mount):
        manager, worker = cluster.manager, cluster["gw-2"]
        full = files_of(worker.tree)
        mount.hang()
        (mount.behind / "api/New.xml").write_bytes(api("New"))
        until(lambda: stalled(manager), "the manager says that its tree does not answer")
        (manager.plans / "One.siddhiql").write_bytes(plan("One"))
        until((worker.plans / "One.siddhiql").is_file, "the other tree travels")
        done = manager.run("reconcile", "--timeout", "30s")
        assert done.returncode == 5, f"{done.returncode}: {done.stdout} {done.stderr}"
        assert files_of(worker.tree) == full
        assert manager.end() == 0, "it stops while the mount hangs"
        cluster.start("gw-1")
        until(lambda: stalled(manager), "it starts while the mount hangs, and says so")
        mount.answer()
        until((worker.tree / "api/New.xml").is_file, "what was written meanwhile travels")
        cluster.wait_synced()
        assert files_of(worker.tree).keys() == full.keys() | {"api/New.xml"}
