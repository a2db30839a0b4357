"""Lengths of time, sizes and shares as people write them: `30s`, `5MiB`, `25%`.

Used by settings and the command line alike, so that the same text means the same everywhere.
A number without a unit is refused: `lease = 15` has meant seconds and milliseconds to too many
people. Every parser has a formatter that it takes back to the same value.
"""

from __future__ import annotations

import re

_MS_PER_UNIT = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_BYTES_PER_UNIT = {"TiB": 1024**4, "GiB": 1024**3, "MiB": 1024**2, "KiB": 1024, "B": 1}
_DURATION = re.compile(r"([0-9]{1,9})(?:\.([0-9]{1,3}))?(ms|s|m|h|d)")
_SIZE = re.compile(r"([0-9]{1,15})(B|KiB|MiB|GiB|TiB)")
_SHARE = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,2}))?%")
_WHOLE = 10_000  # hundredths of a per cent in 100 %


def parse_duration(text: str) -> float:
    """Return seconds for `250ms`, `30s`, `1.5s`, `5m`, `2h` or `30d`; to the millisecond.

    Raises ValueError with what to write instead.

    >>> parse_duration("250ms"), parse_duration("5m")
    (0.25, 300.0)
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        bare = re.fullmatch(r"[0-9.]+", text.strip())
        example = f'"{text.strip()}s"' if bare else '"30s", "5m", "2h", "30d" or "250ms"'
        raise ValueError(f"a length of time needs a number and a unit; write {example}")
    whole, part, unit = match.groups()
    thousandths = (int(whole) * 1_000 + int((part or "").ljust(3, "0"))) * _MS_PER_UNIT[unit]
    if thousandths % 1_000:
        raise ValueError("a length of time goes down to whole milliseconds")
    return thousandths // 1_000 / 1_000


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration` takes back, to the millisecond.

    >>> format_duration(300.0), format_duration(0.25), format_duration(90.0)
    ('5m', '250ms', '90s')
    """
    milliseconds = round(seconds * 1_000)
    for unit, size in _MS_PER_UNIT.items():
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return "0s"


def parse_size(text: str) -> int:
    """Return bytes for `512B`, `64KiB`, `5MiB`, `1GiB`; raises ValueError with what to write.

    >>> parse_size("5MiB")
    5242880
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError('a size needs a whole number and a unit; write "512B", "64KiB" or "5MiB"')
    return int(match[1]) * _BYTES_PER_UNIT[match[2]]


def format_size(size: int) -> str:
    """Return the shortest text that `parse_size` takes back.

    >>> format_size(5242880), format_size(1000)
    ('5MiB', '1000B')
    """
    for unit, factor in _BYTES_PER_UNIT.items():
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return "0B"


def parse_share(text: str) -> float:
    """Return 0 to 1 for `0%` to `100%`; raises ValueError with what to write.

    >>> parse_share("25%"), parse_share("12.5%")
    (0.25, 0.125)
    """
    match = _SHARE.fullmatch(text.strip())
    if match is None:
        raise ValueError('a share needs a per cent sign; write "25%"')
    hundredths = int(match[1]) * 100 + int((match[2] or "").ljust(2, "0"))
    if hundredths > _WHOLE:
        raise ValueError('a share is at most "100%"')
    return hundredths / _WHOLE


def format_share(share: float) -> str:
    """Return the shortest text that `parse_share` takes back, to a hundredth of a per cent.

    >>> format_share(0.25), format_share(0.125)
    ('25%', '12.5%')
    """
    hundredths = round(share * _WHOLE)
    whole, part = divmod(hundredths, 100)
    return f"{whole}.{part:02d}".rstrip("0").rstrip(".") + "%" if part else f"{whole}%"
