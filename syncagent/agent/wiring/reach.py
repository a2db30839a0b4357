"""Which trees answer at all, asked before anything is done that would wait for them.

An agent that starts while a mount hangs must come up, say so, and look after its other trees. The
question is put in a thread for each tree, since what hangs can be neither ended nor waited for.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Protocol

from syncagent.agent.node.stalling import STALL_S, silence
from syncagent.core.errors import DiskError
from syncagent.disk.identity import identify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncagent.core.artifact import TreeName
    from syncagent.core.settings import TreeSettings
    from syncagent.fsio import OsFS
    from syncagent.ports import Clock


class Far(Protocol):
    """Trees that are reached by another process."""

    @property
    def settings(self) -> Sequence[TreeSettings]:
        """The trees."""

    def ask(self, tree: TreeName, within_s: float) -> None:
        """Ask anything about a tree. Raises DiskError if there is no answer in time."""


def silent_trees(
    fs: OsFS,
    trees: Sequence[TreeSettings],
    clock: Clock,
    within_s: float = STALL_S,
    *,
    mounted: Sequence[Far] = (),
) -> dict[TreeName, str]:
    """Return the trees whose file system has not answered `within_s`, each with the words for it.

    Only `trees` are asked from here, those on the `mounted` by who reaches them.
    """
    asked = clock.wall()
    questions: dict[TreeName, tuple[str, Callable[[], object]]] = {
        tree.name: (tree.path, partial(identify, fs, tree.path)) for tree in trees
    }
    for far in mounted:
        for tree in far.settings:
            questions[tree.name] = (tree.path, partial(far.ask, tree.name, within_s))
    answered = {name: threading.Event() for name in questions}
    for name, (_, question) in questions.items():
        args = (question, answered[name])
        threading.Thread(target=_ask, args=args, name=f"reach-{name}", daemon=True).start()
    until = time.monotonic() + within_s
    return {
        name: silence(path, asked)
        for name, (path, _) in questions.items()
        if not answered[name].wait(max(0.0, until - time.monotonic()))
    }


def _ask(question: Callable[[], object], answered: threading.Event) -> None:
    """Any answer will do: that a folder is not there is found by whoever needs it."""
    try:
        question()
    except DiskError:
        return  # nobody reached it
    except OSError:
        pass
    answered.set()
