"""In which order workers make a prepared revision live: canary first, then waves.

A node without a runtime has no answer to wait for: its commit is all there is to learn, and the
disk's safety does not depend on the order. So the order binds only nodes that answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.core.artifact import NodeName
    from syncagent.core.settings import RolloutSettings

CANARY_WORKERS_MIN = 3
"""With fewer workers one of them as canary would be half of the cluster."""


class Standing(StrEnum):
    """How far one worker is with the revision under rollout."""

    BEHIND = "behind"
    PREPARED = "prepared"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ACKED = "acked"
    NACKED = "nacked"


@dataclass(frozen=True, slots=True)
class Progress:
    """One worker's progress; `answers` is True if it has a runtime that acks or nacks."""

    node: NodeName
    standing: Standing
    answers: bool


def may_commit(
    workers: Sequence[Progress], rollout: RolloutSettings, *, manager_acked: bool | None
) -> tuple[NodeName, ...]:
    """Return the prepared workers that may commit now, in their order.

    `manager_acked` is None where the manager has no runtime. A nack anywhere stops those that
    answer, unless `on_reject` is `continue`.

    >>> from syncagent.core.settings import RolloutSettings
    >>> ready = [Progress(n, Standing.PREPARED, False) for n in ("a", "b", "c")]
    >>> may_commit(ready, RolloutSettings(), manager_acked=None)
    ('a', 'b', 'c')
    """
    free = [w for w in workers if w.standing is Standing.PREPARED and not w.answers]
    bound = [w for w in workers if w.answers]
    allowed = _wave(bound, rollout, manager_acked=manager_acked)
    return tuple(w.node for w in workers if w in free or w in allowed)


def _wave(
    bound: Sequence[Progress], rollout: RolloutSettings, *, manager_acked: bool | None
) -> Sequence[Progress]:
    """Return the answering workers that may go now."""
    prepared = [w for w in bound if w.standing is Standing.PREPARED]
    if any(w.standing is Standing.NACKED for w in bound) and rollout.on_reject != "continue":
        return ()
    if rollout.canary == "manager" and manager_acked is False:
        return ()
    under_way = sum(w.standing in {Standing.COMMITTING, Standing.COMMITTED} for w in bound)
    first = rollout.canary == "worker" or (rollout.canary == "manager" and manager_acked is None)
    proven = any(w.standing is Standing.ACKED for w in bound)
    if first and len(bound) >= CANARY_WORKERS_MIN and not proven:
        return prepared[: max(0, 1 - under_way)]
    width = max(1, int(len(bound) * rollout.max_unavailable))
    return prepared[: max(0, width - under_way)]
