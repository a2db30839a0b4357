"""Checks that need the whole tree: names that two artifacts claim, references that nothing defines.

Every tree is a Synapse configuration of its own, so nothing is compared across trees. An
artifact claims a name among its kind, or in the key space that four kinds share, and an API its
context and version too. Where two claim the same, the one that is settled stays, then the first
by path; each other one is refused and its reason names who stays. A path that is gone claims
nothing, so a rename is no duplicate.

`Index` answers for one path in microseconds, however many artifacts there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from syncagent.core.artifact import SHARED_KEY_SPACE, ArtifactPath, Kind, TreeName
from syncagent.core.verdict import Problem, Severity

if TYPE_CHECKING:
    from collections.abc import Collection, Container, Mapping

    from syncagent.core.verdict import Facts, Reference

_SHARED = "shared key space"
_NAMELESS = frozenset({Kind.ROOT, Kind.FILE})


class _Claim(NamedTuple):
    """Something that only one artifact of a tree may have."""

    tree: TreeName
    space: str
    value: str


def _space_of(kind: Kind) -> str:
    """Return the space in which names of `kind` must be unique."""
    return _SHARED if kind in SHARED_KEY_SPACE else kind.value


def _name_claim(tree: TreeName, kind: Kind | None, name: str) -> _Claim:
    return _Claim(tree, _SHARED if kind is None else _space_of(kind), name)


def _claims_of(path: ArtifactPath, kind: Kind, facts: Facts) -> tuple[_Claim, ...]:
    """Return what an artifact claims; nothing if it has no name (it is refused for that)."""
    if kind in _NAMELESS or not facts.name:
        return ()
    name = _name_claim(path.tree, kind, facts.name)
    if kind is not Kind.API or facts.context is None:
        return (name,)
    return (name, _Claim(path.tree, "place", f"{facts.context}\0{facts.version or ''}"))


class _Known(NamedTuple):
    """One artifact: what it is, and what of it others can meet."""

    kind: Kind
    facts: Facts
    claims: tuple[_Claim, ...]
    uses: frozenset[_Claim]
    extras: frozenset[_Claim]


class Index:
    """All artifacts of all trees by what they claim and use. Owned by one thread.

    `settled` tells which paths stay if another claims the same: those whose bytes are as in the
    base manifest. It is asked at each `problems`, so it may change in between.
    """

    def __init__(self, settled: Container[ArtifactPath] = ()) -> None:
        self.settled = settled
        self._artifacts: dict[ArtifactPath, _Known] = {}
        # Nearly every claim has one claimant, and a set of one has four times the size of a tuple.
        self._claimants: dict[_Claim, tuple[ArtifactPath, ...]] = {}
        self._users: dict[_Claim, set[ArtifactPath]] = {}
        self._beside: dict[_Claim, set[ArtifactPath]] = {}

    def __len__(self) -> int:
        return len(self._artifacts)

    def put(self, path: ArtifactPath, kind: Kind, facts: Facts) -> frozenset[ArtifactPath]:
        """Take what is at `path` now; return the other paths whose problems may be different."""
        before = self._artifacts.get(path)
        self.take(path, kind, facts)
        after = self._artifacts[path]
        if before is after:
            # Most edits change nothing that anybody else can see.
            return frozenset()
        return (self._near(before) | self._near(after)) - {path}

    def drop(self, path: ArtifactPath) -> frozenset[ArtifactPath]:
        """Forget `path`; return the other paths whose problems may be different."""
        near = self._near(self._artifacts.get(path))
        self.forget(path)
        return near - {path}

    def take(self, path: ArtifactPath, kind: Kind, facts: Facts) -> None:
        """Take what is at `path` now, for who does not ask whom it touches."""
        before = self._artifacts.get(path)
        if before is not None:
            if before.kind is kind and (before.facts is facts or before.facts == facts):
                return
            self.forget(path)
        known = _Known(
            kind,
            facts,
            _claims_of(path, kind, facts),
            _uses_of(path, facts.references),
            _uses_of(path, facts.defines),
        )
        self._artifacts[path] = known
        for claim in known.claims:
            self._claimants[claim] = (*self._claimants.get(claim, ()), path)
        for use in known.uses:
            self._users.setdefault(use, set()).add(path)
        for extra in known.extras:
            self._beside.setdefault(extra, set()).add(path)

    def forget(self, path: ArtifactPath) -> None:
        """Forget `path`, for who does not ask whom it touches."""
        known = self._artifacts.pop(path, None)
        if known is None:
            return
        for claim in known.claims:
            left = tuple(other for other in self._claimants.pop(claim) if other != path)
            if left:
                self._claimants[claim] = left
        for use in known.uses:
            _remove(self._users, use, path)
        for extra in known.extras:
            _remove(self._beside, extra, path)

    def problems(self, path: ArtifactPath) -> tuple[Problem, ...]:
        """Return what is wrong with `path` among the others, errors first; () if not known."""
        known = self._artifacts.get(path)
        if known is None:
            return ()
        found = [
            self._duplicate(known.kind, known.facts, claim, holder)
            for claim in known.claims
            if (holder := self._holder(claim)) != path
        ]
        found.extend(
            _unresolved(reference)
            for reference in known.facts.references
            if not self._is_defined(_name_claim(path.tree, reference.kind, reference.key))
        )
        return tuple(found)

    def rivals(self, path: ArtifactPath) -> frozenset[ArtifactPath]:
        """Return the other paths that claim something that `path` claims."""
        known = self._artifacts.get(path)
        claims = known.claims if known is not None else ()
        return frozenset().union(*(self._claimants[claim] for claim in claims)) - {path}

    def named(self, tree: TreeName, kind: Kind, name: str) -> tuple[ArtifactPath, ...]:
        """Return the artifacts of one kind that have this name."""
        found = self._claimants.get(_name_claim(tree, kind, name), ())
        return tuple(path for path in found if self._artifacts[path].kind is kind)

    def users(self, path: ArtifactPath) -> frozenset[ArtifactPath]:
        """Return the others that refer to the name of `path`; none if another has it before, by path."""
        known = self._artifacts.get(path)
        name = known.claims[0] if known is not None and known.claims else None
        if name is None or min(self._claimants[name]) != path:
            return frozenset()
        return frozenset(self._users.get(name, ())) - {path}

    def uses(self, path: ArtifactPath) -> frozenset[ArtifactPath]:
        """Return the others that `path` refers to; of several with one name the first by path."""
        known = self._artifacts.get(path)
        names = known.uses if known is not None else ()
        found = (min(self._claimants[name]) for name in names if name in self._claimants)
        return frozenset(found) - {path}

    def _is_defined(self, name: _Claim) -> bool:
        return name in self._claimants or name in self._beside

    def _near(self, known: _Known | None) -> frozenset[ArtifactPath]:
        """Return who claims or uses what an artifact claims or defines."""
        names = (*known.claims, *known.extras) if known is not None else ()
        return frozenset[ArtifactPath]().union(*(self._around(name) for name in names))

    def _around(self, claim: _Claim) -> frozenset[ArtifactPath]:
        return frozenset(self._claimants.get(claim, ())) | frozenset(self._users.get(claim, ()))

    def _holder(self, claim: _Claim) -> ArtifactPath:
        """Return which of the claimants stays: a settled one, else the first by path."""
        claimants = self._claimants[claim]
        if len(claimants) == 1:
            return claimants[0]
        return min(claimants, key=lambda path: (path not in self.settled, path))

    def _duplicate(self, kind: Kind, facts: Facts, claim: _Claim, holder: ArtifactPath) -> Problem:
        """Say what `holder` has already."""
        holder_kind = self._artifacts[holder].kind
        if claim.space == "place":
            version = f" version {facts.version}" if facts.version else " without a version"
            reason = f"the context {facts.context}{version} is that of {holder.path} already"
            return Problem("duplicate-context", reason)
        if holder_kind is kind:
            reason = f"the {kind} name {facts.name!r} is that of {holder.path} already"
            return Problem("duplicate-name", reason)
        reason = (
            f"the name {facts.name!r} is that of the {holder_kind} in {holder.path} already;"
            " sequences, endpoints, templates and local entries share their names"
        )
        return Problem("duplicate-key", reason)


def crosscheck(
    artifacts: Mapping[ArtifactPath, tuple[Kind, Facts]],
    settled: Container[ArtifactPath] = (),
) -> Mapping[ArtifactPath, tuple[Problem, ...]]:
    """Return the problems of all artifacts together; paths without any are left out."""
    index = Index(settled)
    for path, (kind, facts) in artifacts.items():
        index.put(path, kind, facts)
    found = {path: index.problems(path) for path in sorted(artifacts)}
    return {path: problems for path, problems in found.items() if problems}


def _uses_of(path: ArtifactPath, references: Collection[Reference]) -> frozenset[_Claim]:
    """Return the names that `references` of an artifact at `path` stand for, each once."""
    if not references:
        return frozenset()
    return frozenset(_name_claim(path.tree, use.kind, use.key) for use in references)


def _remove(sets: dict[_Claim, set[ArtifactPath]], claim: _Claim, path: ArtifactPath) -> None:
    """Take `path` out of one of `sets`, and the set with it once it is empty."""
    members = sets[claim]
    members.discard(path)
    if not members:
        del sets[claim]


def _unresolved(reference: Reference) -> Problem:
    what = reference.kind or "artifact"
    reason = f"nothing defines the {what} {reference.key!r} that it refers to"
    return Problem("unresolved-reference", reason, 0, Severity.WARNING)
