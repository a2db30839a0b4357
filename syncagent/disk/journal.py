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
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.digest import Digest, digest_of, from_raw, to_raw
from syncagent.core.errors import ProtocolError, StateError
from syncagent.core.intent import Intent, Keep, Step
from syncagent.core.manifest import Entry
from syncagent.core.revision import RevisionId
from syncagent.core.wire.fields import bytes_of, items_of, whole_of
from syncagent.core.wire.packing import pack, unpack
from syncagent.disk.refusal import disk_error

if TYPE_CHECKING:
    from syncagent.fsio import OsFS

INTENT_BYTES_MAX = 256 * 1024 * 1024
"""100,000 steps with the longest paths that a tree may hold come to less."""

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


@dataclass(frozen=True, slots=True)
class Written:
    """An intent as the journal holds it, with what recovery has to know about staging.

    `inside` are the trees whose bytes wait in the root itself; `whole` are the top folders that
    become live by one rename.
    """

    intent: Intent
    inside: frozenset[TreeName] = frozenset()
    whole: frozenset[tuple[TreeName, str]] = frozenset()


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
        record = wrap(_INTENT, _encode(written))
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


def _encode(written: Written) -> bytes:
    intent = written.intent
    trees = sorted({step.path.tree for step in intent.steps})
    number = {tree: index for index, tree in enumerate(trees)}
    revision = intent.revision
    return pack(
        [
            intent.txid,
            [revision.epoch, revision.number, to_raw(revision.digest)],
            intent.memo,
            list(trees),
            sorted(written.inside),
            [list(fill) for fill in sorted(written.whole)],
            [_step_row(step, number[step.path.tree]) for step in intent.steps],
        ]
    )


def _step_row(step: Step, tree: int) -> list[object]:
    return [
        tree,
        step.path.path,
        to_raw(step.expected) if step.expected is not None else None,
        to_raw(step.after.digest) if step.after is not None else None,
        step.after.size if step.after is not None else 0,
        step.keep.value if step.keep is not None else None,
    ]


def _decode(body: bytes) -> Written:
    # The envelope's digest was right: what does not fit now was written by another version.
    try:
        record = items_of(unpack(body, limit=INTENT_BYTES_MAX), 7)
        txid, revision, memo, names, inside, whole, steps = record
        epoch, number, raw = items_of(revision, 3)
        trees = [TreeName(str_of(name)) for name in items_of(names)]
        intent = Intent(
            txid=whole_of(txid),
            revision=RevisionId(whole_of(epoch), whole_of(number), from_raw(bytes_of(raw))),
            steps=tuple(_step(items_of(row, 6), trees) for row in items_of(steps)),
            memo=bytes_of(memo),
        )
        return Written(
            intent,
            frozenset(TreeName(str_of(name)) for name in items_of(inside)),
            frozenset(_fill(items_of(fill, 2)) for fill in items_of(whole)),
        )
    except (ValueError, IndexError, ProtocolError) as error:
        raise StateError(
            f"the intent in the state folder is not one of this version: {error}",
            hint="start the version that wrote it once: it finishes the commit",
        ) from error


def _fill(row: list[object]) -> tuple[TreeName, str]:
    tree, top = row
    return TreeName(str_of(tree)), str_of(top)


def _step(row: list[object], trees: list[TreeName]) -> Step:
    tree, path, expected, after, size, keep = row
    return Step(
        path=ArtifactPath(trees[whole_of(tree)], str_of(path)),
        expected=_digest(expected),
        after=Entry(from_raw(bytes_of(after)), whole_of(size)) if after is not None else None,
        keep=Keep(str_of(keep)) if keep is not None else None,
    )


def _digest(value: object) -> Digest | None:
    return from_raw(bytes_of(value)) if value is not None else None


def str_of(value: object) -> str:
    """Return `value` if it is text; raises ProtocolError."""
    if not isinstance(value, str):
        raise ProtocolError(f"text was expected, not {type(value).__name__}")
    return value
