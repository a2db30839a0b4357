"""The hand that changes things: staging, committing, declaring, the guard, the ledger.

One thread, so that what is durable is so in the order in which it was decided.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.hands.recovery import abandon
from syncagent.agent.hands.stager import Stager
from syncagent.core.artifact import ArtifactPath
from syncagent.core.errors import DiskError, FencedError, StateError, SyncagentError
from syncagent.core.intent import Committed
from syncagent.core.ledger import StandingChange
from syncagent.core.snapshot import NO_FOLDER, Seen
from syncagent.core.verdict import Facts
from syncagent.core.wire.packing import batches
from syncagent.core.wire.standing import encode_change

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.agent.effects import Effect
    from syncagent.agent.hands.memory import Memory
    from syncagent.agent.results import Result
    from syncagent.core.artifact import TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.guard import GuardState
    from syncagent.core.manifest import Entry
    from syncagent.core.revision import Revision, Token
    from syncagent.ports import Clock, Disk, Guard, History

LOG = logging.getLogger("syncagent")
SMALL_BLOBS = 16
"""Up to this many new blobs go into the ledger's flush together; more are packed in batches."""


class Committer:
    """Carries out what changes disk, guard or history."""

    def __init__(
        self, disk: Disk, guard: Guard, history: History, memory: Memory, clock: Clock
    ) -> None:
        self.lasts: Callable[[Token], bool] = lambda _token: True
        """Whether the right that goes with a token has not run out, where others write the same trees.

        The guard knows what was admitted here only; who was elected meanwhile may write already.
        """
        self._disk = disk
        self._guard = guard
        self._history = history
        self._memory = memory
        self._clock = clock
        self.stager = Stager(disk, history, memory)
        self._table: dict[type, object] = {
            fx.TrustRoot: self._trust,
            fx.Shun: self._shun,
            fx.AdmitToken: self._admit,
            fx.StageOwn: self.stager.own,
            fx.StageBlobs: self.stager.blobs,
            fx.JudgedBlobs: self.stager.judged,
            fx.KeepBlobs: self.stager.keep,
            fx.Seal: self.stager.seal,
            fx.Discard: self.stager.discard,
            fx.CommitIntent: self._commit,
            fx.Recover: self._recover,
            fx.Declare: self._declare,
            fx.Note: self._note,
            fx.KeepFile: self._keep_file,
            fx.Backfill: self._backfill,
            fx.Recall: self._recall,
            fx.Tidy: self._tidy,
            fx.Touch: self._touch,
        }

    @property
    def kinds(self) -> frozenset[type]:
        """The effects that this hand carries out."""
        return frozenset(self._table)

    def do(self, effect: Effect) -> Result | None:
        """Carry out one effect."""
        call: Callable[[Effect], Result | None] = self._table[type(effect)]  # type: ignore[assignment]
        return call(effect)

    # --- guard and roots --------------------------------------------------------------------

    def _trust(self, effect: fx.TrustRoot) -> None:
        self._disk.trust(effect.tree, effect.identity)

    def _shun(self, effect: fx.Shun) -> None:
        self._disk.shun(effect.tree, effect.why)

    def _admit(self, effect: fx.AdmitToken) -> Result:
        try:
            state = self._guard.admit(effect.token, forced=effect.forced)
        except FencedError as error:
            return rs.TokenRefused(effect.token, self._state(), str(error), effect.link)
        except (StateError, DiskError) as error:
            return rs.TokenRefused(effect.token, None, str(error), effect.link)
        return rs.TokenAdmitted(effect.token, state, effect.link)

    # --- committing -------------------------------------------------------------------------

    def _commit(self, effect: fx.CommitIntent) -> Result:
        intent = replace(effect.intent, memo=encode_change(effect.change))
        state = self._state()
        token = effect.token or (state.highest if state is not None else None)
        if token is None:
            return rs.CommitFenced(intent.txid, state, "the guard holds no token")
        begun = False
        try:
            with self._guard.holding(token):
                if intent.steps:
                    self._still(token)
                committed = self._disk.commit(intent) if intent.steps else Committed(intent)
                begun = bool(intent.steps)
                self._history.stand(effect.change)
                at = self._clock.wall()
        except FencedError as error:
            return rs.CommitFenced(intent.txid, self._state(), str(error))
        except StateError as error:
            return rs.CommitFailed(intent.txid, str(error), stuck=True)
        except DiskError as error:
            return rs.CommitFailed(intent.txid, str(error), stuck=begun)
        self._record(effect.revision)
        return rs.CommitDone(intent.txid, committed, effect.change, at)

    def _state(self) -> GuardState | None:
        try:
            return self._guard.state()
        except StateError:
            return None

    def _still(self, token: Token) -> None:
        """Raise FencedError if somebody else may lead by now.

        RACE: the process may stand still right after. Worst case: the rest of one commit lands on a
        mount that a successor watches, which declares it as what was written there.
        """
        if not self.lasts(token):
            raise FencedError("the lease has run out: another node may lead by now")

    def _recover(self, effect: fx.Recover) -> Result:
        """Finish a commit whose intent stands. It was judged when it began: on own trees that is all."""
        txid = effect.intent.txid
        try:
            if effect.token is not None:
                with self._guard.holding(effect.token):
                    self._still(effect.token)
        except FencedError as error:
            abandon(self._disk, txid)
            return rs.CommitFenced(txid, self._state(), str(error))
        try:
            committed = self._disk.recover(txid - 1)
            if committed is None:
                return rs.CommitFailed(txid, "its intent was never durable", stuck=False)
            self._history.stand(effect.change)
            at = self._clock.wall()
        except (StateError, DiskError) as error:
            return rs.CommitFailed(txid, str(error), stuck=True)
        self._record(effect.revision)
        return rs.CommitDone(txid, committed, effect.change, at)

    def _record(self, revision: Revision | None) -> None:
        """Remember a revision for people; the ledger has it already, so it may be lost."""
        if revision is None:
            return
        try:
            self._history.record(revision, self._clock.wall())
        except DiskError as error:
            LOG.warning("revision %s is not among those remembered: %s", revision.id, error)

    # --- declaring --------------------------------------------------------------------------

    def _declare(self, effect: fx.Declare) -> Result:
        revision = effect.revision
        missing: list[ArtifactPath] = []
        items = self._bytes_of(effect.blobs, missing)
        if effect.read:
            missing.extend(p for p, e in effect.blobs if self._disk.read(p, e.digest) is None)
        try:
            with self._guard.holding(effect.token):
                missing.extend(self._back_again(revision))
                if len(effect.blobs) <= SMALL_BLOBS:
                    small = list(items)
                else:
                    small = []
                    for entries, frame in batches(items):
                        self._history.add_blobs(entries, frame)
                if missing:
                    reason = "files changed while they were read"
                    return rs.DeclareFailed(revision.id, reason, tuple(missing))
                change = StandingChange(
                    revision=revision.id, changes=revision.changes, notes=effect.notes
                )
                self._history.stand(change, small)
        except (FencedError, StateError, DiskError) as error:
            return rs.DeclareFailed(revision.id, str(error))
        for _, entry in effect.blobs:
            self._memory.let_go(entry.digest)
        self._record(revision)
        return rs.Declared(revision, effect.notes)

    def _back_again(self, revision: Revision) -> list[ArtifactPath]:
        """Return what the revision says is gone and is there after all. Raises DiskError."""
        gone: dict[TreeName, list[str]] = {}
        for change in revision.changes:
            if change.after is None:
                gone.setdefault(change.path.tree, []).append(change.path.path)
        return [
            ArtifactPath(tree, path)
            for tree, paths in gone.items()
            for path, what in self._disk.look(tree, paths, _Nobody()).items()
            if isinstance(what, Seen) or (what is not None and what.problem.code != NO_FOLDER)
        ]

    def _bytes_of(
        self, blobs: tuple[tuple[ArtifactPath, Entry], ...], missing: list[ArtifactPath]
    ) -> Iterator[tuple[Entry, bytes]]:
        """Yield the bytes that the history lacks, each once; list what is not there any more."""
        done: set[Digest] = set()
        for path, entry in blobs:
            if entry.digest in done or self._history.has(entry.digest):
                continue
            content = self._memory.content(entry.digest)
            if content is None:
                content = self._disk.read(path, entry.digest)
            if content is None:
                missing.append(path)
                continue
            done.add(entry.digest)
            yield entry, content

    def _note(self, effect: fx.Note) -> Result:
        try:
            self._history.stand(effect.change)
        except SyncagentError as error:
            return rs.NotNoted(effect.change, str(error))
        return rs.Noted(effect.change)

    def _backfill(self, effect: fx.Backfill) -> Result | None:
        """Best effort: what is gone from disk meanwhile is asked for when it is needed."""
        try:
            for entries, frame in batches(self._bytes_of(effect.rows, [])):
                self._history.add_blobs(entries, frame)
            self._history.stand(StandingChange())
        except SyncagentError as error:
            return rs.Trouble("history", str(error))
        return None

    def _recall(self, effect: fx.Recall) -> Result:
        found: list[tuple[ArtifactPath, Digest, Facts]] = []
        for path, digest in effect.rows:
            try:
                content = self._history.blob(digest)
            except DiskError:
                # As if it were lost: what it declares can't be known.
                content = None
            facts = self._memory.judge(path, content).facts if content is not None else Facts()
            found.append((path, digest, facts))
        return rs.Recalled(tuple(found))

    def _tidy(self, effect: fx.Tidy) -> Result | None:
        try:
            self._history.tidy(effect.needed)
            if effect.older_than_s is not None:
                self._disk.sweep(older_than_s=effect.older_than_s, bytes_max=effect.bytes_max)
        except SyncagentError as error:
            return rs.Trouble("tidy", str(error))
        return None

    def _touch(self, effect: fx.Touch) -> Result:
        token = effect.token
        touched: list[ArtifactPath] = []
        for path, digest in effect.files:
            try:
                with self._guard.holding(token) if token is not None else nullcontext():
                    if token is not None:
                        self._still(token)
                    if self._disk.touch(path, digest):
                        touched.append(path)
            except (FencedError, DiskError) as error:
                LOG.warning("the runtime is not shown %s again: %s", path, error)
        return rs.Touched(tuple(touched))

    def _keep_file(self, effect: fx.KeepFile) -> Result | None:
        content = self._memory.content(effect.digest)
        try:
            if content is None:
                content = self._disk.read(effect.path, effect.digest)
            if content is None:
                # A runtime overwrites what it rejects.
                content = self._history.blob(effect.digest)
            if content is None:
                return None
            if any(
                row.digest == effect.digest and row.path == effect.path for row in self._disk.kept()
            ):
                return None
            kept = self._disk.keep(effect.path, content, effect.reason, effect.detail)
        except SyncagentError as error:
            return rs.Trouble("quarantine", str(error))
        return rs.KeptFile(kept)


class _Nobody:
    """Wants no bytes."""

    def wants(self, path: ArtifactPath, digest: Digest) -> bool:
        return False

    def take(self, path: ArtifactPath, digest: Digest, content: bytes) -> None:
        raise AssertionError("nothing was wanted")
