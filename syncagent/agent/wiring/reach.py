"""Which trees answer at all, asked before anything is done that would wait for them.

An agent that starts while a mount hangs must come up, say so, and look after its other trees. The
question is put in a thread for each tree, since what hangs can be neither ended nor waited for.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from syncagent.agent.node.stalling import STALL_S, silence
from syncagent.disk.identity import identify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.core.artifact import TreeName
    from syncagent.core.settings import TreeSettings
    from syncagent.fsio import OsFS
    from syncagent.ports import Clock


def silent_trees(
    fs: OsFS, trees: Sequence[TreeSettings], clock: Clock, within_s: float = STALL_S
) -> dict[TreeName, str]:
    """Return the trees whose file system has not answered `within_s`, each with the words for it."""
    asked = clock.wall()
    answered = [threading.Event() for _ in trees]
    for tree, event in zip(trees, answered, strict=True):
        name = f"reach-{tree.name}"
        threading.Thread(target=_ask, args=(fs, tree.path, event), name=name, daemon=True).start()
    until = time.monotonic() + within_s
    return {
        tree.name: silence(tree.path, asked)
        for tree, event in zip(trees, answered, strict=True)
        if not event.wait(max(0.0, until - time.monotonic()))
    }


def _ask(fs: OsFS, path: str, answered: threading.Event) -> None:
    """Any answer will do: that a folder is not there is found by whoever needs it."""
    try:
        identify(fs, path)
    except OSError:
        pass
    finally:
        answered.set()
