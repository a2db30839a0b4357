"""The daemon: `run`, and what works without one."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from syncagent.agent.node.pausing import NOTE, paused_row, read_word
from syncagent.agent.node.sharing import mode_fields
from syncagent.agent.wiring import heap
from syncagent.agent.wiring.assembly import LOG, Assembly
from syncagent.agent.wiring.clock import SystemClock
from syncagent.agent.wiring.logs import start_logging
from syncagent.agent.wiring.place import control_path
from syncagent.agent.wiring.seat import Seat
from syncagent.agent.wiring.signals import Signals
from syncagent.core.desk import API_VERSION
from syncagent.core.errors import StateError
from syncagent.core.ledger import Standing
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.home import StateHome
from syncagent.history.ledger import peek
from syncagent.settings.afar import SilentHomeError
from syncagent.settings.gateway import (
    discover,
    refuse_synchronizer,
    with_new_trees,
)
from syncagent.settings.load import load
from syncagent.web.server import ControlServer
from syncagent.web.tcp import TcpDoor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.desk import JSON
    from syncagent.core.settings import Settings

_UNKNOWN_OFFLINE = (
    *("lag_s", "deployed", "pending", "rejected", "refused", "seen_s"),
    *("eligible", "unfit", "ready"),
)
"""Fields of a node's row that no file tells."""
SWITCH_S = 0.0005
"""The interpreter's switch interval: its default of 5 ms would be the largest delay of a push."""


def run(settings_path: Path) -> int:
    """Run the agent until SIGTERM or SIGINT. Raises SyncagentError if it can't start."""
    settings = load(str(settings_path), os.environ)
    start_logging(os.environ)
    sys.setswitchinterval(SWITCH_S)
    heap.tame()
    if settings.gateway_home:
        with suppress(SilentHomeError):
            refuse_synchronizer(discover(settings.gateway_home))
    seat = Seat(settings_path)
    actions = {
        signal.SIGTERM: seat.stop,
        signal.SIGINT: seat.stop,
        signal.SIGHUP: seat.reload,
    }
    with (
        StateHome.open(settings.state_dir, settings.cluster, settings.node, OsFS()) as home,
        Signals(actions),
    ):
        agent = Assembly(settings, home)
        control = ControlServer(control_path(settings), seat)
        control.start()
        door = None
        try:
            door = _open_door(settings, seat)
            while _live(agent, seat):
                agent = Assembly(seat.settings_now(agent.settings), home)
        finally:
            seat.leave()
            if door is not None:
                door.stop()
            control.stop()
    return 0


def _open_door(settings: Settings, seat: Seat) -> TcpDoor | None:
    """Open the TCP door if there is one. Raises what `TcpDoor` raises."""
    if not settings.http.listen:
        return None
    door = TcpDoor(settings.http, seat, seat, OsFS(), os.environ)
    port = door.start()
    seat.door = door
    LOG.info("answering HTTP%s on port %d", "S" if door.encrypted else "", port)
    return door


def _live(agent: Assembly, seat: Seat) -> bool:
    """Run one assembly to its end; return whether to start again."""
    again = False
    seat.take(agent)
    try:
        agent.start()
        heap.set_aside()
        seat.open()
        LOG.info("%s of cluster %s is up", agent.settings.node, agent.settings.cluster)
        again = agent.loop.run()
    finally:
        seat.shut(again=again)
        agent.stop(again=again)
    return again


def offline_status(settings: Settings) -> Mapping[str, JSON]:
    """Return what this node's files say, for `status` while no agent runs. Raises StateError."""
    folder = Path(settings.state_dir)
    ledger = folder / "ledger"
    if not ledger.is_file():
        raise StateError(
            f"{folder} holds no state of an agent",
            hint="start the agent (syncagent run) or name the right settings with --config",
        )
    fs = OsFS()
    # An agent that only does not answer may be appending: its files are looked at, never mended.
    standing = peek(fs, str(ledger)) or Standing()
    guard = FileGuard(fs, settings.state_dir, settings.cluster).state()
    holder = guard.highest.holder if guard.highest else None
    artifacts = len(standing.manifest.project(settings.tree_names))
    changed = datetime.fromtimestamp(ledger.stat().st_mtime, UTC)
    row: dict[str, JSON] = {
        "name": settings.node,
        "role": "manager" if holder == settings.node else "worker",
        "state": "Unknown",
        "revision": standing.revision.number,
        "artifacts": artifacts,
        "unknown": artifacts,
        "watch": "not running",
        "reason": "the agent is not running",
        "priority": settings.election.priority,
        **dict.fromkeys(_UNKNOWN_OFFLINE),
    }
    return {
        "apiVersion": API_VERSION,
        "cluster": settings.cluster,
        **mode_fields(settings),
        "manager": holder,
        "leader": {
            "holder": holder,
            "epoch": guard.epoch,
            "backend": settings.election.backend,
            "automatic": settings.election.backend != "static",
            "renewed_s": None,
            "lease_s": None,
            "unavailable_s": None,
            "fault": "",
            "why": "",
        },
        "paused": paused_row(read_word(standing.notes.get(NOTE, "")), SystemClock().wall()),
        "epoch": guard.epoch,
        "revision": standing.revision.number,
        "digest": standing.revision.digest,
        "state": "Unknown",
        "nodes": [row],
        "held": [],
        "alarms": [],
        "as_of": changed.isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def reconcile_once(settings: Settings, *, dry_run: bool, timeout_s: float) -> Mapping[str, JSON]:
    """Do one full round without a daemon: a manager declares and pushes, a worker repairs itself.

    Raises BusyError if an agent runs.
    """
    settings = with_new_trees(settings)
    with StateHome.open(settings.state_dir, settings.cluster, settings.node, OsFS()) as home:
        agent = Assembly(settings, home)
        agent.node.answering.waiting.one_round = True
        agent.start()
        thread = threading.Thread(target=agent.loop.run, name="loop", daemon=True)
        thread.start()
        try:
            wish: dict[str, JSON] = {"dry_run": dry_run, "timeout_s": timeout_s}
            result = cast("dict[str, JSON]", agent.desk.ask("reconcile", wish, timeout_s))
            result["role"] = "manager" if agent.state.token is not None else "worker"
        finally:
            agent.request_stop()
            thread.join()
            agent.stop()
    return result
