"""A person at a node: runs commands in this process and reads what they print."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from syncagent.cli.main import run
from syncagent.cli.session import Session
from syncagent.core.errors import SyncagentError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from syncagent.core.desk import JSON

GOLDEN = Path(__file__).parent.parent / "unit" / "cli" / "golden"

SETTINGS = """\
[cluster]
name = "apim-prod"
[node]
name = "gw-1"
state_dir = "{state_dir}"
listen = "127.0.0.1:7421"
[[tree]]
name = "synapse"
kind = "synapse"
path = "{tree}"
[election]
manager = "gw-1"
"""


def node(name: str, **fields: JSON) -> dict[str, JSON]:
    return {
        "name": name,
        "role": "worker",
        "state": "Synced",
        "revision": 412,
        "lag_s": 0,
        "artifacts": 1204,
        "deployed": 1204,
        "pending": 0,
        "rejected": 0,
        "unknown": 0,
        "refused": 0,
        "watch": "inotify",
        "seen_s": 0.2,
        "reason": "",
        **fields,
    }


RUNTIME: dict[str, JSON] = {
    "kind": "carbon",
    "label": "WSO2 API Manager 3.1.0",
    "phase": "ready",
    "detail": "",
    "scan_s": 15.0,
    "pause_s": 2.0,
}
STATUS: dict[str, JSON] = {
    "apiVersion": "syncagent/v1",
    "cluster": "apim-prod",
    "mode": "push",
    "manager": "gw-1",
    "epoch": 7,
    "revision": 412,
    "digest": "xxh3:0123456789abcdef0123456789abcdef",
    "state": "OutOfSync",
    "nodes": [
        node("gw-1", role="manager", runtime=RUNTIME),
        node(
            "gw-2", state="OutOfSync", revision=411, lag_s=18, deployed=1203, rejected=1, seen_s=2
        ),
        node(
            "gw-3-with-a-rather-long-name.example.org",
            state="Offline",
            revision=398,
            lag_s=7300,
            deployed=None,
            artifacts=None,
            pending=None,
            rejected=None,
            unknown=None,
            refused=None,
            watch=None,
            seen_s=7300,
            reason="no route to host",
        ),
    ],
    "held": [
        {
            "id": "b-0193",
            "tree": "synapse",
            "path": "",
            "node": "gw-2",
            "reason": "212 of 215 files missing; the folder is on another device than before",
            "at": "2026-11-21T12:03:10Z",
        }
    ],
    "alarms": ["inotify watches are used up; polling every 2 s"],
}


@dataclass
class Call:
    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        return json.loads(self.out)


class CommandLine:
    """Runs commands as a user of `gw-1` would."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.state_dir = folder / "state"
        self.state_dir.mkdir(mode=0o700)
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.settings = folder / "syncagent.toml"
        self.settings.write_text(SETTINGS.format(state_dir=self.state_dir, tree=self.tree))
        self.socket = self.state_dir / "control.sock"
        self.offline: Mapping[str, JSON] | SyncagentError = {"state": "Unknown", "nodes": []}
        self.alone: Mapping[str, JSON] = {"changes": [], "nodes": [], "held": []}
        self._capsys = capsys

    def _offline(self) -> Mapping[str, JSON]:
        if isinstance(self.offline, SyncagentError):
            raise self.offline
        return self.offline

    def __call__(self, *arguments: str) -> Call:
        session = Session(
            config=self.settings,
            offline_status=lambda _: self._offline(),
            reconcile_once=lambda _, *, dry_run, timeout_s: {**self.alone, "dry_run": dry_run},
        )
        code = run(arguments, session)
        out, err = self._capsys.readouterr()
        return Call(code, out, err)


def golden(name: str, text: str) -> None:
    """Demand that `text` is what the golden file says."""
    assert text == (GOLDEN / name).read_text(), f"golden/{name} says otherwise"
