"""etcd and ZooKeeper as backends of the election's suite."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from syncagent.core.artifact import NodeName
from syncagent.core.revision import Token
from syncagent.leases.record import Record
from tests.servers.backend import TIMING, Backend, WithClock
from tests.servers.clock import Clock
from tests.servers.etcd import Etcd
from tests.servers.places import Place
from tests.servers.zookeeper import ZooKeeper

if TYPE_CHECKING:
    from tests.servers.ensemble import Ensemble

PREFIX = "/syncagent"
ESTABLISHED = "01"


class ConsensusBackend(Backend):
    """A store of small values by path, on one server without TLS, which ends leases by itself."""

    server: Ensemble
    server_expiry = True
    kind: str

    def begin(self) -> None:
        made = tempfile.TemporaryDirectory(prefix=f"syncagent-{self.kind}-")
        folder = self.stack.enter_context(made)
        self.server = self.stack.enter_context(self.make(Path(folder)))
        self.server.start()
        self.port = self.server.ports[0]

    @abstractmethod
    def make(self, folder: Path) -> Ensemble:
        """Return it, not started."""

    @abstractmethod
    def write(self, path: str, content: str) -> None:
        """Set a value by hand; what it is bound to stays."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a value by hand, or all that begins with `path` if that ends in a slash."""

    def forget(self, cluster: str) -> None:
        self.remove(f"{PREFIX}/{cluster}/")

    def usurp(self, cluster: str) -> None:
        self.write(f"{PREFIX}/{cluster}/leader", by_hand(cluster))

    def rewind(self, cluster: str, epoch: int) -> None:
        self.remove(f"{PREFIX}/{cluster}/leader")
        self.write(f"{PREFIX}/{cluster}/epoch", str(epoch))

    def connections(self) -> int:
        return connections_to(self.port)


class EtcdBackend(ConsensusBackend):
    """One member of etcd."""

    server: Etcd
    kind = "etcd"
    taking = b"request_put"
    renewing = b"/v3/lease/keepalive"
    round_trips = 3

    def make(self, folder: Path) -> Etcd:
        return Etcd(folder)

    def place(self, port: int = 0) -> Place:
        return Place("etcd", f"http://127.0.0.1:{port or self.port}")

    def write(self, path: str, content: str) -> None:
        self.server.put(path, content, ignore_lease=path.endswith("/leader"))

    def remove(self, path: str) -> None:
        self.server.delete(path)


class ZooKeeperBackend(ConsensusBackend):
    """One ZooKeeper."""

    server: ZooKeeper
    kind = "zookeeper"
    # The record is in both: the first write is the one that takes.
    taking = b'"incarnation"'
    renewing = b'"incarnation"'
    round_trips = 2

    def make(self, folder: Path) -> ZooKeeper:
        return ZooKeeper(folder)

    def place(self, port: int = 0) -> Place:
        return Place("zookeeper", f"127.0.0.1:{port or self.port}")

    def write(self, path: str, content: str) -> None:
        with self.server.hand() as hand:
            hand.set(path, content.encode())

    def remove(self, path: str) -> None:
        with self.server.hand() as hand:
            hand.delete(path.removesuffix("/"), recursive=True)


class EtcdWithClock(EtcdBackend, WithClock):
    """One whose clock can be stepped."""

    def make(self, folder: Path) -> Etcd:
        self.clock = Clock(folder)
        return Etcd(folder, clock=self.clock)

    def step_clock(self, seconds: int) -> None:
        self.clock.step(seconds)

    def time_of_day(self) -> float:
        return self.server.time_of_day()


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
