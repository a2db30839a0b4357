"""What a scan says of each kind of name and file."""

from __future__ import annotations

import os
import shutil
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import TreeKind
from syncagent.core.digest import digest_of
from syncagent.core.snapshot import Condition, Seen
from syncagent.fsio import OsFS
from tests.fakes.examiner import KeepingExaminer
from tests.fakes.eyes import Eyes, code, codes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["openat2", "part by part"])
def eyes(request: pytest.FixtureRequest, tmp_path: Path) -> Eyes:
    fs = OsFS()
    if request.param == "part by part":
        fs._beneath = False
    return Eyes(tmp_path, fs=fs)


def test_a_file_is_seen_with_its_digest_size_and_time(eyes: Eyes) -> None:
    eyes.put("api/a/Pizza.xml", b"<api/>")
    examiner = KeepingExaminer()

    snapshot = eyes.scan(examiner)

    seen = snapshot.files["api/a/Pizza.xml"]
    assert isinstance(seen, Seen)
    assert seen.entry == (digest_of(b"<api/>"), 6)
    assert seen.mtime_ns == (eyes.tree / "api/a/Pizza.xml").stat().st_mtime_ns
    assert snapshot.condition is Condition.GOOD
    assert snapshot.folders == {"", "api", "api/a"}
    assert examiner.shown == {"api/a/Pizza.xml": b"<api/>"}


def test_an_empty_file_is_seen(eyes: Eyes) -> None:
    eyes.put("api/a.xml", b"")
    assert codes(eyes.scan()) == {"api/a.xml": "seen"}


def test_what_is_no_regular_file_is_unread_and_never_opened(eyes: Eyes) -> None:
    eyes.put("api/real.xml")
    os.mkfifo(eyes.tree / "api/fifo.xml")
    (eyes.tree / "api/link.xml").symlink_to("real.xml")
    (eyes.tree / "api/dangling.xml").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(eyes.tree / "s.xml"))
        expected = {
            "api/real.xml": "seen",
            "api/fifo.xml": "not-regular",
            "api/link.xml": "symlink",
            "api/dangling.xml": "symlink",
            "s.xml": "not-regular",
        }
        # A FIFO that is opened without O_NONBLOCK waits for a writer for ever.
        assert codes(eyes.scan()) == expected
        looked = eyes.look(*expected)
    assert {path: code(what) for path, what in looked.items()} == expected


def test_a_symlinked_folder_is_not_entered(eyes: Eyes, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.xml").write_bytes(b"<secret/>")
    eyes.put("api/a.xml")
    (eyes.tree / "sequences").symlink_to(outside)

    snapshot = eyes.scan()

    assert codes(snapshot) == {"api/a.xml": "seen", "sequences": "symlink"}
    assert not snapshot.tells_absence("sequences/secret.xml")
    assert code(eyes.look("sequences/secret.xml")["sequences/secret.xml"]) == "unreadable"
    assert eyes.read("sequences/secret.xml", digest_of(b"<secret/>")) is None


def test_a_folder_that_becomes_a_symlink_takes_nothing_with_it(eyes: Eyes, tmp_path: Path) -> None:
    eyes.put("api/x/a.xml")
    eyes.scan()
    (eyes.tree / "api").rename(tmp_path / "elsewhere")
    (eyes.tree / "api").symlink_to(tmp_path / "elsewhere")

    snapshot = eyes.scan()

    assert codes(snapshot) == {"api": "symlink"}
    assert not snapshot.tells_absence("api/x/a.xml")


def test_the_root_itself_may_be_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "release-1").mkdir()
    (tmp_path / "tree").symlink_to("release-1")
    eyes = Eyes(tmp_path)
    eyes.put("api/a.xml")
    assert codes(eyes.scan()) == {"api/a.xml": "seen"}

    (tmp_path / "release-2").mkdir()
    (tmp_path / "tree").unlink()
    (tmp_path / "tree").symlink_to("release-2")

    assert eyes.scan().condition is Condition.REPLACED


def test_a_name_that_is_not_utf8_is_reported_escaped(eyes: Eyes) -> None:
    eyes.put("api/a.xml")
    os.close(os.open(os.fsencode(eyes.tree) + b"/api/\xff.xml", os.O_CREAT | os.O_WRONLY))
    (eyes.tree / os.fsdecode(b"b\xfe")).mkdir()

    snapshot = eyes.scan()

    assert codes(snapshot) == {"api/a.xml": "seen", "api/\\xff.xml": "name", "b\\xfe": "name"}
    for path in snapshot.files:
        path.encode()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("new\nline.xml", "new\\nline.xml"),
        ("con.xml", "con.xml"),
        ("dot.", "dot."),
        ("star*.xml", "star*.xml"),
        ("back\\slash.xml", "back\\slash.xml"),
    ],
)
def test_a_name_that_some_node_could_not_hold_is_unread(eyes: Eyes, name: str, shown: str) -> None:
    eyes.put(name)
    assert codes(eyes.scan()) == {shown: "name"}


def test_names_of_255_bytes_are_taken_and_nfd_is_told_from_nfc(eyes: Eyes) -> None:
    longest = "é" * 125 + "x.xml"
    assert len(longest.encode()) == 255
    decomposed = "e\N{COMBINING ACUTE ACCENT}"
    eyes.put(f"api/{longest}", b"1")
    eyes.put("api/é.xml", b"2")
    eyes.put(f"api/{decomposed}.xml", b"3")

    snapshot = eyes.scan()

    assert codes(snapshot) == {
        f"api/{longest}": "seen",
        "api/é.xml": "seen",
        "api/e\\u0301.xml": "name",
    }
    assert snapshot.files["api/é.xml"].entry.digest == digest_of(b"2")


def test_of_two_names_that_differ_in_case_the_later_is_refused(eyes: Eyes) -> None:
    eyes.put("api/a.xml", b"lower")
    assert codes(eyes.scan()) == {"api/a.xml": "seen"}

    eyes.put("api/A.xml", b"upper")
    for _ in range(2):
        snapshot = eyes.scan()
        assert codes(snapshot) == {"api/a.xml": "seen", "api/A.xml": "case-clash"}

    (eyes.tree / "api/a.xml").unlink()
    assert codes(eyes.scan()) == {"api/A.xml": "seen"}


def test_of_two_names_that_are_both_new_the_first_in_order_stays(eyes: Eyes) -> None:
    eyes.put("api/a.xml", b"lower")
    eyes.put("api/A.xml", b"upper")
    for _ in range(2):
        assert codes(eyes.scan()) == {"api/A.xml": "seen", "api/a.xml": "case-clash"}


def test_of_two_folders_that_differ_in_case_the_later_is_not_entered(eyes: Eyes) -> None:
    eyes.put("api/v/a.xml")
    eyes.scan()
    eyes.put("API/b.xml")
    for _ in range(2):
        snapshot = eyes.scan()
        assert codes(snapshot) == {"api/v/a.xml": "seen", "API": "case-clash"}
        assert not snapshot.tells_absence("API/b.xml")
    shutil.rmtree(eyes.tree / "api")
    assert codes(eyes.scan()) == {"API/b.xml": "seen"}


def test_equal_names_in_different_folders_do_not_clash(eyes: Eyes) -> None:
    eyes.put("api/a.xml")
    eyes.put("sequences/A.xml")
    assert set(codes(eyes.scan()).values()) == {"seen"}


def test_a_file_over_the_limit_is_refused_before_a_byte_is_read(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path)
    eyes.fresh(file_bytes=10)
    read: list[int] = []
    real = eyes.fs.read
    eyes.fs.read = lambda fd, size: read.append(size) or real(fd, size)
    eyes.put("api/ok.xml", b"x" * 10)
    with (eyes.tree / "api/huge.xml").open("wb") as file:
        file.truncate(50 * 1024 * 1024)

    assert codes(eyes.scan()) == {"api/ok.xml": "seen", "api/huge.xml": "too-large"}
    assert read == [11]


def test_a_file_that_grows_while_it_is_read_is_unstable_and_memory_stays_bounded(
    tmp_path: Path,
) -> None:
    eyes = Eyes(tmp_path)
    eyes.put("api/a.xml", b"x" * 100)
    asked: list[int] = []
    real = eyes.fs.read

    def growing(fd: int, size: int) -> bytes:
        with (eyes.tree / "api/a.xml").open("ab") as file:
            file.write(b"y" * 1_000)
        asked.append(size)
        return real(fd, size)

    eyes.fs.read = growing
    assert codes(eyes.scan()) == {"api/a.xml": "unstable"}
    assert sum(asked) == 101


def test_a_file_that_is_replaced_while_it_is_read_is_unstable(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path)
    eyes.put("api/a.xml", b"old")
    real = eyes.fs.read

    def swap(fd: int, size: int) -> bytes:
        eyes.put("other", b"new")
        (eyes.tree / "other").replace(eyes.tree / "api/a.xml")
        return real(fd, size)

    eyes.fs.read = swap
    examiner = KeepingExaminer()
    snapshot = eyes.scan(examiner)
    assert codes(snapshot)["api/a.xml"] == "unstable"
    assert examiner.shown == {}
    eyes.fs.read = real
    assert eyes.scan().files["api/a.xml"].entry.digest == digest_of(b"new")


def test_a_read_that_comes_in_pieces_is_whole(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path)
    eyes.put("api/a.xml", b"0123456789")
    real = eyes.fs.read
    eyes.fs.read = lambda fd, size: real(fd, min(size, 3))
    assert eyes.scan().files["api/a.xml"].entry == (digest_of(b"0123456789"), 10)


def test_ignored_names_are_neither_seen_nor_called_absent(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path, ignore=("*.txt", "drafts/"))
    for path in (
        "api/a.xml",
        "api/a.xml.back",
        "api/.a.xml.swp",
        "x.txt",
        "drafts/d.xml",
        ".svn/e",
    ):
        eyes.put(path)
    eyes.put("api/.Hidden.xml")
    eyes.put("api/.a.xml.AbC123")

    snapshot = eyes.scan()

    assert set(snapshot.files) == {"api/a.xml", "api/.Hidden.xml"}
    assert snapshot.folders == {"", "api"}
    assert not snapshot.tells_absence("x.txt")
    assert not snapshot.tells_absence("drafts/d.xml")
    assert not snapshot.tells_absence("api/a.xml.back")
    assert snapshot.tells_absence("api/gone.xml")
    assert eyes.look("x.txt", "drafts/d.xml", "api/a.xml").keys() == {"api/a.xml"}


def test_a_node_s_own_inbound_endpoints_are_ignored_in_a_synapse_tree_only(tmp_path: Path) -> None:
    path = "inbound-endpoints/SecureWebhookServer.xml"
    eyes = Eyes(tmp_path)
    eyes.put(path)
    assert eyes.scan().files == {}
    generic = Eyes(tmp_path, kind=TreeKind.GENERIC)
    assert set(generic.scan().files) == {path}


def test_a_tree_with_too_many_names_is_not_looked_at_by_halves(tmp_path: Path) -> None:
    eyes = Eyes(tmp_path)
    for number in range(12):
        eyes.put(f"api/{number}.xml")
    assert len(eyes.scan().files) == 12
    eyes.fresh(tree_files=12)  # twelve files and a folder
    for _ in range(2):
        snapshot = eyes.scan()
        assert snapshot.condition is Condition.UNREADABLE
        assert "tree_files" in snapshot.reason
        assert snapshot.files == {}
        assert not snapshot.tells_absence("api/other.xml")
    eyes.fresh(tree_files=13)
    assert len(eyes.scan().files) == 12
    eyes.put("sequences")
    assert eyes.scan().condition is Condition.UNREADABLE


def test_a_hard_link_is_a_file_like_any_other(eyes: Eyes) -> None:
    eyes.put("api/a.xml", b"1")
    os.link(eyes.tree / "api/a.xml", eyes.tree / "api/b.xml")
    assert codes(eyes.scan()) == {"api/a.xml": "seen", "api/b.xml": "seen"}


def test_a_file_becomes_a_folder_and_a_folder_a_file(eyes: Eyes) -> None:
    eyes.put("api/x")
    eyes.put("sequences/s/a.xml")
    eyes.scan()
    (eyes.tree / "api/x").unlink()
    eyes.put("api/x/b.xml")
    (eyes.tree / "sequences/s/a.xml").unlink()
    (eyes.tree / "sequences/s").rmdir()
    eyes.put("sequences/s")

    snapshot = eyes.scan()

    assert codes(snapshot) == {"api/x/b.xml": "seen", "sequences/s": "seen"}
    assert snapshot.tells_absence("api/x")
    assert eyes.scan() is snapshot


def test_a_listing_that_misses_a_known_name_is_not_believed(tmp_path: Path) -> None:
    # tmpfs leaves out of a listing what is renamed over after the folder was opened.
    eyes = Eyes(tmp_path)
    eyes.put("api/a.xml")
    eyes.put("api/b.xml")
    eyes.put("api/sub/c.xml")
    eyes.scan()
    real = eyes.fs.scandir

    class Forgetful:
        def __init__(self, fd: int) -> None:
            self.inner = real(fd)

        def __enter__(self) -> object:
            return (e for e in self.inner.__enter__() if e.name not in {"b.xml", "sub"})

        def __exit__(self, *_: object) -> None:
            self.inner.close()

    eyes.fs.scandir = Forgetful
    snapshot = eyes.scan()
    assert set(snapshot.files) == {"api/a.xml", "api/b.xml"}
    assert "api/sub" in snapshot.unlisted
    assert not snapshot.tells_absence("api/sub/c.xml")
    eyes.fs.scandir = real
    assert len(eyes.scan().files) == 3


def test_a_known_name_stays_and_is_read_anew_beside_a_new_one(eyes: Eyes) -> None:
    eyes.put("a.xml", b"1")
    eyes.scan()
    eyes.put("a.xml", b"2")
    (eyes.tree / "A.xml").symlink_to("a.xml")
    snapshot = eyes.scan()
    assert codes(snapshot) == {"a.xml": "seen", "A.xml": "case-clash"}
    assert snapshot.files["a.xml"].entry.digest == digest_of(b"2")


def test_a_folder_on_another_device_is_unlisted_though_it_is_no_mount(eyes: Eyes) -> None:
    # A btrfs subvolume: openat2 lets it pass, renames do not.
    eyes.put("api/a.xml")
    eyes.put("b.xml")
    inode = (eyes.tree / "api").stat().st_ino
    real = eyes.fs.fstat

    def elsewhere(fd: int) -> object:
        status = real(fd)
        if status.st_ino != inode:
            return status
        return SimpleNamespace(st_dev=status.st_dev + 1, st_mode=status.st_mode)

    eyes.fs.fstat = elsewhere
    snapshot = eyes.scan()
    assert codes(snapshot) == {"b.xml": "seen"}
    assert snapshot.unlisted == {"api"}
    assert code(eyes.look("api/a.xml")["api/a.xml"]) == "unreadable"
