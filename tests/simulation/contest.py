"""Candidates and their lease store alone: no trees, no workers, so that a seed costs milliseconds.

The production election and elector run on a simulated clock; they crash, stand still, are stopped,
are fenced by others, while the store and the ways to it break. Afterwards, in peace, somebody leads
within a lease and a little more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.artifact import NodeName
from syncagent.core.election import Election, Lost, Won
from syncagent.core.lease import Candidate, Timing
from tests.fakes.drawn_elector import DrawnElector
from tests.simulation.reign import Reign
from tests.simulation.storm import Storm
from tests.simulation.world import Violation, World

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from syncagent.core.election import LeadChange
    from syncagent.core.revision import Token

TIMINGS = (Timing(), Timing(6.0, 1.5, 1.0, 2.0))
POLLS = 3
"""A vacant lease is taken within so many renew intervals: looks, lost races, givings back."""


@dataclass(frozen=True)
class Parts:
    """What candidates are made of: a test of the checkers replaces one by a faulty one."""

    election: type[Election] = Election
    elector: type[DrawnElector] = DrawnElector


@dataclass
class Racer:
    """A node that wants to lead, and does nothing else."""

    contest: Contest
    name: NodeName
    lives: int = 0
    frozen_until: float = 0.0
    elector: DrawnElector | None = None
    epoch: int = 0
    """The highest that its guard ever admitted: durable."""
    told: LeadChange | None = None

    def boot(self) -> None:
        """Start a process."""
        if self.elector is not None:
            return
        contest, world = self.contest, self.contest.world
        self.lives += 1
        me = Candidate("apim", self.name, f"{self.name}.{self.lives}")
        house = contest.storm.house
        election = contest.parts.election(
            me,
            contest.timing,
            server_expiry=house.store.server_expiry,
            never_expires=False,
            jitter=world.rng.random,
        )
        world.tell(self.name, "! boot")
        life = self.lives
        self.elector = contest.parts.elector(
            house, election, world, self._changed, lambda s, act: self._later(life, s, act)
        )
        contest.reign.electors[self.name] = self.elector.current
        contest.reign.acting[self.name] = self._acting
        self.elector.start()
        self.elector.campaign(self.epoch)

    def crash(self, back_in_s: float, *, graceful: bool = False) -> None:
        """End the process; `graceful`: it gives back what it holds."""
        if self.elector is None:
            return
        self.contest.world.tell(self.name, f"! {'stopped' if graceful else 'killed'}")
        if graceful:
            self.elector.close()
        self.elector = None
        self.lives += 1
        self.told = None
        self.contest.reign.gone(self.name)
        self.contest.world.later(back_in_s, self.boot)

    def _changed(self, change: LeadChange) -> None:
        world = self.contest.world
        world.tell(self.name, f"* {change}")
        self.told = change
        if isinstance(change, Lost):
            return
        if change.token.epoch <= self.epoch:
            raise Violation("one epoch", f"{self.name} won {change.token}, and knew {self.epoch}")
        # Its own guard admits it, and so do some others: whoever they knew as manager is fenced.
        self.epoch = change.token.epoch
        for racer in self.contest.racers:
            if world.chance(0.5):
                racer.admit(change.token.epoch)
            elif racer is not self and racer.epoch >= self.epoch:
                self._later(self.lives, 0.01, self._fenced(racer))

    def admit(self, epoch: int) -> None:
        """Its guard admits somebody's token: what it takes itself must be above that."""
        if epoch > self.epoch:
            self.epoch = epoch
            if self.elector is not None:
                self.elector.fenced(epoch)

    def _acting(self) -> Token | None:
        frozen = self.frozen_until > self.contest.world.at_s
        return self.told.token if isinstance(self.told, Won) and not frozen else None

    def _fenced(self, by: Racer) -> Callable[[], None]:
        def act() -> None:
            if self.elector is not None:
                self.elector.fenced(by.epoch)

        return act

    def _later(self, life: int, after_s: float, act: Callable[[], None]) -> None:
        world = self.contest.world

        def now() -> None:
            if self.lives != life:
                return
            if self.frozen_until > world.at_s:
                self._later(life, self.frozen_until - world.at_s, act)
                return
            act()
            self.contest.reign.look()

        world.later(after_s, now)


class Contest:
    """All candidates of one seed."""

    def __init__(self, seed: int, *, tracing: bool = False, parts: Parts | None = None) -> None:
        self.world = world = World(seed, tracing=tracing)
        self.parts = parts or Parts()
        rng = world.rng
        self.timing = rng.choice(TIMINGS)
        names = [NodeName(f"n{n + 1}") for n in range(rng.randint(3, 7))]
        self.storm = Storm(world, self.timing, names)
        self.reign = Reign(world, self.timing, lambda: self.storm.kept)
        self.storm.house.heard = self.reign.heard
        self.racers = [Racer(self, name) for name in names]
        kinds = {
            **self.storm.acts(),
            "freeze": (self._freeze, 3.0),
            "kill": (lambda: self._crash(graceful=False), 2.0),
            "stop": (lambda: self._crash(graceful=True), 1.0),
            "resign": (self._resign, 1.0),
        }
        share = rng.choice((0.2, 0.5, 0.8))
        chosen = [name for name in kinds if world.chance(share)] or ["kill"]
        self._acts = [kinds[name][0] for name in chosen]
        self._weights = [kinds[name][1] for name in chosen]
        self._stopped = False

    def run(self) -> None:
        """Let it all happen. Raises Violation."""
        world, rng = self.world, self.world.rng
        for racer in self.racers:
            world.later(rng.uniform(0.0, 5.0), racer.boot)
        world.later(rng.uniform(0.0, 20.0), self._happen)
        world.run(rng.choice((100.0, 300.0)))
        self._stopped = True
        self.storm.stop()
        world.tell("world", "--- peace")
        for racer in self.racers:
            racer.boot()
        world.run(max(world.at_s, *(racer.frozen_until for racer in self.racers)))
        # What was under way may take its time limit, and what is held then a whole lease.
        timing = self.timing
        world.run(world.at_s + timing.operation_s + timing.lease_s + POLLS * timing.renew_s)
        self._somebody_leads()
        for _ in range(10):
            world.run(world.at_s + timing.lease_s / 2)
            self._somebody_leads()

    def _somebody_leads(self) -> None:
        self.reign.look()
        if not any(racer.elector and racer.elector.current() for racer in self.racers):
            raise Violation("a manager", "nobody leads, though all is well")

    def _happen(self) -> None:
        if self._stopped:
            return
        self.world.rng.choices(self._acts, self._weights)[0]()
        self.world.later(self.world.rng.expovariate(1.0 / self.timing.lease_s), self._happen)

    def _any(self) -> Racer:
        """Return a candidate: most often the one that leads."""
        leading = [r for r in self.racers if r.elector is not None and r.elector.current()]
        if leading and self.world.chance(0.7):
            return self.world.rng.choice(leading)
        return self.world.rng.choice(self.racers)

    def _freeze(self) -> None:
        racer = self._any()
        for_s = self.world.rng.choice((0.5, 1.1, 3.0)) * self.timing.lease_s
        self.world.tell(racer.name, f"! frozen for {for_s:.1f} s")
        racer.frozen_until = max(racer.frozen_until, self.world.at_s + for_s)

    def _crash(self, *, graceful: bool) -> None:
        self._any().crash(self.world.rng.choice((0.5, 5.0, 40.0)), graceful=graceful)

    def _resign(self) -> None:
        racer = self._any()
        if racer.elector is not None:
            self.world.tell(racer.name, "! resigns")
            elector, life = racer.elector, racer.lives
            elector.resign()
            after_s = self.world.rng.uniform(0.0, 2.0)
            racer._later(life, after_s, lambda: elector.campaign(racer.epoch))


def run_contest(
    seed: int, *, tracing: bool = False, parts: Parts | None = None
) -> tuple[Violation | None, Sequence[str]]:
    """Run one seed; return what was found, and the trace if it was asked for."""
    contest = Contest(seed, tracing=tracing, parts=parts)
    try:
        contest.run()
    except Violation as violation:
        contest.world.tell("witness", f"VIOLATION {violation}")
        return violation, contest.world.trace
    return None, contest.world.trace
