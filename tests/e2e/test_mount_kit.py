"""The mounts that the tests of shared trees use fail as real ones do.

What is asserted here is what an agent meets, whatever it makes of it: which calls hang, which error
comes, what an empty listing looks like. No agent runs.
"""

import errno
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.mounts import (
    UNCACHED,
    WATCHFUL,
    bind,
    bindfs,
    left,
    mounted,
    nfs,
    played,
    reads,
    sshfs,
    tmpfs,
)
from tests.servers.played_mount import Play
from tests.servers.process import reached

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

HANGS_S = 0.7
ANSWERS_S = 30.0


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with a file in it, and one to mount at."""
    behind, point = tmp_path / "behind", tmp_path / "point"
    behind.mkdir()
    point.mkdir()
    (behind / "a.xml").write_bytes(b"<a/>")
    return behind, point


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    yield
    assert not [
        line for line in Path("/proc/mounts").read_text().splitlines() if str(tmp_path) in line
    ]
    reached(lambda: not left(tmp_path), "what hung has ended")


def test_a_server_that_hangs_answers_from_the_cache_first_and_then_not(
    tmp_path: Path, places: tuple[Path, Path]
) -> None:
    behind, point = places
    with sshfs(tmp_path, behind, point, "dcache_timeout=2", "attr_timeout=0") as mount:
        assert reads(point, ANSWERS_S) == "a.xml"
        mount.server.hang()
        (behind / "b.xml").write_bytes(b"<b/>")
        assert reads(point, ANSWERS_S) == "a.xml", "the cache still answers"
        reached(lambda: reads(point, HANGS_S) is None, "its cache has expired: calls hang")
        mount.server.wake()
        assert reads(point, ANSWERS_S) == "a.xml b.xml"


def test_a_server_that_hangs_makes_calls_hang_at_once_without_a_cache(
    tmp_path: Path, places: tuple[Path, Path]
) -> None:
    behind, point = places
    with sshfs(tmp_path, behind, point, *UNCACHED) as mount:
        (behind / "b.xml").write_bytes(b"<b/>")
        assert reads(point, ANSWERS_S) == "a.xml b.xml"
        mount.server.hang()
        assert reads(point, HANGS_S) is None
        assert left(point)
        mount.unmount(lazy=True)
        assert left(point), "what hung hangs on"
        assert reads(point, ANSWERS_S) == "", "the mount point is an empty folder"
        mount.abort()
        reached(lambda: not left(point), "what hung fails")


def test_sshfs_that_was_killed_leaves_a_mount_that_is_not_connected(
    tmp_path: Path, places: tuple[Path, Path]
) -> None:
    behind, point = places
    with sshfs(tmp_path, behind, point) as mount:
        mount.kill()
        assert mount.is_mounted
        assert reads(point, ANSWERS_S) == "ENOTCONN"
        mount.unmount()
        assert reads(point, ANSWERS_S) == ""
        mount.serve()
        assert reads(point, ANSWERS_S) == "a.xml"


def test_sshfs_that_misses_its_server_unmounts_itself_unless_it_may_reconnect(
    tmp_path: Path, places: tuple[Path, Path]
) -> None:
    behind, point = places
    other = tmp_path / "other"
    other.mkdir()
    with (
        sshfs(tmp_path / "1", behind, point, *WATCHFUL) as gives_up,
        sshfs(tmp_path / "2", behind, other, *WATCHFUL, *UNCACHED, "reconnect") as comes_back,
    ):
        gives_up.server.hang()
        comes_back.server.hang()
        reached(lambda: not mounted(point), "it unmounts itself")
        assert reads(point, ANSWERS_S) == "", "listing succeeds, and there is nothing"
        assert reads(other, HANGS_S) is None, "the other hangs"
        comes_back.server.wake()
        assert reads(other, ANSWERS_S) == "a.xml"
        comes_back.server.cut()
        reached(lambda: reads(other, ANSWERS_S) == "a.xml", "it is connected again")


def test_over_sftp_times_have_whole_seconds_only(tmp_path: Path, places: tuple[Path, Path]) -> None:
    behind, point = places
    with sshfs(tmp_path, behind, point):
        os.utime(behind / "a.xml", ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
        found = (point / "a.xml").stat()
        assert found.st_mtime_ns == 1_700_000_000_000_000_000 == found.st_ctime_ns


def test_an_nfs_server_that_hangs_or_restarts_is_waited_for(
    tmp_path: Path, places: tuple[Path, Path]
) -> None:
    behind, point = places
    with nfs(tmp_path, behind, point) as mount:
        (point / "b.xml").write_bytes(b"<b/>" * 5000)
        (point / "b.xml").rename(point / "c.xml")
        assert (behind / "c.xml").read_bytes() == b"<b/>" * 5000
        mount.server.hang()
        assert reads(point, HANGS_S) is None
        mount.server.wake()
        assert reads(point, ANSWERS_S) == "a.xml c.xml"
        mount.server.kill()
        assert reads(point, ANSWERS_S) == "EIO", "as a soft mount"
        mount.server.start()
        reached(lambda: reads(point, ANSWERS_S) == "a.xml c.xml", "it is connected again")


def test_a_bindfs_that_hangs_goes_on_where_it_was(
    tmp_path: Path, places: tuple[Path, Path]
) -> None:
    behind, point = places
    with bindfs(tmp_path, behind, point, "attr_timeout=0", "entry_timeout=0") as mount:
        mount.hang()
        assert reads(point, HANGS_S) is None
        mount.wake()
        assert reads(point, ANSWERS_S) == "a.xml"
        mount.hang()
        assert reads(point, HANGS_S) is None


PLAYS = {
    "empty": (Play(empty=True), ""),
    "stale": (Play(errno=errno.ESTALE), "ESTALE"),
    "broken": (Play(errno=errno.EIO, calls=("readdir",)), "EIO"),
    "slow": (Play(slow_s=0.2), "a.xml"),
    "elsewhere": (Play(errno=errno.EIO, under="/api"), "a.xml"),
    "read-only": (Play(errno=errno.EROFS, calls=("create", "write")), "a.xml"),
    "hung": (Play(hang=True), None),
}


def test_a_played_mount_misbehaves_as_it_is_told(tmp_path: Path, places: tuple[Path, Path]) -> None:
    behind, point = places
    with played(tmp_path, behind, point) as mount:
        for name, (play, seen) in PLAYS.items():
            mount.play(play)
            assert reads(point, HANGS_S if seen is None else ANSWERS_S) == seen, name
            if name == "read-only":
                with pytest.raises(OSError, match="Read-only file system"):
                    (point / "new.xml").write_bytes(b"<new/>")
            mount.play()
            assert reads(point, ANSWERS_S) == "a.xml", name
        (point / "b.xml").write_bytes(b"<b/>")
        (point / "b.xml").rename(point / "c.xml")
        assert (behind / "c.xml").read_bytes() == b"<b/>"


def test_what_a_test_leaves_in_a_mess_is_cleaned_up(
    tmp_path: Path, places: tuple[Path, Path]
) -> None:
    behind, point = places
    with ExitStack() as stack:
        first = stack.enter_context(sshfs(tmp_path / "1", behind, point, *UNCACHED))
        stack.enter_context(tmpfs(point))
        stack.enter_context(bind(behind, point))
        (point / "sub").mkdir()
        stack.enter_context(bindfs(tmp_path / "2", behind, point / "sub"))
        assert len(mounted(point)) == 3
        first.server.hang()
        first.hang()
        pids = [first.process.process.pid, first.server.process.pid]
    assert not mounted(point)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
