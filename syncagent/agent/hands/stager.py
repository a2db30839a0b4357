"""The committer's part before the commit: what came is verified, kept, written beside the tree, judged.

Nothing of a set becomes live before every verdict is there, and one refusal drops the whole set; so
bytes may be written before they are judged. Of a large set that is what happens: another process
judges meanwhile (`hands.judging`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, RefusedError, SyncagentError
from syncagent.core.intent import Keep
from syncagent.core.verdict import Refused
from syncagent.core.wire.messages import Blobs, Delta
from syncagent.core.wire.packing import apply_delta, compress_batch, split_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from syncagent.agent.hands.judging import Judging
    from syncagent.agent.hands.memory import Memory
    from syncagent.agent.results import Result
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.digest import Digest
    from syncagent.core.intent import Step
    from syncagent.core.manifest import Entry
    from syncagent.core.verdict import Examined
    from syncagent.ports import Disk, History

WRITE_BACK_BYTES = 4 * 1024 * 1024
"""After so many staged bytes the disk is set to work on them: a seal of 35 MB waits 10 ms, not 200."""


class Stager:
    """Carries out StageOwn, StageBlobs, KeepBlobs, Seal and Discard; on the committer's thread."""

    def __init__(self, disk: Disk, history: History, memory: Memory) -> None:
        self._disk = disk
        self._history = history
        self._memory = memory
        self.judging: Judging | None = None
        """Who judges batches of large sets meanwhile, if anybody does."""
        self.write_back: Callable[[int], None] | None = None
        """Has what is staged under a txid written out meanwhile, if anything does."""
        self._unwritten = 0

    def own(self, effect: fx.StageOwn) -> Result:
        """Stage what the history has."""
        lacking: list[Digest] = []
        judged: dict[ArtifactPath, Examined] = {}

        def items() -> Iterator[tuple[Step, bytes]]:
            for step in effect.steps:
                assert step.after is not None, "only puts are staged"
                digest = step.after.digest
                content = self._history.blob(digest) or self._memory.content(digest)
                if content is None and step.after.size:
                    lacking.append(digest)
                    continue
                content = content or b""
                judged[step.path] = self._memory.examine(step.path, digest, content)
                yield step, content

        try:
            self._disk.stage(effect.txid, items())
        except SyncagentError as error:
            return rs.StageFailed(effect.txid, str(error))
        done = tuple(s.after.digest for s in effect.steps if s.after)
        return rs.Staged(effect.txid, done, judged, _refused(judged), tuple(lacking))

    def blobs(self, effect: fx.StageBlobs) -> Result | None:
        """Verify, keep, stage, judge; None if the verdicts come later, as a `JudgedBlobs`."""
        try:
            by_digest = self._verified(effect.blobs)
        except RefusedError as error:
            return rs.StageFailed(effect.txid, f"what came is not what was asked for: {error}")
        except DiskError as error:
            return rs.StageFailed(effect.txid, str(error))
        try:
            self._keep_batch(effect.blobs, by_digest)
            self._disk.stage(
                effect.txid, ((s, by_digest[s.after.digest]) for s in effect.steps if s.after)
            )
            self._wrote(effect.txid, sum(map(len, by_digest.values())))
            if self.judging is not None and not self.judging.written(effect):
                return None
            return self._finish(effect, by_digest)
        except SyncagentError as error:
            return rs.StageFailed(effect.txid, str(error))

    def _wrote(self, txid: int, size: int) -> None:
        self._unwritten += size
        if self._unwritten >= WRITE_BACK_BYTES and self.write_back is not None:
            self._unwritten = 0
            self.write_back(txid)

    def judged(self, effect: fx.JudgedBlobs) -> Result:
        """Finish a batch that was written before it was judged."""
        staged = effect.staged
        try:
            return self._finish(staged, None)
        except SyncagentError as error:
            return rs.StageFailed(staged.txid, str(error))

    def _finish(self, effect: fx.StageBlobs, by_digest: Mapping[Digest, bytes] | None) -> Result:
        """Give verdicts; what is refused goes into quarantine. Raises SyncagentError.

        Without `by_digest` the bytes are unpacked again, if anything still asks for them.
        """
        judged: dict[ArtifactPath, Examined] = {}
        for step in effect.steps:
            assert step.after is not None, "only puts are staged"
            digest = step.after.digest
            known = self._memory.verdict(step.path, digest)
            if known is None or not known.valid:
                by_digest = by_digest or self._verified(effect.blobs)
                known = self._memory.examine(step.path, digest, by_digest[digest])
            judged[step.path] = known
        refused = _refused(judged)
        for row in refused:
            assert by_digest is not None, "the bytes of what is refused were just unpacked"
            digest = next(s.after.digest for s in effect.steps if s.path == row.path and s.after)
            self._disk.keep(row.path, by_digest[digest], Keep.REFUSED, row.problem.reason)
        sealed = effect.last and not refused
        if sealed:
            self._disk.seal(effect.txid)
        digests = tuple(entry.digest for entry in _entries(effect.blobs))
        return rs.Staged(effect.txid, digests, judged, refused, sealed=sealed)

    def keep(self, effect: fx.KeepBlobs) -> Result:
        """Keep blobs that no step needs now."""
        try:
            self._keep_batch(effect.blobs, self._verified(effect.blobs))
        except SyncagentError as error:
            return rs.BlobsKept(effect.job, (), str(error))
        return rs.BlobsKept(effect.job, tuple(e.digest for e in _entries(effect.blobs)))

    def seal(self, effect: fx.Seal) -> Result:
        """Make what was staged durable."""
        self._unwritten = 0
        try:
            self._disk.seal(effect.txid)
        except SyncagentError as error:
            return rs.StageFailed(effect.txid, str(error))
        return rs.Sealed(effect.txid)

    def discard(self, effect: fx.Discard) -> Result | None:
        """Drop what was staged."""
        self._unwritten = 0
        if self.judging is not None:
            self.judging.forget(effect.txid)
        try:
            self._disk.discard(effect.txid)
        except DiskError as error:
            # What stays there is swept at the next start; no other transaction meets it.
            return rs.Trouble("staging", str(error))
        return None

    def _verified(self, blobs: Blobs | Delta) -> dict[Digest, bytes]:
        """Return what a message carries, each with the digest that it says. Raises RefusedError."""
        if isinstance(blobs, Blobs):
            contents = split_batch(blobs.entries, blobs.frame)
            return {e.digest: content for e, content in zip(blobs.entries, contents, strict=True)}
        base = self._history.blob(blobs.base)
        if base is None:
            raise RefusedError(f"a delta against {blobs.base}, which is not here")
        content = apply_delta(base, blobs.frame, blobs.entry.size)
        if digest_of(content) != blobs.entry.digest:
            raise RefusedError(f"bytes of {blobs.entry.digest} have another digest")
        return {blobs.entry.digest: content}

    def _keep_batch(self, blobs: Blobs | Delta, by_digest: Mapping[Digest, bytes]) -> None:
        if isinstance(blobs, Blobs):
            self._history.add_blobs(blobs.entries, blobs.frame)
        else:
            content = by_digest[blobs.entry.digest]
            self._history.add_blobs(*compress_batch([(blobs.entry, content)]))


def _entries(blobs: Blobs | Delta) -> tuple[Entry, ...]:
    return blobs.entries if isinstance(blobs, Blobs) else (blobs.entry,)


def _refused(judged: Mapping[ArtifactPath, Examined]) -> tuple[Refused, ...]:
    """Return the first error of each artifact that is not valid."""
    return tuple(
        Refused(path, examined.problems[0])
        for path, examined in judged.items()
        if not examined.valid
    )
