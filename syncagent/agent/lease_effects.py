"""What the node has done about its lease, where a store elects by itself. Values only; see `effects`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Campaign:
    """Try to lead from now on, above `floor`.

    Each time that this is won or lost `Elected` or `NotElected` comes. `forced`: a person wants it,
    whoever holds the lease.
    """

    floor: int
    forced: bool = False


@dataclass(frozen=True, slots=True)
class StandBack:
    """Stop trying to lead, and give back what is held. Result: StoodBack, when that was tried."""


@dataclass(frozen=True, slots=True)
class Wake:
    """The lease may have come free: look at the store at once; `first`: it is meant for this node."""

    first: bool = False


@dataclass(frozen=True, slots=True)
class Depart:
    """Nothing is left to be finished: the agent may end."""


LeaseEffect = Campaign | StandBack | Wake | Depart
