"""Something changes between two calls of one look: what comes out is old, new or unread."""

from __future__ import annotations

import os
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from syncagent.core.digest import digest_of
from syncagent.core.snapshot import Condition
from tests.fakes.eyes import Eyes, code, codes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def eyes(tmp_path: Path) -> Eyes:
    eyes = Eyes(tmp_path)
    eyes.put("api/a.xml", b"old")
    return eyes


def to_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def to_socket(path: Path) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def before_opening(eyes: Eyes, name: str, act: Callable[[], None]) -> None:
    """Do `act` right before `name` is opened the first time."""
    real = eyes.fs.open
    pending = [act]

    def opening(what: str, *args: object, **more: object) -> int:
        if what == name and pending:
            pending.pop()()
        return real(what, *args, **more)

    eyes.fs.open = opening


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (to_fifo, "not-regular"),
        (to_symlink, "symlink"),
        (to_socket, "not-regular"),
        (to_folder, "not-regular"),
    ],
)
@pytest.mark.parametrize("how", ["scan", "look"])
def test_a_file_that_turns_into_something_else_is_not_followed_and_does_not_block(
    eyes: Eyes, change: Callable[[Path], None], expected: str, how: str
) -> None:
    before_opening(eyes, "a.xml", lambda: change(eyes.tree / "api/a.xml"))
    if how == "scan":
        snapshot = eyes.scan()
        assert codes(snapshot) == {"api/a.xml": expected}
        assert not snapshot.tells_absence("api/a.xml")
    else:
        assert code(eyes.look("api/a.xml")["api/a.xml"]) == expected


def test_a_file_that_shrinks_while_it_is_read_is_unstable(eyes: Eyes) -> None:
    real = eyes.fs.read

    def shrinking(fd: int, size: int) -> bytes:
        os.truncate(eyes.tree / "api/a.xml", 1)
        return real(fd, size)

    eyes.fs.read = shrinking
    assert codes(eyes.scan()) == {"api/a.xml": "unstable"}


def test_a_file_that_is_removed_while_a_look_opens_it_is_unstable_not_absent(eyes: Eyes) -> None:
    # The look had its status: whether it is gone for good, the next look says.
    before_opening(eyes, "a.xml", (eyes.tree / "api/a.xml").unlink)
    assert code(eyes.look("api/a.xml")["api/a.xml"]) == "unstable"
    assert code(eyes.look("api/a.xml")["api/a.xml"]) == "absent"


def test_a_file_that_comes_back_before_the_listing_is_not_called_absent(eyes: Eyes) -> None:
    (eyes.tree / "api/a.xml").rename(eyes.tree / "api/aside")
    real = eyes.fs.scandir

    def back_again(fd: int) -> object:
        (eyes.tree / "api/aside").rename(eyes.tree / "api/a.xml")
        return real(fd)

    eyes.fs.scandir = back_again
    assert code(eyes.look("api/a.xml")["api/a.xml"]) == "unstable"
    eyes.fs.scandir = real
    assert code(eyes.look("api/a.xml")["api/a.xml"]) == "seen"


def test_a_folder_that_goes_away_after_it_was_listed_is_unlisted_until_the_next_scan(
    eyes: Eyes,
) -> None:
    real = type(eyes.fs).openat2

    class Racing(type(eyes.fs)):
        def openat2(self, root_fd: int, path: str, *args: object) -> int:
            if path == "api":
                (eyes.tree / "api").rename(eyes.folder / "api")
            return real(self, root_fd, path, *args)

    eyes.fs = Racing()
    eyes.fresh()
    snapshot = eyes.scan()
    assert snapshot.unlisted == {"api"}
    assert not snapshot.tells_absence("api/a.xml")
    assert not snapshot.tells_absence("api/never.xml")


def test_a_root_that_is_replaced_while_it_is_opened_is_not_entered(eyes: Eyes) -> None:
    def swap() -> None:
        eyes.tree.rename(eyes.folder / "aside")
        eyes.tree.mkdir()

    before_opening(eyes, str(eyes.tree), swap)
    assert eyes.scan().condition is Condition.REPLACED


def test_a_root_that_is_another_only_while_it_is_opened_is_not_believed(eyes: Eyes) -> None:
    def swap() -> None:
        eyes.tree.rename(eyes.folder / "aside")
        eyes.tree.mkdir()

    before_opening(eyes, str(eyes.tree), swap)
    real = eyes.fs.fstat
    pending = [None]

    def back_again(fd: int) -> os.stat_result:
        status = real(fd)
        if pending:
            pending.pop()
            eyes.tree.rmdir()
            (eyes.folder / "aside").rename(eyes.tree)
        return status

    eyes.fs.fstat = back_again
    assert eyes.scan().condition is Condition.REPLACED
    assert eyes.scan().condition is Condition.GOOD


def test_a_commit_beside_a_scan_shows_old_or_new(eyes: Eyes) -> None:
    def commit() -> None:
        eyes.put("staged", b"new")
        (eyes.tree / "staged").rename(eyes.tree / "api/a.xml")

    before_opening(eyes, "a.xml", commit)
    assert eyes.scan().files["api/a.xml"].entry.digest == digest_of(b"new")


@pytest.mark.parametrize("what", ["name", "descriptor"])
@pytest.mark.parametrize("field", ["st_size", "st_mtime_ns", "st_ctime_ns", "st_ino"])
def test_a_file_is_stable_only_if_all_three_looks_agree_in_everything(
    eyes: Eyes, what: str, field: str
) -> None:
    inode = (eyes.tree / "api/a.xml").stat().st_ino
    real_fstat, real_stat = eyes.fs.fstat, eyes.fs.stat
    looks = []

    def other(status: os.stat_result) -> object:
        fields = ("st_mode", "st_dev", "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino")
        said = {name: getattr(status, name) for name in fields}
        said[field] += 1
        return SimpleNamespace(**said)

    def fstat(fd: int) -> object:
        status = real_fstat(fd)
        if status.st_ino == inode:
            looks.append(fd)
        second = len(looks) == 2 and status.st_ino == inode
        return other(status) if what == "descriptor" and second else status

    def stat(name: str, **more: object) -> object:
        status = real_stat(name, **more)
        return other(status) if what == "name" and name == "a.xml" else status

    eyes.fs.fstat, eyes.fs.stat = fstat, stat
    assert codes(eyes.scan()) == {"api/a.xml": "unstable"}
