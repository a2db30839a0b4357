"""Waiting longer after each failure: exponential, capped, with full jitter."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before attempt `failures` + 1; lengths in seconds.

    Full jitter (a uniform share of the ceiling) keeps nodes that failed together from coming
    back together; a floor of a tenth keeps chance from making it a busy loop.
    """

    first_s: float = 1.0
    max_s: float = 60.0

    def pause_s(self, failures: int, chance: float) -> float:
        """Return the pause after `failures` (>= 1) failures; `chance` is uniform in [0, 1).

        >>> Backoff(1, 60).pause_s(1, 0.5), Backoff(1, 60).pause_s(20, 0.999) <= 60
        (0.5, True)
        """
        assert failures >= 1, "the first attempt does not wait"
        ceiling = min(self.max_s, self.first_s * 2.0 ** min(failures - 1, 32))
        return ceiling * max(0.1, chance)
