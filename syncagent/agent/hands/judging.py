"""Batches of a large set, judged in another process while this one writes them.

Every batch of such a set is on offer from the moment it arrives. The thread here takes one after the
other and has it judged; the committer writes one after the other, and judges itself what nobody has
taken by then. So neither waits for the other. Who comes second finishes the batch: the committer, if
the verdicts are there; else `late` has it do so when they are. Only when nothing is left to write
does it judge what the other process has too: on a busy machine that one may be far behind.

Verdicts go where all are (`Memory`), each by path and digest. Where the other process is of no
use the batch is finished without them, which has the committer judge: nothing depends on it.
"""

from __future__ import annotations

import threading
from enum import Enum
from typing import TYPE_CHECKING

from syncagent.agent.effects import JudgedBlobs
from syncagent.agent.hands.lanes import Crashed
from syncagent.core.wire.messages import Blobs
from syncagent.core.wire.verdicts import Docket, Exhibit

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.effects import StageBlobs
    from syncagent.agent.hands.memory import Memory
    from syncagent.ports import BatchValidator

FILES_MIN = 500
"""A process costs 50 ms of one processor to start, as much as judging so many artifacts."""
IDLE_S = 20.0
"""How long the process stays when there is nothing to judge."""


class _At(Enum):
    """How far a batch is."""

    WAITING = "nobody has it"
    TAKEN = "it is being judged"
    WRITTEN = "it is being judged, and written already"
    DONE = "it is judged, or can't be here"


class Judging:
    """Has batches judged beside the committer. `late` takes what the committer is to finish."""

    def __init__(
        self,
        validator: BatchValidator,
        memory: Memory,
        post: Callable[[object], None],
        late: Callable[[JudgedBlobs], None],
        *,
        idle_s: float = IDLE_S,
    ) -> None:
        self._validator = validator
        self._memory = memory
        self._post = post
        self._late = late
        self._idle_s = idle_s
        self._batches: dict[int, tuple[StageBlobs, _At]] = {}
        self._wake = threading.Condition()
        self._thread: threading.Thread | None = None
        self._over = False
        self._whole: int | None = None
        """The txid of which every batch was offered."""

    # --- the loop's and the committer's side ------------------------------------------------

    def expect(self) -> None:
        """Have the process ready: a large set may be about to come."""
        with self._wake:
            self._run()

    def offer(self, effect: StageBlobs) -> None:
        """Offer a batch, if the set that it belongs to is large; does not block."""
        if effect.files < FILES_MIN or not isinstance(effect.blobs, Blobs):
            return
        with self._wake:
            if self._validator.usable and not self._over:
                self._batches[id(effect)] = (effect, _At.WAITING)
                self._whole = effect.txid if effect.end else None
                self._run()

    def written(self, effect: StageBlobs) -> bool:
        """Tell whether the committer, which has written the batch, has to finish it now."""
        with self._wake:
            _, at = self._batches.pop(id(effect), (effect, _At.DONE))
            if self._whole == effect.txid and self._all_written():
                overdue, self._batches = self._batches, {}
            elif at is _At.TAKEN:
                self._batches[id(effect)] = (effect, _At.WRITTEN)
                return False
            else:
                overdue = {}
        for other, _ in overdue.values():
            self._late(JudgedBlobs(other))
        return True

    def _all_written(self) -> bool:
        return all(at is _At.WRITTEN for _, at in self._batches.values())

    def forget(self, txid: int) -> None:
        """Judge nothing more of a set that is dropped."""
        with self._wake:
            for key, (effect, at) in list(self._batches.items()):
                if effect.txid == txid and at is not _At.TAKEN:
                    del self._batches[key]

    def stop(self) -> None:
        """Judge nothing more, and end the process."""
        with self._wake:
            self._over = True
            self._batches.clear()
            self._wake.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join()

    # --- the thread's side ------------------------------------------------------------------

    def _run(self) -> None:
        if self._thread is None and not self._over:
            self._thread = threading.Thread(target=self._work, name="judging", daemon=True)
            self._thread.start()
        self._wake.notify_all()

    def _work(self) -> None:
        try:
            self._validator.begin()
            while (effect := self._take()) is not None:
                self._judge(effect)
        except BaseException as error:  # noqa: BLE001 - passed on: the loop raises it and ends
            self._post(Crashed("judging", error))
        finally:
            self._validator.end()

    def _take(self) -> StageBlobs | None:
        """Return the first batch that nobody has; None when there was none for a while."""
        with self._wake:
            while not self._over:
                for key, (effect, at) in self._batches.items():
                    if at is _At.WAITING:
                        self._batches[key] = (effect, _At.TAKEN)
                        return effect
                if not self._wake.wait(self._idle_s):
                    break
            self._thread = None
            return None

    def _judge(self, effect: StageBlobs) -> None:
        blobs = effect.blobs
        assert isinstance(blobs, Blobs), "nothing else was offered"
        steps = [step for step in effect.steps if step.after is not None]
        number = {entry.digest: index for index, entry in enumerate(blobs.entries)}
        exhibits = tuple(
            Exhibit(number[step.after.digest], self._memory.kind(step.path), step.path.path)
            for step in steps
            if step.after is not None
        )
        verdicts = self._validator.judge(Docket(blobs.entries, blobs.frame, exhibits))
        for step, examined in zip(steps, verdicts or (), strict=verdicts is not None):
            assert step.after is not None, "only what has bytes was asked for"
            self._memory.learn(step.path, step.after.digest, examined)
        with self._wake:
            known = self._batches.pop(id(effect), None)
            if known is not None and known[1] is _At.TAKEN:
                self._batches[id(effect)] = (effect, _At.DONE)
        if known is not None and known[1] is _At.WRITTEN:
            self._late(JudgedBlobs(effect))
