"""What a manifest says of one artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from syncagent.core.digest import Digest


class Entry(NamedTuple):
    """What a manifest says of one artifact; `size` is in bytes."""

    digest: Digest
    size: int
