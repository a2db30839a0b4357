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
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from syncagent.core.units import parse_duration
from tests.e2e.behind_haproxy import CONFIG, NODES, Client, Products, Proxy, now
from tests.e2e.cluster import Cluster, until
from tests.servers.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.cluster import Agent

pytestmark = [pytest.mark.e2e, pytest.mark.needs_servers]


def seconds(word: str) -> float:
    """Return a length that the file gives the management backend's checks."""
    found = re.search(rf"\b{word} (\d+m?s)\b", CONFIG.read_text())
    assert found is not None, word
    return parse_duration(found[1])


BOUND_S = seconds("inter") + seconds("fastinter") + 2 * seconds("timeout check")
"""As the file says, for a node that hangs."""
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
    """When a manager was killed or stopped, by its name and epoch."""

    def manager(self) -> str:
        """Return who leads, by the newest word of an agent that runs; nothing if nobody does."""
        reigns = [reign for reign in self.reigns() if reign.end == float("inf")]
        return reigns[-1].node if reigns else ""

    def reigns(self) -> list[Reign]:
        """Return all managerships until now, by epoch."""
        found: dict[int, tuple[str, float]] = {}
        steps: list[tuple[str, float]] = []
        for agent in self.cluster:
            with sqlite3.connect(f"file:{agent.state}/records.db?mode=ro", uri=True) as db:
                rows = db.execute("SELECT at, what, fields FROM events ORDER BY id").fetchall()
            for at, what, fields in rows:
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


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    authority = Authority(tmp_path / "authority")
    proxy = Proxy(tmp_path / "haproxy", authority)
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
    sections = {"limits": {"reconnect_max": "1s"}}
    cluster = Cluster(tmp_path / "nodes", dict.fromkeys(NODES), sections, own=own)
    trust = authority.trusting()
    with cluster, proxy, Products(authority, proxy) as products:
        publisher = Client(proxy.management, trust, "publisher")
        caller = Client(proxy.apis, trust, "caller", patient=False)
        stage = Stage(cluster, products, publisher, caller, proxy, {})
        cluster.start()
        proxy.start()
        until(lambda: publisher.ask("/first"), "HAProxy has found the manager")
        until(lambda: caller.ask("/first"), "HAProxy has found the gateways")
        # When it starts it takes every server for good until its first check.
        for worker in ("gw-2", "gw-3"):
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


def followed(stage: Stage, node: str) -> None:
    """Wait until only this manager is asked, and long enough to see if another one still is."""
    until(lambda: stage.manager() == node, f"{node} leads")
    begin = stage.reigns()[-1].begin
    over = begin + BOUND_S + BUSY_S

    def asked() -> bool:
        late = [answer for answer in stage.publisher.answers if answer.sent > over]
        return len(late) >= ENOUGH and all(answer.node == node for answer in late[-ENOUGH:])

    until(asked, f"the publisher reaches {node} and nobody else")


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


def test_who_asks_again_reaches_no_deposed_manager_and_no_call_is_lost(stage: Stage) -> None:
    cluster, products = stage.cluster, stage.products
    slow = Client(stage.proxy.management, stage.publisher.context, "slow")

    def arrived() -> bool:
        return any(served.number == "/slow" for served in products.published)

    def ask_until_it_is_there() -> None:
        while not arrived():
            slow.ask("/slow")

    asking = threading.Thread(target=ask_until_it_is_there)
    asking.start()
    until(arrived, "a long request is on gw-1")
    promoted(stage, "gw-2")
    followed(stage, "gw-2")
    asking.join()
    assert slow.answers == [], "a session that was open is shut with its manager"

    stage.ends["gw-2", stage.reigns()[-1].epoch] = now()
    cluster["gw-2"].kill()
    promoted(stage, "gw-3", "--force")
    followed(stage, "gw-3")
    assert any(call.node == "gw-2" for call in products.called[-ENOUGH:]), (
        "a gateway whose agent is dead serves on"
    )
    cluster.start("gw-2")

    cluster["gw-3"].pause()
    promoted(stage, "gw-1", "--force")
    followed(stage, "gw-1")
    cluster["gw-3"].resume()
    until(lambda: leader(cluster["gw-3"]) == "gw-1", "who was deposed in its sleep follows")
    woken = now()
    until(lambda: stage.publisher.answers[-1].sent > woken + BOUND_S, "it is not taken up again")

    assert_nobody_reached_a_deposed_manager(stage)
    assert stage.caller.failures == []
    assert {call.node for call in products.called} == set(NODES)


def leader(agent: Agent) -> object:
    """Return who leads, as an agent says."""
    status = agent.answer("status")
    assert isinstance(status, dict)
    return status["manager"]
