"""The order in which a commit makes its steps live: what is used comes before what uses it.

Files of no kind first, then the kinds by dependency, root files last; then deletions, reversed.
One exception: a rename. If the old file goes long after the new one came, a runtime that looks in
between refuses the new file as a duplicate and then undeploys the old one, and the artifact is
lost; so the deletion follows its creation at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import SHARED_KEY_SPACE, ArtifactPath, Kind, TreeName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from syncagent.core.digest import Digest
    from syncagent.core.intent import Step

KIND_ORDER: tuple[Kind, ...] = (
    Kind.FILE,
    Kind.IMPORT,
    Kind.LOCAL_ENTRY,
    Kind.ENDPOINT,
    Kind.TEMPLATE,
    Kind.SEQUENCE,
    Kind.MESSAGE_STORE,
    Kind.MESSAGE_PROCESSOR,
    Kind.TASK,
    Kind.EVENT_SOURCE,
    Kind.PRIORITY_EXECUTOR,
    Kind.PROXY_SERVICE,
    Kind.INBOUND_ENDPOINT,
    Kind.API,
    Kind.PLAN,
    Kind.ROOT,
)
"""Kinds from what others use to what uses others."""

_RANK = {kind: rank for rank, kind in enumerate(KIND_ORDER)}
assert len(_RANK) == len(Kind), "every kind has its place"

_Identity = tuple[TreeName, Kind | None, str]
"""What makes two files one artifact: tree, kind (None: the shared key space), name."""


def order_steps(
    steps: Iterable[Step],
    kinds: Callable[[ArtifactPath], Kind],
    names: Callable[[ArtifactPath, Digest], str | None],
) -> tuple[Step, ...]:
    """Return `steps` in the order in which to do them.

    `names` gives the name that the artifact at a path declares in the bytes of a digest, None or
    empty if it has none or it isn't known: then the step is never taken for half of a rename.
    """
    puts: list[Step] = []
    deletions: list[Step] = []
    for step in steps:
        (deletions if step.after is None else puts).append(step)

    def place(step: Step) -> tuple[int, ArtifactPath]:
        return _RANK[kinds(step.path)], step.path

    puts.sort(key=place)
    deletions.sort(key=place, reverse=True)
    leaving = _leaving(deletions, kinds, names)
    if not leaving:
        return (*puts, *deletions)
    ordered: list[Step] = []
    paired: set[ArtifactPath] = set()
    for put in puts:
        ordered.append(put)
        assert put.after is not None
        identity = _identity(put.path, kinds(put.path), names(put.path, put.after.digest))
        for deletion in leaving.pop(identity, ()) if identity else ():
            ordered.append(deletion)
            paired.add(deletion.path)
    ordered.extend(deletion for deletion in deletions if deletion.path not in paired)
    return tuple(ordered)


def _leaving(
    deletions: Iterable[Step],
    kinds: Callable[[ArtifactPath], Kind],
    names: Callable[[ArtifactPath, Digest], str | None],
) -> dict[_Identity, list[Step]]:
    """Return the deletions by the artifact that goes with each; nameless ones are left out."""
    leaving: dict[_Identity, list[Step]] = {}
    for deletion in deletions:
        assert deletion.expected is not None, "a step that does nothing can't be made"
        name = names(deletion.path, deletion.expected)
        identity = _identity(deletion.path, kinds(deletion.path), name)
        if identity is not None:
            leaving.setdefault(identity, []).append(deletion)
    return leaving


def _identity(path: ArtifactPath, kind: Kind, name: str | None) -> _Identity | None:
    """Return what the runtime knows the artifact by; the shared key space counts as one kind."""
    if not name:
        return None
    return path.tree, None if kind in SHARED_KEY_SPACE else kind, name
