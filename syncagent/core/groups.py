"""Groups: an artifact with what only it uses. A rollout stops, and goes on, by group.

The heads are the artifacts that nothing refers to (APIs, proxies, tasks, ...). What is used from
one group alone belongs to it; what several groups use heads a group of its own, together with
what only it uses. A group is named after its head.

So an artifact that is not in a circle is in the group of its users if they are all in one, else it heads
one. That is enough for a few (`groups_of`): it costs their users, not the tree.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType

from syncagent.core.artifact import SHARED_KEY_SPACE, ArtifactPath, Kind, TreeName

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from syncagent.core.verdict import Facts

GroupName = NewType("GroupName", str)
"""The path of a group's head, written `tree:path`."""

if TYPE_CHECKING:
    _Others = Callable[[ArtifactPath], Iterable[ArtifactPath]]
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


def groups_of(
    paths: Iterable[ArtifactPath], users: _Others, uses: _Others
) -> Mapping[ArtifactPath, GroupName] | None:
    """Return the groups of a few artifacts; None where circles are met: then only `groups` tells.

    `users` returns, for each artifact, the others that refer to it, `uses` those it refers to.

    >>> t = TreeName("synapse")
    >>> api, used = ArtifactPath(t, "api/a.xml"), ArtifactPath(t, "sequences/s.xml")
    >>> groups_of([used], lambda path: [api] if path == used else [], lambda _path: [])
    {ArtifactPath(tree='synapse', path='sequences/s.xml'): 'synapse:api/a.xml'}
    """
    heads: dict[ArtifactPath, ArtifactPath] = {}
    found: dict[ArtifactPath, GroupName] = {}
    for path in paths:
        if not _climb(path, (users, uses), heads):
            return None
        found[path] = GroupName(str(heads[path]))
    return found


def _climb(
    path: ArtifactPath, near: tuple[_Others, _Others], heads: dict[ArtifactPath, ArtifactPath]
) -> bool:
    """Find the head of `path`, and of all on the way up; return whether there was no circle."""
    users, uses = near
    way = {path: (iter(users(path)), set[ArtifactPath]())}
    while way:
        one = next(reversed(way))
        left, above = way[one]
        user = next(left, None) if len(above) < _MANY else None
        if user is None:
            del way[one]
            if len(above) >= _MANY and _uses_itself(one, uses):
                return False  # one of the users that were not asked for
            heads[one] = next(iter(above)) if len(above) == 1 else one
            if way:
                way[next(reversed(way))][1].add(heads[one])
        elif user in heads:
            above.add(heads[user])
        elif user in way:
            return False
        else:
            way[user] = (iter(users(user)), set())
    return True


def _uses_itself(path: ArtifactPath, uses: _Others) -> bool:
    """Tell whether what an artifact refers to leads back to it."""
    waiting, seen = list(uses(path)), set[ArtifactPath]()
    while waiting:
        one = waiting.pop()
        if one == path:
            return True
        if one not in seen:
            seen.add(one)
            waiting.extend(uses(one))
    return False


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
