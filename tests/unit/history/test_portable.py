"""State on a share: taken over without a lock, and what a former keeper can still do to it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, FencedError, StateError
from syncagent.core.ledger import Standing, StandingChange
from syncagent.core.manifest import EMPTY, Entry
from syncagent.core.revision import RevisionId, Token
from syncagent.fsio import OsFS
from syncagent.history.node_history import NodeHistory
from syncagent.history.portable import FencedFS, Reign, begin_reign, reign_name, reigns
from tests.fakes.faultyfs import FaultyFS

API = ArtifactPath(TreeName("synapse"), "api/Orders.xml")


def token(epoch: int, holder: str = "gw-1", start: str = "start-1") -> Token:
    return Token("apim", epoch, NodeName(holder), start)


def unflushed() -> OsFS:
    """Return calls that wait for no disk: what is tried here is not power loss."""
    fs = OsFS()
    fs.fsync = fs.fdatasync = lambda _fd: None
    return fs


def history_of(reign: Reign, local: Path) -> NodeHistory:
    history = NodeHistory(unflushed(), reign.folder, wall=lambda: 0.0, records=str(local))
    history.load()
    return history


def put(before: Standing, content: bytes, epoch: int) -> tuple[StandingChange, tuple[Entry, bytes]]:
    """Return what makes a node stand on a revision in which the API has these bytes."""
    entry = Entry(digest_of(content), len(content))
    change = Change(API, before.manifest.get(API), entry)
    manifest = before.manifest.after([change])
    number = before.revision.number + 1
    revision = RevisionId(epoch, number, manifest.digest)
    return StandingChange(revision=revision, changes=(change,), txid=number), (entry, content)


def stand(history: NodeHistory, content: bytes, epoch: int) -> None:
    change, blob = put(history.standing(), content, epoch)
    history.stand(change, [blob])


@pytest.fixture
def share(tmp_path: Path) -> Path:
    folder = tmp_path / "share"
    folder.mkdir()
    return folder / "keeper"


def test_the_next_keeper_stands_where_the_one_before_did_and_has_its_bytes(
    share: Path, tmp_path: Path
) -> None:
    history = history_of(begin_reign(unflushed(), str(share), token(1)), tmp_path)
    stand(history, b"<api/>", 1)
    before = history.standing()
    history.close()

    after = history_of(begin_reign(unflushed(), str(share), token(2, "gw-2")), tmp_path)
    assert after.standing().revision == before.revision
    assert after.blob(digest_of(b"<api/>")) == b"<api/>"
    after.close()


def test_who_begins_again_under_the_same_token_goes_on_where_it_was(
    share: Path, tmp_path: Path
) -> None:
    first = begin_reign(unflushed(), str(share), token(3))
    history = history_of(first, tmp_path)
    stand(history, b"<api/>", 3)
    history.close()
    again = begin_reign(unflushed(), str(share), token(3))
    assert again.folder == first.folder
    history = history_of(again, tmp_path)
    assert history.standing().revision.number == 1
    history.close()


def test_nothing_that_a_former_keeper_still_writes_is_read_by_the_next(
    share: Path, tmp_path: Path
) -> None:
    former = history_of(begin_reign(unflushed(), str(share), token(1)), tmp_path)
    stand(former, b"<api/>", 1)
    newer = history_of(begin_reign(unflushed(), str(share), token(2, "gw-2")), tmp_path)
    stand(newer, b"<api name='new'/>", 2)

    # It was frozen before its append, and goes on: its packs are not there any more, its ledger is.
    with pytest.raises(DiskError):
        stand(former, b"<api name='late'/>", 1)
    former.stand(StandingChange(txid=2, notes={"late": "a note"}))
    former.close()
    newer.close()

    third = history_of(begin_reign(unflushed(), str(share), token(3, "gw-3")), tmp_path)
    assert third.standing().revision.epoch == 2
    assert "late" not in third.standing().notes
    assert third.blob(digest_of(b"<api name='new'/>")) == b"<api name='new'/>"
    assert third.blob(digest_of(b"<api/>")) == b"<api/>"
    third.close()


def test_a_former_keepers_guard_meets_the_newer_token_at_its_next_commit(share: Path) -> None:
    former = begin_reign(unflushed(), str(share), token(1)).guard
    with former.holding(token(1)):
        begin_reign(unflushed(), str(share), token(2, "gw-2"))
    assert former.state().highest == token(2, "gw-2")
    for refused in (former.holding(token(1)), former.holding(token(2, "gw-2"))):
        with pytest.raises(FencedError), refused:
            pytest.fail("it was held")
    with pytest.raises(FencedError):
        former.admit(token(1))


def test_a_late_write_of_the_guards_file_does_not_bring_a_former_keeper_back(share: Path) -> None:
    former = begin_reign(unflushed(), str(share), token(1)).guard
    as_it_was = (share / "guard").read_bytes()
    begin_reign(unflushed(), str(share), token(2, "gw-2"))
    (share / "guard").write_bytes(as_it_was)
    with pytest.raises(FencedError, match="taken the share over"):
        former.admit(token(1))


def test_a_keeper_takes_no_other_token_than_its_own(share: Path) -> None:
    guard = begin_reign(unflushed(), str(share), token(4)).guard
    assert guard.enrol().highest == token(4)
    assert guard.admit(token(4)).highest == token(4)
    for other in (token(3), token(5), token(4, "gw-2")):
        with pytest.raises(FencedError):
            guard.admit(other)


@pytest.mark.parametrize("rival", [token(6, "gw-2"), token(5, "gw-2"), token(5, start="start-2")])
def test_a_token_that_is_not_the_highest_takes_nothing_over(share: Path, rival: Token) -> None:
    begin_reign(unflushed(), str(share), rival)
    with pytest.raises(FencedError) as caught:
        begin_reign(unflushed(), str(share), token(5))
    assert f"move {share} away" in caught.value.hint
    assert [name for _, name in reigns(unflushed(), str(share))] == [reign_name(rival)]


def test_names_are_given_to_nothing_under_a_newer_reign(share: Path, tmp_path: Path) -> None:
    fs = begin_reign(unflushed(), str(share), token(1)).fs
    begin_reign(unflushed(), str(share), token(2, "gw-2"))
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    for call in (fs.rename, fs.replace, fs.link, fs.exchange, fs.rename_noreplace):
        with pytest.raises(OSError, match="epoch") as caught:
            call(a, b)
        assert caught.value.errno == errno.ESTALE
    assert (tmp_path / "b").read_text() == "b"


def test_calls_go_through_while_nobody_has_taken_over(share: Path, tmp_path: Path) -> None:
    fs = begin_reign(unflushed(), str(share), token(1)).fs
    assert isinstance(fs, FencedFS)
    (tmp_path / "a").write_text("a")
    fs.rename(str(tmp_path / "a"), str(tmp_path / "b"))
    (tmp_path / "a").write_text("new")
    fs.exchange(str(tmp_path / "a"), str(tmp_path / "b"))
    fs.rename_noreplace(str(tmp_path / "a"), str(tmp_path / "c"))
    assert (tmp_path / "b").read_text() == "new"
    assert (tmp_path / "c").read_text() == "a"


def test_a_torn_tail_of_the_former_ledger_is_left_behind(share: Path, tmp_path: Path) -> None:
    reign = begin_reign(unflushed(), str(share), token(1))
    history = history_of(reign, tmp_path)
    stand(history, b"<api/>", 1)
    history.close()
    with (Path(reign.folder) / "ledger").open("ab") as ledger:
        ledger.write(b"half a record")
    after = history_of(begin_reign(unflushed(), str(share), token(2)), tmp_path)
    assert after.standing().revision.number == 1
    after.close()


def test_a_damaged_ledger_says_what_to_move_away(share: Path, tmp_path: Path) -> None:
    reign = begin_reign(unflushed(), str(share), token(1))
    history = history_of(reign, tmp_path)
    stand(history, b"<api/>", 1)
    history.close()
    ledger = Path(reign.folder) / "ledger"
    ledger.write_bytes(b"?" * 10 + ledger.read_bytes()[10:])
    with pytest.raises(StateError) as caught:
        begin_reign(unflushed(), str(share), token(2))
    assert str(share) in caught.value.hint


def test_a_damaged_guard_and_one_of_another_cluster_are_refused(share: Path) -> None:
    begin_reign(unflushed(), str(share), token(1))
    other = Token("other", 9, NodeName("gw-1"), "start-1")
    with pytest.raises(StateError, match="other") as caught:
        begin_reign(unflushed(), str(share), other)
    assert "two clusters" in caught.value.hint
    (share / "guard").write_bytes(b"nonsense")
    with pytest.raises(StateError, match="damaged"):
        begin_reign(unflushed(), str(share), token(2))


def test_a_keeper_whose_state_was_taken_away_writes_nothing_more(share: Path) -> None:
    guard = begin_reign(unflushed(), str(share), token(1)).guard
    share.rename(share.parent / "gone")
    with pytest.raises(FencedError, match="not there any more"):
        guard.admit(token(1))


def open_below(folder: Path) -> list[str]:
    """Return the files in `folder` that this process holds open."""
    links = Path("/proc/self/fd").iterdir()
    return [str(to) for fd in links if (to := os.path.realpath(fd)).startswith(str(folder))]


def test_nothing_on_the_share_stays_open_between_two_writes(share: Path, tmp_path: Path) -> None:
    history = history_of(begin_reign(unflushed(), str(share), token(1)), tmp_path)
    for content in (b"<api/>", b"<api name='b'/>"):
        assert open_below(share) == []
        stand(history, content, 1)
    history.tidy()
    assert open_below(share) == []
    stand(history, b"<api name='c'/>", 1)
    history.close()
    packs = list(share.glob("*/blobs/*.pack"))
    assert len(packs) == 1


@pytest.mark.parametrize("damage", ["longer", "gone"])
def test_files_that_changed_meanwhile_are_not_written_into(
    share: Path, tmp_path: Path, damage: str
) -> None:
    reign = begin_reign(unflushed(), str(share), token(1))
    history = history_of(reign, tmp_path)
    stand(history, b"<api/>", 1)
    for path in (Path(reign.folder, "ledger"), *share.glob("*/blobs/*.pack")):
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes(path.read_bytes() + b"somebody else's")
    if damage == "gone":
        with pytest.raises(DiskError):
            stand(history, b"<api name='b'/>", 1)
    stand(history, b"<api name='b'/>", 1)
    history.close()
    again = history_of(begin_reign(unflushed(), str(share), token(2)), tmp_path)
    assert again.standing().revision.number == 2
    assert again.blob(digest_of(b"<api name='b'/>")) == b"<api name='b'/>"
    again.close()


def test_an_intent_goes_with_the_ledger_and_only_the_last_reign_stays(share: Path) -> None:
    for epoch in (1, 2, 3):
        reign = begin_reign(unflushed(), str(share), token(epoch))
        history = history_of(reign, share.parent)
        history.close()
        if epoch == 1:
            (Path(reign.folder) / "intent").write_bytes(b"an intent")
    assert (Path(reign.folder) / "intent").read_bytes() == b"an intent"
    assert [epoch for epoch, _ in reigns(unflushed(), str(share))] == [2, 3]


def test_a_takeover_that_failed_anywhere_is_done_again_by_the_next_one(tmp_path: Path) -> None:
    failed = 0
    for call in range(1, 200):
        share = tmp_path / f"share-{call}"
        share.mkdir()
        keeper = str(share / "keeper")
        history = history_of(begin_reign(unflushed(), keeper, token(1)), share)
        stand(history, b"<api/>", 1)
        history.close()
        fs = FaultyFS(unflushed(), call, errno.EIO)
        try:
            begin_reign(fs, keeper, token(2))
        except DiskError:
            failed += 1
        if not fs.failed:
            break
        for epoch in (2, 3):
            after = history_of(begin_reign(unflushed(), keeper, token(epoch)), share)
            assert after.standing().revision.number == 1
            assert after.standing().manifest != EMPTY
            assert after.blob(digest_of(b"<api/>")) == b"<api/>"
            after.close()
    assert failed > 10
