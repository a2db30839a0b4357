"""The gate of `/readyz`: shut while a gateway comes up, and never in the way of one that serves.

It opens once for each start of the gateway, when all of this is so:

- what should be here is here: this node's trees hold what the newest revision says that can be
  learned, and it is not about to become manager. What a runtime rejected is no part of that;
- the runtime is up: it says so, or there is none that says anything. A start that never ends in
  its log, or a log that says nothing for `SILENT_S`, is not waited for.

Then it stays open whatever comes: the next revision, a hold, a cut wire, an artifact that the
runtime rejects. Only the end of the gateway shuts it, and then it opens for the next start.

For which start of the gateway it opened last is written into the ledger. So an agent that
restarts beside a gateway that has served all the while finds its gate open, and asks nobody. A
runtime that can't say which start it is (or no runtime) counts as the one of before.

A node that hears of no manager for `ALONE_S` opens with the last good revision, as a cluster that
comes up without its manager has to serve what it has; and so it does at once in a cluster that a
person has paused. A node that never had a revision waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.ledger import StandingChange
from syncagent.core.runtime import Phase

if TYPE_CHECKING:
    from syncagent.agent.node.answering import Answering
    from syncagent.agent.node.deploying import Deploying
    from syncagent.agent.node.state import State

NOTE = "gate"
"""The ledger's name for the start of the gateway for which it opened last."""
ANY = "-"
"""Written for a runtime that can't say which start it is."""
ALONE_S = 60.0
SILENT_S = 60.0
HEARD_S = 5.0
"""So long after its own start the agent has heard what there is to hear of the runtime."""


class Gate:
    """Kept only where there is a door that somebody may ask at."""

    def __init__(self, state: State, deploying: Deploying, answering: Answering) -> None:
        self._state = state
        self._deploying = deploying
        self._waiting = answering.waiting
        self._since: float | None = None
        self._alone_since: float | None = None
        self.reason = "the agent is starting"
        """Why it is shut; empty while it is open."""

    def tick(self, now: float) -> None:
        """Open or shut it."""
        if not self._state.settings.http.listen:
            return
        self._since = now if self._since is None else self._since
        self._look_around(now)
        if self._passed(now):
            self.reason = ""
            return
        self.reason = self._why_not_up(now) or self._why_not_here(now)
        if not self.reason:
            start = self._deploying.runtime.incarnation or ANY
            self._state.note(StandingChange(notes={NOTE: start}))
            self._state.event("ready", revision=self._state.standing.revision.number)

    def _look_around(self, now: float) -> None:
        """Remember since when nobody leads this node."""
        if self._state.leads or self._state.manager_link is not None:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now

    def _passed(self, now: float) -> bool:
        """Tell whether it has opened already for the gateway as it runs now."""
        passed, runtime = self._state.standing.notes.get(NOTE, ""), self._deploying.runtime
        if not passed or not self._deploying.about.answers:
            return bool(passed)
        if runtime.phase is Phase.DOWN:
            return False
        if runtime.incarnation:
            return passed == runtime.incarnation
        return self._lasted(now, HEARD_S)

    def _lasted(self, now: float, length_s: float) -> bool:
        return self._since is not None and now - self._since >= length_s

    def _why_not_up(self, now: float) -> str:
        runtime, readiness = self._deploying.runtime, self._deploying.readiness
        if not self._deploying.about.answers or runtime.phase in {Phase.READY, Phase.STUCK}:
            return ""
        if runtime.phase is Phase.UNKNOWN and self._lasted(now, SILENT_S):
            return ""
        if runtime.phase is Phase.STARTING and readiness.may_answer:
            return ""
        return readiness.why_waiting()

    def _why_not_here(self, now: float) -> str:
        why = self._waiting.why_not_here(now)
        since = self._alone_since
        alone = since is not None and now - since >= ALONE_S
        if why and (alone or self._state.paused) and self._waiting.has_whole:
            return ""
        return why
