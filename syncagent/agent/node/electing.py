"""Becoming manager and ceasing to be: survey, acquire, admit everywhere, catch up, only then lead.

The rules are those of `core.guard`: safety is the check of the token at each worker's commit. What
happens here is for liveness and for not doing foolish things, such as leading from an old state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Acquire, AdmitToken, Hangup, Reply, Resign, Send
from syncagent.agent.lease_effects import Campaign
from syncagent.agent.node.candidacy import Candidacy
from syncagent.agent.node.job import Why
from syncagent.agent.node.peer import Phase
from syncagent.agent.node.state import Role
from syncagent.agent.node.succeeding import Succeeding
from syncagent.agent.results import NotElected
from syncagent.core.errors import BusyError, RefusedError
from syncagent.core.guard import Admission, judge, refusal, twin_of
from syncagent.core.wire.messages import Admit, Survey, Surveyed

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.node.state import State
    from syncagent.agent.results import Elected, TokenAdmitted, TokenRefused
    from syncagent.core.artifact import NodeName
    from syncagent.core.revision import Token
    from syncagent.core.wire.messages import Fenced

SURVEY_S = 5.0
"""How long a candidate waits for peers that do not answer."""

FAILURES_OF_A_RIVAL = 6
"""As so many failed attempts counts a peer that another process of this node's name leads."""


class Electing:
    """The node's role. `stepped_down` is called when it ceases to lead, or to try to."""

    def __init__(self, state: State, advancing: Advancing) -> None:
        self._state = state
        self._advancing = advancing
        self.succeeding = Succeeding(state, advancing)
        self._won: Token | None = None
        self.stepped_down: Callable[[str, float], None] = lambda _why, _now: None
        self.reach_all: Callable[[float], None] = lambda _now: None
        self.wished: Callable[[], Candidacy] = lambda: Candidacy(0.0, set())
        """The candidacy of who is elected: a person may have wished for it."""

    @property
    def candidacy(self) -> Candidacy | None:
        """The attempt to become manager that is under way."""
        return self._state.candidacy

    # --- standing for it --------------------------------------------------------------------

    def start(self, now: float) -> None:
        """At start: stand if the settings name this node, or the guard knows it as the holder.

        The settings count only until an epoch was admitted; from then on the guard does. In an
        election that goes by itself neither does.
        """
        if self._state.auto_failover:
            return
        holder = self._state.guard.highest
        named = self._state.settings.election.manager == self._state.me
        if (holder is None and named) or (holder is not None and holder.holder == self._state.me):
            self._stand(now)

    def promote(self, request: int, now: float, *, forced: bool) -> None:
        """A person's word: become manager here. Raises RefusedError if it could only observe."""
        if not self._state.settings.apply:
            raise RefusedError(
                f"{self._state.me} only observes (apply = false): as manager it would declare "
                "nothing",
                hint="set [node] apply = true and restart it, or promote another node",
            )
        tied = "tie" in self._state.alarms
        if self._state.leads and self._state.token is not None and not tied:
            self._state.do(Reply(request, self.succeeding.answer()))
        elif self._state.candidacy is not None and self._state.candidacy.request is not None:
            error = BusyError("a promotion is under way already", hint="syncagent status")
            self._state.do(Reply(request, None, error))
        else:
            self._advancing.give_back("this node is being promoted", now)
            self._stand(now, forced=forced, request=request)

    def _stand(self, now: float, *, forced: bool = False, request: int | None = None) -> None:
        self._state.role = Role.SURVEYING
        self._state.changed = True
        waiting = {
            peer.name for peer in self._state.peers.values() if peer.dialable and not peer.share
        }
        self._state.candidacy = Candidacy(now + SURVEY_S, waiting, forced=forced, request=request)
        for peer in self._state.peers.values():
            peer.surveyed = False
            if peer.link is not None:
                self._state.do(Send(peer.link, Survey()))
        self.reach_all(now)
        self._conclude_survey(now)

    # --- the survey -------------------------------------------------------------------------

    def link_up(self, peer: Peer) -> None:
        """A connection that this node opened: say what it is for."""
        assert peer.link is not None, "just opened"
        if self._state.role is Role.SURVEYING:
            self._state.do(Send(peer.link, Survey()))
        elif self._state.token is not None:
            self._state.do(Send(peer.link, Admit(self._state.token)))

    def unreachable(self, name: NodeName, now: float) -> None:
        """A peer could not be reached: do not wait for it."""
        candidacy = self._state.candidacy
        if candidacy is None or name not in candidacy.waiting:
            return
        candidacy.waiting.discard(name)
        self._go_on(now)

    def surveyed(self, peer: Peer, answer: Surveyed, now: float) -> None:
        """A peer tells what it has admitted and holds."""
        peer.surveyed = True
        peer.stands(answer)
        candidacy = self._state.candidacy
        if candidacy is None or self._state.role is not Role.SURVEYING:
            return
        candidacy.answers[peer.name] = answer
        candidacy.waiting.discard(peer.name)
        self._conclude_survey(now)

    def _go_on(self, now: float) -> None:
        if self._state.role is Role.SURVEYING:
            self._conclude_survey(now)
        else:
            self.succeeding.go_on(now)

    def tick(self, now: float) -> None:
        """Stop waiting when the time is over."""
        candidacy = self._state.candidacy
        if candidacy is not None and candidacy.waiting and now >= candidacy.until:
            candidacy.waiting.clear()
            self._go_on(now)
        self.succeeding.tick(now)

    def next_at(self) -> float | None:
        """Return when `tick` has something to do."""
        candidacy = self._state.candidacy
        idle = self._state.role is Role.CATCHING_UP and self._advancing.job is None
        if candidacy is None or not (candidacy.waiting or idle):
            return None
        return candidacy.until

    def _conclude_survey(self, now: float) -> None:
        candidacy = self._state.candidacy
        if candidacy is None or candidacy.waiting or candidacy.acquiring:
            return
        tokens = [
            answer.highest
            for answer in candidacy.answers.values()
            if answer.highest is not None
            and self._believes(answer.highest, forced=candidacy.forced)
        ]
        if any(map(self._is_twin, tokens)):
            self._give_way(now)
            return
        own = self._state.guard.highest
        known = max([*tokens, *([own] if own else [])], key=lambda t: t.epoch, default=None)
        if (
            candidacy.request is None
            and known is not None
            and known.epoch > self._state.guard.epoch
        ):
            self._withdraw(f"{known.holder} leads since epoch {known.epoch}", now)
            return
        silent = known is not None and known.holder not in {self._state.me, *candidacy.answers}
        if candidacy.request is not None and silent and not candidacy.forced:
            assert known is not None, "silent means known"
            holder = self._state.peers.get(known.holder)
            why = f": {holder.why_down}" if holder is not None else ""
            reason = f"the manager {known.holder} (epoch {known.epoch}) cannot be reached{why}"
            hint = "If it is down for good: syncagent promote --force"
            self._withdraw(reason, now, BusyError(reason, hint=hint))
            return
        if candidacy.request is not None and not candidacy.forced and (lacks := self._lacks()):
            reason = f"{self._state.me} does not list {lacks}: it has nothing to serve there"
            hint = "Promote a node that lists all trees, or if none is left: promote --force"
            self._withdraw(reason, now, BusyError(reason, hint=hint))
            return
        floor = known.epoch if known else self._state.guard.epoch
        candidacy.acquiring = True
        self._state.do(Acquire(floor, promoted=candidacy.request is not None))

    def _believes(self, token: Token, *, forced: bool = False) -> bool:
        """Tell whether a peer can have admitted this: one that can't have must not stop this node."""
        admission = judge(self._state.guard, token, forced=forced)
        believed = admission not in {Admission.ABSURD, Admission.FOREIGN}
        if not believed:
            reason = refusal(self._state.guard, token, admission)
            self._state.event("not-believed", holder=token.holder, reason=reason)
        return believed

    def _is_twin(self, token: Token) -> bool:
        """Tell whether another node of this one's name and key holds a token."""
        return token.is_twin(self._state.me, self._state.incarnation)

    def _give_way(self, now: float) -> None:
        """Lead no more, and dial nobody: as two of one name they would only disturb each other."""
        text = twin_of(self._state.me)
        self._withdraw(text, now, BusyError(text))
        self._state.alarm("twin", text)

    def _lacks(self) -> str:
        """Name the trees of other nodes that this node does not list; empty if there are none."""
        assert self._state.candidacy is not None, "asked by a candidate"
        theirs = {
            tree for answer in self._state.candidacy.answers.values() for tree in answer.trees
        }
        return ", ".join(sorted(theirs.difference(self._state.settings.tree_names)))

    def _withdraw(self, reason: str, now: float, error: BusyError | None = None) -> None:
        """Stay a worker."""
        candidacy = self._state.candidacy
        self._state.candidacy = None
        self._state.event("not-manager", reason=reason)
        if candidacy is not None and candidacy.request is not None:
            self._state.do(Reply(candidacy.request, None, error or BusyError(reason)))
        self.step_down(reason, now)

    # --- elected, or not --------------------------------------------------------------------

    def elected(self, result: Elected) -> None:
        """The right is ours: have the own guard admit the token before anything is done with it."""
        if self._state.believes(result.token):
            self._won = result.token
            self._state.do(AdmitToken(result.token, None))

    def not_elected(self, result: NotElected, now: float) -> None:
        """The right is somebody else's, or was lost; what an older attempt says counts no more."""
        if result.token is not None and result.token != self._won:
            return
        trying = self._state.role is Role.SURVEYING
        if trying or (result.lost and self._state.role is not Role.WORKER):
            self._withdraw(result.reason, now)
        self._won = None

    def own_token(self, result: TokenAdmitted, now: float) -> None:
        """The own guard holds the token: go on with it, unless it was lost meanwhile."""
        if self._state.auto_failover:
            if result.token != self._won:
                return
            self._state.candidacy = self._state.candidacy or self.wished()
        self.succeeding.own_token(result, now)

    def own_refused(self, result: TokenRefused, now: float) -> None:
        """The own guard does not hold the token: nothing is done under it."""
        if not self._state.auto_failover:
            self.not_elected(NotElected(result.reason), now)
        elif result.token == self._won:
            self._won = None
            self._state.event("not-manager", reason=result.reason)
            known = result.state
            overtaken = {Admission.FENCED, Admission.TIED}
            if known is None or judge(known, result.token) not in overtaken:
                self.succeeding.pass_on(result.reason, now)
                if known is not None and known.highest is not None and self._is_twin(known.highest):
                    self._give_way(now)
                return
            self._state.do(Campaign(known.epoch))

    def check(self, now: float) -> None:
        """Step down if the lease has run out, whether or not anybody has said so yet."""
        token = self._state.token
        if token is not None and not self._state.believes(token):
            self._won = None
            self._withdraw("the lease has run out", now)

    def fenced_by(self, peer: Peer, answer: Fenced, now: float) -> None:
        """A node has admitted a higher epoch: whoever holds it leads, not this node."""
        highest = answer.highest
        epoch = highest.epoch if highest else 0
        self._state.event("fenced", peer=peer.name, epoch=epoch, reason=answer.reason)
        if highest is None or not self._believes(highest):
            self.unreachable(peer.name, now)
            return
        if self._is_twin(highest):
            self._give_way(now)
            return
        if self._state.token is None or epoch < self._state.token.epoch:
            self.unreachable(peer.name, now)
            return
        if self._state.auto_failover:
            # A store that was restored gives an epoch twice, or one that is over: the next is above it.
            self._state.do(Campaign(epoch))
            self._withdraw(answer.reason, now)
            return
        if epoch == self._state.token.epoch:
            text = f"{peer.name} holds the same epoch {epoch} for another manager: {answer.reason}"
            self._state.alarm("tie", f"{text}. End it: syncagent promote on the right node")
            candidacy = self._state.candidacy
            if candidacy is not None and not candidacy.forced:
                # Somebody else was there first: two that lead are worse than one that steps back.
                self._withdraw(text, now)
            else:
                self.unreachable(peer.name, now)
                self._make_way(peer, highest)
            return
        self._withdraw(answer.reason, now)

    def _make_way(self, peer: Peer, admitted: Token) -> None:
        """Hang up on who is led by another process of this node's name.

        It takes one of two only, so this connection would keep the one that it obeys away from it.
        It is dialled again, but seldom: each time keeps the other away for a moment.
        """
        if admitted.holder == self._state.me and peer.link is not None:
            peer.failures = FAILURES_OF_A_RIVAL
            self._state.do(Hangup(peer.link, "it is led by another process of this name"))

    # --- stepping down ----------------------------------------------------------------------

    def candidacy_lost(self, reason: str, now: float) -> None:
        """Another node's higher token was admitted here."""
        self._withdraw(reason, now)

    def step_down(self, reason: str, now: float, *, hang_up: bool = True) -> None:
        """Be a worker from now on: no commit, no push, connections that were opened are closed."""
        was = self._state.role
        self._state.role, self._state.token = Role.WORKER, None
        self._state.alarm("catch-up", None)
        self._state.alarm("tie", None)
        if was in {Role.LEADING, Role.ADMITTING, Role.CATCHING_UP}:
            self._state.event("stepped-down", reason=reason)
            self._state.do(Resign(self._state.guard.epoch))
        if self._advancing.job is not None and self._advancing.job.why in {Why.OWN, Why.CATCH_UP}:
            self._advancing.drop(reason, now)
        for peer in self._state.peers.values():
            peer.phase, peer.offered, peer.admitted = Phase.IDLE, None, False
            peer.report, peer.former = {}, ()
            if peer.link is not None and hang_up:
                self._state.do(Hangup(peer.link, "no longer manager"))
        self.stepped_down(reason, now)
