"""Power cuts on a real ext4: the file system is shut down without its log being flushed."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.fsio import OsFS
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


def cut_after(point: Path, first: int, count: int, rng: random.Random) -> int:
    """Run the child, cut the power at some moment; return the last commit that it claimed."""
    words = [sys.executable, "-c", CHILD, f"{point}/node", str(first), str(count)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        read = [child.stdout.readline() for _ in range(rng.randint(1, 9))]
        with suppress(subprocess.TimeoutExpired):
            child.wait(rng.random() / 50)
        fd = os.open(point, os.O_RDONLY)
        fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(fd)
        read += child.stdout.readlines()
    subprocess.run(["umount", str(point)], check=True)
    mount_image(point)
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
