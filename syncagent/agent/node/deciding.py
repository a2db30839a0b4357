"""What only a person decides of what is held: approve, reject."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from syncagent.agent.effects import Reply
from syncagent.agent.node import rows
from syncagent.agent.node.declaring import DECLARED_HOLDS
from syncagent.agent.node.job import Job, Why
from syncagent.core.digest import parse_digest
from syncagent.core.errors import BusyError, RefusedError
from syncagent.core.safety import HoldReason
from syncagent.core.settings import Writers

if TYPE_CHECKING:
    from syncagent.agent.node.asking import Asking
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.state import Peer
    from syncagent.agent.results import Asked
    from syncagent.core.safety import Hold


class Deciding:
    """Carries out a person's decision, here or on the worker that it concerns."""

    def __init__(self, node: Parts, asking: Asking) -> None:
        self._node = node
        self._asking = asking

    # --- holds ------------------------------------------------------------------------------

    def approve(self, asked: Asked, now: float) -> None:
        """Release exactly the set that was shown. Raises RefusedError if there is none."""
        hold = self._hold(asked)
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
        hold = self._hold(asked)
        if hold is None:
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

    def _hold(self, asked: Asked) -> Hold | None:
        """Return the hold if it is this node's; pass the request on if it is a worker's."""
        name = str(asked.arguments.get("id", ""))
        hold = self._node.state.holds.get(name)
        if hold is not None:
            return hold
        peer = self._asking.holder(name) if self._node.state.leads else None
        if peer is None:
            self._refuse_elsewhere(name)
            known = ", ".join(sorted(self._node.state.holds)) or "nothing is held"
            raise RefusedError(f"no hold {name!r}", hint=f"syncagent get held ({known})")
        if asked.verb == "approve":
            self._approve_here(peer, name)
        self._asking.ask(peer, asked)
        return None

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
    """Raise BusyError while a revision is on its way here."""
    if node.advancing.job is not None or node.declaring.busy:
        raise BusyError("a revision is on its way", hint="Try again in a moment.")
