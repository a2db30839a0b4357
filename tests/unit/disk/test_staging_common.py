"""Folders on which agents of several nodes work: who only looks leaves no trace in them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.core.artifact import TreeKind
from syncagent.core.settings import Limits, TreeSettings
from syncagent.disk.node_disk import NodeDisk
from syncagent.fsio import OsFS
from tests.fakes.examiner import KeepingExaminer
from tests.fakes.node_bench import MANY, PLANS, SYNAPSE, NodeBench, StillClock

if TYPE_CHECKING:
    from pathlib import Path


def node(bench: NodeBench, name: str) -> NodeDisk:
    """Return the disk of one of several nodes on the same folders."""
    fs, base = bench.fs, bench.base
    state = f"{base}/state-{name}"
    fs.mkdir(state, 0o700)
    trees = (
        TreeSettings(SYNAPSE, TreeKind.SYNAPSE, f"{base}/gateway/synapse"),
        TreeSettings(PLANS, TreeKind.SIDDHI, f"{base}/gateway/plans"),
    )
    common = tuple(replace(tree, common=True) for tree in trees)
    return NodeDisk(fs, common, Limits(), state, StillClock())


def test_who_only_looks_tries_and_makes_nothing(tmp_path: Path) -> None:
    bench = NodeBench(OsFS(), str(tmp_path))
    bench.build(MANY.old)
    disk = node(bench, "worker")
    assert disk.recover(0) is None
    for tree in (SYNAPSE, PLANS):
        disk.scan(tree, KeepingExaminer())
    assert disk.kept() == ()
    assert sorted(p.name for p in (tmp_path / "gateway").iterdir()) == ["plans", "synapse"]


def test_what_another_node_stages_survives_the_start_of_this_one(tmp_path: Path) -> None:
    bench = NodeBench(OsFS(), str(tmp_path))
    bench.build(MANY.old)
    manager = node(bench, "manager")
    MANY.stage(manager)
    manager.seal(MANY.txid)
    node(bench, "worker").recover(0)
    manager.commit(MANY.intent)
    assert bench.live() == MANY.new


def test_the_next_who_writes_tidies_what_an_interrupted_one_has_left(tmp_path: Path) -> None:
    bench = NodeBench(OsFS(), str(tmp_path))
    bench.build(MANY.old)
    dead = node(bench, "dead")
    left = replace(MANY, txid=7)
    left.stage(dead)
    assert bench.staged()
    MANY.carry_out(node(bench, "next"))
    assert bench.live() == MANY.new
    assert bench.staged() == []
