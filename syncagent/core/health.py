"""What load balancers and monitors ask of one node, as pure rules over what its agent last said.

The agent's loop publishes a `Pulse` at each of its turns, at most a second apart; a door answers
from the newest one and from what the elector believes at the instant of the request. So an agent
that is busy answers at once, and a manager whose lease has run out says so to the moment, also
while its loop hangs. Each rule returns a `Finding`; a door makes 200 or 503 of it.

`/readyz` is a gate: see `agent.node.gate`, which keeps it, for when it opens and why it stays so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from syncagent.core.runtime import Phase

if TYPE_CHECKING:
    from syncagent.core.desk import JSON
    from syncagent.core.lease import Leadership
    from syncagent.core.revision import Token

ALIVE_S = 30.0
"""A loop that has not turned for so long hangs. The longest honest turn, 100,000 artifacts that
are all new, is a few seconds on a slow machine; a restart for less would do harm."""

FRESH_S = 5.0
"""A manager whose loop is further behind can't know that it was deposed, and does not count."""

ASLEEP_S = 10.0
"""Between two turns: the process was stopped or the machine suspended, and the world went on."""

AWAKE_S = 3.0
"""After that a manager is silent for so long: who was made manager meanwhile is heard of first."""

AWAY = "the agent is starting or stopping"

UNTOLD = "the reason is told on the node itself, and to who has the token"


@dataclass(frozen=True, slots=True)
class Pulse:
    """What one turn of the loop says of its node. Instants are of the `Clock` port."""

    at: float
    node: str
    role: str
    """for people: worker, surveying, admitting, catching-up, leading"""
    token: Token | None
    """under which it leads; None while it does not, or not yet"""
    answers: bool
    """whether there is a runtime that says what it does"""
    phase: Phase
    ready: bool
    """the gate of `/readyz` is open"""
    reason: str = ""
    """why it is shut"""
    revision: int = 0
    woke_at: float = float("-inf")
    """when the loop turned again after a sleep"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Yes or no, and why not."""

    good: bool
    reason: str = ""


class Board(Protocol):
    """Where the newest is read. Any thread may; nothing here waits for the loop."""

    def now(self) -> float:
        """Return the instant, by the clock that pulses and leases count by."""

    def pulse(self) -> Pulse | None:
        """Return the newest pulse; None before the first, and while the agent starts anew."""

    def belief(self) -> Leadership | None:
        """Return what the elector believes right now."""

    def status(self) -> tuple[JSON, float] | None:
        """Return what `status` would answer, and the instant of which that is true."""


def woke_at(before: Pulse | None, at: float) -> float:
    """Return `woke_at` of the pulse that follows `before` at the instant `at`."""
    if before is not None and at - before.at > ASLEEP_S:
        return at
    return before.woke_at if before is not None else float("-inf")


def alive(pulse: Pulse | None, now: float) -> Finding:
    """Tell whether the agent's loop turns. Before its first turn the agent starts, and lives."""
    if pulse is not None and now - pulse.at > ALIVE_S:
        return Finding(good=False, reason=f"the agent's loop hangs: {now - pulse.at:.0f} s")
    return Finding(good=True)


def manager(pulse: Pulse | None, belief: Leadership | None, now: float) -> Finding:
    """Tell whether this node is the manager now, and its runtime can take what is published.

    It leads, under the token that the elector still believes in, so to the lease's very end; it
    has heard the cluster lately; and its runtime is ready. A runtime that can't be asked at all
    counts as ready; one that says nothing, is down, starts, or has lost its deployer does not.
    """
    if pulse is None:
        return Finding(good=False, reason=AWAY)
    if pulse.token is None or belief is None or belief.token != pulse.token:
        what = "not the manager" if pulse.role in {"worker", "leading"} else f"still {pulse.role}"
        return Finding(good=False, reason=f"{pulse.node} is {what}")
    if now - pulse.at > FRESH_S:
        return Finding(good=False, reason=f"no news for {now - pulse.at:.0f} s: it may be deposed")
    if now - pulse.woke_at < AWAKE_S:
        return Finding(good=False, reason="it was stopped for a while: it may be deposed")
    if pulse.answers and pulse.phase is not Phase.READY:
        return Finding(good=False, reason=f"its runtime is {_PHASES[pulse.phase]}")
    return Finding(good=True)


def worker(pulse: Pulse | None, now: float) -> Finding:
    """Tell whether this node serves as a worker: it does not lead, and its gate is open.

    The gate is shut while its gateway is down or comes up. A revision on its way, a cut wire or a
    rejected artifact takes no worker out: it serves the last good version. Who has to know how far
    it is behind looks at `/status` or `/metrics`.
    """
    if pulse is None:
        return Finding(good=False, reason=AWAY)
    if pulse.token is not None:
        return Finding(good=False, reason=f"{pulse.node} is the manager")
    return _open(pulse, now)


def ready(pulse: Pulse | None, now: float) -> Finding:
    """Tell whether this node's gate is open."""
    if pulse is None:
        return Finding(good=False, reason=AWAY)
    return _open(pulse, now)


def _open(pulse: Pulse, now: float) -> Finding:
    lives = alive(pulse, now)
    return Finding(pulse.ready, pulse.reason) if lives.good else lives


def for_everybody(status: JSON) -> JSON:
    """Return a status without what only the node's own people should know.

    What a lease store says of itself may name its host, its user and its database.
    """
    leader = status.get("leader") if isinstance(status, dict) else None
    fault = leader.get("fault") if isinstance(leader, dict) else None
    return _without(fault, status) if isinstance(fault, str) and fault else status


def _without(secret: str, told: JSON) -> JSON:
    match told:
        case str():
            return told.replace(secret, UNTOLD)
        case dict():
            return {name: _without(secret, each) for name, each in told.items()}
        case list():
            return [_without(secret, each) for each in told]
        case _:
            return told


_PHASES = {
    Phase.UNKNOWN: "silent: nothing says whether it is up",
    Phase.DOWN: "down",
    Phase.STARTING: "starting",
    Phase.STUCK: "stuck: its deployer is dead until it is restarted",
}
