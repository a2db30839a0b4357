"""What runtimes really did, beside what nodes say of it: the checker of outcomes.

The modelled runtime is asked, never its log: what it serves before and after each of its turns, and
in which bytes it found a fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath
from syncagent.core.digest import digest_of
from syncagent.core.outcome import Deployment
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncagent.core.digest import Digest
    from syncagent.core.outcome import Outcome
    from tests.simulation.machine import Machine
    from tests.simulation.world import World

Fact = tuple[str, ArtifactPath, "Digest"]

NEVER = float("-inf")
BLUR_S = 1.5
"""Logs may count whole seconds: what came so long after a saying may pass for what was meant."""
NOTHING = digest_of(b"")


class Truth:
    """Facts about runtimes, by node, path and bytes. Raises Violation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._served: dict[Fact, float] = {}
        """When it last served what came from this file."""
        self._refused: dict[Fact, float] = {}

    def turned(self, machine: Machine) -> None:
        """A runtime is about to do something, or has just done it."""
        gateway = machine.gateway
        assert gateway is not None, "there is one"
        now = self._world.at_s
        for path, content in gateway.serving():
            self._served[machine.name, path, digest_of(content)] = now
        for path, content in gateway.faults():
            self._refused[machine.name, path, digest_of(content)] = now

    def told(self, machine: Machine, outcomes: Iterable[Outcome]) -> None:
        """A node says what its runtime did."""
        if machine.gateway is None:
            return
        self.turned(machine)
        for outcome in outcomes:
            came = self._came(machine, outcome) - BLUR_S
            fact = (machine.name, outcome.path, outcome.digest)
            where = f"{machine.name} {outcome.path} {outcome.digest[5:13]}"
            if outcome.state is Deployment.DEPLOYED:
                if self._served.get(fact, NEVER) < came:
                    raise Violation("truth", f"{where} is not served, and called Deployed")
            elif outcome.state is Deployment.REJECTED:
                # A file that was gone when its turn came is refused as if it were empty.
                gone = self._refused.get((machine.name, outcome.path, NOTHING), NEVER)
                if max(self._refused.get(fact, NEVER), gone) < came:
                    raise Violation("truth", f"{where} was not refused: {outcome.reason}")

    def _came(self, machine: Machine, outcome: Outcome) -> float:
        """Return since when these bytes are there; any time, if they are there no more."""
        content = machine.disk.content(outcome.path)
        if content is None or digest_of(content) != outcome.digest:
            return NEVER
        return machine.witness.of[machine.name].came.get(outcome.path, NEVER)

    def at_rest(self, machine: Machine) -> None:
        """All is quiet: what is called Deployed is served now, from just these bytes."""
        if machine.gateway is None or machine.process is None:
            return
        serving = {(path, digest_of(content)) for path, content in machine.gateway.serving()}
        for outcome in machine.process.node.deploying.outcomes.values():
            if (
                outcome.state is Deployment.DEPLOYED
                and (outcome.path, outcome.digest) not in serving
            ):
                raise Violation("truth", f"{machine.name} {outcome.path} is not served any more")
