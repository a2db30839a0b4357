"""Workers that are reached through real OpenSSH servers only, set up as `config/` ships it.

    with behind_sshd(folder, {"gw-1": tree_to_copy, "gw-2": None}) as (cluster, doors):
        cluster.wait_synced()
        doors["gw-2"].stop()

The manager is as in any other `Cluster`. Each worker has no door of its own but an sshd in front of
it, on the port that its embedded server would have had.
"""

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from syncagent.fsio import OsFS
from syncagent.ssh.keys import make_key, public_line
from tests.e2e.cluster import Agent, Cluster, Sections, until

CONFIG = Path(__file__).resolve().parents[2] / "config"


class Sshd:
    """OpenSSH's sshd on loopback, in front of `agent`, with the shipped configuration."""

    def __init__(self, folder: Path, agent: Agent, peer: str, peer_key: str) -> None:
        self.folder = folder
        self.port = agent.port
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
def behind_sshd(
    folder: Path, nodes: Mapping[str, Path | None], sections: Sections | None = None
) -> Iterator[tuple[Cluster, dict[str, Sshd]]]:
    """Run a cluster as `Cluster` makes it, and an sshd by the name of each worker."""
    with Cluster(folder / "nodes", nodes, sections) as cluster, ExitStack() as doors:
        found: dict[str, Sshd] = {}
        for worker in cluster.workers:
            sshd = found[worker.name] = _put_in_front(
                folder / f"sshd-{worker.name}", cluster, worker
            )
            doors.callback(sshd.stop)
            sshd.start()
        cluster.start()
        yield cluster, found


def _put_in_front(folder: Path, cluster: Cluster, worker: Agent) -> Sshd:
    """Take the worker its own door and tell the manager of the one that is made here."""
    manager = cluster.manager
    key = cluster.keys[worker.name]
    sshd = Sshd(folder, worker, manager.name, cluster.keys[manager.name])
    _replace(worker.settings, f'listen = "{worker.address}"\n', "")
    _replace(
        manager.settings,
        f'address = "{worker.address}"\nkey = "{key}"',
        f'address = "{sshd.address}"\nkey = ["{key}", "{sshd.host_key}"]',
    )
    return sshd


def _replace(settings: Path, old: str, new: str) -> None:
    text = settings.read_text()
    assert text.count(old) == 1, f"{settings} has not one {old}"
    settings.write_text(text.replace(old, new))
