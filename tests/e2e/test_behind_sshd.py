"""A worker that is reached through a real OpenSSH server only, set up as `config/` ships it."""

import getpass
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill
from tests.e2e.behind_sshd import Sshd, behind_sshd
from tests.e2e.cluster import Cluster, files_of, until

pytestmark = [pytest.mark.e2e, pytest.mark.needs_sshd]


@contextmanager
def small_cluster(folder: Path) -> Iterator[tuple[Cluster, Sshd]]:
    """A manager and one worker; what was lost is dialled again within a second."""
    fill(folder / "source", apis=10, sequences=30)
    nodes = {"gw-1": folder / "source", "gw-2": None}
    with behind_sshd(folder, nodes, {"limits": {"reconnect_max": "1s"}}) as (cluster, doors):
        yield cluster, doors["gw-2"]


def test_a_worker_behind_openssh_is_filled_follows_and_is_reached_again(tmp_path: Path) -> None:
    with small_cluster(tmp_path) as (cluster, sshd):
        manager, worker = cluster.manager, cluster["gw-2"]
        cluster.wait_synced()
        assert len(files_of(worker.tree)) == 40
        edit = api("Api000", note="through the forced command")
        (manager.tree / "api/Api000.xml").write_bytes(edit)
        until(lambda: files_of(worker.tree)["api/Api000.xml"] == edit, "a change passes")

        sessions = sshd.sessions()
        assert sessions, "the link is a session of sshd"
        for pid in sessions:
            os.kill(pid, signal.SIGKILL)
        (manager.tree / "api/Late.xml").write_bytes(api("Late"))
        until((worker.tree / "api/Late.xml").exists, "a change passes after the session was killed")
        cluster.wait_synced()

        sshd.stop()
        until(
            lambda: manager.answer("status")["nodes"][1]["state"] == "Offline",
            "the worker is missed",
        )
        sshd.start()
        (manager.tree / "api/Later.xml").write_bytes(api("Later"))
        until((worker.tree / "api/Later.xml").exists, "a change passes after sshd was away")
        cluster.wait_synced()

        # The agent behind sshd is away: sshd answers, and the reason is the agent's.
        assert worker.end() == 0
        until(
            lambda: manager.answer("status")["nodes"][1]["state"] == "Offline", "it is missed again"
        )
        until(
            lambda: "no agent runs" in manager.answer("status")["nodes"][1]["reason"],
            "the forced command tells why",
        )
        cluster.start("gw-2")
        cluster.wait_synced()


def test_the_forced_command_is_all_that_a_peers_key_can_do(tmp_path: Path) -> None:
    with small_cluster(tmp_path) as (cluster, sshd):
        key = cluster.manager.state / "node.key"
        known = tmp_path / "known_hosts"
        word = sshd.host_key.split()
        known.write_text(f"[127.0.0.1]:{sshd.port} {word[0]} {word[1]}\n")
        client = [
            *("ssh", "-p", str(sshd.port), "-i", str(key), "-o", f"UserKnownHostsFile={known}"),
            *("-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
        ]
        target = f"{getpass.getuser()}@127.0.0.1"
        asked = subprocess.run(
            [*client, target, "cat /etc/passwd"],
            input=b"not the protocol\n",
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"root:" not in asked.stdout
        forwarded = subprocess.run(
            [*client, "-o", "ExitOnForwardFailure=yes", "-W", "127.0.0.1:22", target],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert forwarded.returncode != 0
        cluster.wait_synced()
