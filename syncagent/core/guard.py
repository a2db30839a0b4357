"""Epoch guard rules: which token a node admits. The rules are pure; the guard's file is `disk`'s.

A node remembers the highest token it ever admitted, durably, before any effect of it. Lower is
refused; equal only from the same holder and incarnation; higher is remembered first. A copy of the
node that led last has its name and key, and would lead whenever the first is away: it is known by
its state folder, which is another one. An absurd jump is refused unless a person says so: it is a damaged or hostile peer, and admitting it would
shut every honest manager out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, assert_never

if TYPE_CHECKING:
    from syncagent.core.artifact import NodeName
    from syncagent.core.revision import Token

EPOCH_JUMP_MAX = 1_000_000
"""A higher jump than this between two tokens is no count of elections: it is refused."""


class Admission(StrEnum):
    """What the rules say of a token."""

    SAME = "same"
    HIGHER = "higher"
    FENCED = "fenced"
    TIED = "tied"
    FOREIGN = "foreign"
    TWIN = "twin"
    ABSURD = "absurd"

    @property
    def admitted(self) -> bool:
        """True for SAME and HIGHER."""
        return self in {Admission.SAME, Admission.HIGHER}


@dataclass(frozen=True, slots=True)
class GuardState:
    """What the guard remembers: the cluster, and the highest token (None: epoch 0, enrolled only)."""

    cluster: str
    highest: Token | None = None

    @property
    def epoch(self) -> int:
        """The highest epoch that was admitted; 0 before the first."""
        return self.highest.epoch if self.highest else 0


def judge(state: GuardState, token: Token, *, forced: bool = False) -> Admission:
    """Say whether `state` admits `token`; `forced` lifts only the limit on jumps."""
    if token.cluster != state.cluster:
        return Admission.FOREIGN
    if state.highest is not None and state.highest.is_twin(token.holder, token.incarnation):
        return Admission.TWIN
    if token.epoch < state.epoch:
        return Admission.FENCED
    if token.epoch == state.epoch:
        return Admission.SAME if token == state.highest else Admission.TIED
    if token.epoch - state.epoch > EPOCH_JUMP_MAX and not forced:
        return Admission.ABSURD
    return Admission.HIGHER


def refusal(state: GuardState, token: Token, admission: Admission) -> str:
    """Say in one sentence why `token` was not admitted."""
    match admission:
        case Admission.FOREIGN:
            return f"the token is of cluster {token.cluster!r}, this node is of {state.cluster!r}"
        case Admission.FENCED:
            return f"epoch {token.epoch} is over: epoch {state.epoch} was admitted"
        case Admission.TWIN:
            return twin_of(token.holder)
        case Admission.TIED:
            holder = state.highest.holder if state.highest else "nobody"
            return f"epoch {token.epoch} is held by {holder} (or an earlier start of the same node)"
        case Admission.ABSURD:
            return f"epoch {token.epoch} is more than {EPOCH_JUMP_MAX} above {state.epoch}"
        case Admission.SAME | Admission.HIGHER:
            return "admitted"
        case _:
            assert_never(admission)


def twin_of(name: NodeName) -> str:
    """Say that another node of this name and key led before, and what a person can do."""
    return (
        f"another node named {name}, with the same key, led before: one of the two is a copy. "
        "Give the copy its own name in [node] and run `syncagent init --new-identity` there; if "
        f"{name} was set up anew and the other is gone, promote another node, then {name}"
    )
