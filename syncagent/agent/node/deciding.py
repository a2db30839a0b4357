"""What only a person decides of what is held: approve, reject.

A hold is not known for a moment after its node has started anew, which an agent does by itself (for
a new tenant, say). Who decides on it meanwhile is not told that there is no such hold: the question
waits until it is known, or until the node is given up.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.agent.effects import Reply
from syncagent.agent.node import lately, rows
from syncagent.agent.node.declaring import DECLARED_HOLDS
from syncagent.agent.node.job import Job, Stage, Why
from syncagent.agent.node.state import Role
from syncagent.core.digest import parse_digest
from syncagent.core.errors import BusyError, RefusedError, SyncagentError, UnreachableError
from syncagent.core.safety import HoldReason
from syncagent.core.settings import Writers

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.asking import Answer, Asking
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.results import Asked
    from syncagent.core.safety import Hold


KNOWN_SHARE = 0.4
"""Of the time that a door gives: how long a decision waits for its hold, here and where it is held."""
YOUNG_S = 30.0
"""For so long after its start a node may not know yet what it holds."""


@dataclass(slots=True)
class Undecided:
    """A decision whose hold is not known yet; `error` is what its node's end left of it."""

    asked: Asked
    until: float
    error: SyncagentError | None = None


class Deciding:
    """Carries out a person's decision, here or on the worker that it concerns."""

    def __init__(self, node: Parts, asking: Asking) -> None:
        self._node = node
        self._asking = asking
        self._young_until: float | None = None
        self._undecided: dict[int, Undecided] = {}

    # --- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Decide what can be decided by now."""
        if self._young_until is None:
            self._young_until = now + YOUNG_S
        decide: dict[str, Callable[[Asked, float], None]]
        decide = {"approve": self.approve, "reject": self.reject}
        for request, each in list(self._undecided.items()):
            try:
                decide[each.asked.verb](each.asked, now)
            except SyncagentError as error:
                self._undecided.pop(request, None)
                self._node.state.do(Reply(request, None, each.error or error))

    def next_at(self) -> float | None:
        """Return when a decision has waited long enough."""
        return min((each.until for each in self._undecided.values()), default=None)

    # --- holds ------------------------------------------------------------------------------

    def approve(self, asked: Asked, now: float) -> None:
        """Release exactly the set that was shown. Raises RefusedError if there is none."""
        hold = self._hold(asked, now)
        if hold is None:
            return
        if not hold.approvable:
            raise RefusedError(f"{hold.id} can't be approved: {hold.text}")
        state = self._node.state
        del state.holds[hold.id]
        state.event("approved", id=hold.id, reason=hold.reason)
        if hold.reason is HoldReason.ROOT_REPLACED:
            self._node.observing.accept_root(hold.tree, now)
        else:
            state.approve(hold.set_digest)
            self._node.advancing.reconsider(now)
            self._approve_there(hold)
        self._reply(asked, hold)

    def _approve_there(self, hold: Hold) -> None:
        """The set that was shown may wait at the worker that proposes it, too: both sides judge."""
        peer = self._asking.holder(hold.id) if self._node.state.leads else None
        if peer is not None and peer.link is not None:
            self._asking.inquire(peer.link, "approve", {"id": hold.id}, lambda _answer, _now: None)

    def reject(self, asked: Asked, now: float) -> None:
        """Say no: deletions that wait are undone by putting the files back."""
        hold = self._hold(asked, now)
        if hold is None:
            return
        if hold.reason is HoldReason.NACKED:
            self.may_write()
            self._node.trying.refusals.roll_back(hold, now)
            self._reply(asked, hold)
            return
        own = hold.node == self._node.state.me and self._node.state.leads
        if hold.reason not in DECLARED_HOLDS or not own:
            raise _not_rejected(hold)
        self.may_write()
        state = self._node.state
        del state.holds[hold.id]
        state.event("rejected", id=hold.id, reason=hold.reason)
        job = Job(
            self._node.advancing.next_txid(),
            Why.REPAIR,
            state.standing.revision,
            parent=state.standing.revision,
            changes=(),
            target=state.standing.manifest,
            only=frozenset(hold.paths),
        )
        self._node.advancing.begin(job, now)
        self._reply(asked, hold)

    def _hold(self, asked: Asked, now: float) -> Hold | None:
        """Return the hold if it is this node's; pass the request on if it is a worker's.

        None too where it has to wait until more is known.
        """
        name = str(asked.arguments.get("id", ""))
        hold = self._node.state.holds.get(name)
        if hold is not None:
            self._undecided.pop(asked.request, None)
            return hold
        peer = self._asking.holder(name) if self._node.state.leads else None
        if peer is not None and self._is_told(peer, name):
            if asked.verb == "approve":
                self._approve_here(peer, name)
            self._pass_on(peer, asked, now)
        else:
            self._wait_for_it(asked, name, peer, now)
        return None

    @staticmethod
    def _is_told(peer: Peer, name: str) -> bool:
        """Tell whether a worker named this hold over the connection that it has now."""
        told = rows.listed(peer.report, "held") if peer.reported_at is not None else []
        return peer.link is not None and any(row.get("id") == name for row in told)

    def _pass_on(self, peer: Peer, asked: Asked, now: float) -> None:
        """Have the worker decide; if it goes before it has answered it is asked when it is back."""
        assert peer.link is not None, "it has told over it"
        before = self._undecided.pop(asked.request, None)
        until = before.until if before is not None else now + KNOWN_SHARE * asked.timeout_s

        def take(answer: Answer, later: float) -> None:
            if isinstance(answer.error, UnreachableError) and later < until:
                self._undecided[asked.request] = Undecided(asked, until, answer.error)
            else:
                self._node.state.do(Reply(asked.request, answer.result, answer.error))

        self._asking.inquire(peer.link, asked.verb, asked.arguments, take)

    def _wait_for_it(self, asked: Asked, name: str, peer: Peer | None, now: float) -> None:
        """Have the request wait while the hold may become known. Raises a SyncagentError."""
        state = self._node.state
        fresh = Undecided(asked, now + KNOWN_SHARE * asked.timeout_s)
        each = self._undecided.setdefault(asked.request, fresh)
        silent = [p for p in state.peers.values() if state.leads and lately.coming(p, state)]
        if now < each.until and (peer in silent if peer else silent or self._unsettled(now)):
            return
        del self._undecided[asked.request]
        if peer is not None and peer.unreachable:
            raise UnreachableError(
                f"{peer.name} is away, and it is what holds {name}: {peer.why_down}",
                hint=f"when it is back: syncagent {asked.verb} {name}, here; "
                f"or on {peer.name}: syncagent {asked.verb} {name}",
            )
        if silent:
            raise BusyError(
                f"{silent[0].name} has not told yet what it holds",
                hint=f"syncagent get held, then syncagent {asked.verb} {name} again",
            )
        self._refuse_elsewhere(name)
        known = ", ".join(sorted(state.holds)) or "nothing is held"
        raise RefusedError(f"no hold {name!r}", hint=f"syncagent get held ({known})")

    def _unsettled(self, now: float) -> bool:
        """Tell whether this node does not know yet what it holds: it judges, or has just started."""
        node, state = self._node, self._node.state
        job = node.advancing.job
        if job is not None and job.phase is not Stage.HELD:
            return True
        if self._young_until is not None and now >= self._young_until:
            return False
        if not node.observing.ready:
            return True
        alone = state.role is Role.WORKER and state.manager_link is None
        return not state.leads and (alone or state.role is not Role.WORKER)

    def _approve_here(self, peer: Peer, name: str) -> None:
        """Release a worker's set here as well: where any node may write it is proposed next."""
        state = self._node.state
        if state.settings.writers is not Writers.ANY:
            return
        for row in rows.listed(peer.report, "held"):
            if row.get("id") == name and row.get("kind") in {str(r) for r in DECLARED_HOLDS}:
                with suppress(ValueError):
                    # Nonsense from a worker releases nothing.
                    state.approve(parse_digest(str(row.get("set"))))

    def _refuse_elsewhere(self, name: str) -> None:
        """Raise BusyError if the hold is another node's, as the manager's view knows."""
        state = self._node.state
        if state.leads or state.manager_link is None:
            return
        holder = state.guard.highest.holder if state.guard.highest else "the manager"
        for row in rows.listed(state.view, "held"):
            if row.get("id") == name and row.get("node") != state.me:
                where = {str(row.get("node")), holder}
                raise BusyError(
                    f"{name} is held on {row.get('node')}, not on {state.me}",
                    hint=f"decide it on {' or '.join(sorted(where))}",
                )

    def _reply(self, asked: Asked, hold: Hold) -> None:
        result = {"id": hold.id, "released": len(hold.paths), "nodes": [hold.node]}
        self._node.state.do(Reply(asked.request, result))

    def may_write(self) -> None:
        """Raise BusyError unless this node may change its trees by a revision of its own."""
        node = self._node
        if not node.state.leads:
            holder = node.state.guard.highest
            where = f"on {holder.holder}" if holder else "on the manager"
            raise BusyError(f"{node.state.me} is not the manager", hint=f"Do it {where}.")
        idle(node)


def _not_rejected(hold: Hold) -> RefusedError:
    """Return the error that says what can be done with a hold that can't be rejected."""
    if not hold.approvable:
        return RefusedError(
            f"{hold.id} ends by itself: {hold.text}",
            hint="mend what it names; nothing is deleted meanwhile",
        )
    return RefusedError(
        f"{hold.id} can only be approved or left: {hold.text}",
        hint="To keep a node out, take it from the peers of the settings.",
    )


def idle(node: Parts) -> None:
    """Raise BusyError while a revision is on its way here, or none may be made."""
    if node.advancing.job is not None or node.declaring.busy:
        raise BusyError("a revision is on its way", hint="Try again in a moment.")
    if node.state.withholds:
        ends = "syncagent resume" if node.state.paused else "Try again in a moment."
        raise BusyError(f"nothing new is declared: {node.state.withholds}", hint=ends)
