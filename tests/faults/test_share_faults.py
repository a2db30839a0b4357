"""A share that fails, goes, or shows nothing: what is on it is never called absent."""

from __future__ import annotations

import errno
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from pyfakefs.fake_filesystem_unittest import Patcher

from syncagent.core.artifact import TreeKind
from syncagent.core.errors import DiskError
from syncagent.core.settings import Limits, TreeSettings
from syncagent.core.snapshot import Condition, Snapshot
from syncagent.disk.looking import Looking
from syncagent.disk.mark import Mark, write_mark
from syncagent.fsio import O_FOLDER, OsFS
from tests.fakes.examiner import KeepingExaminer, StillClock
from tests.fakes.eyes import TREE
from tests.faults.test_scan_faults import PRESENT, FaultyListings, agrees, is_whole, sweep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARK = Mark("0a1b", "c", TREE)


def share(root: str, state: str, fs: OsFS) -> Looking:
    """Look at a marked tree, for the first time."""
    real = OsFS()
    fd = real.open(root, O_FOLDER)
    with suppress(FileExistsError):
        write_mark(real, fd, MARK)
    real.close(fd)
    tree = TreeSettings(TREE, TreeKind.SYNAPSE, root, mark="c")
    return Looking(fs, [tree], Limits(), f"{state}/scan.cache", StillClock())


def filled(tmp_path: Path) -> str:
    for path, content in PRESENT.items():
        where = tmp_path / "share" / path
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(content)
    return str(tmp_path / "share")


@pytest.mark.parametrize(
    "code", [errno.ESTALE, errno.EIO, errno.EROFS, errno.ENOTCONN, errno.ETIMEDOUT, errno.ENOENT]
)
def test_whichever_call_fails_on_a_share_nothing_is_absent(tmp_path: Path, code: int) -> None:
    fs = FaultyListings()
    eyes = share(filled(tmp_path), str(tmp_path), fs)
    is_whole(eyes.scan(TREE, KeepingExaminer()))
    conditions = set()

    def look() -> None:
        snapshot = eyes.scan(TREE, KeepingExaminer())
        conditions.add(snapshot.condition)
        agrees(snapshot)
        with suppress(DiskError):
            seen = eyes.look(TREE, list(PRESENT), KeepingExaminer())
            assert None not in seen.values(), f"absent, says a look: {seen}"

    failed = list(sweep(fs, code, look))
    assert {"open", "read"} <= set(failed)
    gone = Condition.MISSING if code == errno.ENOENT else Condition.UNREADABLE
    assert {Condition.GOOD, gone} <= conditions
    is_whole(eyes.scan(TREE, KeepingExaminer()))


class Blank(OsFS):
    """A file system whose folders list nothing, successfully, while `blank` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.blank = False
        listing = self.scandir

        @contextmanager
        def scandir(fd: int) -> Iterator[Iterator[object]]:
            with listing(fd) as entries:
                yield iter(()) if self.blank else entries

        self.scandir = scandir


def test_an_empty_listing_of_a_share_that_has_its_mark_is_not_believed(tmp_path: Path) -> None:
    fs = Blank()
    eyes = share(filled(tmp_path), str(tmp_path), fs)
    is_whole(eyes.scan(TREE, KeepingExaminer()))
    fs.blank = True
    for snapshot in scans(eyes):
        agrees(snapshot)
    fs.blank = False
    is_whole(eyes.scan(TREE, KeepingExaminer()))


@pytest.fixture
def fake() -> Iterator[Patcher]:
    with Patcher() as patcher:
        patcher.fs.create_dir("/state")
        for path, content in PRESENT.items():
            patcher.fs.create_file(f"/mnt/share/{path}", contents=content)
        yield patcher


def scans(eyes: Looking) -> list[Snapshot]:
    return [eyes.scan(TREE, KeepingExaminer()) for _ in range(3)]


def test_a_share_that_was_unmounted_leaves_an_empty_folder_that_says_nothing(
    fake: Patcher,
) -> None:
    eyes = share("/mnt/share", "/state", OsFS())
    is_whole(eyes.scan(TREE, KeepingExaminer()))
    fake.fs.rename("/mnt/share", "/mnt/away")
    fake.fs.create_dir("/mnt/share")
    for snapshot in scans(eyes):
        assert (snapshot.condition, snapshot.files) == (Condition.MISSING, {})
        agrees(snapshot)
    fake.fs.remove_object("/mnt/share")
    for snapshot in scans(eyes):
        assert snapshot.condition is Condition.MISSING
        agrees(snapshot)
    fake.fs.rename("/mnt/away", "/mnt/share")
    is_whole(scans(eyes)[-1])


def test_a_share_that_lost_its_mark_alone_says_nothing(fake: Patcher) -> None:
    eyes = share("/mnt/share", "/state", OsFS())
    fake.fs.remove_object("/mnt/share/.syncagent-root")
    for snapshot in scans(eyes):
        assert (snapshot.condition, snapshot.files) == (Condition.MISSING, {})
        agrees(snapshot)
