"""One call fails, for every call: what is there is never called absent, and nothing leaks."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyfakefs import helpers
from pyfakefs.fake_filesystem_unittest import Patcher

from syncagent.core.artifact import TreeKind
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.settings import Limits, TreeSettings
from syncagent.core.snapshot import Condition, Seen, Snapshot, Unread
from syncagent.disk.looking import Looking
from syncagent.fsio import OsFS
from tests.fakes.examiner import KeepingExaminer, StillClock
from tests.fakes.eyes import TREE, Eyes, code, codes
from tests.fakes.faultyfs import FaultyFS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ERRNOS = (errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOENT, errno.ENOTCONN)


class FaultyListings(FaultyFS):
    """A FaultyFS that also counts what happens inside a listing."""

    def __init__(self) -> None:
        super().__init__(OsFS())
        listing = self.scandir
        self.scandir = lambda fd: _Listing(self, listing(fd))

    def arm(self, k: int, code: int) -> None:
        """From now on count anew and fail once. 0: never."""
        self.calls, self.k, self.code, self.failed = 0, k, code, ""


class _Listing:
    def __init__(self, fs: FaultyListings, inner: os.ScandirIterator[str]) -> None:
        self.fs, self.inner = fs, inner

    def __enter__(self) -> Iterator[object]:
        return self._entries()

    def __exit__(self, *_: object) -> None:
        self.inner.close()

    def _entries(self) -> Iterator[object]:
        for entry in self.inner:
            self.fs._method("readdir")
            yield _Entry(self.fs, entry)


class _Entry:
    def __init__(self, fs: FaultyListings, inner: os.DirEntry[str]) -> None:
        self.fs, self.inner, self.name = fs, inner, inner.name

    def stat(self, *, follow_symlinks: bool) -> os.stat_result:
        self.fs._method("fstatat")
        return self.inner.stat(follow_symlinks=follow_symlinks)

    def is_dir(self, *, follow_symlinks: bool) -> bool:
        self.fs._method("is_dir")
        return self.inner.is_dir(follow_symlinks=follow_symlinks)

    def is_file(self, *, follow_symlinks: bool) -> bool:
        self.fs._method("is_file")
        return self.inner.is_file(follow_symlinks=follow_symlinks)


PRESENT = {
    "root.xml": b"0",
    "api/a.xml": b"1",
    "api/b.xml": b"2",
    "api/deep/er/c.xml": b"3",
    "sequences/d.xml": b"4",
}
GONE = ("api/none.xml", "none.xml", "api/deep/none.xml", "nofolder/none.xml")


def sweep(fs: FaultyListings, code: int, act: Callable[[], None]) -> Iterator[str]:
    """Run `act` with call 1 failing, then call 2, ..., until none fails; yield what failed."""
    for fail_at in range(1, 2_000):
        fs.arm(fail_at, code)
        before = open_descriptors()
        act()
        assert open_descriptors() == before, f"{fs.failed} (call {fail_at}) leaks"
        assert not fs.opened
        if not fs.failed:
            assert fail_at > 20, "the sweep reached next to nothing"
            fs.arm(0, code)
            return
        yield fs.failed
    raise AssertionError("the sweep does not end")


def open_descriptors() -> set[str]:
    listed = {entry.name for entry in Path("/proc/self/fd").iterdir()}
    return {name for name in listed if os.path.lexists(f"/proc/self/fd/{name}")}


def prepared(tmp_path: Path) -> tuple[Eyes, FaultyListings]:
    fs = FaultyListings()
    eyes = Eyes(tmp_path, fs=fs)
    for path, content in PRESENT.items():
        eyes.put(path, content)
    return eyes, fs


def agrees(snapshot: Snapshot) -> None:
    """Whatever the snapshot claims is so."""
    for path, content in PRESENT.items():
        assert not snapshot.tells_absence(path), f"{path} is there"
        what = snapshot.files.get(path)
        if isinstance(what, Seen):
            assert what.entry == (digest_of(content), len(content))
    assert not [path for path in GONE if isinstance(snapshot.files.get(path), Seen)]


def is_whole(snapshot: Snapshot) -> None:
    assert codes(snapshot) == dict.fromkeys(PRESENT, "seen")
    assert snapshot.unlisted == frozenset()
    assert all(snapshot.tells_absence(path) for path in GONE)
    agrees(snapshot)


def forget_all(eyes: Eyes) -> None:
    eyes.fresh()


def change_much(eyes: Eyes) -> None:
    for path in ("api/none.xml", "api/deep/none.xml", "nofolder/none.xml"):
        eyes.put(path, path.encode())
    eyes.scan()
    for path in ("api/none.xml", "api/deep/none.xml", "nofolder/none.xml"):
        (eyes.tree / path).unlink()
    (eyes.tree / "nofolder").rmdir()
    eyes.put("api/b.xml", PRESENT["api/b.xml"])


def scan_once(eyes: Eyes) -> None:
    eyes.scan()


def scan_while_racy(eyes: Eyes) -> None:
    eyes.ahead_s = -3_600.0  # every file is from the future, and stays so
    eyes.fresh()
    eyes.scan()


BEFORE = {
    "cold": forget_all,
    "warm": scan_once,
    "changed": change_much,
    "racy": scan_while_racy,
}


@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize("state", BEFORE)
def test_a_failing_call_in_a_scan_never_becomes_an_absence(
    tmp_path: Path, number: int, state: str
) -> None:
    eyes, fs = prepared(tmp_path)
    found: list[Snapshot] = []
    failed = set()

    def act() -> None:
        k, fs.k = fs.k, 0
        BEFORE[state](eyes)
        fs.arm(k, number)
        found.append(eyes.scan())

    for name in sweep(fs, number, act):
        failed.add(name)
        snapshot = found.pop()
        agrees(snapshot)
        fs.arm(0, number)
        is_whole(eyes.scan())
    is_whole(found.pop())
    assert {"stat", "statfs", "open", "openat2", "scandir", "readdir"} <= failed
    assert ("read" in failed) == (state != "warm")


@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
@pytest.mark.parametrize("state", ["cold", "warm"])
def test_a_failing_call_in_a_look_never_becomes_an_absence(
    tmp_path: Path, number: int, state: str
) -> None:
    eyes, fs = prepared(tmp_path)
    found: list[dict[str, Seen | Unread | None]] = []
    refusals: set[str] = set()

    def act() -> None:
        k, fs.k = fs.k, 0
        eyes.fresh()
        if state == "warm":
            eyes.scan()
        fs.arm(k, number)
        found.clear()
        try:
            found.append(eyes.look(*PRESENT, *GONE))
        except DiskError as error:
            refusals.add(error.errno_name)

    for name in sweep(fs, number, act):
        for path, what in found[0].items() if found else ():
            if path in PRESENT:
                assert what is not None, f"{name}: {path} is there"
                if isinstance(what, Seen):
                    assert what.entry.digest == digest_of(PRESENT[path])
            else:
                assert not isinstance(what, Seen)
    assert refusals == {errno.errorcode[number]}
    answers = {path: code(what) for path, what in found[0].items()}
    assert answers == {
        **dict.fromkeys(PRESENT, "seen"),
        **dict.fromkeys(GONE, "absent"),
        "nofolder/none.xml": "no-folder",
    }


@pytest.mark.parametrize("number", ERRNOS, ids=errno.errorcode.get)
def test_a_failing_call_in_a_read_gives_no_bytes_or_the_right_ones(
    tmp_path: Path, number: int
) -> None:
    eyes, fs = prepared(tmp_path)
    got: list[bytes | None] = []

    def act() -> None:
        got.append(eyes.read("api/a.xml", digest_of(b"1")))

    for fail_at in range(1, 100):
        fs.arm(fail_at, number)
        before = open_descriptors()
        act()
        assert open_descriptors() == before
        assert got[-1] in {b"1", None}
        if not fs.failed:
            break
    assert got[-1] == b"1"
    assert None in got


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
def test_a_failing_call_while_the_cache_is_loaded_costs_only_reads(
    tmp_path: Path, number: int
) -> None:
    eyes, fs = prepared(tmp_path)
    eyes.scan()
    eyes.looking.save_cache()
    for fail_at in range(1, 20):
        fs.arm(fail_at, number)
        before = open_descriptors()
        eyes.fresh()
        fs.arm(0, number)
        assert open_descriptors() == before
        is_whole(eyes.scan())


def test_a_tree_half_of_which_can_not_be_read_loses_nothing(tmp_path: Path) -> None:
    eyes, fs = prepared(tmp_path)
    is_whole(eyes.scan())
    real, real_openat2 = fs.open, FaultyListings.openat2

    def refuse(name: str, *args: object, **more: object) -> int:
        if name in {"root.xml", "a.xml"}:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(name, *args, **more)

    class Refusing(FaultyListings):
        def openat2(self, root_fd: int, path: str, *args: object) -> int:
            if path == "sequences":
                raise PermissionError(errno.EACCES, "Permission denied")
            return real_openat2(self, root_fd, path, *args)

    eyes.fs = Refusing()
    real = eyes.fs.open
    eyes.fs.open = refuse
    eyes.fresh()

    snapshot = eyes.scan()

    assert snapshot.condition is Condition.GOOD
    assert snapshot.unlisted == {"sequences"}
    assert codes(snapshot) == {
        "root.xml": "unreadable",
        "api/a.xml": "unreadable",
        "api/b.xml": "seen",
        "api/deep/er/c.xml": "seen",
    }
    agrees(snapshot)
    assert snapshot.tells_absence("api/none.xml")


# pyfakefs: what a test can't do to a real disk without being root, and the other way round.


@pytest.fixture
def fake() -> Iterator[Patcher]:
    with Patcher() as patcher:
        patcher.fs.create_dir("/state")
        for path, content in PRESENT.items():
            patcher.fs.create_file(f"/mnt/tree/{path}", contents=content)
        yield patcher
        helpers.reset_ids()


def looking_at(path: str = "/mnt/tree") -> Looking:
    settings = TreeSettings(TREE, TreeKind.SYNAPSE, path)
    return Looking(OsFS(), [settings], Limits(), "/state/cache", StillClock())


def test_a_scan_of_a_fake_disk_sees_everything(fake: Patcher) -> None:
    looking = looking_at()
    is_whole(looking.scan(TREE, KeepingExaminer()))
    is_whole(looking.scan(TREE, KeepingExaminer()))


def test_what_an_ordinary_user_may_not_read_is_unread_and_nothing_is_absent(fake: Patcher) -> None:
    for path, mode in (
        ("api/a.xml", 0),
        ("root.xml", 0),
        ("sequences", 0o111),
        ("api/deep/er", 0o111),
    ):
        fake.fs.chmod(f"/mnt/tree/{path}", mode)
    helpers.set_uid(1000)
    helpers.set_gid(1000)

    snapshot = looking_at().scan(TREE, KeepingExaminer())

    assert snapshot.condition is Condition.GOOD
    assert snapshot.unlisted == {"sequences", "api/deep/er"}
    assert codes(snapshot) == {
        "api/a.xml": "unreadable",
        "root.xml": "unreadable",
        "api/b.xml": "seen",
    }
    agrees(snapshot)


def test_a_root_that_an_ordinary_user_may_not_list_is_unreadable(fake: Patcher) -> None:
    fake.fs.chmod("/mnt/tree", 0o111)
    helpers.set_uid(1000)
    helpers.set_gid(1000)
    snapshot = looking_at().scan(TREE, KeepingExaminer())
    assert snapshot.condition is Condition.UNREADABLE
    agrees(snapshot)


def test_a_mount_that_vanishes_and_leaves_an_empty_folder_deletes_nothing(fake: Patcher) -> None:
    looking = looking_at()
    is_whole(looking.scan(TREE, KeepingExaminer()))
    fake.fs.remove_object("/mnt/tree")
    snapshot = looking.scan(TREE, KeepingExaminer())
    assert snapshot.condition is Condition.MISSING
    agrees(snapshot)

    fake.fs.create_dir("/mnt/tree")

    snapshot = looking.scan(TREE, KeepingExaminer())
    assert snapshot.condition is Condition.REPLACED
    agrees(snapshot)
    with pytest.raises(DiskError):
        looking.look(TREE, ["api/a.xml"], KeepingExaminer())


def test_a_mount_point_inside_the_tree_is_not_entered(fake: Patcher) -> None:
    fake.fs.add_mount_point("/mnt/tree/api/mounted")
    fake.fs.create_file("/mnt/tree/api/mounted/x.xml", contents=b"x")
    looking = looking_at()
    snapshot = looking.scan(TREE, KeepingExaminer())
    assert snapshot.unlisted == {"api/mounted"}
    assert not snapshot.tells_absence("api/mounted/x.xml")
    looked = looking.look(TREE, ["api/mounted/x.xml"], KeepingExaminer())
    assert code(looked["api/mounted/x.xml"]) == "unreadable"


@pytest.mark.parametrize("victim", ["api/a.xml", "sequences/d.xml"])
def test_a_file_that_goes_away_while_it_is_opened_is_absent_only_in_the_next_scan(
    fake: Patcher, victim: str
) -> None:
    looking = looking_at()
    real = looking._fs.open

    def race(name: str, *args: object, **more: object) -> int:
        if name == victim.rpartition("/")[2]:
            fake.fs.remove_object(f"/mnt/tree/{victim}")
        return real(name, *args, **more)

    looking._fs.open = race
    snapshot = looking.scan(TREE, KeepingExaminer())
    assert code(snapshot.files[victim]) == "unstable"
    assert not snapshot.tells_absence(victim)
    looking._fs.open = real
    assert looking.scan(TREE, KeepingExaminer()).tells_absence(victim)
