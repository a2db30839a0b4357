"""Real mounts over, under and inside a tree, in a mount namespace of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs_root

PROLOGUE = """
import json, os, subprocess, sys
from pathlib import Path
from syncagent.fsio import OsFS
from tests.fakes.eyes import Eyes, code, codes

base = Path(sys.argv[1])
said = {}

def run(*words):
    subprocess.run(words, check=True)

def tell(name, snapshot):
    said[name] = [snapshot.condition, codes(snapshot), sorted(snapshot.unlisted),
                  snapshot.tells_absence("api/a.xml")]
"""
GOOD = ["good", {"api/a.xml": "seen"}, [], False]


@pytest.fixture(autouse=True)
def _means() -> None:
    probe = subprocess.run(
        ["unshare", "-m", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True,
        check=False,
    )
    if probe.returncode != 0:
        reason = f"no mount namespaces here: {probe.stderr.decode().strip()}"
        if os.environ.get("SYNCAGENT_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


def play(scene: str, folder: Path) -> dict[str, object]:
    """Run `scene` where its mounts end with it; return what it said."""
    done = subprocess.run(
        [
            *("unshare", "-m", "--propagation", "private", sys.executable, "-c"),
            PROLOGUE + scene + "\nprint(json.dumps(said))",
            str(folder),
        ],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_a_tree_that_is_mounted_over_is_not_empty_but_replaced(tmp_path: Path) -> None:
    said = play(
        """
eyes = Eyes(base)
eyes.put("api/a.xml")
tell("before", eyes.scan())
run("mount", "-t", "tmpfs", "none", str(eyes.tree))
tell("covered", eyes.scan())
run("umount", "-l", str(eyes.tree))
tell("after", eyes.scan())
""",
        tmp_path,
    )
    assert said["before"] == said["after"] == GOOD
    assert said["covered"] == ["root-replaced", {}, [], False]


def test_a_tree_whose_mount_goes_away_is_replaced_by_the_empty_folder_below(
    tmp_path: Path,
) -> None:
    said = play(
        """
(base / "tree").mkdir()
run("mount", "-t", "tmpfs", "none", str(base / "tree"))
eyes = Eyes(base)
eyes.put("api/a.xml")
tell("before", eyes.scan())
run("umount", "-l", str(eyes.tree))
tell("gone", eyes.scan())
run("mount", "-t", "tmpfs", "none", str(eyes.tree))
tell("another", eyes.scan())
""",
        tmp_path,
    )
    assert said["before"] == GOOD
    assert said["gone"] == ["root-replaced", {}, [], False]
    assert said["another"] == ["root-replaced", {}, [], False]


def test_an_agent_that_looked_does_not_keep_a_file_system_busy(tmp_path: Path) -> None:
    said = play(
        """
(base / "tree").mkdir()
run("mount", "-t", "tmpfs", "none", str(base / "tree"))
eyes = Eyes(base)
eyes.put("api/a.xml")
tell("before", eyes.scan())
eyes.look("api/a.xml", "none.xml", "none/none.xml")
run("umount", str(eyes.tree))
""",
        tmp_path,
    )
    assert said == {"before": GOOD}


def test_a_bind_mount_of_the_same_device_in_the_root_s_place_is_replaced(tmp_path: Path) -> None:
    said = play(
        """
eyes = Eyes(base)
eyes.put("api/a.xml")
tell("before", eyes.scan())
(base / "empty").mkdir()
run("mount", "--bind", str(base / "empty"), str(eyes.tree))
tell("covered", eyes.scan())
""",
        tmp_path,
    )
    assert said["before"] == GOOD
    assert said["covered"] == ["root-replaced", {}, [], False]


@pytest.mark.parametrize("beneath", [True, False], ids=["openat2", "part by part"])
def test_a_folder_that_is_mounted_over_is_unlisted(tmp_path: Path, beneath: bool) -> None:
    said = play(
        f"""
fs = OsFS()
assert fs._beneath, "this kernel has no openat2: the test would show nothing"
fs._beneath = {beneath}
eyes = Eyes(base, fs=fs)
eyes.put("api/a.xml")
eyes.put("b.xml")
tell("before", eyes.scan())
run("mount", "-t", "tmpfs", "none", str(eyes.tree / "api"))
tell("covered", eyes.scan())
said["look"] = code(eyes.look("api/a.xml")["api/a.xml"])
run("umount", "-l", str(eyes.tree / "api"))
tell("after", eyes.scan())
""",
        tmp_path,
    )
    whole = ["good", {"api/a.xml": "seen", "b.xml": "seen"}, [], False]
    assert said["before"] == said["after"] == whole
    assert said["covered"] == ["good", {"b.xml": "seen"}, ["api"], False]
    assert said["look"] == "unreadable"


def test_a_bind_mount_of_the_same_device_inside_the_tree_is_unlisted(tmp_path: Path) -> None:
    said = play(
        """
eyes = Eyes(base)
eyes.put("api/a.xml")
(base / "empty").mkdir()
tell("before", eyes.scan())
run("mount", "--bind", str(base / "empty"), str(eyes.tree / "api"))
tell("covered", eyes.scan())
""",
        tmp_path,
    )
    assert said["before"] == GOOD
    assert said["covered"] == ["good", {}, ["api"], False]


def test_an_ordinary_user_sees_half_a_tree_and_misses_nothing(tmp_path: Path) -> None:
    said = play(
        """
run("mount", "-t", "tmpfs", "none", "/mnt")
os.chmod("/mnt", 0o755)
eyes = Eyes(Path("/mnt"))
os.chown("/mnt/state", 65534, 65534)
for name in ("api/a.xml", "api/b.xml", "sequences/c.xml", "root.xml"):
    eyes.put(name)
os.chmod(eyes.tree / "api/a.xml", 0)
os.chmod(eyes.tree / "sequences", 0)
os.setgid(65534)
os.setuid(65534)
snapshot = eyes.scan()
tell("half", snapshot)
said["absent"] = [name for name in ("sequences/c.xml", "sequences/x.xml", "api/x.xml")
                  if snapshot.tells_absence(name)]
""",
        tmp_path,
    )
    files = {"api/a.xml": "unreadable", "api/b.xml": "seen", "root.xml": "seen"}
    assert said["half"] == ["good", files, ["sequences"], False]
    assert said["absent"] == ["api/x.xml"]
