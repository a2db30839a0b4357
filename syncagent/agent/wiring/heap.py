"""The C library's heap: what it keeps of memory that nobody uses any more.

glibc gives each thread a heap of its own and keeps freed pages for the next request, which after
the first scan of ten thousand artifacts is a quarter of the process. Elsewhere (musl) these calls
are missing and nothing is done.
"""

from __future__ import annotations

import contextlib
import ctypes

HEAPS = 2
"""Heaps that all threads share: they seldom allocate at once, since the interpreter lets one run."""
DIRECT_BYTES = 128 * 1024
"""Larger blocks (batches, frames) come from the kernel and go back there at once."""

_M_TRIM_THRESHOLD = -1  # malloc.h
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def tame() -> None:
    """Keep the heap small from now on; call it before there are threads."""
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, HEAPS)
        mallopt(_M_MMAP_THRESHOLD, DIRECT_BYTES)
        mallopt(_M_TRIM_THRESHOLD, DIRECT_BYTES)


def trim() -> None:
    """Give back what is free in the middle of the heaps; costs some milliseconds."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
