"""Making the node's key with each call failing in turn: a whole key, or none, and nothing else."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest

from syncagent.core.errors import DiskError, StateError
from syncagent.fsio import OsFS
from syncagent.ssh.keys import load_key, make_key
from tests.fakes.faultyfs import FaultyFS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_whichever_call_fails_there_is_a_whole_key_or_none(tmp_path: Path, code: int) -> None:
    failures = 0
    for k in range(1, 100):
        folder = tmp_path / str(k)
        folder.mkdir()
        path = str(folder / "node.key")
        fs = FaultyFS(OsFS(), k, code)
        try:
            made = make_key(fs, path)
        except (DiskError, StateError):
            failures += 1
        else:
            if not fs.failed:
                break
            assert load_key(OsFS(), path) is not None, f"call {k}, {fs.failed}: no key was made"
            assert made.blob
        there = load_key(OsFS(), path)
        left = {found.name for found in folder.iterdir()} - {"node.key"}
        assert not left or fs.failed == "unlink", f"call {k}, {fs.failed}, left {left}"
        again = make_key(OsFS(), path)
        assert there is None or again.blob == there.blob
    else:
        pytest.fail("the calls never end")
    assert failures >= 8


def test_a_write_that_takes_a_part_goes_on(tmp_path: Path) -> None:
    for k in range(1, 20):
        folder = tmp_path / str(k)
        folder.mkdir()
        fs = FaultyFS(OsFS(), k, short_write=True)
        made = make_key(fs, str(folder / "node.key"))
        there = load_key(OsFS(), str(folder / "node.key"))
        assert there is not None
        assert there.blob == made.blob
