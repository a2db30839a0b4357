"""While no agent runs, commands answer from this node's files, say so, exit 9 and change nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.agent.wiring import tools
from syncagent.agent.wiring.clock import SystemClock
from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import RefusedError
from syncagent.core.intent import Keep
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Entry, Manifest
from syncagent.core.revision import REVISION_ZERO, Revision, RevisionId, Token
from syncagent.core.settings import Limits
from syncagent.disk.node_disk import NodeDisk
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.node_history import NodeHistory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.fakes.desk import FakeDesk
    from tests.fakes.terminal import Call, CommandLine

SYNAPSE = TreeName("synapse")
XMLNS = "http://ws.apache.org/ns/synapse"
FIRST = f'<sequence xmlns="{XMLNS}" name="main"><log/></sequence>\n'.encode()
SECOND = f'<sequence xmlns="{XMLNS}" name="main"><drop/></sequence>\n'.encode()
GONE = f'<sequence xmlns="{XMLNS}" name="gone"/>\n'.encode()
EDITED = f'<sequence xmlns="{XMLNS}" name="main"><respond/></sequence>\n'.encode()
REFUSED = b"<broken"


def entry(content: bytes) -> Entry:
    return Entry(digest_of(content), len(content))


def at(path: str) -> ArtifactPath:
    return ArtifactPath(SYNAPSE, path)


@pytest.fixture
def history(call: CommandLine) -> Iterator[NodeHistory]:
    """A node that stands on revision 2, with an edit and a deletion since, and one kept file.

    The history is still open, as by an agent that does not answer: its records are in the log.
    """
    fs, clock = OsFS(), SystemClock()
    guard = FileGuard(fs, str(call.state_dir), "apim-prod")
    guard.enrol()
    guard.admit(Token("apim-prod", 3, NodeName("gw-1"), "i1"))
    history = NodeHistory(fs, str(call.state_dir), wall=clock.wall)
    history.load()
    known = Manifest()
    parent = REVISION_ZERO
    for number, changes in enumerate(
        (
            (
                Change(at("sequences/main.xml"), None, entry(FIRST)),
                Change(at("sequences/gone.xml"), None, entry(GONE)),
            ),
            (Change(at("sequences/main.xml"), entry(FIRST), entry(SECOND)),),
        ),
        start=1,
    ):
        known = known.after(changes)
        own = RevisionId(3, number, known.digest)
        blobs = [(entry(content), content) for content in (FIRST, SECOND, GONE)]
        history.stand(StandingChange(own, changes=changes), blobs)
        history.record(Revision(own, parent, changes, NodeName("gw-1"), "edit"), clock.wall())
        parent = own
    folder = call.tree / "sequences"
    folder.mkdir()
    (folder / "main.xml").write_bytes(EDITED)
    settings = tools.load_settings(call.settings)
    disk = NodeDisk(fs, settings.trees, Limits(), str(call.state_dir), clock)
    disk.keep(at("sequences/main.xml"), REFUSED, Keep.REFUSED, "line 1: not well formed")
    yield history
    history.close()


def everything(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return each file's time and bytes, and each folder's time."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in [folder, *folder.rglob("*")]
        # SQLite's index of its log is memory that processes share, not a file that anybody keeps.
        if not path.name.endswith(("-shm", ".sock"))
    }


@pytest.fixture
def ask(call: CommandLine, history: NodeHistory, tmp_path: Path) -> Iterator[CommandLine]:
    """A node without an agent; whatever was asked, its files are as they were."""
    assert history.standing().revision.number == 2
    before = everything(tmp_path)
    yield call
    assert everything(tmp_path) == before


def from_files(answer: Call) -> object:
    """Return what was answered in JSON, having looked at how."""
    first, second = answer.err.splitlines()[:2]
    assert answer.code == 9
    assert first.startswith("daemon not running, showing state of ")
    assert second == "  next: syncagent run"
    return answer.json


@pytest.fixture(autouse=True)
def _as_of(call: CommandLine) -> None:
    call.offline = {"as_of": "2026-11-21T12:03:10Z", "nodes": []}


def test_artifacts_are_listed_by_the_names_that_they_declare(ask: CommandLine) -> None:
    rows = from_files(ask("get", "artifacts", "-o", "json"))
    assert isinstance(rows, list)
    assert [(row["name"], row["kind"], row["state"]) for row in rows] == [
        ("gone", "sequence", "Unknown"),
        ("main", "sequence", "Unknown"),
    ]


def test_revisions_are_listed_also_from_the_log_of_an_agent_that_hangs(ask: CommandLine) -> None:
    rows = from_files(ask("get", "revisions", "-o", "json"))
    assert isinstance(rows, list)
    assert [(row["number"], row["added"], row["updated"]) for row in rows] == [(2, 0, 1), (1, 2, 0)]
    limited = from_files(ask("get", "revisions", "--limit", "1", "-o", "json"))
    assert isinstance(limited, list)
    assert len(limited) == 1


def test_revisions_are_listed_after_an_agent_that_ended_in_order(
    call: CommandLine, history: NodeHistory
) -> None:
    history.close()
    before = everything(call.state_dir)
    assert not (call.state_dir / "records.db-wal").exists()
    rows = from_files(call("get", "revisions", "-o", "json"))
    assert isinstance(rows, list)
    assert len(rows) == 2
    assert everything(call.state_dir) == before


@pytest.mark.parametrize(("what", "count"), [("quarantine", 1), ("conflicts", 0)])
def test_what_was_kept_is_listed(ask: CommandLine, what: str, count: int) -> None:
    rows = from_files(ask("get", what, "-o", "json"))
    assert isinstance(rows, list)
    assert [(row["node"], row["path"]) for row in rows] == [("gw-1", "sequences/main.xml")] * count


def test_an_artifact_is_described_with_what_is_there_now(ask: CommandLine) -> None:
    row = from_files(ask("describe", "sequence/main", "-o", "json"))
    assert isinstance(row, dict)
    assert (row["revision"], row["digest"]) == (2, digest_of(SECOND))
    assert row["nodes"][0]["digest"] == digest_of(EDITED)


def test_what_differs_here_is_shown_line_by_line(ask: CommandLine) -> None:
    answer = from_files(ask("diff", "-o", "json"))
    assert isinstance(answer, dict)
    found = {row["path"]: row for row in answer["changes"]}
    assert {path: row["change"] for path, row in found.items()} == {
        "sequences/gone.xml": "delete",
        "sequences/main.xml": "update",
    }
    text = "\n".join(found["sequences/main.xml"]["text"])
    assert "-" + SECOND.decode().strip() in text
    assert "+" + EDITED.decode().strip() in text


def test_two_revisions_are_compared(ask: CommandLine) -> None:
    answer = from_files(ask("diff", "1", "2", "-o", "json"))
    assert isinstance(answer, dict)
    assert [(row["change"], row["after"]) for row in answer["changes"]] == [
        ("update", digest_of(SECOND))
    ]


@pytest.mark.parametrize("what", ["held", "refused"])
def test_what_no_file_tells_is_not_answered(ask: CommandLine, what: str) -> None:
    answer = ask("get", what, "-o", "json")
    assert (answer.code, answer.out) == (9, "")
    assert answer.err.splitlines() == [
        f"error: no agent runs here, and what is {what} is in no file: a running agent knows",
        "  next: start it: syncagent run",
    ]


@pytest.mark.usefixtures("history")
def test_a_tree_that_is_not_there_is_not_called_empty(call: CommandLine, tmp_path: Path) -> None:
    call.tree.rename(tmp_path / "elsewhere")
    answer = call("diff", "-o", "json")
    assert (answer.code, answer.out) == (9, "")
    assert "tree synapse can't be looked at" in answer.err


@pytest.mark.parametrize("arguments", [["get", "artifacts"], ["describe", "api/x"], ["diff"]])
def test_without_files_nothing_is_said(call: CommandLine, arguments: list[str]) -> None:
    answer = call(*arguments)
    assert (answer.code, answer.out) == (9, "")
    assert "its files say nothing" in answer.err


@pytest.mark.usefixtures("history")
def test_an_agent_that_runs_is_asked_and_its_no_counts(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["describe"] = RefusedError("no artifact 'api/x' is known")
    assert call("describe", "api/x").code == 6
