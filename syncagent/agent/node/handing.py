"""Leadership handed over in order: `switchover`, `promote` elsewhere, a stop, a runtime that is down.

What was saved before a person asked is looked for first, so that it goes with the rest. Then nothing
new is declared, and what is under way is finished; whoever is to lead is brought to
the newest revision. Then the lease is given back while the connections still stand, and over them
the workers are told to look at the store at once: the chosen one now, the others a little later.
Without a lease store the chosen one is asked to promote itself, and its token ends this node's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.agent.effects import Hangup, Reply
from syncagent.agent.lease_effects import Depart
from syncagent.agent.node.job import Stage
from syncagent.agent.node.peer import Phase
from syncagent.core.errors import (
    BusyError,
    DeadlineError,
    RefusedError,
    SettingsError,
    SyncagentError,
    UnreachableError,
)

if TYPE_CHECKING:
    from syncagent.agent.node.asking import Answer, Asking
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.results import Asked
    from syncagent.core.artifact import NodeName
    from syncagent.core.desk import JSON
    from syncagent.core.revision import Token

CAUGHT_UP_S = 60.0
"""How long a switchover waits until the chosen node has the newest revision."""
LOOK_S = 20.0
"""How long a switchover looks for what was saved before it was asked for."""
CHECK_S = 0.05
"""How often it looks meanwhile whether all was seen."""
LEAVE_S = 20.0
"""How long a stop waits for what is being committed on workers."""
SUCCESSOR_S = 10.0
"""How much longer than a lease a switchover waits until somebody leads."""
FIRST_S = 2.0
"""How long the others leave the lease to the chosen one."""
UNREADY_S = 30.0
"""How long a manager's runtime may be down before another node is to lead."""


@dataclass(slots=True)
class Handover:
    """One under way. `request` is the desk's, 0 where nobody asked."""

    why: str
    until: float
    target: NodeName | None = None
    request: int = 0
    leaving: bool = False
    look_from: float = 0.0
    """Scans that began earlier do not count; 0.0: nothing is looked for."""
    given: bool = False
    """The lease was given back, or the chosen one was asked: now somebody has to take over."""


class Handing:
    """Gives leadership away, one time at once. Instants are of this node's clock."""

    def __init__(self, node: Parts, asking: Asking) -> None:
        self._node = node
        self._asking = asking
        self._now: Handover | None = None
        self._unready_since: float | None = None

    # --- why --------------------------------------------------------------------------------

    def switchover(self, asked: Asked, now: float) -> None:
        """Take a person's wish. Raises SyncagentError where it can't be begun."""
        state = self._node.state
        if not state.leads:
            holder = state.guard.highest.holder if state.guard.highest else "the manager"
            raise BusyError(
                f"{state.me} is not the manager, and only the manager can hand over",
                hint=f"on {holder}: syncagent switchover; or here: syncagent promote",
            )
        name = asked.arguments.get("node")
        if name == state.me:
            state.do(Reply(asked.request, self._node.electing.succeeding.answer()))
            return
        if self._now is not None:
            raise BusyError(f"it is being handed over already: {self._now.why}")
        target = self._best() if name is None else self._named(str(name))
        if target is None:
            raise BusyError(
                "no other node can lead at the moment", hint="syncagent status -o wide says why"
            )
        why = f"a person hands over to {target.name}"
        for tree in self._node.observing.views:
            self._node.observing.want_scan(tree, now)
        wish = Handover(why, now + CAUGHT_UP_S, target.name, asked.request, look_from=now)
        self._begin(wish, now)

    def leave(self, now: float) -> None:
        """The agent is told to end: hand over first, if others can lead by themselves."""
        state = self._node.state
        if self._now is not None:
            self._now.leaving = True
            self._now.until = min(self._now.until, now + LEAVE_S)
        elif state.leads and state.auto_failover:
            target = self._best()
            name = target.name if target is not None else None
            self._begin(Handover("this node is stopping", now + LEAVE_S, name, leaving=True), now)
        else:
            state.do(Depart())

    def _watch_runtime(self, now: float) -> None:
        """Hand over if the runtime here has not been ready for long and another node's is."""
        node = self._node
        if node.campaigning.ready() or not (node.state.leads and node.state.auto_failover):
            self._unready_since = None
            return
        if self._unready_since is None:
            self._unready_since = now
        if now < self._unready_since + UNREADY_S or self._now is not None:
            return
        target = self._best()
        if target is not None and _ready(target):
            why = f"the runtime of {node.state.me} is not ready, that of {target.name} is"
            self._begin(Handover(why, now + CAUGHT_UP_S, target.name), now)

    # --- to whom ----------------------------------------------------------------------------

    def _named(self, name: str) -> Peer:
        state = self._node.state
        nodes = [peer for peer in state.peers.values() if not peer.share]
        peer = next((peer for peer in nodes if peer.name == name), None)
        if peer is None:
            known = ", ".join(sorted({state.me, *(peer.name for peer in nodes)}))
            raise SettingsError(f"no node {name!r}", hint=f"nodes: {known}")
        if peer.link is None:
            raise UnreachableError(f"{name} is not connected: {peer.why_down}")
        if not (peer.admitted and _row(peer)):
            raise BusyError(f"{name} is joining", hint="try again in a few seconds")
        if not _eligible(peer):
            raise RefusedError(f"{name} can't lead: {_why_not(peer)}", hint="syncagent status")
        return peer

    def _best(self) -> Peer | None:
        """Return who should lead next: ready, up to date, by priority, then by name."""
        newest = self._node.leading.newest()
        able = [
            peer
            for peer in self._node.state.peers.values()
            if peer.link is not None and peer.admitted and not peer.share and _eligible(peer)
        ]
        return min(
            able,
            key=lambda p: (not _ready(p), p.standing != newest, -_priority(p), p.name),
            default=None,
        )

    # --- giving it away ---------------------------------------------------------------------

    def _begin(self, handover: Handover, now: float) -> None:
        state = self._node.state
        self._now = handover
        state.event("handing-over", reason=handover.why)
        self.tick(now)

    def tick(self, now: float) -> None:
        """Go on when it is time; give up when it takes too long."""
        self._watch_runtime(now)
        handover = self._now
        if handover is None:
            return
        if handover.leaving or not self._looks(handover, now):
            self._node.state.handing_over = handover.why
        if handover.given:
            if now >= handover.until:
                why = "nobody has taken over yet"
                self._end(DeadlineError(why, hint="syncagent status says what they wait for"))
        elif self._node.state.handing_over and self._drained(handover):
            self._give(handover, now)
        elif now >= handover.until:
            if handover.leaving:
                self._give(handover, now)
            else:
                why = f"{handover.target} has not got the newest revision in time"
                self._end(DeadlineError(why, hint=f"syncagent status {handover.target}"))

    def next_at(self, now: float) -> float | None:
        """Return when `tick` has something to do; what was due had its chance."""
        if self._now is not None:
            looks = not self._node.state.handing_over
            return min(self._now.until, now + CHECK_S) if looks else self._now.until
        due = None if self._unready_since is None else self._unready_since + UNREADY_S
        return due if due is not None and due > now else None

    def _looks(self, handover: Handover, now: float) -> bool:
        """Tell whether something that was saved before may still become a revision."""
        state, observing = self._node.state, self._node.observing
        if state.handing_over or not handover.look_from or now >= handover.look_from + LOOK_S:
            return False
        if not (observing.scans_begun(handover.look_from) and observing.quiet):
            return True
        return not state.paused and bool(self._node.declaring.changes(now)[0])

    def _drained(self, handover: Handover) -> bool:
        """Tell whether nothing is under way, and the chosen one has all that there is."""
        node, peers = self._node, self._node.state.peers
        job = node.advancing.job
        if node.declaring.busy or (job is not None and job.phase not in {Stage.HELD, Stage.TREES}):
            return False
        if any(peer.phase is Phase.COMMITTING and peer.link is not None for peer in peers.values()):
            return False
        target = peers.get(handover.target) if handover.target is not None else None
        if target is None or (target.link is None and handover.leaving):
            return True
        return target.link is not None and target.standing == node.state.standing.revision

    def _give(self, handover: Handover, now: float) -> None:
        node, state = self._node, self._node.state
        handover.given = True
        handover.until = now + state.settings.election.lease_s + SUCCESSOR_S
        if state.auto_failover:
            node.electing.step_down(handover.why, now, hang_up=False)
            node.campaigning.resign(SUCCESSOR_S, handover.why, now)
            return
        target = state.peers.get(handover.target) if handover.target is not None else None
        if target is None or target.link is None:
            self._end(UnreachableError(f"{handover.target} is not connected any more"))
            return
        self._asking.inquire(target.link, "take-over", {}, self._refused)

    def _refused(self, answer: Answer, _now: float) -> None:
        """The chosen one can't, where no lease decides; that its connection ends is no refusal."""
        if self._now is not None and answer.error is not None:
            if isinstance(answer.error, UnreachableError):
                return
            self._end(answer.error)

    def stood_back(self, now: float) -> None:
        """The lease is free: tell who may take it, and hang up."""
        state, handover = self._node.state, self._now
        for peer in state.peers.values():
            if peer.link is None or peer.share:
                continue
            first = handover is None or handover.target in {None, peer.name}
            verb = "take-over" if handover is not None and handover.target == peer.name else "wake"
            self._asking.inquire(peer.link, verb, {"after_s": 0 if first else FIRST_S}, _ignore)
            state.do(Hangup(peer.link, "no longer manager"))
        if handover is not None and handover.leaving:
            self._now = None
            state.do(Depart())

    def succeeded(self, token: Token) -> None:
        """Another node's token was admitted here: it leads."""
        handover = self._now
        if handover is None:
            return
        if handover.request:
            answer: dict[str, JSON] = {"epoch": token.epoch, "manager": token.holder}
            self._node.state.do(Reply(handover.request, answer))
            handover.request = 0
        self._end(None)

    def led(self) -> None:
        """This node leads, again: nobody else has taken over."""
        if self._now is not None and self._now.given:
            self._end(BusyError(f"no other node took over: {self._node.state.me} leads again"))

    def stepped_down(self, reason: str) -> None:
        """This node leads no more, and not because it has given that away."""
        if self._now is not None and not self._now.given:
            self._end(BusyError(f"this node is not the manager any more: {reason}"))

    def _end(self, error: SyncagentError | None) -> None:
        handover, self._now = self._now, None
        state = self._node.state
        state.handing_over, state.changed = "", True
        if handover is None:
            return
        if error is not None:
            state.event("not-handed-over", reason=str(error))
        if handover.request and error is not None:
            state.do(Reply(handover.request, None, error))
        if handover.leaving:
            state.do(Depart())

    # --- taking it --------------------------------------------------------------------------

    def take_over(self, asked: Asked, now: float) -> None:
        """The manager hands over to this node. Raises RefusedError if it can't lead."""
        node = self._node
        if not node.state.auto_failover:
            node.electing.promote(asked.request, now, forced=False)
            return
        node.campaigning.call(now)
        node.state.do(Reply(asked.request, {}))

    def wake(self, asked: Asked, now: float) -> None:
        """The manager has given the lease back: it may be taken, now or a little later."""
        after = asked.arguments.get("after_s")
        after_s = min(float(after), FIRST_S) if isinstance(after, int | float) else 0.0
        if after_s > 0:
            self._node.campaigning.defer(after_s, "another node is to lead", now)
        else:
            self._node.campaigning.wake(now)
        self._node.state.do(Reply(asked.request, {}))

    def promote(self, asked: Asked, now: float) -> None:
        """Take a person's wish that this node leads. Raises SyncagentError."""
        node, state = self._node, self._node.state
        forced = bool(asked.arguments.get("force"))
        if not state.auto_failover:
            node.electing.promote(asked.request, now, forced=forced)
            return
        if state.leads:
            state.do(Reply(asked.request, node.electing.succeeding.answer()))
            return
        called = state.manager_link is not None and not forced
        node.campaigning.promote(asked.request, now, forced=forced, called=called)
        if called:
            assert state.manager_link is not None, "checked above"

            def then(answer: Answer, _now: float) -> None:
                if answer.error is not None and not isinstance(answer.error, UnreachableError):
                    node.campaigning.refused(answer.error)

            self._asking.inquire(state.manager_link, "switchover", {"node": state.me}, then)


def _ignore(_answer: Answer, _now: float) -> None:
    """Take no notice: who was told looks at the store, or looks there by itself a little later."""


def _row(peer: Peer) -> dict[str, object]:
    row = peer.report.get("row")
    return row if isinstance(row, dict) else {}


def _eligible(peer: Peer) -> bool:
    return _row(peer).get("eligible") is True


def _ready(peer: Peer) -> bool:
    return _row(peer).get("ready") is True


def _priority(peer: Peer) -> float:
    priority = _row(peer).get("priority")
    return priority if isinstance(priority, int | float) else 0


def _why_not(peer: Peer) -> str:
    return str(_row(peer).get("unfit") or "it has not said that it can")
