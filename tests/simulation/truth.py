"""What runtimes really did, beside what nodes say of it and do about it: the checkers of outcomes.

The modelled runtime is asked, never its log: what it serves before and after each of its turns, and
in which bytes it found a fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath
from syncagent.core.digest import digest_of
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import Phase
from syncagent.core.settings import SHARE
from syncagent.core.snapshot import Seen
from tests.fakes.runtime_deployer import folder_of
from tests.fakes.runtime_judge import judge
from tests.simulation.artifacts import SYNAPSE
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
TRIED_S = 25.0
"""For so long after a change only an answer lets it pass the canary: its deadline is later."""
HEARD_S = 10.0
"""An agent that lives has heard of a refusal after this time."""


class Truth:
    """Facts about runtimes, by node, path and bytes. Raises Violation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._served: dict[Fact, float] = {}
        """When it last served what came from this file."""
        self._told: set[Fact] = set()
        """What a node has called Deployed: of a start nothing is said of what was taken."""
        self._tried: dict[tuple[ArtifactPath, Digest], tuple[float, str, str, str]] = {}
        """What a manager with a canary has declared: when, its name, incarnation and runtime's start."""
        self._pushed: dict[tuple[str, ArtifactPath], tuple[Digest, float]] = {}
        """What an agent put where, and when, as long as its revision wants just that."""
        self._refused: dict[Fact, float] = {}
        self._unnamed: dict[Fact, float] = {}
        """What was refused, and no log names: at a start, or when the deployer died of it."""
        self.back: set[tuple[ArtifactPath, Digest | None]] = set()
        """What a rollback brings: every node ran it before, so it waits for no canary."""

    def turned(self, machine: Machine) -> None:
        """A runtime is about to do something, or has just done it."""
        gateway = machine.gateway
        assert gateway is not None, "there is one"
        now = self._world.at_s
        for path, content in gateway.serving():
            self._served[machine.name, path, digest_of(content)] = now
        starting, fact = gateway.state.phase is Phase.STARTING, None
        for path, content in gateway.faults():
            fact = (machine.name, path, digest_of(content))
            self._refused[fact] = now
            well_formed = not judge(folder_of(path.path), content).fault
            if starting and well_formed and gateway.dialect.name == "synapse":
                self._unnamed[fact] = now
        if fact is not None and gateway.state.phase is Phase.STUCK:
            self._unnamed[fact] = now

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
                if self._overtaken(machine, outcome):
                    continue
                self._told.add(fact)
                if self._served.get(fact, NEVER) <= came:
                    raise Violation("truth", f"{where} is not served, and called Deployed")
            # Before it has looked a node knows from its ledger what was refused, not what is there now.
            refused = outcome.state is Deployment.REJECTED and _has_looked(machine, outcome)
            if refused and self._refused_since(machine, outcome, came) <= came:
                raise Violation("truth", f"{where} was not refused: {outcome.reason}")

    def _refused_since(self, machine: Machine, outcome: Outcome, came: float) -> float:
        """Return when the runtime refused these bytes last, or what may have been them.

        A file that was gone when its turn came is refused as if it were empty. Where bytes that it
        never took, as far as can be heard, were overwritten before it looked, nobody can tell which
        of the two it refused.
        """
        at = (machine.name, outcome.path)
        found = max(self._refused.get((*at, bytes_), NEVER) for bytes_ in (outcome.digest, NOTHING))
        if came > NEVER or (*at, outcome.digest) in self._told:
            return found
        return max((when for fact, when in self._refused.items() if fact[:2] == at), default=found)

    def _overtaken(self, machine: Machine, outcome: Outcome) -> bool:
        """Tell whether somebody has written there since the node looked: it can't know yet.

        What it says then is put right when it looks; whether it was shows at rest. The same bytes
        that went and came back are others too: the runtime may have let go of them meanwhile.
        """
        content, process = machine.disk.content(outcome.path), machine.process
        there = digest_of(content) if content is not None else None
        if process is None or process.node.observing.observed(outcome.path) != outcome.digest:
            return False
        if there != outcome.digest:
            return True
        seen = process.node.observing.views[outcome.path.tree].files.get(outcome.path.path)
        came = machine.witness.of[machine.name].came.get(outcome.path, NEVER)
        since = self._world.at_s - self._world.wall()
        # What the agent itself has put there has no mtime for it until it looks.
        return isinstance(seen, Seen) and 0 < seen.mtime_ns < (came - since) * 1e9 - 1e3

    # --- what follows from it -----------------------------------------------------------------

    def declared(self, machine: Machine, path: ArtifactPath, digest: Digest) -> None:
        """A manager makes these bytes a revision's: its own runtime tries them first."""
        gateway, process = machine.gateway, machine.process
        if gateway is None or process is None or path.tree != SYNAPSE:
            return
        if (path, digest) in self.back:
            return
        manager_tries = machine.settings.rollout.canary == "manager"
        if manager_tries and process.node.deploying.answers and gateway.state.phase is Phase.READY:
            start = gateway.state.incarnation
            tried = (self._world.at_s, machine.name, process.incarnation, start)
            self._tried.setdefault((path, digest), tried)

    def let_pass(self, paths: Iterable[ArtifactPath]) -> None:
        """A person has these go on, though the manager's runtime has refused some of them."""
        passed = set(paths)
        self._tried = {fact: row for fact, row in self._tried.items() if fact[0] not in passed}

    def moved(self, machine: Machine, path: ArtifactPath) -> None:
        """A node's revision wants something else at a path than before."""
        self._pushed.pop((machine.name, path), None)

    def put(self, machine: Machine, path: ArtifactPath, content: bytes) -> None:
        """An agent has put these bytes there."""
        digest = digest_of(content)
        self._canary(machine, path, digest)
        now, before = self._world.at_s, self._pushed.get((machine.name, path))
        fact = (machine.name, path, digest)
        self._told.discard(fact)  # what it took before has to be taken anew
        refused_at = self._refused.get(fact, NEVER)
        taken = self._served.get(fact, NEVER) > refused_at
        again = before is not None and before[0] == digest and before[1] < refused_at
        named = refused_at != self._unnamed.get(fact)
        again = again and (named or self._knows(machine, path, digest))
        if again and not taken and refused_at < now - HEARD_S:
            where = f"{machine.name} {path} {digest[5:13]}"
            raise Violation("rejected", f"{where} was refused {now - refused_at:.0f} s ago")
        self._pushed[machine.name, path] = (digest, now)

    @staticmethod
    def _knows(machine: Machine, path: ArtifactPath, digest: Digest) -> bool:
        """Tell whether a node has found out itself whom its runtime refused."""
        process = machine.process
        known = process.node.deploying.outcomes.get(path) if process is not None else None
        rejected = known is not None and known.state is Deployment.REJECTED
        return known is not None and rejected and known.digest == digest

    def _canary(self, machine: Machine, path: ArtifactPath, digest: Digest) -> None:
        """A worker has got something: the manager's runtime must have had its say.

        No runtime deploys from a share.
        """
        if machine.settings.node == SHARE:
            return
        tried = self._tried.get((path, digest))
        if tried is None or self._world.at_s > tried[0] + TRIED_S or tried[1] == machine.name:
            return
        at, name, incarnation, start = tried
        manager = machine.witness.machines[name]
        process, gateway = manager.process, manager.gateway
        assert gateway is not None, "it tries"
        same = process is not None and process.incarnation == incarnation and process.state.leads
        if not same or gateway.state.incarnation != start or gateway.state.phase is not Phase.READY:
            return
        content = manager.disk.content(path)
        if content is None or digest_of(content) != digest:
            return  # Somebody has written there since: the runtime may have answered for that.
        self.turned(manager)
        fact = (name, path, digest)
        if fact not in self._served and fact not in self._refused:
            late_s = self._world.at_s - at
            raise Violation("canary", f"{machine.name} has {path} {late_s:.1f} s later, not tried")

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


def _has_looked(machine: Machine, outcome: Outcome) -> bool:
    """Tell whether a node has seen its tree since it was started."""
    process = machine.process
    return process is not None and process.node.observing.views[outcome.path.tree].ready
