"""Getting the bytes of a job beside the tree: from the own history, a share, or the other node.

What is asked for at a time is bounded, so that the sender's queue is too, however badly the bytes
compress; the next window is asked for while the last one is being staged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import KeepBlobs, Send, StageBlobs, StageOwn
from syncagent.agent.node.job import Stage
from syncagent.agent.results import Staged
from syncagent.agent.share_effects import ReadShare
from syncagent.core.settings import SHARE
from syncagent.core.wire.messages import Blobs, Want

if TYPE_CHECKING:
    from syncagent.agent.node.job import Job
    from syncagent.agent.node.state import State
    from syncagent.agent.results import ShareRead
    from syncagent.core.digest import Digest
    from syncagent.core.intent import Step
    from syncagent.core.wire.messages import Delta

AHEAD_BYTES_MAX = 64 * 1024
"""Raw bytes that may come just before the offer that needs them, without being asked for."""
SEAL_AT_ONCE_MAX = 8
"""Artifacts that, where they are all that was lacking, are made durable as they are staged."""
WINDOW_BYTES = 64 * 1024 * 1024
"""Raw bytes that are on their way at most: half of what a link lets wait."""
DELTA_BLOBS_MAX = 256
"""More wanted blobs than this travel as batches: one dictionary for each costs more than it saves."""


class Gathering:
    """Collects what the steps of a job need. A job that has it all is `complete`."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._ahead: tuple[int, Blobs] | None = None

    def ahead(self, link: int, message: Blobs | Delta) -> None:
        """Keep blobs that came unasked: the next offer on this connection will want them."""
        self._ahead = None
        if isinstance(message, Blobs):
            size = sum(entry.size for entry in message.entries)
            self._ahead = (link, message) if size <= AHEAD_BYTES_MAX else None

    def begin(self, job: Job) -> str | None:
        """Stage what is here, ask for the rest; return why that can't be, None if it can."""
        puts = list(job.reads or ()) or [step for step in job.steps if step.after is not None]
        job.files_total = len(puts)
        job.bytes_total = sum(step.after.size for step in puts if step.after)
        job.phase, job.sealed = Stage.BLOBS, False
        own: list[Step] = []
        for step in puts:
            assert step.after is not None, "puts have bytes"
            if self._state.has_blob(step.after.digest):
                own.append(step)
            else:
                job.lacking.setdefault(step.after.digest, []).append(step)
        if own:
            job.staging += 1
            self._state.do(StageOwn(job.txid, tuple(own)))
        ahead, self._ahead = self._ahead, None
        if ahead is not None and ahead[0] == job.link:
            self._take_ahead(job, ahead[1])
        return self._ask(job)

    def _take_ahead(self, job: Job, message: Blobs) -> None:
        if any(entry.digest in job.lacking for entry in message.entries):
            self.blobs(job, message)

    def blobs(self, job: Job, message: Blobs | Delta) -> None:
        """Take blobs; what came is no longer lacking, so that a second copy is not staged twice."""
        entries = message.entries if isinstance(message, Blobs) else (message.entry,)
        if not any(entry.digest in job.lacking for entry in entries):
            # Nothing of it was asked for: it is not kept either.
            return
        steps: list[Step] = []
        for entry in entries:
            steps.extend(job.lacking.pop(entry.digest, ()))
            if entry.digest in job.asked:
                job.asked.discard(entry.digest)
                job.asked_bytes -= entry.size
        job.staging += 1
        if job.reads is not None:
            self._state.do(KeepBlobs(-job.txid, message))
            return
        end = not job.lacking
        last = end and job.staging == 1 and len(steps) <= SEAL_AT_ONCE_MAX
        total = job.files_total
        self._state.do(StageBlobs(job.txid, message, tuple(steps), last=last, files=total, end=end))

    def staged(self, job: Job, result: Staged) -> str | None:
        """Take what was staged; return why the job can't go on, None if it can."""
        job.staging -= 1
        job.sealed = result.sealed
        job.examined.update(result.examined)
        if result.lacking:
            self._state.event("blob-lost", count=len(result.lacking))
            lost = set(result.lacking)
            for step in job.steps:
                if step.after is not None and step.after.digest in lost:
                    job.lacking.setdefault(step.after.digest, []).append(step)
        return self._ask(job)

    def kept(self, job: Job) -> str | None:
        """Take that what came is in the history; return why the job can't go on, None if it can."""
        job.staging -= 1
        return self._ask(job)

    @staticmethod
    def without(job: Job) -> None:
        """Go on without what is still lacking: it is on the mount, and read from there when seen."""
        job.lacking.clear()
        job.asked.clear()

    @staticmethod
    def complete(job: Job) -> bool:
        """Tell whether everything is beside the tree."""
        return not job.lacking and not job.staging

    def shared(self, job: Job, result: ShareRead) -> Staged:
        """Take what the share had; return what to go on with, as after any staging."""
        job.on_share = False
        lacking = len(job.lacking)
        for message in result.blobs:
            self.blobs(job, message)
        self._state.event(
            "share-read",
            revision=job.revision.number,
            found=lacking - len(job.lacking),
            left=len(job.lacking),
            reason=result.why,
        )
        return Staged(job.txid, (), {})

    def _try_share(self, job: Job) -> None:
        """Have the share looked at for what is lacking, once for each job.

        Whoever leads has less to send then, and nobody waits for a share that does not answer. What
        was made on a node a moment ago is not on the share yet.
        """
        if job.tried_share or not job.lacking or not self._state.settings.shadow:
            return
        if job.record is not None and job.record.author != SHARE:
            return
        wanted, room = [], WINDOW_BYTES
        for steps in job.lacking.values():
            step = steps[0]
            assert step.after is not None, "what is lacking has bytes"
            if room < step.after.size:
                break
            room -= step.after.size
            wanted.append((step.path, step.after))
        job.tried_share = job.on_share = True
        job.staging += 1
        self._state.do(ReadShare(job.txid, tuple(wanted)))

    def _ask(self, job: Job) -> str | None:
        """Ask for the next window if there is room for it."""
        self._try_share(job)
        if job.on_share:
            return None
        if len(job.asked) == len(job.lacking) or job.asked_bytes > WINDOW_BYTES // 2:
            return None
        if job.link is None:
            return f"the bytes of {len(job.lacking)} artifacts are not here"
        wanted = self._window(job)
        bases: tuple[Digest | None, ...] = ()
        if len(wanted) <= DELTA_BLOBS_MAX:
            bases = tuple(self._base_of(job.lacking[digest][0]) for digest in wanted)
        want = Want(job.revision, manifest=False, blobs=tuple(wanted), bases=bases)
        self._state.do(Send(job.link, want))
        return None

    @staticmethod
    def _window(job: Job) -> list[Digest]:
        """Return what to ask for next, and count it as asked."""
        wanted: list[Digest] = []
        for digest, steps in job.lacking.items():
            if digest in job.asked:
                continue
            if job.asked_bytes >= WINDOW_BYTES:
                break
            job.asked_bytes += steps[0].after.size if steps[0].after else 0
            job.asked.add(digest)
            wanted.append(digest)
        return wanted

    def _base_of(self, step: Step) -> Digest | None:
        known = step.expected is not None and self._state.has_blob(step.expected)
        return step.expected if known else None
