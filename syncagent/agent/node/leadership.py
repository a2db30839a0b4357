"""What people are told about who leads: the lease, how old its last renewal is, and why nobody does. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.node.rows import when
from syncagent.agent.node.state import Role

if TYPE_CHECKING:
    from syncagent.agent.node.state import State
    from syncagent.core.desk import JSON


def leader_row(state: State, now: float, manager: str | None) -> dict[str, JSON]:
    """Return the row of the lease as this node knows it; `manager` leads, None if nobody does.

    `renewed_s` is how long ago the lease was last renewed, as its holder knows, or else as this node
    has seen it change; null where there is no lease (`static`), or this node does not look at it.
    `fault` is what asking the store came to, in its own words, which may name hosts; wherever else it
    is told, it is told just so, and can be taken out again (`core.health.for_everybody`).
    """
    outlook = state.outlook()
    token = outlook.token if state.auto_failover else state.guard.highest
    seen_at = outlook.renewed_at if state.auto_failover else None
    since = outlook.unavailable_since
    return {
        "holder": token.holder if token is not None else None,
        "epoch": token.epoch if token is not None else state.guard.epoch,
        "backend": state.settings.election.backend,
        "automatic": state.auto_failover,
        "renewed_s": None if seen_at is None else round(max(0.0, now - seen_at), 1),
        "lease_s": state.settings.election.lease_s if state.auto_failover else None,
        "unavailable_s": None if since is None else round(now - since, 1),
        "fault": "" if since is None else outlook.fault,
        "why": "" if manager is not None else why_no_manager(state, now) + _what_then(state),
    }


def why_no_manager(state: State, now: float) -> str:
    """Say why nobody leads this node, as far as it knows."""
    if state.role is not Role.WORKER:
        waits = state.alarms.get("catch-up", "")
        return f"no manager yet: this node is {state.role}{f': {waits}' if waits else ''}"
    return _why_none_elected(state, now) if state.auto_failover else _why_none_promoted(state)


def _what_then(state: State) -> str:
    """Say what a person can do about it, where nothing else can."""
    if state.auto_failover or state.guard.highest is None or state.role is not Role.WORKER:
        return ""
    nodes = [peer for peer in state.peers.values() if not peer.share]
    two = "two nodes without a third party never do" if len(nodes) == 1 else "nobody does"
    return f"; if it is gone for good: syncagent promote --force ({two} that by themselves)"


def _why_none_promoted(state: State) -> str:
    holder = state.guard.highest
    if holder is None:
        named = state.settings.election.manager
        return f"no manager yet: waiting for {named or 'a promotion (syncagent promote)'}"
    return f"no contact with the manager {holder.holder} (epoch {holder.epoch})"


def _why_none_elected(state: State, now: float) -> str:
    outlook, backend = state.outlook(), state.settings.election.backend
    if outlook.unavailable_since is not None:
        ago = now - outlook.unavailable_since
        since = when(state.wall() - ago)
        return f"the lease store ({backend}) can't be asked since {since}: {outlook.fault}"
    token = outlook.token
    if token is not None and (token.holder, token.incarnation) != (state.me, state.incarnation):
        seen = now - outlook.renewed_at if outlook.renewed_at is not None else 0.0
        return (
            f"{token.holder} holds the lease (epoch {token.epoch}, seen to be renewed {seen:.0f} s "
            f"ago) and has not reached {state.me}"
        )
    if state.waits_for:
        return f"no manager has reached {state.me}, and it waits for one: {state.waits_for}"
    return "no manager yet: an election is under way"
