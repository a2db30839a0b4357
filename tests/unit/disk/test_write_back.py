"""Writing back early saves the seal time, and hides nothing from it."""

import errno
from pathlib import Path

import pytest

from syncagent.core.artifact import ArtifactPath, TreeKind, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.intent import Step
from syncagent.core.manifest import Entry
from syncagent.core.settings import Limits, TreeSettings
from syncagent.disk.node_disk import NodeDisk
from syncagent.fsio import OsFS
from syncagent.ports import Instant
from tests.fakes.faultyfs import FaultyFS

TREE = TreeName("synapse")
CONTENT = b"<api/>"


class Clock:
    def now(self) -> Instant:
        return Instant(1.0)

    def wall(self) -> float:
        return 1_700_000_000.0


@pytest.fixture
def fs() -> FaultyFS:
    return FaultyFS(OsFS(), code=errno.EIO)


@pytest.fixture
def disk(fs: FaultyFS, tmp_path: Path) -> NodeDisk:
    for name in ("gateway", "gateway/synapse", "state"):
        (tmp_path / name).mkdir()
    trees = (TreeSettings(TREE, TreeKind.SYNAPSE, f"{tmp_path}/gateway/synapse"),)
    return NodeDisk(fs, trees, Limits(), f"{tmp_path}/state", Clock())


def stage(disk: NodeDisk, fs: FaultyFS, count: int) -> None:
    paths = [ArtifactPath(TREE, f"api/{number}.xml") for number in range(count)]
    wanted = Entry(digest_of(CONTENT), len(CONTENT))
    disk.stage(1, [(Step(path, None, wanted), CONTENT) for path in paths])
    fs.flushes.clear()  # the folder where bytes wait was made durable


def test_it_flushes_once_what_is_many(disk: NodeDisk, fs: FaultyFS) -> None:
    stage(disk, fs, 20)
    before = set(fs.opened)
    disk.write_back(1)
    assert fs.flushes == ["syncfs"]
    assert fs.opened == before


def test_a_few_files_are_left_to_the_seal(disk: NodeDisk, fs: FaultyFS) -> None:
    stage(disk, fs, 2)
    disk.write_back(1)
    assert not fs.flushes


def test_what_is_sealed_or_dropped_is_not_flushed_again(disk: NodeDisk, fs: FaultyFS) -> None:
    stage(disk, fs, 20)
    disk.seal(1)
    disk.write_back(1)
    disk.discard(1)
    disk.write_back(1)
    assert fs.flushes == ["syncfs"]


@pytest.mark.parametrize("call", ["open", "syncfs", "close"])
def test_its_failure_is_quiet_and_the_seal_still_asks(
    disk: NodeDisk, fs: FaultyFS, call: str
) -> None:
    stage(disk, fs, 20)
    fs.fail_on = call
    disk.write_back(1)
    assert fs.failed == call
    fs.fail_on = "syncfs"
    with pytest.raises(DiskError, match="durable"):
        disk.seal(1)
