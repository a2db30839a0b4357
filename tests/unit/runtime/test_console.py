"""What a runtime's standard error says of its deployer's end, on recorded ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncagent.core.artifact import Kind
from syncagent.fsio import OsFS
from syncagent.runtime.console import LOOK_S, Console, Death
from syncagent.runtime.phase import Process
from tests.fakes.faultyfs import FaultyFS

LOGS = Path(__file__).resolve().parents[2] / "data/logs/apache-synapse-3.0.1"
PROCESS = Process(4711, "boot-4711-1", 0.0)
KINDS = {
    "api": Kind.API,
    "endpoint": Kind.ENDPOINT,
    "event-source": Kind.EVENT_SOURCE,
    "local-entry": Kind.LOCAL_ENTRY,
    "processor": Kind.MESSAGE_PROCESSOR,
    "sequence": Kind.SEQUENCE,
    "store": Kind.MESSAGE_STORE,
    "task": Kind.TASK,
    "template": Kind.TEMPLATE,
}


class World:
    def __init__(self, folder: Path, fs: OsFS | None = None) -> None:
        self.file = folder / "4711/fd/2"
        self.file.parent.mkdir(parents=True)
        self.file.write_bytes(b"")
        self.console = Console(fs or OsFS(), str(folder))
        self.now = 0.0

    def write(self, text: bytes) -> None:
        with self.file.open("ab") as file:
            file.write(text)

    def look(self, process: Process | None = PROCESS) -> Death | None:
        self.now += LOOK_S
        return self.console.look(process, self.now)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def recorded(kind: str) -> bytes:
    return (LOGS / f"refused-update-{kind}.console").read_bytes()


@pytest.mark.parametrize(("kind", "expected"), KINDS.items(), ids=KINDS)
def test_a_death_tells_its_reason_and_the_kind_it_was_at(
    world: World, kind: str, expected: Kind
) -> None:
    assert world.look() is None
    text = recorded(kind)
    world.write(b"SLF4J: talk\n" + text + b"more talk\n")
    death = world.look()
    assert death is not None
    first = text.decode().partition("\n")[0]
    assert first.endswith(death.reason)
    assert death.kind is expected
    assert death.excerpt.startswith(first)
    assert world.look() is None


def test_what_was_there_when_the_process_was_first_seen_is_an_earlier_ones(world: World) -> None:
    world.write(recorded("api"))
    assert world.look() is None
    world.write(b"talk\n")
    assert world.look() is None


def test_a_trace_that_comes_in_pieces_is_waited_for(world: World) -> None:
    world.look()
    text = recorded("api")
    deaths = []
    for position in range(0, len(text), 200):
        world.write(text[position : position + 200])
        deaths.append(world.look())
    deaths += [world.look(), world.look()]
    (death,) = [each for each in deaths if each]
    assert death.kind is Kind.API


def test_another_threads_death_and_another_timers_are_not_the_deployers(world: World) -> None:
    world.look()
    world.write(
        b'Exception in thread "Timer-3" java.lang.NullPointerException\n\tat a.b.C(D.java:1)\n'
    )
    world.write(recorded("api").replace(b'"Timer-0"', b'"HTTP-Worker-1"'))
    world.write(b"talk\n")
    assert [world.look(), world.look()] == [None, None]


def test_an_exception_without_words_is_told_by_its_name(world: World) -> None:
    world.look()
    text = recorded("api").partition(b"\n")[2]
    world.write(b'Exception in thread "Timer-0" java.lang.NullPointerException\n' + text + b"x\n")
    death = world.look()
    assert death is not None
    assert death.reason == "NullPointerException"


def test_a_file_that_was_emptied_is_read_from_its_start(world: World) -> None:
    world.write(b"talk\n" * 900)
    world.look()
    world.file.write_bytes(recorded("task") + b"x\n")
    death = world.look()
    assert death is not None
    assert death.kind is Kind.TASK


def test_a_process_that_is_gone_or_has_no_file_says_nothing(world: World) -> None:
    assert world.look(None) is None
    world.file.unlink()
    assert world.look() is None


def test_a_call_that_fails_is_made_again_at_the_next_look(tmp_path: Path) -> None:
    for k in range(1, 12):
        fs = FaultyFS(OsFS())
        world = World(tmp_path / str(k), fs)
        world.look()
        world.write(recorded("api") + b"x\n")
        fs.k, fs.code = fs.calls + k, 5
        deaths = [each for each in (world.look(), world.look(), world.look()) if each]
        assert len(deaths) == 1, f"call {k} ({fs.failed})"
        assert not fs.opened


def test_it_looks_once_a_second(tmp_path: Path) -> None:
    fs = FaultyFS(OsFS())
    world = World(tmp_path, fs)
    world.look()
    before = fs.calls
    for tenth in range(10):
        world.console.look(PROCESS, world.now + tenth / 10.5)
    assert fs.calls == before
