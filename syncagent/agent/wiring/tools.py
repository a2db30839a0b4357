"""What the command line may ask of the shells, each imported only when it is asked.

`syncagent version` must not pay for lxml, nor `status` for paramiko: every function here imports
what it needs when it is called, and nothing heavier than that.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.desk import JSON
    from syncagent.core.settings import Settings

CONTROL_SOCKET = "control.sock"
"""Name of the control socket in the state folder."""


def control_path(settings: Settings) -> Path:
    """Return where the running agent's control socket is."""
    return Path(settings.state_dir) / CONTROL_SOCKET


def load_settings(path: Path) -> Settings:
    """Read and check the settings. Raises SettingsError with every mistake."""
    from syncagent.settings.load import load  # noqa: PLC0415

    return load(str(path), os.environ)


def ask(settings: Settings, verb: str, arguments: Mapping[str, JSON], timeout_s: float) -> JSON:
    """Ask the running agent; raises what it raised, UnreachableError if there is none."""
    from syncagent.web.client import ask as ask_at  # noqa: PLC0415

    return ask_at(control_path(settings), verb, arguments, timeout_s)


def offline_status(settings: Settings) -> Mapping[str, JSON]:
    """Return `status` from this node's files alone, with `as_of`: when they last changed."""
    from syncagent.agent.wiring.daemon import offline_status as from_files  # noqa: PLC0415

    return from_files(settings)
