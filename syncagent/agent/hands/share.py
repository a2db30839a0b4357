"""The hand that reads from a share: within moments or not at all, and nobody waits for it.

What hangs in a mount can be neither ended nor waited for, so a thread of its own does the reading,
and while one hangs there is no other. It is believed as long as something comes every `SILENCE_S`;
what is lacking then comes over a connection, as without a share.
"""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Final

from syncagent.agent.results import ShareRead
from syncagent.core.errors import DiskError, StateError
from syncagent.core.wire.messages import Blobs
from syncagent.core.wire.packing import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from syncagent.agent.share_effects import ReadShare
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.manifest import Entry

    Wanted = Sequence[tuple[ArtifactPath, Entry]]
    Found = tuple[Entry, bytes]
    Read = Callable[[Wanted], Iterator[Found | None]]

SILENCE_S: Final = 2.0
"""Nothing from the share for so long means that it does not answer."""
LONGEST_S: Final = 30.0
"""A slow share is not waited for longer than this: a connection may be faster."""


class ShareReading:
    """Carries out ReadShare. `read` yields what it finds, None for what it does not.

    What it yields it has verified. It may raise DiskError or StateError, and may hang.
    """

    def __init__(self, read: Read, *, silence_s: float = SILENCE_S) -> None:
        self._read = read
        self._silence_s = silence_s
        self._thread: threading.Thread | None = None

    def idle(self, within_s: float = 0.0) -> bool:
        """Tell whether nothing hangs in the share; waits for that `within_s` at most."""
        if self._thread is not None:
            self._thread.join(within_s)
        return self._thread is None or not self._thread.is_alive()

    def do(self, effect: ReadShare) -> ShareRead:
        """Return what the share has of `effect.wanted`."""
        if not self.idle():
            return ShareRead(effect.txid, (), "the share does not answer")
        came: queue.SimpleQueue[Found | str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(
            target=self._look, args=(effect.wanted, came), name="share-read", daemon=True
        )
        self._thread.start()
        found: list[Found] = []
        why, until = "", time.monotonic() + LONGEST_S
        for _ in range(len(effect.wanted) + 1):
            try:
                item = came.get(timeout=min(self._silence_s, max(0.0, until - time.monotonic())))
            except queue.Empty:
                why = "the share does not answer"
                break
            if isinstance(item, str):
                why = item
                break
            if item is not None:
                found.append(item)
        blobs = tuple(Blobs(entries, frame) for entries, frame in batches(found))
        return ShareRead(effect.txid, blobs, why)

    def _look(self, wanted: Wanted, came: queue.SimpleQueue[Found | str | None]) -> None:
        try:
            for item in self._read(wanted):
                came.put(item)
            came.put("")
        except (DiskError, StateError) as error:
            came.put(str(error))
