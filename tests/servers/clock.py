"""A clock of a server's own, which a test steps: libfaketime between the server and the machine's.

    clock = Clock(folder)
    Server([...], folder, env=clock.env)
    clock.step(3600)

Only the time of day steps: what a program takes for how long it waits stays the machine's. A program
that does not ask its C library for the time, as those in Go do not, has the machine's whatever it says.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.servers.process import need

_FAKETIME: Final = "libfaketime.so.1"


class Clock:
    """Stands as ours does until it is stepped. `folder` has to be one that the server reads."""

    def __init__(self, folder: Path) -> None:
        found = next(Path("/usr/lib").glob(f"*/faketime/{_FAKETIME}"), None)
        need(found, "faketime")
        self._file = folder / "clock"
        self.env = {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }
        """What the server's environment has to have."""
        self.step(0)

    def step(self, seconds: int) -> None:
        """Have it stand `seconds` before or behind ours, from now on."""
        # In one rename: one that reads half a number would be anywhere.
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        fresh.rename(self._file)
