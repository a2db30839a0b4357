"""The quickstart is run as a new user would run it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.e2e

CLAIMS = (
    "three trees are equal, byte for byte",
    "every node has reported",
    "three trees are those of 4.0.0, byte for byte",
    "gw-2 has the cluster's bytes again",
    "the edit is in quarantine",
    "gw-1 refuses it",
    "both workers keep the last good version",
    "mended: nothing is refused",
    "it is held",
    "both workers still have every file",
    "it came back: nothing is held",
    "gw-2 has the change",
    "gw-1 calls gw-3 Offline",
    "gw-3 has the change too",
    "gw-1 calls all three Synced",
)


def quickstart(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"TMPDIR": str(tmp_path), "SYNCAGENT_VENV": os.environ.get("VIRTUAL_ENV", "")}
    kept = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return subprocess.run(
        [ROOT / "scripts" / "quickstart", *arguments],
        env=kept | {name: value for name, value in environment.items() if value},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def agents_below(folder: Path) -> list[str]:
    """Return the environments of processes whose settings lie below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = process.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        found += [line for line in environment if line.startswith(f"SYNCAGENT_CONFIG={folder}/")]
    return found


def test_the_quickstart_keeps_every_claim_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = quickstart(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tuple(re.findall(r"^ +ok: (.*)$", done.stdout, re.MULTILINE)) == CLAIMS
    assert "All 6 steps were as they say" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert agents_below(tmp_path) == []


def test_a_kept_cluster_runs_on_until_it_is_stopped(tmp_path: Path) -> None:
    done = quickstart(tmp_path, "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    (folder,) = tmp_path.iterdir()
    try:
        assert len(agents_below(tmp_path)) == 3
        assert f"scripts/quickstart --stop {folder}" in done.stdout
    finally:
        stopped = quickstart(tmp_path, "--stop", str(folder))
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert list(tmp_path.iterdir()) == []
    assert agents_below(tmp_path) == []


def test_stopping_a_folder_that_is_no_cluster_touches_nothing(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    done = quickstart(tmp_path, "--stop", str(mine))
    assert done.returncode == 1
    assert "holds no cluster" in done.stderr
    assert mine.is_dir()
