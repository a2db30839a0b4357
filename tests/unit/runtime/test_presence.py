"""Finding the runtime's process by its home, cheaply, and never another one's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.fsio import OsFS
from syncagent.ports import Instant
from syncagent.runtime.presence import ALIVE_S, ALL_S, HURRY_S, NEW_S, Presence, Traits
from tests.fakes.faultyfs import FaultyFS
from tests.fakes.proc import FakeProc

if TYPE_CHECKING:
    from pathlib import Path

MAIN = "org.apache.synapse.SynapseServer"


class Clock:
    """Moves by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> Instant:
        return Instant(self.at)

    def wall(self) -> float:
        return 1_700_000_000.0 + self.at


class World:
    def __init__(self, folder: Path) -> None:
        self.home = folder / "synapse"
        self.home.mkdir()
        self.proc = FakeProc(folder / "proc")
        self.clock = Clock()
        self.fs = FaultyFS(OsFS())
        traits = Traits(str(self.home), (MAIN,), ("synapse.pid",), str(self.proc.folder))
        self.presence = Presence(self.fs, self.clock, traits)

    def java(self, pid: int, *words: str, at: float | None = None) -> None:
        began = self.clock.now() - 5.0 if at is None else at
        self.proc.start(pid, "/usr/bin/java", *words, at=began)

    def pid(self, later_s: float = 0.0) -> int | None:
        self.clock.at += later_s
        found = self.presence.look()
        return found.pid if found else None


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_process_with_the_home_on_its_command_line_is_found(world: World) -> None:
    world.java(4711, MAIN, f"{world.home}/repository", str(world.home))
    assert world.pid() == 4711
    process = world.presence.process
    assert process is not None
    assert abs(world.clock.wall() - 5.0 - process.started_at) < 0.1


@pytest.mark.parametrize("option", ["-Dcarbon.home={}", "-Dsynapse.home={}"])
def test_a_home_in_an_option_counts(world: World, option: str) -> None:
    world.java(4711, option.format(world.home), MAIN)
    assert world.pid() == 4711


def test_a_home_that_is_only_the_working_folder_counts(world: World) -> None:
    world.proc.start(4711, "java", "-Dsynapse.home=.", MAIN, at=world.clock.now(), cwd=world.home)
    assert world.pid() == 4711


def test_another_home_another_program_and_a_longer_name_do_not_count(world: World) -> None:
    world.java(10, MAIN, f"{world.home}-2/repository")
    world.java(11, "-Dcarbon.home=" + str(world.home), "org.example.Tool")
    world.java(12, "vi", f"{world.home}/repository/conf/axis2.xml")
    assert world.pid() is None


def test_a_home_that_is_a_link_is_found_by_either_name(tmp_path: Path, world: World) -> None:
    link = tmp_path / "current"
    link.symlink_to(world.home)
    traits = Traits(str(link), (MAIN,), (), str(world.proc.folder))
    world.java(4711, MAIN, f"{world.home}/repository")
    presence = Presence(OsFS(), world.clock, traits)
    assert presence.look() is not None


def test_an_end_is_noticed_within_a_second_and_a_zombie_is_an_end(world: World) -> None:
    world.java(4711, MAIN, str(world.home))
    assert world.pid() == 4711
    world.proc.zombie(4711)
    assert world.pid(later_s=ALIVE_S) is None
    world.java(4712, MAIN, str(world.home))
    assert world.pid(later_s=NEW_S) == 4712
    world.proc.end(4712)
    assert world.pid(later_s=ALIVE_S) is None


def test_the_same_id_with_another_start_is_another_incarnation(world: World) -> None:
    world.java(4711, MAIN, str(world.home), at=world.clock.now() - 100.0)
    world.pid()
    first = world.presence.process
    world.java(4711, MAIN, str(world.home), at=world.clock.now() - 1.0)
    assert world.pid(later_s=ALIVE_S) == 4711
    second = world.presence.process
    assert first is not None
    assert second is not None
    assert first.incarnation != second.incarnation


def test_an_agent_that_starts_anew_knows_the_same_incarnation(world: World) -> None:
    world.java(4711, MAIN, str(world.home))
    world.pid()
    traits = Traits(str(world.home), (MAIN,), (), str(world.proc.folder))
    other = Presence(OsFS(), Clock(), traits).look()
    assert other is not None
    assert world.presence.process is not None
    assert other.incarnation == world.presence.process.incarnation


def test_a_shell_that_becomes_java_is_found_later(world: World) -> None:
    world.proc.start(4711, "sh", "bin/synapse.sh", at=world.clock.now())
    assert world.pid() is None
    world.java(4711, MAIN, str(world.home))
    assert world.pid(later_s=NEW_S) is None, "its id was seen already"
    assert world.pid(later_s=ALL_S) == 4711


def test_a_pid_file_says_where_to_look_first_and_is_not_believed_blindly(world: World) -> None:
    world.java(4711, MAIN, str(world.home))
    world.java(99, "org.example.Other", "x")
    (world.home / "synapse.pid").write_text("99\n")
    assert world.pid() == 4711
    world.proc.end(4711)
    (world.home / "synapse.pid").write_text("4711\n")
    assert world.pid(later_s=ALIVE_S) is None


def test_a_hurry_looks_before_its_time_and_not_all_the_time(world: World) -> None:
    assert world.pid() is None
    world.java(4711, MAIN, str(world.home))
    world.presence.hurry()
    assert world.pid(later_s=HURRY_S / 2) is None
    assert world.pid(later_s=HURRY_S) == 4711


def test_a_process_that_is_known_costs_one_file_a_second(world: World) -> None:
    for pid in range(10, 60):
        world.proc.start(pid, "other", at=world.clock.now())
    world.java(4711, MAIN, str(world.home))
    world.pid()
    before = world.fs.calls
    for _ in range(50):
        world.pid(later_s=0.2)
    assert world.fs.calls - before <= 11 * 3


def test_any_failing_call_makes_it_absent_at_most_until_the_next_look(world: World) -> None:
    world.java(4711, MAIN, str(world.home))
    for k in range(1, 40):
        fs = FaultyFS(OsFS(), k=k, code=13)
        traits = Traits(str(world.home), (MAIN,), ("synapse.pid",), str(world.proc.folder))
        presence = Presence(fs, world.clock, traits)
        presence.look()
        world.clock.at += ALL_S
        found = presence.look()
        assert found is not None, f"call {k}"
        assert not fs.opened


def test_without_a_home_nothing_is_looked_for(world: World) -> None:
    calls = world.fs.calls
    presence = Presence(world.fs, world.clock, Traits("", (MAIN,), (), str(world.proc.folder)))
    assert not presence.watched
    assert presence.look() is None
    assert world.fs.calls == calls
