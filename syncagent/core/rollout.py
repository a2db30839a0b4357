"""In which order workers make a prepared revision live: canary first, then waves.

A node without a runtime has no answer to wait for: its commit is all there is to learn, and the
disk's safety does not depend on the order. So the order binds only nodes that answer. What a runtime
refused is withheld by its group, path by path, and is no part of what is ordered here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from syncagent.core.order import KIND_ORDER
from syncagent.core.settings import RolloutSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from syncagent.core.artifact import ArtifactPath, Kind, NodeName
    from syncagent.core.change import Change

CANARY_WORKERS_MIN = 3
"""With fewer workers one of them as canary would be half of the cluster."""

AT_ONCE = RolloutSettings(canary="none", max_unavailable=1.0, on_reject="continue")
"""The only order where all nodes deploy from the same files: what is there is there for all."""

PORTION_MAX = 25
"""Updates that one look of a deployer gets: each delays all that come after it by two seconds."""


class Standing(StrEnum):
    """How far one worker is with the revision under rollout."""

    BEHIND = "behind"
    PREPARED = "prepared"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ACKED = "acked"


@dataclass(frozen=True, slots=True)
class Progress:
    """One worker's progress; `answers` is True if it has a runtime that says what it took."""

    node: NodeName
    standing: Standing
    answers: bool


def may_commit(
    workers: Sequence[Progress], rollout: RolloutSettings, *, manager_tried: bool
) -> tuple[NodeName, ...]:
    """Return the prepared workers that may commit now, in their order.

    `manager_tried`: the manager's own runtime has proved what they are to commit; False where it
    has none that answers.

    >>> from syncagent.core.settings import RolloutSettings
    >>> ready = [Progress(n, Standing.PREPARED, False) for n in ("a", "b", "c")]
    >>> may_commit(ready, RolloutSettings(), manager_tried=False)
    ('a', 'b', 'c')
    """
    free = [w for w in workers if w.standing is Standing.PREPARED and not w.answers]
    bound = [w for w in workers if w.answers]
    allowed = _wave(bound, rollout, manager_tried=manager_tried)
    return tuple(w.node for w in workers if w in free or w in allowed)


def _wave(
    bound: Sequence[Progress], rollout: RolloutSettings, *, manager_tried: bool
) -> Sequence[Progress]:
    """Return the answering workers that may go now."""
    prepared = [w for w in bound if w.standing is Standing.PREPARED]
    under_way = sum(w.standing in {Standing.COMMITTING, Standing.COMMITTED} for w in bound)
    first = rollout.canary == "worker" or (rollout.canary == "manager" and not manager_tried)
    proven = any(w.standing is Standing.ACKED for w in bound)
    if first and len(bound) >= CANARY_WORKERS_MIN and not proven:
        return prepared[: max(0, 1 - under_way)]
    width = max(1, int(len(bound) * rollout.max_unavailable))
    return prepared[: max(0, width - under_way)]


def first_portion(
    changes: Iterable[Change], kinds: Callable[[ArtifactPath], Kind], *, ordered: bool
) -> frozenset[ArtifactPath]:
    """Return the paths of `changes` that a runtime should get first; all, if that is no burden.

    At most `PORTION_MAX` updates at once; if `ordered`, of one kind, what others use before what uses
    it. Deletions come last, but where a folder gets something new too: the two may be one rename.
    """
    changes = tuple(changes)
    puts = sorted(
        (change for change in changes if change.after is not None),
        key=lambda change: (KIND_ORDER.index(kinds(change.path)), change.path),
    )
    updates = [change for change in puts if change.before is not None]
    if not ordered and len(updates) <= PORTION_MAX:
        return frozenset(change.path for change in changes)
    if not puts:
        return frozenset(change.path for change in changes)
    first = kinds(puts[0].path)
    chosen: list[Change] = []
    burden = 0
    for change in puts:
        if ordered and kinds(change.path) is not first:
            break
        burden += change.before is not None
        if burden > PORTION_MAX:
            break
        chosen.append(change)
    arriving = {_folder(change.path) for change in chosen if change.before is None}
    leaving = {_folder(change.path) for change in changes if change.after is None}
    moves = [
        change
        for change in changes
        if (change.before is None or change.after is None)
        and _folder(change.path) in arriving & leaving
    ]
    return frozenset(change.path for change in (*chosen, *moves))


def _folder(path: ArtifactPath) -> tuple[str, str]:
    return path.tree, path.path.rpartition("/")[0]
