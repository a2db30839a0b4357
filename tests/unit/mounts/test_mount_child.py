"""The real process of a mount: started as an agent does, and gone when the agent is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.wiring.mounts import launch, make_mounts
from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.errors import DiskError
from syncagent.core.settings import Settings, TreeSettings, WatchMode
from syncagent.core.snapshot import Condition
from syncagent.fsio import OsFS
from syncagent.mounts.mounted import MountedPart
from syncagent.mounts.process import MountProcess
from syncagent.mounts.protocol import Setup
from tests.fakes.examiner import KeepingExaminer
from tests.fakes.inbox import DEADLINE_S, Inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TREE = TreeName("synapse")
RESIDENT_MAX = 40 * 1024 * 1024
"""What such a process may cost, before it has seen a tree; 21 MB were measured."""


def until(what: Callable[[], bool]) -> None:
    """Wait until something is true; fail after the deadline."""
    by = time.monotonic() + DEADLINE_S
    while not what():
        assert time.monotonic() < by
        threading.Event().wait(0.02)


def tree_at(root: Path) -> TreeSettings:
    return TreeSettings(TREE, TreeKind.SYNAPSE, str(root), watch=WatchMode.POLL)


def process_at(root: Path) -> MountProcess:
    base = root.parent
    setup = Setup((tree_at(root),), f"{base}/cache", f"{base}/lock", 1 << 20, 100, 1.0)
    return MountProcess(setup, launch)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "synapse"
    root.mkdir()
    (root / "a.xml").write_bytes(b"<a/>")
    return root


@pytest.fixture
def process(root: Path) -> Iterator[MountProcess]:
    made = process_at(root)
    made.start()
    yield made
    made.stop(DEADLINE_S)


def pid_of(process: MountProcess) -> int:
    until(lambda: process._process is not None)
    assert isinstance(process._process, subprocess.Popen)
    return process._process.pid


def test_it_looks_and_needs_little_memory(process: MountProcess) -> None:
    snapshot = MountedPart(process).scan(TREE, KeepingExaminer())
    assert snapshot.condition is Condition.GOOD
    assert snapshot.files.keys() == {"a.xml"}
    resident = int(Path(f"/proc/{pid_of(process)}/statm").read_text().split()[1])
    assert resident * os.sysconf("SC_PAGESIZE") < RESIDENT_MAX


def test_one_that_is_killed_is_replaced(process: MountProcess) -> None:
    part = MountedPart(process)
    first = pid_of(process)
    os.kill(first, signal.SIGKILL)
    until(lambda: part.scan(TREE, KeepingExaminer()).condition is Condition.GOOD)
    assert pid_of(process) != first


def test_what_is_meant_for_the_agent_does_not_end_it(process: MountProcess) -> None:
    part = MountedPart(process)
    part.scan(TREE, KeepingExaminer())
    first = pid_of(process)
    os.kill(first, signal.SIGTERM)
    os.kill(first, signal.SIGINT)
    assert part.scan(TREE, KeepingExaminer()).condition is Condition.GOOD
    assert pid_of(process) == first


def test_a_second_one_does_not_work_beside_a_first(process: MountProcess, root: Path) -> None:
    MountedPart(process).scan(TREE, KeepingExaminer())
    second = process_at(root)
    part = MountedPart(second)
    second.start()
    with pytest.raises(DiskError, match="in time"):
        part.ask(TREE, 1.0)
    process.stop(DEADLINE_S)
    assert part.scan(TREE, KeepingExaminer()).condition is Condition.GOOD
    second.stop(DEADLINE_S)


def test_it_ends_with_an_agent_that_is_killed(root: Path) -> None:
    agent = subprocess.Popen(
        [sys.executable, "-c", AGENT, str(root)], stdout=subprocess.PIPE, cwd=Path.cwd(), text=True
    )
    assert agent.stdout is not None
    pid = int(agent.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    agent.kill()
    agent.wait()
    agent.stdout.close()
    until(lambda: not Path(f"/proc/{pid}").exists() or ") Z" in _stat(pid))


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ") Z"


AGENT = """
import signal
import sys
from pathlib import Path
from tests.unit.mounts.test_mount_child import pid_of, process_at, TREE, MountedPart, KeepingExaminer
process = process_at(Path(sys.argv[1]))
process.start()
MountedPart(process).scan(TREE, KeepingExaminer())
print(pid_of(process), flush=True)
signal.pause()
"""


def test_trees_on_local_file_systems_need_none(root: Path, tmp_path: Path) -> None:
    settings = Settings("prod", NodeName("gw-1"), str(tmp_path), (tree_at(root),))
    mounts = make_mounts(OsFS(), settings, str(tmp_path), Inbox().post)
    assert mounts.processes == ()
    assert mounts.trees == frozenset()
