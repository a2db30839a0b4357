"""Becoming manager and ceasing to be: survey, acquire, admit everywhere, catch up, only then lead.

The rules are those of `core.guard`: safety is the check of the token at each worker's commit. What
happens here is for liveness and for not doing foolish things, such as leading from an old state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Acquire, AdmitToken, Hangup, Reply, Resign, Send
from syncagent.agent.node.candidacy import Candidacy
from syncagent.agent.node.job import Job, Why
from syncagent.agent.node.state import Phase, Role
from syncagent.core.errors import BusyError, RefusedError
from syncagent.core.guard import Admission, judge, refusal, twin_of
from syncagent.core.wire.messages import Admit, Admitted, Survey, Surveyed

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.state import Peer, State
    from syncagent.agent.results import Elected, NotElected, TokenAdmitted
    from syncagent.core.artifact import NodeName
    from syncagent.core.revision import Token
    from syncagent.core.wire.messages import Fenced

SURVEY_S = 5.0
"""How long a candidate waits for peers that do not answer."""
ADMIT_S = 5.0
CATCH_UP_AGAIN_S = 5.0
PATIENCE_S = 30.0
"""How long a candidate waits for the node that knows the newest revision to be dialled again."""

FAILURES_OF_A_RIVAL = 6
"""As so many failed attempts counts a peer that another process of this node's name leads."""


class Electing:
    """The node's role. `led` is called when it begins to lead, `stepped_down` when it ceases."""

    def __init__(self, state: State, advancing: Advancing) -> None:
        self._state = state
        self._advancing = advancing
        self.candidacy: Candidacy | None = None
        self.led: Callable[[float], None] = lambda _now: None
        self.stepped_down: Callable[[str, float], None] = lambda _why, _now: None
        self.reach_all: Callable[[float], None] = lambda _now: None

    # --- standing for it --------------------------------------------------------------------

    def start(self, now: float) -> None:
        """At start: stand if the settings name this node, or the guard knows it as the holder.

        The settings count only until an epoch was admitted; from then on the guard does.
        """
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
            self._state.do(Reply(request, self._answer()))
        elif self.candidacy is not None and self.candidacy.request is not None:
            error = BusyError("a promotion is under way already", hint="syncagent status")
            self._state.do(Reply(request, None, error))
        else:
            self._advancing.give_back("this node is being promoted", now)
            self._stand(now, forced=forced, request=request)

    def _stand(self, now: float, *, forced: bool = False, request: int | None = None) -> None:
        self._state.role = Role.SURVEYING
        self._state.changed = True
        waiting = {peer.name for peer in self._state.peers.values() if peer.dialable}
        self.candidacy = Candidacy(now + SURVEY_S, waiting, forced=forced, request=request)
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
        candidacy = self.candidacy
        if candidacy is None or name not in candidacy.waiting:
            return
        candidacy.waiting.discard(name)
        self._go_on(now)

    def surveyed(self, peer: Peer, answer: Surveyed, now: float) -> None:
        """A peer tells what it has admitted and holds."""
        peer.surveyed = True
        peer.stands(answer)
        candidacy = self.candidacy
        if candidacy is None or self._state.role is not Role.SURVEYING:
            return
        candidacy.answers[peer.name] = answer
        candidacy.waiting.discard(peer.name)
        self._conclude_survey(now)

    def _go_on(self, now: float) -> None:
        if self._state.role is Role.SURVEYING:
            self._conclude_survey(now)
        elif self._state.role is Role.ADMITTING:
            self._conclude_admission(now)

    def tick(self, now: float) -> None:
        """Stop waiting when the time is over."""
        candidacy = self.candidacy
        if candidacy is not None and candidacy.waiting and now >= candidacy.until:
            candidacy.waiting.clear()
            self._go_on(now)
        elif candidacy is not None and self._may_catch_up_again(candidacy, now):
            self._state.role = Role.ADMITTING
            self._conclude_admission(now)

    def _may_catch_up_again(self, candidacy: Candidacy, now: float) -> bool:
        idle = self._state.role is Role.CATCHING_UP and self._advancing.job is None
        return idle and now >= candidacy.until

    def next_at(self) -> float | None:
        """Return when `tick` has something to do."""
        candidacy = self.candidacy
        idle = self._state.role is Role.CATCHING_UP and self._advancing.job is None
        if candidacy is None or not (candidacy.waiting or idle):
            return None
        return candidacy.until

    def _conclude_survey(self, now: float) -> None:
        candidacy = self.candidacy
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
        assert self.candidacy is not None, "asked by a candidate"
        theirs = {tree for answer in self.candidacy.answers.values() for tree in answer.trees}
        return ", ".join(sorted(theirs.difference(self._state.settings.tree_names)))

    def _withdraw(self, reason: str, now: float, error: BusyError | None = None) -> None:
        """Stay a worker."""
        candidacy = self.candidacy
        self.candidacy = None
        self._state.event("not-manager", reason=reason)
        if candidacy is not None and candidacy.request is not None:
            self._state.do(Reply(candidacy.request, None, error or BusyError(reason)))
        self.step_down(reason, now)

    # --- elected, admitted ------------------------------------------------------------------

    def elected(self, result: Elected) -> None:
        """The right is ours: have the own guard admit the token before anything is done with it."""
        self._state.do(AdmitToken(result.token, None))

    def not_elected(self, result: NotElected, now: float) -> None:
        """The right is somebody else's, or was lost; what an older attempt says counts no more."""
        trying = self._state.role is Role.SURVEYING
        if trying or (result.lost and self._state.role is not Role.WORKER):
            self._withdraw(result.reason, now)

    def own_token(self, result: TokenAdmitted, now: float) -> None:
        """The own guard holds the token: ask every reachable node to admit it."""
        candidacy, held = self.candidacy, self._state.token
        if candidacy is None and (held is None or result.token.epoch <= held.epoch):
            return
        # A second attempt may have outbid the first: all that is led goes on under its epoch.
        candidacy = self.candidacy = candidacy or Candidacy(now, set())
        self._state.token = result.token
        self._state.role = Role.ADMITTING
        self._state.manager_link = None
        self._state.event("epoch", epoch=result.token.epoch)
        self._state.alarm("tie", None)
        reachable = [peer for peer in self._state.peers.values() if peer.link is not None]
        candidacy.waiting = {peer.name for peer in reachable}
        candidacy.until = now + ADMIT_S
        for peer in reachable:
            assert peer.link is not None, "filtered"
            peer.admitted = False
            self._state.do(Send(peer.link, Admit(result.token)))
        self._conclude_admission(now)

    def admitted(self, peer: Peer, answer: Admitted, now: float) -> None:
        """A node holds our token: what it stands on is known, and no older push can land there."""
        if answer.token != self._state.token:
            return
        peer.admitted = True
        peer.stands(answer)
        if self.candidacy is not None:
            # An answer that comes while this node catches up may name a newer revision still.
            self.candidacy.admitted[peer.name] = answer
            self.candidacy.waiting.discard(peer.name)
        if self._state.role is Role.ADMITTING:
            self._conclude_admission(now)

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
        if epoch == self._state.token.epoch:
            text = f"{peer.name} holds the same epoch {epoch} for another manager: {answer.reason}"
            self._state.alarm("tie", f"{text}. End it: syncagent promote on the right node")
            candidacy = self.candidacy
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

    def _conclude_admission(self, now: float) -> None:
        candidacy = self.candidacy
        if candidacy is None or candidacy.waiting or self._state.role is not Role.ADMITTING:
            return
        newest = max(
            (a.revision for a in candidacy.admitted.values()),
            default=self._state.standing.revision,
        )
        if newest <= self._state.standing.revision:
            self._lead(now)
            return
        name = next(n for n, a in candidacy.admitted.items() if a.revision == newest)
        link = self._state.peers[name].link
        self._state.role = Role.CATCHING_UP
        candidacy.until = now + CATCH_UP_AGAIN_S
        if link is None:
            # It knows the newest revision. Without it nobody leads, unless a person forced this:
            # then it is given time to come back before it is passed over.
            until = candidacy.patience.setdefault(name, now + PATIENCE_S)
            if not candidacy.forced or now < until:
                text = f"{name} knows of revision {newest.number} and is not connected"
                self._state.alarm(
                    "catch-up", f"{text}. If it is down for good: syncagent promote --force"
                )
                return
            del candidacy.admitted[name]
            self._state.role = Role.ADMITTING
            self._conclude_admission(now)
            return
        if self._advancing.job is not None and not self._advancing.job.interruptible:
            # A commit that the disk refused half-way is finished first (see `tick`).
            return
        job = Job(
            self._advancing.next_txid(), Why.CATCH_UP, newest, token=self._state.token, link=link
        )
        self._state.event("catching-up", peer=name, revision=newest.number)
        self._advancing.begin(job, now)

    def caught_up(self, job: Job, fault: str | None, now: float) -> None:
        """The catch-up ended; without success it is tried again (see `tick`)."""
        if self._state.role is not Role.CATCHING_UP or self.candidacy is None:
            return
        if fault is None:
            self._state.role = Role.ADMITTING
            self._conclude_admission(now)
        else:
            self._state.alarm("catch-up", f"cannot catch up to revision {job.revision}: {fault}")
            self.candidacy.until = now + CATCH_UP_AGAIN_S

    def _lead(self, now: float) -> None:
        candidacy = self.candidacy
        self.candidacy = None
        self._state.role = Role.LEADING
        self._state.alarm("catch-up", None)
        assert self._state.token is not None, "only with a token"
        self._state.event("leading", epoch=self._state.token.epoch)
        if candidacy is not None and candidacy.request is not None:
            self._state.do(Reply(candidacy.request, self._answer()))
        self.led(now)

    def _answer(self) -> dict[str, object]:
        assert self._state.token is not None, "only a manager answers"
        return {"epoch": self._state.token.epoch, "manager": self._state.me}

    def candidacy_lost(self, reason: str, now: float) -> None:
        """Another node's higher token was admitted here."""
        self._withdraw(reason, now)

    # --- stepping down ----------------------------------------------------------------------

    def step_down(self, reason: str, now: float) -> None:
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
            if peer.link is not None:
                self._state.do(Hangup(peer.link, "no longer manager"))
        self.stepped_down(reason, now)
