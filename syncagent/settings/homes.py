"""The process that looks at a gateway's home in the place of its agent, and what was seen there last.

A home that does not answer when the agent starts is taken as it was when it last did: the agent has
to come up, say which trees do not answer, and look after the others.
"""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

from syncagent.core.errors import DiskError, SettingsError
from syncagent.fsio import OsFS
from syncagent.settings.afar import SilentHomeError, lies_afar
from syncagent.settings.durable import write_file
from syncagent.settings.gateway import Gateway, discover, gateway_in, gateway_out, look_at_home

FILE_NAME = "gateway.json"
_MODE = 0o600

DEAD = frozenset(
    {
        errno.ENOTCONN,
        errno.ESTALE,
        errno.EIO,
        errno.ENXIO,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ETIMEDOUT,
    }
)
"""What calls fail with on a mount whose server is gone: as good as no answer."""


def main(home: str) -> None:
    """Say on standard output what is at `home`, or why that can't be said."""
    try:
        said = gateway_out(look_at_home(home))
    except SettingsError as error:
        cause = error.__cause__
        dead = isinstance(cause, OSError) and cause.errno in DEAD
        said = {"error": str(error), "hint": error.hint, "dead": dead}
    sys.stdout.write(json.dumps(said))


def discover_or_recall(home: str, state_dir: str) -> Gateway:
    """Look at a home; one that does not answer is as it was when it last did.

    Only what is on a network mount is remembered, in `state_dir` if that is there. Raises SettingsError
    as `discover` does, also if a home that does not answer never did.
    """
    path = f"{state_dir}/{FILE_NAME}"
    try:
        found = discover(home)
    except SilentHomeError:
        known = _recall(path)
        if known is None or known.home != home:
            raise
        return known
    if state_dir and lies_afar(home) and found != _recall(path):
        _remember(path, found)
    return found


def _recall(path: str) -> Gateway | None:
    try:
        return gateway_in(json.loads(Path(path).read_text()))
    except (OSError, ValueError, SettingsError):
        return None


def _remember(path: str, found: Gateway) -> None:
    try:
        write_file(OsFS(), path, json.dumps(gateway_out(found), indent=2) + "\n", _MODE, over=True)
    except DiskError:
        return  # before the first start there is no such folder
