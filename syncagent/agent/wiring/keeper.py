"""The keeper of a share: an agent of its own process, which `shadow` starts and supervises.

Its settings and its token come over standard input, which then stays open as long as the node that
started it lives; its first line on standard output is `up`, or why it is not. It never leads and
asks no lease store: what it may do to the share it may do under that one token, until the share
itself shows a newer one (`history.portable`).
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import threading
from typing import TYPE_CHECKING, cast

from syncagent.agent.wiring import heap
from syncagent.agent.wiring.assembly import Assembly
from syncagent.agent.wiring.keeper_place import keeper_folder
from syncagent.agent.wiring.logs import start_logging
from syncagent.agent.wiring.shadow import END_S, UP
from syncagent.agent.wiring.tether import die_with_parent
from syncagent.core.errors import BusyError, SyncagentError
from syncagent.core.settings import SHARE
from syncagent.fsio import OsFS
from syncagent.history.home import StateHome, lock_holder
from syncagent.history.portable import begin_reign

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.revision import Token
    from syncagent.core.settings import Settings


def main(parent: int) -> int:
    """Keep the share as standard input says; return the exit code."""
    die_with_parent(parent)
    heap.tame()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Meant for the node, also where a whole group gets them: it ends its keeper when it is done.
        signal.signal(number, signal.SIG_IGN)
    token, settings = cast("tuple[Token, Settings]", pickle.load(sys.stdin.buffer))  # noqa: S301 - from our own node
    start_logging(os.environ)
    logging.getLogger().handlers[0].addFilter(_named)
    try:
        keep(settings, token, sys.stdin.fileno(), lambda: _say(UP))
    except SyncagentError as error:
        _say(f"{error}. {error.hint}" if error.hint else str(error))
        return 1
    return 0


def keep(settings: Settings, token: Token, life: int, up: Callable[[], None]) -> None:
    """Keep the share under `token` until nothing more can come over `life`.

    `life` is a descriptor; `up` is called once others can connect. Raises SyncagentError if it can't
    be kept.
    """
    fs = OsFS()
    with _opened(settings, fs) as home:
        reign = begin_reign(fs, keeper_folder(fs, settings.trees), token)
        agent = Assembly(settings, home, reign)
        threading.Thread(target=_outlive_nobody, args=(fs, life, agent), daemon=True).start()
        try:
            agent.start()
            heap.set_aside()
            up()
            agent.loop.run()
        finally:
            agent.stop()


def _opened(settings: Settings, fs: OsFS) -> StateHome:
    """Open what the keeper has on this machine; an earlier one that is not gone has its lock."""
    try:
        return StateHome.open(settings.state_dir, settings.cluster, SHARE, fs)
    except BusyError as error:
        pid = lock_holder(fs, settings.state_dir)
        text = f"an earlier one (process {pid or '?'}) hangs in the share and can't be ended yet"
        raise BusyError(text) from error


def _outlive_nobody(fs: OsFS, life: int, agent: Assembly) -> None:
    """End with the node that started this process, in order if that goes, else at once."""
    while fs.read(life, 1024):
        continue
    agent.request_stop()
    threading.Event().wait(2 * END_S)
    os._exit(1)


def _say(word: str) -> None:
    """Say one line; nobody may be listening any more."""
    try:
        sys.stdout.write(" ".join(word.split()) + "\n")
        sys.stdout.flush()
    except OSError:
        return


def _named(record: logging.LogRecord) -> bool:
    """Let lines of this process be told from those of its node."""
    record.msg = f"share: {record.msg}"
    return True
