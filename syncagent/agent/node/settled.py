"""Which paths have the older right to a name: what the index of names asks of the trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.agent.node.treeview import TreeView
    from syncagent.core.artifact import TreeName


class Settled:
    """The paths that keep a name which another claims too: those that are as base has them."""

    def __init__(self, views: Mapping[TreeName, TreeView]) -> None:
        self._views = views

    def __contains__(self, path: object) -> bool:
        """Tell whether a path is as base has it."""
        assert isinstance(path, ArtifactPath), "only paths are asked for"
        view = self._views[path.tree]
        return path.path in view.base and path.path not in view.differing
