"""`init --re-enrol`: the guard of a node begun anew from what its peers admitted."""

from __future__ import annotations

import queue
import uuid
from typing import TYPE_CHECKING

from syncagent import __version__
from syncagent.agent.enrolling import Inquiry, Known, token_to_take, warnings
from syncagent.agent.wiring.clock import SystemClock
from syncagent.core.errors import StateError
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.home import StateHome
from syncagent.history.ledger import peek
from syncagent.ssh.keys import KEY_FILE, load_key, make_key
from syncagent.ssh.links import Identity, SshLinks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.desk import JSON
    from syncagent.core.guard import GuardState
    from syncagent.core.settings import Settings

ASK_S = 10.0
"""How long all peers together have to answer: as long as one step of an SSH connection may take."""


def re_enrol(settings: Settings, *, force: bool) -> Mapping[str, JSON]:
    """Take over the highest token that the peers admitted; return what was found and done.

    Never lowers a guard that is readable. Raises BusyError if an agent runs, UnreachableError if
    no peer answers and StateError if the answers can't be believed (not with `force`), DiskError.
    """
    fs = OsFS()
    with StateHome.open(settings.state_dir, settings.cluster, settings.node, fs) as home:
        guard = FileGuard(fs, home.path, settings.cluster)
        before, fault = _readable(guard)
        standing = peek(fs, home.file("ledger"))
        known = Known(before, standing.revision.epoch if standing else 0)
        inquiry = _ask(settings, home, fs)
        taken = token_to_take(inquiry, known, forced=force)
        after = guard.re_enrol(taken)
        told = warnings(inquiry, known, taken)
    return {
        "epoch": after.epoch,
        "holder": after.highest.holder if after.highest else None,
        "before": before.epoch if before else None,
        "fault": fault,
        "answered": [
            {
                "name": name,
                "epoch": answer.highest.epoch if answer.highest else 0,
                "holder": answer.highest.holder if answer.highest else None,
                "revision": answer.revision.number,
            }
            for name, answer in sorted(inquiry.answers.items())
        ],
        "silent": [{"name": name, "reason": why} for name, why in sorted(inquiry.silent.items())],
        "warnings": told,
    }


def _readable(guard: FileGuard) -> tuple[GuardState | None, str]:
    """Return what the guard holds, or None and what is wrong with it."""
    try:
        return guard.state(), ""
    except StateError as error:
        return None, str(error)


def _ask(settings: Settings, home: StateHome, fs: OsFS) -> Inquiry:
    """Ask all peers what they admitted, for `ASK_S` at most."""
    key_path = home.file(KEY_FILE)
    key = load_key(fs, key_path) or make_key(fs, key_path)
    identity = Identity(settings.cluster, settings.node, uuid.uuid4().hex, key, __version__)
    peers = [peer for peer in settings.peers if peer.name != settings.node]
    inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    links = SshLinks(identity, peers, inbox.put)
    try:
        inquiry = Inquiry(peers, links)
        clock = SystemClock()
        until = clock.now() + ASK_S
        inquiry.start()
        while not inquiry.over and (left := until - clock.now()) > 0:
            try:
                inquiry.take(inbox.get(timeout=left))
            except queue.Empty:
                break
        inquiry.give_up()
    finally:
        links.stop()
    return inquiry
