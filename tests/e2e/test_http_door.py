"""The HTTP door of a real agent: what it says, its secrets renewed, its agent killed and started."""

from __future__ import annotations

import http.client
import json
import signal
from typing import TYPE_CHECKING

import pytest

from syncagent.core.health import AWAY
from tests.e2e.artifacts import fill
from tests.e2e.cluster import Agent, Cluster, free_ports, until
from tests.servers.certificates import Authority

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from pathlib import Path

pytestmark = pytest.mark.e2e

FIRST, SECOND = "the-first-token-0123456789", "the-second-token-0123456789"
DOWN = 0


class Door:
    """Asks one agent over TLS."""

    def __init__(self, agent: Agent, port: int, context: ssl.SSLContext, token: Path) -> None:
        self.agent = agent
        self.token = token
        self._port = port
        self._context = context

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Return status and body; `DOWN` where nobody answers."""
        link = http.client.HTTPSConnection(
            "127.0.0.1", self._port, timeout=10, context=self._context
        )
        try:
            link.request(method, path, headers=dict(headers or {}))
            response = link.getresponse()
            return response.status, response.read()
        except OSError:
            return DOWN, b""
        finally:
            link.close()

    def says(self, path: str) -> int:
        return self.ask(path)[0]

    def opens(self, token: str) -> int:
        return self.ask("/v1/artifacts", "POST", {"Authorization": f"Bearer {token}"})[0]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = tmp_path_factory.mktemp("door")
    authority = Authority(folder / "authority")
    certificate, key = authority.issue("door")
    token = folder / "token"
    token.touch(mode=0o600)
    token.write_text(FIRST)
    port = free_ports(2)[1]
    given = {
        "listen": f"127.0.0.1:{port}",
        "token_file": str(token),
        "certificate": str(certificate),
        "certificate_key": str(key),
    }
    fill(folder / "source", apis=3, sequences=2)
    with Cluster(folder / "c", {"gw-1": folder / "source"}, {"http": given}) as cluster:
        cluster.start()
        yield Door(cluster["gw-1"], port, authority.trusting(), token)


def test_a_node_that_leads_says_so_and_shows_what_status_shows(door: Door) -> None:
    until(lambda: door.says("/manager") == 200, "it leads")
    until(lambda: door.says("/readyz") == 200, "its trees are its revision's")
    assert door.says("/worker") == 503
    assert door.says("/healthz") == 200
    shown = door.agent.ask("status")
    assert isinstance(shown, dict)

    def same() -> bool:
        status = json.loads(door.ask("/status")[1])
        return all(status[key] == shown[key] for key in ("manager", "revision", "digest", "state"))

    until(same, "the door shows the same")
    assert b'\nsyncagent_node_state{node="gw-1",state="Synced"} 1\n' in door.ask("/metrics")[1]


def test_a_new_token_is_taken_up_by_sighup_and_a_bad_one_is_not(door: Door) -> None:
    door.token.write_text(FIRST)
    until(lambda: door.opens(FIRST) == 200, "the token opens it")
    assert door.opens(SECOND) == 401
    assert door.agent.process is not None
    door.token.write_text(SECOND)
    door.agent.process.send_signal(signal.SIGHUP)
    until(lambda: door.opens(SECOND) == 200, "the new token opens it")
    assert door.opens(FIRST) == 401
    door.token.write_text("short")
    door.agent.process.send_signal(signal.SIGHUP)
    until(lambda: "settings not taken up" in door.agent.log.read_text(), "the log says why")
    assert "short" not in door.agent.log.read_text()
    assert door.opens(SECOND) == 200
    door.token.write_text(FIRST)


def test_an_agent_that_was_killed_finds_its_gate_open(door: Door) -> None:
    until(lambda: door.says("/readyz") == 200, "it is ready")
    door.agent.kill()
    assert door.says("/readyz") == DOWN
    door.agent.start()
    said: list[tuple[int, bytes]] = []

    def answers() -> bool:
        said.append(door.ask("/readyz"))
        return said[-1][0] == 200

    until(answers, "it answers")
    shut = {json.loads(body)["reason"] for status, body in said if status == 503}
    assert shut <= {AWAY, "the agent is starting"}, "nothing else was waited for"
    until(lambda: door.says("/manager") == 200, "it leads again")


def test_an_agent_whose_secret_is_open_to_others_does_not_start(door: Door) -> None:
    until(lambda: door.says("/healthz") == 200, "it runs")
    door.agent.end()
    door.token.chmod(0o644)
    try:
        refused = door.agent.run("run")
        assert refused.returncode == 2
        assert "has mode 0644" in refused.stderr
        checked = door.agent.run("doctor")
        assert checked.returncode == 1
        assert "chmod 600" in checked.stdout
    finally:
        door.token.chmod(0o600)
    door.agent.start()
    until(lambda: door.says("/healthz") == 200, "it runs again")
