"""How late a mount shows what others did, by its line in the mount table."""

import pytest

from syncagent.fsio import Mount, OsFS
from syncagent.mounts.caching import Lateness, lateness


def told(fs_type: str, options: str) -> Lateness | None:
    return lateness(Mount(1, 0, "0:1", "/", "/mnt", fs_type, "srv:/x", "rw,relatime", options))


@pytest.mark.parametrize(
    ("fs_type", "options", "late_s", "surely"),
    [
        ("nfs4", "rw,vers=4.2", 60.0, True),
        ("nfs", "rw,acregmin=1,acregmax=1,acdirmin=1,acdirmax=1", 1.0, True),
        ("nfs4", "rw,acregmax=5", 60.0, True),
        ("nfs4", "rw,noac", 0.0, True),
        ("nfs4", "rw,acregmax=often,acdirmax=3", 60.0, True),
        ("cifs", "rw,actimeo=1", 1.0, True),
        ("cifs", "rw,actimeo=30", 30.0, True),
        ("smb3", "rw,acregmax=2,acdirmax=7", 7.0, True),
        ("cifs", "rw", 1.0, True),
        ("fuse.sshfs", "rw,user_id=0", 20.0, False),
    ],
)
def test_what_a_cache_hides_is_as_old_as_its_longest_time(
    fs_type: str, options: str, late_s: float, surely: bool
) -> None:
    found = told(fs_type, options)
    assert found is not None
    assert (found.late_s, found.surely) == (late_s, surely)
    assert bool(found.remedy) is bool(late_s), "there is something to do about it"


@pytest.mark.parametrize("fs_type", ["ext4", "ceph", "fuse.bindfs", "9p"])
def test_of_other_types_nothing_is_claimed(fs_type: str) -> None:
    assert told(fs_type, "rw") is None


def test_the_table_has_the_options_of_the_file_system() -> None:
    table = OsFS().mount_table()
    assert any(mount.super_options for mount in table)
