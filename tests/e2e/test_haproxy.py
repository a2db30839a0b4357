"""A real HAProxy with `config/haproxy.cfg` follows the election.

The property, from outside: every request that a product gets is got while its node is the manager, or
at most `BOUND_S` after it ceased to be. Managership begins with the agent's event "leading" and
ends with its "stepped-down", with its end, or with the "leading" of a higher epoch, whichever is
first. So a client that asks again reaches no deposed manager once that bound is over, and each
of its answers is from a node that was manager within the request's own time, or that bound before it.
"""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import threading
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from syncagent.core.units import parse_duration
from syncagent.leases.choose import install_lease_table
from syncagent.settings.load import load
from tests.e2e.artifacts import fill
from tests.e2e.behind_haproxy import CONFIG, NODES, Client, Products, Proxy, now
from tests.e2e.cluster import Cluster, until
from tests.servers.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.cluster import Agent, Sections

pytestmark = [pytest.mark.e2e, pytest.mark.needs_servers]


ELECTION = {
    "backend": "sql",
    "lease": "4s",
    "renew": "1s",
    "operation": "500ms",
    "margin": "2s",
}


def seconds(word: str) -> float:
    """Return a length that the file gives the management backend's checks."""
    found = re.search(rf"\b{word} (\d+m?s)\b", CONFIG.read_text())
    assert found is not None, word
    return parse_duration(found[1])


SOON_S = seconds("inter") + seconds("fastinter")
BOUND_S = SOON_S + 2 * seconds("timeout check")
"""As the file says, for a node that answers and for one that hangs."""
ENOUGH = 10
"""So many requests show who is asked."""
BUSY_S = 2.0
"""What a machine that is busy with other tests may add."""


@dataclass(frozen=True)
class Reign:
    """One managership, as the agents' own records have it (wall time)."""

    node: str
    epoch: int
    begin: float
    end: float

    def covers(self, first: float, last: float) -> bool:
        return self.begin <= last and first <= self.end


@dataclass
class Stage:
    """Everything that runs, and the clients' names for it."""

    cluster: Cluster
    products: Products
    publisher: Client
    caller: Client
    proxy: Proxy
    ends: dict[tuple[str, int], float]
    """When a manager was killed, by its name and epoch."""
    noted: dict[str, list[tuple[float, str, str]]] = field(default_factory=dict)

    def _events(self, agent: Agent) -> list[tuple[float, str, str]]:
        """Return what an agent has noted, or what it had if it keeps its records shut just now."""
        with (
            suppress(sqlite3.OperationalError),
            closing(sqlite3.connect(f"file:{agent.state}/records.db?mode=ro", uri=True)) as db,
        ):
            rows = db.execute("SELECT at, what, fields FROM events ORDER BY id").fetchall()
            self.noted[agent.name] = rows
        return self.noted.get(agent.name, [])

    def manager(self) -> str:
        """Return who leads, by the newest word of an agent that runs; nothing if nobody does."""
        reigns = [reign for reign in self.reigns() if reign.end == float("inf")]
        return reigns[-1].node if reigns else ""

    def reigns(self) -> list[Reign]:
        """Return all managerships until now, by epoch."""
        found: dict[int, tuple[str, float]] = {}
        steps: list[tuple[str, float]] = []
        for agent in self.cluster:
            for at, what, fields in self._events(agent):
                if what == "leading":
                    found[json.loads(fields)["epoch"]] = (agent.name, at)
                elif what == "stepped-down":
                    steps.append((agent.name, at))
        reigns = []
        for epoch, (node, begin) in sorted(found.items()):
            after = [at for other, (_, at) in found.items() if other > epoch]
            after += [at for name, at in steps if name == node and at >= begin]
            after += [at for known, at in self.ends.items() if known == (node, epoch)]
            reigns.append(Reign(node, epoch, begin, min(after, default=float("inf"))))
        return reigns


@contextmanager
def staged(folder: Path, sections: Sections) -> Iterator[Stage]:
    """Have everything run: three agents that hold the same artifacts, products, clients, HAProxy."""
    authority = Authority(folder / "authority")
    proxy = Proxy(folder / "haproxy", authority)
    certificate, key = authority.issue("door")
    own = {
        node: {
            "http": {
                "listen": f"{address}:{proxy.door}",
                "certificate": str(certificate),
                "certificate_key": str(key),
            }
        }
        for node, address in NODES.items()
    }
    fill(folder / "source", apis=2, sequences=2)
    trees = dict.fromkeys(NODES, folder / "source")
    limits = {"limits": {"reconnect_max": "1s"}}
    cluster = Cluster(folder / "nodes", trees, {**limits, **sections}, own=own)
    trust = authority.trusting()
    with cluster, proxy, Products(authority, proxy) as products:
        if "election" in sections:
            install_lease_table(load(str(cluster.manager.settings), {}))
        publisher = Client(proxy.management, trust, "publisher")
        caller = Client(proxy.apis, trust, "caller", patient=False)
        stage = Stage(cluster, products, publisher, caller, proxy, {})
        cluster.start()
        until(stage.manager, "somebody leads")
        proxy.start()
        until(lambda: publisher.ask("/first"), "HAProxy has found the manager")
        until(lambda: caller.ask("/first"), "HAProxy has found the gateways")
        # When it starts it takes every server for good until its first check.
        for worker in NODES.keys() - {stage.manager()}:
            until(
                lambda name=worker: f"manager/{name} is DOWN" in proxy.log,
                f"{worker} is no manager",
            )
        publisher.answers.clear()
        products.published.clear()
        publisher.start()
        caller.start()
        try:
            yield stage
        finally:
            publisher.stop()
            caller.stop()


def followed(stage: Stage, former: str) -> str:
    """Wait until another manager, and nobody else, is asked, past the shorter bound; return its name."""
    until(lambda: stage.manager() not in {"", former}, f"another node than {former} leads")
    new, over = stage.manager(), stage.reigns()[-1].begin + SOON_S

    def asked() -> bool:
        late = [answer for answer in stage.publisher.answers if answer.sent > over]
        return len(late) >= ENOUGH and all(answer.node == new for answer in late[-ENOUGH:])

    until(asked, f"the publisher reaches {new} and nobody else")
    return new


def woken(stage: Stage, former: str) -> None:
    """Let a manager go on that slept while another was made, and see that it is not taken up."""
    stage.cluster[former].resume()
    until(lambda: leader(stage.cluster[former]) == stage.manager(), f"{former} follows")
    at = now()
    until(lambda: stage.publisher.answers[-1].sent > at + SOON_S, "the publisher goes on")


def promoted(stage: Stage, node: str, *flags: str) -> None:
    done = stage.cluster[node].run("promote", *flags)
    assert done.returncode == 0, done.stderr


def assert_nobody_reached_a_deposed_manager(stage: Stage) -> None:
    reigns = stage.reigns()
    grace_s = BOUND_S + BUSY_S
    for served in stage.products.published:
        own = [reign for reign in reigns if reign.node == served.node]
        assert any(reign.covers(served.at - grace_s, served.at) for reign in own), (served, reigns)
    for answer in stage.publisher.answers:
        own = [reign for reign in reigns if reign.node == answer.node]
        assert any(reign.covers(answer.sent - grace_s, answer.answered) for reign in own), answer


def test_haproxy_takes_the_file_as_it_is(tmp_path: Path) -> None:
    proxy = Proxy(tmp_path / "haproxy", Authority(tmp_path / "authority"))
    checked = subprocess.run(
        [proxy.program, "-c", "-f", str(proxy.file)], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr
    assert checked.stdout.strip() == "Configuration file is valid"


def test_a_promotion_is_followed_and_who_was_deposed_in_its_sleep_is_left_alone(
    tmp_path: Path,
) -> None:
    with staged(tmp_path, {}) as stage:
        slow = Client(stage.proxy.management, stage.publisher.context, "slow")

        def arrived() -> bool:
            return any(served.number == "/slow" for served in stage.products.published)

        late = threading.Event()

        def ask_until_it_is_there() -> None:
            while not (arrived() or late.is_set()):
                slow.ask("/slow")

        asking = threading.Thread(target=ask_until_it_is_there)
        asking.start()
        try:
            until(arrived, "a long request is on gw-1")
        finally:
            late.set()
        promoted(stage, "gw-2")
        assert followed(stage, "gw-1") == "gw-2"
        asking.join()
        assert slow.answers == [], "a session that was open is shut with its manager"

        stage.cluster["gw-2"].pause()
        promoted(stage, "gw-3", "--force")
        assert followed(stage, "gw-2") == "gw-3"
        woken(stage, "gw-2")
        assert_nobody_reached_a_deposed_manager(stage)
        assert_no_call_was_lost(stage)


def test_an_election_is_followed_when_the_manager_dies_and_when_it_hangs(tmp_path: Path) -> None:
    election = {**ELECTION, "url": f"sqlite:///{tmp_path}/lease.db"}
    with staged(tmp_path, {"election": election}) as stage:
        first = stage.manager()
        stage.ends[first, stage.reigns()[-1].epoch] = now()
        stage.cluster[first].kill()
        second = followed(stage, first)
        calls = [call.node for call in stage.products.called[-2 * ENOUGH :]]
        assert first in calls, "a gateway whose agent is dead serves on"
        stage.cluster.start(first)

        stage.cluster[second].pause()
        followed(stage, second)
        woken(stage, second)
        assert_nobody_reached_a_deposed_manager(stage)
        assert_no_call_was_lost(stage)


def assert_no_call_was_lost(stage: Stage) -> None:
    assert stage.caller.failures == []
    assert {call.node for call in stage.products.called} == set(NODES)


def leader(agent: Agent) -> object:
    """Return who leads, as an agent says."""
    status = agent.answer("status")
    assert isinstance(status, dict)
    return status["manager"]
