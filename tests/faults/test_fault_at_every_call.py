"""One system call fails, each in turn: old or new, nothing leaked, and the next try succeeds."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest
from pyfakefs.fake_filesystem_unittest import Patcher

from syncagent.core.errors import DiskError, StateError
from syncagent.fsio import OsFS
from tests.fakes.faultyfs import FaultyFS
from tests.fakes.node_bench import MANY, MIXED, ChangeSet, Files, NodeBench, step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncagent.disk.node_disk import NodeDisk

CODES = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.ESTALE, errno.EACCES)
SMALL = ChangeSet(
    old={"synapse/api/A.xml": b"a", "plans/p.siddhiql": b"p"},
    steps=(
        (step("synapse/api/A.xml", b"a", b"aa"), b"aa"),
        (step("synapse/api/N.xml", None, b"n"), b"n"),
        (step("plans/p.siddhiql", b"p", None), None),
    ),
)


def without_own(files: Files) -> Files:
    return {name: content for name, content in files.items() if "/.syncagent/" not in name}


def attempt(change: ChangeSet, bench: NodeBench, disk: NodeDisk) -> bool:
    """Carry the change out as the agent would; return whether it had to be tried again."""
    try:
        change.carry_out(disk)
    except DiskError:
        assert without_own(bench.live()) == change.old, "a DiskError promises that nothing changed"
        try_until_it_works(lambda: disk.discard(change.txid))
        assert not [name for name in bench.staged() if "probe" not in name]
        replace(change, txid=change.txid + 1).carry_out(disk)
    except StateError:
        with pytest.raises(StateError):
            disk.commit(replace(change, txid=change.txid + 1).intent)
        disk.discard(change.txid)  # must not take away what the intent still needs
        assert disk.recover(change.txid - 1) is not None
    else:
        return False
    return True


def try_until_it_works(act: object) -> None:
    assert callable(act)
    try:
        act()
    except DiskError:
        act()


def sweep_one(change: ChangeSet, inner: OsFS, base: str, fault: tuple[int, int, bool]) -> bool:
    """Run with call number k failing; return whether k was within the run."""
    k, code, short = fault
    NodeBench(inner, base).build(change.old)
    fs = FaultyFS(inner, 0, code, short_write=short)
    bench = NodeBench(fs, base)
    disk = bench.disk()
    disk.recover(0)
    first = fs.calls
    fs.k = first + k
    failed = attempt(change, NodeBench(inner, base), disk)
    assert not (short and failed), "a short write is not a failure"
    live = without_own(NodeBench(inner, base).live())
    assert live == change.new, f"after {fs.failed} failed"
    assert NodeBench(inner, base).disk().recover(change.txid + 1) is None
    assert not NodeBench(inner, base).staged(), f"after {fs.failed} failed"
    assert not fs.opened, f"descriptors leak after {fs.failed} failed"
    return bool(fs.failed) or (short and fs.calls >= fs.k)


@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
@pytest.mark.parametrize("change", [MIXED, MANY], ids=["mixed", "many"])
def test_any_call_may_fail_on_a_real_file_system(change: ChangeSet, code: int, folder: str) -> None:
    k = 1
    while sweep_one(change, OsFS(), f"{folder}/{k}", (k, code, False)):
        k += 1
    assert k > 60


@pytest.mark.parametrize("change", [SMALL], ids=["small"])
def test_any_call_may_fail_where_names_can_not_be_swapped(change: ChangeSet) -> None:
    k = 1
    while True:
        with Patcher():
            if not sweep_one(change, OsFS(), "/node", (k, CODES[k % len(CODES)], False)):
                break
        k += 1
    assert k > 40


@pytest.mark.parametrize("change", [MIXED, MANY], ids=["mixed", "many"])
def test_short_writes_are_finished(change: ChangeSet, folder: str) -> None:
    k = 1
    while sweep_one(change, OsFS(), f"{folder}/{k}", (k, errno.EIO, True)):
        k += 1
    assert k > 60


@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
def test_any_call_of_a_recovery_may_fail(code: int, folder: str) -> None:
    k = 0
    while True:
        k += 1
        base = f"{folder}/{k}"
        interrupted(base)
        fs = FaultyFS(OsFS(), k, code)
        disk = NodeBench(fs, base).disk()
        try:
            found = disk.recover(0)
        except (DiskError, StateError):
            found = disk.recover(0)
        assert found is not None
        assert found.intent == MIXED.intent
        bench = NodeBench(OsFS(), base)
        assert without_own(bench.live()) == MIXED.new, f"after {fs.failed} failed"
        assert len(bench.disk().kept()) == 3
        assert not fs.opened, f"descriptors leak after {fs.failed} failed"
        if not fs.failed:
            break
    assert k > 60


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[str]:
    """A folder in memory where there is one: these tests flush some thousand times."""
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as made:
        yield made


def interrupted(base: str) -> None:
    """Leave a commit behind that failed half-way."""
    NodeBench(OsFS(), base).build(MIXED.old)
    fs = FaultyFS(OsFS(), 0, errno.EIO)
    disk = NodeBench(fs, base).disk()
    disk.recover(0)
    MIXED.stage(disk)
    disk.seal(1)
    fs.fail_on = "exchange"
    with pytest.raises(StateError):
        disk.commit(MIXED.intent)
    live = without_own(NodeBench(OsFS(), base).live())
    assert live not in (MIXED.old, MIXED.new)
