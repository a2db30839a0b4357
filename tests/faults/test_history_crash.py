"""Power cuts at every call: what was acknowledged is there, the rest is there whole or not at all."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import FencedError, StateError
from syncagent.core.ledger import Standing, StandingChange
from syncagent.core.manifest import Entry
from syncagent.core.revision import RevisionId, Token
from syncagent.core.wire.packing import compress_batch
from syncagent.history.guard import FileGuard
from syncagent.history.node_history import NodeHistory
from tests.fakes.appendfs import AppendCrashFS
from tests.fakes.crashfs import MODES, Crash

if TYPE_CHECKING:
    from collections.abc import Callable

HOME = "/state"
SYNAPSE = TreeName("synapse")
REVISIONS = 4
IMAGES = 6
"""Disks that are looked at per crash and mode."""


@dataclass
class Run:
    """One life of a node's history, up to a crash."""

    fs: AppendCrashFS
    known: list[Standing] = field(default_factory=lambda: [Standing()])
    """Standings in order; `known[acknowledged]` is the last one that was acknowledged."""
    acknowledged: int = 0

    def live(self) -> None:
        history = open_history(self.fs)
        for number in range(1, REVISIONS + 1):
            change, blobs = next_change(self.known[-1], number)
            self.known.append(self.known[-1].after(change))
            if number % 2:
                history.stand(change, blobs)
            else:
                history.add_blobs(*compress_batch(blobs))
                history.stand(change)
            self.acknowledged = number
        history._ledger.compact()
        history.close()


def open_history(fs: AppendCrashFS) -> NodeHistory:
    history = NodeHistory(fs, HOME, wall=lambda: 0.0)
    history.load()
    return history


def content_of(number: int) -> bytes:
    return b"revision %d " % number * 20


def next_change(
    standing: Standing, number: int
) -> tuple[StandingChange, list[tuple[Entry, bytes]]]:
    content = content_of(number)
    entry = Entry(digest_of(content), len(content))
    change = Change(ArtifactPath(SYNAPSE, f"api/{number}.xml"), None, entry)
    digest = standing.manifest.after([change]).digest
    revision = RevisionId(1, number, digest)
    return StandingChange(revision, (change,), txid=number), [(entry, content)]


def new_disk() -> AppendCrashFS:
    fs = AppendCrashFS()
    fs.mkdir(HOME)
    fs.freeze()
    return fs


def check(run: Run, fs: AppendCrashFS) -> None:
    """What a restart finds on `fs` is what was acknowledged, or the step that was under way."""
    history = open_history(fs)
    standing = history.load()
    assert standing in run.known[run.acknowledged :]
    for _, entry in standing.manifest:
        content = history.blob(entry.digest)
        assert content is not None
        assert digest_of(content) == entry.digest
    change, blobs = next_change(standing, 99)
    further = StandingChange(
        RevisionId(1, standing.revision.number + 1, standing.manifest.after(change.changes).digest),
        change.changes,
    )
    history.stand(further, blobs)
    history.close()
    again = open_history(fs)
    assert again.load() == standing.after(further)
    assert again.blob(blobs[0][0].digest) == blobs[0][1]
    assert again.load() == standing.after(further)


def crashes(live: Callable[[AppendCrashFS], None]) -> range:
    """Call numbers of a whole run."""
    fs = new_disk()
    live(fs)
    assert fs.calls > 10
    return range(1, fs.calls + 1)


def test_what_was_acknowledged_survives_a_power_cut_at_every_call() -> None:
    rng = random.Random(7)
    looked = 0
    for call in crashes(lambda fs: Run(fs).live()):
        run = Run(new_disk())
        run.fs.crash_at = call
        with pytest.raises(Crash):
            run.live()
        for mode in MODES:
            for _ in range(IMAGES):
                check(run, run.fs.image(rng, mode))
                looked += 1
    assert looked > 500


def test_a_power_cut_while_recovering_changes_nothing() -> None:
    rng = random.Random(8)
    for call in crashes(lambda fs: Run(fs).live()):
        run = Run(new_disk())
        run.fs.crash_at = call
        with pytest.raises(Crash):
            run.live()
        for mode in MODES:
            image = run.fs.image(rng, mode)
            image.crash_at = rng.randint(1, 4)
            try:
                open_history(image)
            except Crash:
                image = image.image(rng, rng.choice(MODES))
            image.crash_at = -1
            check(run, image)


def test_a_killed_process_loses_nothing_that_it_had_written() -> None:
    for call in crashes(lambda fs: Run(fs).live()):
        run = Run(new_disk())
        run.fs.crash_at = call
        with pytest.raises(Crash):
            run.live()
        run.fs.reborn()
        check(run, run.fs)


def test_what_a_killed_process_left_is_durable_before_it_is_built_upon() -> None:
    """Killed at any call, started again; then power fails: what the restart found is still there."""
    rng = random.Random(12)
    for call in crashes(lambda fs: Run(fs).live()):
        run = Run(new_disk())
        run.fs.crash_at = call
        with pytest.raises(Crash):
            run.live()
        run.fs.reborn()
        history = open_history(run.fs)
        standing = history.load()
        change, blobs = next_change(standing, standing.revision.number + 1)
        history.stand(change, [] if history.has(blobs[0][0].digest) else blobs)
        run.known, run.acknowledged = [standing.after(change)], 0
        for mode in MODES:
            check(run, run.fs.image(rng, mode))


def test_without_flushes_these_tests_would_fail() -> None:
    rng = random.Random(9)
    run = Run(new_disk())
    run.fs.deaf = lambda _call, inode: inode is not None and not inode.is_folder
    run.live()
    lost = 0
    for _ in range(100):
        try:
            check(run, run.fs.image(rng, "all"))
        except (AssertionError, StateError):
            lost += 1
    assert lost > 50


def token(epoch: int) -> Token:
    return Token("apim", epoch, NodeName("gw-1"), "start-1")


def admit_all(fs: AppendCrashFS, admitted: list[int]) -> None:
    guard = FileGuard(fs, HOME, "apim")
    guard.enrol()
    open_history(fs).close()
    for epoch in (1, 2, 7):
        guard.admit(token(epoch))
        admitted.append(epoch)


def test_the_guard_never_goes_back() -> None:
    rng = random.Random(10)
    for call in crashes(lambda fs: admit_all(fs, [])):
        fs, admitted = new_disk(), [0]
        fs.crash_at = call
        with pytest.raises(Crash):
            admit_all(fs, admitted)
        for mode in MODES:
            for _ in range(IMAGES):
                image = fs.image(rng, mode)
                guard = FileGuard(image, HOME, "apim")
                epoch = guard.enrol().epoch
                assert epoch >= admitted[-1]
                if epoch > 1:
                    with pytest.raises(FencedError):
                        guard.admit(token(1))
                guard.admit(token(9))
                twice = FileGuard(image.image(rng, mode), HOME, "apim")
                assert twice.state().epoch == 9


def test_a_token_that_was_only_visible_is_made_durable_before_it_counts() -> None:
    """Killed between rename and sync, restarted: the token is admitted again, then power fails."""
    rng = random.Random(11)
    for call in crashes(lambda fs: admit_all(fs, [])):
        fs = new_disk()
        fs.crash_at = call
        with pytest.raises(Crash):
            admit_all(fs, [])
        fs.reborn()
        guard = FileGuard(fs, HOME, "apim")
        epoch = guard.enrol().epoch
        if epoch == 0:
            continue
        guard.admit(token(epoch))
        for mode in MODES:
            assert FileGuard(fs.image(rng, mode), HOME, "apim").state().epoch == epoch
