"""The quickstart is run as a new user would run it."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.e2e

FILES = (
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

GATEWAYS = (
    "every agent hears the runtime beside it",
    "all three gateways answer v1",
    "and each runtime said so of it",
    "all three gateways answer v2",
    "it is held: no other gateway gets it",
    "all three gateways answer v2",
    "it is ready again",
    "all three gateways answer v2",
    "and is deployed everywhere",
    "all three gateways answer v4",
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


def agents_below(folder: Path) -> set[str]:
    """Return the settings below `folder` with which processes run: agents, and what these start."""
    found = set()
    for process in Path("/proc").glob("[0-9]*/environ"):
        try:
            environment = process.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        found |= {line for line in environment if line.startswith(f"SYNCAGENT_CONFIG={folder}/")}
    return found


def runtimes_below(folder: Path) -> list[str]:
    """Return the homes of the runtimes that run in a folder below `folder`."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            parts = process.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "org.apache.synapse.SynapseServer" in parts:
            found += [part for part in parts if part.startswith(f"{folder}/")][-1:]
    return found


def test_the_quickstart_keeps_every_claim_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = quickstart(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert tuple(re.findall(r"^ +ok: (.*)$", done.stdout, re.MULTILINE)) == FILES
    assert "All 6 steps were as they say" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert agents_below(tmp_path) == set()


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
    assert agents_below(tmp_path) == set()


def test_stopping_a_folder_that_is_no_cluster_touches_nothing(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    done = quickstart(tmp_path, "--stop", str(mine))
    assert done.returncode == 1
    assert "holds no cluster" in done.stderr
    assert mine.is_dir()


@pytest.mark.needs_synapse
def test_three_real_gateways_answer_as_the_quickstart_says_until_they_are_stopped(
    tmp_path: Path,
) -> None:
    done = quickstart(tmp_path, "--synapse", "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert tuple(re.findall(r"^ +ok: (.*)$", done.stdout, re.MULTILINE)) == GATEWAYS
    assert done.stdout.count("200 <r>v4</r>") == 3
    assert "rejected by the runtime: Error : com.example.Discount" in done.stdout
    assert "restart the gateway of gw-1" in done.stdout
    (folder,) = tmp_path.iterdir()
    try:
        assert (len(agents_below(tmp_path)), len(runtimes_below(tmp_path))) == (3, 3)
        assert (
            len(re.findall(r"^  curl http://127.0.0.1:\d+/hello$", done.stdout, re.MULTILINE)) == 3
        )
    finally:
        stopped = quickstart(tmp_path, "--stop", str(folder))
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert list(tmp_path.iterdir()) == []
    assert (agents_below(tmp_path), runtimes_below(tmp_path)) == (set(), [])
