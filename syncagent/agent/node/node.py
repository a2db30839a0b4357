"""The node: everything that happens to it goes in here, everything it wants done comes out.

No I/O, no clock, no thread: `handle` takes one event or result with the instant at which it is
handled, `tick` does what time asks for, `drain` hands out the effects. The same node runs in the
agent and, many at once, in the simulation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.node.advancing import Advancing
from syncagent.agent.node.answering import Answering
from syncagent.agent.node.campaigning import Campaigning
from syncagent.agent.node.connecting import Connecting
from syncagent.agent.node.declaring import Declaring
from syncagent.agent.node.deploying import Deploying
from syncagent.agent.node.electing import Electing
from syncagent.agent.node.exempting import Exempting
from syncagent.agent.node.gate import Gate
from syncagent.agent.node.hinting import Hinting
from syncagent.agent.node.housekeeping import Housekeeping
from syncagent.agent.node.job import Why, paths_of
from syncagent.agent.node.leading import Leading
from syncagent.agent.node.observing import Observing
from syncagent.agent.node.parts import Parts
from syncagent.agent.node.pausing import Pausing
from syncagent.agent.node.proposing import Proposing
from syncagent.agent.node.reloading import Reloading
from syncagent.agent.node.reporting import Reporting
from syncagent.agent.node.state import Role
from syncagent.agent.node.talking import Talking
from syncagent.agent.node.trying import Trying
from syncagent.agent.node.working import Working
from syncagent.core import events as ev
from syncagent.core.artifact import ArtifactPath
from syncagent.core.health import Pulse, woke_at
from syncagent.core.ledger import StandingChange
from syncagent.core.runtime import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.effects import Effect
    from syncagent.agent.node.job import Job
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.node.state import State
    from syncagent.agent.results import Result
    from syncagent.core.events import ShellEvent

TICK_MAX_S = 1.0
"""The node is never left alone for longer than this."""


class Node:
    """One node of the cluster. Touched by one thread."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.observing = Observing(state)
        self.advancing = Advancing(state, self.observing)
        self.deploying = Deploying(state, self.observing, self.advancing)
        self.declaring = Declaring(state, self.observing, self.advancing)
        self.electing = Electing(state, self.advancing)
        self.campaigning = Campaigning(state, self.electing)
        self.pausing = Pausing(state)
        self.connecting = Connecting(state)
        self.trying = Trying(state, self.observing, self.advancing, self.deploying)
        self.leading = Leading(state, self.declaring, self.trying)
        self.exempting = Exempting(state, self.observing, self.advancing)
        self.hinting = Hinting(state, self.observing)
        self.working = Working(state, self.observing, self.advancing)
        self.proposing = Proposing(state, self.observing, self.advancing, self.declaring)
        self.housekeeping = Housekeeping(state, self.observing, self.advancing)
        self.reporting = Reporting(
            self.observing, self.advancing, self.leading, self.deploying, self.pausing
        )
        parts = Parts(
            state,
            self.observing,
            self.advancing,
            self.declaring,
            self.electing,
            self.connecting,
            self.leading,
            self.working,
            self.proposing,
            self.reporting,
            self.exempting,
            deploying=self.deploying,
            trying=self.trying,
            campaigning=self.campaigning,
            pausing=self.pausing,
            hinting=self.hinting,
        )
        self.answering = Answering(parts)
        self.talking = Talking(parts, self.answering)
        self.reloading = Reloading(parts)
        self.gate = Gate(state, self.deploying, self.answering)
        self._listening = False
        self._join()
        self._handlers = self._table()

    def _join(self) -> None:
        """Let the parts tell each other what has happened."""
        state = self.state
        self.advancing.finished = self._job_finished
        self.electing.reach_all = self.connecting.reach_all
        self.electing.succeeding.reach_all = self.connecting.reach_all
        self.electing.succeeding.led = self._led
        self.campaigning.ready = self.reporting.is_ready = self._is_ready
        self.campaigning.has_something = self._has_something
        self.pausing.resumed = self.leading.push
        self.electing.stepped_down = self._stepped_down
        self.connecting.opened = lambda peer, _now: self.electing.link_up(peer)
        self.connecting.lost = self._link_lost
        self.connecting.failed = self.electing.unreachable
        self.deploying.lift = self.exempting.lift
        self.hinting.arrived = self.deploying.declared
        self.deploying.answered = self.trying.answered
        self.trying.changed = self.leading.push
        self.proposing.rejected = self.trying.refusals.why_rejected
        self.declaring.begins = self.trying.declaring
        self.advancing.committing = self.trying.committing
        self.advancing.may_write = lambda: not state.writes or self.deploying.may_write
        self.exempting.answers = lambda: self._runtime_is(Phase.READY, Phase.STARTING)
        self.exempting.unsure = lambda: self._runtime_is(Phase.UNKNOWN)
        self.exempting.busy = self.deploying.waiting
        self.exempting.fetch = self.leading.fetch
        self.exempting.held = lambda: {p for p, t in self.trying.trials.items() if t.nacked_by}
        self.exempting.trips = lambda: self.deploying.about.kind == "synapse"

    def _is_ready(self) -> bool:
        """Tell whether the runtime takes up what is written; nobody waits for one that says nothing."""
        return not self.deploying.about.answers or self._runtime_is(Phase.READY)

    def _has_something(self) -> bool:
        """Tell whether this node has a revision, or artifacts of which it could make the first."""
        known = self.state.standing.revision.number > 0
        return known or any(view.files for view in self.observing.views.values())

    def _runtime_is(self, *phases: Phase) -> bool:
        """Tell whether there is a runtime that answers, in one of these phases."""
        return self.deploying.about.answers and self.deploying.runtime.phase in phases

    def _table(self) -> dict[type, Callable[[object, float], None]]:
        """Return what is called for each kind of event and result."""
        table: dict[type, object] = {
            ev.Hinted: self.hinting.hinted,
            ev.ShareHinted: self.hinting.seen_on_share,
            ev.WatchFault: self.observing.faulted,
            ev.LinkUp: self.connecting.link_up,
            ev.LinkDown: self.connecting.link_down,
            ev.DialFailed: self.connecting.dial_failed,
            ev.Received: self.talking.received,
            ev.StrangerRefused: self.reporting.stranger,
            ev.RuntimeHeard: self.deploying.heard,
            ev.RuntimeTurned: self.deploying.turned,
            rs.Looked: self._looked,
            rs.Scanned: self._scanned,
            rs.Watching: self.observing.watching,
            rs.TokenAdmitted: self._token_admitted,
            rs.TokenRefused: self._token_refused,
            rs.Elected: lambda result, _now: self.electing.elected(result),
            rs.NotElected: self.electing.not_elected,
            rs.StoodBack: lambda _result, now: self.answering.handing.stood_back(now),
            rs.Leaving: lambda _result, now: self.answering.handing.leave(now),
            rs.Staged: self.advancing.staged,
            rs.ShareRead: self._share_read,
            rs.BlobsKept: self.proposing.kept,
            rs.Sealed: lambda result, now: self.advancing.sealed(result.txid, now),
            rs.StageFailed: self.advancing.stage_failed,
            rs.CommitDone: self.advancing.committed,
            rs.CommitFenced: self.advancing.fenced,
            rs.CommitFailed: self.advancing.failed,
            rs.Declared: self._declared,
            rs.DeclareFailed: self._declare_failed,
            rs.KeptFile: self.reporting.kept,
            rs.Touched: self.deploying.touched,
            rs.Asked: self.answering.asked,
            rs.Fetched: self.answering.fetched,
            rs.Reloaded: self.reloading.reloaded,
            rs.Trouble: self.reporting.trouble,
            rs.Lacking: self.leading.lacking,
            rs.Recalled: self.declaring.lasting.recalled,
            rs.Noted: self.housekeeping.noted,
            rs.NotNoted: self.housekeeping.not_noted,
        }
        return table  # type: ignore[return-value]  # each value takes its own key's type

    # --- in and out -------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin: watch, scan, and stand for managership if that is this node's part."""
        self.observing.start()
        self.electing.start(now)
        self.connecting.start(now)
        self._settle(now)

    def handle(self, event: ShellEvent | Result, now: float) -> None:
        """Take one event or result."""
        self.electing.check(now)
        self._handlers[type(event)](event, now)

    def tick(self, now: float) -> float:
        """Do what is due; return the instant at which to come back at the latest."""
        self.electing.check(now)
        self.observing.tick(now)
        self.hinting.tick(now)
        self._listen()
        self.advancing.tick(now)
        self.pausing.tick(now)
        self.campaigning.tick(now)
        self.electing.tick(now)
        self.connecting.tick(now)
        self.leading.tick(now)
        self.proposing.tick(now)
        self.deploying.tick(now)
        self.exempting.tick(now)
        self.trying.tick(now)
        self._settle(now)
        self.reporting.tick(now)
        self.answering.tick(now)
        self.housekeeping.tick(now)
        self.gate.tick(now)
        return min(now + TICK_MAX_S, max(self._next_at(now), now))

    def drain(self) -> list[Effect]:
        """Hand out what is to be done."""
        self.state.note_exempt()
        wanted, self.state.effects = self.state.effects, []
        # A reply to a peer becomes a message; the desk never sees it.
        reply = self.answering.asking.reply
        kept = [e for e in wanted if not (isinstance(e, fx.Reply) and reply(e))]
        if self.state.effects:
            kept.extend(self.drain())
        return kept

    def _next_at(self, now: float) -> float:
        instants = [self.observing.next_at(now)]
        instants.extend(
            at
            for at in (
                self.declaring.next_at(now),
                self.deploying.next_at(),
                self.trying.next_at(),
                self.electing.next_at(),
                self.campaigning.next_at(now),
                self.connecting.next_at(),
                self.leading.next_at(),
                self.working.next_at(now),
                self.reporting.next_at(now),
                self.answering.next_at(now),
                self.housekeeping.next_at(),
                self.hinting.next_at(),
            )
            if at is not None
        )
        return min(instants)

    def pulse(self, now: float, before: Pulse | None) -> Pulse:
        """Return what doors answer from until the next turn; `before` is the last one."""
        state = self.state
        return Pulse(
            at=now,
            node=state.me,
            role=state.role,
            token=state.token if state.leads else None,
            answers=self.deploying.about.answers,
            phase=self.deploying.runtime.phase,
            ready=not self.gate.reason,
            reason=self.gate.reason,
            revision=state.standing.revision.number,
            woke_at=woke_at(before, now),
        )

    # --- what follows from what -------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """Decide: what the trees ask for, given this node's role."""
        state = self.state
        if self.answering.waiting.dry:
            return
        if state.leads and state.withholds:
            return
        if state.leads:
            self.proposing.go_on(now)
            if not self.proposing.busy and self.declaring.decide(now) is not None:
                self.leading.push(now)
        elif state.role is Role.WORKER:
            self.working.mend(now)
            self.declaring.propose(now)

    def _listen(self) -> None:
        """Have the runtime listened to once it is known what is in the trees."""
        if not self._listening and self.observing.begun:
            self._listening = True
            self.state.do(fx.Listen())

    def _looked(self, result: rs.Looked, now: float) -> None:
        self.observing.looked(result, now)
        self.deploying.looked([ArtifactPath(result.tree, path) for path in result.seen], now)

    def _scanned(self, result: rs.Scanned, now: float) -> None:
        self.observing.scanned(result, now)
        self.deploying.scanned(result.tree, now)
        self.advancing.reconsider(now)

    def _share_read(self, result: rs.ShareRead, now: float) -> None:
        job = self.advancing.job
        if job is not None and job.txid == result.txid and job.on_share:
            self.advancing.staged(self.advancing.gathering.shared(job, result), now)

    def _token_admitted(self, result: rs.TokenAdmitted, now: float) -> None:
        state = self.state
        before, state.guard = state.guard.highest, result.state
        state.alarm("guard", None)
        if result.token.holder == state.me and result.token.incarnation == state.incarnation:
            self.electing.own_token(result, now)
            return
        if state.role is not Role.WORKER:
            self.electing.candidacy_lost(f"{result.token.holder} leads", now)
        if before is not None and before.holder == state.me:
            state.unsent = True
        self.working.token_admitted(result)
        self.answering.handing.succeeded(result.token)

    def _token_refused(self, result: rs.TokenRefused, now: float) -> None:
        if result.state is not None:
            self.state.guard = result.state
        if result.link is None:
            self.electing.own_refused(result, now)
        else:
            self.working.token_refused(result)

    def _declared(self, result: rs.Declared, now: float) -> None:
        revision = result.revision
        # The ledger has it, whoever leads by now: this node stands on it until it is offered other.
        change = StandingChange(revision=revision.id, changes=revision.changes, notes=result.notes)
        self.state.stand(change)
        self.observing.rebase(self.state.base, [change.path for change in revision.changes])
        self.state.use_up(revision.released)
        self.deploying.declared(revision.changes, revision.id.number, now)
        if not self.declaring.declared(result):
            self.working.job_ended(now)
            return
        self.state.alarm("declare", None)
        self.state.remember_made(revision.changes)
        self.state.event(
            "declared",
            revision=revision.id.number,
            changes=len(revision.changes),
            note=revision.note,
        )
        self.leading.declared(result, now)

    def _declare_failed(self, result: rs.DeclareFailed, now: float) -> None:
        self.declaring.failed(result, now)
        # It may have been offered early: whoever prepared it is called back.
        self.leading.push(now)
        self.working.job_ended(now)

    def _job_finished(self, job: Job, fault: str | None, now: float) -> None:
        self.exempting.finished(job, fault, now)
        self.trying.finished(job, fault, now)
        if fault is None and job.moves:
            self.hinting.stands(job.moves, job.revision.number, now)
        elif fault is None:
            paths = paths_of(job, job.change)
            self.deploying.committed(job.steps, paths, job.revision.number, now)
        self.proposing.finished(job, fault, now)
        self.answering.job_finished(job, fault)
        if fault is None and job.why in {Why.OFFER, Why.REPAIR}:
            self.state.unsent = False
        if job.why is Why.CATCH_UP:
            self.electing.succeeding.caught_up(job, fault, now)
        elif fault is None and job.why is Why.OWN and job.record is not None:
            self.leading.stands_on(job.record, now)
        self.working.job_ended(now)

    def _led(self, now: float) -> None:
        if self.state.in_place:
            self.observing.want_scans(now)  # what was seen as a worker counts from now on
        self.answering.handing.led()
        self.trying.take_over()
        self.leading.push(now)

    def _stepped_down(self, reason: str, now: float) -> None:
        self.declaring.stop()
        self.proposing.stop()
        self.answering.stepped_down(reason, now)

    def _link_lost(self, peer: Peer, link: int, now: float) -> None:
        self.advancing.link_down(link, now)
        self.proposing.link_down(link, now)
        self.answering.link_down(link, now)
        if peer.link is None:
            self.electing.unreachable(peer.name, now)
