"""The elector of one agent, joined with its node: wishes go in, what is won and lost is posted."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from syncagent.agent import effects as fx
from syncagent.agent import lease_effects as lx
from syncagent.agent import results as rs
from syncagent.agent.hands.lanes import Crashed
from syncagent.core.election import Election, Lost
from syncagent.core.errors import SyncagentError
from syncagent.core.lease import Candidate
from syncagent.leases.choose import make_store, timing_of
from syncagent.leases.elector import Elector

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.effects import Effect
    from syncagent.core.election import LeadChange
    from syncagent.core.revision import Token
    from syncagent.core.settings import Settings
    from syncagent.ports import Clock, Guard


class Ballot:
    """Asks the lease store, from its own lane. `post` takes events from any thread.

    Raises SettingsError if what the store needs is not there.
    """

    def __init__(
        self,
        settings: Settings,
        incarnation: str,
        guard: Guard,
        clock: Clock,
        post: Callable[[object], None],
    ) -> None:
        self._operation_s = settings.election.operation_s
        self._post = post
        self.auto_failover = settings.election.backend != "static"
        store = make_store(settings, guard)
        priority = settings.election.priority
        election = Election(
            Candidate(settings.cluster, settings.node, incarnation, priority=priority),
            timing_of(settings.election),
            server_expiry=store.server_expiry,
            never_expires=not store.auto_failover,
            jitter=random.Random().random,  # noqa: S311 - no secret
        )
        self.elector = Elector(store, election, clock, self._changed, self._crashed)

    def do(self, effect: Effect) -> object | None:
        """Carry out one wish. It may take its time: a guard under a long commit, a database."""
        match effect:
            case fx.Resign(highest):
                self.elector.fenced(highest)
            case lx.Campaign(floor, forced):
                self.elector.campaign(floor, forced=forced)
            case lx.StandBack():
                self.elector.resign(wait_s=self._operation_s)
                return rs.StoodBack()
            case fx.Acquire(floor, promoted):
                return self._acquire(floor, promoted=promoted)
            case _:
                raise AssertionError(f"nothing else is routed here: {effect}")
        return None

    def _acquire(self, floor: int, *, promoted: bool) -> object:
        try:
            token = self.elector.acquire(floor, promoted=promoted)
        except SyncagentError as error:
            return rs.NotElected(str(error))
        return rs.Elected(token) if token else rs.NotElected("another node holds the lease")

    def believes(self, token: Token) -> bool:
        """Tell whether the lease of `token` still runs; without a lease nothing runs out."""
        if not self.auto_failover:
            return True
        belief = self.elector.current()
        return belief is not None and belief.token == token

    def _changed(self, change: LeadChange) -> None:
        """Take what the elector's own threads find out; they may only post."""
        if isinstance(change, Lost):
            self._post(rs.NotElected(change.reason, lost=True, token=change.token))
        else:
            self._post(rs.Elected(change.token))

    def _crashed(self, error: BaseException) -> None:
        """End the agent: see `hands.lanes`."""
        self._post(Crashed("election", error))
