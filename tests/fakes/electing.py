"""The production elector on a clock that a test moves: its two threads are two calls here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent import effects as fx
from syncagent.agent import lease_effects as lx
from syncagent.agent import results as rs
from syncagent.core.election import Election, Lost, Rest
from syncagent.core.lease import Candidate, Timing
from syncagent.leases.elector import Elector

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.results import Result
    from syncagent.core.election import LeadChange
    from syncagent.core.revision import Token
    from syncagent.core.settings import Settings
    from syncagent.ports import Clock, LeaseStore

ROUNDS_MAX = 20


class StillElector:
    """One candidate. `run` does what its threads would have done by now; `post` takes what came."""

    def __init__(
        self,
        store: LeaseStore,
        settings: Settings,
        incarnation: str,
        clock: Clock,
        post: Callable[[Result], None],
    ) -> None:
        given = settings.election
        election = Election(
            Candidate(settings.cluster, settings.node, incarnation, priority=given.priority),
            Timing(given.lease_s, given.renew_s, given.operation_s, given.margin_s),
            server_expiry=store.server_expiry,
            never_expires=not store.auto_failover,
            jitter=lambda: 0.5,
        )
        self._clock = clock
        self._post = post
        self._election = election
        self.elector = Elector(store, election, clock, self._changed)

    def _changed(self, change: LeadChange) -> None:
        if isinstance(change, Lost):
            self._post(rs.NotElected(change.reason, lost=True, token=change.token))
        else:
            self._post(rs.Elected(change.token))

    def believes(self, token: Token) -> bool:
        """Return what the wiring's own answer would be."""
        belief = self.elector.current()
        return belief is not None and belief.token == token

    def do(self, effect: object) -> None:
        """Take one of the node's wishes, as the wiring does."""
        match effect:
            case fx.Resign(highest):
                self.elector.fenced(highest)
            case lx.Campaign(floor, forced):
                self.elector.campaign(floor, forced=forced)
            case lx.Wake(first):
                self.elector.wake(first=first)
            case lx.StandBack():
                self.elector.resign()
                self._post(rs.StoodBack())
            case _:
                raise AssertionError(f"no wish about an election: {effect}")
        self.run()

    def run(self) -> float:
        """Do what is due by now; return when there is more to do."""
        for _ in range(ROUNDS_MAX):
            with self.elector._changed:
                self.elector._tell(self._election.expire(self._clock.now()))
            action = self._election.next(self._clock.now())
            if isinstance(action, Rest):
                return min(action.until, self._election.deadline)
            self.elector._carry_out(action)
        raise AssertionError("it never rests")
