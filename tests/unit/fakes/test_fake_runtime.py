"""The modelled runtime as an agent hears it: what is said, what is heard again, what is not."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from syncagent.core.artifact import ArtifactPath
from syncagent.core.events import RuntimeHeard, RuntimeTurned, ShellEvent
from syncagent.core.runtime import Heard, Phase, Saying
from tests.fakes.disk import FakeDisk
from tests.fakes.runtime import TREE, FakeGateway, FakeRuntime
from tests.fakes.runtime_words import CARBON, SYNAPSE, Dialect

NS = 'xmlns="http://ws.apache.org/ns/synapse"'


def api(name: str, text: str = "", context: str = "") -> bytes:
    return f'<api {NS} name="{name}" context="{context or "/" + name}"><!--{text}--></api>'.encode()


def at(path: str) -> ArtifactPath:
    return ArtifactPath(TREE, path)


@dataclass
class World:
    """A tree, a runtime, an agent's ear, and a clock."""

    dialect: Dialect
    now: float = 1_700_000_000.0
    events: list[ShellEvent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disk = FakeDisk([TREE], wall=lambda: self.now)
        self.gateway = FakeGateway(self.disk, self.dialect, lambda: self.now)
        self.ear = FakeRuntime(self.gateway, self.events.append)

    def pass_(self, seconds: float) -> None:
        self.now += seconds
        self.gateway.run()

    def heard(self) -> list[tuple[Saying, str]]:
        """Return what deployers said, without what is said of the configuration beside it."""
        aside = {Saying.SAVED, Saying.DROPPED}
        return [
            (each.saying, each.path.path if each.path else each.name)
            for event in self.events
            if isinstance(event, RuntimeHeard)
            for each in event.heard
            if each.saying not in aside
        ]

    def mark(self) -> str:
        return [event.mark for event in self.events if isinstance(event, RuntimeHeard)][-1]

    def phases(self) -> list[Phase]:
        return [event.state.phase for event in self.events if isinstance(event, RuntimeTurned)]


@pytest.fixture(params=[SYNAPSE, CARBON], ids=lambda dialect: dialect.name)
def world(request: pytest.FixtureRequest) -> World:
    made = World(request.param)
    made.disk.put(at("api/Old.xml"), api("Old"))
    made.gateway.ready()
    made.pass_(made.dialect.scan_s)
    made.ear.start(None)
    return made


def test_what_was_loaded_at_the_start_is_served_and_of_apis_it_is_said(world: World) -> None:
    assert world.heard() == [(Saying.DEPLOYED, "Old")]
    assert world.gateway.serves("api", "Old") == api("Old")
    assert world.phases() == [Phase.STARTING, Phase.READY]


def test_a_new_file_is_deployed_by_the_next_scan_and_said(world: World) -> None:
    world.disk.put(at("api/A.xml"), api("A"))
    world.pass_(world.dialect.scan_s)
    assert world.heard()[1:] == [(Saying.DEPLOYED, "api/A.xml")]
    assert world.gateway.serves("api", "A") == api("A")


def test_an_update_and_a_deletion_are_said(world: World) -> None:
    world.now += 2
    world.disk.put(at("api/Old.xml"), api("Old", "v2"))
    world.pass_(world.dialect.scan_s)
    world.disk.remove(at("api/Old.xml"))
    world.pass_(world.dialect.scan_s * 2)
    assert world.heard()[1:] == [(Saying.UPDATED, "api/Old.xml"), (Saying.UNDEPLOYED, "Old")]


def test_what_a_predicate_refuses_is_rejected_with_its_reason(world: World) -> None:
    world.gateway.refuses = lambda _path, content: "no such class" if b"missing" in content else ""
    world.disk.put(at("api/A.xml"), api("A", "missing"))
    world.pass_(world.dialect.scan_s)
    *_, event = [each for each in world.events if isinstance(each, RuntimeHeard)]
    first = event.heard[0]
    assert (first.saying, first.reason, first.path) == (
        Saying.REJECTED,
        "no such class",
        at("api/A.xml"),
    )
    assert "A.xml : Failed" in first.excerpt
    assert world.gateway.serves("api", "A") is None


def test_from_a_mark_only_what_came_after_it_is_said_again(world: World) -> None:
    world.disk.put(at("api/A.xml"), api("A"))
    world.pass_(world.dialect.scan_s)
    mark = world.mark()
    world.ear.stop()
    world.disk.put(at("api/B.xml"), api("B"))
    world.pass_(world.dialect.scan_s)
    assert world.heard()[1:] == [(Saying.DEPLOYED, "api/A.xml")], (
        "who does not listen hears nothing"
    )
    world.events.clear()
    FakeRuntime(world.gateway, world.events.append).start(mark)
    assert world.heard() == [(Saying.DEPLOYED, "api/B.xml")]


def test_without_a_mark_all_since_the_last_start_is_said(world: World) -> None:
    world.disk.put(at("api/A.xml"), api("A"))
    world.pass_(world.dialect.scan_s)
    world.gateway.kill()
    world.gateway.ready()
    world.disk.put(at("api/B.xml"), api("B"))
    world.pass_(world.dialect.scan_s)
    world.events.clear()
    FakeRuntime(world.gateway, world.events.append).start(None)
    assert world.heard() == [
        (Saying.DEPLOYED, "A"),
        (Saying.DEPLOYED, "Old"),
        (Saying.DEPLOYED, "api/B.xml"),
    ]


def test_each_start_is_another_incarnation_and_phases_are_told_in_order(world: World) -> None:
    first = world.gateway.state.incarnation
    world.gateway.kill()
    world.gateway.boot()
    world.pass_(world.dialect.start_s)
    turns = [Phase.STARTING, Phase.READY]
    assert world.phases() == [*turns, Phase.DOWN, *turns]
    assert world.gateway.state.incarnation != first


def test_its_own_writes_are_seen_by_a_watcher() -> None:
    world = World(SYNAPSE)
    seen: list[str] = []
    world.gateway.wrote = lambda path: seen.append(path.path)
    world.disk.put(at("api/Bad.xml"), api("Bad", context="no-slash"))
    world.gateway.ready()
    world.disk.put(at("api/New.xml"), api("New", context="no-slash"))
    world.pass_(10)
    assert seen == ["api/New.xml", "api/New.xml.back"]
    assert world.disk.content(at("api/New.xml")) is None


def test_a_deployer_that_died_is_told_with_what_to_look_for() -> None:
    world = World(SYNAPSE)
    world.disk.put(at("api/Old.xml"), api("Old"))
    world.gateway.ready()
    world.ear.start(None)
    world.now += 2
    world.disk.put(at("api/Old.xml"), api("Old", context="no-slash"))
    world.disk.put(at("sequences/S.xml"), b"<sequence name='S'/>")
    world.pass_(100)
    assert world.phases()[-1] is Phase.STUCK
    assert "its deployer died" in world.gateway.state.detail
    assert world.gateway.serves("api", "Old") == api("Old"), "the old version goes on serving"
    assert world.gateway.serves("sequences", "S") is None, "nothing is deployed any more"
    world.gateway.kill()
    world.gateway.ready()
    assert world.gateway.serves("sequences", "S") is not None


def test_a_scan_at_once_takes_everything_without_its_pauses() -> None:
    world = World(SYNAPSE)
    for name in "ABC":
        world.disk.put(at(f"api/{name}.xml"), api(name))
    world.gateway.ready()
    world.ear.start(None)
    world.now += 5
    for name in "ABC":
        world.disk.put(at(f"api/{name}.xml"), api(name, "v2"))
    world.gateway.scan()
    assert [saying for saying, _ in world.heard()[3:]] == [Saying.UPDATED] * 3


def test_a_mute_runtime_does_all_and_says_nothing() -> None:
    world = World(CARBON)
    world.gateway.ready()
    world.ear.start(None)
    world.gateway.mute = True
    world.disk.put(at("api/A.xml"), api("A"))
    world.pass_(15)
    assert world.heard() == []
    assert world.gateway.serves("api", "A") is not None
    assert not any(isinstance(entry, Heard) for entry in world.gateway.log)


@pytest.mark.parametrize("dialect", [SYNAPSE, CARBON], ids=lambda dialect: dialect.name)
def test_what_it_did_not_come_to_is_dated_when_it_is_done(dialect: Dialect) -> None:
    world = World(dialect)
    world.gateway.ready()
    world.pass_(dialect.scan_s)
    world.disk.put(at("api/New.xml"), api("New"))
    world.now += 5 * dialect.scan_s
    world.gateway.stand_still()
    world.gateway.run()
    said = [each for each in world.gateway.log if isinstance(each, Heard) and each.path]
    assert [(each.path, each.at) for each in said] == [(at("api/New.xml"), world.now)]
    assert world.now < world.gateway.due() <= world.now + dialect.scan_s


def test_what_is_read_again_comes_before_the_state_as_it_is_now(world: World) -> None:
    world.disk.put(at("api/New.xml"), api("New"))
    world.pass_(world.dialect.scan_s)
    world.gateway.kill()
    world.events.clear()
    FakeRuntime(world.gateway, world.events.append).start("0")
    assert isinstance(world.events[-1], RuntimeTurned)
    assert world.phases() == [Phase.STARTING, Phase.READY, Phase.DOWN]
    assert (Saying.DEPLOYED, "api/New.xml") in world.heard()
    world.gateway.boot()
    world.events.clear()
    FakeRuntime(world.gateway, world.events.append).start("0")
    assert world.phases() == [Phase.STARTING], "of those before only what they said is told"
    assert (Saying.DEPLOYED, "api/New.xml") in world.heard()
