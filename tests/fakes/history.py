"""History and Guard in memory, with what a crash does to them. They pass the contract suites.

A `FakeHistory` or `FakeGuard` is both the open thing and the disk under it: `crash` gives back
what a restarted agent would find.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from syncagent.core.change import Change
from syncagent.core.digest import Digest, digest_of
from syncagent.core.errors import FencedError, ProtocolError
from syncagent.core.guard import Admission, GuardState, judge, refusal
from syncagent.core.ledger import Standing, StandingChange
from syncagent.core.wire.packing import batches, split_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.manifest import Entry, Manifest
    from syncagent.core.outcome import Outcome
    from syncagent.core.revision import Revision, Token

Event = tuple[int, float, str, dict[str, str | int]]


class FakeHistory:
    """What a node remembers. Blobs that were added wait for the next `stand` to be durable.

    `fail` is called before each change of the disk with the name of what is done: raise
    DiskError from it and the change does not happen.
    """

    def __init__(
        self, *, revisions_max: int = 50, fail: Callable[[str], None] | None = None
    ) -> None:
        self.revisions_max = revisions_max
        self.fail = fail or (lambda _what: None)
        self._standing = Standing()
        self._durable: dict[Digest, tuple[Entry, bytes]] = {}
        self._waiting: dict[Digest, tuple[Entry, bytes]] = {}
        self._records: dict[tuple[int, int], tuple[Revision, float]] = {}
        self._events: list[Event] = []
        self._next_event = 1
        self._outcomes: dict[ArtifactPath, Outcome] = {}
        self._mark: str | None = None

    def crash(self, *, power: bool = True) -> FakeHistory:
        """Return what a restart finds. `power`: everything that was not flushed is lost."""
        found = FakeHistory(revisions_max=self.revisions_max)
        found._standing = self._standing
        found._durable = dict(self._durable)
        if not power:
            found._durable.update(self._waiting)
            found._records = dict(self._records)
            found._events = list(self._events)
            found._next_event = self._next_event
            found._outcomes = dict(self._outcomes)
            found._mark = self._mark
        return found

    def load(self) -> Standing:
        return self._standing

    def standing(self) -> Standing:
        return self._standing

    def stand(self, change: StandingChange, blobs: Sequence[tuple[Entry, bytes]] = ()) -> None:
        after = self._standing.after(change)
        self.fail("stand")
        for entry, content in blobs:
            assert digest_of(content) == entry.digest, "a blob's digest is that of its bytes"
            self._durable.setdefault(entry.digest, (entry, content))
        self._durable.update(self._waiting)
        self._waiting.clear()
        self._standing = after

    def add_blobs(self, entries: Sequence[Entry], frame: bytes) -> None:
        self.fail("add_blobs")
        try:
            contents = split_batch(entries, frame)
        except ProtocolError:
            return
        for entry, content in zip(entries, contents, strict=True):
            if entry.digest not in self._durable:
                self._waiting[entry.digest] = (entry, content)

    def has(self, digest: Digest) -> bool:
        return digest in self._durable or digest in self._waiting

    def blob(self, digest: Digest) -> bytes | None:
        found = self._durable.get(digest) or self._waiting.get(digest)
        return None if found is None else found[1]

    def batches(self, wanted: Sequence[Digest]) -> Iterator[tuple[tuple[Entry, ...], bytes]]:
        everything = {**self._durable, **self._waiting}
        return batches([everything[each] for each in dict.fromkeys(wanted) if each in everything])

    def record(self, revision: Revision, at: float) -> None:
        self._records[revision.id.epoch, revision.id.number] = (revision, at)

    def revisions(self, limit: int) -> Sequence[tuple[Revision, float]]:
        return [self._records[key] for key in sorted(self._records, reverse=True)][:limit]

    def manifest_of(self, number: int) -> Manifest | None:
        at, manifest = self._standing.revision, self._standing.manifest
        if not 0 <= number <= at.number:
            return None
        while at.number > number:
            revision, _ = self._records.get((at.epoch, at.number), (None, 0.0))
            if revision is None or revision.id != at:
                return None
            manifest = manifest.after(Change(c.path, c.after, c.before) for c in revision.changes)
            at = revision.parent
            if manifest.digest != at.digest:
                return None
        return manifest

    def event(self, at: float, what: str, fields: Mapping[str, str | int]) -> None:
        self._events.append((self._next_event, at, what, dict(fields)))
        self._next_event += 1

    def events(self, after_id: int, limit: int) -> Sequence[Event]:
        return [event for event in self._events if event[0] > after_id][:limit]

    def remember(
        self,
        outcomes: Sequence[Outcome],
        gone: Sequence[ArtifactPath] = (),
        mark: str | None = None,
    ) -> None:
        self.fail("remember")
        for path in gone:
            self._outcomes.pop(path, None)
        self._outcomes.update((outcome.path, outcome) for outcome in outcomes)
        self._mark = self._mark if mark is None else mark

    def outcomes(self) -> Sequence[Outcome]:
        return list(self._outcomes.values())

    def runtime_mark(self) -> str | None:
        return self._mark

    def tidy(self, also: Collection[Digest] = ()) -> int:
        for key in sorted(self._records, reverse=True)[self.revisions_max :]:
            del self._records[key]
        needed = {entry.digest for _, entry in self._standing.manifest} | set(also)
        for revision, _ in self._records.values():
            for change in revision.changes:
                needed.update(e.digest for e in (change.before, change.after) if e is not None)
        gone = [digest for digest in self._durable if digest not in needed]
        return sum(self._durable.pop(digest)[0].size for digest in gone)


class FakeGuard:
    """The highest token, in memory; every write is durable at once, as the real one's is."""

    def __init__(
        self,
        cluster: str,
        *,
        highest: Token | None = None,
        fail: Callable[[str], None] | None = None,
    ) -> None:
        self.fail = fail or (lambda _what: None)
        self._state = GuardState(cluster, highest)
        self._lock = threading.Lock()

    def crash(self) -> FakeGuard:
        """Return what a restart finds."""
        return FakeGuard(self._state.cluster, highest=self._state.highest)

    def state(self) -> GuardState:
        return self._state

    def admit(self, token: Token, *, forced: bool = False) -> GuardState:
        with self._lock:
            admission = judge(self._state, token, forced=forced)
            if not admission.admitted:
                raise FencedError(refusal(self._state, token, admission))
            if admission is Admission.HIGHER:
                self.fail("admit")
                self._state = GuardState(self._state.cluster, token)
            return self._state

    @contextmanager
    def holding(self, token: Token) -> Iterator[None]:
        with self._lock:
            admission = judge(self._state, token)
            if admission is not Admission.SAME:
                raise FencedError(refusal(self._state, token, admission))
            yield
