"""Agents beside real Synapse runtimes: a cluster as it stands in production, on one machine.

    with closing(make_gateways(folder, "gw-1", "gw-2", "gw-3")) as gateways:
        gateways.agents.start()
        gateways.publish("api/Hello.xml", answering("Hello", "/hello", "v1"))
        assert gateways.say("/hello", "v1") == ["gw-1", "gw-2", "gw-3"]

The runtimes live in `folder/gateways/NAME`, the agents in `folder/NAME`, where `tree` leads to what the
runtime beside it looks at.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.e2e.cluster import Agent, Cluster, Sections, free_ports, until
from tests.e2e.synapse import SynapseHome, put


class Share(Protocol):
    """What all runtimes are on."""

    @property
    def sections(self) -> Sections:
        """Settings of every node."""

    def join(self, home: SynapseHome) -> Mapping[str, str]:
        """Put a runtime that does not run yet on the share; return settings of its agent's tree."""


@dataclass
class Gated:
    """Agents, each beside a runtime: what a person asks of them."""

    agents: Cluster

    @property
    def manager(self) -> Agent:
        return self.agents.manager

    @property
    def tree(self) -> Path:
        """The tree that people, or a Publisher, write to."""
        return self.manager.tree

    def publish(self, path: str, content: bytes) -> None:
        put(self.tree / path, content)
        self.deployed()

    def deployed(self) -> None:
        """Wait as a script would until every runtime has said what it has."""
        done = self.manager.run("wait", "--synced", "--deployed", "--timeout", "120s")
        assert done.returncode == 0, done.stdout + done.stderr

    def states(self, path: str, on: str = "gw-1") -> dict[str, str]:
        """Return what `describe` says of an artifact, by node."""
        told = self.agents[on].ask("describe", path)
        assert isinstance(told, dict)
        return {node["node"]: node["state"] for node in told["nodes"]}

    def words(self, path: str, node: str) -> str:
        """Return the runtime's own words about an artifact on one node."""
        told = self.manager.ask("describe", path)
        assert isinstance(told, dict)
        (row,) = [row for row in told["nodes"] if row["node"] == node]
        return str(row)

    def held(self) -> list[str]:
        rows = self.manager.ask("get", "held")
        assert isinstance(rows, list)
        return [row["id"] for row in rows]

    def row(self, name: str) -> dict[str, object]:
        status = self.manager.ask("status")
        assert isinstance(status, dict)
        (row,) = [row for row in status["nodes"] if row["name"] == name]
        return row  # type: ignore[no-any-return]

    def reason(self, name: str) -> str:
        """Return why a node is not as it should be, as the manager's status says."""
        return str(self.row(name)["reason"])


@dataclass
class Gateways(Gated):
    """The agents, and the Synapse beside each."""

    homes: dict[str, SynapseHome]

    def close(self) -> None:
        """End the agents and the runtimes."""
        with ExitStack() as stack:
            for home in self.homes.values():
                stack.callback(home.kill)
            self.agents.close()

    def say(self, path: str, word: str) -> list[str]:
        """Return the gateways that answer with `word`."""
        return [name for name, home in self.homes.items() if home.says(path, word)]

    def serve(self, path: str) -> list[str]:
        """Return the gateways on which an API answers at all."""
        return [name for name, home in self.homes.items() if home.get(path).status == 200]


def make_gateways(folder: Path, *names: str, share: Share | None = None) -> Gateways:
    """Make and start the runtimes, empty, and make an agent for each, not started; the first leads.

    With a `share` all of them are on it, in the form that it says.
    """
    ports = zip(names, free_ports(len(names)), strict=True)
    homes = {name: SynapseHome(folder / "gateways" / name, port) for name, port in ports}
    shared = {} if share is None else {name: share.join(home) for name, home in homes.items()}
    with ExitStack() as stack:
        for home in homes.values():
            stack.callback(home.kill)
            home.launch()
        # Their ports are taken before the agents look for theirs.
        for home in homes.values():
            until(lambda home=home: home.listens, f"{home.folder} listens")  # type: ignore[misc]
        own = {
            name: {
                "tree": {"path": str(home.config), **shared.get(name, {})},
                "gateway": {"home": str(home.folder)},
                "runtime": {"kind": "auto"},
            }
            for name, home in homes.items()
        }
        agents = Cluster(folder, dict.fromkeys(names), share and share.sections, own=own)
        for agent in agents:
            agent.tree.rmdir()
            agent.tree.symlink_to(homes[agent.name].config)
        stack.pop_all()
    return Gateways(agents, homes)
