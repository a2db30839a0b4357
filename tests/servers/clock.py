"""A clock of a server's own, which a test steps.

    clock = Clock(folder)
    Server([...], folder, env=clock.env)        # libfaketime, between the server and its C library
    Server(clock.before([...]), folder)         # for one in Go, which asks the kernel: see `own_time`
    clock.step(3600)

Only the time of day steps: what a program takes for how long it waits stays the machine's.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path
from typing import Final

from tests.servers import own_time
from tests.servers.own_time import CALLS
from tests.servers.process import need

ROOT: Final = Path(__file__).resolve().parents[2]

_FAKETIME: Final = "libfaketime.so.1"


class Clock:
    """Stands as ours does until it is stepped. `folder` has to be one that the server reads."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.step(0)

    @property
    def env(self) -> dict[str, str]:
        """What the server's environment has to have."""
        found = next(Path("/usr/lib").glob(f"*/faketime/{_FAKETIME}"), None)
        need(found, "faketime")
        return {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DISABLE_SHM": "1",
        }

    def before(self, command: list[str]) -> list[str]:
        """Return the command that runs `command` by this clock."""
        need(platform.machine() in CALLS, f"way to a clock of its own on {platform.machine()}")
        runner = "import runpy, sys; sys.path.insert(0, sys.argv.pop(1)); "
        runner += f"runpy.run_module('{own_time.__name__}', run_name='__main__', alter_sys=True)"
        return [sys.executable, "-c", runner, str(ROOT), str(self._file), *command]

    def step(self, seconds: int) -> None:
        """Have it stand `seconds` before or behind ours, from now on."""
        # In one rename: one that reads half a number would be anywhere.
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}")
        fresh.rename(self._file)
