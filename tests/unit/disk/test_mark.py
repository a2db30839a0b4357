"""A tree on a share is known by the mark in its root, and nothing is believed without it."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.settings import SHARE_PREFIX, Limits, TreeSettings
from syncagent.core.snapshot import Condition
from syncagent.disk.identity import identify
from syncagent.disk.looking import Looking
from syncagent.disk.mark import (
    MARK_NAME,
    Mark,
    NoMarkError,
    Owner,
    decode_mark,
    encode_mark,
    owner_of,
    read_mark,
    write_mark,
)
from syncagent.disk.places import Places
from syncagent.fsio import O_FOLDER, OsFS
from tests.fakes.examiner import KeepingExaminer, StillClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from syncagent.core.snapshot import Snapshot

TREE = TreeName("synapse")
MARK = Mark("0a1b", "c", TREE)
OTHER = replace(MARK, uuid="ffff")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "api").mkdir(parents=True)
    (root / "api/a.xml").write_text("<a/>")
    return root


@contextmanager
def folder(path: Path) -> Iterator[int]:
    fd = os.open(path, O_FOLDER)
    try:
        yield fd
    finally:
        os.close(fd)


def mark(path: Path, what: Mark = MARK) -> None:
    with folder(path) as fd:
        assert write_mark(OsFS(), fd, what)


def remark(path: Path, what: Mark) -> None:
    (path / MARK_NAME).unlink()
    mark(path, what)


def looking(root: Path, fs: OsFS | None = None) -> Looking:
    tree = TreeSettings(TREE, TreeKind.SYNAPSE, str(root), mark="c")
    cache = str(root.parent / "cache")
    return Looking(fs or OsFS(), [tree], Limits(), cache, StillClock())


def scan(eyes: Looking) -> Snapshot:
    return eyes.scan(TREE, KeepingExaminer())


def test_a_mark_says_back_what_was_written(root: Path) -> None:
    mark(root)
    with folder(root) as fd:
        assert read_mark(OsFS(), fd) == MARK
    said = json.loads((root / MARK_NAME).read_text())
    assert (said["uuid"], said["cluster"], said["tree"]) == ("0a1b", "c", "synapse")
    assert (root / MARK_NAME).stat().st_mode & 0o777 == 0o644
    assert MARK.identity == f"{SHARE_PREFIX}0a1b"


def test_a_mark_that_is_there_stays_and_no_part_of_another_is_left(root: Path) -> None:
    mark(root)
    with folder(root) as fd:
        assert not write_mark(OsFS(), fd, OTHER)
        assert read_mark(OsFS(), fd) == MARK
    assert sorted(path.name for path in root.iterdir()) == [MARK_NAME, "api"]


def test_where_no_links_are_to_be_had_a_mark_is_made_by_a_rename(root: Path) -> None:
    fs = OsFS()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "no links here")

    fs.link = refuse
    with folder(root) as fd:
        assert write_mark(fs, fd, MARK)
        assert not write_mark(fs, fd, OTHER)
        assert read_mark(fs, fd) == MARK
    assert sorted(path.name for path in root.iterdir()) == [MARK_NAME, "api"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not JSON"),
        (b"[]", "checksum"),
        (encode_mark(MARK)[:40], "not JSON"),
        (encode_mark(MARK).replace(b"0a1b", b"0a1c"), "checksum"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_half_a_mark_is_none(content: bytes, why: str) -> None:
    with pytest.raises(NoMarkError, match=why):
        decode_mark(content)


def test_a_mark_of_a_later_format_is_not_guessed_at() -> None:
    said = {"format": 2, "uuid": "x", "cluster": "c", "tree": "t"}
    said["digest"] = digest_of(json.dumps(said, sort_keys=True).encode())
    with pytest.raises(NoMarkError, match="format is 2"):
        decode_mark(json.dumps(said).encode())


def test_a_tree_without_a_mark_to_carry_is_known_without() -> None:
    tree = TreeSettings(TREE, TreeKind.SYNAPSE, "/x")
    assert owner_of(tree) is None
    assert tree.knows("12:7")
    assert not tree.knows(MARK.identity)
    shared = replace(tree, mark="c")
    assert owner_of(shared) == Owner("c", TREE) == MARK.owner
    assert shared.knows(MARK.identity)


def test_a_marked_root_is_known_by_its_mark_and_the_mark_is_no_artifact(root: Path) -> None:
    mark(root)
    snapshot = scan(looking(root))
    assert snapshot.condition is Condition.GOOD
    assert set(snapshot.files) == {"api/a.xml"}
    assert looking(root).identity_of(TREE) == MARK.identity
    assert identify(OsFS(), str(root), MARK.owner) == MARK.identity


def test_an_empty_folder_where_the_share_should_be_is_no_empty_tree(root: Path) -> None:
    mark(root)
    eyes = looking(root)
    scan(eyes)
    shutil.move(root, root.parent / "away")
    root.mkdir()
    snapshot = scan(eyes)
    assert snapshot.condition is Condition.MISSING
    assert "has no .syncagent-root: the share is not mounted, or was never prepared" in (
        snapshot.reason
    )
    assert not snapshot.tells_absence("api/a.xml")
    assert eyes.identity_of(TREE) is None
    with pytest.raises(DiskError, match=r"has no \.syncagent-root"):
        eyes.look(TREE, ["api/a.xml"], KeepingExaminer())


def test_a_share_that_is_mounted_again_under_another_inode_is_the_same(root: Path) -> None:
    mark(root)
    eyes = looking(root)
    eyes.trust(TREE, MARK.identity)
    scan(eyes)
    shutil.copytree(root, root.parent / "copy")
    shutil.move(root, root.parent / "away")
    (root.parent / "copy").rename(root)
    assert scan(eyes).condition is Condition.GOOD


def test_rows_of_a_share_are_not_believed_under_another_mount_of_it(root: Path) -> None:
    mark(root)
    eyes = looking(root)
    scan(eyes)
    shutil.copytree(root, root.parent / "copy")
    shutil.move(root, root.parent / "away")
    (root.parent / "copy").rename(root)
    examiner = KeepingExaminer()
    eyes.scan(TREE, examiner)
    assert set(examiner.shown) == {"api/a.xml"}


def test_another_mark_is_another_share(root: Path) -> None:
    mark(root)
    eyes = looking(root)
    scan(eyes)
    remark(root, OTHER)
    snapshot = scan(eyes)
    assert snapshot.condition is Condition.REPLACED
    assert "another share than before: share:ffff is there, share:0a1b is the tree" in (
        snapshot.reason
    )
    remark(root, MARK)
    assert scan(eyes).condition is Condition.GOOD


@pytest.mark.parametrize("what", [replace(MARK, cluster="d"), replace(MARK, tree="siddhi")])
def test_the_mark_of_another_cluster_or_tree_is_never_taken(root: Path, what: Mark) -> None:
    mark(root, what)
    snapshot = scan(looking(root))
    assert snapshot.condition is Condition.MISSING
    assert f"is the tree {what.tree} of the cluster {what.cluster}" in snapshot.reason
    with pytest.raises(FileNotFoundError):
        identify(OsFS(), str(root), MARK.owner)


def test_a_damaged_mark_makes_a_tree_unreadable(root: Path) -> None:
    (root / MARK_NAME).write_text("{")
    snapshot = scan(looking(root))
    assert snapshot.condition is Condition.UNREADABLE
    assert "can't be believed: it is not JSON" in snapshot.reason
    with pytest.raises(OSError, match="not JSON"):
        identify(OsFS(), str(root), MARK.owner)


def test_a_mark_that_goes_during_a_scan_voids_it(root: Path) -> None:
    mark(root)
    fs = OsFS()
    eyes = looking(root, fs)
    real = fs.scandir

    def unmounted(fd: int | str) -> object:
        (root / MARK_NAME).unlink(missing_ok=True)
        return real(fd)

    fs.scandir = unmounted  # type: ignore[assignment]
    snapshot = scan(eyes)
    assert snapshot.condition is Condition.MISSING
    assert not snapshot.tells_absence("api/b.xml")


def test_a_share_that_is_mounted_anew_during_a_scan_voids_it_without_asking_a_person(
    root: Path,
) -> None:
    mark(root)
    numbers = iter(range(7, 99))

    class Remounting(OsFS):
        def mount_id(self, fd: int) -> int:
            assert super().mount_id(fd) > 0, "the kernel says"
            return next(numbers)

    snapshot = scan(looking(root, Remounting()))
    assert snapshot.condition is Condition.UNREADABLE
    assert "was mounted again while it was looked at" in snapshot.reason


def test_a_root_that_changes_between_its_mark_and_its_opening_is_not_opened(root: Path) -> None:
    mark(root)
    fs = OsFS()
    eyes = looking(root, fs)
    real, calls = fs.open, []

    def opening(path: str, *args: int, **more: int) -> int:
        if path == str(root):
            calls.append(path)
            if len(calls) == 2:
                shutil.move(root, root.parent / "away")
                root.mkdir()
        return real(path, *args, **more)

    fs.open = opening
    snapshot = scan(eyes)
    assert snapshot.condition is Condition.UNREADABLE
    assert "mounted again" in snapshot.reason


def test_nothing_is_written_beside_a_mount_point_whose_share_is_away(root: Path) -> None:
    tree = TreeSettings(TREE, TreeKind.SYNAPSE, str(root), mark="c")
    places = Places(OsFS(), [tree])
    with pytest.raises(DiskError, match=r"can't be opened"):
        places.of(TREE)
    assert not (root.parent / ".syncagent").exists()
    mark(root)
    assert places.of(TREE).quarantine == f"{root.parent}/.syncagent/quarantine"
