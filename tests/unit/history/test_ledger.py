"""The ledger file: what is replayed, what is cut off, what stops the agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import StateError
from syncagent.core.ledger import Standing, StandingChange
from syncagent.core.manifest import EMPTY, Entry, Manifest
from syncagent.core.revision import RevisionId
from syncagent.core.wire.standing import (
    decode_change,
    encode_change,
    encode_standing,
)
from syncagent.fsio import OsFS
from syncagent.history.frames import encode_frame
from syncagent.history.ledger import COMPACT_BYTES, MAGIC, Ledger, fold, peek

if TYPE_CHECKING:
    from pathlib import Path

TREES = [TreeName("synapse"), TreeName("siddhi"), TreeName("tenant-1")]
NAMES = [f"api/{letter}.xml" for letter in "abcdef"]


def entry(number: int) -> Entry:
    return Entry(digest_of(b"%d" % number), number)


def open_ledger(path: Path) -> Ledger:
    ledger = Ledger(OsFS(), str(path / "ledger"))
    ledger.load()
    return ledger


def next_revision(standing: Standing, name: str, number: int) -> StandingChange:
    path = ArtifactPath(TREES[0], name)
    change = Change(path, standing.manifest.get(path), entry(number))
    manifest = standing.manifest.after([change])
    revision = RevisionId(1, standing.revision.number + 1, manifest.digest)
    return StandingChange(revision=revision, changes=(change,), txid=number)


def grown(path: Path, count: int) -> tuple[list[Standing], list[int]]:
    """A ledger with `count` records; every standing on the way, and the file's size at each."""
    ledger = open_ledger(path)
    stood, sizes = [ledger.standing], [ledger.size]
    for number in range(1, count + 1):
        stood.append(ledger.append(next_revision(stood[-1], NAMES[number % 6], number)))
        sizes.append(ledger.size)
    ledger.close()
    return stood, sizes


@st.composite
def change_lists(draw: st.DrawFn) -> list[StandingChange]:
    """Records as an agent appends them: each leads from where the one before left off."""
    standing = Standing()
    changes = []
    for _ in range(draw(st.integers(0, 12))):
        change = draw(records(standing))
        standing = standing.after(change)
        changes.append(change)
    return changes


@st.composite
def records(draw: st.DrawFn, standing: Standing) -> StandingChange:
    texts = st.dictionaries(
        st.sampled_from(["hold", "pause", "ä"]), st.sampled_from(["", "{}", "x"])
    )
    notes = draw(texts)
    identities = draw(st.dictionaries(st.sampled_from(TREES), st.sampled_from(["1", "2"])))
    txid = draw(st.integers(0, 50))
    kind = draw(st.sampled_from(["notes", "changes", "manifest"]))
    if kind == "notes":
        return StandingChange(txid=txid, identities=identities, notes=notes)
    paths = draw(st.lists(st.tuples(st.sampled_from(TREES), st.sampled_from(NAMES)), unique=True))
    rows = [(ArtifactPath(*path), draw(st.integers(0, 5))) for path in paths]
    number = standing.revision.number + 1
    if kind == "manifest":
        whole = Manifest.of((path, entry(size)) for path, size in rows)
        return StandingChange(
            RevisionId(2, number, whole.digest), (), whole, txid, identities, notes
        )
    edits = []
    for path, size in rows:
        before, after = standing.manifest.get(path), entry(size) if size else None
        if before != after:
            edits.append(Change(path, before, after))
    digest = standing.manifest.after(edits).digest
    revision = RevisionId(2, number, digest)
    return StandingChange(revision, tuple(edits), None, txid, identities, notes)


@settings(deadline=None, max_examples=60)
@given(changes=change_lists())
def test_folding_is_the_same_as_going_step_by_step(changes: list[StandingChange]) -> None:
    standing = Standing()
    for change in changes:
        standing = standing.after(change)
    assert fold(changes) == standing


@settings(deadline=None, max_examples=60)
@given(changes=change_lists())
def test_a_record_comes_back_as_it_went(changes: list[StandingChange]) -> None:
    for change in changes:
        assert decode_change(encode_change(change)) == change


@settings(deadline=None, max_examples=60)
@given(changes=change_lists())
def test_one_full_record_says_as_much_as_all(changes: list[StandingChange]) -> None:
    standing = fold(changes)
    assert fold([decode_change(encode_standing(standing))]) == standing


@settings(deadline=None, max_examples=25)
@given(changes=change_lists())
def test_a_ledger_on_disk_replays_what_was_appended(
    changes: list[StandingChange], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("ledger")
    ledger = open_ledger(path)
    for change in changes:
        ledger.append(change)
    ledger.close()
    again = open_ledger(path)
    assert again.standing == ledger.standing == fold(changes)
    again.close()


def test_a_torn_tail_is_cut_off_at_every_byte(tmp_path: Path) -> None:
    stood, sizes = grown(tmp_path, 3)
    file = tmp_path / "ledger"
    content = file.read_bytes()
    for size in range(sizes[2], sizes[3]):
        for filling in (b"", b"\0" * (sizes[3] - size), b"\xff" * (sizes[3] - size)):
            file.write_bytes(content[:size] + filling)
            ledger = open_ledger(tmp_path)
            assert ledger.standing == stood[2]
            assert file.read_bytes() == content[: sizes[2]]
            assert ledger.append(next_revision(stood[2], "api/z.xml", 99)).txid == 99
            ledger.close()
            assert open_ledger(tmp_path).standing.txid == 99


def test_peeking_changes_nothing_while_another_process_appends(tmp_path: Path) -> None:
    stood, sizes = grown(tmp_path, 3)
    file = tmp_path / "ledger"
    content = file.read_bytes()
    for size in (sizes[3], sizes[3] - 1, sizes[2] + 1, sizes[2]):
        file.write_bytes(content[:size])
        expected = stood[3] if size == sizes[3] else stood[2]
        assert peek(OsFS(), str(file)) == expected
        assert file.read_bytes() == content[:size]
    assert peek(OsFS(), str(tmp_path / "none")) is None
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("record", [0, 1, 2])
@pytest.mark.parametrize("where", ["magic", "length", "checksum", "body"])
def test_damage_before_a_good_record_stops_the_agent(
    tmp_path: Path, record: int, where: str
) -> None:
    _, sizes = grown(tmp_path, 3)
    file = tmp_path / "ledger"
    content = bytearray(file.read_bytes())
    start = 0 if record == 0 else sizes[record - 1]
    at = start + {"magic": 1, "length": 5, "checksum": 14, "body": 30}[where]
    content[at] ^= 0x40
    file.write_bytes(bytes(content))
    with pytest.raises(StateError, match="damaged") as caught:
        open_ledger(tmp_path)
    assert caught.value.hint
    assert file.read_bytes() == bytes(content), "the evidence is left alone"


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"something else"])
def test_a_ledger_without_a_record_stops_the_agent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ledger").write_bytes(content)
    with pytest.raises(StateError, match="no readable record"):
        open_ledger(tmp_path)


def test_a_good_frame_that_is_no_record_stops_the_agent(tmp_path: Path) -> None:
    (tmp_path / "ledger").write_bytes(encode_frame(MAGIC, b"\x93\x01\x02\x03"))
    with pytest.raises(StateError, match="is not one"):
        open_ledger(tmp_path)


def test_rows_that_do_not_give_the_revision_stop_the_agent(tmp_path: Path) -> None:
    lie = StandingChange(revision=RevisionId(1, 1, digest_of(b"another manifest")), manifest=EMPTY)
    (tmp_path / "ledger").write_bytes(encode_frame(MAGIC, encode_change(lie)))
    with pytest.raises(StateError, match="its rows give"):
        open_ledger(tmp_path)


def test_compaction_keeps_the_standing_and_shrinks_the_file(tmp_path: Path) -> None:
    stood, sizes = grown(tmp_path, 60)
    ledger = open_ledger(tmp_path)
    ledger.compact()
    assert ledger.size < sizes[-1] / 4
    assert ledger.standing == stood[-1]
    further = ledger.append(next_revision(stood[-1], "api/z.xml", 100))
    ledger.close()
    assert open_ledger(tmp_path).standing == further


def test_a_large_ledger_is_compacted_at_load(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    filler = "x" * (COMPACT_BYTES // 8)
    for number in range(10):
        ledger.append(StandingChange(notes={"status": f"{number}{filler}"}))
    size = ledger.size
    assert size > COMPACT_BYTES
    ledger.close()
    again = open_ledger(tmp_path)
    assert again.size < size / 4
    assert again.standing == ledger.standing


def test_a_temporary_file_left_by_a_crash_is_no_matter(tmp_path: Path) -> None:
    stood, _ = grown(tmp_path, 2)
    (tmp_path / "ledger.tmp").write_bytes(b"half a compaction")
    ledger = open_ledger(tmp_path)
    assert ledger.standing == stood[-1]
    ledger.compact()
    assert not (tmp_path / "ledger.tmp").exists()
