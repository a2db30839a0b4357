"""What has to be done now and then, whatever happens: tidying, saving, looking for new trees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Discover, Note, SaveCache, Scan, Tidy
from syncagent.core.ledger import StandingChange
from syncagent.core.trials import NOTE as TRIALS
from syncagent.core.trials import from_note

if TYPE_CHECKING:
    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.agent.results import Noted, NotNoted
    from syncagent.core.digest import Digest

TIDY_S = 3600.0
FIRST_S = 300.0
RECONCILE_JITTER = 0.2
"""Share by which the length between two rounds varies, both ways (default 300 s +- 20 %)."""
SAVE_S = 30.0
"""The scan cache is only a help: losing half a minute of it costs some reading."""
DISCOVER_S = 60.0
"""A tenant's folders appear when it is first loaded; nobody waits for its first deployment."""

FADING = frozenset({"disk", "declare", "staging", "history", "tidy", "quarantine"})
"""Alarms about something that failed once; what goes on failing raises them again."""
FADE_S = 120.0
NOTE_AGAIN_S = 5.0


class Housekeeping:
    """Asks for the chores when they are due."""

    def __init__(self, state: State, observing: Observing, advancing: Advancing) -> None:
        self._state = state
        self._observing = observing
        self._advancing = advancing
        self._due: dict[type, float] = {}
        self._unnoted: StandingChange | None = None
        self._last: dict[str, tuple[int, float]] = {}

    def tick(self, now: float) -> None:
        """Ask for what is due."""
        self._fade(now)
        self._note_again(now)
        self._compare(now)
        for chore, every_s in ((SaveCache, SAVE_S), (Discover, DISCOVER_S), (Tidy, TIDY_S)):
            # The first of each comes soon: a node that is restarted often tidies too.
            due = self._due.setdefault(chore, now + min(every_s, FIRST_S))
            if now < due:
                continue
            self._due[chore] = now + every_s
            if chore is Tidy:
                limits = self._state.settings.limits
                # On a mount of all nodes the quarantine is one, and whoever leads tidies it.
                older_s = limits.quarantine_s if self._state.keeps else None
                self._state.do(Tidy(self._needed(), older_s, limits.quarantine_bytes))
            elif chore is SaveCache:
                self._state.do(SaveCache())
            elif self._state.settings.gateway_home and not self._observing.hangs:
                self._state.do(Discover())

    def _compare(self, now: float) -> None:
        """Now and then look at everything, whatever the watchers say (jitter: not all at once)."""
        every_s = self._state.settings.limits.reconcile_s
        share = 1.0 + RECONCILE_JITTER * (2.0 * self._state.chance.random() - 1.0)
        due = self._due.get(Scan)
        if due is None or now >= due:
            self._due[Scan] = now + every_s * share
            for name in self._observing.views if due is not None else ():
                self._observing.want_scan(name, now)

    def noted(self, result: Noted, now: float) -> None:
        """Small facts are durable."""
        if self._unnoted is None:
            self._state.alarm("ledger", None)

    def not_noted(self, result: NotNoted, now: float) -> None:
        """They are not: again later, as they are then."""
        self._state.alarm("ledger", result.reason)
        before = self._unnoted or StandingChange()
        self._unnoted = StandingChange(
            identities={**before.identities, **result.change.identities},
            notes={**before.notes, **result.change.notes},
        )
        self._due[Note] = now + NOTE_AGAIN_S

    def _note_again(self, now: float) -> None:
        if self._unnoted is None or now < self._due[Note]:
            return
        names, self._unnoted = self._unnoted, None
        del self._due[Note]
        standing = self._state.standing
        identities = {t: standing.identities[t] for t in names.identities}
        notes = {name: standing.notes.get(name, "") for name in names.notes}
        self._state.do(Note(StandingChange(identities=identities, notes=notes)))

    def _fade(self, now: float) -> None:
        """End alarms about single failures that did not come again."""
        for about in FADING & self._state.alarms.keys():
            times, since = self._last.get(about, (0, now))
            if times != self._state.raised[about]:
                self._last[about] = (self._state.raised[about], now)
            elif now >= since + FADE_S:
                self._state.alarm(about, None)

    def _needed(self) -> tuple[Digest, ...]:
        """Return the blobs that no revision may name (any more), and something may yet put back.

        Those of the job under way, what stands in for a revision's versions here, and what was there
        before a change that is on trial.
        """
        job = self._advancing.job
        prepared = [step.after for step in job.steps] if job is not None else []
        exempt = [exemption.here for exemption in self._state.exemptions.values()]
        trials = from_note(self._state.standing.notes.get(TRIALS, "")).values()
        needed = (*prepared, *exempt, *(trial.before for trial in trials))
        return tuple(dict.fromkeys(entry.digest for entry in needed if entry is not None))

    def next_at(self) -> float | None:
        """Return when the next chore is due."""
        return min(self._due.values(), default=None)
