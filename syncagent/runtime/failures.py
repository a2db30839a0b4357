"""One failure is several log entries: what belongs together, and the reason in it.

A runtime that refuses a file prints the reason first, without the file; then one or two errors that
name the file, with stack traces; then what it did with the file. They are one failure if they come
from the same thread, name the same file, and follow each other within `ADJACENT_S` by the log's own
time, with no saying about another artifact between them. A log that does not name its threads is
taken for one thread's; entries that say nothing here may then lie between.

The reason is, in this order: what the line gives as such, the first exception that does more than
name the file again, the error that came right before. The innermost cause is added if it says more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.runtime import EXCERPT_MAX, REASON_MAX, Heard, Saying

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncagent.core.artifact import ArtifactPath, Kind
    from syncagent.runtime.entries import Entry

ADJACENT_S = 1.0
"""The deployers print one failure's lines within milliseconds; the pause of 2 s comes after them."""
ENTRIES_MAX = 32

_EXCEPTION = re.compile(r"(?:Caused by: )?(?P<type>[\w$]+(?:\.[\w$]+)*)(?:: (?P<text>.*))?$")
_FRAME = re.compile(r"^\s*(?:at |\.\.\. \d)")
_NOTHING_NEW = re.compile(r": Failed|from the file: ")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a saying is about: a file, or an artifact by kind and name, or only a kind."""

    path: ArtifactPath | None
    kind: Kind | None = None
    name: str = ""

    @property
    def known(self) -> bool:
        """Whether it is one artifact: two failures of an unknown one are two."""
        return self.path is not None or self.name != ""


@dataclass(slots=True)
class Failure:
    """What was said so far about one refused artifact. `since` is the reader's time of the last line."""

    subject: Subject
    thread: str
    at: float
    since: float
    sayings: list[Saying] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    given: str = ""

    def add(self, saying: Saying, entry: Entry, lead: Entry | None, given: str) -> None:
        """Take one more entry about it, with the error that came right before."""
        if saying not in self.sayings:
            self.sayings.append(saying)
        self.entries.extend(
            each for each in (lead, entry) if each and len(self.entries) < ENTRIES_MAX
        )
        self.given = self.given or given
        self.at = entry.at or self.at

    def joins(self, subject: Subject, entry: Entry) -> bool:
        """Tell whether an entry about `subject` belongs to this failure."""
        return (
            subject.known
            and subject == self.subject
            and entry.thread == self.thread
            and not self.over_at(entry.at)
        )

    def over_at(self, at: float) -> bool:
        """Tell whether an entry of that time comes too late to belong to it."""
        return bool(at and self.at and abs(at - self.at) > ADJACENT_S)

    def heard(self, zone: float) -> Iterator[Heard]:
        """Yield the sayings, in the order in which they were made."""
        reason, excerpt = self._reason(), _excerpt(self.entries)
        subject = self.subject
        for saying in self.sayings:
            yield Heard(
                saying,
                subject.path,
                subject.kind,
                subject.name,
                reason if saying in {Saying.REJECTED, Saying.LOST_TRACK} else "",
                excerpt,
                self.at + zone if self.at else 0.0,
            )

    def _reason(self) -> str:
        if self.given:
            return _shortened(_without_type(self.given))
        top, deepest = "", ""
        for kind, raw in self._exceptions():
            text = _without_type(raw)
            if text and not _NOTHING_NEW.search(text):
                top = top or text
                deepest = text if text in top else f"{kind.rpartition('.')[2]}: {text}"
        lead = next((each.text for each in self.entries if not self._names_itself(each)), "")
        reason = top or lead or (self.entries[-1].text if self.entries else "")
        return _shortened(reason if deepest in reason else f"{reason}: {deepest}")

    def _names_itself(self, entry: Entry) -> bool:
        path = self.subject.path
        return path is not None and path.path.rpartition("/")[2] in entry.text

    def _exceptions(self) -> Iterator[tuple[str, str]]:
        # Those that name the file first: the error before may carry an inner cause alone.
        for entry in sorted(self.entries, key=lambda each: not self._names_itself(each)):
            for line in entry.more.splitlines():
                found = None if _FRAME.match(line) else _EXCEPTION.match(line)
                if found and "." in found["type"]:
                    yield found["type"], (found["text"] or "").strip()


def _without_type(text: str) -> str:
    """Drop the exceptions' classes before a message."""
    return re.sub(r"^(?:[\w$]+\.)+[\w$]+: ", "", text)


def _shortened(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= REASON_MAX else flat[: REASON_MAX - 3] + "..."


def _excerpt(entries: list[Entry]) -> str:
    """Return the entries as they stand in the log, without the frames of stack traces."""
    lines = [
        line for entry in entries for line in entry.whole.splitlines() if not _FRAME.match(line)
    ]
    return "\n".join(lines)[:EXCERPT_MAX]
