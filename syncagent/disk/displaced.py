"""What a commit found in a place that it needed: verified, and kept if it was not expected.

The bytes lie in our own stage folder when they are looked at here (or, where a file system cannot
swap names, still live): nobody else writes there, so what is verified is what is kept.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from syncagent.core.digest import digest_of, digest_of_parts
from syncagent.core.intent import Keep, Kept
from syncagent.disk.quarantine import kept_id
from syncagent.fsio import O_CONTENT

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from syncagent.core.digest import Digest
    from syncagent.core.intent import Step
    from syncagent.disk.places import Ground
    from syncagent.disk.quarantine import Quarantine
    from syncagent.fsio import OsFS

_CHUNK_BYTES = 1 << 20


class Displaced:
    """Decides what of the displaced is kept, for one transaction. Methods raise OSError."""

    def __init__(self, fs: OsFS, quarantine: Quarantine, txid: int) -> None:
        self._fs = fs
        self._quarantine = quarantine
        self._txid = txid
        self.detail = f"displaced by transaction {txid}"

    def settle(self, ground: Ground, slot: str, step: Step) -> None:
        """Keep what lies in the slot if it is not what was expected, or if it is to be kept."""
        status = status_of(self._fs, ground.stage_fd, slot)
        if status is None:
            return
        if not stat.S_ISREG(status.st_mode):
            self.take(ground, (ground.stage_fd, slot), step, Keep.CONFLICT)
            return
        found = digest_at(self._fs, ground.stage_fd, slot, status)
        reason = self.reason(step, found)
        if reason is not None:
            self.take(ground, (ground.stage_fd, slot), step, reason)

    def reason(self, step: Step, found: Digest | None) -> Keep | None:
        """Return why displaced bytes of digest `found` are to be kept, None if they are not."""
        if found == step.expected:
            return step.keep
        return None if found == wanted(step) else Keep.CONFLICT

    def take(self, ground: Ground, at: tuple[int, str], step: Step, reason: Keep) -> None:
        """Put what lies at `at`, a folder's descriptor and a name, into quarantine."""
        folder_fd, name = at
        status = self._fs.stat(name, dir_fd=folder_fd, follow_symlinks=False)
        regular = stat.S_ISREG(status.st_mode)
        digest = digest_at(self._fs, folder_fd, name, status) if regular else None
        kept = Kept(
            id=kept_id(self._txid, step.path),
            path=step.path,
            reason=reason,
            digest=digest or digest_of(b""),
            size=status.st_size if regular else 0,
            at=self._quarantine.now(),
            detail=self.detail if regular else f"{self.detail}; it was not a regular file",
        )
        self._quarantine.take(ground.place, folder_fd, name, kept)


def status_of(fs: OsFS, folder_fd: int, name: str) -> os.stat_result | None:
    """Return the status of `name` itself, None if it is not there."""
    try:
        return fs.stat(name, dir_fd=folder_fd, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def digest_at(fs: OsFS, folder_fd: int, name: str, status: os.stat_result) -> Digest | None:
    """Return the digest of a regular file; None for anything else."""
    if not stat.S_ISREG(status.st_mode):
        return None
    fd = fs.open(name, O_CONTENT, dir_fd=folder_fd)
    try:
        return digest_of_parts(parts_of(fs, fd))
    finally:
        fs.close(fd)


def parts_of(fs: OsFS, fd: int) -> Iterator[bytes]:
    """Yield what is left to read of `fd`."""
    return iter(lambda: fs.read(fd, _CHUNK_BYTES), b"")


def wanted(step: Step) -> Digest | None:
    """Return the digest that is to be live after `step`, None for absent."""
    return step.after.digest if step.after is not None else None
