"""A tree that this node lists for the first time after it has joined: a tenant's, or a new `[[tree]]`.

The revision on which the node stands may have rows for it, and what lies in the folder was never
judged against them. It is the first contact of a node, for one tree: an empty or equal tree needs
nothing, and one that holds something else waits for a person instead of being reverted as drift.
Which trees were met is a note in the ledger.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from syncagent.core.change import Change
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Entry
from syncagent.core.plan import Unknown
from syncagent.core.safety import HoldReason, first_contact_hold

if TYPE_CHECKING:
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.core.artifact import TreeName

NOTE = "met-trees"


def unmet(state: State) -> set[TreeName]:
    """Return the trees that this node lists and has not met; none before it has joined."""
    noted = state.standing.notes.get(NOTE)
    return set(state.settings.tree_names).difference(json.loads(noted)) if noted else set()


class Meeting:
    """Knows which trees this node has met; holds what it meets with other bytes in it."""

    def __init__(self, state: State, observing: Observing) -> None:
        self._state = state
        self._observing = observing

    def waiting(self) -> set[TreeName]:
        """Return the trees that wait for a person; the node stands on a revision, trees are ready."""
        state = self._state
        noted = state.standing.notes.get(NOTE)
        if noted is None:
            # The node has just joined: its first contact was judged over all of its trees.
            self._note(set(state.settings.tree_names))
            return set()
        new = unmet(state)
        # A tree that can't be believed is met when it can.
        waiting = {*self._observing.unready(new)}
        waiting |= {name for name in sorted(new - waiting) if self._clashes(name)}
        if new - waiting:
            self._note({*json.loads(noted), *(new - waiting)})
        return waiting

    def _clashes(self, name: TreeName) -> bool:
        """Tell whether the tree holds other artifacts than the revision and nobody let that pass."""
        state = self._state
        for each in [
            hold.id
            for hold in state.holds.values()
            if hold.reason is HoldReason.FIRST_CONTACT and hold.tree == name
        ]:
            del state.holds[each]
        changes, clash = [], False
        for path in self._observing.differing():
            seen = self._observing.observed(path)
            if path.tree != name or isinstance(seen, Unknown):
                continue
            before = Entry(seen, 0) if seen is not None else None
            clash = clash or before is not None
            changes.append(Change(path, before, state.base.get(path)))
        if not clash:
            return False
        hold = first_contact_hold(state.me, changes)
        if hold.set_digest in state.approved:
            state.use_up((hold.set_digest,))
            return False
        known = hold.id in state.noticed
        state.holds[hold.id] = hold
        if not known:
            state.event("held", id=hold.id, reason=hold.reason, text=hold.text)
            state.since(hold.id)
        return True

    def _note(self, names: set[TreeName]) -> None:
        self._state.note(StandingChange(notes={NOTE: json.dumps(sorted(names))}))
