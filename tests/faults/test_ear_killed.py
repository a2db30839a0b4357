"""An ear that is killed, or whose disk fails: everything is heard at least once, and in its order."""

from __future__ import annotations

import errno
import random
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.events import RuntimeHeard, ShellEvent
from syncagent.core.runtime import Saying
from syncagent.core.settings import TreeSettings
from syncagent.fsio import OsFS
from syncagent.ports import Instant
from syncagent.runtime.listening import Listener, Means
from syncagent.runtime.patterns import APACHE_3
from syncagent.runtime.presence import Traits
from tests.fakes.faultyfs import FaultyFS
from tests.fakes.logs import Numbered

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = "2026-11-21 10:00:00,000 [-]"


class Clock:
    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> Instant:
        return Instant(self.at)

    def wall(self) -> float:
        return 1_700_000_000.0 + self.at


class World:
    """A log that is written and rotated, and an agent that remembers what was posted with its mark."""

    def __init__(self, folder: Path, fs: OsFS) -> None:
        folder.mkdir(exist_ok=True)
        self.root = folder / "tree"
        self.root.mkdir()
        self.log = Numbered(folder / "synapse.log", keep=20)
        self.fs = fs
        self.clock = Clock()
        self.said = 0
        self.remembered: list[tuple[Saying, str]] = []
        self.mark: str | None = None
        self.posted: list[ShellEvent] = []
        self.listener = self.listen()

    def listen(self) -> Listener:
        tree = TreeSettings(TreeName("synapse"), TreeKind.SYNAPSE, str(self.root))
        means = Means(self.fs, self.clock, self.posted.append, (tree,))
        return Listener(means, str(self.log.path), APACHE_3, Traits(""), self.mark)

    def kill(self) -> None:
        """End the agent between two of its writes: what was posted and not remembered is lost."""
        self.listener.close()
        self.posted.clear()
        self.listener = self.listen()

    def remember(self, count: int | None = None) -> None:
        """Write down what was posted, the first `count` events or all: sayings with their mark."""
        for event in self.posted[:count]:
            if isinstance(event, RuntimeHeard):
                self.remembered += [
                    (each.saying, each.path.path) for each in event.heard if each.path
                ]
                self.mark = event.mark
        del self.posted[:count]

    def deploy(self) -> None:
        self.said += 1
        file = f"{self.root}/api/{self.said}.xml"
        self.log.write_raw(
            f"{HEAD} [Timer-0]  INFO X API named 'N' has been deployed from file : {file}\n".encode()
        )

    def refuse(self) -> None:
        self.said += 1
        file = f"{self.root}/api/{self.said}.xml"
        self.log.write_raw(
            f"{HEAD} [Timer-0] ERROR X no good\n"
            f"{HEAD} [Timer-0] ERROR X API deployment from the file : {file} : Failed.\n"
            "org.x.SynapseException: no good\n\tat a.b.C(D.java:1)\n"
            f"{HEAD} [Timer-0]  INFO X The file has been backed up into : {file}.back\n".encode()
        )

    def look(self, later_s: float = 1.0) -> None:
        self.clock.at += later_s
        for _ in range(50):
            if not self.listener.step():
                return
        raise AssertionError("a look does not come to an end")

    def first_heard(self) -> list[str]:
        """Return the artifacts in the order in which each was heard first."""
        return list(dict.fromkeys(path for _, path in self.remembered))

    @property
    def wanted(self) -> list[str]:
        return [f"api/{number}.xml" for number in range(1, self.said + 1)]


@pytest.mark.parametrize("seed", range(12))
def test_an_agent_that_is_killed_at_any_moment_hears_everything_in_order(
    tmp_path: Path, seed: int
) -> None:
    chance = random.Random(seed)
    world = World(tmp_path / "world", OsFS())
    deeds: list[Callable[[], object]] = [
        world.deploy,
        world.deploy,
        world.refuse,
        lambda: world.log.write(chance.randrange(30)),
        world.log.rotate,
        lambda: world.look(chance.choice((0.05, 1.0, 40.0))),
        lambda: world.remember(chance.choice((None, 1))),
        world.kill,
    ]
    for _ in range(150):
        chance.choice(deeds)()
        if len([f for f in world.log.path.parent.iterdir() if "log." in f.name]) > 15:
            world.look()
            world.remember()
    world.look()
    world.look()
    world.remember()
    assert world.first_heard() == world.wanted


def test_without_a_kill_nothing_is_heard_twice(tmp_path: Path) -> None:
    world = World(tmp_path / "world", OsFS())
    for number in range(60):
        world.refuse() if number % 3 else world.deploy()
        if number % 5 == 0:
            world.log.rotate()
        world.look(0.1 if number % 2 else 1.0)
    world.look()
    world.remember()
    heard = [each for each in world.remembered if each[0] is not Saying.BACKED_UP]
    assert [path for _, path in heard] == world.wanted


def test_an_agent_that_stopped_in_peace_hears_nothing_twice(tmp_path: Path) -> None:
    world = World(tmp_path / "world", OsFS())
    for _ in range(5):
        world.deploy()
        world.look()
        world.remember()
        world.kill()
        world.log.rotate()
    world.look()
    world.remember()
    assert [path for _, path in world.remembered] == world.wanted


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_call_that_fails_costs_a_look_and_nothing_else(tmp_path: Path, code: int) -> None:
    def story(folder: Path, k: int) -> tuple[World, FaultyFS]:
        fs = FaultyFS(OsFS(), k=k, code=code)
        world = World(folder, fs)
        for number in range(4):
            world.deploy()
            world.look()
            world.refuse()
            world.log.rotate()
            world.deploy()
            world.look()
            if number == 2:
                world.remember()
                world.kill()
        world.look()
        world.look()
        world.remember()
        world.listener.close()
        return world, fs

    _, counted = story(tmp_path / "count", 0)
    for k in range(1, counted.calls + 1):
        world, fs = story(tmp_path / str(k), k)
        heard = [path for saying, path in world.remembered if saying is not Saying.BACKED_UP]
        assert heard == world.wanted, f"call {k} ({fs.failed}) failed"
        assert not fs.opened, f"call {k} ({fs.failed}) left a file open"
