"""Writing the small text files of this part: whole or not at all, and there after power loss."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from syncagent.core.errors import DiskError
from syncagent.fsio import O_NEW

if TYPE_CHECKING:
    from syncagent.fsio import OsFS


def write_file(fs: OsFS, path: str, text: str, mode: int, *, over: bool) -> bool:
    """Write `text` to `path` in one step; False if it is there already and not `over`.

    Raises DiskError; then what was there is as it was.
    """
    folder, _, name = path.rpartition("/")
    part = f"{folder}/.{name}.part"
    try:
        with suppress(FileNotFoundError):
            fs.unlink(part)
        _write_new(fs, part, text.encode(), mode)
        try:
            if over:
                fs.replace(part, path)
            else:
                fs.link(part, path)  # unlike a rename it never takes the place of another
                fs.unlink(part)
        except FileExistsError:
            fs.unlink(part)
            return False
        fs.fsync_dir(folder or "/")
    except OSError as error:
        with suppress(OSError):
            fs.unlink(part)
        raise disk_error(f"{path} can't be written", error) from error
    return True


def disk_error(what: str, error: OSError) -> DiskError:
    """Return the DiskError for a failed call."""
    name = type(error).__name__ if error.errno is None else error.strerror or str(error.errno)
    return DiskError(f"{what}: {name}", hint="mend the folder's mode, owner or space; try again")


def _write_new(fs: OsFS, path: str, content: bytes, mode: int) -> None:
    fd = fs.open(path, O_NEW, mode)
    try:
        fs.write_all(fd, content)
        fs.fchmod(fd, mode)  # whatever the umask says
        fs.fsync(fd)
    finally:
        fs.close(fd)
