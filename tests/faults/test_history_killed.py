"""A real process, really killed: what it said was done is there."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from syncagent.core.digest import digest_of
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.node_history import NodeHistory

if TYPE_CHECKING:
    from pathlib import Path

CHILD = """
import sys
from syncagent.core.artifact import ArtifactPath
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Entry
from syncagent.core.revision import Revision, RevisionId, Token
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.node_history import NodeHistory

fs, path = OsFS(), sys.argv[1]
guard = FileGuard(fs, path, "apim")
guard.enrol()
history = NodeHistory(fs, path, wall=lambda: 0.0)
standing = history.load()
while True:
    number = standing.revision.number + 1
    guard.admit(Token("apim", guard.state().epoch + 1, "gw-1", "x"))
    content = b"<api name='%d'/>" % number
    entry = Entry(digest_of(content), len(content))
    change = Change(ArtifactPath("synapse", f"api/{number}.xml"), None, entry)
    digest = standing.manifest.after([change]).digest
    revision = Revision(RevisionId(1, number, digest), standing.revision, (change,), "gw-1")
    step = StandingChange(revision.id, revision.changes)
    history.stand(step, [(entry, content)])
    print(number, guard.state().epoch, flush=True)
    history.record(revision, 0.0)
    standing = standing.after(step)
"""


@pytest.mark.parametrize("lines", [1, 2, 17, 60])
def test_what_was_said_to_be_done_is_there_after_kill_9(tmp_path: Path, lines: int) -> None:
    said = (0, 0)
    for _ in range(2):  # the second life builds on what the first one left
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        for _ in range(lines):
            number, epoch = child.stdout.readline().split()
            said = (int(number), int(epoch))
        child.kill()
        child.wait(10)
        rest = [line for line in child.stdout.read().splitlines() if line]
        child.stdout.close()
        if rest and len(rest[-1].split()) == 2:
            said = (int(rest[-1].split()[0]), int(rest[-1].split()[1]))
        history = NodeHistory(OsFS(), str(tmp_path), wall=lambda: 0.0)
        standing = history.load()
        assert said[0] <= standing.revision.number <= said[0] + 1
        assert said[1] <= FileGuard(OsFS(), str(tmp_path), "apim").state().epoch <= said[1] + 1
        for _, entry in standing.manifest:
            content = history.blob(entry.digest)
            assert content is not None
            assert digest_of(content) == entry.digest
        history.close()
