"""The three-way decision: from base, observed and desired to the steps that a node takes.

Base is what this node last agreed on, observed is what its trees hold now, desired is what it
should hold. Only where observed differs from desired does anything happen; why it differs decides
what becomes of the bytes that are displaced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.intent import Keep, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.digest import Digest
    from syncagent.core.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something is at the path whose bytes are not known: too large, not regular, unstable."""


UNKNOWN = Unknown()


@dataclass(frozen=True, slots=True)
class DriftPolicy:
    """What becomes of a local change that no revision asked for.

    `revert`: put base back. Otherwise it stays until a revision touches the same artifact.
    `overruled` is the word under which the bytes are kept when a revision displaces them.
    """

    revert: bool
    overruled: Keep


REVERT = DriftPolicy(revert=True, overruled=Keep.DRIFT)
LEAVE = DriftPolicy(revert=False, overruled=Keep.CONFLICT)


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps, unordered, and the paths where local changes stay as they are."""

    steps: tuple[Step, ...]
    drift: tuple[ArtifactPath, ...]


def make_plan(
    paths: Iterable[ArtifactPath],
    *,
    base: Manifest,
    observed: Callable[[ArtifactPath], Digest | Unknown | None],
    desired: Manifest,
    policy: Callable[[ArtifactPath], DriftPolicy],
) -> Plan:
    """Return what to do at `paths`, which must hold every path that may differ.

    Case by case (B base, O observed, D desired):

    - O = D: nothing; the bytes are right, whoever put them there.
    - O = B, D differs: a step; a deletion's bytes are kept, an update's are in the history.
    - O differs from B and D, D = B: drift. Reverted with the bytes kept, or left, by policy.
    - O differs from B and D, D differs from B: both changed. Desired wins, the bytes are kept.
    """
    steps: list[Step] = []
    drift: list[ArtifactPath] = []
    for path in sorted(set(paths)):
        before, after = base.get(path), desired.get(path)
        seen = observed(path)
        wanted = after.digest if after else None
        if seen == wanted:
            continue
        agreed = before.digest if before else None
        expected = None if isinstance(seen, Unknown) else seen
        if seen == agreed:
            keep = Keep.DELETED if after is None else None
        elif after == before and not policy(path).revert:
            drift.append(path)
            continue
        else:
            keep = Keep.DRIFT if after == before else policy(path).overruled
        if expected is None and after is None:
            # Something that is not an artifact stands where nothing should: not ours to remove.
            drift.append(path)
            continue
        steps.append(Step(path, expected, after, keep))
    return Plan(tuple(steps), tuple(drift))
