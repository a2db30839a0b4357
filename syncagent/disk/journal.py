"""The intent: one record for a whole commit, durable before its first step.

`state_dir/intent` is written in place, into a file that is there from the start: one flush and
no folder to sync. A record has a magic word, its length and its digest before its body, so a
torn one reads as none; that is right, because its commit had shown nothing yet. Nothing clears
a record: the ledger tells which txid is done, and the next commit writes over it.

The same envelope protects the quarantine's lists.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from syncagent.core.digest import digest_of, to_raw
from syncagent.core.errors import ProtocolError, StateError
from syncagent.core.wire.intents import INTENT_BYTES_MAX, pack_written, unpack_written
from syncagent.disk.refusal import disk_error

if TYPE_CHECKING:
    from syncagent.core.intent import Written
    from syncagent.fsio import OsFS

_INTENT = b"SYNAINT1"
_HEAD = struct.Struct("<8sQ16s")
_O_KEEP = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def wrap(magic: bytes, body: bytes) -> bytes:
    """Return `body` in an envelope that tells whether all of it is there."""
    return _HEAD.pack(magic, len(body), to_raw(digest_of(body))) + body


def unwrap(magic: bytes, record: bytes) -> bytes | None:
    """Return the body of `record`, None if it is torn, damaged or something else."""
    if len(record) < _HEAD.size:
        return None
    found, length, raw = _HEAD.unpack_from(record)
    body = record[_HEAD.size : _HEAD.size + length]
    if found != magic or len(body) != length or to_raw(digest_of(body)) != raw:
        return None
    return body


class Journal:
    """The intent file in `state_dir`."""

    def __init__(self, fs: OsFS, state_dir: str) -> None:
        self._fs = fs
        self._folder = state_dir
        self._path = f"{state_dir.rstrip('/')}/intent"
        self._ready = False

    def write(self, written: Written) -> None:
        """Make the intent durable. Raises DiskError if it is not, StateError if that is not sure.

        After StateError the intent may stand, and only `recover` may go on.
        """
        record = wrap(_INTENT, pack_written(written))
        try:
            self._prepare()
            fd = self._open()
        except OSError as error:
            raise disk_error("the intent can't be written", error) from error
        try:
            self._put(fd, record)
        except OSError as error:
            self._void(error)
            raise disk_error("the intent can't be made durable", error) from error

    def read(self) -> Written | None:
        """Return the intent and make sure it is durable; None if there is none.

        A process that was killed may have left it in the kernel's memory only. Raises DiskError.
        """
        try:
            self._prepare()
            fd = self._open()
            try:
                body = unwrap(_INTENT, self._fs.read_all(fd, INTENT_BYTES_MAX))
                written = _decode(body) if body is not None else None
                if written is not None:
                    self._fs.fdatasync(fd)
            finally:
                self._fs.close(fd)
        except OSError as error:
            raise disk_error("the intent can't be read", error) from error
        return written

    def _prepare(self) -> None:
        if not self._ready:
            self._fs.close(self._open())
            self._fs.fsync_dir(self._folder)
            self._ready = True

    def _open(self) -> int:
        return self._fs.open(self._path, _O_KEEP, 0o600)

    def _put(self, fd: int, record: bytes) -> None:
        try:
            self._fs.write_all(fd, record)
            self._fs.fdatasync(fd)
        finally:
            self._fs.close(fd)

    def _void(self, cause: OSError) -> None:
        # A write that failed may still be there after a crash: it must not read as an intent.
        try:
            self._put(self._open(), bytes(_HEAD.size))
        except OSError as error:
            raise StateError(
                f"the intent could not be written ({cause.strerror}) nor taken back "
                f"({error.strerror})",
                hint="mend the disk of the state folder, then restart the agent",
            ) from error


def _decode(body: bytes) -> Written:
    # The envelope's digest was right: what does not fit now was written by another version.
    try:
        return unpack_written(body)
    except ProtocolError as error:
        raise StateError(
            f"the intent in the state folder is not one of this version: {error}",
            hint="start the version that wrote it once: it finishes the commit",
        ) from error
