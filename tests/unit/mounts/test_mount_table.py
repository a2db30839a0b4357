"""Which mount a path lies on is found without a call that the mount's server would have to answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.fsio import Mount, OsFS
from syncagent.mountpoints import canonical, foreign_mounts, mount_of

if TYPE_CHECKING:
    import os
    from pathlib import Path


class Asked(OsFS):
    """Takes down what is asked of the file system."""

    __slots__ = ("paths",)

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []
        lstat = self.lstat

        def asked(path: str) -> os.stat_result:
            self.paths.append(path)
            return lstat(path)

        self.lstat = asked


class Table(Asked):
    """Has one network mount in its table."""

    __slots__ = ("point",)

    def mount_table(self) -> tuple[Mount, ...]:
        return (mount("/", "ext4"), mount(self.point, "nfs4"))


def mount(point: str, fs_type: str, number: int = 1) -> Mount:
    return Mount(number, 0, "0:1", "/", point, fs_type, "source", "rw")


@pytest.fixture
def base(tmp_path: Path) -> str:
    (tmp_path / "share/gateway/synapse").mkdir(parents=True)
    (tmp_path / "local").mkdir()
    (tmp_path / "current").symlink_to(tmp_path / "share/gateway")
    (tmp_path / "near").symlink_to("share/../local")
    return str(tmp_path)


def test_a_tree_on_a_network_mount_is_told_by_the_table_alone(base: str) -> None:
    fs = Asked()
    nfs = mount(f"{base}/share", "nfs4")
    assert mount_of(fs, f"{base}/share/gateway/synapse", [mount("/", "ext4"), nfs]) == nfs
    assert not [path for path in fs.paths if path.startswith(f"{base}/share")]


def test_a_symlink_to_a_mount_is_followed_to_its_border(base: str) -> None:
    fs = Asked()
    nfs = mount(f"{base}/share", "fuse.sshfs")
    assert mount_of(fs, f"{base}/current/synapse", [nfs]) == nfs
    assert not [path for path in fs.paths if path.startswith(f"{base}/share")]


def test_a_relative_symlink_that_leads_back_is_local(base: str) -> None:
    assert mount_of(OsFS(), f"{base}/near/tree", [mount("/", "ext4")]) is None


def test_a_mount_below_a_local_tree_counts(base: str) -> None:
    nfs = mount(f"{base}/local/api", "nfs4")
    assert mount_of(OsFS(), f"{base}/local", [mount("/", "ext4"), nfs]) == nfs
    assert mount_of(OsFS(), f"{base}/loca", [nfs]) is None


def test_of_mounts_at_one_point_the_last_counts(base: str) -> None:
    table = [mount(f"{base}/share", "nfs4"), mount(f"{base}/share", "tmpfs", 2)]
    assert mount_of(OsFS(), f"{base}/share/gateway", table) is None
    assert foreign_mounts(table) == {}


def test_a_foreign_root_holds_everything(base: str) -> None:
    root = mount("/", "9p")
    assert mount_of(OsFS(), base, [root]) == root


def test_a_tree_that_is_not_there_is_local(base: str) -> None:
    assert mount_of(OsFS(), f"{base}/nowhere/at/all", [mount("/", "ext4")]) is None


def test_a_circle_of_symlinks_ends(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError, match="symbolic links"):
        mount_of(OsFS(), f"{tmp_path}/a/tree", [mount("/", "ext4")])
    assert canonical(OsFS(), f"{tmp_path}/a/tree") == f"{tmp_path}/a/tree"


def test_what_is_canonical_asks_no_mount_either(base: str) -> None:
    fs = Table()
    fs.point = f"{base}/share"
    assert canonical(fs, f"{base}/current/synapse") == f"{base}/share/gateway/synapse"
    assert not [path for path in fs.paths if path.startswith(f"{base}/share")]
    assert canonical(fs, f"{base}/current/../a") == f"{base}/share/gateway/../a"
    fs.point = f"{base}/elsewhere"
    assert canonical(fs, f"{base}/near/x") == f"{base}/local/x"
    fs.point = "/"
    assert canonical(fs, f"{base}/near") == f"{base}/near"
