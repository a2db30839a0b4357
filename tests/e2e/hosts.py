"""Agents as hosts of their own: one network namespace each, joined by a bridge, cut apart at will.

    with Network() as network, Hosts(network, folder, nodes) as cluster:
        cluster.start()
        network.cut("gw-1", "gw-2")

The bridge stands in a namespace too, so that nothing of the machine's own network is touched, and no
two networks ever meet. What is cut drops packets where they arrive: connections stay open and
nobody is told, as with a switch that died. A control socket is a file: agents are asked as ever.
"""

import ipaddress
import itertools
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tests.e2e.cluster import Cluster, Place, Sections

SUBNET = ipaddress.ip_network("10.97.0.0/24")
_networks = itertools.count()

RULES = """
table ip faults {
  set cut { type ipv4_addr; }
  chain loss { }
  chain arrive {
    type filter hook input priority filter;
    ip saddr @cut drop
    jump loss
  }
}
"""


def ip(*arguments: str, data: str | None = None) -> str:
    """Run `ip`; AssertionError with what it said."""
    done = subprocess.run(
        ["ip", *arguments], input=data, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def needs_namespaces() -> None:
    """Skip unless this process may make network namespaces and filter packets in them."""
    name = f"syncagent-{os.getpid()}-try"
    done = subprocess.run(["ip", "netns", "add", name], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no network namespaces here: {done.stderr.decode().strip()}")
    tried = subprocess.run(
        ["ip", "netns", "exec", name, "nft", "-f", "-"], input=RULES.encode(), check=False
    )
    ip("netns", "delete", name)
    if tried.returncode != 0:
        pytest.skip("no packet filter here: nft")


class Network:
    """Hosts on one bridge. Leaving the `with` removes all of it; end what runs there before."""

    def __init__(self) -> None:
        self._prefix = f"syncagent-{os.getpid()}-{next(_networks)}"
        self._switch = f"{self._prefix}-switch"
        self._addresses: dict[str, str] = {}
        self._free = SUBNET.hosts()

    def __enter__(self) -> Self:
        ip("netns", "add", self._switch)
        ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        ip("-n", self._switch, "link", "set", "bridge", "up")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for name in self._addresses:
            ip("netns", "delete", self.space(name))
        ip("netns", "delete", self._switch)

    def space(self, name: str) -> str:
        """Return the name of a host's namespace."""
        return f"{self._prefix}-{name}"

    def host(self, name: str) -> Place:
        """Add a host to the network; return where it is."""
        space, port = self.space(name), f"port{len(self._addresses)}"
        address = self._addresses[name] = str(next(self._free))
        ip("netns", "add", space)
        veth = ("type", "veth", "peer", "name", port, "netns", self._switch)
        ip("link", "add", "eth0", "netns", space, *veth)
        ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
        ip("-n", space, "addr", "add", f"{address}/{SUBNET.prefixlen}", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", space, "link", "set", "lo", "up")
        self._filter(name, RULES)
        return Place(address, ("ip", "netns", "exec", space))

    # --- faults -----------------------------------------------------------------------------

    def deafen(self, name: str, to: str) -> None:
        """From now on nothing arrives at `name` that `to` sends; the other way is open."""
        self._filter(name, f"add element ip faults cut {{ {self._addresses[to]} }}")

    def cut(self, one: str, other: str) -> None:
        """Part two hosts, both ways."""
        self.deafen(one, to=other)
        self.deafen(other, to=one)

    def isolate(self, name: str) -> None:
        """Part a host from all others."""
        for other in self._addresses:
            if other != name:
                self.cut(name, other)

    def lose(self, percent: int) -> None:
        """Lose that many of a hundred packets, at every host, by chance; 0 ends it."""
        for name in self._addresses:
            self._filter(name, "flush chain ip faults loss")
            if percent:
                chance = f"numgen random mod 100 < {percent} drop"
                self._filter(name, f"add rule ip faults loss {chance}")

    def heal(self) -> None:
        """Join again all that was cut."""
        for name in self._addresses:
            self._filter(name, "flush set ip faults cut")

    # --- what is in flight ------------------------------------------------------------------

    def unread(self, name: str, sender: str) -> int:
        """Return how many bytes have arrived at a host and were not read by its process yet."""
        return self._queue(name, sender, 0)

    def unsent(self, name: str, receiver: str) -> int:
        """Return how many bytes a host has sent that the other has not confirmed."""
        return self._queue(name, receiver, 1)

    def _queue(self, name: str, other: str, column: int) -> int:
        shown = ip(
            *("netns", "exec", self.space(name)),
            *("ss", "-Htn", "state", "established", "dst", self._addresses[other]),
        )
        return sum(int(line.split()[column]) for line in shown.splitlines())

    def _filter(self, name: str, rules: str) -> None:
        ip("netns", "exec", self.space(name), "nft", "-f", "-", data=rules)


class Hosts(Cluster):
    """A cluster whose nodes are hosts of a network."""

    def __init__(
        self,
        network: Network,
        folder: Path,
        nodes: Mapping[str, Path | None],
        sections: Sections | None = None,
    ) -> None:
        self.network = network
        super().__init__(folder, nodes, sections)

    def place_of(self, name: str) -> Place:
        """Make a host for a node."""
        return self.network.host(name)
