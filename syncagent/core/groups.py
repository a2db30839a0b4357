"""Groups: an artifact with what only it uses. A rollout stops, and goes on, by group.

The heads are the artifacts that nothing refers to (APIs, proxies, tasks, ...). What is used from
one group alone belongs to it; what several groups use heads a group of its own, together with
what only it uses. A group is named after its head.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

from syncagent.core.artifact import SHARED_KEY_SPACE, ArtifactPath, Kind, TreeName

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.verdict import Facts

GroupName = NewType("GroupName", str)
"""The path of a group's head, written `tree:path`."""

_Uses = dict[ArtifactPath, set[ArtifactPath]]
_MANY = 2


def groups(
    artifacts: Mapping[ArtifactPath, tuple[Kind, Facts]],
) -> Mapping[ArtifactPath, GroupName]:
    """Return the group of every artifact.

    >>> groups({})
    {}
    """
    uses = _uses(artifacts)
    used = {target for targets in uses.values() for target in targets}
    heads = {path for path in artifacts if path not in used}
    while True:
        reached = _reached(heads, uses)
        lost = [path for path in artifacts if path not in reached]
        shared = [path for path, by in reached.items() if len(by) >= _MANY]
        if lost:
            heads.update(_of_circles(lost, uses))
        elif shared:
            heads.update(_meeting_points(shared, uses, reached))
        else:
            return {path: GroupName(str(next(iter(by)))) for path, by in sorted(reached.items())}


def _uses(artifacts: Mapping[ArtifactPath, tuple[Kind, Facts]]) -> _Uses:
    """Return which artifacts each one refers to, as far as they are there."""
    where: dict[tuple[TreeName, Kind | None, str], ArtifactPath] = {}
    for path in sorted(artifacts, reverse=True):
        kind, facts = artifacts[path]
        if facts.name:
            where[path.tree, _space(kind), facts.name] = path
    found: _Uses = {}
    for path, (_, facts) in artifacts.items():
        targets = (where.get((path.tree, _space(use.kind), use.key)) for use in facts.references)
        found[path] = {target for target in targets if target is not None and target != path}
    return found


def _space(kind: Kind | None) -> Kind | None:
    return None if kind in SHARED_KEY_SPACE else kind


def _reached(heads: set[ArtifactPath], uses: _Uses) -> dict[ArtifactPath, set[ArtifactPath]]:
    """Return from which heads each artifact is reached without passing another head."""
    reached: dict[ArtifactPath, set[ArtifactPath]] = {head: {head} for head in heads}
    for head in sorted(heads):
        waiting = list(uses[head])
        while waiting:
            path = waiting.pop()
            by = reached.setdefault(path, set())
            # Two are as good as many, and keep a popular artifact from costing a walk per user.
            if path in heads or head in by or len(by) >= _MANY:
                continue
            by.add(head)
            waiting.extend(uses[path])
    return reached


def _of_circles(lost: list[ArtifactPath], uses: _Uses) -> set[ArtifactPath]:
    """Return, of artifacts that only refer to each other, the first by path for each circle."""
    found: set[ArtifactPath] = set()
    seen: set[ArtifactPath] = set()
    for path in sorted(lost):
        if path not in seen:
            found.add(path)
        waiting = [path]
        while waiting:
            one = waiting.pop()
            if one not in seen:
                seen.add(one)
                waiting.extend(uses[one])
    return found


def _meeting_points(
    shared: list[ArtifactPath], uses: _Uses, reached: dict[ArtifactPath, set[ArtifactPath]]
) -> set[ArtifactPath]:
    """Return those of `shared` where ways from different heads first come together."""
    inner = set(shared)
    below = {
        target
        for path in shared
        for target in uses[path]
        if target in inner and reached[target] == reached[path]
    }
    return (inner - below) or {min(inner)}
