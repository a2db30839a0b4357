"""Who could see a secret: by the mode of the file that it is in, by the way on which it is sent. Pure."""

from __future__ import annotations

import stat

from syncagent.core.errors import SettingsError


def check_private(path: str, mode: int) -> None:
    """Raise SettingsError unless `path`, which has this mode, is a file closed to others.

    A group may read it, for that may be the agent's own, but not change it.
    """
    if not stat.S_ISREG(mode):
        raise SettingsError(f"{path} is not a file")
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise SettingsError(
            f"{path} has mode {stat.S_IMODE(mode):04o}: others can read or change it",
            hint=f"chmod 600 {path} (640 with a group of its own), and make a new secret if others "
            "could read it",
        )


def is_loopback(address: str) -> bool:
    """Tell whether what is sent to `host:port` stays on this machine, by its look."""
    host = address.rpartition(":")[0].strip("[]")
    return host in {"localhost", "::1"} or host.startswith("127.")
