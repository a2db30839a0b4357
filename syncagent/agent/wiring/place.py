"""Where the agent's sockets are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from syncagent.core.settings import Settings

CONTROL_SOCKET = "control.sock"
"""Name of the control socket in the state folder."""


def control_path(settings: Settings) -> Path:
    """Return where the running agent's control socket is."""
    return Path(settings.state_dir) / CONTROL_SOCKET
