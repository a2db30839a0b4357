"""What a runtime refused and left where it was (Carbon does) is never put back there. Pure.

It would be refused again. So when it is gone, or somebody has put something in its place, that is how
this node is until there is another version. If somebody puts it there again, the runtime is asked again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.effects import Backfill
from syncagent.core.exempt import Because
from syncagent.core.plan import Unknown
from syncagent.core.snapshot import Seen

if TYPE_CHECKING:
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State


def let_go(state: State, observing: Observing) -> None:
    """Have what is there now be what this node has in place of what was refused there."""
    if not state.exempt:
        return
    gone = [
        path
        for path in observing.differing()
        if (exemption := state.exempt.get(path)) is not None
        and exemption.because is Because.REJECTED
        and exemption.here is not None
        and exemption.here.digest == exemption.wanted
        and not isinstance(observing.observed(path), Unknown)
    ]
    for path in gone:
        seen = observing.views[path.tree].files.get(path.path)
        there = seen.entry if isinstance(seen, Seen) else None
        state.exempt_at(path, replace(state.exempt[path], here=there))
        if there is not None and not state.has_blob(there.digest):
            state.do(Backfill(((path, there),)))
    if gone:
        observing.rebase(state.base, gone)
