"""The quarantine's files and the intent's envelope, damaged and left half-done."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, StateError
from syncagent.core.intent import Intent, Keep, Step, Written
from syncagent.core.manifest import Entry
from syncagent.core.revision import RevisionId
from syncagent.core.wire.intents import pack_written, unpack_written
from syncagent.disk.journal import Journal, unwrap, wrap
from syncagent.fsio import OsFS
from tests.fakes.faultyfs import FaultyFS
from tests.fakes.node_bench import ChangeSet, NodeBench, step

if TYPE_CHECKING:
    from pathlib import Path

API = ArtifactPath(TreeName("synapse"), "api/A.xml")
MAGIC = b"MAGICMAG"


def bench_at(tmp_path: Path) -> NodeBench:
    bench = NodeBench(OsFS(), str(tmp_path))
    bench.build({"synapse/api/B.xml": b"b"})
    return bench


def quarantine(tmp_path: Path) -> Path:
    return tmp_path / "gateway/.syncagent/quarantine"


@given(st.binary(max_size=300), st.integers(0, 400), st.binary(max_size=50))
def test_an_envelope_opens_only_if_all_of_it_is_there(body: bytes, cut: int, tail: bytes) -> None:
    record = wrap(MAGIC, body)
    assert unwrap(MAGIC, record + tail) == body
    assert unwrap(b"OTHERMAG", record) is None
    if cut < len(record):
        assert unwrap(MAGIC, record[:cut]) is None
        flipped = bytes([*record[:cut], record[cut] ^ 1, *record[cut + 1 :]])
        assert unwrap(MAGIC, flipped) is None


DIGESTS = st.binary(max_size=8).map(digest_of)
ENTRIES = st.builds(Entry, DIGESTS, st.integers(0, 2**40))
PATHS = st.builds(
    ArtifactPath, st.sampled_from([TreeName("a"), TreeName("b")]), st.text("xyzé/", min_size=1)
)
STEPS = st.builds(
    Step, PATHS, DIGESTS, st.none() | ENTRIES, st.none() | st.sampled_from(list(Keep))
) | st.builds(Step, PATHS, st.none(), ENTRIES, st.none())


@given(st.lists(STEPS, max_size=5), st.integers(1, 2**50), st.binary(max_size=9))
def test_an_intent_is_read_as_it_was_written(steps: list[Step], txid: int, memo: bytes) -> None:
    intent = Intent(txid, RevisionId(3, 7, digest_of(b"r")), tuple(steps), memo)
    written = Written(intent, frozenset({TreeName("b")}), frozenset({(TreeName("a"), "api")}))
    assert unpack_written(pack_written(written)) == written


def test_an_intent_of_another_version_fails_closed(tmp_path: Path) -> None:
    (tmp_path / "intent").write_bytes(wrap(b"SYNAINT1", b"\x93\x01\x02\x03"))
    with pytest.raises(StateError):
        Journal(OsFS(), str(tmp_path)).read()


def test_an_intent_that_could_not_be_written_is_taken_back(tmp_path: Path) -> None:
    fs = FaultyFS(OsFS(), 0, 5)
    journal = Journal(fs, str(tmp_path))
    intent = Intent(1, RevisionId(1, 1, digest_of(b"")), (Step(API, digest_of(b""), None),))
    fs.fail_on = "fdatasync"
    with pytest.raises(DiskError):
        journal.write(Written(intent))
    assert Journal(OsFS(), str(tmp_path)).read() is None
    journal.write(Written(intent))
    assert Journal(OsFS(), str(tmp_path)).read() == Written(intent)


def test_an_intent_that_can_be_neither_written_nor_taken_back_stands(tmp_path: Path) -> None:
    bench = bench_at(tmp_path)
    fs = FaultyFS(bench.fs, 0, 5)
    disk = NodeBench(fs, bench.base).disk()
    disk.recover(0)
    change = ChangeSet({}, ((step("synapse/api/A.xml", None, b"a"), b"a"),))
    change.stage(disk)
    disk.seal(1)

    def fail(_fd: int) -> None:
        raise OSError(errno.EIO, "no more")

    fs.fdatasync = fail
    with pytest.raises(StateError):
        disk.commit(change.intent)
    assert "synapse/api/A.xml" not in bench.live()
    disk.discard(1)
    assert bench.disk().recover(0) is None, "what was taken back in memory reads as none"
    assert "synapse/api/A.xml" not in bench.live()


def test_a_shorter_intent_over_a_longer_one_is_read_alone(tmp_path: Path) -> None:
    journal = Journal(OsFS(), str(tmp_path))
    revision = RevisionId(1, 1, digest_of(b""))
    one = Step(API, digest_of(b""), None)
    journal.write(Written(Intent(1, revision, (one,) * 50)))
    journal.write(Written(Intent(2, revision, (one,))))
    assert journal.read() == Written(Intent(2, revision, (one,)))


def test_a_damaged_list_hides_its_own_entries_only(tmp_path: Path) -> None:
    disk = bench_at(tmp_path).disk()
    first = disk.keep(API, b"1", Keep.DRIFT, "")
    second = disk.keep(API, b"2", Keep.DRIFT, "")
    (quarantine(tmp_path) / f"{first.id}.list").write_bytes(b"torn")
    assert list(disk.kept()) == [second]
    assert disk.kept_bytes(first.id) == b"1", "the bytes are still to be had by their id"


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ENOTCONN])
def test_what_lies_where_nothing_can_be_listed_is_left_out(tmp_path: Path, code: int) -> None:
    bench = bench_at(tmp_path)
    fs = FaultyFS(bench.fs, 0, code)
    disk = NodeBench(fs, bench.base).disk()
    kept = disk.keep(API, b"1", Keep.DRIFT, "")
    fs.fail_on = "listdir"
    assert list(disk.kept()) == []
    assert fs.failed == "listdir"
    assert list(disk.kept()) == [kept]
    fs.fail_on = "read"
    with pytest.raises(DiskError):
        disk.kept_bytes(kept.id)
    assert disk.kept_bytes(kept.id) == b"1"


def test_an_entry_without_a_file_is_not_listed_and_its_list_is_swept(tmp_path: Path) -> None:
    disk = bench_at(tmp_path).disk()
    gone = disk.keep(API, b"1", Keep.DRIFT, "")
    (quarantine(tmp_path) / gone.id).unlink()
    assert list(disk.kept()) == []
    assert disk.sweep(older_than_s=1e9, bytes_max=10**9) == 0
    assert list(quarantine(tmp_path).iterdir()) == []


def test_what_an_interrupted_keep_left_is_swept_after_an_hour(tmp_path: Path) -> None:
    bench = bench_at(tmp_path)
    disk = bench.disk()
    left = disk.keep(API, b"1", Keep.DRIFT, "")
    (quarantine(tmp_path) / f"{left.id}.list").unlink()
    stays = disk.keep(API, b"2", Keep.DRIFT, "")
    assert disk.sweep(older_than_s=1e9, bytes_max=10**9) == 0
    assert (quarantine(tmp_path) / left.id).exists()
    bench.clock.at += 3601
    assert disk.sweep(older_than_s=1e9, bytes_max=10**9) == 0
    assert not (quarantine(tmp_path) / left.id).exists()
    assert list(disk.kept()) == [stays]


def test_many_kept_at_once_are_listed_together_and_swept_apart(tmp_path: Path) -> None:
    bench = NodeBench(OsFS(), str(tmp_path))
    names = [f"synapse/api/{n}.xml" for n in range(30)]
    bench.build({name: b"%03d" % n for n, name in enumerate(names)})
    disk = bench.disk()
    steps = tuple(
        (step(name, b"%03d" % n, None, Keep.DELETED), None) for n, name in enumerate(names)
    )
    ChangeSet({}, steps).carry_out(disk)
    assert sorted(disk.kept_bytes(kept.id) for kept in disk.kept()) == [
        b"%03d" % n for n in range(30)
    ]
    assert disk.sweep(older_than_s=1e9, bytes_max=30) == 20
    assert len(disk.kept()) == 10
    assert sum(1 for path in quarantine(tmp_path).iterdir() if path.suffix == ".list") == 1


@pytest.mark.needs_root
def test_a_foreign_staging_folder_is_not_trusted(tmp_path: Path) -> None:
    if os.geteuid() != 0 and not os.environ.get("SYNCAGENT_REQUIRE_ALL"):
        pytest.skip("needs root to give a folder away")
    bench = bench_at(tmp_path)
    own = tmp_path / "gateway/.syncagent"
    own.mkdir(0o777)
    os.chown(own, 4321, 4321)
    change = ChangeSet({}, ((step("synapse/api/A.xml", None, b"a"), b"a"),))
    change.carry_out(bench.disk())
    assert (tmp_path / "gateway/synapse/api/A.xml").read_bytes() == b"a"
    assert (tmp_path / "gateway/synapse/.syncagent/quarantine").is_dir(), "it was staged inside"


def test_a_symlink_in_the_place_of_our_folder_is_not_followed(tmp_path: Path) -> None:
    bench = bench_at(tmp_path)
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "gateway/.syncagent").symlink_to(outside)
    ChangeSet({}, ((step("synapse/api/A.xml", None, b"a"), b"a"),)).carry_out(bench.disk())
    assert list(outside.iterdir()) == []
