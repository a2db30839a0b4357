"""A touch on files that are not what they should be, and on a disk that refuses."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import ArtifactPath, TreeKind
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.settings import Limits, TreeSettings
from syncagent.core.snapshot import Seen
from syncagent.disk.node_disk import NodeDisk
from syncagent.fsio import OsFS
from tests.fakes.faultyfs import FaultyFS
from tests.fakes.node_bench import SYNAPSE, NodeBench

if TYPE_CHECKING:
    from pathlib import Path

    from syncagent.core.digest import Digest

CONTENT = b"<api/>"
API = ArtifactPath(SYNAPSE, "api/A.xml")
CALLS_MAX = 100


def node(tmp_path: Path, fs: OsFS | None = None) -> NodeBench:
    bench = NodeBench(fs or OsFS(), str(tmp_path))
    bench.build({"synapse/api/A.xml": CONTENT})
    return bench


class Counts:
    """Wants no bytes; counts those that are shown all the same."""

    shown = 0

    def wants(self, path: ArtifactPath, digest: Digest) -> bool:
        return False

    def take(self, path: ArtifactPath, digest: Digest, content: bytes) -> None:
        self.shown += 1


@pytest.mark.parametrize("kind", ["symlink", "folder", "fifo", "symlinked folder", "larger"])
def test_only_a_regular_file_with_these_bytes_is_touched(tmp_path: Path, kind: str) -> None:
    bench = node(tmp_path)
    api = tmp_path / "gateway/synapse/api"
    live, outside = api / "A.xml", tmp_path / "outside.xml"
    outside.write_bytes(CONTENT)
    live.unlink()
    if kind == "symlink":
        live.symlink_to(outside)
    elif kind == "folder":
        live.mkdir()
    elif kind == "fifo":
        os.mkfifo(live)
    elif kind == "larger":
        live.write_bytes(CONTENT + b"\n")
    else:
        (tmp_path / "elsewhere").mkdir()
        outside = tmp_path / "elsewhere/A.xml"
        outside.write_bytes(CONTENT)
        api.rmdir()
        api.symlink_to(tmp_path / "elsewhere")
    watched = live if kind in {"fifo", "folder", "larger"} else outside
    before = watched.stat().st_mtime_ns
    assert not bench.disk().touch(API, digest_of(CONTENT))
    assert watched.stat().st_mtime_ns == before


def test_each_call_that_fails_is_reported_and_leaks_nothing(tmp_path: Path) -> None:
    """EIO at call 1, 2, 3, ...: the bytes stay, the mtime is old or new, never anything else."""
    bench = node(tmp_path)
    live = tmp_path / "gateway/synapse/api/A.xml"
    for k in range(1, CALLS_MAX):
        fs = FaultyFS(OsFS())
        disk = NodeDisk(
            fs,
            (TreeSettings(SYNAPSE, TreeKind.SYNAPSE, f"{bench.base}/gateway/synapse"),),
            Limits(),
            f"{bench.base}/state",
            bench.clock,
        )
        before = live.stat().st_mtime_ns
        fs.calls, fs.k, fs.code = 0, k, errno.EIO
        done, refused = False, ""
        try:
            done = disk.touch(API, digest_of(CONTENT))
        except DiskError as error:
            refused = error.errno_name
        assert refused in {"", "EIO"}
        if fs.calls < k:
            assert k > 8, "the calls of a touch were counted"
            return
        after = live.stat().st_mtime_ns
        assert live.read_bytes() == CONTENT
        assert not fs.opened, f"call {k} ({fs.failed}) left descriptors open"
        assert after == before or (after > before and after % 10**9 == 0)
        assert not done or after > before
    raise AssertionError("a touch takes fewer calls than that")


def test_a_look_after_a_touch_sees_the_same_bytes_and_the_cache_keeps_up(tmp_path: Path) -> None:
    bench = node(tmp_path)
    disk = bench.disk()
    first = disk.scan(SYNAPSE, Counts()).files[API.path]
    assert disk.touch(API, digest_of(CONTENT))
    examiner = Counts()
    second = disk.scan(SYNAPSE, examiner).files[API.path]
    assert isinstance(first, Seen)
    assert isinstance(second, Seen)
    assert second.entry == first.entry
    assert second.mtime_ns > first.mtime_ns
    assert examiner.shown == 1, "a new mtime is read once, not believed"


def test_a_file_of_somebody_else_is_a_disk_error_with_a_hint(tmp_path: Path) -> None:
    bench = node(tmp_path)
    fs = FaultyFS(OsFS())
    trees = (TreeSettings(SYNAPSE, TreeKind.SYNAPSE, f"{bench.base}/gateway/synapse"),)
    disk = NodeDisk(fs, trees, Limits(), f"{bench.base}/state", bench.clock)
    fs.fail_on, fs.code = "utime", errno.EPERM
    with pytest.raises(DiskError, match="can't be touched") as caught:
        disk.touch(API, digest_of(CONTENT))
    assert caught.value.errno_name == "EPERM"
    assert "user that owns" in caught.value.hint
