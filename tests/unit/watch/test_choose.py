"""Which file systems inotify is trusted on."""

from __future__ import annotations

import pytest

from syncagent.core.settings import WatchMode
from syncagent.fsio import LOCAL_TYPES, Mount, OsFS
from syncagent.watch.choose import SHARED_MAGIC, Choice, choose, judge

EXT4, TMPFS, OVERLAY = LOCAL_TYPES["ext4"], LOCAL_TYPES["tmpfs"], LOCAL_TYPES["overlay"]
NFS, FUSE = 0x6969, 0x65735546


def mount(point: str, fs_type: str, number: int = 1) -> Mount:
    return Mount(number, 0, "0:1", "/", point, fs_type, "source", "rw")


ROOT = mount("/", "ext4")


@pytest.mark.parametrize(
    ("root", "magic", "table", "expected"),
    [
        ("/t", EXT4, [ROOT], Choice(inotify=True, reason="ext4")),
        ("/t", OVERLAY, [mount("/", "overlay")], Choice(inotify=True, reason="overlay")),
        ("/m/t", NFS, [ROOT, mount("/m", "nfs4")], Choice(inotify=False, reason="nfs4")),
        ("/m", FUSE, [ROOT, mount("/m", "fuse.sshfs")], Choice(inotify=False, reason="fuse.sshfs")),
        ("/m", FUSE, [], Choice(inotify=False, reason="fuse")),
        ("/t", 0x1234, [mount("/", "newfs")], Choice(inotify=False, reason="newfs")),
        ("/t", 0x1234, [ROOT], Choice(inotify=False, reason="unknown type 0x1234")),
        ("/t", 0, [], Choice(inotify=False, reason="unknown type 0x0")),
        # The table says local, the kernel says otherwise: covered, or of another namespace.
        ("/t", NFS, [ROOT], Choice(inotify=False, reason="nfs")),
        ("/t", TMPFS, [ROOT], Choice(inotify=True, reason="tmpfs")),
        # Mounts below the root.
        ("/t", EXT4, [ROOT, mount("/t/api", "tmpfs")], Choice(inotify=True, reason="ext4")),
        ("/t", EXT4, [ROOT, mount("/t/api", "cifs")], Choice(False, "cifs at /t/api")),
        ("/t", EXT4, [ROOT, mount("/tt/api", "cifs")], Choice(inotify=True, reason="ext4")),
        ("/", EXT4, [ROOT, mount("/x", "9p")], Choice(inotify=False, reason="9p at /x")),
        # Of two mounts at one point the later one is seen.
        ("/m", NFS, [ROOT, mount("/m", "ext4"), mount("/m", "nfs")], Choice(False, "nfs")),
        ("/m", EXT4, [ROOT, mount("/m", "nfs"), mount("/m", "ext4")], Choice(True, "ext4")),
    ],
)
def test_only_known_local_types_are_trusted(
    root: str, magic: int, table: list[Mount], expected: Choice
) -> None:
    assert judge(root, magic, table) == expected


def test_no_type_is_both_local_and_shared() -> None:
    assert not set(LOCAL_TYPES.values()) & set(SHARED_MAGIC)
    assert not set(LOCAL_TYPES) & set(SHARED_MAGIC.values())


@pytest.mark.parametrize("magic", sorted(SHARED_MAGIC))
def test_shared_types_are_polled_whatever_the_table_says(magic: int) -> None:
    assert not judge("/t", magic, [ROOT]).inotify
    assert not judge("/t", magic, []).inotify


@pytest.mark.parametrize("mode", [WatchMode.INOTIFY, WatchMode.POLL])
def test_the_settings_override_the_type(mode: WatchMode) -> None:
    chosen = choose(OsFS(), "/proc", mode)
    assert chosen == Choice(mode is WatchMode.INOTIFY, "by settings")


def test_a_real_kernel_file_system_is_not_taken_for_a_disk() -> None:
    assert choose(OsFS(), "/proc", WatchMode.AUTO) == Choice(inotify=False, reason="proc")
