"""What the world must offer to the agent. Pure: protocols only; shells and fakes implement them.

Every port has one contract suite in `tests/contract/`, which the real shell and the fake that
the simulation uses both pass. Methods may block on I/O unless they say that they do not; the
agent calls blocking ones from its hands, never from the loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NewType, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from syncagent.core.artifact import ArtifactPath, Kind, NodeName, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.guard import GuardState
    from syncagent.core.intent import Committed, Intent, Keep, Kept, Step, Written
    from syncagent.core.lease import Candidate, LeaseView
    from syncagent.core.ledger import Standing, StandingChange
    from syncagent.core.manifest import Entry, Manifest
    from syncagent.core.outcome import Outcome
    from syncagent.core.revision import Revision, Token
    from syncagent.core.runtime import About, Order
    from syncagent.core.settings import Limits
    from syncagent.core.snapshot import Seen, Snapshot, Unread
    from syncagent.core.verdict import Examined
    from syncagent.core.wire.messages import Message
    from syncagent.core.wire.verdicts import Docket

Instant = NewType("Instant", float)
"""Seconds on this node's own boot-time clock (CLOCK_BOOTTIME); never crosses the wire."""

LinkId = NewType("LinkId", int)
"""Names one connection for as long as it lives; never used again in this process."""


class Clock(Protocol):
    """Time as this node sees it. Neither method blocks."""

    def now(self) -> Instant:
        """Return the boot-time clock: counts suspend, never steps."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch: for people and file times, never for deadlines."""


class Examiner(Protocol):
    """Who wants to see bytes that a scan has read anyway."""

    def wants(self, path: ArtifactPath, digest: Digest) -> bool:
        """Tell whether the bytes of `digest` at `path` have to be shown, even if cached."""

    def take(self, path: ArtifactPath, digest: Digest, content: bytes) -> None:
        """Take the bytes of one file, as a stable read saw them."""


class Reach(Protocol):
    """What can be done in trees, whoever reaches them; a commit comes on top.

    One thread at a time may call `stage`, `seal` and `discard`; `scan`, `look` and `read` may run
    beside them.
    """

    def scan(self, tree: TreeName, examiner: Examiner) -> Snapshot:
        """Look at the whole tree. Never raises for what the tree is like: see `Condition`."""

    def look(
        self, tree: TreeName, paths: Sequence[str], examiner: Examiner
    ) -> Mapping[str, Seen | Unread | None]:
        """Look at some paths. None: absent, and its folder could be listed to say so.

        A path that this node ignores is left out; one that was refused for the sake of a path that
        is gone now is looked at too. One below a folder that is gone or can't be
        read is `Unread`: only a scan may conclude that a folder vanished. Raises DiskError if the root can't be believed.
        """

    def read(self, path: ArtifactPath, digest: Digest) -> bytes | None:
        """Return the live bytes at `path` if they are `digest`; None if they are not (any more)."""

    def stage(self, txid: int, items: Iterable[tuple[Step, bytes]]) -> None:
        """Write bytes beside the tree, invisible to the runtime, and verify them.

        May be called several times for one `txid`. Raises DiskError (ENOSPC, EIO, ...): then
        nothing live has changed and `discard` cleans up.
        """

    def write_back(self, txid: int) -> None:
        """Begin to make durable what is staged so far, so that `seal` finds less to do.

        Beside `stage` and all others, from any thread; promises nothing and never raises.
        """

    def seal(self, txid: int) -> None:
        """Make all that was staged under `txid` durable. Raises DiskError."""

    def discard(self, txid: int) -> None:
        """Drop what was staged under `txid`; quiet if there is nothing."""

    def keep(self, path: ArtifactPath, content: bytes, reason: Keep, detail: str) -> Kept:
        """Put bytes into quarantine, durably."""

    def kept(self) -> Sequence[Kept]:
        """List the quarantine, newest first, without what lies on a file system that fails."""

    def kept_bytes(self, kept_id: str) -> bytes:
        """Return quarantined bytes; raises RefusedError if there is no such id."""

    def touch(self, path: ArtifactPath, digest: Digest) -> bool:
        """Raise the live file's mtime, by whole seconds, if its bytes are (still) `digest`.

        For a runtime that missed a change: to it the same bytes with a new mtime are an update.
        Return whether it was done. Raises DiskError.
        """

    def sweep(self, *, older_than_s: float, bytes_max: int) -> int:
        """Drop quarantined bytes by age and total size, oldest first; return how many."""

    def identity_of(self, tree: TreeName) -> str | None:
        """Return what identifies a tree's root now (file system id and root inode).

        None if its root can't be read.
        """

    def trust(self, tree: TreeName, identity: str | None) -> None:
        """From now on only this identity is the tree; None: whatever is found next."""

    def shun(self, tree: TreeName, why: str) -> None:
        """Leave a tree alone: its file system does not answer, as `why` says; "" ends it.

        Scans go on. Whatever else needs the tree raises DiskError at once, `read` returns None, and
        lists leave out what only its file system holds. Never blocks; from any thread.
        """


class Part(Reach, Protocol):
    """Some of a node's trees, reached by one pair of hands: here, or in a mount's own process."""

    @property
    def trees(self) -> tuple[TreeName, ...]:
        """The trees that are reached here."""

    def take_limits(self, limits: Limits) -> None:
        """Work by other limits from the next look on. From any thread."""

    def save_cache(self) -> bool:
        """Write what scans remember, if it changed; tell whether. Raises DiskError; no loss then."""

    def drop(self) -> None:
        """Drop all that was ever staged. Raises DiskError if something stays behind."""

    def ready(self, intent: Intent) -> Written:
        """Return what the record of an intent over these trees must say; nothing changes yet.

        Raises DiskError if it was not staged and sealed, or a root can't be believed.
        """

    def carry_out(self, written: Written, *, again: bool) -> tuple[Kept, ...]:
        """Take every step of a recorded intent, durably; return what is kept.

        `again`: some may have been taken. Trees that are not listed (any more) are left alone.
        Raises DiskError or OSError: then it has to be done again.
        """


class Disk(Reach, Protocol):
    """All trees of this node: looking at them, and making a revision live in them.

    `commit` and `recover` are for the one thread that stages.
    """

    def commit(self, intent: Intent) -> Committed:
        """Make the staged intent live in its order, and durable. Old or new, never between.

        The intent is durable before the first step. After a crash at any point `recover`
        finishes it. Raises DiskError before the first step was taken (nothing changed), or
        StateError after it (the intent stands and `recover` must finish it).
        """

    def recover(self, done_txid: int) -> Committed | None:
        """Finish the intent of an interrupted commit, if its txid is above `done_txid`.

        Drops what was staged without an intent. Idempotent, also when interrupted itself.
        """


class Guard(Protocol):
    """The durable memory of the highest token; every commit runs under its lock."""

    def state(self) -> GuardState:
        """Return what was admitted. Raises StateError if the memory is missing or damaged."""

    def admit(self, token: Token, *, forced: bool = False) -> GuardState:
        """Admit `token`, durably if it is higher. Raises FencedError if it is not admitted."""

    def holding(self, token: Token) -> AbstractContextManager[None]:
        """Hold the guard's lock, with `token` re-checked: no other token is admitted inside.

        Raises FencedError if it is not the admitted one.
        """


class Validator(Protocol):
    """Bytes in, verdict out. Does no I/O and keeps nothing."""

    def examine(self, kind: Kind, path: str, content: bytes) -> Examined:
        """Judge one artifact's bytes alone; never raises for what they are like."""


class BatchValidator(Protocol):
    """The same judgement on whole batches, made elsewhere: an aid that may be of no use."""

    @property
    def usable(self) -> bool:
        """False if asking is in vain from now on."""

    def begin(self) -> None:
        """Get ready; returns at once. `judge` does so too."""

    def judge(self, docket: Docket) -> tuple[Examined, ...] | None:
        """Return the verdict on each exhibit, in their order; None if it can't be had here."""

    def end(self) -> None:
        """Let go of whatever `begin` made."""


class History(Protocol):
    """What this node remembers: where it stands (truth), revisions, blobs and events (records)."""

    def load(self) -> Standing:
        """Return where this node stands. Raises StateError if the ledger is damaged."""

    def stand(self, change: StandingChange, blobs: Sequence[tuple[Entry, bytes]] = ()) -> None:
        """Append to the ledger; `blobs` and the change are durable on return. Raises DiskError."""

    def add_blobs(self, entries: Sequence[Entry], frame: bytes) -> None:
        """Keep a zstd batch as it came over the wire (see `core.wire.packing`); durable by the next `stand`."""

    def has(self, digest: Digest) -> bool:
        """Tell whether the bytes of `digest` are kept; does not block."""

    def blob(self, digest: Digest) -> bytes | None:
        """Return kept bytes, None if they are not (any more) kept."""

    def batches(self, wanted: Sequence[Digest]) -> Iterator[tuple[tuple[Entry, ...], bytes]]:
        """Yield zstd batches that together hold every kept blob of `wanted`.

        A batch may hold others too, where that saves packing it again.
        """

    def record(self, revision: Revision, at: float) -> None:
        """Remember a revision for `history`, `diff` and `rollback`. Not the truth, not flushed."""

    def revisions(self, limit: int) -> Sequence[tuple[Revision, float]]:
        """Return the newest revisions and when they were recorded, newest first."""

    def manifest_of(self, number: int) -> Manifest | None:
        """Return the manifest of an earlier revision, by undoing changes from where the node stands.

        None if it lies before what is remembered. Raises DiskError.
        """

    def standing(self) -> Standing:
        """Return where this node stands now, as the ledger has it; does not block."""

    def event(self, at: float, what: str, fields: Mapping[str, str | int]) -> None:
        """Remember something that happened, for `events`."""

    def events(
        self, after_id: int, limit: int
    ) -> Sequence[tuple[int, float, str, Mapping[str, str | int]]]:
        """Return events with id above `after_id`, oldest first: id, wall time, what, fields."""

    def remember(
        self,
        outcomes: Sequence[Outcome],
        gone: Sequence[ArtifactPath] = (),
        mark: str | None = None,
    ) -> None:
        """Remember what the runtime did, forget what is gone, and up to where it was heard.

        All in one transaction, kept over a crash of the process; not flushed.
        """

    def outcomes(self) -> Sequence[Outcome]:
        """Return what was last remembered of each artifact, in no order."""

    def runtime_mark(self) -> str | None:
        """Return the mark that was remembered last, None if there is none."""

    def tidy(self, also: Collection[Digest] = ()) -> int:
        """Forget old revisions, and blobs that nothing needs; return how many bytes came free.

        Needed are the blobs of the current manifest, of the remembered revisions, and `also`:
        what is being prepared. Call it when nothing is urgent. Raises DiskError.
        """


class Links(Protocol):
    """Connections to peers. No method blocks: what happens arrives in the agent's inbox.

    Every connection is mutually authenticated: the peer's name is proved by its pinned key
    before `LinkUp` arrives.
    """

    def dial(self, peer: NodeName) -> None:
        """Start connecting; `LinkUp` or `DialFailed` arrives later. One attempt."""

    def send(self, link: LinkId, message: Message) -> None:
        """Queue a message; quiet if the link is gone. `LinkDown` arrives if the queue overflows."""

    def close(self, link: LinkId, reason: str) -> None:
        """Say goodbye and close; `LinkDown` arrives."""


class LeaseStore(Protocol):
    """Where the right to be manager is kept: all that an election backend implements.

    Outcomes are three: done, surely lost (`LeadershipLost`), unknown (`StoreUnavailable`).
    """

    server_expiry: bool
    auto_failover: bool

    def observe(self) -> LeaseView:
        """Return what the store says now. Raises StoreUnavailable."""

    def try_acquire(self, me: Candidate, seen: LeaseView, epoch_floor: int) -> Token | None:
        """Take the lease by compare-and-set on `seen`; None if somebody else did.

        The new epoch is max(stored, `epoch_floor`) + 1, in the same atomic step.
        """

    def renew(self, token: Token) -> None:
        """Renew. Raises LeadershipLost or StoreUnavailable."""

    def resign(self, token: Token) -> None:
        """Give the lease back if it is still `token`'s; best effort."""

    def close(self) -> None:
        """Let go of connections."""


class Hints(Protocol):
    """What watches trees; hints arrive in the agent's inbox as `Hinted` and `WatchFault`."""

    def start(self, tree: TreeName) -> str:
        """Start watching; return how (`inotify`, `poll 2 s`, ...) for `status`. Raises DiskError."""

    def stop(self) -> None:
        """Stop watching everything; returns when no more hints will come."""


class Runtime(Protocol):
    """The local runtime: how it is told, and how its answer is read.

    What happens arrives in the agent's inbox as `RuntimeTurned` and `RuntimeHeard`. No method blocks:
    an adapter has a thread of its own.
    """

    @property
    def about(self) -> About:
        """What kind of runtime it is."""

    def start(self, mark: str | None) -> None:
        """Begin to listen, from the place that `mark` names; None: from what can still be read.

        Without a mark everything since the runtime's last start is told, as far as its log goes back.
        """

    def tell(self, order: Order) -> None:
        """Tell what a commit made live. For those that watch the files themselves: nothing."""

    def verify(self, order: Order) -> None:
        """Ask about artifacts that nothing was heard of; the answers arrive as `RuntimeHeard`.

        For adapters that can only listen: nothing.
        """

    def stop(self) -> None:
        """Stop listening; nothing arrives afterwards."""
