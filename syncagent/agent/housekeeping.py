"""What has to be done now and then, whatever happens: tidying, saving, looking for new trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Discover, SaveCache, Tidy

if TYPE_CHECKING:
    from syncagent.agent.advancing import Advancing
    from syncagent.agent.state import State
    from syncagent.core.digest import Digest

TIDY_S = 3600.0
SAVE_S = 30.0
"""The scan cache is only a help: losing half a minute of it costs some reading (reliability.md 5)."""
DISCOVER_S = 60.0
"""A tenant's folders appear when it is first loaded; nobody waits for its first deployment."""


class Housekeeping:
    """Asks for the chores when they are due."""

    def __init__(self, state: State, advancing: Advancing) -> None:
        self._state = state
        self._advancing = advancing
        self._due: dict[type, float] = {}

    def tick(self, now: float) -> None:
        """Ask for what is due."""
        for chore, every_s in ((SaveCache, SAVE_S), (Discover, DISCOVER_S), (Tidy, TIDY_S)):
            due = self._due.setdefault(chore, now + every_s)
            if now < due:
                continue
            self._due[chore] = now + every_s
            if chore is Tidy:
                limits = self._state.settings.limits
                self._state.do(Tidy(self._prepared(), limits.quarantine_s, limits.quarantine_bytes))
            elif chore is SaveCache:
                self._state.do(SaveCache())
            elif self._state.settings.gateway_home:
                self._state.do(Discover())

    def _prepared(self) -> tuple[Digest, ...]:
        """Return the blobs of the job under way: nothing else may name them yet."""
        job = self._advancing.job
        steps = job.steps if job is not None else ()
        return tuple(step.after.digest for step in steps if step.after is not None)

    def next_at(self) -> float | None:
        """Return when the next chore is due."""
        return min(self._due.values(), default=None)
