"""The hand that takes from a share what a job lacks: within moments or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.results import ShareRead
from syncagent.core.errors import DiskError
from syncagent.core.wire.messages import Blobs
from syncagent.core.wire.packing import batches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from syncagent.agent.share_effects import ReadShare
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.manifest import Entry

    Read = Callable[[Sequence[tuple[ArtifactPath, Entry]]], Iterator[tuple[Entry, bytes]]]


class ShareReading:
    """Carries out ReadShare. `read` yields what it finds, verified, and raises DiskError.

    It must not hang: whoever waits for the bytes waits for it.
    """

    def __init__(self, read: Read) -> None:
        self._read = read

    def do(self, effect: ReadShare) -> ShareRead:
        """Return what the share has of `effect.wanted`; what came before a failure counts."""
        found: list[tuple[Entry, bytes]] = []
        why = ""
        try:
            found.extend(self._read(effect.wanted))
        except DiskError as error:
            why = str(error)
        blobs = tuple(Blobs(entries, frame) for entries, frame in batches(found))
        return ShareRead(effect.txid, blobs, why)
