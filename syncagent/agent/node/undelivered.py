"""What this node declared as manager and nobody else has.

It may be deposed before it has sent a revision, and then follow a line without it. Where any
node may write, that is like an edit of a worker's: what the other line has left as it was
is proposed to whoever leads, and only where both changed the same artifact is it kept as a conflict.
To tell the two apart, what was there before is noted with each revision, in the same record of the
ledger; what was declared before that and not sent either is noted with it.

A note does not say that its revision was never sent. A node that was not restarted since knows it
(`State.alone`); otherwise the numbers of the revisions have to show that it is on no other line (see
`planning`). Where they leave that open, because the other line has gone on for longer, or where
the note would be too long, what is lost is kept.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import Digest
from syncagent.core.entry import Entry
from syncagent.core.settings import Writers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from syncagent.agent.node.state import State
    from syncagent.core.manifest import Manifest
    from syncagent.core.revision import Revision, RevisionId

NOTE = "undelivered"
ROWS_MAX = 200
"""More rows are too long a note: they are written again with every revision until one is sent."""

Rows = dict[ArtifactPath, Entry | None]
Row = tuple[str, str, str, int]


class Undelivered:
    """Keeps the note while this node leads."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._before: Rows = {}
        self._newest: RevisionId | None = None

    def noted(self, revision: Revision) -> Mapping[str, str]:
        """Return the note that belongs to the record of a revision that is declared now."""
        self._state.alone = revision.id
        if self._state.settings.writers is not Writers.ANY:
            return {}
        follows = self._before if revision.parent == self._newest else {}
        self._before = {change.path: change.before for change in revision.changes} | follows
        self._newest = revision.id
        fits = len(self._before) <= ROWS_MAX
        return {NOTE: _write(revision.id, self._before) if fits else ""}

    def sent(self) -> None:
        """Others have what this node stands on, or may have it from now on."""
        self._before, self._state.alone = {}, None

    def stop(self) -> None:
        """This node leads no more. What it declares when it does again is noted by itself."""
        self._before = {}


def forked(state: State) -> Manifest:
    """Return this node's rows as they were before what it stands on, which no other line has."""
    note, base = json.loads(state.standing.notes.get(NOTE) or "{}"), state.base
    noted = note.get("revision") == list(state.standing.revision)
    if state.settings.writers is not Writers.ANY or not noted:
        return base
    before = ((path, row) for path, row in _read(note["before"]) if base.get(path) != row)
    return base.after(tuple(Change(path, base.get(path), row) for path, row in before))


def _write(revision: RevisionId, before: Rows) -> str:
    rows: list[Row] = [
        (*path, *((row.digest, row.size) if row is not None else ("", 0)))
        for path, row in sorted(before.items())
    ]
    return json.dumps({"revision": list(revision), "before": rows})


def _read(rows: list[Row]) -> Iterator[tuple[ArtifactPath, Entry | None]]:
    for tree, path, digest, size in rows:
        entry = Entry(Digest(digest), size) if digest else None
        yield ArtifactPath(TreeName(tree), path), entry
