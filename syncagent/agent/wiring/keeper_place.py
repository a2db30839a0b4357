"""Where on a share its keeper has its state: in the share's own `.syncagent`.

All hosts must find the same place: it is that of the first tree by name, beside its root or in it.
Which of the two it is depends on what is mounted, not on the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from syncagent.disk.places import Places
from syncagent.history.durable import disk_errors
from syncagent.history.portable import reigns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.core.settings import TreeSettings
    from syncagent.disk.places import Place
    from syncagent.fsio import OsFS

KEEPER_FOLDER: Final = "keeper"


def keeper_folders(fs: OsFS, trees: Sequence[TreeSettings]) -> tuple[str, ...]:
    """Return where the state of the share's keeper may be; nothing is tried or made."""
    first = min(tree.name for tree in trees)
    return tuple(_in(place) for place in Places(fs, trees).seen() if place.tree == first)


def keeper_folder(fs: OsFS, trees: Sequence[TreeSettings]) -> str:
    """Return where it is, or, on a share that has none, where it is to be.

    Raises DiskError if the share is not there.
    """
    here = _in(Places(fs, trees).of(min(tree.name for tree in trees)))
    for folder in keeper_folders(fs, trees):
        with disk_errors(f"look into {folder}"):
            if reigns(fs, folder):
                return folder
    return here


def _in(place: Place) -> str:
    return f"{place.quarantine.rpartition('/')[0]}/{KEEPER_FOLDER}"
