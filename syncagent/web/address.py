"""What to bind and connect to for a Unix socket whose path may be longer than the kernel takes.

`sun_path` holds 108 bytes with its closing zero (`man 7 unix`). A longer path is reached through
an open descriptor of its folder: `/proc/self/fd/N/control.sock` is always short.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ADDRESS_BYTES_MAX = 107


@contextmanager
def socket_address(path: Path) -> Iterator[str]:
    """Give a name for `path` that fits; it is good while the context lasts. Raises OSError."""
    if len(os.fsencode(path)) <= ADDRESS_BYTES_MAX:
        yield str(path)
        return
    from syncagent.fsio import O_FOLDER, OsFS  # noqa: PLC0415 - ctypes is slow to load, seldom used

    fs = OsFS()
    folder = fs.open(str(path.parent), O_FOLDER)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        fs.close(folder)
