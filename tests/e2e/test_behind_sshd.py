"""A worker that is reached through a real OpenSSH server only, set up as `config/` ships it."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from syncagent.fsio import OsFS
from syncagent.ssh.keys import make_key, public_line
from tests.e2e.artifacts import api, fill
from tests.e2e.cluster import Agent, Cluster, files_of, free_ports, until

CONFIG = Path(__file__).resolve().parents[2] / "config"

pytestmark = [pytest.mark.e2e, pytest.mark.needs_sshd]


class Sshd:
    """OpenSSH's sshd on loopback, in front of `agent`, with the shipped configuration."""

    def __init__(self, folder: Path, agent: Agent, peer: str, peer_key: str) -> None:
        self.folder = folder
        self.port = free_ports(8)[-1]
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir()
        self.host_key = public_line(make_key(OsFS(), str(folder / "host.key")), agent.name)
        self._adapt_keys(agent, peer, peer_key)
        self._adapt_config()

    def _adapt_keys(self, agent: Agent, peer: str, peer_key: str) -> None:
        """Put this program, this peer and its key where the example has its own."""
        text = (CONFIG / "authorized_keys.example").read_text()
        (line,) = [line for line in text.splitlines() if line and not line.startswith("#")]
        options, _, _ = line.partition(" ssh-ed25519 ")
        for old, new in (
            ("/usr/local/bin/syncagent", f"{sys.executable} -m syncagent"),
            ("--peer gw-2", f"--peer {peer}"),
            ("/etc/syncagent/syncagent.toml", str(agent.settings)),
        ):
            assert old in options, f"the example has no {old} any more"
            options = options.replace(old, new)
        (self.folder / "authorized_keys").write_text(f"{options} {peer_key}\n")

    def _adapt_config(self) -> None:
        text = (CONFIG / "sshd_syncagent.conf").read_text()
        for old, new in (
            ("Match User wso2carbon", f"Match User {getpass.getuser()}"),
            ("/etc/syncagent/authorized_keys", str(self.folder / "authorized_keys")),
        ):
            assert old in text, f"the example has no {old} any more"
            text = text.replace(old, new)
        (self.folder / "sshd_config").write_text(
            f"ListenAddress 127.0.0.1:{self.port}\nHostKey {self.folder}/host.key\n"
            f"PidFile none\nStrictModes no\nUsePAM no\n{text}"
        )

    @property
    def address(self) -> str:
        return f"{getpass.getuser()}@127.0.0.1:{self.port}"

    def start(self) -> None:
        program = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
        if program is None:
            assert os.environ.get("SYNCAGENT_REQUIRE_ALL") != "1", "no sshd on this machine"
            pytest.skip("no sshd on this machine")
        with suppress(OSError):
            Path("/run/sshd").mkdir(exist_ok=True)
        config = self.folder / "sshd_config"
        checked = subprocess.run(
            [program, "-t", "-f", config], capture_output=True, text=True, timeout=30, check=False
        )
        assert checked.returncode == 0, checked.stderr
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([program, "-D", "-e", "-f", config], stderr=log)
        until(self.answers, "sshd answers")

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def sessions(self) -> list[int]:
        """Return the processes that sshd has started for those who are connected."""
        assert self.process is not None
        pid = self.process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def stop(self) -> None:
        """End sshd and its sessions."""
        if self.process is None or self.process.poll() is not None:
            return
        left = self.sessions()
        self.process.terminate()
        self.process.wait(20)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def behind_sshd(folder: Path) -> Iterator[tuple[Cluster, Sshd]]:
    """A manager and a worker without a door of its own: only sshd leads to it."""
    fill(folder / "source", apis=10, sequences=30)
    nodes = {"gw-1": folder / "source", "gw-2": None}
    limits = {"limits": {"reconnect_max": "1s"}}
    with Cluster(folder / "nodes", nodes, limits) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        sshd = Sshd(folder / "sshd", worker, "gw-1", cluster.keys["gw-1"])
        text = worker.settings.read_text()
        listen = f'listen = "{worker.address}"\n'
        assert listen in text
        worker.settings.write_text(text.replace(listen, ""))
        text = manager.settings.read_text()
        own = f'address = "{worker.address}"\nkey = "{cluster.keys["gw-2"]}"'
        assert own in text
        behind = f'address = "{sshd.address}"\nkey = ["{cluster.keys["gw-2"]}", "{sshd.host_key}"]'
        manager.settings.write_text(text.replace(own, behind))
        try:
            sshd.start()
            cluster.start()
            yield cluster, sshd
        finally:
            sshd.stop()


def test_a_worker_behind_openssh_is_filled_follows_and_is_reached_again(tmp_path: Path) -> None:
    with behind_sshd(tmp_path) as (cluster, sshd):
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
    with behind_sshd(tmp_path) as (cluster, sshd):
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
