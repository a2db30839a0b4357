"""The agent's log: one line per event on stderr, for people at a terminal or for a collector.

At a terminal a line is words and `name=value` (logfmt); elsewhere it is one JSON object, which
systemd's journal and every collector keep as one record. `SYNCAGENT_LOG_FORMAT` (json, text) says
otherwise, `SYNCAGENT_LOG` sets the level. In systemd's journal each line begins with its priority
as sd-daemon(3) has it, so that `journalctl -p warning` works. Messages come with what they name as
arguments; keys and contents of artifacts are never among them.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from syncagent.core.errors import SettingsError
from syncagent.fsio import OsFS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

LEVELS = ("debug", "info", "warning", "error")
_FORMATS = ("json", "text")
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


def start_logging(environ: Mapping[str, str], stream: TextIO | None = None) -> None:
    """Log to `stream` (default: stderr) in the form and from the level that `environ` asks for.

    Raises SettingsError if it asks for something that there is not.
    """
    stream = stream or sys.stderr
    level = environ.get("SYNCAGENT_LOG", "info").lower()
    form = environ.get("SYNCAGENT_LOG_FORMAT", "") or ("text" if stream.isatty() else "json")
    mistakes = []
    if level not in LEVELS:
        mistakes.append(f"SYNCAGENT_LOG is {level!r}, not one of {', '.join(LEVELS)}")
    if form not in _FORMATS:
        mistakes.append(f"SYNCAGENT_LOG_FORMAT is {form!r}, not one of {', '.join(_FORMATS)}")
    if mistakes:
        raise SettingsError(
            "the environment asks for a log that there is not", mistakes=tuple(mistakes)
        )
    handler = logging.StreamHandler(stream)
    lines = JsonLines() if form == "json" else TextLines()
    handler.setFormatter(Prioritized(lines) if _is_journal(stream, environ) else lines)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


class TextLines(logging.Formatter):
    """`2026-11-21T12:03:10.123Z info  committed revision=412 changes=3`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line; a failure's trace follows below it."""
        text = f"{_at(record)} {record.levelname.lower():7} {_plain(record.getMessage())}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class JsonLines(logging.Formatter):
    """One JSON object per line; an event has `what` and `fields`, as in `syncagent events -o json`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, whatever the message holds."""
        line: dict[str, object] = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        what: object = getattr(record, "what", None)
        if what is not None:
            line |= {"what": what, "fields": dict(getattr(record, "fields", {}))}
        if record.name != "syncagent":
            line["logger"] = record.name
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class Prioritized(logging.Formatter):
    """Lines of another form with the priority that the journal takes off again."""

    def __init__(self, lines: logging.Formatter) -> None:
        super().__init__()
        self._lines = lines

    def format(self, record: logging.LogRecord) -> str:
        """Return the line behind its priority."""
        return f"<{_PRIORITY.get(record.levelno, 5)}>{self._lines.format(record)}"


def _at(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plain(message: str) -> str:
    """Return a message on one line, unable to steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Tell whether `stream` goes to systemd's journal (systemd.exec(5), JOURNAL_STREAM)."""
    try:
        seen = OsFS().fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{seen.st_dev}:{seen.st_ino}"
