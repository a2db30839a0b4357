"""Memory that nobody uses any more: what the C library keeps of it, and who looks for it, when.

glibc gives each thread a heap of its own and keeps freed pages for the next request, which after
the first scan of ten thousand artifacts is a quarter of the process, and some megabytes after each
worker that was filled. Elsewhere (musl) these calls are missing and nothing is done.

The interpreter frees nearly everything at once, by counting; only for what refers to itself does it
go through all objects, and nobody else runs meanwhile: 12 ms for the program alone, several times
that with ten thousand artifacts. So what is there at the start is set aside from those searches. Once
about as much has come since, `trim`, for which a quiet moment is chosen, makes a thorough one and
sets aside what is there then.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import resource
from pathlib import Path

HEAPS = 2
"""Heaps that all threads share: they seldom allocate at once, since the interpreter lets one run."""
DIRECT_BYTES = 32 * 1024
"""Larger blocks (batches, frames of 80 KB and more) come from the kernel and go back there at once."""
YOUNG_MAX = 5_000
"""New objects before the interpreter looks among them; its own 700 is ten times as often."""
NEW_MAX = 50_000
"""Objects that come before a thorough search is worth it; half of what ten thousand artifacts are."""

_M_TRIM_THRESHOLD = -1  # malloc.h
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
GROWN_BYTES = 4 * 1024 * 1024
"""What a process has grown by when free memory is worth giving back: what serving a full sync leaves."""


class _Trimmed:
    """What is known of the last `trim`."""

    resident = 0
    """Bytes that the process had in memory after it."""


def _resident() -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return 0


def grown() -> bool:
    """Tell whether the process has become so much larger since the last `trim` that one would pay."""
    return _resident() - _Trimmed.resident >= GROWN_BYTES


def tame() -> None:
    """Keep the heap small from now on; call it before there are threads."""
    gc.set_threshold(YOUNG_MAX, *gc.get_threshold()[1:])
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, HEAPS)
        mallopt(_M_MMAP_THRESHOLD, DIRECT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, DIRECT_BYTES)


def set_aside() -> None:
    """Have searches for what refers to itself skip all that is there now, until the next `trim`."""
    gc.freeze()


def trim() -> None:
    """Give back what is free in the heaps, for some milliseconds; search thoroughly if it is time."""
    if len(gc.get_objects()) > NEW_MAX:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    _Trimmed.resident = _resident()
