"""`FileGuard`: the durable memory of the highest token, behind the Guard port.

The file `guard` holds one line of JSON and the digest of that line. It is replaced durably before
anything is done under a higher token, and read again under the lock before every decision: the
file is the truth, not what this process remembers of it. The lock is two: one of threads, one
of processes (flock on `guard.lock`; POSIX record locks would belong to the whole process).

A guard that is missing or unreadable beside a ledger means that this node no longer knows whom it
admitted: nothing is admitted until a person enrols it again with the highest epoch of its peers.
"""

from __future__ import annotations

import json
import os
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from syncagent.core.artifact import NodeName
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, FencedError, StateError
from syncagent.core.guard import Admission, GuardState, judge, refusal
from syncagent.core.revision import Token
from syncagent.history.durable import (
    FILE_MODE,
    disk_errors,
    is_there,
    read_if_there,
    replace_durably,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncagent.fsio import OsFS

GUARD_NAME: Final = "guard"
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_RE_ENROL: Final = (
    "run `syncagent init --re-enrol`: it takes over the highest epoch that the peers admitted"
)


class FileGuard:
    """The guard in the folder `path`, for `cluster`. Any thread may call any method.

    A thread that is inside `holding` must not call `admit` or `holding` again.
    """

    def __init__(self, fs: OsFS, path: str, cluster: str) -> None:
        self._fs = fs
        self._cluster = cluster
        self._file = f"{path}/{GUARD_NAME}"
        self._lock_file = f"{path}/{GUARD_NAME}.lock"
        self._ledger = f"{path}/ledger"
        self._mutex = threading.Lock()
        self._owner = 0
        self._settled = False

    def state(self) -> GuardState:
        """Return what was admitted, as the file says. Raises StateError or DiskError."""
        with disk_errors(f"read {self._file}"):
            content = read_if_there(self._fs, self._file)
        if content is None:
            raise StateError(f"the guard {self._file} is missing", hint=_RE_ENROL)
        state = parse_guard(content)
        if state is None:
            raise StateError(f"the guard {self._file} is damaged", hint=_RE_ENROL)
        if state.cluster != self._cluster:
            raise StateError(
                f"the guard {self._file} is of cluster {state.cluster!r}, "
                f"the settings say {self._cluster!r}",
                hint="correct `[cluster] name`, or give this cluster a `state_dir` of its own",
            )
        return state

    def admit(self, token: Token, *, forced: bool = False) -> GuardState:
        """Admit `token`, durably if it is higher. Raises FencedError, StateError or DiskError.

        After a DiskError the token may or may not have been remembered; it was not acted upon.
        """
        with self._locked():
            state = self.state()
            admission = judge(state, token, forced=forced)
            if not admission.admitted:
                raise FencedError(refusal(state, token, admission))
            if admission is Admission.HIGHER:
                state = GuardState(state.cluster, token)
                self._write(state)
            elif not self._settled:
                self._settle()
            return state

    @contextmanager
    def holding(self, token: Token) -> Iterator[None]:
        """Hold the lock with `token` re-checked: no other token is admitted inside.

        Raises FencedError if it is not the admitted one, StateError or DiskError.
        """
        with self._locked():
            state = self.state()
            admission = judge(state, token)
            if admission is Admission.HIGHER:
                raise FencedError(
                    f"epoch {token.epoch} was not admitted here: epoch {state.epoch} is the highest"
                )
            if admission is not Admission.SAME:
                raise FencedError(refusal(state, token, admission))
            if not self._settled:
                self._settle()
            yield

    def enrol(self) -> GuardState:
        """Make the guard of a new node (epoch 0), if this folder has neither guard nor ledger.

        A guard that is there stays as it is. Raises StateError if it is damaged, or missing
        beside a ledger.
        """
        with self._locked():
            with disk_errors(f"look at {self._file}"):
                there = is_there(self._fs, self._file)
                enrolled = is_there(self._fs, self._ledger)
            if there or enrolled:
                return self.state()
            fresh = GuardState(self._cluster)
            self._write(fresh)
            return fresh

    def re_enrol(self, highest: Token | None) -> GuardState:
        """Begin the guard anew at the highest token that the peers admitted.

        What is there and readable is never lowered. Raises DiskError.
        """
        with self._locked():
            found = self._readable()
            if found is not None and found.epoch >= (highest.epoch if highest else 0):
                return found
            state = GuardState(self._cluster, highest)
            self._write(state)
            return state

    # Private.

    @contextmanager
    def _locked(self) -> Iterator[None]:
        assert self._owner != threading.get_ident(), "the guard's lock is held by this thread"
        with self._mutex:
            with disk_errors(f"lock {self._lock_file}"):
                fd = self._fs.open(self._lock_file, _LOCK_FLAGS, FILE_MODE)
            try:
                with disk_errors(f"lock {self._lock_file}"):
                    self._fs.flock(fd, wait=True)
                self._owner = threading.get_ident()
                yield
            finally:
                self._owner = 0
                with suppress(OSError):
                    self._fs.close(fd)

    def _readable(self) -> GuardState | None:
        try:
            return self.state()
        except StateError:
            return None

    def _write(self, state: GuardState) -> None:
        self._settled = False
        try:
            with disk_errors(f"write {self._file}"):
                replace_durably(self._fs, self._file, encode_guard(state))
        except DiskError as error:
            error.hint = (
                error.hint or "the token was not admitted; mend the disk of the state folder"
            )
            raise
        self._settled = True

    def _settle(self) -> None:
        """Make the file that was found durable: the process before may have died short of that."""
        with disk_errors(f"write {self._file}"):
            self._fs.fsync_dir(os.path.dirname(self._file))  # noqa: PTH120 - strings, as in fsio
        self._settled = True


def encode_guard(state: GuardState) -> bytes:
    """Return what the file says for `state`."""
    highest = state.highest
    line = json.dumps(
        {
            "cluster": state.cluster,
            "epoch": state.epoch,
            "holder": highest.holder if highest else "",
            "incarnation": highest.incarnation if highest else "",
        },
        sort_keys=True,
    ).encode()
    return line + b"\n" + digest_of(line).encode() + b"\n"


def parse_guard(content: bytes) -> GuardState | None:
    """Return what the file says; None if it is damaged."""
    line, _, rest = content.partition(b"\n")
    if rest != digest_of(line).encode() + b"\n":
        return None
    try:
        found: object = json.loads(line)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    match found:
        case {"cluster": str(cluster), "epoch": 0}:
            return GuardState(cluster)
        case {
            "cluster": str(cluster),
            "epoch": int(epoch),
            "holder": str(holder),
            "incarnation": str(incarnation),
        } if epoch >= 1:
            return GuardState(cluster, Token(cluster, epoch, NodeName(holder), incarnation))
        case _:
            return None
