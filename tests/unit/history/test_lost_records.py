"""Records that a power cut took: the ledger still names what they named, and nothing of it is dropped."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Entry
from syncagent.core.revision import REVISION_ZERO, Revision, RevisionId
from syncagent.core.settings import Limits
from syncagent.fsio import OsFS
from syncagent.history.blobs import BlobStore
from syncagent.history.ledger import COMPACT_BYTES
from syncagent.history.node_history import UNKNOWN_NOTE, NodeHistory

if TYPE_CHECKING:
    from pathlib import Path

PATH = ArtifactPath(TreeName("synapse"), "api/a.xml")
MANY = range(1, 13)
"""So many revisions that a pack of which two or three are needed is packed anew."""
RECORDS = ("records.db", "records.db-wal", "records.db-shm")


def item(number: int) -> tuple[Entry, bytes]:
    content = b"<api name='%d'/>" % number
    return Entry(digest_of(content), len(content)), content


def opened(folder: Path, **limits: float) -> NodeHistory:
    """Return a history of which every full pack may be tidied."""
    history = NodeHistory(
        OsFS(), str(folder), wall=lambda: 0.0, limits=Limits(**limits) if limits else None
    )
    history._blobs = BlobStore(OsFS(), str(folder / "blobs"), pack_bytes=1)
    history.load()
    return history


def declare(history: NodeHistory, *numbers: int) -> None:
    """Give the only artifact other bytes, once for each number."""
    for number in numbers:
        standing = history.standing()
        change = Change(PATH, standing.manifest.get(PATH), item(number)[0])
        digest = standing.manifest.after([change]).digest
        own = RevisionId(1, standing.revision.number + 1, digest)
        history.stand(StandingChange(own, (change,), txid=number), [item(number)])
        history.record(
            Revision(own, standing.revision, (change,), NodeName("gw-1"), "edit"), float(number)
        )


def save_records(folder: Path, to: Path) -> None:
    """Keep what is on disk of the records by now."""
    to.mkdir()
    for name in RECORDS:
        if (folder / name).exists():
            shutil.copy(folder / name, to / name)


def lose_records(folder: Path, saved: Path | None = None) -> None:
    """Let the power go: of the records only what was saved is there."""
    for name in RECORDS:
        (folder / name).unlink(missing_ok=True)
        if saved is not None and (saved / name).exists():
            shutil.copy(saved / name, folder / name)


def kept(history: NodeHistory, *numbers: int) -> list[int]:
    return [number for number in numbers if history.blob(item(number)[0].digest) is not None]


def told(history: NodeHistory) -> list[tuple[int, str]]:
    return [(revision.id.number, revision.note) for revision, _ in history.revisions(99)]


@pytest.mark.parametrize("remembered", [0, 2], ids=["all of them", "the last ones"])
def test_what_only_lost_records_named_is_kept_and_listed(tmp_path: Path, remembered: int) -> None:
    folder, saved = tmp_path / "state", tmp_path / "saved"
    folder.mkdir()
    history = opened(folder)
    declare(history, *range(1, remembered + 1))
    save_records(folder, saved)
    declare(history, *range(remembered + 1, len(MANY) + 1))
    history.close()
    lose_records(folder, saved if remembered else None)

    again = opened(folder)
    notes = ["edit" if number <= remembered else UNKNOWN_NOTE for number in reversed(MANY)]
    assert told(again) == list(zip(reversed(MANY), notes, strict=True))
    assert again.manifest_of(1) is not None
    (newest, _), *_ = again.revisions(1)
    assert newest.author == ""
    for _ in range(3):
        again.tidy()
    assert kept(again, *MANY) == [*MANY]
    again.close()


def test_records_that_go_while_the_agent_runs_are_made_again_before_bytes_go(
    tmp_path: Path,
) -> None:
    history = opened(tmp_path)
    declare(history, *MANY)
    history._records.close()
    lose_records(tmp_path)
    for _ in range(3):
        history.tidy()
    assert kept(history, *MANY) == [*MANY]
    assert [number for number, _ in told(history)] == [*reversed(MANY)]
    history.close()


def test_what_was_forgotten_on_purpose_stays_forgotten(tmp_path: Path) -> None:
    history = opened(tmp_path, history_revisions=2)
    declare(history, *MANY)
    for _ in range(2):
        history.tidy()
    history.close()
    again = opened(tmp_path, history_revisions=2)
    assert told(again) == [(12, "edit"), (11, "edit")]
    again.tidy()
    assert kept(again, *MANY) == [10, 11, 12]
    again.close()


def test_nothing_is_dropped_while_the_records_cant_be_used(tmp_path: Path) -> None:
    history = opened(tmp_path)
    declare(history, *MANY)
    history.close()
    lose_records(tmp_path)
    (tmp_path / "records.db").mkdir()
    again = opened(tmp_path)
    assert again.standing().revision.number == len(MANY), "where it stands does not depend on them"
    with pytest.raises(DiskError, match="records"):
        again.tidy()
    (tmp_path / "records.db").rmdir()
    for _ in range(3):
        again.tidy()
    assert kept(again, *MANY) == [*MANY]
    again.close()


@pytest.mark.parametrize("restart", [True, False])
def test_the_ledger_forgets_only_what_the_records_have_durably(
    tmp_path: Path, restart: bool
) -> None:
    """A ledger that has grown is compacted; while the records can't be used it is not."""
    history = opened(tmp_path)
    declare(history, *MANY)
    for number in range(10):
        history.stand(StandingChange(notes={"big": f"{number}" * (COMPACT_BYTES // 8)}))
    history.stand(StandingChange(notes={"big": ""}))
    grown = (tmp_path / "ledger").stat().st_size
    history._records.close()
    lose_records(tmp_path)
    (tmp_path / "records.db").mkdir()
    if restart:
        history.close()
        history = opened(tmp_path)
    else:
        with pytest.raises(DiskError):
            history.tidy()
    assert (tmp_path / "ledger").stat().st_size == grown
    (tmp_path / "records.db").rmdir()
    history.tidy()
    assert (tmp_path / "ledger").stat().st_size < grown / 100
    history.tidy()
    assert kept(history, *MANY) == [*MANY]
    assert [number for number, _ in told(history)] == [*reversed(MANY)]
    history.close()


def test_a_revision_that_came_as_a_manifest_is_not_made_up(tmp_path: Path) -> None:
    history = opened(tmp_path)
    declare(history, 1)
    manifest = history.standing().manifest.after([Change(PATH, item(1)[0], item(9)[0])])
    own = RevisionId(1, 9, manifest.digest)
    history.stand(StandingChange(own, manifest=manifest, txid=9), [item(9)])
    declare(history, 10)
    history.close()
    lose_records(tmp_path)
    again = opened(tmp_path)
    assert [number for number, _ in told(again)] == [10, 1]
    (newest, _), (oldest, _) = again.revisions(9)
    assert newest.parent == own
    assert oldest.parent == REVISION_ZERO
    again.close()
