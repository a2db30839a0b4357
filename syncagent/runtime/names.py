"""From what a runtime calls a file or an artifact to the artifact's path in a tree.

Runtimes name files by their canonical path, so each tree is known by its resolved root too. Roots are
resolved again, at most every `RESOLVE_S`, when a name fits none: a mount may have been late, or a link set
to another folder.

An agent beside the runtime in another container sees the same folders under other names. What lies
under no root is therefore also tried by the product's own folders (`synapse-configs/default/`, ...),
if the file would be one of ours there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from syncagent.core.artifact import (
    FOLDERS,
    ArtifactPath,
    Kind,
    TreeKind,
    kind_of,
    path_fault,
    tenant_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncagent.core.artifact import TreeName
    from syncagent.core.settings import TreeSettings

SUPER_TENANT = "-1234"
"""What Carbon logs for the super tenant; also empty or 0 before a tenant is set."""

RESOLVE_S = 10.0

_FOLDER_OF = {kind: folder for folder, kind in FOLDERS.items()}
_PLACES = re.compile(
    r"/(?:repository/tenants/(?P<tenant>\d+)/|repository/deployment/server/|repository/conf/|conf/)"
    r"(?:synapse-configs/default/|synapse-config/|(?P<plans>executionplans)/)(?P<rest>.+)"
)


class Names:
    """Maps names to artifacts.

    `resolve` returns a folder's canonical path (`mountpoints.canonical`), `now` is a clock that only rises (s).
    """

    def __init__(
        self,
        trees: Sequence[TreeSettings],
        resolve: Callable[[str], str],
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._trees = {tree.name: tree for tree in trees}
        self._resolve = resolve
        self._now = now
        self._roots: list[tuple[str, TreeSettings]] = []
        self._resolve_roots()

    def _resolve_roots(self) -> None:
        self._resolved_at = self._now()
        roots = {}
        for tree in self._trees.values():
            path = tree.path.rstrip("/")
            roots[f"{path}/"] = tree
            roots[f"{self._resolve(path)}/"] = tree
        self._roots = sorted(roots.items(), key=lambda each: -len(each[0]))

    def of_file(self, file: str) -> ArtifactPath | None:
        """Return the artifact at an absolute path; None if it lies in no tree.

        A log may hold anything: what no tree can hold (`..`, control characters) is none.
        """
        found = self._of_file(file)
        return found if found is not None and path_fault(found.path) is None else None

    def _of_file(self, file: str) -> ArtifactPath | None:
        found_in = self._in_roots(file)
        if found_in is None and self._now() - self._resolved_at >= RESOLVE_S:
            self._resolve_roots()
            found_in = self._in_roots(file)
        if found_in is not None:
            return found_in
        found = _PLACES.search(file)
        if found is None:
            return None
        kind = TreeKind.SIDDHI if found["plans"] else TreeKind.SYNAPSE
        tree_found = self._tree(kind, found["tenant"] or "")
        return ArtifactPath(tree_found.name, found["rest"]) if tree_found else None

    def _in_roots(self, file: str) -> ArtifactPath | None:
        for root, tree in self._roots:
            if file.startswith(root):
                return ArtifactPath(tree.name, file[len(root) :])
        return None

    def of_base(self, kind: Kind | None, base: str, tenant: str) -> ArtifactPath | None:
        """Return the artifact in a file of that name, in the folder of its kind.

        None if the kind has no folder, or no tree is the tenant's.
        """
        if "/" in base:
            return self.of_file(base)
        if path_fault(base) is not None:
            return None
        tree = self.tree_of(kind, tenant) if kind else None
        if kind is Kind.PLAN:
            return ArtifactPath(tree, base) if tree else None
        folder = _FOLDER_OF.get(kind) if kind else None
        return ArtifactPath(tree, f"{folder}/{base}") if tree and folder else None

    def tree_of(self, kind: Kind, tenant: str) -> TreeName | None:
        """Return the one tree that holds what is of `kind` and of a tenant, as the log calls it."""
        own = "" if tenant in {"", "0", SUPER_TENANT} else tenant
        tree = self._tree(TreeKind.SIDDHI if kind is Kind.PLAN else TreeKind.SYNAPSE, own)
        return tree.name if tree else None

    def kind(self, path: ArtifactPath) -> Kind:
        """Return the kind of the artifact at a path."""
        return kind_of(self._trees[path.tree].kind, path.path)

    def _tree(self, kind: TreeKind, tenant: str) -> TreeSettings | None:
        fitting = [
            tree
            for tree in self._trees.values()
            if tree.kind is kind and tenant_of(tree.name) == tenant
        ]
        return fitting[0] if len(fitting) == 1 else None
