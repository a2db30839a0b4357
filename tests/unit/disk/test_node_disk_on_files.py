"""The disk on real files: what neither the model nor pyfakefs can show."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from syncagent.core.errors import DiskError
from syncagent.core.intent import Keep
from syncagent.fsio import OsFS
from tests.fakes.faultyfs import FaultyFS
from tests.fakes.node_bench import START, ChangeSet, NodeBench, step

if TYPE_CHECKING:
    from pathlib import Path

API = "synapse/api/A.xml"


def started(tmp_path: Path, live: dict[str, bytes]) -> NodeBench:
    bench = NodeBench(OsFS(), str(tmp_path))
    bench.build(live)
    return bench


def one(name: str, before: bytes | None, after: bytes | None, txid: int = 1) -> ChangeSet:
    return ChangeSet({}, ((step(name, before, after), after),), txid)


def test_a_replaced_file_keeps_its_mode(tmp_path: Path) -> None:
    bench = started(tmp_path, {API: b"old"})
    live = tmp_path / "gateway" / API
    live.chmod(0o640)
    one(API, b"old", b"new").carry_out(bench.disk())
    assert live.read_bytes() == b"new"
    assert stat.S_IMODE(live.stat().st_mode) == 0o640


def test_a_mode_that_changes_after_staging_is_kept_too(tmp_path: Path) -> None:
    bench = started(tmp_path, {API: b"old"})
    live = tmp_path / "gateway" / API
    disk = bench.disk()
    change = one(API, b"old", b"new")
    change.stage(disk)
    disk.seal(1)
    live.chmod(0o604)
    os.utime(live, (START + 1000, START + 1000))
    disk.commit(change.intent)
    assert stat.S_IMODE(live.stat().st_mode) == 0o604
    assert live.stat().st_mtime == START + 1001


@pytest.mark.needs_root
def test_owners_are_kept_and_a_new_file_takes_its_folders(tmp_path: Path) -> None:
    if os.geteuid() != 0 and not os.environ.get("SYNCAGENT_REQUIRE_ALL"):
        pytest.skip("needs root to give files away")
    bench = started(tmp_path, {API: b"old"})
    os.chown(tmp_path / "gateway/synapse/api", 1234, 2345)
    (tmp_path / "gateway/synapse/api").chmod(0o750)
    os.chown(tmp_path / "gateway" / API, 77, 88)
    os.chown(tmp_path / "gateway/synapse", 5, 6)
    change = ChangeSet(
        {},
        (
            (step(API, b"old", b"new"), b"new"),
            (step("synapse/api/N.xml", None, b"n"), b"n"),
            (step("synapse/api/deep/D.xml", None, b"d"), b"d"),
            (step("synapse/sequences/S.xml", None, b"s"), b"s"),
        ),
    )
    change.carry_out(bench.disk())

    def owner(name: str) -> tuple[int, int, int]:
        status = (tmp_path / "gateway/synapse" / name).stat()
        return status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)

    assert owner("api/A.xml") == (77, 88, 0o644)
    assert owner("api/N.xml") == (1234, 2345, 0o640)
    assert owner("api/deep") == (1234, 2345, 0o750)
    assert owner("api/deep/D.xml") == (1234, 2345, 0o640)
    assert owner("sequences") == (5, 6, 0o755)
    assert owner("sequences/S.xml") == (5, 6, 0o644)


def test_a_new_folder_and_files_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    bench = started(tmp_path, {API: b"old"})
    before = os.umask(0o077)
    try:
        one("synapse/sequences/S.xml", None, b"s").carry_out(bench.disk())
        one("synapse/api/N.xml", None, b"n", 2).carry_out(bench.disk())
    finally:
        os.umask(before)
    for name in ("sequences/S.xml", "api/N.xml"):
        assert stat.S_IMODE((tmp_path / "gateway/synapse" / name).stat().st_mode) == 0o644


def test_the_longest_name_can_be_made_replaced_and_deleted(tmp_path: Path) -> None:
    bench = started(tmp_path, {})
    disk = bench.disk()
    name = f"synapse/api/{'n' * 251}.xml"
    for txid, (before, after) in enumerate(((None, b"1"), (b"1", b"2"), (b"2", None)), 1):
        one(name, before, after, txid).carry_out(disk)
        assert bench.live().get(name) == after


@pytest.mark.parametrize("kind", ["fifo", "symlink", "socket", "folder"])
def test_what_is_no_file_is_moved_aside_whole(tmp_path: Path, kind: str) -> None:
    bench = started(tmp_path, {"synapse/api/B.xml": b"b"})
    way = tmp_path / "gateway" / API
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    match kind:
        case "fifo":
            os.mkfifo(way)
        case "symlink":
            way.symlink_to(outside)
        case "socket":
            here = os.open(way.parent, os.O_RDONLY)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(f"/proc/self/fd/{here}/A.xml")
            os.close(here)
        case _:
            (way / "inner").mkdir(parents=True)
            (way / "inner" / "x").write_text("kept")
    disk = bench.disk()
    change = one(API, None, b"new")
    change.stage(disk)
    disk.seal(1)
    done = disk.commit(change.intent)
    assert way.read_bytes() == b"new"
    assert not way.is_symlink()
    assert outside.read_text() == "not ours"
    (kept,) = done.kept
    assert kept.reason is Keep.CONFLICT
    aside = tmp_path / "gateway/.syncagent/quarantine" / kept.id
    assert stat.S_IFMT(aside.lstat().st_mode) != stat.S_IFREG
    if kind == "folder":
        assert (aside / "inner" / "x").read_text() == "kept"


def test_a_deletion_leaves_what_is_no_file(tmp_path: Path) -> None:
    bench = started(tmp_path, {"synapse/api/B.xml": b"b"})
    way = tmp_path / "gateway" / API
    (way / "inner").mkdir(parents=True)
    one(API, b"old", None).carry_out(bench.disk())
    assert (way / "inner").is_dir()


def test_a_symlinked_folder_is_refused_before_anything_changes(tmp_path: Path) -> None:
    bench = started(tmp_path, {"plans/p.siddhiql": b"p"})
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "gateway/synapse/api").symlink_to(outside)
    disk = bench.disk()
    change = one(API, None, b"new")
    with pytest.raises(DiskError) as refused:
        change.stage(disk)
    assert refused.value.errno_name in {"ELOOP", "ENOTDIR"}
    assert refused.value.hint
    disk.discard(1)
    assert not list(outside.iterdir())


def test_staging_shows_nothing_that_a_deployer_would_take(tmp_path: Path) -> None:
    bench = started(tmp_path, {API: b"old"})
    disk = bench.disk()
    change = ChangeSet(
        {},
        (
            (step(API, b"old", b"new"), b"new"),
            (step("plans/p.siddhiql", None, b"p"), b"p"),
            (step("synapse/sequences/S.xml", None, b"s"), b"s"),
        ),
    )
    change.stage(disk)
    disk.seal(1)
    assert bench.live() == {API: b"old"}
    own = tmp_path / "gateway/.syncagent"
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    names = bench.staged()
    assert len(names) == 3
    assert not [name for name in names if name.endswith(("xml", "siddhiql"))]
    disk.discard(1)
    assert bench.staged() == []


def test_an_empty_folder_is_filled_by_one_rename_and_keeps_its_mode(tmp_path: Path) -> None:
    bench = started(tmp_path, {"plans/p.siddhiql": b"p"})
    folder = tmp_path / "gateway/synapse/api"
    folder.mkdir()
    folder.chmod(0o751)
    before = folder.stat().st_ino
    change = ChangeSet(
        {}, tuple((step(f"synapse/api/{n}.xml", None, b"%d" % n), b"%d" % n) for n in range(50))
    )
    change.carry_out(bench.disk())
    assert len(list(folder.iterdir())) == 50
    assert folder.stat().st_ino != before
    assert stat.S_IMODE(folder.stat().st_mode) == 0o751


def test_a_folder_that_somebody_fills_meanwhile_is_filled_file_by_file(tmp_path: Path) -> None:
    bench = started(tmp_path, {"plans/p.siddhiql": b"p"})
    disk = bench.disk()
    change = ChangeSet(
        {}, tuple((step(f"synapse/api/{n}.xml", None, b"%d" % n), b"%d" % n) for n in range(20))
    )
    change.stage(disk)
    disk.seal(1)
    theirs = tmp_path / "gateway/synapse/api"
    theirs.mkdir()
    (theirs / "3.xml").write_text("by hand")
    (theirs / "4.xml").write_text("4")
    (theirs / "mine.xml").write_text("mine")
    before = (theirs / "4.xml").stat()
    done = disk.commit(change.intent)
    assert {path.name: path.read_text() for path in theirs.iterdir()} == {
        **{f"{n}.xml": str(n) for n in range(20)},
        "mine.xml": "mine",
    }
    assert [disk.kept_bytes(kept.id) for kept in done.kept] == [b"by hand"]
    assert (theirs / "4.xml").stat() == before
    assert bench.staged() == []


def test_what_is_staged_but_not_in_the_intent_does_not_become_live(tmp_path: Path) -> None:
    bench = started(tmp_path, {"plans/p.siddhiql": b"p"})
    disk = bench.disk()
    steps = [(step(f"synapse/api/{n}.xml", None, b"%d" % n), b"%d" % n) for n in range(4)]
    disk.stage(1, steps)
    disk.seal(1)
    disk.commit(ChangeSet({}, tuple(steps[:2])).intent)
    assert set(bench.live()) == {"plans/p.siddhiql", "synapse/api/0.xml", "synapse/api/1.xml"}
    assert bench.staged() == []


def test_one_small_change_costs_four_flushes(tmp_path: Path) -> None:
    bench = started(tmp_path, {API: b"old"})
    fs = FaultyFS(bench.fs)
    disk = NodeBench(fs, bench.base).disk()
    disk.recover(0)
    one(API, b"old", b"new").carry_out(disk)
    fs.flushes.clear()
    one(API, b"new", b"newer", 2).carry_out(disk)
    assert fs.flushes == ["fsync", "fsync", "fdatasync", "fsync"]


def test_the_flushes_of_a_large_change_do_not_grow_with_it(tmp_path: Path) -> None:
    bench = started(tmp_path, {f"synapse/api/{n}.xml": b"old" for n in range(300)})
    fs = FaultyFS(bench.fs)
    disk = NodeBench(fs, bench.base).disk()
    disk.recover(0)
    one("plans/p.siddhiql", None, b"p").carry_out(disk)
    fs.flushes.clear()
    names = [f"synapse/api/{n}.xml" for n in range(300)]
    names_deep = [f"synapse/sequences/s{n}/S.xml" for n in range(40)]
    change = ChangeSet(
        {},
        (
            *((step(name, b"old", b"new"), b"new") for name in names),
            *((step(name, None, b"s"), b"s") for name in names_deep),
        ),
        txid=2,
    )
    change.carry_out(disk)
    assert len(fs.flushes) <= 4
