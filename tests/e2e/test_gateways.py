"""Three agents beside three real Synapse runtimes: what status says is what the gateways answer.

The tests are one story and run in their order, each on what the one before has left. Every step ends
with HTTP requests through each runtime: the files, the words of `status` and the answers must agree.
"""

import subprocess
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.e2e.cluster import until
from tests.e2e.gateways import Gateways, make_gateways
from tests.e2e.synapse import SynapseHome, answering, library, put

pytestmark = [pytest.mark.e2e, pytest.mark.needs_synapse]

NAMES = ("gw-1", "gw-2", "gw-3")
PATIENCE_S = 120.0
"""Each runtime looks every 10 s, one after the other: manager, first worker, second worker."""

MEDIATOR = """\
package here;
public class Only extends org.apache.synapse.mediators.AbstractMediator {
  public boolean mediate(org.apache.synapse.MessageContext context) { return true; }
}
"""


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    with closing(make_gateways(tmp_path_factory.mktemp("gateways"), *NAMES)) as gateways:
        gateways.agents.start()
        gateways.deployed()
        yield gateways


def test_an_api_published_on_the_manager_answers_through_every_gateway(gateways: Gateways) -> None:
    gateways.publish("api/Hello.xml", answering("Hello", "/hello", "v1"))
    assert gateways.say("/hello", "v1") == [*NAMES]
    assert gateways.states("api/Hello") == dict.fromkeys(NAMES, "Deployed")
    assert gateways.states("api/Hello", on="gw-3")["gw-3"] == "Deployed"


def test_an_update_answers_with_its_new_body_and_nothing_else_is_redeployed(
    gateways: Gateways,
) -> None:
    gateways.publish("api/Other.xml", answering("Other", "/other", "o1"))
    marks = {name: home.log_size() for name, home in gateways.homes.items()}
    gateways.publish("api/Hello.xml", answering("Hello", "/hello", "v2"))
    assert gateways.say("/hello", "v2") == [*NAMES]
    for name, home in gateways.homes.items():
        said = home.log_text(marks[name])
        assert "API: Hello has been updated" in said
        assert "Other" not in said, "what did not change is not touched"


def test_an_api_and_what_it_uses_arrive_together_and_work(gateways: Gateways) -> None:
    greeting = (
        b'<sequence xmlns="http://ws.apache.org/ns/synapse" name="greet">'
        b'<property name="greeted" value="yes"/></sequence>'
    )
    put(gateways.tree / "sequences/greet.xml", greeting)
    inside = '      <sequence key="greet"/>\n'
    gateways.publish("api/Greet.xml", answering("Greet", "/greet", "hi", inside=inside))
    assert gateways.say("/greet", "hi") == [*NAMES]
    assert gateways.states("sequence/greet") == dict.fromkeys(NAMES, "Deployed")


def test_a_renamed_file_loses_no_api(gateways: Gateways) -> None:
    (gateways.tree / "api/Other.xml").rename(gateways.tree / "api/Renamed.xml")
    until(
        lambda: gateways.row("gw-1")["revision"] == gateways.row("gw-3")["revision"], "it travels"
    )
    gateways.deployed()
    assert gateways.say("/other", "o1") == [*NAMES]
    for home in gateways.homes.values():
        assert not (home.config / "api/Other.xml").exists()


def test_a_deleted_api_is_served_nowhere(gateways: Gateways) -> None:
    (gateways.tree / "api/Renamed.xml").unlink()
    until(lambda: not gateways.serve("/other"), "no gateway serves it", PATIENCE_S)
    gateways.deployed()


def test_a_broken_file_gets_no_further_than_the_manager_s_disk(gateways: Gateways) -> None:
    number = gateways.row("gw-1")["revision"]
    put(gateways.tree / "api/Broken.xml", answering("Broken", "/broken", "b")[:-20])
    until(lambda: gateways.manager.ask("get", "refused"), "it is refused")
    (gateways.tree / "api/Broken.xml").unlink()
    assert gateways.row("gw-1")["revision"] == number
    assert not any((home.config / "api/Broken.xml").exists() for home in gateways.homes.values())


def test_a_runtime_that_was_killed_gets_what_it_missed_when_it_is_back(gateways: Gateways) -> None:
    gateways.homes["gw-2"].kill()
    until(lambda: "down" in str(gateways.row("gw-2")), "status says so", 30.0)
    put(gateways.tree / "api/Hello.xml", answering("Hello", "/hello", "v3"))
    until(lambda: gateways.say("/hello", "v3") == ["gw-1", "gw-3"], "others go on", PATIENCE_S)
    assert gateways.states("api/Hello")["gw-2"] == "Pending"
    gateways.homes["gw-2"].start()
    gateways.deployed()
    assert gateways.say("/hello", "v3") == [*NAMES]


def test_an_agent_that_was_killed_knows_what_its_runtime_has_and_touches_nothing(
    gateways: Gateways,
) -> None:
    mark = gateways.homes["gw-3"].log_size()
    gateways.agents["gw-3"].kill()
    gateways.agents.start("gw-3")
    gateways.deployed()
    assert gateways.states("api/Hello", on="gw-3")["gw-3"] == "Deployed"
    assert "updated" not in gateways.homes["gw-3"].log_text(mark)


def test_one_gateway_is_taken_out_and_put_back_by_hand(gateways: Gateways) -> None:
    done = gateways.manager.run("undeploy", "api/Hello", "--node", "gw-2", "--for", "10m")
    assert done.returncode == 0, done.stderr
    until(lambda: gateways.serve("/hello") == ["gw-1", "gw-3"], "it is gone there", PATIENCE_S)
    assert gateways.manager.run("reconcile").returncode == 0
    assert gateways.serve("/hello") == ["gw-1", "gw-3"], "reconcile respects it"
    assert "undeployed" in gateways.manager.run("status").stdout
    done = gateways.manager.run("redeploy", "api/Hello", "--node", "gw-2")
    assert done.returncode == 0, done.stderr
    until(lambda: gateways.say("/hello", "v3") == [*NAMES], "it is back", PATIENCE_S)
    gateways.deployed()


def test_what_one_worker_s_runtime_refuses_is_held_and_put_back_by_a_word(
    gateways: Gateways,
) -> None:
    _compile(gateways.homes["gw-1"])
    only = answering("Only", "/only", "x", inside='      <class name="here.Only"/>\n')
    put(gateways.tree / "api/Only.xml", only)
    until(gateways.held, "it is held", PATIENCE_S)
    states = gateways.states("api/Only")
    # Of the workers the first that is prepared goes first.
    (first,) = [name for name, state in states.items() if state == "Rejected"]
    assert first != "gw-1"
    assert "here.Only" in gateways.words("api/Only", first)
    assert gateways.say("/only", "x") == ["gw-1"]
    (other,) = set(NAMES) - {"gw-1", first}
    assert not (gateways.homes[other].config / "api/Only.xml").exists(), "the next wave did not go"
    assert gateways.say("/hello", "v3") == [*NAMES]
    (hold,) = gateways.held()
    done = gateways.manager.run("reject", hold)
    assert done.returncode == 0, done.stderr
    until(lambda: not gateways.serve("/only"), "it is gone again", PATIENCE_S)
    gateways.deployed()
    assert "Publisher" in gateways.manager.run("status").stdout


def test_an_update_that_kills_the_manager_s_deployer_goes_no_further(gateways: Gateways) -> None:
    bad = answering("Hello", "/hello", "v4", inside='      <class name="no.such.Mediator"/>\n')
    put(gateways.tree / "api/Hello.xml", bad)
    until(gateways.held, "it is held", PATIENCE_S)
    assert gateways.homes["gw-1"].deployer_died
    assert not gateways.homes["gw-2"].deployer_died
    assert gateways.states("api/Hello")["gw-1"] == "Rejected"
    assert "no.such.Mediator" in gateways.words("api/Hello", "gw-1")
    said = gateways.manager.run("status").stdout
    assert "restart" in said
    assert gateways.say("/hello", "v3") == [*NAMES]
    for name in ("gw-2", "gw-3"):
        assert b"no.such" not in (gateways.homes[name].config / "api/Hello.xml").read_bytes()


def test_after_a_rollback_and_a_restart_every_gateway_serves_the_old_version(
    gateways: Gateways,
) -> None:
    (hold,) = gateways.held()
    done = gateways.manager.run("reject", hold)
    assert done.returncode == 0, done.stderr
    until(lambda: not gateways.held(), "nothing is held")
    gateways.homes["gw-1"].restart()
    gateways.deployed()
    assert gateways.say("/hello", "v3") == [*NAMES]
    assert gateways.states("api/Hello") == dict.fromkeys(NAMES, "Deployed")
    kept = gateways.manager.ask("get", "quarantine")
    assert isinstance(kept, list)
    assert any("Hello" in row["path"] for row in kept), "the bytes of the bad one are kept"
    gateways.publish("api/Hello.xml", answering("Hello", "/hello", "v5"))
    assert gateways.say("/hello", "v5") == [*NAMES]


def _compile(home: SynapseHome) -> None:
    """Give one runtime a class that the others have not got."""
    source = home.folder / "Only.java"
    source.write_text(MEDIATOR)
    subprocess.run(
        [
            "javac",
            *("-cp", f"{library()}/lib/*"),
            *("-d", str(home.folder / "lib"), str(source)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
