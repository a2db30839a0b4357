"""What a node takes from the share: the files of its trees, the packs of its keeper, nothing else."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.hands.share import ShareReading
from syncagent.agent.share_effects import ReadShare
from syncagent.agent.wiring.keeper_place import keeper_folder
from syncagent.agent.wiring.share_reader import ShareReader, serve
from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.errors import DiskError
from syncagent.core.ledger import StandingChange
from syncagent.core.revision import Token
from syncagent.core.settings import Settings, SharedSettings, TreeSettings
from syncagent.core.wire.packing import split_batch
from syncagent.disk.mark import Mark, write_mark
from syncagent.fsio import O_FOLDER, OsFS
from syncagent.history.node_history import NodeHistory
from syncagent.history.portable import begin_reign
from tests.fakes.agent_bench import T, at, entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from syncagent.agent.results import ShareRead
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.manifest import Entry

A, B, C = b"<a/>", b"<b/>", b"<c/>"


def wanted(*contents: bytes) -> tuple[tuple[ArtifactPath, Entry], ...]:
    return tuple((at(f"api/{c.strip(b'</>').decode()}.xml"), entry(c)) for c in contents)


def contents(result: ShareRead) -> list[bytes]:
    return [c for blobs in result.blobs for c in split_batch(blobs.entries, blobs.frame)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A node whose share has A in its tree and B in the packs of its keeper."""
    share = tmp_path / "mnt" / "synapse"
    (share / "api").mkdir(parents=True)
    (share / "api/a.xml").write_bytes(A)
    fs = OsFS()
    fd = fs.open(str(share), O_FOLDER)
    write_mark(fs, fd, Mark(str(uuid.uuid4()), "c", T))
    fs.close(fd)
    tree = TreeSettings(T, TreeKind.SYNAPSE, str(tmp_path / "tree"), share=str(share))
    settings = Settings(
        "c", NodeName("gw-1"), str(tmp_path), (tree,), mode="shared", shared=SharedSettings()
    )
    folder = keeper_folder(fs, settings.share_trees)
    reign = begin_reign(fs, folder, Token("c", 1, NodeName("gw-2"), "start"))
    history = NodeHistory(fs, reign.folder, wall=lambda: 0.0, records=str(tmp_path))
    history.load()
    history.stand(StandingChange(), [(entry(B), B)])
    history.close()
    return settings


def test_what_the_share_has_comes_from_its_tree_and_its_keepers_packs(settings: Settings) -> None:
    result = ShareReading(ShareReader(settings).read).do(ReadShare(7, wanted(A, B, C)))
    assert contents(result) == [A, B]
    assert (result.txid, result.why) == (7, "")


def test_a_share_without_its_mark_has_nothing(settings: Settings) -> None:
    (Path(settings.trees[0].share) / ".syncagent-root").unlink()
    said = io.BytesIO()
    serve(settings, wanted(A), said)
    assert A not in said.getvalue()


def test_bytes_that_are_not_what_was_asked_for_stay_where_they_are(settings: Settings) -> None:
    (Path(settings.trees[0].share) / "api/a.xml").write_bytes(b"<other/>")
    assert list(ShareReader(settings).read(wanted(A))) == []


def test_a_share_that_fails_gives_what_came_before_and_says_why() -> None:
    def read(rows: Sequence[tuple[ArtifactPath, Entry]]) -> Iterator[tuple[Entry, bytes]]:
        yield rows[0][1], A
        raise DiskError("the share does not answer")

    result = ShareReading(read).do(ReadShare(7, wanted(A, B)))
    assert contents(result) == [A]
    assert result.why == "the share does not answer"


def test_a_tree_that_is_not_on_the_share_is_not_looked_for(settings: Settings) -> None:
    elsewhere = at("api/a.xml", TreeName("other"))
    assert list(ShareReader(settings).read([(elsewhere, entry(C))])) == []
