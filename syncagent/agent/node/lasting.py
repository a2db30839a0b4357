"""What stays in the revision although the trees hold something else by now: its names still count.

A refused, held or waiting artifact keeps its last version in the manifest. The trees may use the
names of that version for another file already (a rename of which the deletion is held, say); as
long as it stays, that other file has to wait, or the revision would name one thing twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Recall
from syncagent.core.artifact import ArtifactPath, Kind, kind_of, stem_of
from syncagent.core.crosscheck import Index
from syncagent.core.verdict import Facts, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.agent.results import Recalled
    from syncagent.core.change import Change
    from syncagent.core.digest import Digest
    from syncagent.core.entry import Entry
    from syncagent.core.verdict import Problem


NAMELESS = frozenset({Kind.FILE, Kind.ROOT})
KNOWN_MAX = 10_000
"""Facts of more artifacts than these are forgotten, and asked for again."""


class Lasting:
    """Knows what the lasting artifacts declare, asking a hand for what it does not know."""

    def __init__(self, state: State, observing: Observing) -> None:
        self._state = state
        self._observing = observing
        self._known: dict[ArtifactPath, tuple[Digest, Facts]] = {}
        self._asked: set[tuple[ArtifactPath, Digest]] = set()

    def recalled(self, result: Recalled, now: float) -> None:
        """Take what artifacts of the history declare."""
        for path, digest, facts in result.facts:
            self._asked.discard((path, digest))
            if not facts.name and self._kind(path) not in NAMELESS:
                # Its bytes never came here: the runtime names a file after its artifact.
                facts = Facts(name=stem_of(path.path))  # noqa: PLW2901 - what is known instead
            self._known[path] = (digest, facts)

    def clashes(
        self, changes: Sequence[Change], facts: Mapping[ArtifactPath, Facts]
    ) -> dict[ArtifactPath, Problem] | None:
        """Return the changes that claim what lasts, each with its problem.

        None: not known yet, ask again. `facts` are those of what the changes put.
        """
        refused: dict[ArtifactPath, Problem] = {}
        while True:
            moving = [change.path for change in changes if change.path not in refused]
            puts = [path for path in moving if path in facts]
            lasting = self._rows({path.tree for path in puts}, set(moving))
            if not self._all_known(lasting):
                return None
            fresh = self._judge(lasting, puts, facts)
            if not fresh:
                return refused
            # What is refused now lasts itself.
            refused.update(fresh)

    def _rows(self, trees: set[str], moving: set[ArtifactPath]) -> dict[ArtifactPath, Entry]:
        """Return what stays as it is in the revision while the trees differ there."""
        rows = self._state.rows
        found: dict[ArtifactPath, Entry] = {}
        for name, view in self._observing.views.items():
            if name not in trees:
                continue
            exempt = {path.path for path in self._state.exemptions if path.tree == name}
            for path in sorted(view.unlike_base() | exempt):
                where = ArtifactPath(name, path)
                entry = rows.get(where)
                if entry is not None and where not in moving:
                    found[where] = entry
        return found

    def _all_known(self, lasting: Mapping[ArtifactPath, Entry]) -> bool:
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        unknown = [
            (path, entry.digest)
            for path, entry in lasting.items()
            if self._known.get(path, ("", None))[0] != entry.digest
        ]
        wanted = [row for row in unknown if row not in self._asked]
        if wanted:
            self._asked.update(wanted)
            self._state.do(Recall(tuple(wanted)))
        return not unknown

    def _judge(
        self,
        lasting: Mapping[ArtifactPath, Entry],
        puts: Sequence[ArtifactPath],
        facts: Mapping[ArtifactPath, Facts],
    ) -> dict[ArtifactPath, Problem]:
        if not lasting:
            return {}
        index = Index(settled=lasting.keys())
        for path in lasting:
            index.put(path, self._kind(path), self._known[path][1])
        for path in puts:
            index.put(path, self._kind(path), facts[path])
        return {
            path: problem
            for path in puts
            for problem in index.problems(path)
            if problem.severity is Severity.ERROR
        }

    def _kind(self, path: ArtifactPath) -> Kind:
        return kind_of(self._observing.views[path.tree].kind, path.path)
