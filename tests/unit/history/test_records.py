"""SQLite records: they may be lost, and that is said."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.manifest import EMPTY, Entry, Manifest
from syncagent.core.outcome import Deployment, Outcome
from syncagent.core.revision import REVISION_ZERO, Revision, RevisionId
from syncagent.fsio import OsFS
from syncagent.history import records as records_module
from syncagent.history.records import EVENTS_MAX, Records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NODE = NodeName("gw-1")
PATH = ArtifactPath(TreeName("synapse"), "api/a.xml")


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    made = open_records(tmp_path)
    yield made
    made.close()


def open_records(path: Path) -> Records:
    return Records(OsFS(), str(path / "records.db"), lambda: 77.0)


def chain(count: int) -> list[Revision]:
    """Revisions that rewrite one artifact again and again."""
    made: list[Revision] = []
    parent, manifest = REVISION_ZERO, EMPTY
    path = ArtifactPath(TreeName("synapse"), "api/a.xml")
    for number in range(1, count + 1):
        change = Change(path, manifest.get(path), Entry(digest_of(b"%d" % number), number))
        manifest = manifest.after([change])
        own = RevisionId(1 + number // 4, number, manifest.digest)
        made.append(Revision(own, parent, (change,), NODE, f"edit {number}", (digest_of(b"r"),)))
        parent = own
    return made


def test_a_revision_comes_back_whole(records: Records) -> None:
    [revision] = chain(1)
    records.record(revision, 5.5)
    assert records.revisions(10) == [(revision, 5.5)]
    assert records.revision(revision.id) == revision


def test_a_revision_of_another_digest_is_another_revision(records: Records) -> None:
    [revision] = chain(1)
    records.record(revision, 5.5)
    other = RevisionId(revision.id.epoch, revision.id.number, Manifest().digest)
    assert records.revision(other) is None


def test_recording_again_replaces(records: Records) -> None:
    [revision] = chain(1)
    records.record(revision, 5.5)
    records.record(revision, 6.5)
    assert records.revisions(10) == [(revision, 6.5)]


@pytest.mark.parametrize(
    ("keep", "newer_than", "left"),
    [
        pytest.param(50, 0.0, range(1, 9), id="few and young: all stay"),
        pytest.param(3, 0.0, range(6, 9), id="many: the newest stay"),
        pytest.param(50, 5.0, range(6, 9), id="old: the young stay"),
        pytest.param(50, 100.0, range(7, 9), id="all old: two stay"),
        pytest.param(0, 0.0, range(7, 9), id="none wanted: two stay"),
    ],
)
def test_pruning(records: Records, keep: int, newer_than: float, left: range) -> None:
    for revision in chain(8):
        records.record(revision, float(revision.id.number))
    records.prune(keep=keep, newer_than=newer_than, at_least=2)
    assert [revision.id.number for revision, _ in records.revisions(100)] == list(reversed(left))
    assert len(records.needed()) == len(left) + (left[0] > 1)


def test_old_events_are_pruned(records: Records) -> None:
    with closing(sqlite3.connect(records._path)) as db:
        records.event(0.0, "first", {})
        db.executemany(
            "INSERT INTO events (at, what, fields) VALUES (?, 'x', '{}')",
            ((float(number),) for number in range(EVENTS_MAX)),
        )
        db.commit()
    records.prune(keep=1, newer_than=0.0, at_least=1)
    events = records.events(0, EVENTS_MAX * 2)
    assert (len(events), events[0][2]) == (EVENTS_MAX, "x")


def test_ids_of_events_are_never_used_again(records: Records) -> None:
    records.event(0.0, "first", {})
    with closing(sqlite3.connect(records._path)) as db:
        db.execute("DELETE FROM events")
        db.commit()
    records.event(0.0, "second", {})
    assert [event[0] for event in records.events(0, 10)] == [2]


@pytest.mark.parametrize("damage", ["all of it", "a page in the middle"])
def test_a_damaged_file_is_moved_aside_and_begun_anew(tmp_path: Path, damage: str) -> None:
    records = open_records(tmp_path)
    for revision in chain(40):
        records.record(revision, 1.0)
    records.close()
    file = tmp_path / "records.db"
    content = bytearray(file.read_bytes())
    if damage == "all of it":
        content[:] = b"\xa5" * len(content)
    else:
        content[4096:8192] = b"\xa5" * 4096
    file.write_bytes(bytes(content))
    again = open_records(tmp_path)
    [revision] = chain(1)
    again.record(revision, 2.0)
    assert again.revisions(100) == [(revision, 2.0)]
    [(_, at, what, fields)] = again.events(0, 10)
    assert (at, what) == (77.0, "records-rebuilt")
    assert fields["moved_to"] == str(tmp_path / "records.db.damaged-1")
    assert b"\xa5" * 4096 in (tmp_path / "records.db.damaged-1").read_bytes()
    again.close()


def test_a_folder_in_its_place_is_a_disk_error(tmp_path: Path) -> None:
    (tmp_path / "records.db").mkdir()
    records = open_records(tmp_path)
    with pytest.raises(DiskError, match="records"):
        records.event(0.0, "x", {})


def test_a_row_that_is_not_a_revision_is_left_out(records: Records) -> None:
    first, second = chain(2)
    records.record(first, 1.0)
    records.record(second, 1.0)
    with closing(sqlite3.connect(records._path)) as db:
        db.execute("UPDATE revisions SET body = x'93010203' WHERE number = 1")
        db.commit()
    assert records.revisions(10) == [(second, 1.0)]
    assert records.revision(first.id) is None


def test_sqlite_is_imported_at_the_first_use_only() -> None:
    code = f"import sys, {records_module.__name__}, syncagent.history.node_history\nprint('sqlite3' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"


def test_a_file_of_the_first_version_is_carried_over(tmp_path: Path) -> None:
    """Its table of outcomes had another shape and nobody ever wrote to it; the rest stays."""
    old = open_records(tmp_path)
    [revision] = chain(1)
    old.record(revision, 5.5)
    old.close()
    with closing(sqlite3.connect(tmp_path / "records.db")) as db:
        db.executescript(
            "DROP TABLE outcomes; DROP TABLE marks;"
            "CREATE TABLE outcomes (epoch INTEGER, number INTEGER, node TEXT, reason TEXT);"
            "PRAGMA user_version = 1;"
        )
    looking = open_records(tmp_path)
    looking.look()
    assert (looking.outcomes(), looking.runtime_mark()) == ([], None)
    looking.close()
    records = open_records(tmp_path)
    outcome = Outcome(PATH, digest_of(b"a"), Deployment.UNKNOWN, "not heard of", "", 1, 2.0)
    records.remember([outcome], (), "m")
    assert records.outcomes() == [outcome]
    assert records.revisions(10) == [(revision, 5.5)]
    records.close()


def test_an_outcome_of_a_state_that_a_later_version_has_is_left_out(tmp_path: Path) -> None:
    records = open_records(tmp_path)
    known = Outcome(PATH, digest_of(b"a"), Deployment.DEPLOYED)
    records.remember([known, replace(known, path=ArtifactPath(PATH.tree, "api/b.xml"))], (), None)
    records.close()
    with closing(sqlite3.connect(tmp_path / "records.db")) as db:
        db.execute("UPDATE outcomes SET state = 'Dozing' WHERE path = 'api/b.xml'")
        db.commit()
    records = open_records(tmp_path)
    assert records.outcomes() == [known]
    records.close()


def test_a_log_s_bytes_that_are_no_text_are_kept_as_well_as_can_be(records: Records) -> None:
    odd = b"caf\xe9 \xff".decode("utf-8", "surrogateescape")
    records.remember([Outcome(PATH, digest_of(b"a"), Deployment.REJECTED, odd, odd)], (), None)
    [found] = records.outcomes()
    assert found.excerpt.startswith("caf?")


def test_outcomes_and_the_mark_move_together_or_not_at_all(
    records: Records, tmp_path: Path
) -> None:
    first = Outcome(PATH, digest_of(b"a"), Deployment.PENDING)
    records.remember([first], (), "1")
    with closing(sqlite3.connect(tmp_path / "records.db")) as db:
        db.execute("DROP TABLE marks")
        db.commit()
    with pytest.raises(DiskError):
        records.remember([replace(first, state=Deployment.DEPLOYED)], (), "2")
    assert records.outcomes() == [first]
