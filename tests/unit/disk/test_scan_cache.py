"""What is read again and what is not, and what a damaged cache does: nothing."""

from __future__ import annotations

import errno
import os
import stat
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, TreeKind, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.ignore import Ignore
from syncagent.disk import cache
from syncagent.disk.sight import Sight
from syncagent.fsio import OsFS
from tests.fakes.examiner import KeepingExaminer
from tests.fakes.eyes import TREE, Eyes

if TYPE_CHECKING:
    from pathlib import Path

WINDOW_S = cache.WINDOW_LOCAL_NS / 1e9


@pytest.fixture
def eyes(tmp_path: Path) -> Eyes:
    eyes = Eyes(tmp_path)
    eyes.put("api/a.xml", b"1")
    eyes.put("api/b.xml", b"2")
    eyes.scan()
    return eyes


def test_what_did_not_change_is_not_read_again_and_the_snapshot_is_the_same_object(
    eyes: Eyes,
) -> None:
    before = eyes.scan()
    assert eyes.read_by_scan() == set()
    assert eyes.scan() is before


def test_a_change_makes_one_new_object_and_leaves_the_others(eyes: Eyes) -> None:
    before = eyes.scan()
    eyes.put("api/b.xml", b"new")
    after = eyes.scan()
    assert after.files["api/b.xml"].entry.digest == digest_of(b"new")
    assert after.files["api/a.xml"] is before.files["api/a.xml"]


def test_a_touched_file_is_read_and_its_time_is_new(eyes: Eyes) -> None:
    os.utime(eyes.tree / "api/a.xml", ns=(5, 5))
    assert eyes.read_by_scan() == {"api/a.xml"}
    assert eyes.scan().files["api/a.xml"].mtime_ns == 5


def test_a_change_with_size_and_mtime_put_back_is_seen_by_its_ctime(eyes: Eyes) -> None:
    status = (eyes.tree / "api/a.xml").stat()
    with (eyes.tree / "api/a.xml").open("r+b") as file:
        file.write(b"9")
    os.utime(eyes.tree / "api/a.xml", ns=(status.st_atime_ns, status.st_mtime_ns))
    assert eyes.scan().files["api/a.xml"].entry.digest == digest_of(b"9")


def test_bytes_the_examiner_wants_are_shown_though_they_are_known(eyes: Eyes) -> None:
    examiner = KeepingExaminer(wanted={digest_of(b"2")})
    eyes.scan(examiner)
    assert examiner.shown == {"api/b.xml": b"2"}


def test_a_vanished_file_is_forgotten(eyes: Eyes) -> None:
    (eyes.tree / "api/a.xml").unlink()
    snapshot = eyes.scan()
    assert snapshot.tells_absence("api/a.xml")
    eyes.put("api/a.xml", b"1")
    assert eyes.read_by_scan() == {"api/a.xml"}


# The racy rule. The file system's clock is set by hand, relative to the newest file.


@pytest.mark.parametrize(
    ("since_write_ns", "again"),
    [
        pytest.param(0, True, id="written at the very tick the scan began"),
        pytest.param(cache.WINDOW_LOCAL_NS, True, id="the end of the window is racy"),
        pytest.param(cache.WINDOW_LOCAL_NS + 1, False, id="settled"),
        pytest.param(-(10**9), True, id="from the future"),
    ],
)
def test_a_file_is_read_again_unless_it_was_left_alone_for_a_window(
    tmp_path: Path, since_write_ns: int, again: bool
) -> None:
    eyes = Eyes(tmp_path)
    eyes.put("a.xml")
    status = (eyes.tree / "a.xml").stat()
    now = max(status.st_mtime_ns, status.st_ctime_ns) + since_write_ns
    eyes.fs.utime = lambda fd: os.utime(fd, ns=(now, now))
    assert eyes.read_by_scan() == {"a.xml"}
    assert eyes.read_by_scan() == ({"a.xml"} if again else set())


def test_a_file_from_the_future_is_read_by_every_scan(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path)
    eyes.put("a.xml")
    far = 4_000_000_000 * 10**9
    os.utime(eyes.tree / "a.xml", ns=(far, far))
    for _ in range(3):
        assert eyes.read_by_scan() == {"a.xml"}


class Server(OsFS):
    """Its files are stamped by a clock of which nothing is known."""

    def statfs_type(self, path: str) -> int:
        return 0x6969  # NFS


def test_on_a_server_a_file_settles_when_a_read_after_a_wide_window_finds_the_same(
    tmp_path: Path,
) -> None:
    eyes = Eyes(tmp_path, fs=Server())
    eyes.put("a.xml")
    eyes.scan()
    eyes.clock.instant += cache.WINDOW_OTHER_S - 0.01
    assert eyes.read_by_scan() == {"a.xml"}
    eyes.clock.instant += 0.01
    assert eyes.read_by_scan() == {"a.xml"}
    assert eyes.read_by_scan() == set()


def test_on_a_server_a_change_begins_the_wait_anew(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path, fs=Server())
    eyes.put("a.xml", b"1")
    eyes.scan()
    eyes.clock.instant += cache.WINDOW_OTHER_S
    eyes.put("a.xml", b"2")
    for _ in range(2):
        assert eyes.read_by_scan() == {"a.xml"}
    eyes.clock.instant += cache.WINDOW_OTHER_S
    assert eyes.read_by_scan() == {"a.xml"}
    assert eyes.read_by_scan() == set()


def test_on_a_server_a_look_at_a_change_begins_the_wait_anew_too(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path, fs=Server())
    eyes.put("a.xml", b"1")
    eyes.scan()
    eyes.clock.instant += cache.WINDOW_OTHER_S
    eyes.put("a.xml", b"2")
    eyes.look("a.xml")
    for _ in range(2):
        assert eyes.read_by_scan() == {"a.xml"}


def test_on_a_server_a_clock_behind_ours_hides_no_rewrite(tmp_path: Path) -> None:
    # The server stamps in whole seconds, an hour behind: same size, same times, other bytes.
    eyes = Eyes(tmp_path, fs=Server())
    stamp = (1_700_000_000 * 10**9,) * 2
    eyes.put("a.xml", b"1")
    inode = (eyes.tree / "a.xml").stat().st_ino
    real = eyes.fs.fstat, eyes.fs.stat

    def coarse(status: os.stat_result) -> object:
        if status.st_ino != inode:
            return status
        said = {name: getattr(status, name) for name in ("st_mode", "st_ino", "st_dev", "st_size")}
        return SimpleNamespace(**said, st_mtime_ns=stamp[0], st_ctime_ns=stamp[1])

    eyes.fs.fstat = lambda fd: coarse(real[0](fd))
    eyes.fs.stat = lambda *args, **more: coarse(real[1](*args, **more))
    eyes.scan()
    (eyes.tree / "a.xml").write_bytes(b"2")
    assert eyes.scan().files["a.xml"].entry.digest == digest_of(b"2")


def test_without_a_clock_nothing_settles(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path)
    eyes.put("a.xml")

    def refuse(_fd: int) -> None:
        raise OSError(errno.EROFS, "read-only")

    eyes.fs.utime = refuse
    for _ in range(2):
        assert eyes.read_by_scan() == {"a.xml"}


@given(
    mtime=st.integers(-(2**62), 2**62),
    ctime=st.integers(0, 2**62),
    before=st.integers(0, 2**62),
)
@settings(max_examples=50, deadline=None)
def test_a_row_settles_only_if_both_times_lie_before(mtime: int, ctime: int, before: int) -> None:
    status = SimpleNamespace(st_ino=1, st_size=3, st_mtime_ns=mtime, st_ctime_ns=ctime)
    where = ArtifactPath(TreeName("t"), "a")
    row = cache.make_row(None, where, status, digest_of(b"abc"), before)
    assert row.settled == (max(mtime, ctime) < before)


def test_everything_is_read_once_a_day(eyes: Eyes) -> None:
    everything = {"api/a.xml", "api/b.xml"}
    eyes.clock.unix += cache.REHASH_S - 1
    assert eyes.read_by_scan() == set()
    eyes.clock.unix += 1
    before = eyes.scan()
    eyes.clock.unix += cache.REHASH_S
    assert eyes.read_by_scan() == everything
    assert eyes.read_by_scan() == set()
    assert eyes.scan() is before
    eyes.clock.unix -= 10 * cache.REHASH_S
    assert eyes.read_by_scan() == everything


def test_bytes_that_changed_without_a_trace_are_found_by_the_daily_read(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path)
    eyes.put("a.xml", b"good")
    eyes.scan()
    real = eyes.fs.read
    eyes.fs.read = lambda fd, size: real(fd, size).replace(b"good", b"rot!")
    assert eyes.scan().files["a.xml"].entry.digest == digest_of(b"good")
    eyes.clock.unix += cache.REHASH_S
    assert eyes.scan().files["a.xml"].entry.digest == digest_of(b"rot!")


# The file.


def test_after_a_restart_nothing_is_read_again(eyes: Eyes) -> None:
    before = eyes.scan()
    assert eyes.looking.save_cache()
    eyes.fresh()
    assert eyes.read_by_scan() == set()
    assert eyes.scan() == before


def test_after_a_restart_a_young_file_is_read_again_and_keeps_its_name(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path, ahead_s=0.0)
    eyes.put("a.xml", b"young")
    eyes.scan()
    assert eyes.looking.save_cache()
    eyes.fresh()
    eyes.put("A.xml", b"later")
    snapshot = eyes.scan()
    assert snapshot.files["a.xml"].entry.digest == digest_of(b"young")
    assert snapshot.files["A.xml"].problem.code == "case-clash"
    eyes.looking.save_cache()
    eyes.fresh()
    assert eyes.read_by_scan() == {"a.xml"}


def test_the_cache_is_written_only_when_something_changed(eyes: Eyes) -> None:
    assert eyes.looking.save_cache()
    eyes.scan()
    assert not eyes.looking.save_cache()
    eyes.put("api/c.xml")
    eyes.scan()
    assert eyes.looking.save_cache()
    (eyes.tree / "api/c.xml").unlink()
    eyes.scan()
    assert eyes.looking.save_cache()


def test_a_cache_that_would_be_too_large_is_not_written(tmp_path: Path, eyes: Eyes) -> None:
    big = cache.TreeCache(digest_of(b""))
    big.identity = "x" * (cache.CACHE_BYTES_MAX + 1)
    cache.save(OsFS(), str(tmp_path / "big"), {TreeName("t"): big})
    assert not (tmp_path / "big").exists()


def test_racy_rows_are_not_saved(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path, ahead_s=-3_600.0)
    eyes.put("a.xml")
    eyes.scan()
    eyes.looking.save_cache()
    eyes.ahead_s = 100.0
    eyes.fresh()
    assert eyes.read_by_scan() == {"a.xml"}


@pytest.mark.parametrize("change", ["patterns", "kind"])
def test_other_ignore_rules_make_the_cache_void(eyes: Eyes, change: str) -> None:
    eyes.looking.save_cache()
    if change == "patterns":
        eyes.ignore = ("*.txt",)
    else:
        eyes.kind = type(eyes.kind).GENERIC
    eyes.fresh()
    assert eyes.read_by_scan() == {"api/a.xml", "api/b.xml"}


def test_a_newly_ignored_name_is_gone_after_a_restart(eyes: Eyes) -> None:
    eyes.looking.save_cache()
    eyes.ignore = ("b.xml",)
    eyes.fresh()
    assert set(eyes.scan().files) == {"api/a.xml"}


def test_a_failed_save_says_so_leaves_the_old_file_and_is_tried_again(eyes: Eyes) -> None:
    eyes.looking.save_cache()
    old = eyes.cache.read_bytes()
    eyes.put("api/c.xml")
    eyes.scan()
    real = eyes.fs.write

    def full(_fd: int, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    eyes.fs.write = full
    with pytest.raises(DiskError, match="scan cache") as caught:
        eyes.looking.save_cache()
    assert caught.value.errno_name == "ENOSPC"
    assert eyes.cache.read_bytes() == old
    eyes.fs.write = real
    assert eyes.looking.save_cache()
    assert eyes.cache.read_bytes() != old


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8)
INODE = st.integers(1, 2**64 - 1)
I64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def caches(draw: st.DrawFn) -> dict[TreeName, cache.TreeCache]:
    trees = {}
    for name in draw(st.lists(NAMES, unique=True, max_size=3)):
        tree = cache.TreeCache(digest_of(name.encode()))
        tree.identity = draw(NAMES)
        tree.read_all_at = draw(st.none() | st.floats(0, 2e9))
        for folder in draw(st.lists(st.just("") | NAMES, unique=True, max_size=3)):
            for file in draw(st.lists(NAMES, unique=True, max_size=4)):
                path = f"{folder}/{file}" if folder else file
                status = SimpleNamespace(
                    st_ino=draw(INODE),
                    st_size=draw(st.integers(0, 2**40)),
                    st_mtime_ns=draw(I64),
                    st_ctime_ns=draw(I64),
                )
                where = ArtifactPath(TreeName(name), path)
                row = cache.make_row(None, where, status, digest_of(draw(st.binary())), 2**63)
                tree.folder(folder).put(file, row)
        trees[TreeName(name)] = tree
    return trees


def content(trees: dict[TreeName, cache.TreeCache]) -> object:
    return {
        name: (
            tree.identity,
            tree.fingerprint,
            tree.read_all_at,
            {path: known.rows for path, known in tree.folders.items()},
        )
        for name, tree in trees.items()
    }


@given(caches())
@settings(max_examples=60, deadline=None)
def test_what_is_saved_is_loaded(
    tmp_path_factory: pytest.TempPathFactory, trees: dict[TreeName, cache.TreeCache]
) -> None:
    path = str(tmp_path_factory.mktemp("c") / "cache")
    fs = OsFS()
    cache.save(fs, path, trees)
    assert content(cache.load(fs, path)) == content(trees)


def test_any_flipped_bit_and_any_cut_makes_the_cache_void(eyes: Eyes) -> None:
    eyes.looking.save_cache()
    whole = eyes.cache.read_bytes()
    fs, path = OsFS(), str(eyes.cache)
    assert cache.load(fs, path)
    for position in range(len(whole)):
        for bit in (0x01, 0x80):
            damaged = bytearray(whole)
            damaged[position] ^= bit
            eyes.cache.write_bytes(damaged)
            assert cache.load(fs, path) == {}
        eyes.cache.write_bytes(whole[:position])
        assert cache.load(fs, path) == {}
    eyes.cache.write_bytes(whole + b"\0")
    assert cache.load(fs, path) == {}


@pytest.mark.parametrize(
    "value", [None, 7, "text", [1], [["a", "b"]], [["t", "i", "no digest", None, []]], {"a": 1}]
)
def test_a_rightly_sealed_cache_of_another_shape_is_void(tmp_path: Path, value: object) -> None:
    payload = cache.pack(value)
    path = tmp_path / "cache"
    path.write_bytes(cache.MAGIC + cache.to_raw(digest_of(payload)) + payload)
    assert cache.load(OsFS(), str(path)) == {}


def test_a_symlink_or_a_folder_in_the_cache_s_place_is_void(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real").write_bytes(b"")
    for name in ("link", "real", ".", "none"):
        assert cache.load(OsFS(), str(tmp_path / name)) == {}


def test_a_row_never_stands_for_something_that_is_no_regular_file(eyes: Eyes) -> None:
    # File systems in user space make inodes up and cut times: all of it can agree by chance.
    known = eyes.looking._caches[TREE]
    row = known.folders["api"].rows["a.xml"]
    sight = Sight(eyes.fs, TREE, known, Ignore(TreeKind.SYNAPSE), KeepingExaminer())
    status = {
        "st_ino": row.ino,
        "st_size": row.size,
        "st_mtime_ns": row.mtime_ns,
        "st_ctime_ns": row.ctime_ns,
    }
    assert sight.holds(row, SimpleNamespace(**status, st_mode=stat.S_IFREG))
    assert not sight.holds(row, SimpleNamespace(**status, st_mode=stat.S_IFDIR))
