"""When a root is believed, and when it is not."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.snapshot import Condition
from tests.fakes.eyes import TREE, Eyes, codes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def eyes(tmp_path: Path) -> Eyes:
    eyes = Eyes(tmp_path)
    eyes.put("api/a.xml")
    return eyes


def swap_root(eyes: Eyes) -> None:
    """Put another folder in the root's place; the old one stays, so its inode is not used again."""
    eyes.tree.rename(eyes.folder / "moved")
    eyes.tree.mkdir()


def test_a_root_that_is_gone_is_missing(eyes: Eyes) -> None:
    eyes.scan()
    shutil.rmtree(eyes.tree)
    snapshot = eyes.scan()
    assert snapshot.condition is Condition.MISSING
    assert not snapshot.tells_absence("api/a.xml")
    assert eyes.looking.identity_of(TREE) is None


def test_a_root_that_is_a_file_is_missing(eyes: Eyes) -> None:
    shutil.rmtree(eyes.tree)
    eyes.tree.write_bytes(b"")
    assert eyes.scan().condition is Condition.MISSING


def test_an_empty_folder_in_the_root_s_place_is_no_deletion(eyes: Eyes) -> None:
    eyes.scan()
    swap_root(eyes)

    snapshot = eyes.scan()

    assert snapshot.condition is Condition.REPLACED
    assert "another folder" in snapshot.reason
    assert not snapshot.tells_absence("api/a.xml")
    with pytest.raises(DiskError, match="another folder"):
        eyes.look("api/a.xml")
    assert eyes.read("api/a.xml", digest_of(b"<a/>")) is None


def test_a_root_that_comes_back_is_believed_again(eyes: Eyes) -> None:
    before = eyes.scan()
    swap_root(eyes)
    eyes.scan()
    eyes.tree.rmdir()
    (eyes.folder / "moved").rename(eyes.tree)
    assert eyes.scan() is before


def test_another_identity_is_trusted_when_told(eyes: Eyes) -> None:
    eyes.scan()
    swap_root(eyes)
    eyes.put("new.xml")
    assert eyes.scan().condition is Condition.REPLACED
    eyes.looking.trust(TREE, eyes.looking.identity_of(TREE))
    assert codes(eyes.scan()) == {"new.xml": "seen"}


def test_none_trusts_what_is_found_next_and_keeps_to_it(eyes: Eyes) -> None:
    eyes.scan()
    swap_root(eyes)
    eyes.looking.trust(TREE, None)
    assert eyes.scan().condition is Condition.GOOD
    eyes.tree.rename(eyes.folder / "second")
    eyes.tree.mkdir()
    assert eyes.scan().condition is Condition.REPLACED


def test_an_identity_that_was_trusted_before_a_restart_holds_from_the_first_scan(
    eyes: Eyes,
) -> None:
    identity = eyes.looking.identity_of(TREE)
    swap_root(eyes)
    looking = eyes.fresh()
    looking.trust(TREE, identity)
    assert eyes.scan().condition is Condition.REPLACED


def test_a_root_that_is_replaced_during_a_scan_voids_it(eyes: Eyes) -> None:
    real = eyes.fs.read
    eyes.fs.read = lambda fd, size: swap_root(eyes) or real(fd, size)
    assert eyes.scan().condition is Condition.REPLACED
    eyes.fs.read = real


def test_a_root_that_vanishes_during_a_look_voids_it(eyes: Eyes) -> None:
    real = eyes.fs.read
    eyes.fs.read = lambda fd, size: shutil.rmtree(eyes.tree) or real(fd, size)
    with pytest.raises(DiskError):
        eyes.look("api/a.xml", "api/no.xml")


def test_rows_of_another_root_are_not_believed(eyes: Eyes) -> None:
    eyes.scan()
    assert eyes.read_by_scan() == set()
    eyes.tree.rename(eyes.folder / "moved")
    eyes.tree.mkdir()
    # The very same file under another root: even its inode and its ctime would agree.
    (eyes.folder / "moved" / "api").rename(eyes.tree / "api")
    eyes.looking.trust(TREE, None)
    assert eyes.read_by_scan() == {"api/a.xml"}


def test_the_identity_is_file_system_and_inode(eyes: Eyes) -> None:
    fsid, inode = (eyes.looking.identity_of(TREE) or "").split(":")
    assert int(inode) == eyes.tree.stat().st_ino
    assert fsid == eyes.fs.fsid(str(eyes.tree))
