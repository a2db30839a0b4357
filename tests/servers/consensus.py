"""etcd and ZooKeeper as backends of the election's suite."""

from __future__ import annotations

import tempfile
from pathlib import Path

from syncagent.core.artifact import NodeName
from syncagent.core.revision import Token
from syncagent.leases.record import Record
from tests.servers.backend import TIMING, Backend, WithClock
from tests.servers.clock import Clock
from tests.servers.etcd import Etcd
from tests.servers.places import Place
from tests.servers.zookeeper import ZooKeeper

PREFIX = "/syncagent"
NODES = ("leader", "epoch")
ESTABLISHED = "01"


class EtcdBackend(Backend):
    """One member of etcd, without TLS."""

    server_expiry = True
    taking = b"request_put"
    renewing = b"/v3/lease/keepalive"
    round_trips = 3

    def begin(self) -> None:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="syncagent-etcd-"))
        self.server = self.stack.enter_context(Etcd(Path(folder)))
        self.server.start()
        self.port = self.server.ports[0]

    def place(self, port: int = 0) -> Place:
        return Place("etcd", f"http://127.0.0.1:{port or self.port}")

    def start(self) -> None:
        self.server.wake()
        self.server.start()

    def kill(self) -> None:
        self.server.kill()

    def hang(self) -> None:
        self.server.hang()

    def wake(self) -> None:
        self.server.wake()

    def forget(self, cluster: str) -> None:
        self.server.delete(f"{PREFIX}/{cluster}/")

    def usurp(self, cluster: str) -> None:
        self.server.put(f"{PREFIX}/{cluster}/leader", by_hand(cluster), ignore_lease=True)

    def rewind(self, cluster: str, epoch: int) -> None:
        self.server.delete(f"{PREFIX}/{cluster}/leader")
        self.server.put(f"{PREFIX}/{cluster}/epoch", str(epoch))

    def connections(self) -> int:
        return connections_to(self.port)


class ZooKeeperBackend(Backend):
    """One ZooKeeper, without TLS."""

    server_expiry = True
    # The record is in both: the first write is the one that takes.
    taking = b'"incarnation"'
    renewing = b'"incarnation"'
    round_trips = 2

    def begin(self) -> None:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="syncagent-zk-"))
        self.server = self.stack.enter_context(self.make(Path(folder)))
        self.server.start()
        self.port = self.server.ports[0]

    def make(self, folder: Path) -> ZooKeeper:
        return ZooKeeper(folder)

    def place(self, port: int = 0) -> Place:
        return Place("zookeeper", f"127.0.0.1:{port or self.port}")

    def start(self) -> None:
        self.server.wake()
        self.server.start()

    def kill(self) -> None:
        self.server.kill()

    def hang(self) -> None:
        self.server.hang()

    def wake(self) -> None:
        self.server.wake()

    def forget(self, cluster: str) -> None:
        with self.server.hand() as hand:
            hand.delete(f"{PREFIX}/{cluster}", recursive=True)

    def usurp(self, cluster: str) -> None:
        with self.server.hand() as hand:
            hand.set(f"{PREFIX}/{cluster}/leader", by_hand(cluster).encode())

    def rewind(self, cluster: str, epoch: int) -> None:
        with self.server.hand() as hand:
            hand.delete(f"{PREFIX}/{cluster}/leader")
            hand.set(f"{PREFIX}/{cluster}/epoch", str(epoch).encode())

    def connections(self) -> int:
        return connections_to(self.port)


class ZooKeeperWithClock(ZooKeeperBackend, WithClock):
    """One whose clock can be stepped."""

    def make(self, folder: Path) -> ZooKeeper:
        self.clock = Clock(folder)
        return ZooKeeper(folder, clock=self.clock)

    def step_clock(self, seconds: int) -> None:
        self.clock.step(seconds)

    def time_of_day(self) -> float:
        with self.server.hand() as hand:
            path = hand.create("/time-of-day", ephemeral=True)
            return float(hand.exists(path).created)


def by_hand(cluster: str) -> str:
    """A lease as nobody took it."""
    token = Token(cluster, 1, NodeName("by-hand"), "by-hand")
    return Record(token, TIMING.lease_s).encode().decode()


def connections_to(port: int) -> int:
    """How many connections from this host to a port of its own there are."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ends = [(line.split()[2], line.split()[3]) for line in lines]
    return sum(1 for end, state in ends if end.endswith(f":{port:04X}") and state == ESTABLISHED)
