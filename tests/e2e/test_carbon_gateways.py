"""Three agents beside three Carbon products: what status says is what the gateways serve.

The products are doubles (`carbon_double`), thirty times as fast as the real ones, which can't be had
here. The tests are one story and run in their order, each on what the one before has left. Every step
ends with what the three serve over HTTP, and with the words of `status` and `describe`.
"""

import re
import signal
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from syncagent.core.digest import digest_of
from tests.e2e.carbon_double import SYNAPSE, CarbonHome
from tests.e2e.cluster import Agent, Cluster, until
from tests.e2e.gateways import Gated
from tests.e2e.synapse import put

pytestmark = pytest.mark.e2e

NAMES = ("gw-1", "gw-2", "gw-3")
ALL = [*NAMES]
PATIENCE_S = 60.0
TENANT = "3"
LOG_BYTES = 5_000
"""At which the logs are rotated: a few times within the story."""
NS = 'xmlns="http://ws.apache.org/ns/synapse"'
REFUSED = "no.such.Class"
"""What the doubles refuse and no static check can know: see `carbon_double`."""
WORDS = "Class no.such.Class not found in the path"
SETTLE = "100ms"
"""Two seconds by default, which is to the real scan of 15 s as this is to the doubles'."""


def api(name: str, word: str, inside: str = "") -> bytes:
    return (
        f'<api {NS} name="{name}" context="/{name.lower()}"><resource methods="GET">'
        f'<inSequence>{inside}<property name="word" value="{word}"/><respond/></inSequence>'
        "</resource></api>"
    ).encode()


def sequence(name: str, word: str) -> bytes:
    return (
        f'<sequence {NS} name="{name}"><property name="word" value="{word}"/></sequence>'.encode()
    )


def endpoint(name: str) -> bytes:
    return f'<endpoint {NS} name="{name}"><address uri="http://127.0.0.1:9/"/></endpoint>'.encode()


def plan(word: str) -> bytes:
    return (
        "@Plan:name('Limits')\ndefine stream Requests (key string);\n"
        f"from Requests[key == '{word}'] select key insert into Throttled;\n"
    ).encode()


def refused(name: str) -> bytes:
    return api(name, "bad", f'<class name="{REFUSED}"/>')


BASE = {
    "sequences/main.xml": sequence("main", "m"),
    "sequences/fault.xml": sequence("fault", "f"),
    "api/Token.xml": api("Token", "t"),
}
"""What each product is delivered with."""


@dataclass
class Carbons(Gated):
    """The agents, and the product beside each."""

    homes: dict[str, CarbonHome]

    @property
    def plans(self) -> Path:
        return self.homes[NAMES[0]].plans

    def close(self) -> None:
        """End the agents and the runtimes."""
        with ExitStack() as stack:
            for home in self.homes.values():
                stack.callback(home.kill)
            self.agents.close()

    def serve(self, name: str, content: bytes | None, folder: str = "api") -> list[str]:
        """Return the gateways that serve exactly these bytes under a name; None: that serve nothing."""
        return [who for who, home in self.homes.items() if home.serves(folder, name) == content]

    def word(self, name: str, word: str, folder: str = "api") -> list[str]:
        """Return the gateways that serve a version, in whatever bytes."""
        wanted = f'value="{word}"'.encode()
        found = {who: home.serves(folder, name) for who, home in self.homes.items()}
        return [who for who, content in found.items() if content is not None and wanted in content]

    def status(self) -> str:
        """Return what a person reads."""
        return self.manager.run("status").stdout

    def revision(self) -> int:
        number = self.row(NAMES[0])["revision"]
        assert isinstance(number, int)
        return number

    def everywhere(self, path: str, state: str) -> bool:
        """Tell whether an artifact is in one state on all nodes."""
        return self.states(path) == dict.fromkeys(NAMES, state)

    def tenant_serves(self, name: str, content: bytes) -> bool:
        """Tell whether all gateways serve this of the tenant."""
        return all(home.serves("api", name, TENANT) == content for home in self.homes.values())

    def push(self, path: str, content: bytes) -> None:
        """Write a file that is declared before the manager's runtime meets it, as is usual."""
        number = self.revision()
        with frozen(self.homes[NAMES[0]]):
            put(self.tree / path, content)
            until(lambda: self.revision() > number, f"{path} is declared")

    def events(self, what: str, path: str, on: str = NAMES[0]) -> int:
        """Count what happened to a path on a node."""
        lines = self.agents[on].log.read_text().splitlines()
        return sum(f'"what": "{what}"' in line and path in line for line in lines)


@contextmanager
def frozen(home: CarbonHome) -> Iterator[None]:
    """Keep a runtime from scanning for as long as the block lasts."""
    assert home.process is not None, "it runs"
    home.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        home.process.send_signal(signal.SIGCONT)


def put_now(path: Path, content: bytes) -> None:
    """Write a file whose time says when that was."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.rename(path)


def make(folder: Path) -> Carbons:
    """Make and start three products with the same artifacts, and make an agent for each."""
    homes = {}
    with ExitStack() as stack:
        for name in NAMES:
            home = CarbonHome(folder / "gateways" / name, log_bytes=LOG_BYTES, tenants=(TENANT,))
            stack.callback(home.kill)
            for path, content in BASE.items():
                put(home.config / path, content)
            homes[name] = home
            home.launch()
            # Its port is taken before the next one looks for its own.
            until(lambda home=home: home.serves("api", "Token"), "it serves")  # type: ignore[misc]
        own = {
            name: {
                "tree": {"path": str(home.config)},
                "gateway": {"home": str(home.folder)},
                "runtime": {"kind": "auto"},
                "limits": {"settle_written": SETTLE, "settle_created": SETTLE},
            }
            for name, home in homes.items()
        }
        agents = Cluster(folder, dict.fromkeys(NAMES), own=own)
        for agent in agents:
            agent.tree.rmdir()
            agent.tree.symlink_to(homes[agent.name].config)
        stack.pop_all()
    return Carbons(agents, homes)


@pytest.fixture(scope="module")
def carbons(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carbons]:
    with closing(make(tmp_path_factory.mktemp("carbons"))) as carbons:
        carbons.agents.start()
        carbons.deployed()
        yield carbons


def _all_serve(homes: Iterable[CarbonHome], names: Iterable[str], word: str) -> bool:
    return all(home.serves("api", name) == api(name, word) for home in homes for name in names)


def reset(agent: Agent, section: str, values: str) -> None:
    """Have a running agent take up another section of its settings."""
    text = re.sub(rf"\[{section}\]\n(?:\w+ = .*\n)*", "", agent.settings.read_text())
    agent.settings.write_text(f"[{section}]\n{values}\n{text}")
    before = agent.log.read_text().count("settings read again")
    assert agent.process is not None
    agent.process.send_signal(signal.SIGHUP)
    until(
        lambda: agent.log.read_text().count("settings read again") > before,
        f"{agent.name} has read its settings",
    )


# --- publishing -------------------------------------------------------------------------------------


def test_what_was_there_before_the_agents_is_deployed_and_not_touched(carbons: Carbons) -> None:
    assert carbons.serve("Token", BASE["api/Token.xml"]) == ALL
    assert carbons.states("api/Token") == dict.fromkeys(NAMES, "Deployed")
    assert "API Manager 3.2.0" in carbons.manager.run("status", "-o", "wide").stdout
    for home in carbons.homes.values():
        assert "updated" not in home.text()


def test_an_api_published_on_the_manager_is_served_by_every_gateway(carbons: Carbons) -> None:
    carbons.publish("api/Hello.xml", api("Hello", "v1"))
    assert carbons.serve("Hello", api("Hello", "v1")) == ALL
    assert carbons.states("api/Hello") == dict.fromkeys(NAMES, "Deployed")
    assert carbons.states("api/Hello", on="gw-3")["gw-2"] == "Deployed"


def test_an_update_is_served_everywhere_and_nothing_else_is_redeployed(carbons: Carbons) -> None:
    carbons.publish("api/Hello.xml", api("Hello", "v2"))
    assert carbons.serve("Hello", api("Hello", "v2")) == ALL
    for home in carbons.homes.values():
        assert home.text().count("API: Hello has been updated") == 1
        assert "Token has been" not in home.text()


def test_what_a_publisher_saves_is_deployed_by_the_runtime_s_word_and_not_touched(
    carbons: Carbons,
) -> None:
    home = carbons.homes["gw-1"]
    saved = {"Published": "added to", "Token": "updated from"}
    for name in saved:
        home.save_in_console(name, api(name, "p"))
        assert home.serves("api", name) == api(name, "p")
    files = [carbons.tree / f"api/{name}.xml" for name in saved]
    until(lambda: all(b'"p"' in f.read_bytes() for f in files if f.exists()), "they are written")
    until(lambda: carbons.serve("Token", api("Token", "p")) == ALL, "the others have it")
    carbons.deployed()
    for name, how in saved.items():
        assert carbons.serve(name, api(name, "p")) == ALL
        assert carbons.states(f"api/{name}") == dict.fromkeys(NAMES, "Deployed")
        assert f"was {how} the Synapse configuration" in carbons.words(f"api/{name}", "gw-1")
        assert carbons.events("touched", f"api/{name}.xml") == 0
        assert f"/api/{name}.xml" not in home.text(), "its deployer never spoke of it"


# --- what a runtime refuses ---------------------------------------------------------------------------


def test_a_refused_update_is_put_back_by_the_runtime_and_goes_no_further(carbons: Carbons) -> None:
    before = carbons.revision()
    carbons.push("api/Hello.xml", refused("Hello"))
    until(carbons.held, "it is held")
    until(lambda: REFUSED.encode() not in (carbons.tree / "api/Hello.xml").read_bytes(), "put back")
    assert carbons.states("api/Hello")["gw-1"] == "Rejected"
    assert WORDS in carbons.words("api/Hello", "gw-1")
    assert WORDS in carbons.manager.run("get", "refused").stdout
    assert WORDS in carbons.status()
    # What the runtime wrote is its own old version in other bytes: no change, and no drift.
    assert (carbons.tree / "api/Hello.xml").read_bytes() != api("Hello", "v2")
    assert carbons.manager.run("reconcile").returncode == 5, "it waits for a person"
    assert carbons.revision() == before + 1
    assert carbons.word("Hello", "v2") == ALL
    for name in ("gw-2", "gw-3"):
        there = carbons.homes[name].config / "api/Hello.xml"
        assert there.read_bytes() == api("Hello", "v2")
        assert "Failed!" not in carbons.homes[name].text()


def test_the_bytes_that_the_runtime_destroyed_can_be_had(carbons: Carbons) -> None:
    kept = carbons.manager.ask("get", "quarantine")
    assert isinstance(kept, list)
    (row,) = [row for row in kept if row["path"] == "api/Hello.xml"]
    assert row["digest"] == digest_of(refused("Hello"))
    assert WORDS in row["reason"]


def test_a_mended_version_is_served_everywhere(carbons: Carbons) -> None:
    carbons.push("api/Hello.xml", api("Hello", "v3"))
    carbons.deployed()
    assert carbons.serve("Hello", api("Hello", "v3")) == ALL
    assert carbons.states("api/Hello") == dict.fromkeys(NAMES, "Deployed")
    assert not carbons.held()
    assert "Rejected" not in carbons.status()


def test_what_the_runtime_refused_before_the_agent_had_looked_is_no_revision(
    carbons: Carbons,
) -> None:
    reset(carbons.manager, "limits", 'settle_written = "2s"')
    number = carbons.revision()
    put(carbons.tree / "api/Hello.xml", refused("Hello"))
    home = carbons.homes["gw-1"]
    until(lambda: home.text().count("API named 'Hello' has been restored") == 2, "it is restored")
    assert carbons.manager.run("reconcile").returncode == 0
    until(lambda: carbons.events("runtime-wrote", "api/Hello.xml") == 2, "it is known whose it is")
    assert carbons.events("rejected-edit", "api/Hello.xml") == 1
    assert carbons.states("api/Hello") == dict.fromkeys(NAMES, "Deployed")
    assert carbons.revision() == number
    assert carbons.word("Hello", "v3") == ALL
    reset(carbons.manager, "limits", f'settle_written = "{SETTLE}"\nsettle_created = "{SETTLE}"')
    carbons.publish("api/Hello.xml", api("Hello", "v4"))
    assert carbons.serve("Hello", api("Hello", "v4")) == ALL


# --- what a runtime swallows --------------------------------------------------------------------------


def test_a_change_that_was_swallowed_after_the_start_is_healed_by_a_touch(carbons: Carbons) -> None:
    home = carbons.homes["gw-1"]
    home.stop()
    home.launch()
    until(lambda: home.serves("api", "Hello"), "it has loaded its artifacts and isn't ready")
    touched = carbons.events("touched", "api/Hello.xml")
    put_now(carbons.tree / "api/Hello.xml", api("Hello", "v5"))
    carbons.deployed()
    assert carbons.serve("Hello", api("Hello", "v5")) == ALL
    assert carbons.events("touched", "api/Hello.xml") == touched + 1
    assert carbons.states("api/Hello") == dict.fromkeys(NAMES, "Deployed")


# --- what can't be undeployed -------------------------------------------------------------------------


def test_the_main_sequence_is_written_back_by_the_runtime_and_nobody_fights_it(
    carbons: Carbons,
) -> None:
    number = carbons.revision()
    with frozen(carbons.homes["gw-1"]):
        for name in ("main", "fault"):
            (carbons.tree / f"sequences/{name}.xml").unlink()
        until(lambda: carbons.revision() > number, "the deletions are declared")
    home = carbons.homes["gw-1"]
    until((carbons.tree / "sequences/main.xml").is_file, "the runtime brings it back")
    carbons.deployed()
    assert carbons.word("main", "m", "sequences") == ALL
    assert carbons.word("fault", "f", "sequences") == ALL
    for name in NAMES:
        assert "put its own version back" in carbons.words("sequence/main", name)
    assert carbons.events("runtime-wrote", "sequences/main.xml", "gw-3") == 1
    assert carbons.manager.run("reconcile").returncode == 0
    assert carbons.revision() == number + 1
    for home in carbons.homes.values():
        assert home.text().count("Cannot Undeploy") == 2


# --- tenants ------------------------------------------------------------------------------------------


def test_what_a_tenant_has_is_dormant_until_it_is_loaded(carbons: Carbons) -> None:
    tree = carbons.homes["gw-1"].tenant(TENANT) / SYNAPSE
    put(tree / "api/First.xml", api("First", "t1"))
    where = "tenant-3:api/First"
    files = [home.tenant(TENANT) / SYNAPSE / "api/First.xml" for home in carbons.homes.values()]
    until(lambda: all(file.is_file() for file in files), "it arrives")
    carbons.deployed()
    assert carbons.states(where) == dict.fromkeys(NAMES, "Dormant")
    assert "not loaded" in carbons.words(where, "gw-2")
    for home in carbons.homes.values():
        assert home.serves("api", "First", TENANT) is None
        home.load_tenant(TENANT)
        assert home.serves("api", "First", TENANT) == api("First", "t1")
    put(tree / "api/Second.xml", api("Second", "t2"))
    until(lambda: carbons.tenant_serves("Second", api("Second", "t2")), "it is served everywhere")
    until(lambda: carbons.everywhere("tenant-3:api/Second", "Deployed"), "the log says so")
    # Whatever was heard of one of its artifacts, the tenant is loaded, with all that it had.
    assert carbons.everywhere(where, "Pending")


# --- plans --------------------------------------------------------------------------------------------


def test_a_plan_is_deployed_and_a_broken_one_gets_no_further_than_the_disk(
    carbons: Carbons,
) -> None:
    put(carbons.plans / "Limits.siddhiql", plan("first"))
    until(lambda: carbons.serve("Limits", plan("first"), "plan") == ALL, "it runs everywhere")
    until(lambda: carbons.everywhere("plan/Limits", "Deployed"), "the log says so")
    number = carbons.revision()
    with frozen(carbons.homes["gw-1"]):
        put(carbons.plans / "Limits.siddhiql", plan("second").replace(b"insert into", b"insert"))
        until(lambda: carbons.manager.ask("get", "refused"), "it is refused")
        assert "siddhi" in carbons.manager.run("get", "refused").stdout
        assert carbons.revision() == number
        put(carbons.plans / "Limits.siddhiql", plan("third"))
        until(lambda: carbons.revision() > number, "it is mended")
    until(lambda: carbons.serve("Limits", plan("third"), "plan") == ALL, "it runs everywhere")


def test_a_plan_that_only_the_runtime_refuses_runs_on_where_it_did_not_arrive(
    carbons: Carbons,
) -> None:
    put(carbons.plans / "Limits.siddhiql", plan(REFUSED))
    until(carbons.held, "it is held")
    assert carbons.states("plan/Limits") == {
        "gw-1": "Rejected",
        "gw-2": "Deployed",
        "gw-3": "Deployed",
    }
    assert WORDS in carbons.words("plan/Limits", "gw-1")
    # An update of a plan is an undeploy first: there is nothing to go back to.
    assert carbons.serve("Limits", plan("third"), "plan") == ["gw-2", "gw-3"]
    (hold,) = carbons.held()
    done = carbons.manager.run("reject", hold)
    assert done.returncode == 0, done.stderr
    until(lambda: carbons.serve("Limits", plan("third"), "plan") == ALL, "it runs again")
    until(lambda: carbons.everywhere("plan/Limits", "Deployed"), "the log says so")


# --- an agent that is away ----------------------------------------------------------------------------


def test_what_the_runtime_did_while_the_agent_was_away_is_heard_over_rotated_logs(
    carbons: Carbons,
) -> None:
    home = carbons.homes["gw-1"]
    carbons.manager.kill()
    logs = len(list(home.log.parent.glob("wso2carbon-*.log")))
    names = [f"Away{number}" for number in range(20)]
    for word in ("a1", "a2"):
        for name in names:
            put(carbons.tree / f"api/{name}.xml", api(name, word))
        until(lambda word=word: _all_serve([home], names, word), "it is deployed")  # type: ignore[misc]
    assert len(list(home.log.parent.glob("wso2carbon-*.log"))) >= logs + 2
    carbons.agents.start("gw-1")
    until(lambda: _all_serve(carbons.homes.values(), names, "a2"), "they are served everywhere")
    carbons.deployed()
    for name in (names[0], names[-1]):
        assert carbons.states(f"api/{name}") == dict.fromkeys(NAMES, "Deployed")
        assert f"api/{name}.xml" in carbons.words(f"api/{name}", "gw-1"), "by a line of its log"


def test_what_a_tenant_had_is_deployed_since_it_is_loaded(carbons: Carbons) -> None:
    carbons.deployed()
    assert carbons.states("tenant-3:api/First") == dict.fromkeys(NAMES, "Deployed")
    assert "loaded with its tenant" in carbons.words("tenant-3:api/First", "gw-1")


def test_a_runtime_that_restarted_while_the_agent_was_away_has_what_it_loaded(
    carbons: Carbons,
) -> None:
    carbons.agents["gw-3"].kill()
    carbons.homes["gw-3"].stop()
    put(carbons.tree / "api/Hello.xml", api("Hello", "v6"))
    until(lambda: carbons.serve("Hello", api("Hello", "v6")) == ["gw-1", "gw-2"], "others go on")
    carbons.homes["gw-3"].start()
    mark = len(carbons.homes["gw-3"].text())
    carbons.agents.start("gw-3")
    carbons.agents.wait_synced()
    carbons.deployed()
    assert carbons.serve("Hello", api("Hello", "v6")) == ALL
    assert carbons.states("api/Hello") == dict.fromkeys(NAMES, "Deployed")
    assert carbons.states("api/Away0", on="gw-3")["gw-3"] == "Deployed"
    assert "Away" not in carbons.homes["gw-3"].text()[mark:], "what it loaded is not touched"


# --- what follows a refusal ---------------------------------------------------------------------------


def test_a_rollback_puts_the_last_good_version_back_everywhere(carbons: Carbons) -> None:
    reset(carbons.manager, "rollout", 'on_reject = "rollback"')
    number = carbons.revision()
    carbons.push("api/Hello.xml", refused("Hello"))
    until(lambda: carbons.revision() == number + 2, "a new revision puts it back")
    assert not carbons.held()
    assert "Publisher" in carbons.status()
    carbons.deployed()
    assert (carbons.tree / "api/Hello.xml").read_bytes() == api("Hello", "v6")
    assert carbons.serve("Hello", api("Hello", "v6")) == ALL
    assert carbons.states("api/Hello") == dict.fromkeys(NAMES, "Deployed")
    for name in ("gw-2", "gw-3"):
        assert "Failed!" not in carbons.homes[name].text()


def test_where_rejects_stop_nothing_each_runtime_says_so_for_itself(carbons: Carbons) -> None:
    reset(carbons.manager, "rollout", 'on_reject = "continue"')
    carbons.push("api/Hello.xml", refused("Hello"))
    until(lambda: carbons.everywhere("api/Hello", "Rejected"), "each has tried it")
    done = carbons.manager.run("wait", "--deployed", "--timeout", "60s")
    assert done.returncode == 6
    assert WORDS in done.stderr
    assert carbons.word("Hello", "v6") == ALL
    assert not carbons.held()
    carbons.push("api/Hello.xml", api("Hello", "v7"))
    carbons.deployed()
    assert carbons.serve("Hello", api("Hello", "v7")) == ALL


def test_dependencies_are_deployed_before_what_uses_them(carbons: Carbons) -> None:
    for agent in carbons.agents:
        reset(agent, "rollout", "ordered = true")
    uses = '<sequence key="greet"/><send><endpoint key="back"/></send>'
    number = carbons.revision()
    with frozen(carbons.homes["gw-1"]):
        put(carbons.tree / "api/Greet.xml", api("Greet", "g", uses))
        put(carbons.tree / "sequences/greet.xml", sequence("greet", "g"))
        put(carbons.tree / "endpoints/back.xml", endpoint("back"))
        until(lambda: carbons.revision() > number, "it is declared")
    carbons.deployed()
    assert carbons.serve("Greet", api("Greet", "g", uses)) == ALL
    for name in ("gw-2", "gw-3"):
        # In one look of its own this runtime takes APIs first.
        text = carbons.homes[name].text()
        steps = ["Endpoint named 'back'", "Sequence named 'greet'", "API named 'Greet'"]
        found = [text.index(step) for step in steps]
        assert found == sorted(found)
    assert carbons.states("endpoint/back") == dict.fromkeys(NAMES, "Deployed")


# --- alone --------------------------------------------------------------------------------------------


def test_a_gateway_starts_with_the_last_good_revision_where_nobody_can_be_asked(
    carbons: Carbons,
) -> None:
    home, agent = carbons.homes["gw-2"], carbons.agents["gw-2"]
    home.stop()
    for each in carbons.agents:
        each.end()
    carbons.agents.start("gw-2")
    number = agent.own_row()["revision"]
    done = agent.run("wait", "--ready", "--timeout", "3s")
    assert done.returncode == 0
    assert f"revision {number}, the last good one here, may not be the newest" in done.stderr
    home.start()
    assert home.serves("api", "Hello") == api("Hello", "v7")
    carbons.agents.start()
    carbons.deployed()
    done = agent.run("wait", "--ready", "--timeout", "30s")
    assert (done.returncode, done.stderr) == (0, "")
    assert carbons.serve("Hello", api("Hello", "v7")) == ALL
    assert carbons.states("api/Hello") == dict.fromkeys(NAMES, "Deployed")
