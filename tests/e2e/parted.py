"""Asking agents on hosts that a network parts: who leads, what they have, under which epochs."""

from syncagent.core.desk import JSON
from tests.e2e.artifacts import api
from tests.e2e.cluster import Agent, Cluster, files_of, until
from tests.e2e.hosts import Network


def status(agent: Agent) -> dict[str, JSON]:
    found = agent.answer("status")
    assert isinstance(found, dict)
    return found


def events(agent: Agent, what: str) -> list[JSON]:
    found = agent.ask("events")
    assert isinstance(found, list)
    return [event for event in found if event["what"] == what]


def epochs(agent: Agent) -> list[int]:
    """Return under which epochs a node's revisions were declared, oldest first."""
    found = agent.ask("get", "revisions")
    assert isinstance(found, list)
    rows = sorted(found, key=lambda row: row["number"])
    return [row["epoch"] for row in rows]


def led_by(agents: list[Agent], name: str) -> bool:
    return all(status(agent)["manager"] == name for agent in agents)


def row(agent: Agent, name: str) -> dict[str, JSON]:
    return next(each for each in rows(agent) if each["name"] == name)


def kept(agent: Agent, path: str) -> bool:
    """Tell whether a node's quarantine has bytes that were at `path`."""
    found = agent.ask("get", "quarantine")
    assert isinstance(found, list)
    return any(each["path"] == path for each in found)


def agreed(cluster: Cluster, manager: Agent) -> bool:
    """Tell whether all follow one manager, are synced, and have the same bytes."""
    if not led_by(list(cluster), manager.name):
        return False
    found = status(manager)
    return all(files_of(agent.tree) == files_of(manager.tree) for agent in cluster) and all(
        row["state"] == "Synced" and row["revision"] == found["revision"] for row in found["nodes"]
    )


def never_went_back(agent: Agent) -> None:
    found = epochs(agent)
    assert found == sorted(found), f"{agent.name} took an older epoch's revision after a newer one"


class Parted:
    """Agents and their lease store, each a host; who leads is found out by asking."""

    def __init__(self, network: Network, cluster: Cluster) -> None:
        self.network = network
        self.cluster = cluster

    @property
    def leaders(self) -> list[Agent]:
        """Return those that say of themselves that they lead."""
        return [agent for agent in self.cluster if role(agent) == "manager"]

    def settled(self, among: list[Agent]) -> Agent | None:
        """Return who leads, if all of `among` say the same."""
        named = {str(status(agent)["manager"]) for agent in among}
        if len(named) != 1 or not named <= {agent.name for agent in among}:
            return None
        found = self.cluster[named.pop()]
        return found if role(found) == "manager" else None

    def leader(self, *, without: Agent | None = None) -> Agent:
        """Wait until the others of the cluster agree who leads; return it."""
        among = [agent for agent in self.cluster if agent is not without]
        until(lambda: self.settled(among), "they agree who leads")
        found = self.settled(among)
        assert found is not None
        return found

    def others(self, *agents: Agent) -> list[Agent]:
        return [agent for agent in self.cluster if agent not in agents]


def role(agent: Agent) -> object:
    return agent.own_row()["role"]


def rows(agent: Agent) -> list[dict[str, JSON]]:
    found = status(agent)["nodes"]
    assert isinstance(found, list)
    return found


def edited(manager: Agent, others: list[Agent], note: str) -> None:
    """Save something at the manager, and wait until the others have it."""
    content = api("Api000", note=note)
    (manager.tree / "api/Api000.xml").write_bytes(content)
    for other in others:
        until(
            lambda other=other: files_of(other.tree)["api/Api000.xml"] == content,  # type: ignore[misc]
            f"{other.name} has what {manager.name} got: {note}",
        )
