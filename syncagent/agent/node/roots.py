"""Which folder each tree is known by: taken from the ledger, learnt once, changed by a person only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import TrustRoot
from syncagent.core.ledger import StandingChange

if TYPE_CHECKING:
    from syncagent.agent.node.state import State
    from syncagent.agent.results import Scanned
    from syncagent.core.artifact import TreeName


class Roots:
    """The trusted root of each tree. One of another kind than the tree's is of a mode that was left."""

    def __init__(self, state: State) -> None:
        self._state = state
        known = state.standing.identities
        self._known = {
            tree.name: known[tree.name]
            for tree in state.settings.trees
            if tree.name in known and tree.knows(known[tree.name])
        }
        self._any_since: dict[TreeName, float] = {}

    def trust(self, name: TreeName) -> None:
        """Have the disk believe this tree only under the root that is known, or any if none is."""
        self._state.do(TrustRoot(name, self._known.get(name)))

    def accept(self, name: TreeName, now: float) -> None:
        """A person's word: whatever folder is found next is the tree."""
        self._known.pop(name, None)
        self._any_since[name] = now
        self.trust(name)

    def learn(self, name: TreeName, result: Scanned) -> None:
        """Take the first root that a scan could believe for the tree's own, from now on."""
        found = result.identity
        early = result.started < self._any_since.get(name, 0.0)
        if name in self._known or found is None or early:
            return
        self._known[name] = found
        self.trust(name)
        if self._state.standing.identities.get(name) != found:
            self._state.note(StandingChange(identities={name: found}))
