"""From a token of its own to leading: admit it everywhere, catch up, only then lead.

Whoever knows the newest revision is caught up with first. If it went away in the meantime, nobody
leads for a while: it is dialled all the time, and in an election that goes by itself another
candidate gets its turn, because it may reach what this one can't. What can't be reached by then
is passed over: it is lost to nobody, since it stays where it is and is kept there as a conflict
when its node follows the line of this manager.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Reply, Send
from syncagent.agent.node.candidacy import Candidacy
from syncagent.agent.node.job import Job, Stage, Why
from syncagent.agent.node.state import Role
from syncagent.core.wire.messages import Admit, Admitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.node.state import State
    from syncagent.agent.results import TokenAdmitted
    from syncagent.core.revision import RevisionId

ADMIT_S = 5.0
"""How long a new manager waits for nodes that do not answer."""
CATCH_UP_AGAIN_S = 5.0
PATIENCE_S = 30.0
"""How long a candidate tries to have the newest revision before somebody else gets the turn."""
FAULTS_MAX = 5
"""After so many attempts to catch up that came to nothing somebody else gets the turn."""
BLOCKED = frozenset({Stage.HELD, Stage.TREES, Stage.STUCK})
"""Stages in which a catch-up waits for something outside."""


class Succeeding:
    """Brings the holder of a new token to lead. `led` is called when it does.

    `pass_on` is called with the reason when it can't, in an election that goes by itself.
    """

    def __init__(self, state: State, advancing: Advancing) -> None:
        self._state = state
        self._advancing = advancing
        self._passed_on: set[RevisionId] = set()
        self.led: Callable[[float], None] = lambda _now: None
        self.reach_all: Callable[[float], None] = lambda _now: None
        self.pass_on: Callable[[str, float], None] = lambda _why, _now: None
        self.unfit: Callable[[], str] = lambda: ""
        """Why this node can't lead, though it has the newest revision; empty if it can."""

    # --- admitted ---------------------------------------------------------------------------

    def own_token(self, result: TokenAdmitted, now: float) -> None:
        """The own guard holds the token: ask every reachable node to admit it."""
        state = self._state
        candidacy, held = state.candidacy, state.token
        if candidacy is None and (held is None or result.token.epoch <= held.epoch):
            # An attempt that was given up meanwhile.
            return
        # What the manager before it had offered is not committed any more, and must not be waited for.
        self._advancing.give_back("this node leads from now on", now)
        # A second attempt may have outbid the first: all that is led goes on under its epoch.
        candidacy = state.candidacy = candidacy or Candidacy(now, set())
        state.token = result.token
        state.role = Role.ADMITTING
        state.manager_link = None
        state.event("epoch", epoch=result.token.epoch)
        state.alarm("tie", None)
        candidacy.until = now + ADMIT_S
        reachable = [peer for peer in state.peers.values() if peer.link is not None]
        candidacy.waiting = {peer.name for peer in reachable}
        for peer in reachable:
            assert peer.link is not None, "filtered"
            peer.admitted = False
            state.do(Send(peer.link, Admit(result.token)))
        if state.auto_failover:
            # No survey has dialled anybody: who knows the newest revision is among those not met yet.
            candidacy.waiting |= {peer.name for peer in state.peers.values() if peer.dialable}
            self.reach_all(now)
        elif share := next((peer for peer in state.peers.values() if peer.share), None):
            # Its keeper takes a token to be started, so no survey has met it.
            candidacy.waiting.add(share.name)
            share.expect(now)
        self.go_on(now)

    def admitted(self, peer: Peer, answer: Admitted, now: float) -> None:
        """A node holds our token: what it stands on is known, and no older push can land there."""
        if answer.token != self._state.token:
            return
        peer.admitted = True
        peer.stands(answer)
        candidacy = self._state.candidacy
        if candidacy is not None:
            # An answer that comes while this node catches up may name a newer revision still.
            candidacy.admitted[peer.name] = answer
            candidacy.waiting.discard(peer.name)
        self.go_on(now)

    # --- catching up ------------------------------------------------------------------------

    def go_on(self, now: float) -> None:
        """Lead, or catch up first, if all answers are there."""
        state, candidacy = self._state, self._state.candidacy
        if candidacy is None or candidacy.waiting or state.role is not Role.ADMITTING:
            return
        newest = max((a.revision for a in candidacy.admitted.values()), default=None)
        if newest is None or newest <= state.standing.revision:
            self._lead(candidacy, now)
            return
        state.role = Role.CATCHING_UP
        candidacy.until = now + CATCH_UP_AGAIN_S
        link = self._link_of(candidacy, newest)
        if link is None:
            self._without(candidacy, newest, now)
            return
        if self._advancing.job is not None and not self._advancing.job.interruptible:
            # A commit that the disk refused half-way is finished first (see `tick`).
            return
        job = Job(self._advancing.next_txid(), Why.CATCH_UP, newest, token=state.token, link=link)
        state.event("catching-up", peer=state.links[link], revision=newest.number)
        self._advancing.begin(job, now)

    def _link_of(self, candidacy: Candidacy, newest: RevisionId) -> int | None:
        """Return a connection to who knows the newest revision, best to who has all of it.

        A node that does not list every tree has never had the bytes of the others.
        """
        found: int | None = None
        for name, answer in candidacy.admitted.items():
            peer = self._state.peers.get(name)
            if answer.revision != newest or peer is None or peer.link is None:
                continue
            if answer.projection == newest.digest:
                return peer.link
            found = peer.link
        return found

    def _without(self, candidacy: Candidacy, newest: RevisionId, now: float) -> None:
        """Nobody who knows the newest revision is connected: wait for a while."""
        name = next(name for name, a in candidacy.admitted.items() if a.revision == newest)
        text = f"{name} knows of revision {newest.number} and is not connected"
        until = candidacy.patience.setdefault(newest, now + PATIENCE_S)
        if now < until and newest not in self._passed_on:
            hint = ". If it is down for good: syncagent promote --force"
            auto = self._state.auto_failover
            self._state.alarm("catch-up", text + ("" if auto else hint))
        else:
            self._give_up(candidacy, newest, text, now)

    def _give_up(self, candidacy: Candidacy, newest: RevisionId, why: str, now: float) -> None:
        """The newest revision is not to be had: pass the turn on, or, after that, pass it over."""
        state = self._state
        if candidacy.forced or newest in self._passed_on:
            for name in [n for n, a in candidacy.admitted.items() if a.revision == newest]:
                state.event("passed-over", peer=name, revision=newest.number)
                del candidacy.admitted[name]
            candidacy.faults = 0
            state.role = Role.ADMITTING
            self.go_on(now)
        elif state.auto_failover:
            self._passed_on.add(newest)
            self.pass_on(why, now)

    def caught_up(self, job: Job, fault: str | None, now: float) -> None:
        """The catch-up ended; without success it is tried again (see `tick`)."""
        candidacy = self._state.candidacy
        if self._state.role is not Role.CATCHING_UP or candidacy is None:
            return
        if fault is None:
            candidacy.blocked_since = None
            self._state.role = Role.ADMITTING
            self.go_on(now)
            return
        candidacy.fault = f"cannot catch up to revision {job.revision}: {fault}"
        candidacy.faults += 1
        self._state.alarm("catch-up", candidacy.fault)
        candidacy.until = now + CATCH_UP_AGAIN_S
        if candidacy.faults >= FAULTS_MAX:
            self._give_up(candidacy, job.revision, candidacy.fault, now)

    def tick(self, now: float) -> None:
        """Try again to catch up; in an election that goes by itself not for ever."""
        candidacy, job = self._state.candidacy, self._advancing.job
        if candidacy is None or self._state.role is not Role.CATCHING_UP:
            return
        blocked = bool(candidacy.fault) if job is None else job.phase in BLOCKED
        if blocked and candidacy.blocked_since is None:
            candidacy.blocked_since = now
        late = candidacy.blocked_since is not None and now >= candidacy.blocked_since + PATIENCE_S
        if blocked and late and self._state.auto_failover:
            self.pass_on((job.reason if job is not None else "") or candidacy.fault, now)
            return
        if job is None and now >= candidacy.until:
            self._state.role = Role.ADMITTING
            self.go_on(now)

    # --- leading ----------------------------------------------------------------------------

    def _lead(self, candidacy: Candidacy, now: float) -> None:
        state = self._state
        unfit = self.unfit() if state.auto_failover and not candidacy.forced else ""
        if unfit:
            self.pass_on(unfit, now)
            return
        state.candidacy = None
        state.role = Role.LEADING
        self._passed_on.clear()
        state.alarm("catch-up", None)
        assert state.token is not None, "only with a token"
        state.event("leading", epoch=state.token.epoch)
        if candidacy.request is not None:
            state.do(Reply(candidacy.request, self.answer()))
        self.led(now)

    def answer(self) -> dict[str, object]:
        """Return what a promotion answers."""
        assert self._state.token is not None, "only a manager answers"
        return {"epoch": self._state.token.epoch, "manager": self._state.me}
