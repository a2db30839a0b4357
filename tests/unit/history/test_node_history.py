"""Ledger, packs and records together: the order of flushes, tidying, a fake file system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyfakefs.fake_filesystem_unittest import Patcher

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.ledger import Standing, StandingChange
from syncagent.core.manifest import Entry
from syncagent.core.revision import Revision, RevisionId
from syncagent.core.settings import Limits
from syncagent.core.wire.packing import compress_batch
from syncagent.fsio import OsFS
from syncagent.history.blobs import BlobStore
from syncagent.history.ledger import COMPACT_BYTES, peek
from syncagent.history.node_history import NodeHistory

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SYNAPSE = TreeName("synapse")
DAY_S = 86_400.0


class TracingFS(OsFS):
    """An `OsFS` that notes which files are written and flushed, in order."""

    __slots__ = ("names", "trace")

    def __init__(self) -> None:
        super().__init__()
        self.trace: list[str] = []
        self.names: dict[int, str] = {}
        opening = self.open

        def noted_open(path: str, *args: int, **more: int) -> int:
            fd = opening(path, *args, **more)
            self.names[fd] = path.rpartition("/")[2]
            return fd

        self.open = noted_open
        for name in ("write", "fsync", "fdatasync"):
            setattr(self, name, self._noted(name, getattr(self, name)))

    def _noted(self, name: str, call: Callable[..., object]) -> Callable[..., object]:
        def noted(fd: int, *args: object) -> object:
            self.trace.append(f"{name} {self.names[fd]}")
            return call(fd, *args)

        return noted


def item(number: int) -> tuple[Entry, bytes]:
    content = b"<api name='%d'/>" % number
    return Entry(digest_of(content), len(content)), content


def edit(standing: Standing, number: int) -> Revision:
    """The revision that gives the only artifact its next bytes."""
    path = ArtifactPath(SYNAPSE, "api/a.xml")
    change = Change(path, standing.manifest.get(path), item(number)[0])
    digest = standing.manifest.after([change]).digest
    own = RevisionId(1, standing.revision.number + 1, digest)
    return Revision(own, standing.revision, (change,), NodeName("gw-1"))


def declare(history: NodeHistory, count: int, at: Callable[[int], float] = float) -> Standing:
    standing = history.load()
    for _ in range(count):
        number = standing.revision.number + 1
        revision = edit(standing, number)
        change = StandingChange(revision.id, revision.changes)
        history.stand(change, [item(number)])
        history.record(revision, at(number))
        standing = standing.after(change)
    return standing


@pytest.mark.parametrize(
    ("act", "trace"),
    [
        pytest.param(
            lambda history, revision: history.stand(StandingChange(txid=1)),
            ["write ledger", "fdatasync ledger"],
            id="a note: one flush",
        ),
        pytest.param(
            lambda history, revision: history.stand(
                StandingChange(revision.id, revision.changes), [item(1)]
            ),
            ["write 000001.pack", "fdatasync 000001.pack", "write ledger", "fdatasync ledger"],
            id="a revision with its blob: two flushes, the blob's first",
        ),
        pytest.param(
            lambda history, revision: history.add_blobs(*compress_batch([item(1)])),
            ["write 000001.pack"],
            id="a batch from the wire: none",
        ),
    ],
)
def test_how_often_the_disk_is_flushed(
    tmp_path: Path, act: Callable[[NodeHistory, Revision], None], trace: list[str]
) -> None:
    fs = TracingFS()
    history = NodeHistory(fs, str(tmp_path), wall=lambda: 0.0)
    revision = edit(history.load(), 1)
    fs.trace.clear()
    act(history, revision)
    assert fs.trace == trace
    history.close()


def test_old_revisions_and_their_blobs_are_forgotten(tmp_path: Path) -> None:
    limits = Limits(history_revisions=5, history_s=30 * DAY_S)
    history = NodeHistory(OsFS(), str(tmp_path), wall=lambda: 45 * DAY_S, limits=limits)
    standing = declare(history, 14, at=lambda number: (number * 3.0) * DAY_S)
    history._blobs = BlobStore(OsFS(), str(tmp_path / "blobs"), pack_bytes=1)
    history._blobs.load()  # a pack of more than one byte is full: begins a new one
    history.tidy()
    assert [revision.id.number for revision, _ in history.revisions(99)] == [14, 13, 12, 11, 10]
    kept = [number for number in range(1, 15) if history.has(item(number)[0].digest)]
    assert kept == [9, 10, 11, 12, 13, 14]
    assert history.blob(item(9)[0].digest) == item(9)[1], "revision 10 replaced it"
    assert history.manifest_of(9) is not None
    assert history.manifest_of(8) is None
    history.close()
    again = NodeHistory(OsFS(), str(tmp_path), wall=lambda: 45 * DAY_S, limits=limits)
    assert again.load() == standing
    assert again.blob(item(14)[0].digest) == item(14)[1]
    again.close()


def test_what_is_being_prepared_is_kept_when_asked_for(tmp_path: Path) -> None:
    history = NodeHistory(OsFS(), str(tmp_path), wall=lambda: 0.0)
    declare(history, 1)
    history.add_blobs(*compress_batch([item(77)]))
    history.stand(StandingChange(txid=1))
    history._blobs = BlobStore(OsFS(), str(tmp_path / "blobs"), pack_bytes=1)
    history._blobs.load()
    history.tidy(also=[item(77)[0].digest])
    assert history.blob(item(77)[0].digest) == item(77)[1]
    history.tidy()
    history.tidy()
    assert not history.has(item(77)[0].digest)
    assert history.has(item(1)[0].digest)
    history.close()


def test_tidying_compacts_a_ledger_that_has_grown(tmp_path: Path) -> None:
    history = NodeHistory(OsFS(), str(tmp_path), wall=lambda: 0.0)
    standing = declare(history, 2)
    for number in range(10):
        history.stand(StandingChange(notes={"big": f"{number}" * (COMPACT_BYTES // 8)}))
    history.stand(StandingChange(notes={"big": ""}))
    grown = (tmp_path / "ledger").stat().st_size
    history.tidy()
    assert (tmp_path / "ledger").stat().st_size < grown / 100
    assert history.standing() == standing
    history.close()
    assert peek(OsFS(), str(tmp_path / "ledger")) == standing


def test_a_manifest_that_the_records_get_wrong_is_not_found(tmp_path: Path) -> None:
    history = NodeHistory(OsFS(), str(tmp_path), wall=lambda: 0.0)
    standing = declare(history, 3)
    wrong = edit(Standing(), 50)
    lie = Revision(
        RevisionId(1, 3, standing.revision.digest),
        RevisionId(1, 2, digest_of(b"something")),
        wrong.changes,
        NodeName("gw-1"),
    )
    history.record(lie, 0.0)
    assert history.manifest_of(3) == standing.manifest
    assert history.manifest_of(2) is None
    history.close()


def test_it_works_on_a_fake_file_system() -> None:
    with Patcher() as patcher:
        assert patcher.fs is not None
        patcher.fs.create_dir("/state")
        fs = OsFS()
        history = NodeHistory(fs, "/state", wall=lambda: 0.0)
        revision = edit(history.load(), 1)
        history.stand(StandingChange(revision.id, revision.changes), [item(1)])
        history.close()
        again = NodeHistory(fs, "/state", wall=lambda: 0.0)
        assert again.load().revision == revision.id
        assert again.blob(item(1)[0].digest) == item(1)[1]
        again.close()
