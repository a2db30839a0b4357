"""One `syncagent reconcile` at a time on a node: a lock that the kernel drops with the process."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from syncagent.core.errors import SyncagentError
from syncagent.fsio import OsFS

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_NAME = "reconcile.lock"
_AGAIN_S = 0.1
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def reconcile_lock(state_dir: str, *, wait_s: float) -> Iterator[bool]:
    """Hold the lock; gives False if another holds it for longer than `wait_s` seconds."""
    fs = OsFS()
    try:
        Path(state_dir).mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = fs.open(str(Path(state_dir) / LOCK_NAME), _FLAGS, 0o600)
    except OSError as error:
        raise SyncagentError(
            f"the state folder {state_dir} can't be used: {error.strerror}",
            hint="run this as the user that the agent runs as",
        ) from error
    try:
        yield _take(fs, fd, wait_s)
    finally:
        fs.close(fd)


def _take(fs: OsFS, fd: int, wait_s: float) -> bool:
    """Lock `fd`, trying until `wait_s` are over; False if another has it all that time."""
    pause = threading.Event()
    for attempt in range(int(wait_s / _AGAIN_S) + 1):
        if attempt:
            pause.wait(_AGAIN_S)
        try:
            fs.flock(fd)
        except BlockingIOError:
            continue
        return True
    return False
