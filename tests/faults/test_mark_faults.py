"""Making the mark of a share with each call failing in turn: a whole mark, or none."""

from __future__ import annotations

import errno
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from syncagent.disk.mark import MARK_NAME, Mark, read_mark, write_mark
from syncagent.fsio import O_FOLDER, OsFS
from tests.fakes.faultyfs import FaultyFS

if TYPE_CHECKING:
    from pathlib import Path

MARK = Mark("0a1b", "c", "synapse")


def found(folder: Path) -> Mark | None:
    fs = OsFS()
    fd = fs.open(str(folder), O_FOLDER)
    try:
        return read_mark(fs, fd)
    except FileNotFoundError:
        return None
    finally:
        fs.close(fd)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.ESTALE, errno.EROFS])
def test_whichever_call_fails_there_is_a_whole_mark_or_none(tmp_path: Path, code: int) -> None:
    for k in range(1, 60):
        folder = tmp_path / str(k)
        folder.mkdir()
        real = OsFS()
        fd = real.open(str(folder), O_FOLDER)
        fs = FaultyFS(real, k, code)
        with suppress(OSError):
            write_mark(fs, fd, MARK)
        assert found(folder) in {None, MARK}, f"call {k}, {fs.failed}"
        assert fs.opened == set(), f"call {k}, {fs.failed}: a descriptor was left"
        left = {each.name for each in folder.iterdir()} - {MARK_NAME}
        assert not left or fs.failed == "unlink", f"call {k}, {fs.failed}, left {left}"
        with suppress(FileExistsError):
            write_mark(real, fd, Mark("ffff", "c", "synapse"))
        assert found(folder) is not None
        real.close(fd)
        if not fs.failed:
            break
    else:
        pytest.fail("the calls never end")
    assert k > 6
