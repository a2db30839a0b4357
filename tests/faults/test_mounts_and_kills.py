"""Mounts that are in the way of a rename, and processes that are killed half-way."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.core.errors import DiskError, StateError
from syncagent.core.intent import Keep
from syncagent.fsio import OsFS
from tests.fakes.faultyfs import FaultyFS
from tests.fakes.node_bench import PLANS, ChangeSet, NodeBench, step

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
TRIALS = 25


def needs_mounts() -> None:
    if os.geteuid() != 0 and not os.environ.get("SYNCAGENT_REQUIRE_ALL"):
        pytest.skip("needs root to mount")


@contextmanager
def mounted(*words: str) -> Iterator[None]:
    subprocess.run(["mount", *words], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", words[-1]], check=True)


def a_life(txid: int, before: bytes | None, after: bytes | None) -> ChangeSet:
    return ChangeSet(
        {},
        (
            (step("plans/p.siddhiql", before, after, Keep.DRIFT if before else None), after),
            (step("synapse/api/A.xml", before, after, Keep.DRIFT if before else None), after),
        ),
        txid,
    )


def live(bench: NodeBench) -> dict[str, bytes]:
    return {name: content for name, content in bench.live().items() if "/." not in name}


@pytest.mark.needs_root
@pytest.mark.parametrize("kind", ["tmpfs", "bind"])
def test_a_tree_that_is_itself_a_mount_is_staged_inside(tmp_path: Path, kind: str) -> None:
    needs_mounts()
    bench = NodeBench(OsFS(), str(tmp_path))
    bench.build({})
    plans = str(tmp_path / "gateway/plans")
    words = ("-t", "tmpfs", "none", plans) if kind == "tmpfs" else ("--bind", plans, plans)
    with mounted(*words):
        disk = bench.disk()
        disk.recover(0)
        change = a_life(1, None, b"1")
        change.stage(disk)
        waiting = [path.name for path in Path(plans).iterdir() if path.name != ".syncagent"]
        assert len(waiting) == 1
        assert waiting[0].startswith(".")
        assert waiting[0].endswith(".part")
        disk.seal(1)
        disk.commit(change.intent)
        change = a_life(2, b"1", b"2")
        change.carry_out(disk)
        assert live(bench) == {"plans/p.siddhiql": b"2", "synapse/api/A.xml": b"2"}
        assert [disk.kept_bytes(kept.id) for kept in disk.kept()] == [b"1", b"1"]
        a_life(3, b"2", None).carry_out(disk)
        assert live(bench) == {}
        assert [path.name for path in Path(plans).iterdir()] == [".syncagent"]


@pytest.mark.needs_root
def test_a_crash_of_a_commit_that_was_staged_inside_is_finished(tmp_path: Path) -> None:
    needs_mounts()
    bench = NodeBench(OsFS(), str(tmp_path))
    bench.build({})
    with mounted("-t", "tmpfs", "none", str(tmp_path / "gateway/plans")):
        a_life(1, None, b"1").carry_out(bench.disk())
        fs = FaultyFS(OsFS(), 0, 5)
        disk = NodeBench(fs, bench.base).disk()
        disk.recover(1)
        change = a_life(2, b"1", b"2")
        change.stage(disk)
        disk.seal(2)
        fs.fail_on = "link"  # the first step's displaced bytes on their way to quarantine
        with pytest.raises(StateError):
            disk.commit(change.intent)
        again = bench.disk()
        done = again.recover(1)
        assert done is not None
        assert len(done.kept) == 2
        assert live(bench) == {"plans/p.siddhiql": b"2", "synapse/api/A.xml": b"2"}


@pytest.mark.needs_root
def test_a_mount_that_went_away_gets_nothing_written_below_it(tmp_path: Path) -> None:
    needs_mounts()
    bench = NodeBench(OsFS(), str(tmp_path))
    bench.build({})
    disk = bench.disk()
    plans = tmp_path / "gateway/plans"
    with mounted("-t", "tmpfs", "none", str(plans)):
        disk.trust(PLANS, disk.identity_of(PLANS))
        a_life(1, None, b"1").carry_out(disk)
        change = a_life(2, b"1", b"2")
        change.stage(disk)
        disk.seal(2)
    with pytest.raises(DiskError):
        disk.commit(change.intent)
    assert list(plans.iterdir()) == []
    assert live(bench) == {"synapse/api/A.xml": b"1"}


@pytest.mark.needs_root
def test_a_mount_inside_a_tree_is_refused_before_anything_changes(tmp_path: Path) -> None:
    needs_mounts()
    bench = NodeBench(OsFS(), str(tmp_path))
    bench.build({"synapse/api/A.xml": b"1", "plans/p.siddhiql": b"1"})
    with mounted("-t", "tmpfs", "none", str(tmp_path / "gateway/synapse/api")):
        disk = bench.disk()
        with pytest.raises(DiskError) as refused:
            a_life(1, b"1", b"2").stage(disk)
        assert refused.value.errno_name == "EXDEV"
        disk.discard(1)
    assert live(bench) == {"synapse/api/A.xml": b"1", "plans/p.siddhiql": b"1"}


CHILD = textwrap.dedent(
    """
    import sys
    from syncagent.fsio import OsFS
    from tests.fakes.node_bench import ChangeSet, NodeBench, step

    base, first = sys.argv[1], int(sys.argv[2])
    disk = NodeBench(OsFS(), base).disk()
    names = [f"synapse/api/{n}.xml" for n in range(12)]
    names += [f"plans/{n}.siddhiql" for n in range(3)]
    for txid in range(first, first + 100_000):
        old, new = b"%d" % (txid - 1), b"%d" % txid
        ChangeSet({}, tuple((step(n, old, new), new) for n in names), txid).carry_out(disk)
        print(txid, flush=True)
    """
)


def test_a_killed_process_leaves_one_whole_revision(tmp_path: Path) -> None:
    names = [f"synapse/api/{n}.xml" for n in range(12)] + [f"plans/{n}.siddhiql" for n in range(3)]
    bench = NodeBench(OsFS(), str(tmp_path))
    bench.build(dict.fromkeys(names, b"0"))
    bench.disk().recover(0)
    rng = random.Random(5)
    standing, redone = 0, 0
    for _ in range(TRIALS):
        acked = killed_after(str(tmp_path), standing + 1, rng.randint(1, 12), rng.random() / 100)
        done = bench.disk().recover(acked or standing)
        redone += done is not None
        standing = done.intent.txid if done is not None else acked or standing
        assert set(bench.live().values()) == {b"%d" % standing}
        assert set(bench.live()) == set(names)
        assert bench.staged() == []
    assert standing > TRIALS, "the children did nothing"
    assert redone > 0, "no child was killed within a commit"


def killed_after(base: str, first: int, lines: int, pause_s: float) -> int:
    """Run the child, kill it some time after its given line; return the last that it claimed."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, base, str(first)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        read = [child.stdout.readline() for _ in range(lines)]
        try:
            child.wait(pause_s)
        except subprocess.TimeoutExpired:
            child.kill()
        read += child.stdout.readlines()
    claimed = [int(line) for line in read if line.endswith("\n")]
    assert claimed, "the child ended by itself"
    return claimed[-1]
