"""The matrix: what may befall a mount, and what is to be seen of it (see `mounted_trees`)."""

import errno
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

from tests.e2e.mounted_trees import Row, Shown
from tests.servers.mounts import (
    UNCACHED,
    WATCHFUL,
    Mount,
    Nfs,
    Played,
    Sshfs,
    bindfs,
    mounted,
    nfs,
    played,
    reads,
    sshfs,
    unmount,
)
from tests.servers.played_mount import Play

STALLED = Shown(frozenset({"unreadable"}), "does not answer since")
MISSING = Shown(frozenset({"root-missing"}))
REPLACED = Shown(frozenset({"root-replaced"}))
EMPTIED = Shown(frozenset({"tree-emptied"}))
UNREADABLE = Shown(frozenset({"unreadable"}))
GONE = Shown(frozenset({"root-missing", "root-replaced", "unreadable"}))
FINE = None

NEVER = ("attr_timeout=600", "entry_timeout=600", "dcache_timeout=600")
"""Options of sshfs with which it answers from its cache as long as a test takes."""

Make = Callable[[Path, Path, Path], AbstractContextManager[Mount]]


def by_sshfs(*options: str) -> Make:
    def make(folder: Path, behind: Path, point: Path) -> AbstractContextManager[Mount]:
        return sshfs(folder, behind, point, *options)

    return make


def by_bindfs(folder: Path, behind: Path, point: Path) -> AbstractContextManager[Mount]:
    return bindfs(folder, behind, point, "attr_timeout=0", "entry_timeout=0")


def server_hangs(mount: Mount) -> None:
    assert isinstance(mount, (Sshfs, Nfs))
    mount.server.hang()


def server_wakes(mount: Mount) -> None:
    assert isinstance(mount, (Sshfs, Nfs))
    mount.server.wake()


def server_is_killed(mount: Mount) -> None:
    assert isinstance(mount, Nfs)
    mount.server.kill()


def server_starts(mount: Mount) -> None:
    assert isinstance(mount, Nfs)
    mount.server.start()


def sessions_are_cut(mount: Mount) -> None:
    assert isinstance(mount, Sshfs)
    mount.server.cut()


def a_call_hangs(mount: Mount) -> None:
    """Hang the mount until a call of the agent's waits there."""
    mount.hang()
    assert reads(mount.point, 0.3) is None


def hangs_and_goes(mount: Mount) -> None:
    a_call_hangs(mount)
    mount.unmount(lazy=True)


def hangs_and_is_aborted(mount: Mount) -> None:
    a_call_hangs(mount)
    mount.abort()


def comes_back(mount: Mount) -> None:
    """Mount it anew, whatever is left of it."""
    mount.process.kill()
    for _ in mounted(mount.point):
        unmount(mount.point, lazy=True)
    if isinstance(mount, Sshfs):
        mount.server.wake()
    mount.serve()


def plays(**play: object) -> Callable[[Mount], None]:
    def put_on(mount: Mount) -> None:
        assert isinstance(mount, Played)
        mount.play(Play(**play))  # type: ignore[arg-type]

    return put_on


def behaves(mount: Mount) -> None:
    assert isinstance(mount, Played)
    mount.play()


def covers(where: str) -> Callable[[Mount], None]:
    return lambda mount: mount.cover(where)


def nothing(mount: Mount) -> None:
    pass


ROWS = {
    "hung-but-cached": Row(by_sshfs(*NEVER), server_hangs, comes_back, FINE),
    "hung": Row(by_sshfs(*UNCACHED), server_hangs, server_wakes, STALLED),
    "hung-and-cut": Row(by_sshfs(*UNCACHED, "reconnect"), server_hangs, server_wakes, STALLED),
    "hung-and-unmounted": Row(by_bindfs, hangs_and_goes, comes_back, GONE),
    "hung-and-aborted": Row(by_bindfs, hangs_and_is_aborted, comes_back, GONE),
    "killed": Row(by_sshfs(*UNCACHED), Mount.kill, comes_back, GONE),
    "gave-up": Row(by_sshfs(*UNCACHED, *WATCHFUL), server_hangs, comes_back, GONE),
    "cut": Row(by_sshfs(*UNCACHED, "reconnect"), sessions_are_cut, nothing, FINE),
    "unmounted": Row(by_bindfs, partial(Mount.unmount, lazy=True), comes_back, GONE),
    "bindfs-hung": Row(by_bindfs, Mount.hang, Mount.wake, STALLED),
    "nfs-hung": Row(nfs, server_hangs, server_wakes, STALLED),
    "nfs-killed": Row(nfs, server_is_killed, server_starts, GONE),
    "covered": Row(by_bindfs, covers("."), Mount.uncover, GONE),
    "covered-below": Row(by_bindfs, covers("api"), Mount.uncover, GONE),
    "covered-above": Row(by_bindfs, covers(".."), Mount.uncover, GONE),
    "empty": Row(played, plays(empty=True), behaves, EMPTIED),
    "stale": Row(played, plays(errno=errno.ESTALE), behaves, GONE),
    "unlistable": Row(played, plays(errno=errno.EIO, calls=("readdir",)), behaves, GONE),
    "half-stale": Row(played, plays(errno=errno.ESTALE, under="/api"), behaves, GONE),
    "unreadable": Row(played, plays(errno=errno.EIO, calls=("open", "read")), behaves, FINE),
    "read-only": Row(played, plays(errno=errno.EROFS, calls=("create",)), behaves, FINE),
    "slow": Row(played, plays(slow_s=0.01), behaves, FINE),
    "coarse": Row(played, plays(whole_seconds=True), behaves, FINE),
}
