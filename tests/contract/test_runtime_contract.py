"""What every implementation of `ports.Runtime` does that answers: adapters of logs, programs, the fake.

A `World` is a runtime, how it is made to do things, and an agent's ear at it. Those in `WATCHED` have a
process that comes and goes, and a past that can be heard again from a mark.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import pytest

from syncagent.core.artifact import ArtifactPath, Kind, TreeKind, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.events import RuntimeHeard, RuntimeTurned
from syncagent.core.runtime import Heard, Order, OrderItem, Phase, Saying
from syncagent.core.settings import RuntimeSettings, TreeSettings
from syncagent.fsio import OsFS
from syncagent.ports import Instant
from syncagent.runtime.choose import Home, choose
from syncagent.runtime.listening import Means
from tests.fakes.disk import FakeDisk
from tests.fakes.inbox import Inbox
from tests.fakes.proc import FakeProc
from tests.fakes.runtime import FakeGateway, FakeRuntime
from tests.fakes.runtime_words import CARBON, SYNAPSE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from syncagent.ports import Runtime

TREE = TreeName("synapse")
HERE = ArtifactPath(TREE, "api/Pizza.xml")
NAMESPACE = "http://ws.apache.org/ns/synapse"


def api(name: str, context: str) -> bytes:
    return f'<api xmlns="{NAMESPACE}" name="{name}" context="{context}"/>'.encode()


class World(Protocol):
    """A runtime that a test makes do things."""

    def ear(self) -> Runtime: ...
    def boot(self) -> None: ...
    def kill(self) -> None: ...
    def deploy(self, path: ArtifactPath, *, updated: bool = False) -> None: ...
    def undeploy(self, path: ArtifactPath) -> None: ...
    def refuse(self, path: ArtifactPath) -> None: ...


class RealClock:
    """Wall time and boot time, as the agent's own clock has them."""

    def now(self) -> Instant:
        return Instant(time.clock_gettime(time.CLOCK_BOOTTIME))

    def wall(self) -> float:
        return time.time()  # noqa: TID251


@dataclass
class Outlet:
    """Where an ear posts to: another inbox after it was taken off."""

    inbox: Inbox


@dataclass
class LogWorld:
    """A real adapter beside a gateway that is only a log, written by hand, and an entry in a /proc."""

    kind: str
    folder: Path
    outlet: Outlet
    pid: int = 4000

    def __post_init__(self) -> None:
        apache = self.kind == "synapse"
        conf = (
            "repository/conf/synapse-config"
            if apache
            else "repository/deployment/server/synapse-configs/default"
        )
        self.root = self.folder / "home" / conf
        self.root.mkdir(parents=True)
        self.proc = FakeProc(self.folder / "proc")
        self.log = (
            self.folder
            / "home"
            / ("logs/synapse.log" if apache else "repository/logs/wso2carbon.log")
        )
        self.log.parent.mkdir(parents=True, exist_ok=True)

    def ear(self) -> Runtime:
        inbox = self.outlet.inbox
        tree = TreeSettings(TREE, TreeKind.SYNAPSE, str(self.root))
        means = Means(OsFS(), RealClock(), inbox.post, (tree,), proc=str(self.proc.folder))
        home = Home(str(self.folder / "home"), "", "3.0.1", carbon=self.kind == "carbon")
        return choose(means, RuntimeSettings(), home)

    def boot(self) -> None:
        self.pid += 1
        main = (
            "org.apache.synapse.SynapseServer"
            if self.kind == "synapse"
            else "org.wso2.carbon.bootstrap.Bootstrap"
        )
        self.proc.start(
            self.pid, "java", f"-Dhome={self.folder}/home", main, at=RealClock().now() - 1
        )
        apache = self.kind == "synapse"
        self._say("INFO", "Starting Apache Synapse..." if apache else "Starting WSO2 Carbon...")
        self._say(
            "WARN",
            "Error while building API configuration from file : Broken.xml - Continue in fail-safe mode",
        )
        self._say(
            "INFO",
            "Server ready for processing..." if apache else "WSO2 Carbon started in 12 sec",
        )

    def kill(self) -> None:
        self.proc.end(self.pid)

    def deploy(self, path: ArtifactPath, *, updated: bool = False) -> None:
        said = (
            "API: P has been updated from the file: "
            if updated
            else "API named 'P' has been deployed from file : "
        )
        self._say("INFO", f"{said}{self.root}/{path.path}")

    def undeploy(self, path: ArtifactPath) -> None:
        self._say("INFO", "API named 'P' has been undeployed")

    def refuse(self, path: ArtifactPath) -> None:
        file = f"{self.root}/{path.path}"
        self._say("ERROR", "Attribute 'name' is required for an API definition")
        self._say("ERROR", f"API deployment from the file : {file} : Failed.")
        self._say("ERROR", f"Deployment of the Synapse Artifact from file : {file} : Failed!")
        self._say("INFO", f"The file has been backed up into : {file}.back")

    def _say(self, level: str, text: str) -> None:
        now = RealClock().wall()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now)) + f",{int(now % 1 * 1000):03d}"
        if self.kind == "synapse":
            line = f"{stamp} [-] [Timer-0] {level:>5} APIDeployer {text}"
        else:
            line = f"TID: [-1234] [] [{stamp}] {level:>5} {{org.apache.synapse.deployers.APIDeployer}} - {text}"
        with self.log.open("a") as log:
            log.write(f"{line}\n")


@dataclass
class FakeWorld:
    """The simulation's gateway, and its ear."""

    kind: str
    outlet: Outlet
    now: float = 1_700_000_000.0
    refused: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.disk = FakeDisk((TREE,), wall=lambda: self.now)
        self.gateway = FakeGateway(
            self.disk,
            SYNAPSE if self.kind == "fake-synapse" else CARBON,
            lambda: self.now,
            refuses=lambda path, _: "Attribute 'name' is required" if path in self.refused else "",
        )

    def ear(self) -> Runtime:
        return FakeRuntime(self.gateway, self.outlet.inbox.post)

    def boot(self) -> None:
        self.disk.put(ArtifactPath(TREE, "api/Broken.xml"), b"<api")
        self.gateway.boot()
        self._pass(120.0)

    def kill(self) -> None:
        self.gateway.kill()

    def deploy(self, path: ArtifactPath, *, updated: bool = False) -> None:
        self._put(path)

    def undeploy(self, path: ArtifactPath) -> None:
        self.disk.remove(path)
        self._pass(60.0)

    def refuse(self, path: ArtifactPath) -> None:
        self.refused.add(path.path)
        self._put(path)
        self.refused.discard(path.path)

    def _put(self, path: ArtifactPath) -> None:
        self.now += 2.0
        name = path.path.rpartition("/")[2].removesuffix(".xml")
        self.disk.put(path, api(name, f"/{name}/{self.now}"))
        self._pass(60.0)

    def _pass(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.gateway.due()) <= until:
            self.now = max(self.now, due)
            self.gateway.run()
        self.now = until


PROGRAM = """
import json, sys
order = json.load(sys.stdin)
wish = open({wish!r}).read()
items = [{{"tree": i["tree"], "path": i["path"], "state": "rejected", "reason": "Attribute 'name' is required"}}
         for i in order["items"]] if wish == "refuse" else []
print(json.dumps({{"items": items}}))
"""


@dataclass
class CommandWorld:
    """The adapter of programs, with a program that does as a file tells."""

    folder: Path
    outlet: Outlet
    runtime: Runtime | None = None

    def __post_init__(self) -> None:
        self.wish = self.folder / "wish"
        self.wish.write_text("take")
        self.program = self.folder / "program.py"
        self.program.write_text(PROGRAM.format(wish=str(self.wish)))

    def ear(self) -> Runtime:
        wanted = RuntimeSettings(kind="command", command=(sys.executable, str(self.program)))
        means = Means(OsFS(), RealClock(), self.outlet.inbox.post)
        self.runtime = choose(means, wanted, Home())
        return self.runtime

    def boot(self) -> None:
        """A program is always ready."""

    def kill(self) -> None:
        raise AssertionError("a program has no process between two orders")

    def deploy(self, path: ArtifactPath, *, updated: bool = False) -> None:
        self._tell(OrderItem(path, Kind.API, "P", digest_of(b"x"), updated))

    def undeploy(self, path: ArtifactPath) -> None:
        self._tell(OrderItem(path, Kind.API, "P", None, updated=True))

    def refuse(self, path: ArtifactPath) -> None:
        self.wish.write_text("refuse")
        self._tell(OrderItem(path, Kind.API, "P", digest_of(b"x")))

    def _tell(self, item: OrderItem) -> None:
        assert self.runtime is not None, "an ear comes first"
        self.runtime.tell(Order(1, (item,)))


@pytest.fixture
def outlet() -> Outlet:
    return Outlet(Inbox())


WATCHED = ("synapse", "carbon", "fake-synapse", "fake-carbon")
watched = pytest.mark.parametrize("world", WATCHED, indirect=True)


@pytest.fixture(params=[*WATCHED, "command"])
def world(request: pytest.FixtureRequest, tmp_path: Path, outlet: Outlet) -> World:
    if request.param.startswith("fake"):
        return FakeWorld(request.param, outlet)
    if request.param == "command":
        return CommandWorld(tmp_path, outlet)
    return LogWorld(request.param, tmp_path, outlet)


class Ear:
    """One agent's ear: started, with what it posted."""

    def __init__(self, world: World, outlet: Outlet, mark: str | None = None) -> None:
        self.inbox = outlet.inbox = Inbox()
        self.runtime = world.ear()
        self.runtime.start(mark)

    @property
    def heard(self) -> list[Heard]:
        return [
            each
            for event in self.inbox.events
            if isinstance(event, RuntimeHeard)
            for each in event.heard
        ]

    @property
    def phases(self) -> list[Phase]:
        return [
            event.state.phase for event in self.inbox.events if isinstance(event, RuntimeTurned)
        ]

    @property
    def mark(self) -> str:
        return [event.mark for event in self.inbox.events if isinstance(event, RuntimeHeard)][-1]

    def wait(self, saying: Saying, path: ArtifactPath = HERE) -> Heard:
        """Wait until this is said of the artifact, by path or by name."""

        def said() -> list[Heard]:
            return [
                each
                for each in self.heard
                if each.saying is saying and (each.path == path or (not each.path and each.name))
            ]

        self.inbox.wait(lambda _: said())
        return said()[-1]

    def wait_phase(self, phase: Phase) -> None:
        self.inbox.wait(lambda _: self.phases and self.phases[-1] is phase)


@pytest.fixture
def ear(world: World, outlet: Outlet) -> Iterator[Ear]:
    made = Ear(world, outlet)
    yield made
    made.runtime.stop()


def test_its_state_is_told_once_at_the_start(ear: Ear) -> None:
    ear.inbox.wait(lambda _: ear.phases)
    assert len(ear.phases) == 1


def test_it_answers_and_says_what_it_is(ear: Ear) -> None:
    about = ear.runtime.about
    assert about.answers
    assert about.label
    assert about.kind in {"synapse", "carbon", "command"}


def test_a_new_artifact_is_heard_as_deployed(world: World, ear: Ear) -> None:
    world.boot()
    world.deploy(HERE)
    assert ear.wait(Saying.DEPLOYED).path == HERE


def test_an_update_is_heard_as_one(world: World, ear: Ear) -> None:
    world.boot()
    world.deploy(HERE)
    world.deploy(HERE, updated=True)
    assert ear.wait(Saying.UPDATED).path == HERE


def test_an_undeploy_is_heard_by_path_or_by_kind_and_name(world: World, ear: Ear) -> None:
    world.boot()
    world.deploy(HERE)
    world.undeploy(HERE)
    heard = ear.wait(Saying.UNDEPLOYED)
    assert heard.path == HERE or (heard.kind is Kind.API and heard.name)


def test_a_refused_file_is_heard_with_its_reason_and_the_runtimes_words(
    world: World, ear: Ear
) -> None:
    world.boot()
    world.refuse(HERE)
    heard = ear.wait(Saying.REJECTED)
    assert heard.path == HERE
    assert "Attribute 'name' is required" in heard.reason
    assert heard.excerpt


def test_sayings_come_in_their_order(world: World, ear: Ear) -> None:
    other = ArtifactPath(TREE, "api/Other.xml")
    world.boot()
    world.deploy(HERE)
    ear.wait(Saying.DEPLOYED)
    world.refuse(other)
    ear.wait(Saying.REJECTED, other)
    said = [each.saying for each in ear.heard if each.path in {HERE, other}]
    assert said.index(Saying.DEPLOYED) < said.index(Saying.REJECTED)


@watched
def test_a_runtime_that_is_not_there_is_down_and_one_that_comes_gets_ready(
    world: World, ear: Ear
) -> None:
    ear.wait_phase(Phase.DOWN)
    world.boot()
    ear.wait_phase(Phase.READY)
    world.kill()
    ear.wait_phase(Phase.DOWN)


@watched
def test_what_fails_at_a_start_is_heard_before_ready(world: World, ear: Ear) -> None:
    ear.inbox.wait(lambda _: ear.phases)
    world.boot()
    ear.wait_phase(Phase.READY)
    events = ear.inbox.events
    ready = next(
        number
        for number, event in enumerate(events)
        if isinstance(event, RuntimeTurned) and event.state.phase is Phase.READY
    )
    before = [
        each.path
        for event in events[:ready]
        if isinstance(event, RuntimeHeard)
        for each in event.heard
    ]
    assert ArtifactPath(TREE, "api/Broken.xml") in before


@watched
def test_each_start_is_another_incarnation(world: World, ear: Ear) -> None:
    world.boot()
    ear.wait_phase(Phase.READY)
    world.kill()
    ear.wait_phase(Phase.DOWN)
    world.boot()
    ear.wait_phase(Phase.READY)
    incarnations = [
        event.state.incarnation
        for event in ear.inbox.events
        if isinstance(event, RuntimeTurned) and event.state.phase is Phase.READY
    ]
    assert len(set(incarnations)) == 2
    assert all(incarnations)


@watched
def test_an_agent_that_starts_anew_hears_on_from_its_mark(world: World, outlet: Outlet) -> None:
    first = Ear(world, outlet)
    world.boot()
    first.wait_phase(Phase.READY)
    world.deploy(HERE)
    first.wait(Saying.DEPLOYED)
    mark = first.mark
    first.runtime.stop()
    other = ArtifactPath(TREE, "api/Other.xml")
    world.deploy(other)
    second = Ear(world, outlet, mark)
    second.wait(Saying.DEPLOYED, other)
    assert HERE not in [each.path for each in second.heard]
    assert second.phases[-1] is Phase.READY
    second.runtime.stop()


@watched
def test_without_a_mark_everything_since_the_last_start_is_heard(
    world: World, outlet: Outlet
) -> None:
    old = ArtifactPath(TREE, "api/Old.xml")
    world.boot()
    world.deploy(old)
    world.kill()
    world.boot()
    world.deploy(HERE)
    late = Ear(world, outlet)
    late.wait(Saying.DEPLOYED)
    late.wait_phase(Phase.READY)
    assert old not in [each.path for each in late.heard if each.saying is Saying.DEPLOYED]
    late.runtime.stop()


@pytest.mark.parametrize(
    "mark", ["", "{", "[1]", '{"place":[1,2],"run":3}', "from another adapter"]
)
@watched
def test_a_mark_that_is_none_is_as_good_as_none(world: World, outlet: Outlet, mark: str) -> None:
    world.boot()
    world.deploy(HERE)
    ear = Ear(world, outlet, mark)
    assert ear.wait(Saying.DEPLOYED).path == HERE
    ear.runtime.stop()


def test_nothing_comes_after_stop_and_a_stop_twice_is_quiet(world: World, ear: Ear) -> None:
    ear.inbox.wait(lambda _: ear.phases)
    ear.runtime.stop()
    ear.runtime.stop()
    before = len(ear.inbox.events)
    world.boot()
    world.deploy(HERE)
    assert len(ear.inbox.events) == before


def test_tell_and_verify_return_at_once(ear: Ear) -> None:
    order = Order(1, (OrderItem(HERE, Kind.API, "P", digest_of(b"x")),))
    ear.runtime.tell(order)
    ear.runtime.verify(order)
