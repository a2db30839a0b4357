"""Log entries: one line with a head (time, level, ...) and the lines without one that follow it.

The head's layout is data (see `patterns`). A line without a head belongs to the entry before it:
stack traces, messages of several lines. In a log of which no line has a head that is known here,
every line that does not look like a stack trace is an entry of its own, without time and level.

**What callers send is logged too.** A mediator may log a payload, and that may look like a runtime's own
words. What protects: a message counts from its beginning only, with the head of its line, where a
layout is known; the logger must be one of the runtime's own and no mediator's (`speaks`); a file counts
by the path that the runtime gives it, below a root that is ours. Whoever can have line ends logged
raw can write whole lines with heads, and no reader of the log can tell: a layout that encodes them
(log4j2: `%encode{%m}{CRLF}`) is what helps against that.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENTRY_CHARS_MAX = 64 * 1024
"""What is kept of one entry."""
LINES_TELLING = 20
"""Before the first line with a head there may be a few without: a banner, the end of a stack trace."""
TEXT_CHARS_MAX = 8 * 1024
"""... and of its message: the longest path and name fit. Patterns look through no more than that, however
long a line somebody has a mediator log."""
QUARTER_S = 900
"""Time zones differ by multiples of this."""

_HEAD = re.compile(rb"^(?:TID: ?\[|\[?\d{4}-\d\d-\d\d[ T]\d\d:)", re.MULTILINE)
_TRACE = re.compile(rb"^(?!\s|Caused by: |[\w.$]+(?:Exception|Error)\b)", re.MULTILINE)
_EPOCH_YEAR, _MONTHS = 1970, 12
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)[ T](\d\d):(\d\d):(\d\d)[,.](\d{3})")


_OWN = ("org.apache.synapse.", "org.apache.axis2.", "org.wso2.", "o.a.s.", "o.a.a.", "o.w.")


def speaks(logger: str) -> bool:
    """Tell whether a logger may be one that says what a runtime deploys; "" where a log names none.

    >>> speaks("org.apache.synapse.deployers.APIDeployer"), speaks("APIDeployer"), speaks("")
    (True, True, True)
    >>> speaks("org.apache.synapse.mediators.builtin.LogMediator"), speaks("com.acme.Deployer")
    (False, False)
    """
    own = "." not in logger or logger.startswith(_OWN)
    return own and ".mediators." not in logger and not logger.endswith("Mediator")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. `at` is its time (s) as if the log's clock showed UTC, 0.0 if it has none.

    `text` is the message's first line, as far as it is kept, `more` what follows it; `whole` is the
    entry as it stands.
    `known` is False where no layout fits: `text` is then the whole line.
    """

    at: float
    thread: str
    level: str
    logger: str
    tenant: str
    text: str
    more: str
    whole: str
    known: bool = True

    @property
    def bad(self) -> bool:
        """Whether it is an error or a warning, or does not say."""
        return self.level in {"ERROR", "WARN", "FATAL", ""}


def time_of(text: str) -> float:
    """Return the first time in `text` as if it were UTC, 0.0 if there is none that exists."""
    found = _TIME.search(text)
    if found is None:
        return 0.0
    year, month, day, hour, minute, second, millis = map(int, found.groups())
    if year < _EPOCH_YEAR or not 1 <= month <= _MONTHS:
        # Anybody may write something like a time into a log.
        return 0.0
    return calendar.timegm((year, month, day, hour, minute, second)) + millis / 1000.0


def zone_of(tail: bytes, written_at: float) -> float | None:
    """Return what to add (s) to the log's times to get UTC; None if its last lines do not tell.

    A log is written when its last entry is made, so that the difference, in quarters of an hour, is
    its time zone. `written_at` is the file's mtime (s).
    """
    heads = list(_HEAD.finditer(tail))
    at = time_of(tail[heads[-1].start() :][:200].decode("utf-8", "replace")) if heads else 0.0
    if not at:
        return None
    return float(round((written_at - at) / QUARTER_S) * QUARTER_S)


def split(data: bytes, *, headless: bool) -> Iterator[bytes]:
    """Yield the entries in `data`, whole lines; the first may be the rest of an earlier one."""
    starts = [found.start() for found in (_TRACE if headless else _HEAD).finditer(data)]
    if not starts or starts[0] > 0:
        starts.insert(0, 0)
    for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
        if start < end:
            yield data[start:end]


def has_head(raw: bytes) -> bool:
    """Tell whether `raw` begins with a head that is known here."""
    return _HEAD.match(raw) is not None


def has_heads(data: bytes) -> bool:
    """Tell whether a line in `data` begins with a head that is known here."""
    return _HEAD.search(data) is not None


def layout_fault(sample: bytes, layouts: Sequence[re.Pattern[str]]) -> str | None:
    """Say why a log can't be read as it is meant to be; None if it can, "" if that can't be told yet.

    `sample` are lines of it, the first and the last of which may be parts.
    """
    lines = [line for line in sample.splitlines() if line.strip()]
    if any(parse(line, layouts).known for line in lines):
        return None
    if lines and sum(line.lstrip().startswith(b'{"') for line in lines) * 2 > len(lines):
        return "it is written as JSON, which is not read here: give its appender a PatternLayout"
    if len(lines) < LINES_TELLING:
        return ""
    return "its layout is not known here: files are recognised in it, names, times and tenants not"


def parse(raw: bytes, layouts: Sequence[re.Pattern[str]]) -> Entry:
    """Return the entry in `raw`."""
    whole = raw[:ENTRY_CHARS_MAX].decode("utf-8", "replace").rstrip("\r\n")
    line, _, more = whole.partition("\n")
    line = line.rstrip("\r")
    for layout in layouts:
        found = layout.fullmatch(line)
        if found is not None:
            part = found.groupdict("")
            return Entry(
                time_of(part["at"]),
                part.get("thread", ""),
                part["level"],
                part.get("logger", ""),
                part.get("tenant", ""),
                part["text"][:TEXT_CHARS_MAX].strip(),
                more,
                whole,
            )
    text = line[:TEXT_CHARS_MAX].strip()
    return Entry(time_of(line[:200]), "", "", "", "", text, more, whole, known=False)
