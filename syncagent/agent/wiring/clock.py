"""The `Clock` port on this machine."""

from __future__ import annotations

import time

from syncagent.ports import Instant


class SystemClock:
    """The `Clock` port on this machine."""

    def now(self) -> Instant:
        """Return CLOCK_BOOTTIME: counts suspend, never steps."""
        return Instant(time.clock_gettime(time.CLOCK_BOOTTIME))

    def wall(self) -> float:
        """Return seconds since the Unix epoch."""
        return time.time()  # noqa: TID251 - the Clock port itself
