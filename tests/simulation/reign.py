"""Who watches the lease: what each node believes, beside what really took effect at the store.

Safety is the epoch at each worker, which `witness` judges. Here are the rules of the lease itself: a
belief never outlives what the store granted, no token comes back, no two believe at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.election import Renew, TryAcquire
from syncagent.core.revision import Token
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.election import Action
    from syncagent.core.lease import Leadership, Timing
    from tests.fakes.lease_house import Answer
    from tests.simulation.world import World


SLACK_S = 1.0
"""So long after its belief has ended a node that runs may act as manager still: it has been told."""


class Reign:
    """The checkers of leases. Raises Violation. `kept`: whether the store has lost nothing yet."""

    def __init__(self, world: World, timing: Timing, kept: Callable[[], bool]) -> None:
        self._world = world
        self._timing = timing
        self._kept = kept
        self._granted: dict[Token, float] = {}
        """When the last request was sent that really took or kept a lease."""
        self._believed: dict[str, Token] = {}
        self._over: set[Token] = set()
        self.electors: dict[str, Callable[[], Leadership | None]] = {}
        """How to ask each node that lives what it believes."""
        self.acting: dict[str, Callable[[], Token | None]] = {}
        """How to ask each node that runs as what it acts: None if not as manager, or frozen."""
        self._since: dict[str, float] = {}

    def heard(self, action: Action, sent: float, answer: Answer) -> None:
        """Something took effect at the store."""
        token = None
        if isinstance(action, TryAcquire) and isinstance(answer.value, Token):
            token = answer.value
            self._world.tell("store", f"# epoch {token.epoch} to {token.incarnation}")
            if self._kept() and any(t.epoch >= token.epoch for t in self._granted):
                raise Violation("one epoch", f"{token} is not above all that were granted")
        elif isinstance(action, Renew) and answer.error is None:
            token = action.token
        if token is not None:
            self._granted[token] = max(sent, self._granted.get(token, sent))

    def look(self) -> None:
        """Judge what all believe now."""
        believing: dict[str, Token] = {}
        for name, ask in self.electors.items():
            belief = ask()
            if belief is not None:
                believing[name] = belief.token
                self._judge(name, belief)
            self._acts(name, belief)
        for name, token in self._believed.items():
            if believing.get(name) != token:
                self._over.add(token)
        self._believed = believing
        if len(believing) > 1 and self._kept():
            raise Violation("one manager", f"{sorted(believing)} believe at once that they lead")

    def _acts(self, name: str, belief: Leadership | None) -> None:
        """Judge whether a node that acts as manager believes that it is."""
        acting = self.acting[name]()
        if acting is None or (belief is not None and belief.token == acting):
            self._since.pop(name, None)
        elif self._world.at_s - self._since.setdefault(name, self._world.at_s) > SLACK_S:
            raise Violation("deadline", f"{name} acts under {acting}, and believes in {belief}")

    def gone(self, name: str) -> None:
        """A process has ended."""
        self.electors.pop(name, None)
        self.acting.pop(name, None)
        self._since.pop(name, None)

    def _judge(self, name: str, belief: Leadership) -> None:
        token, timing = belief.token, self._timing
        if token in self._over:
            raise Violation("one manager", f"{name} took up {token} again")
        sent = self._granted.get(token)
        if sent is None:
            raise Violation("one manager", f"{name} believes in {token}, which nobody granted")
        if belief.expires > sent + timing.lease_s - timing.margin_s:
            raise Violation(
                "deadline",
                f"{name} believes until {belief.expires:.3f}, and asked last at {sent:.3f}",
            )
