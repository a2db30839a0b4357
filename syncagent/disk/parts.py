"""What a node's disk is made of: the trees that one pair of hands reaches, here or elsewhere.

Trees on local file systems are reached by this process (`LocalPart`). Those on a network mount are
reached by a process of their own, since a call that hangs there can be neither ended nor left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.intent import Intent, Keep, Kept, Step, Written
    from syncagent.core.settings import Limits
    from syncagent.core.snapshot import Seen, Snapshot, Unread
    from syncagent.ports import Examiner


class Part(Protocol):
    """Some trees of a node. What is named as in `ports.Disk` does what that says, for these trees."""

    @property
    def trees(self) -> tuple[TreeName, ...]:
        """The trees that are reached here."""

    def take_limits(self, limits: Limits) -> None:
        """Work by other limits from the next look on."""

    def save_cache(self) -> bool:
        """Write the scan cache if it changed; tell whether it was written. Raises DiskError."""

    def scan(self, tree: TreeName, examiner: Examiner) -> Snapshot:
        """See `ports.Disk`."""

    def look(
        self, tree: TreeName, paths: Sequence[str], examiner: Examiner
    ) -> Mapping[str, Seen | Unread | None]:
        """See `ports.Disk`."""

    def read(self, path: ArtifactPath, digest: Digest) -> bytes | None:
        """See `ports.Disk`."""

    def identity_of(self, tree: TreeName) -> str | None:
        """See `ports.Disk`."""

    def trust(self, tree: TreeName, identity: str | None) -> None:
        """See `ports.Disk`."""

    def shun(self, tree: TreeName, why: str) -> None:
        """See `ports.Disk`."""

    def stage(self, txid: int, items: Iterable[tuple[Step, bytes]]) -> None:
        """See `ports.Disk`."""

    def write_back(self, txid: int) -> None:
        """See `ports.Disk`."""

    def seal(self, txid: int) -> None:
        """See `ports.Disk`."""

    def discard(self, txid: int) -> None:
        """See `ports.Disk`."""

    def keep(self, path: ArtifactPath, content: bytes, reason: Keep, detail: str) -> Kept:
        """See `ports.Disk`."""

    def kept(self) -> Sequence[Kept]:
        """See `ports.Disk`."""

    def kept_bytes(self, kept_id: str) -> bytes:
        """See `ports.Disk`."""

    def sweep(self, *, older_than_s: float, bytes_max: int) -> int:
        """See `ports.Disk`."""

    def touch(self, path: ArtifactPath, digest: Digest) -> bool:
        """See `ports.Disk`."""

    def drop(self) -> None:
        """Drop all that was ever staged. Raises DiskError if something stays behind."""

    def ready(self, intent: Intent) -> Written:
        """Return what the record of an intent over these trees must say; nothing has changed yet.

        Raises DiskError if it was not staged and sealed, or a root can't be believed.
        """

    def carry_out(self, written: Written, *, again: bool) -> tuple[Kept, ...]:
        """Take every step of a recorded intent and make it durable; return what is kept.

        `again`: an earlier process, or an earlier call, may have taken some. Trees that are not
        listed here any more are left alone. Raises DiskError or OSError: then it must be done again.
        """
