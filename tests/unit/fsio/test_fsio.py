"""The one module that calls the operating system, on the operating system."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest
from pyfakefs.fake_filesystem_unittest import Patcher

from syncagent.fsio import O_CONTENT, O_FOLDER, O_NEW, OsFS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(params=["openat2", "part by part"])
def fs(request: pytest.FixtureRequest) -> OsFS:
    made = OsFS()
    if request.param == "openat2":
        assert made._beneath, "this kernel has no openat2: the test would try the other twice"
    else:
        made._beneath = False
    return made


@pytest.fixture
def root(fs: OsFS, tmp_path: Path) -> Iterator[int]:
    (tmp_path / "outside").write_text("secret")
    (tmp_path / "tree" / "api").mkdir(parents=True)
    (tmp_path / "tree" / "api" / "A.xml").write_text("<api/>")
    (tmp_path / "tree" / "link").symlink_to(tmp_path)
    (tmp_path / "tree" / "api" / "last.xml").symlink_to(tmp_path / "outside")
    fd = fs.open(str(tmp_path / "tree"), O_FOLDER)
    yield fd
    fs.close(fd)


def test_a_path_below_the_root_is_opened(fs: OsFS, root: int) -> None:
    fd = fs.openat2(root, "api/A.xml", O_CONTENT)
    assert fs.read_all(fd, 100) == b"<api/>"
    fs.close(fd)


@pytest.mark.parametrize("path", ["", "."])
def test_the_root_itself_is_opened(fs: OsFS, root: int, path: str) -> None:
    fd = fs.openat2(root, path, O_FOLDER)
    assert fs.fstat(fd).st_ino == fs.fstat(root).st_ino
    fs.close(fd)


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "api/../../outside"])
def test_a_path_that_leaves_the_root_is_refused(fs: OsFS, root: int, path: str) -> None:
    with pytest.raises(OSError, match=f"Errno {errno.EXDEV}"):
        fs.openat2(root, path, O_CONTENT)


@pytest.mark.parametrize("path", ["link/outside", "link", "api/last.xml"])
def test_a_symlink_is_not_followed(fs: OsFS, root: int, path: str) -> None:
    with pytest.raises(OSError, match=f"Errno ({errno.ELOOP}|{errno.ENOTDIR})"):
        fs.openat2(root, path, O_CONTENT)


def test_a_file_is_made_below_the_root_with_its_mode(fs: OsFS, root: int, tmp_path: Path) -> None:
    fs.close(fs.openat2(root, "api/N.xml", O_NEW, 0o600))
    assert stat.S_IMODE((tmp_path / "tree/api/N.xml").stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        fs.openat2(root, "api/N.xml", O_NEW, 0o600)


@pytest.mark.needs_root
def test_a_mount_below_the_root_is_not_entered(fs: OsFS) -> None:
    if os.geteuid() != 0 and not os.environ.get("SYNCAGENT_REQUIRE_ALL"):
        pytest.skip("needs root to be sure that /proc is another mount")
    root = fs.open("/", O_FOLDER)
    with pytest.raises(OSError, match=f"Errno {errno.EXDEV}"):
        fs.openat2(root, "proc/version", O_CONTENT)
    fs.close(root)


def test_nothing_leaks_when_opening_part_by_part(tmp_path: Path) -> None:
    fs = OsFS()
    fs._beneath = False
    (tmp_path / "a/b/c").mkdir(parents=True)
    root = fs.open(str(tmp_path), O_FOLDER)
    before = len(fs.listdir("/proc/self/fd"))
    for path in ("a/b/c/none", "a/none/c", "a/b/c"):
        try:
            fs.close(fs.openat2(root, path, O_FOLDER))
        except FileNotFoundError:
            continue
    assert len(fs.listdir("/proc/self/fd")) == before
    fs.close(root)


def test_two_names_are_exchanged_and_a_taken_name_is_not_replaced(tmp_path: Path) -> None:
    fs = OsFS()
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    fd = fs.open(str(tmp_path), O_FOLDER)
    fs.exchange("a", "b", src_dir_fd=fd, dst_dir_fd=fd)
    assert (tmp_path / "a").read_text() == "b"
    with pytest.raises(FileExistsError):
        fs.rename_noreplace("a", "b", src_dir_fd=fd, dst_dir_fd=fd)
    fs.rename_noreplace(str(tmp_path / "a"), str(tmp_path / "c"))
    assert (tmp_path / "c").read_text() == "b"
    with pytest.raises(FileNotFoundError):
        fs.exchange("a", "b", src_dir_fd=fd, dst_dir_fd=fd)
    fs.close(fd)


def test_reading_stops_at_the_limit(tmp_path: Path) -> None:
    fs = OsFS()
    (tmp_path / "f").write_bytes(b"x" * 3_000_000)
    for limit, refused in ((3_000_000, False), (2_999_999, True)):
        fd = fs.open(str(tmp_path / "f"), O_CONTENT)
        if refused:
            with pytest.raises(OSError, match="more than") as error:
                fs.read_all(fd, limit)
            assert error.value.errno == errno.EFBIG
        else:
            assert len(fs.read_all(fd, limit)) == limit
        fs.close(fd)


def test_writing_goes_on_after_a_short_write(tmp_path: Path) -> None:
    fs = OsFS()
    whole = fs.write
    fs.write = lambda fd, content: whole(fd, content[: max(1, len(content) // 2)])
    fd = fs.open(str(tmp_path / "f"), O_NEW, 0o600)
    fs.write_all(fd, b"0123456789" * 100)
    fs.write_all(fd, b"")
    fs.close(fd)
    assert (tmp_path / "f").read_bytes() == b"0123456789" * 100


@pytest.mark.parametrize(("code", "quiet"), [(errno.EINVAL, True), (errno.EIO, False)])
def test_a_folder_that_can_not_be_synced_is_no_error_but_a_failing_disk_is(
    tmp_path: Path, code: int, quiet: bool
) -> None:
    fs = OsFS()

    def refuse(_fd: int) -> None:
        raise OSError(code, "refused")

    fs.fsync = refuse
    if quiet:
        fs.fsync_dir(str(tmp_path))
    else:
        with pytest.raises(OSError, match="refused"):
            fs.fsync_dir(str(tmp_path))


def test_a_lock_is_held_by_one_descriptor_at_a_time(tmp_path: Path) -> None:
    fs = OsFS()
    first = fs.open(str(tmp_path / "lock"), O_NEW, 0o600)
    second = fs.open(str(tmp_path / "lock"), O_CONTENT)
    fs.flock(first)
    with pytest.raises(BlockingIOError):
        fs.flock(second)
    fs.unlock(first)
    fs.flock(second)
    fs.close(first)
    fs.close(second)


def test_the_mount_table_has_the_root_and_its_type(tmp_path: Path) -> None:
    mounts = OsFS().mount_table()
    assert [mount for mount in mounts if mount.point == "/"]
    assert all(mount.fs_type for mount in mounts)
    assert any(mount.fs_type == "proc" and mount.point == "/proc" for mount in mounts)


def test_a_file_system_has_a_type_an_id_and_room(tmp_path: Path) -> None:
    fs = OsFS()
    assert fs.statfs_type("/proc") == 0x9FA0
    assert int(fs.fsid(str(tmp_path)), 16) >= 0
    assert fs.disk_free(str(tmp_path)) > 0
    for ask in (fs.statfs_type, fs.fsid, fs.disk_free):
        with pytest.raises(FileNotFoundError):
            ask(str(tmp_path / "none"))


def test_a_fake_file_system_is_never_bypassed(tmp_path: Path) -> None:
    with Patcher():
        fs = OsFS()
        assert not fs.native
        with pytest.raises(FileNotFoundError):
            fs.stat(str(tmp_path))
        for ask in (fs.statfs_type, fs.fsid):
            with pytest.raises(FileNotFoundError):
                ask(str(tmp_path))
        assert fs.mount_table() == ()
        fs.mkdir("/t")
        fd = fs.open("/t", O_FOLDER)
        for call in (lambda: fs.syncfs(fd), lambda: fs.exchange("a", "b", src_dir_fd=fd)):
            with pytest.raises(OSError, match=r"not to be had") as error:
                call()
            assert error.value.errno == errno.ENOSYS
