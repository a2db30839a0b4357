"""Where on a share its keeper has its state: in the share's own `.syncagent`.

All hosts must find the same place, though they may not list the same trees. So it is looked for at
one tree after the other, in an order that is the same everywhere, and made at the first of them:
`synapse`, which hardly a node is without, then by name. Beside a tree's root or in it depends on what
is mounted, not on the host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from syncagent.disk.places import Places
from syncagent.history.durable import disk_errors
from syncagent.history.portable import reigns

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from syncagent.core.settings import TreeSettings
    from syncagent.disk.places import Place
    from syncagent.fsio import OsFS

KEEPER_FOLDER: Final = "keeper"
_FIRST: Final = "synapse"


def known_keeper(fs: OsFS, trees: Iterable[TreeSettings]) -> tuple[TreeSettings, str] | None:
    """Return the tree at which a keeper has its state, and where; None if there is none.

    Nothing is tried or made, and trees behind the one that has it are not touched. Raises DiskError.
    """
    for tree in _in_order(trees):
        for place in Places(fs, [tree]).seen():
            folder = _in(place)
            with disk_errors(f"look into {folder}"):
                if reigns(fs, folder):
                    return tree, folder
    return None


def keeper_folder(fs: OsFS, trees: Sequence[TreeSettings]) -> str:
    """Return where the state is, or, on a share that has none, where it is to be.

    Raises DiskError if the share is not there.
    """
    known = known_keeper(fs, trees)
    tree = known[0] if known is not None else _in_order(trees)[0]
    here = _in(Places(fs, [tree]).of(tree.name))
    return known[1] if known is not None else here


def _in_order(trees: Iterable[TreeSettings]) -> list[TreeSettings]:
    return sorted(trees, key=lambda tree: (tree.name != _FIRST, tree.name))


def _in(place: Place) -> str:
    return f"{place.quarantine.rpartition('/')[0]}/{KEEPER_FOLDER}"
