"""A crash at every call of a commit, every kind of disk that may be found, and crashes in recovery.

And a test of these tests: each flush that the protocol needs is left out, and must be missed.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import pytest

from syncagent.core.digest import digest_of
from syncagent.core.errors import StateError
from syncagent.core.intent import Keep
from tests.fakes.crashfs import MODES, Crash, CrashFS
from tests.fakes.node_bench import MANY, MIXED, START, ChangeSet, NodeBench

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.artifact import ArtifactPath
    from tests.fakes.crashfs import Inode


class BrokenPromiseError(AssertionError):
    """What a crash must not be able to do has happened."""


@dataclass
class Run:
    """One run of a change set up to a crash, and what it had claimed by then."""

    fs: CrashFS
    phase: str = "stage"
    renamed: bool = False
    acked: bool = False


Bug: TypeAlias = "Callable[[Run, str, Inode | None], bool]"
"""Tells whether a flush is left out."""


def no_bug(_run: Run, _call: str, _inode: Inode | None) -> bool:
    return False


def prepared(change: ChangeSet, *, swaps: bool) -> CrashFS:
    fs = CrashFS(swaps=swaps)
    bench = NodeBench(fs)
    bench.build(change.old)
    bench.disk().recover(0)
    fs.freeze()
    return fs


def run_until(change: ChangeSet, k: int, *, swaps: bool, bug: Bug = no_bug) -> Run:
    fs = prepared(change, swaps=swaps)
    run = Run(fs)
    disk = NodeBench(fs).disk()

    def watch(call: str) -> None:
        moved = call.startswith(("rename", "exchange", "link")) and run.phase == "commit"
        run.renamed = run.renamed or moved

    fs.watch = watch
    fs.deaf = lambda call, inode: bug(run, call, inode)
    fs.crash_at = k
    with suppress(Crash):
        change.stage(disk)
        run.phase = "seal"
        disk.seal(change.txid)
        run.phase = "commit"
        disk.commit(change.intent)
        run.acked = True
    fs.deaf = lambda _call, _inode: False
    return run


def check(change: ChangeSet, fs: CrashFS, *, acked: bool) -> None:
    bench = NodeBench(fs)
    live = bench.live()
    if live != (change.new if acked else change.old):
        wanted = "new" if acked else "old"
        raise BrokenPromiseError(f"live is not the whole of what is {wanted}: {live}")
    if bench.staged():
        raise BrokenPromiseError(f"left behind in the stage: {bench.staged()}")
    if acked:
        check_new(change, bench)


def check_new(change: ChangeSet, bench: NodeBench) -> None:
    disk = bench.disk()
    kept = {(one.path, one.reason): disk.kept_bytes(one.id) for one in disk.kept()}
    if kept != expected_kept(change):
        raise BrokenPromiseError(f"kept {kept}, not {expected_kept(change)}")
    for one, content in change.steps:
        name = f"{one.path.tree}/{one.path.path}"
        if content is not None and name in change.old:
            mtime_ns = bench.mtime_ns(name)
            if mtime_ns <= int(START) * 10**9 or mtime_ns % 10**9:
                raise BrokenPromiseError(f"the mtime of {name} did not rise by whole seconds")


def expected_kept(change: ChangeSet) -> dict[tuple[ArtifactPath, Keep], bytes]:
    found = {}
    for one, _ in change.steps:
        old = change.old.get(f"{one.path.tree}/{one.path.path}")
        if old is None:
            continue
        reason = one.keep if digest_of(old) == one.expected else Keep.CONFLICT
        if reason is not None:
            found[one.path, reason] = old
    return found


def recover(
    change: ChangeSet, fs: CrashFS, rng: random.Random, *, acked: bool, crashes: int
) -> None:
    """Recover from `fs`, with `crashes` more crashes on the way, and check what comes out."""
    # Whoever was told that it is committed may have entered it into the ledger, or not yet.
    done = change.txid if acked and rng.random() < 0.5 else 0
    for _ in range(crashes):
        fs.reborn()
        fs.crash_at = rng.randint(1, 40)
        try:
            found = NodeBench(fs).disk().recover(done)
        except Crash:
            if rng.random() < 0.3:
                continue  # only the process died: the kernel's memory is as it was
        else:
            acked = acked or found is not None
        fs = fs.image(rng, rng.choice(MODES))
    fs.reborn()
    found = NodeBench(fs).disk().recover(done)
    acked = acked or found is not None
    check(change, fs, acked=acked)
    # What recovery claims is durable, and doing it again changes nothing.
    fs = fs.image(rng, "none")
    again = NodeBench(fs).disk().recover(done)
    check(change, fs, acked=acked)
    if (again is not None) != (acked and done == 0):
        raise BrokenPromiseError("recovery that is repeated does not say the same")


def explore(
    change: ChangeSet, *, swaps: bool = True, bug: Bug = no_bug, early: bool = False
) -> int:
    """Crash at every call; return how many disks were looked at.

    With `early` the commit is claimed as soon as the first name has changed.
    """
    rng = random.Random(20_240_101)
    looked_at = 0
    k = 0
    while True:
        k += 1
        run = run_until(change, k, swaps=swaps, bug=bug)
        acked = run.acked or (early and run.renamed)
        for mode in MODES:
            for crashes in range(3):
                recover(change, run.fs.image(rng, mode), rng, acked=acked, crashes=crashes)
                looked_at += 1
        if run.acked:
            return looked_at


def explore_kills(change: ChangeSet, *, swaps: bool = True, bug: Bug = no_bug) -> int:
    """Kill the process at every call, cut the power in its recovery."""
    rng = random.Random(7)
    looked_at = 0
    k = 0
    while True:
        k += 1
        for second in (2, 5, 11, 23, 45):
            run = run_until(change, k, swaps=swaps)
            run.fs.reborn()
            run.fs.crash_at = second
            run.phase = "recover"
            run.fs.deaf = lambda call, inode, run=run: bug(run, call, inode)  # type: ignore[misc]
            acked = run.acked
            with suppress(Crash):
                acked = NodeBench(run.fs).disk().recover(0) is not None or acked
            run.fs.deaf = lambda _call, _inode: False
            for mode in ("subset", "none"):
                recover(change, run.fs.image(rng, mode), rng, acked=acked, crashes=0)
                looked_at += 1
        if run.acked:
            return looked_at


SWAPS = pytest.mark.parametrize("swaps", [True, False], ids=["exchange", "link-and-rename"])
EACH = pytest.mark.parametrize("change", [MIXED, MANY], ids=["mixed", "many"])


@SWAPS
@EACH
def test_a_crash_anywhere_leaves_old_or_new_and_what_was_acknowledged_stays(
    change: ChangeSet, swaps: bool
) -> None:
    assert explore(change, swaps=swaps) > 500


@SWAPS
@EACH
def test_a_kill_and_then_a_power_cut_in_recovery_leaves_old_or_new(
    change: ChangeSet, swaps: bool
) -> None:
    assert explore_kills(change, swaps=swaps) > 500


# The test of the test.


def no_seal_of_files(run: Run, call: str, _inode: Inode | None) -> bool:
    return run.phase == "seal" and call in {"fsync file", "syncfs"}


def no_seal_of_folders(run: Run, call: str, _inode: Inode | None) -> bool:
    return run.phase == "seal" and call in {"fsync folder", "syncfs"}


def no_flush_of_the_intent(run: Run, call: str, _inode: Inode | None) -> bool:
    return run.phase == "commit" and call == "fdatasync file"


def no_flush_of_live_folders(run: Run, call: str, inode: Inode | None) -> bool:
    if run.phase != "commit" or not run.renamed:
        return False
    return call == "syncfs" or (call == "fsync folder" and inode is not quarantine_of(run))


def no_flush_of_new_folders(run: Run, call: str, _inode: Inode | None) -> bool:
    return run.phase == "commit" and not run.renamed and call == "fsync folder"


def no_flush_of_the_quarantine(run: Run, call: str, inode: Inode | None) -> bool:
    return run.phase == "commit" and call == "fsync folder" and inode is quarantine_of(run)


def no_flush_of_the_lists(run: Run, call: str, _inode: Inode | None) -> bool:
    return run.phase == "commit" and call == "fsync file"


def quarantine_of(run: Run) -> Inode:
    return run.fs.inode_at("/node/gateway/.syncagent/quarantine")


@pytest.mark.parametrize(
    ("change", "bug"),
    [
        (MIXED, no_seal_of_files),
        (MANY, no_seal_of_files),
        (MIXED, no_seal_of_folders),
        (MIXED, no_flush_of_the_intent),
        (MANY, no_flush_of_the_intent),
        (MIXED, no_flush_of_live_folders),
        (MANY, no_flush_of_live_folders),
        (MIXED, no_flush_of_new_folders),
        (MIXED, no_flush_of_the_quarantine),
        (MIXED, no_flush_of_the_lists),
    ],
)
def test_a_flush_that_is_left_out_is_missed(change: ChangeSet, bug: Bug) -> None:
    with pytest.raises((BrokenPromiseError, StateError)):
        explore(change, bug=bug)


def test_a_commit_that_is_claimed_before_it_is_durable_is_missed() -> None:
    with pytest.raises(BrokenPromiseError):
        explore(MIXED, early=True)


def test_a_recovery_that_trusts_an_intent_in_memory_is_missed() -> None:
    with pytest.raises(BrokenPromiseError):
        explore_kills(MIXED, bug=lambda run, call, _inode: call == "fdatasync file")
