"""What a proposal goes on without once it was refused, and who waits with it.

A change is refused on its own; the rest becomes the revision. But who uses what was refused would
meet its older version or nothing, and a deletion of the same name may be half of a rename.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import SHARED_KEY_SPACE, ArtifactPath, Kind, TreeName, kind_of, stem_of
from syncagent.core.verdict import Problem, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncagent.agent.node.job import Job, Name
    from syncagent.agent.node.observing import Observing
    from syncagent.core.verdict import Facts

ANY = ""
"""Stands for a name that nothing tells: any deletion of the kind may be the other half of a rename."""
MAYBE_RENAMED = "what is refused may be its new name"


def names(refused: Iterable[Refused], job: Job, observing: Observing) -> frozenset[Name]:
    """Return the names of what was refused: as its bytes say, or those before them, or its file's."""
    found: set[Name] = set()
    for row in refused:
        facts = _facts(row.path, job, observing)
        if facts is None or not facts.name:
            known = observing.examined(row.path)
            facts = known.facts if known is not None else None
        kind = kind_of(observing.views[row.path.tree].kind, row.path.path)
        name = facts.name if facts is not None else ""
        found.add(_name(row.path.tree, kind, name or stem_of(row.path.path)))
        if not name:
            found.add(_name(row.path.tree, kind, ANY))
    return frozenset(found)


def waiting(job: Job, observing: Observing) -> list[Refused]:
    """Return the changes of a job that would not do without what was left out of it."""
    changes = job.changes or () if job.without else ()
    moves = [(change.path, change.after is None) for change in changes]
    return waiting_for(job.without, moves, job, observing)


def waiting_for(
    without: frozenset[Name],
    moves: Iterable[tuple[ArtifactPath, bool]],
    job: Job,
    observing: Observing,
) -> list[Refused]:
    """Return which of `moves` (a path, and whether it goes) would not do `without` those names."""
    found: list[Refused] = []
    for path, gone in moves:
        facts = _facts(path, job, observing)
        if facts is None:
            continue
        if gone:
            kind = kind_of(observing.views[path.tree].kind, path.path)
            wanted = {_name(path.tree, kind, facts.name), _name(path.tree, kind, ANY)}
        else:
            wanted = {_name(path.tree, use.kind, use.key) for use in facts.references}
        if wanted & without:
            named = max(name for _, _, name in wanted & without)
            reason = f"it waits for {named!r}, which is refused" if named else MAYBE_RENAMED
            found.append(Refused(path, Problem("waits", reason)))
    return found


def told_in(reasons: str, paths: Iterable[ArtifactPath]) -> dict[ArtifactPath, str]:
    """Return which of `paths` a proposal's answer names, each with its own reason."""
    starts = {path: reasons.find(f"{path}: ") for path in paths}
    found = sorted((start, path) for path, start in starts.items() if start >= 0)
    ends = [*(start for start, _ in found), len(reasons)][1:]
    return {
        path: reasons[start + len(f"{path}: ") : end].removesuffix("; ")
        for (start, path), end in zip(found, ends, strict=False)
    }


def _facts(path: ArtifactPath, job: Job, observing: Observing) -> Facts | None:
    examined = job.examined.get(path) or observing.examined(path)
    return examined.facts if examined is not None else None


def _name(tree: TreeName, kind: Kind | None, name: str) -> Name:
    return (tree, None if kind in SHARED_KEY_SPACE else kind, name)
