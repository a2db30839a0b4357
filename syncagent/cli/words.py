"""Words for people: lengths of time, colours. A colour never stands without its word."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_UNITS = ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m"))

GREEN, YELLOW, RED, GREY = 32, 33, 31, 90
_COLOUR = {
    "Synced": GREEN,
    "Deployed": GREEN,
    "OutOfSync": YELLOW,
    "Syncing": YELLOW,
    "Pending": YELLOW,
    "Paused": YELLOW,
    "RestartRequired": YELLOW,
    "Dormant": GREY,
    "Offline": GREY,
    "Unknown": GREY,
    "Held": RED,
    "Degraded": RED,
    "Rejected": RED,
    "Refused": RED,
    "ok": GREEN,
    "warn": YELLOW,
    "fail": RED,
    "add": GREEN,
    "update": YELLOW,
    "delete": RED,
}


def harmless(said: object) -> str:
    """Return what somebody else said, on one line and unable to steer the terminal."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(said))


def length(seconds: float | None) -> str:
    """Return a length of time in its largest unit: `18s`, `2h`; `-` where nobody knows.

    >>> length(18.4), length(7300), length(None)
    ('18s', '2h', '-')
    """
    if seconds is None:
        return "-"
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"


def ago(seconds: float | None) -> str:
    """Return how long ago something was: `now`, `2s ago`."""
    if seconds is None:
        return "-"
    return "now" if seconds < 1 else f"{length(seconds)} ago"


def plural(number: int, word: str) -> str:
    """Return `1 change`, `2 changes`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def wants_colour(stream: TextIO) -> bool:
    """Tell whether to colour what goes to `stream` (no-color.org, CLICOLOR_FORCE)."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("CLICOLOR_FORCE", "0") not in {"", "0"}:
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(word: str, *, colour: bool) -> str:
    """Return `word` in the colour of its meaning, if it has one and colours are wanted."""
    code = _COLOUR.get(word)
    return f"\x1b[{code}m{word}\x1b[0m" if colour and code is not None else word


def renewed(age_s: float | None) -> str:
    """Return how old the last renewal of a lease is, to follow its epoch; empty if none is known.

    >>> renewed(3.2), renewed(None)
    (', lease renewed 3s ago', '')
    """
    return f", lease renewed {ago(age_s)}" if age_s is not None else ""
