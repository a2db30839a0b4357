"""A gateway's home that another machine or process serves, in whole or in part.

Whoever asks a mount whose server is gone anything may hang for ever, and can't even be ended while it
does. So such a home is looked at by a short-lived process, which is given up after `ANSWER_S`. While
one hangs no other is started for the same home.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, cast

from syncagent.core.errors import SettingsError
from syncagent.fsio import OsFS
from syncagent.mountpoints import mount_of

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping

ANSWER_S = 10.0
"""How long a home may take: to start the process a tenth of a second, for some dozens of calls."""
_BEGIN = """
import sys
sys.path[:] = sys.argv[2:]
from syncagent.settings.homes import main
main(sys.argv[1])
"""
_hanging: dict[str, subprocess.Popen[bytes]] = {}


class SilentHomeError(SettingsError):
    """A gateway's home does not answer, or its mount is dead: nothing is known of it now."""


def lies_afar(home: str, fs: OsFS | None = None) -> bool:
    """Tell whether a home is on a network mount or has one in it; asks no such mount."""
    fs = fs or OsFS()
    with suppress(OSError):
        return mount_of(fs, home, fs.mount_table()) is not None
    return False


def ask_afar(home: str, within_s: float = ANSWER_S) -> Mapping[str, object]:
    """Return what a process of its own says of a home (`homes.main`).

    Raises SettingsError as `look_at_home` does there, SilentHomeError if no answer comes in time.
    """
    import subprocess  # noqa: PLC0415 - commands that load settings start in half the time without

    hanging = _hanging.get(home)
    if hanging is not None and hanging.poll() is None:
        raise _silent(home)
    _hanging.pop(home, None)
    flags = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
    command = [sys.executable, *flags, "-c", _BEGIN, home, *sys.path]
    process = subprocess.Popen(  # noqa: S603 - our own program, on the operator's own path
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what hangs would keep it open for whoever reads ours to its end
    )
    try:
        said, _ = process.communicate(timeout=within_s)
    except subprocess.TimeoutExpired as error:
        process.kill()
        if process.stdout is not None:
            process.stdout.close()
        _hanging[home] = process
        raise _silent(home) from error
    try:
        answer = cast("dict[str, object]", json.loads(said))
    except ValueError as error:
        raise SettingsError(f"{home} could not be looked at: its process failed") from error
    if answer.get("dead"):
        raise SilentHomeError(
            str(answer["error"]), hint="look at the mount and the server behind it"
        )
    if "error" in answer:
        raise SettingsError(str(answer["error"]), hint=str(answer["hint"]))
    return answer


def _silent(home: str) -> SilentHomeError:
    return SilentHomeError(
        f"{home} does not answer: a mount on the way to it, or in it, hangs",
        hint="look at the mount and the server behind it",
    )
