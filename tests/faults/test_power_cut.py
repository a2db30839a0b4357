"""Power cuts on a real ext4: the file system is shut down without its log being flushed."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.core.digest import digest_of
from syncagent.fsio import OsFS
from syncagent.history.blobs import BlobStore
from syncagent.history.node_history import UNKNOWN_NOTE, NodeHistory
from tests.fakes.node_bench import NodeBench

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
CUTS = 6
FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2

CHILD = """
import sys
from syncagent.core.errors import SyncagentError
from syncagent.fsio import OsFS
from tests.fakes.node_bench import ChangeSet, NodeBench, step

base, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
disk = NodeBench(OsFS(), base).disk()
names = [f"synapse/api/{n}.xml" for n in range(count)] + ["plans/p.siddhiql"]
for txid in range(first, first + 100_000):
    old, new = b"%d" % (txid - 1) * 500, b"%d" % txid * 500
    try:
        ChangeSet({}, tuple((step(n, old, new), new) for n in names), txid).carry_out(disk)
    except SyncagentError:
        break
    print(txid, flush=True)
"""

REVISIONS = 20

RECORDING = """
import sys
from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Entry
from syncagent.core.revision import Revision, RevisionId
from syncagent.fsio import OsFS
from syncagent.history.ledger import COMPACT_BYTES
from syncagent.history.node_history import NodeHistory

folder, count, compacted = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "compacted"
history = NodeHistory(OsFS(), folder, wall=lambda: 0.0)
history.load()
path = ArtifactPath(TreeName("synapse"), "api/a.xml")
for number in range(1, count + 1):
    standing = history.standing()
    content = b"revision %d" % number
    change = Change(path, standing.manifest.get(path), Entry(digest_of(content), len(content)))
    own = RevisionId(1, number, standing.manifest.after([change]).digest)
    history.stand(StandingChange(own, (change,), txid=number), [(change.after, content)])
    history.record(Revision(own, standing.revision, (change,), NodeName("gw-1"), "edit"), number)
if compacted:
    for number in range(10):
        history.stand(StandingChange(notes={"big": f"{number}" * (COMPACT_BYTES // 8)}))
    history.stand(StandingChange(notes={"big": ""}))
    history.tidy()
print("done", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    able = os.geteuid() == 0 and shutil.which("mkfs.ext4") and Path("/dev/loop-control").exists()
    if not able and not os.environ.get("SYNCAGENT_REQUIRE_ALL"):
        pytest.skip("needs root, loop devices and mkfs.ext4")
    image, point = tmp_path / "image", tmp_path / "mount"
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    point.mkdir()
    mount_image(point)
    yield point
    subprocess.run(["umount", str(point)], check=False)


def mount_image(point: Path) -> None:
    subprocess.run(["mount", "-o", "loop", str(point.with_name("image")), str(point)], check=True)


def cut(point: Path) -> None:
    fd = os.open(point, os.O_RDONLY)
    fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
    os.close(fd)


def power_on(point: Path) -> None:
    subprocess.run(["umount", str(point)], check=True)
    mount_image(point)


def cut_after(point: Path, first: int, count: int, rng: random.Random) -> int:
    """Run the child, cut the power at some moment; return the last commit that it claimed."""
    words = [sys.executable, "-c", CHILD, f"{point}/node", str(first), str(count)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        read = [child.stdout.readline() for _ in range(rng.randint(1, 9))]
        with suppress(subprocess.TimeoutExpired):
            child.wait(rng.random() / 50)
        cut(point)
        read += child.stdout.readlines()
    power_on(point)
    return int(read[-1])


@pytest.mark.needs_root
@pytest.mark.parametrize("count", [3, 40], ids=["fsync", "syncfs"])
def test_a_power_cut_leaves_one_whole_revision(mount: Path, count: int) -> None:
    names = [f"synapse/api/{n}.xml" for n in range(count)] + ["plans/p.siddhiql"]
    bench = NodeBench(OsFS(), f"{mount}/node")
    bench.build(dict.fromkeys(names, b"0" * 500))
    bench.disk().recover(0)
    os.sync()
    rng = random.Random(count)
    standing = 0
    for _ in range(CUTS):
        claimed = cut_after(mount, standing + 1, count, rng)
        done = bench.disk().recover(claimed)
        standing = done.intent.txid if done is not None else claimed
        assert standing >= claimed
        live = bench.live()
        assert set(live) == set(names)
        assert set(live.values()) == {b"%d" % standing * 500}
        assert bench.staged() == []


@pytest.mark.needs_root
@pytest.mark.parametrize("ledger", ["grown", "compacted"])
def test_what_revisions_replaced_outlasts_a_power_cut(mount: Path, ledger: str) -> None:
    """Records are not flushed one by one: bytes that only lost ones named are not dropped later."""
    folder = mount / "state"
    folder.mkdir()
    words = [sys.executable, "-c", RECORDING, str(folder), str(REVISIONS), ledger]
    with subprocess.Popen(
        words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "done\n"
        cut(mount)
        child.kill()
    power_on(mount)
    history = NodeHistory(OsFS(), str(folder), wall=lambda: 0.0)
    with closing(history):
        history._blobs = BlobStore(OsFS(), str(folder / "blobs"), pack_bytes=1)
        history.load()
        found = history.revisions(99)
        assert [revision.id.number for revision, _ in found] == [*range(REVISIONS, 0, -1)]
        lost = [revision for revision, _ in found if revision.note == UNKNOWN_NOTE]
        assert bool(lost) == (ledger == "grown"), "what the ledger forgets was flushed before"
        for _ in range(3):
            history.tidy()
        for number in range(1, REVISIONS + 1):
            content = b"revision %d" % number
            assert history.blob(digest_of(content)) == content
