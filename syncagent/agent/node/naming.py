"""Whose a saying of the runtime is: it names a file, or the artifact that the file declares. Pure.

A name that is not its file's is remembered while its artifact is there, and after that until the
runtime has confirmed that it is gone. What more than one may be meant by means none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import stem_of
from syncagent.core.runtime import Saying

if TYPE_CHECKING:
    from syncagent.agent.node.outcomes import Outcomes
    from syncagent.core.artifact import ArtifactPath, Kind
    from syncagent.core.runtime import Heard


class Naming:
    """Finds the artifact that is meant."""

    def __init__(self, outcomes: Outcomes) -> None:
        self._outcomes = outcomes
        self._observing = outcomes.observing
        self._names: dict[ArtifactPath, str] = {}
        """Names that are not their file's; of what is gone too, until that is confirmed."""

    def name_of(self, path: ArtifactPath) -> str:
        """Return the name of the artifact that is, or was last, at `path`."""
        examined = self._observing.examined(path)
        name = examined.facts.name if examined is not None else ""
        if not name:
            return self._names.get(path) or stem_of(path.path)
        if name != stem_of(path.path):
            self._names[path] = name
        else:
            self._names.pop(path, None)
        return name

    def forget(self, path: ArtifactPath) -> None:
        """The artifact at `path` is gone and nobody asks for its name any more."""
        self._names.pop(path, None)

    def whose(self, heard: Heard) -> ArtifactPath | None:
        """Return the artifact that is meant; None if none is, or more than one may be."""
        if heard.path is not None:
            return heard.path if heard.path.tree in self._observing.views else None
        if not heard.name:
            return self._only([path for path in self._outcomes.waits if self._may(path, heard)])
        if heard.kind is None:
            return None
        going = [
            path
            for path, gone in self._outcomes.going.items()
            if (gone.kind, gone.name) == (heard.kind, heard.name)
        ]
        if going and heard.saying is Saying.UNDEPLOYED:
            return self._only(going)
        index, trees = self._observing.index, self._observing.views
        named = [path for tree in trees for path in index.named(tree, heard.kind, heard.name)]
        if heard.saying is Saying.UNDEPLOYED:
            former = self._known_as(heard.kind, heard.name)
            # Another file may have the name by now: what it let go of was in the one that is gone.
            gone = {path.tree: path for path in former if path.path not in trees[path.tree].files}
            named = [gone.get(path.tree, path) for path in named] or former
        return self._only(named)

    def _known_as(self, kind: Kind, name: str) -> list[ArtifactPath]:
        """Return what had this name when it was last there."""
        return [
            path
            for path in self._outcomes.known
            if self._names.get(path, stem_of(path.path)) == name
            and self._outcomes.kind(path) is kind
        ]

    def _may(self, path: ArtifactPath, heard: Heard) -> bool:
        """Tell whether a failure that names nothing may be that of `path`."""
        return heard.kind is None or self._outcomes.kind(path) is heard.kind

    @staticmethod
    def _only(found: list[ArtifactPath]) -> ArtifactPath | None:
        return found[0] if len(found) == 1 else None
