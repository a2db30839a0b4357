"""From a log's lines to what the runtime says: `Heard` of artifacts, `Turn` of the runtime itself.

Theory of operation. Blocks are searched for the dialect's hints, and only what lies around one is taken
apart into entries; the rest is passed over unread. So the price of a log is what matters in it, not its
size. The end of what was passed over is kept as context, because the reason of a failure may stand
right before it.

Sayings that stand alone are handed out at once. Failures are several entries (see `failures`): one is
handed out when something else is said, when its time is over by the log's clock, or `QUIET_S` after its
last line; `flush` is there for that. `idle` tells that nothing is half heard: only there may a reader
that is started again begin.

The deployer of Apache Synapse dies of one error, and its log then holds only the error's own line: on
the deployer's thread, naming no file, and nothing follows. (The stack trace goes to standard error.)
Where the dialect knows the threads, such a line is held in doubt for `DOUBT_S`, longer than a live
deployer pauses between two lines; then it is `DEAD`. Should the thread speak again, it was not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from syncagent.core.runtime import EXCERPT_MAX, REASON_MAX, Heard, Saying
from syncagent.runtime.entries import has_head, has_heads, layout_fault, parse, speaks, split
from syncagent.runtime.failures import Failure, Subject
from syncagent.runtime.patterns import WORDS

if TYPE_CHECKING:
    import re

    from syncagent.runtime.entries import Entry
    from syncagent.runtime.names import Names
    from syncagent.runtime.patterns import Dialect, Pattern

QUIET_S = 0.3
"""A failure without a further line for so long is complete."""
DOUBT_S = 3.0
"""The deployer's own pause is 2 s after an update; a live one has said the next thing by then."""
CONTEXT_BYTES = 4 * 1024
PART_BYTES = 512
LEADS_MAX = 64
OPEN_BYTES_MAX = 64 * 1024
HEADS_BYTES = 16 * 1024
"""How far lines are looked through for the first known head, each time until there is one."""

_FAILED = {Saying.REJECTED, Saying.LOST_TRACK, Saying.BACKED_UP, Saying.RESTORED}


class Turning(StrEnum):
    """What became of the runtime."""

    STARTS = "starts"
    READY = "ready"
    STOPS = "stops"
    DEAD = "dead"
    """its deployer: it serves, and deploys nothing any more"""
    ALIVE = "alive"
    """the deployer was not dead after all"""


@dataclass(frozen=True, slots=True)
class Turn:
    """The runtime turned. `at` is wall time (s), 0.0 if the log does not say."""

    what: Turning
    at: float
    detail: str = ""


Said = Heard | Turn


class Reader:
    """Reads one log's lines. `zone` is what its times lack to UTC (s); the caller learns it."""

    def __init__(self, dialect: Dialect, names: Names) -> None:
        self._dialect = dialect
        self._names = names
        self.zone = 0.0
        self.starting = False
        self._headless = True
        """Whether no line was seen yet whose head is known here."""
        self._layout: str | None = ""
        self._sample = b""
        self._context = b""
        self._before = b""
        self._open = b""
        self._open_since = 0.0
        self._now = 0.0
        self._failure: Failure | None = None
        self._leads: dict[str, Entry] = {}
        self._doubt: tuple[Entry, float] | None = None
        self._dead = False
        self._said: list[Said] = []

    @property
    def idle(self) -> bool:
        """Whether nothing is half heard."""
        return not self._open and self._failure is None and self._doubt is None

    @property
    def layout(self) -> str:
        """What is wrong with the log's layout, "" if nothing is, as far as is known."""
        return self._layout or ""

    def take(self, lines: bytes, now: float) -> list[Said]:
        """Read whole lines; `now` is any clock that only rises (s). Returns what they say."""
        self._now = now
        self._headless = self._headless and not has_heads(lines[:HEADS_BYTES])
        if self._layout is not None:
            self._sample = (self._sample + lines[:HEADS_BYTES])[-HEADS_BYTES:]
            self._layout = layout_fault(self._sample, self._dialect.layouts)
        self._take(lines)
        return self._handed_out()

    def flush(self, now: float) -> list[Said]:
        """Return what is complete now that nothing has followed."""
        if now - self._open_since >= QUIET_S:
            self._now = self._open_since
            self._end_open()
        failure = self._failure
        if failure is not None and now - failure.since >= QUIET_S:
            self._close_failure()
        if self._doubt is not None and now - self._doubt[1] >= DOUBT_S:
            self._give_up(self._doubt[0])
        return self._handed_out()

    def _handed_out(self) -> list[Said]:
        said, self._said = self._said, []
        return said

    # From lines to entries.

    def _take(self, lines: bytes) -> None:
        """Read the parts of `lines` around each hint, pass over the others."""
        ahead = [-1] * len(self._dialect.hints)
        at = 0
        while at < len(lines):
            begin = at
            if self.idle:
                first = self._next_hint(lines, at, ahead)
                begin = lines.rfind(b"\n", at, first) + 1 or at
                self._pass_over(lines, at, begin if first < len(lines) else first)
                if first == len(lines):
                    return
            at = lines.find(b"\n", begin + PART_BYTES) + 1 or len(lines)
            self._before, self._context = self._context, b""
            self._read(self._open + lines[begin:at])

    def _pass_over(self, lines: bytes, at: int, end: int) -> None:
        """Keep the last whole lines before `end` as context."""
        near = lines[max(at, end - CONTEXT_BYTES) : end]
        context = near if end - at >= CONTEXT_BYTES else self._context + near
        if len(context) >= CONTEXT_BYTES:
            context = context[-CONTEXT_BYTES:].partition(b"\n")[2]
        self._context = context

    def _next_hint(self, lines: bytes, at: int, ahead: list[int]) -> int:
        """Return where the next hint from `at` on is, the end if there is none.

        `ahead` keeps where each was found, so that every byte is searched once for each.
        """
        for number, hint in enumerate(self._dialect.hints):
            if ahead[number] < at:
                found = lines.find(hint, at)
                ahead[number] = found if found >= 0 else len(lines)
        return min(ahead)

    def _matters(self, lines: bytes) -> bool:
        return any(hint in lines for hint in self._dialect.hints)

    def _read(self, lines: bytes) -> None:
        self._open = b""
        parts = list(split(lines, headless=self._headless))
        for part in parts[:-1]:
            self._entry(part)
        last = parts[-1]
        # More lines may follow those that would be of use with it: errors.
        wanted = b"ERROR" in last[:200] or b"WARN" in last[:200]
        if wanted and len(last) < OPEN_BYTES_MAX and (self._failure or self._matters(last)):
            self._open, self._open_since = last, self._now
        else:
            self._entry(last)

    def _end_open(self) -> None:
        if self._open:
            last, self._open = self._open, b""
            self._entry(last)

    # From entries to sayings.

    def _entry(self, raw: bytes) -> None:
        entry = parse(raw, self._dialect.layouts)
        if self._failure is not None and self._failure.over_at(entry.at):
            self._close_failure()
        if self._doubt is not None and entry.at - self._doubt[0].at >= DOUBT_S:
            self._give_up(self._doubt[0])
        self._speaks(entry)
        # Without a head it is the rest of a message, which somebody else may have written.
        begins = entry.known or self._headless or has_head(raw)
        if begins and self._matters(raw) and speaks(entry.logger):
            dialect = self._dialect if entry.known else self._dialect.loose
            if self._turned(entry, dialect):
                return
            for pattern in dialect.patterns:
                found = pattern.text.search(entry.text)
                if found is not None:
                    self._matched(pattern, found, entry)
                    return
        if entry.bad:
            self._lead(entry)

    def _speaks(self, entry: Entry) -> None:
        """Note that the deployer's thread is alive."""
        deployer = self._dialect.deployer
        if deployer is None or not deployer.fullmatch(entry.thread):
            return
        if self._doubt is not None and self._doubt[0].thread == entry.thread:
            self._doubt = None
        if self._dead:
            self._dead = False
            self._said.append(Turn(Turning.ALIVE, self._wall(entry)))

    def _give_up(self, last: Entry) -> None:
        """The deployer has said nothing after its last error: it is dead."""
        self._doubt, self._dead = None, True
        self._said.append(Turn(Turning.DEAD, self._wall(last), last.text[:REASON_MAX]))

    def _lead(self, entry: Entry) -> None:
        """Keep an error that names no file: the reason of what follows, or a deployer's last word."""
        if len(self._leads) >= LEADS_MAX:
            self._leads.clear()
        self._leads[entry.thread] = entry
        deployer = self._dialect.deployer
        if entry.level == "ERROR" and deployer is not None and deployer.fullmatch(entry.thread):
            self._doubt = (entry, self._now)

    def _lead_before(self, thread: str) -> Entry | None:
        """Return the last error of a thread in what was passed over right before, if there is one."""
        before, self._before = self._before, b""
        for part in reversed(list(split(before, headless=self._headless))):
            entry = parse(part, self._dialect.layouts)
            if entry.bad and entry.thread == thread:
                return entry
        return None

    def _turned(self, entry: Entry, dialect: Dialect) -> bool:
        for what, text in (
            (Turning.STARTS, dialect.starts),
            (Turning.READY, dialect.ready),
            (Turning.STOPS, dialect.stops),
        ):
            if text.search(entry.text):
                self._close_failure()
                self._doubt, self._dead = None, False
                self._leads.clear()
                self.starting = what is Turning.STARTS
                self._said.append(Turn(what, self._wall(entry)))
                return True
        return False

    def _matched(self, pattern: Pattern, found: re.Match[str], entry: Entry) -> None:
        saying = pattern.saying
        if self.starting and pattern.at_start is not None:
            saying = pattern.at_start
        if saying is None:
            return
        part = found.groupdict("")
        if pattern.aside:
            self._aside(saying, part, entry)
            return
        lead = self._leads.pop(entry.thread, None)
        if lead is None and saying in _FAILED:
            lead = self._lead_before(entry.thread)
        subject = self._subject(pattern, part, entry)
        if subject is None:
            self._close_failure()
        elif saying in _FAILED:
            self._failed(saying, subject, entry, (lead, part.get("reason", "")))
        else:
            self._close_failure()
            self._hear(saying, subject, entry)

    def _aside(self, saying: Saying, part: dict[str, str], entry: Entry) -> None:
        """Take what is said of the configuration: beside others' words, which it does not end."""
        kind = WORDS[part["word"]]
        tree = self._names.tree_of(kind, entry.tenant.strip())
        if not self.starting and entry.at and tree is not None:
            excerpt, at = entry.whole[:EXCERPT_MAX], self._wall(entry)
            self._said.append(Heard(saying, None, kind, part["name"], "", excerpt, at, tree))

    def _subject(self, pattern: Pattern, part: dict[str, str], entry: Entry) -> Subject | None:
        """Return what a saying is about, None if it is nothing of ours."""
        kind = pattern.kind or WORDS.get(part.get("word", ""))
        name = part.get("name", "")
        if file := part.get("file", "").strip():
            if not entry.known and not file.endswith(("xml", "siddhiql")):
                return None
            path = self._names.of_file(file)
            return Subject(path, self._names.kind(path)) if path else None
        if base := part.get("base", "").strip():
            path = self._names.of_base(kind, base, entry.tenant.strip())
            return Subject(path, kind, "" if path else base)
        return Subject(None, kind, name)

    def _failed(
        self,
        saying: Saying,
        subject: Subject,
        entry: Entry,
        why: tuple[Entry | None, str],
    ) -> None:
        lead, given = why
        failure = self._failure
        if failure is not None and self._restored_by_name(failure, saying, subject, entry):
            failure.entries.append(entry)
            return
        if failure is None or not failure.joins(subject, entry):
            self._close_failure()
            failure = self._failure = Failure(subject, entry.thread, entry.at, self._now)
        near = lead is not None and not failure.over_at(lead.at)
        failure.add(saying, entry, lead if near else None, given)
        failure.since = self._now

    def _restored_by_name(
        self, failure: Failure, saying: Saying, subject: Subject, entry: Entry
    ) -> bool:
        """Tell whether it only says again, by name, that the failure's file was restored."""
        return (
            saying is Saying.RESTORED
            and subject.path is None
            and Saying.RESTORED in failure.sayings
            and subject.kind is failure.subject.kind
            and entry.thread == failure.thread
        )

    def _close_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            self._said.extend(failure.heard(self.zone))

    def _hear(self, saying: Saying, subject: Subject, entry: Entry) -> None:
        self._said.append(
            Heard(
                saying,
                subject.path,
                subject.kind,
                subject.name,
                excerpt=entry.whole[:EXCERPT_MAX],
                at=self._wall(entry),
            )
        )

    def _wall(self, entry: Entry) -> float:
        return entry.at + self.zone if entry.at else 0.0
