"""One look after the other at a log and a process: what is posted, in which order, with which mark."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from syncagent.core.artifact import ArtifactPath, Kind, TreeKind, TreeName
from syncagent.core.events import RuntimeHeard, RuntimeTurned, ShellEvent
from syncagent.core.runtime import Heard, Phase, RuntimeState, Saying
from syncagent.core.settings import TreeSettings
from syncagent.fsio import OsFS
from syncagent.ports import Instant
from syncagent.runtime.listening import (
    BATCH_MAX,
    MARK_S,
    TROUBLE_LOOKS,
    UNSEEN_LOOKS,
    UNSEEN_S,
    Listener,
    Means,
)
from syncagent.runtime.patterns import APACHE_3
from syncagent.runtime.phase import PATIENCE_S
from syncagent.runtime.place import mark_from
from syncagent.runtime.presence import Traits
from tests.fakes.faultyfs import FaultyFS
from tests.fakes.logs import Numbered, pack
from tests.fakes.proc import FakeProc

TREE = TreeName("synapse")
MAIN = "org.apache.synapse.SynapseServer"
ZONE_S = 2 * 3600
"""The log's clock is two hours before UTC, whatever zone the tests run in."""


class Clock:
    """Moves by hand."""

    def __init__(self) -> None:
        self.at = 100_000.0

    def now(self) -> Instant:
        return Instant(self.at)

    def wall(self) -> float:
        return 1_700_000_000.0 + self.at


class Bench:
    """A gateway's home with a log and processes, and a listener that a test steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "home/repository/conf/synapse-config"
        self.root.mkdir(parents=True)
        self.proc = FakeProc(folder / "proc")
        self.log = Numbered(folder / "home/synapse.log")
        self.clock = Clock()
        self.events: list[ShellEvent] = []
        self.home = str(folder / "home")
        self.fs: OsFS = OsFS()
        self.listener = self.listen(None)

    def listen(self, mark: str | None) -> Listener:
        tree = TreeSettings(TREE, TreeKind.SYNAPSE, str(self.root))
        means = Means(self.fs, self.clock, self.events.append, (tree,))
        traits = Traits(self.home, (MAIN,), (), str(self.proc.folder))
        self.listener = Listener(means, str(self.log.path), APACHE_3, traits, mark)
        return self.listener

    def say(self, *texts: str, level: str = "INFO", thread: str = "Timer-0") -> None:
        for text in texts:
            now = self.clock.wall() + ZONE_S
            stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(now))
            line = f"{stamp},{int(now % 1 * 1000):03d} [-] [{thread}] {level:>5} X {text}\n"
            self.log.write_raw(line.encode())
        # Written when its last line was made: by the test's clock.
        os.utime(self.log.path, (self.clock.wall(), self.clock.wall()))

    def deploy(self, name: str) -> None:
        self.say(f"API named '{name}' has been deployed from file : {self.root}/api/{name}.xml")

    def boot(self, pid: int = 4711, *, age_s: float = 0.5) -> None:
        self.proc.start(pid, "java", MAIN, self.home, at=self.clock.now() - age_s)

    def starts(self) -> None:
        self.say("Starting Apache Synapse...", thread="main")

    def gets_ready(self) -> None:
        self.say("Server ready for processing...", thread="main")

    def look(self, later_s: float = 1.0) -> None:
        """Look, so much later, until there is nothing more to read."""
        self.clock.at += later_s
        while self.listener.step():
            pass

    @property
    def heard(self) -> list[Heard]:
        return [
            each for event in self.events if isinstance(event, RuntimeHeard) for each in event.heard
        ]

    @property
    def names(self) -> list[str]:
        return [each.path.path[4:-4] for each in self.heard if each.path]

    @property
    def states(self) -> list[RuntimeState]:
        return [event.state for event in self.events if isinstance(event, RuntimeTurned)]

    @property
    def phases(self) -> list[Phase]:
        return [state.phase for state in self.states]

    @property
    def mark(self) -> str:
        return [event.mark for event in self.events if isinstance(event, RuntimeHeard)][-1]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_whole_life_is_told_turn_by_turn(bench: Bench) -> None:
    bench.look()
    bench.boot()
    bench.starts()
    bench.look()
    bench.gets_ready()
    bench.look()
    bench.say("API context must begin with '/' character", level="ERROR")
    bench.look()
    bench.look(later_s=3.0)
    bench.proc.end(4711)
    bench.look()
    assert bench.phases == [Phase.DOWN, Phase.STARTING, Phase.READY, Phase.STUCK, Phase.DOWN]
    assert "API context must begin with '/' character" in bench.states[3].detail
    assert len({state.incarnation for state in bench.states[1:4]}) == 1


def test_a_death_on_standard_error_is_a_rejection_of_its_kind_and_then_stuck(bench: Bench) -> None:
    bench.boot()
    console = bench.proc.folder / "4711/fd/2"
    console.parent.mkdir()
    console.write_bytes(b"")
    bench.starts()
    bench.gets_ready()
    bench.look()
    bench.say("API context must begin with '/' character", level="ERROR")
    recorded = "apache-synapse-3.0.1/refused-update-api.console"
    text = (Path(__file__).resolve().parents[2] / "data/logs" / recorded).read_bytes()
    console.write_bytes(text + b"x\n")
    bench.events.clear()
    bench.look()
    bench.look(later_s=5.0)
    heard, turned = bench.events
    assert isinstance(heard, RuntimeHeard)
    assert [(h.saying, h.path, h.kind, h.name) for h in heard.heard] == [
        (Saying.REJECTED, None, Kind.API, "")
    ]
    assert isinstance(turned, RuntimeTurned)
    assert turned.state.phase is Phase.STUCK
    assert turned.state.detail.endswith(heard.heard[0].reason)


def test_a_log_that_is_json_is_told_with_what_to_do(bench: Bench) -> None:
    bench.boot()
    bench.log.write_raw(b'{"level":"INFO","message":"Server ready for processing..."}\n' * 3)
    bench.look()
    detail = bench.states[-1].detail
    assert f"its log {bench.log.path}: it is written as JSON" in detail
    assert "PatternLayout" in detail


def test_times_are_utc_whatever_zone_the_log_has(bench: Bench) -> None:
    bench.boot()
    bench.starts()
    bench.gets_ready()
    bench.deploy("A")
    bench.look()
    (heard,) = bench.heard
    assert abs(heard.at - bench.clock.wall()) < 5.0
    assert abs(bench.states[-1].ready_at - bench.clock.wall()) < 5.0


def test_a_time_that_is_still_to_come_is_none(bench: Bench) -> None:
    bench.boot()
    bench.starts()
    bench.gets_ready()
    bench.look()
    named = f"API named 'A' has been deployed from file : {bench.root}/api/A.xml"
    bench.log.write_raw(f"9999-12-31 23:59:59,999 [-] [Timer-0]  INFO X {named}\n".encode())
    bench.log.write_raw(f"2024-13-41 23:59:59,999 [-] [Timer-0]  INFO X {named}\n".encode())
    bench.look()
    assert [each.at for each in bench.heard] == [0.0, 0.0]


def test_without_a_mark_only_what_was_said_since_the_last_start_is_told(bench: Bench) -> None:
    bench.starts()
    bench.deploy("Old")
    bench.boot()
    bench.starts()
    bench.gets_ready()
    bench.deploy("New")
    bench.look()
    assert bench.names == ["New"]
    assert bench.phases[-1] is Phase.READY


def test_a_start_that_was_rotated_away_is_found_in_the_older_file(bench: Bench) -> None:
    bench.boot()
    bench.starts()
    bench.gets_ready()
    bench.deploy("A")
    for name in ("B", "C"):
        bench.log.rotate()
        bench.deploy(name)
    bench.look()
    assert bench.names == ["A", "B", "C"]
    assert bench.phases[-1] is Phase.READY
    assert "assumed" not in bench.states[-1].detail


def test_an_old_process_whose_start_is_gone_from_the_log_is_assumed_to_be_ready(
    bench: Bench,
) -> None:
    bench.boot(age_s=PATIENCE_S + 60)
    bench.deploy("A")
    bench.look()
    assert bench.phases == [Phase.READY]
    assert "assumed" in bench.states[-1].detail
    assert bench.names == ["A"]


def test_what_was_written_before_the_process_began_is_not_told(bench: Bench) -> None:
    bench.deploy("Old")
    bench.clock.at += 100.0
    bench.boot()
    bench.look()
    assert bench.names == []
    assert bench.phases == [Phase.STARTING]
    bench.starts()
    bench.gets_ready()
    bench.deploy("New")
    bench.look()
    assert bench.names == ["New"]


def test_an_agent_that_comes_back_knows_that_the_runtime_is_ready(bench: Bench) -> None:
    bench.boot()
    bench.starts()
    bench.gets_ready()
    bench.deploy("A")
    bench.look()
    mark = bench.mark
    for _ in range(3):
        bench.log.rotate()
        bench.log.write(1)
    (bench.log.path.with_name("synapse.log.3")).unlink()
    bench.events.clear()
    bench.listen(mark)
    bench.deploy("B")
    bench.look()
    assert bench.names == ["B"]
    assert bench.phases == [Phase.READY]
    assert "a part of its log was gone" in bench.states[-1].detail


@pytest.mark.parametrize("damaged", [False, True])
def test_what_was_said_in_logs_that_were_packed_meanwhile_is_heard_and_a_damage_told(
    bench: Bench, *, damaged: bool
) -> None:
    bench.boot()
    bench.starts()
    bench.gets_ready()
    bench.deploy("A")
    bench.look()
    mark = bench.mark
    bench.deploy("B")
    bench.log.rotate()
    bench.deploy("C")
    bench.log.rotate()
    older = pack(bench.log.path.with_name("synapse.log.2"))
    newer = pack(bench.log.path.with_name("synapse.log.1"))
    if damaged:
        newer.write_bytes(newer.read_bytes()[:15])
    bench.deploy("D")
    bench.events.clear()
    bench.listen(mark)
    bench.look()
    assert older.exists()
    assert bench.names == (["B", "D"] if damaged else ["B", "C", "D"])
    assert bench.phases == [Phase.READY]
    assert ("a part of its log was gone" in bench.states[-1].detail) is damaged


def test_a_restart_while_the_agent_was_away_is_told_in_its_order(bench: Bench) -> None:
    bench.boot()
    bench.starts()
    bench.gets_ready()
    bench.deploy("A")
    bench.look()
    mark = bench.mark
    bench.events.clear()
    bench.clock.at += 60.0
    bench.deploy("B")
    bench.proc.end(4711)
    bench.clock.at += 60.0
    bench.boot(4712)
    bench.starts()
    bench.say(
        "Error while building API configuration from file : C.xml - Continue in fail-safe mode",
        level="WARN",
        thread="main",
    )
    bench.gets_ready()
    bench.listen(mark)
    bench.look()
    what = [
        event.state.phase
        if isinstance(event, RuntimeTurned)
        else [h.path and h.path.path for h in event.heard]
        for event in bench.events
        if isinstance(event, RuntimeHeard | RuntimeTurned)
    ]
    assert what == [["api/B.xml"], Phase.STARTING, ["api/C.xml"], Phase.READY]


def test_a_dead_deployer_is_still_dead_for_an_agent_that_comes_back(bench: Bench) -> None:
    bench.boot()
    bench.starts()
    bench.gets_ready()
    bench.deploy("A")
    bench.say("Invalid endpoint configuration.", level="ERROR")
    bench.look()
    bench.look(later_s=3.0)
    bench.look(later_s=MARK_S)
    mark = bench.mark
    bench.events.clear()
    bench.listen(mark)
    bench.look()
    assert bench.phases == [Phase.STUCK]


def test_a_mark_never_passes_what_was_not_posted_yet(bench: Bench) -> None:
    bench.boot()
    bench.starts()
    bench.gets_ready()
    bench.deploy("A")
    bench.look()
    bench.say(f"API deployment from the file : {bench.root}/api/B.xml : Failed.", level="ERROR")
    bench.look(later_s=0.1)
    bench.deploy("C")
    bench.events.clear()
    bench.listen(bench_mark := _last_mark(bench.listener))
    assert mark_from(bench_mark).place is not None
    bench.look()
    assert [each.saying for each in bench.heard] == [Saying.REJECTED, Saying.DEPLOYED]


def _last_mark(listener: Listener) -> str:
    """Return the mark that would be posted now."""
    listener._tell(())
    events = listener._means.post.__self__  # type: ignore[attr-defined]
    event = events[-1]
    assert isinstance(event, RuntimeHeard)
    return event.mark


def test_the_mark_moves_on_without_sayings_but_not_at_every_look(bench: Bench) -> None:
    bench.boot()
    bench.starts()
    bench.look()
    for _ in range(100):
        bench.log.write(3)
        bench.look(later_s=0.2)
    empty = [e for e in bench.events if isinstance(e, RuntimeHeard) and not e.heard]
    assert not empty
    bench.log.write(1)
    bench.look(later_s=MARK_S)
    (event,) = [e for e in bench.events if isinstance(e, RuntimeHeard)]
    place = mark_from(event.mark).place
    assert place is not None
    assert place.offset == bench.log.path.stat().st_size


def test_many_sayings_come_in_bounded_portions(bench: Bench) -> None:
    bench.boot()
    bench.starts()
    bench.look()
    for number in range(2 * BATCH_MAX + 1):
        bench.deploy(f"A{number}")
    bench.look()
    sizes = [len(e.heard) for e in bench.events if isinstance(e, RuntimeHeard)]
    assert sum(sizes) == 2 * BATCH_MAX + 1
    assert max(sizes) <= BATCH_MAX
    assert bench.names == [f"A{number}" for number in range(2 * BATCH_MAX + 1)]


def test_a_log_that_can_not_be_read_is_said_in_the_state(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.boot()
    bench.starts()
    bench.fs = FaultyFS(OsFS())
    bench.listen(None)

    def refuse(*_args: object, **_kwargs: object) -> list[str]:
        raise PermissionError(13, "Permission denied")

    real, bench.fs.listdir = bench.fs.listdir, refuse
    for _ in range(TROUBLE_LOOKS):
        bench.look()
    assert "can't be read: Permission denied" in bench.states[-1].detail
    bench.fs.listdir = real
    bench.gets_ready()
    bench.look()
    assert "can't be read" not in bench.states[-1].detail
    assert bench.phases[-1] is Phase.READY


def test_without_a_home_the_log_alone_tells(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.home = ""
    bench.listen(None)
    bench.look()
    bench.starts()
    bench.look()
    bench.gets_ready()
    bench.look()
    bench.say("Shutting down Apache Synapse...", thread="main")
    bench.look()
    assert bench.phases == [Phase.UNKNOWN, Phase.STARTING, Phase.READY, Phase.DOWN]


def test_files_are_mapped_through_a_link_in_the_trees_root(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    real = tmp_path / "elsewhere"
    bench.root.rename(real)
    bench.root.symlink_to(real)
    bench.listen(None)
    bench.boot()
    bench.starts()
    bench.say(f"API named 'A' has been deployed from file : {real}/api/A.xml")
    bench.look()
    assert [each.path for each in bench.heard] == [ArtifactPath(TREE, "api/A.xml")]


def test_a_runtime_that_is_only_seen_in_its_log_first_is_found_at_once(bench: Bench) -> None:
    bench.look()
    bench.boot()
    bench.starts()
    bench.gets_ready()
    bench.deploy("A")
    bench.look(later_s=0.6)
    assert bench.phases[-1] is Phase.READY
    assert bench.names == ["A"]


def test_a_log_that_goes_on_without_a_process_is_believed_after_a_while(bench: Bench) -> None:
    bench.starts()
    bench.gets_ready()
    bench.look()
    assert bench.phases == [Phase.DOWN], "it may have been killed"
    for number in range(UNSEEN_LOOKS):
        bench.deploy(f"A{number}")
        bench.look(later_s=UNSEEN_S)
    assert bench.phases == [Phase.DOWN, Phase.READY]
    assert "by its log" in bench.states[-1].detail
    bench.boot()
    bench.look(later_s=5.0)
    assert "pid" in bench.states[-1].detail


def test_the_last_words_of_a_process_do_not_bring_it_back(bench: Bench) -> None:
    bench.boot()
    bench.starts()
    bench.gets_ready()
    bench.look()
    bench.proc.end(4711)
    bench.deploy("Last")
    for _ in range(20):
        bench.look(later_s=UNSEEN_S)
    assert bench.phases == [Phase.STARTING, Phase.READY, Phase.DOWN]
    assert bench.names == ["Last"]
