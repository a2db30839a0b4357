"""The hand that serves what other nodes lack: manifests in parts, blobs in batches or as deltas."""

from __future__ import annotations

import logging
from itertools import islice
from typing import TYPE_CHECKING

from syncagent.agent.results import Lacking
from syncagent.core.errors import DiskError
from syncagent.core.manifest import Entry
from syncagent.core.wire.messages import Blobs, Delta, ManifestPart, Missing
from syncagent.core.wire.packing import compress_batch, make_delta

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncagent.agent.effects import Serve
    from syncagent.agent.hands.memory import Memory
    from syncagent.core.digest import Digest
    from syncagent.core.manifest import Manifest
    from syncagent.core.wire.messages import Message, Want
    from syncagent.ports import History

LOG = logging.getLogger("syncagent")
ROWS_PER_PART = 5_000


class Serving:
    """Carries out Serve. `send` queues a message on a connection."""

    def __init__(
        self, history: History, memory: Memory, send: Callable[[int, Message], None]
    ) -> None:
        self._history = history
        self._memory = memory
        self._send = send

    def do(self, effect: Serve) -> Lacking | None:
        """Answer one `Want`; what is not here, or can't be read now, is named in a `Missing`.

        Return what is not here.
        """
        try:
            lacking = self._serve(effect)
        except DiskError as error:
            LOG.warning("a peer's wish can't be served now: %s", error)
            self._send(effect.link, Missing(effect.want.revision, ()))
            return None
        return Lacking(effect.link, effect.want.revision, lacking) if lacking else None

    def _serve(self, effect: Serve) -> tuple[Digest, ...]:
        want = effect.want
        if want.manifest:
            if effect.manifest is None:
                self._send(effect.link, Missing(want.revision, ()))
                return ()
            self._rows(effect.link, want, effect.manifest)
        rest: Sequence[Digest] = want.blobs
        if want.bases:
            rest = self._deltas(effect.link, want)
        return self._blobs(effect.link, want, rest)

    def _rows(self, link: int, want: Want, manifest: Manifest) -> None:
        rows = iter(manifest)
        part = tuple(islice(rows, ROWS_PER_PART))
        while True:
            following = tuple(islice(rows, ROWS_PER_PART))
            self._send(link, ManifestPart(want.revision, part, last=not following))
            if not following:
                return
            part = following

    def _deltas(self, link: int, want: Want) -> list[Digest]:
        """Send deltas where the asker has a base that is here too; return the others."""
        rest: list[Digest] = []
        for digest, base in zip(want.blobs, want.bases, strict=True):
            old = self._history.blob(base) if base is not None else None
            new = self._bytes(digest) if old is not None else None
            if base is None or old is None or new is None:
                rest.append(digest)
                continue
            entry = _entry(digest, new)
            self._send(link, Delta(entry, base, make_delta(old, new)))
        return rest

    def _bytes(self, digest: Digest) -> bytes | None:
        return self._memory.content(digest) or self._history.blob(digest)

    def _blobs(self, link: int, want: Want, wanted: Sequence[Digest]) -> tuple[Digest, ...]:
        kept = [digest for digest in wanted if self._history.has(digest)]
        sent: set[Digest] = set()
        for entries, frame in self._history.batches(kept):
            sent.update(entry.digest for entry in entries)
            self._send(link, Blobs(entries, frame))
        lacking: list[Digest] = []
        for digest in wanted:
            if digest in sent:
                continue
            # A revision that is being made durable moves its bytes from memory to history meanwhile.
            content = self._bytes(digest)
            if content is None:
                lacking.append(digest)
            else:
                self._send(link, Blobs(*compress_batch([(_entry(digest, content), content)])))
        if lacking:
            self._send(link, Missing(want.revision, tuple(lacking)))
        return tuple(lacking)


def _entry(digest: Digest, content: bytes) -> Entry:
    return Entry(digest, len(content))
