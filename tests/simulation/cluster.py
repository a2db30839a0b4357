"""A whole cluster from one seed: made, troubled, left in peace, and judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack
from zlib import crc32

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.diff import diff
from syncagent.core.digest import digest_of
from syncagent.core.entry import Entry
from syncagent.core.manifest import EMPTY, Manifest
from syncagent.core.runtime import Phase
from syncagent.core.settings import (
    SHARE,
    Drift,
    ElectionSettings,
    Limits,
    PeerSettings,
    RolloutSettings,
    Settings,
    TreeSettings,
    Writers,
)
from tests.fakes.network import Weather
from tests.fakes.runtime_words import CARBON
from tests.fakes.runtime_words import SYNAPSE as SYNAPSE_RUNTIME
from tests.simulation.artifacts import FILES, KINDS, PLANS, SYNAPSE, all_paths, good
from tests.simulation.contest import TIMINGS
from tests.simulation.machine import Build, Machine
from tests.simulation.reign import Reign
from tests.simulation.share import Share, is_share
from tests.simulation.storm import Storm
from tests.simulation.trouble import Trouble
from tests.simulation.witness import Witness, held, withheld
from tests.simulation.world import Violation, World

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.core.change import Change

Runtimes = bool | Literal["consoles"]
"""Whether there are runtimes beside the agents; `consoles`: such in which people save artifacts too."""


class Kinds(TypedDict, total=False):
    """What there is in a seed's cluster besides agents; nothing of it if it isn't named.

    `elections`: managers are elected; `shadow`: all nodes have a share, whose keeper moves with them.
    """

    runtimes: Runtimes
    elections: bool
    shadow: bool


PEACE_S = 900.0
"""Longest virtual time from the end of all trouble to a cluster in sync."""
STILL_S = 65.0
"""For how long nothing may be written once it is in sync."""
ANSWERS_S = 900.0
"""How long runtimes may take for their answers, with all that is tried again."""
PUT_BACK = "put back what a runtime refused"
"""In an alarm that stays until somebody publishes again, which nobody does in peace."""
FOR_NOW = "try again"
"""In the reason of what a manager will take in a moment: it is proposed again."""
STEP_S = 5.0
LOOKS_EXCUSED = 6
"""So many looks in a row prove that what differs stays so: what lacks something else waits 15 s."""
NO_MANAGER_S = 90.0
"""How long a person waits for a manager before promoting somebody."""
NOBODY_S = 120.0
"""How long it may take in peace until one node leads that was elected: others start meanwhile."""
ELIGIBLE_MAX = 5
AUTO_SHARE = 0.9


@dataclass(frozen=True)
class Shape:
    """What a seed's cluster looks like."""

    nodes: int
    writers: Writers
    trees: tuple[TreeName, ...]
    limits: Limits


class Cluster:
    """Machines, trouble and witness of one seed."""

    spared: frozenset[str] = frozenset()
    """Kinds of trouble that make no sense here."""

    def __init__(
        self,
        seed: int,
        *,
        tracing: bool = False,
        build: Build | None = None,
        **kinds: Unpack[Kinds],
    ) -> None:
        runtimes, elections = kinds.get("runtimes", False), kinds.get("elections", False)
        self.shadow = shadow = kinds.get("shadow", False)
        self.runtimes = bool(runtimes)
        self.consoles = runtimes == "consoles"
        self.elections = elections
        self.world = World(seed, tracing=tracing)
        self.rng = self.world.rng
        self.witness = self._make_witness()
        self._build = build or Build()
        self.shape = self._shape()
        self._rollout = self._drawn_rollout() if runtimes else RolloutSettings()
        self._make_weather()
        # Now and then a person decides who leads, in what else happens where managers are elected.
        auto = elections and self.rng.random() < AUTO_SHARE
        self.storm = self._make_storm() if auto else None
        self.machines = [self._machine(number) for number in range(self.shape.nodes)]
        if shadow:
            self.machines.append(self._make_share())
        self.trouble = Trouble(self)
        self._fill()
        if runtimes:
            self._start_runtimes()
        self._unled_since: float | None = None
        self._excused = False
        """Whether the last look found differences that may be right: they have to last."""

    @property
    def nodes(self) -> list[Machine]:
        """Return the machines at whose desks people sit: all but the share."""
        return [machine for machine in self.machines if not is_share(machine)]

    # --- making it ----------------------------------------------------------------------------

    def _make_witness(self) -> Witness:
        return Witness(self.world)

    def _shape(self) -> Shape:
        rng = self.rng
        strict = rng.random() < 0.5
        limits = Limits(
            delete_apis=2 if strict else 10,
            delete_files=3 if strict else 50,
            updates=4 if rng.random() < 0.3 else 500,
            safety_scan_s=rng.choice((10.0, 60.0)),
            reconnect_max_s=rng.choice((10.0, 60.0)),
        )
        trees = [SYNAPSE, *(t for t in (PLANS, FILES) if rng.random() < 0.5)]
        writers = Writers.ANY if rng.random() < 0.25 or self.shadow else Writers.MANAGER
        most = 7 if self.elections else 5
        return Shape(rng.randint(3, most), writers, tuple(trees), limits)

    def _drawn_rollout(self) -> RolloutSettings:
        rng = self.rng
        return RolloutSettings(
            canary=rng.choice(("manager", "manager", "worker", "none")),
            max_unavailable=rng.choice((0.25, 0.5, 1.0)),
            on_reject=rng.choice(("hold", "hold", "continue", "rollback")),
            ordered=rng.random() < 0.25,
        )

    def _make_storm(self) -> Storm:
        """Make the lease store, and who watches it."""
        self._timing = self.rng.choice(TIMINGS)
        names = [NodeName(f"n{n + 1}") for n in range(self.shape.nodes)]
        storm = Storm(self.world, self._timing, names)
        self.witness.reign = Reign(self.world, self._timing, lambda: storm.kept)
        storm.house.heard = self.witness.reign.heard
        # The first lists every tree, so that somebody can always lead.
        some = self.rng.randint(1, min(len(names), ELIGIBLE_MAX) - 1)
        self._eligible = (names[0], *self.rng.sample(names[1:], some))
        return storm

    def _election(self, names: Sequence[NodeName], number: int) -> ElectionSettings:
        if self.storm is None:
            return ElectionSettings(manager=names[0])
        timing = self._timing
        return ElectionSettings(
            backend="sql",
            eligible=self._eligible,
            nofailover=bool(number) and self.rng.random() < 0.1,
            priority=self.rng.choice((10, 10, 1)),
            lease_s=timing.lease_s,
            renew_s=timing.renew_s,
            operation_s=timing.operation_s,
            margin_s=timing.margin_s,
        )

    def _make_weather(self) -> None:
        rng = self.rng
        self.world.network.weather = Weather(
            delay_most_s=rng.choice((0.005, 0.05, 1.0)),
            break_chance=rng.choice((0.0, 0.0, 0.01, 0.05)),
        )

    def _machine(self, number: int) -> Machine:
        rng, shape = self.rng, self.shape
        names = [NodeName(f"n{n + 1}") for n in range(shape.nodes)]
        drift = Drift.REPORT if number and rng.random() < 0.15 else Drift.REVERT
        lists = 0.9 if self.elections else 0.7
        trees = [t for t in shape.trees if t == SYNAPSE or not number or rng.random() < lists]
        settings = self._settings(
            cluster="apim",
            node=names[number],
            state_dir="/state",
            trees=tuple(TreeSettings(t, KINDS[t], f"/{t}", drift=drift) for t in trees),
            writers=shape.writers,
            apply=not number or rng.random() > 0.06,
            peers=tuple(PeerSettings(n, f"{n}:1", "") for n in names if n != names[number]),
            election=self._election(names, number),
            rollout=self._rollout,
            limits=shape.limits,
            mode="shared" if self.shadow else "push",
        )
        machine = Machine(self.world, settings, self.witness, build=self._build)
        machine.house = self.storm.house if self.storm is not None else None
        self._paced(machine)
        return machine

    def _make_share(self) -> Share:
        """Make the share that all nodes have: it lists every tree, and leads nobody."""
        shape = self.shape
        settings = Settings(
            cluster="apim",
            node=SHARE,
            state_dir="/share",
            trees=tuple(TreeSettings(t, KINDS[t], f"/{t}", mark="apim") for t in shape.trees),
            writers=Writers.ANY,
            election=ElectionSettings(nofailover=True),
            limits=shape.limits,
        )
        share = Share(self.world, settings, self.witness, build=self._build)
        share.disk.identity = {name: f"share:{name}" for name in shape.trees}
        self._paced(share)
        for machine in self.machines:
            machine.share = share
        self.world.network.beside = frozenset({SHARE})
        return share

    def _paced(self, machine: Machine) -> None:
        """Draw how fast a machine is, and how careful those are who work there."""
        rng = self.rng
        machine.pace.eye_s = rng.choice((0.01, 0.2, 2.0))
        machine.pace.commit_s = rng.choice((0.01, 0.1, 1.0))
        machine.pace.turn_s = rng.choice((0.001, 0.02))
        machine.races = rng.choice((0.0, 0.05, 0.2))
        machine.hints_lost = rng.choice((0.0, 0.0, 0.1, 1.0))

    def _settings(self, **given: object) -> Settings:
        return Settings(**given)  # type: ignore[arg-type]

    def _fill(self) -> None:
        """Put artifacts where they are at the beginning: all on the first node, else as drawn."""
        first, *others = self.machines
        for tree in first.settings.tree_names:
            for path in all_paths(tree):
                if self.world.chance(0.7):
                    first.put(path, good(path, 0, self.rng))
        for machine in others:
            self._fill_like(machine, first, self.rng.choice(("empty", "empty", "same", "other")))

    def _start_runtimes(self) -> None:
        """Put runtimes beside some of the agents, with a class that is missing everywhere or not."""
        rng = self.rng
        salt, share = rng.randrange(1 << 16), rng.choice((0, 0, 20, 6))

        def refuses(_path: str, content: bytes) -> str:
            mark = crc32(content, salt)
            return "Class no.such.Class not found" if share and mark % share == 0 else ""

        for machine in [m for m in self.machines if not is_share(m)]:
            dialect = rng.choice((SYNAPSE_RUNTIME, SYNAPSE_RUNTIME, CARBON, None))
            if self.consoles and dialect is not None:
                dialect = CARBON
            if dialect is not None:
                everywhere = rng.random() < 0.7
                machine.beside(dialect, refuses if everywhere else takes_all)

    def _fill_like(self, machine: Machine, first: Machine, kind: str) -> None:
        for tree in machine.settings.tree_names if kind != "empty" else ():
            for path in all_paths(tree):
                content = first.disk.content(path)
                if kind == "other" and self.world.chance(0.3):
                    content = good(path, 1_000, self.rng)
                if content is not None:
                    machine.put(path, content)

    # --- running it ---------------------------------------------------------------------------

    def run(self) -> None:
        """Let it all happen. Raises Violation."""
        for machine in self.machines:
            self.world.later(self.rng.choice((0.0, 1.0, 20.0)) * self.rng.random(), machine.boot)
        self.world.run(self.rng.choice((0.0, 5.0, 30.0)))
        self.trouble.begin()
        lengths = (30.0, 60.0, 150.0) if self.elections else (30.0, 90.0, 200.0)
        self.world.run(self.world.at_s + self.rng.choice(lengths))
        self.trouble.stop()
        self.world.tell("world", "--- peace")
        self._converge()
        self._stay_still()
        self.witness.nothing_is_lost()

    def _converge(self) -> None:
        begun = self.world.at_s
        until = begun + PEACE_S + (ANSWERS_S if self.runtimes else 0.0)
        why, marks = "never looked at", list[object]()
        while self.world.at_s < until:
            self.world.run(self.world.at_s + STEP_S)
            why = self.why_not_in_sync()
            if not why and self.world.at_s < begun + ANSWERS_S:
                why = self._what_is_to_come()
            if not why:
                # What one node has proposed may be on its way to the others still: look again.
                why, now = "a moment ago it was not", self._marks()
                marks = [*marks, now] if now in marks else [now]
                if len(marks) > (LOOKS_EXCUSED if self._excused else 1):
                    return
            self._attend()
        raise Violation("convergence", f"{PEACE_S:.0f} s after all trouble: {why}")

    def _marks(self) -> list[tuple[object, int]]:
        """Return what every node stands on, and how much it has written."""
        return [
            (m.history.standing().revision, self.witness.of[m.name].writes) for m in self.machines
        ]

    def _what_is_to_come(self) -> str:
        """Say what some node still waits for: another's runtime to answer, or its own.

        What a runtime refuses only now has consequences: holds, and with them new revisions.
        """
        for machine in self.machines:
            if withheld(machine, machine.history.standing()):
                return f"{machine.name} gets some of it later"
            if machine.gateway is not None and machine.gateway.state.phase is not Phase.READY:
                return f"the runtime of {machine.name} is {machine.gateway.state.phase}"
            if machine.process is not None and machine.process.node.deploying.waiting():
                return f"the runtime of {machine.name} has not answered for everything"
        return ""

    def _stay_still(self) -> None:
        writes = {name: seen.writes for name, seen in self.witness.of.items()}
        standing = {m.name: m.history.standing().revision for m in self.machines}
        self.world.run(self.world.at_s + STILL_S)
        for machine in self.machines:
            if self.witness.of[machine.name].writes != writes[machine.name]:
                raise Violation("stillness", f"{machine.name} wrote although all was in sync")
            moved = machine.history.standing().revision != standing[machine.name]
            # Nobody waits for who only observes: it may have been told later that it has it all.
            if moved and machine.settings.apply:
                raise Violation("stillness", f"{machine.name} moved although all was in sync")
        why = self.why_not_in_sync()
        if why:
            raise Violation("stillness", f"not in sync any more: {why}")
        for machine in self.machines:
            self.witness.truth.at_rest(machine)

    def _attend(self) -> None:
        """A person looks after the cluster: approves what waits, promotes where nobody leads."""
        for machine in self.machines:
            if machine.gateway is not None and machine.gateway.state.phase is Phase.STUCK:
                # That is what status says to do.
                machine.kill_runtime(back_in_s=1.0)
            for hold in self.trouble.holds(machine):
                self.trouble.approve(machine, hold)
            if machine.process is not None and machine.process.state.paused:
                self.trouble.resume(machine)
        tied = [m for m in self.machines if m.process and "tie" in m.process.state.alarms]
        if len(self.leading()) == 1 and not tied:
            self._unled_since = None
        elif self._unled_since is None:
            self._unled_since = self.world.at_s
        else:
            self._unled(self.world.at_s - self._unled_since)

    def _unled(self, for_s: float) -> None:
        """Nobody leads, or more than one: where nobody is elected a person promotes somebody."""
        if self.storm is not None:
            if for_s > NOBODY_S:
                raise Violation("a manager", f"{NOBODY_S:.0f} s of peace, and nobody leads, or two")
        elif for_s > NO_MANAGER_S:
            self._unled_since = None
            able = [m for m in self.nodes if m.process is not None and m.settings.apply]
            if able:
                self.trouble.promote(self.rng.choice(able), force=True)

    # --- judging it ---------------------------------------------------------------------------

    def leading(self) -> list[Machine]:
        """Return the nodes that lead, as they think."""
        return [m for m in self.machines if m.process is not None and m.process.state.leads]

    def why_not_in_sync(self) -> str:
        """Say what is not yet as it should be, empty if all is."""
        self._excused = False
        if any(m.process is None or m.away for m in self.machines):
            return "a node or a tree is away"
        leading = self.leading()
        if len(leading) != 1:
            return f"{[m.name for m in leading]} lead"
        manager = leading[0]
        if manager.history.standing().revision.number == 0 and self._has_nothing(manager):
            # It takes nothing for the truth: the others stay with what they have.
            stands = [m for m in self.machines if m.settings.apply and _stands(m)]
            return next((why for m in stands if (why := self._why_drifted(m, manager))), "")
        for machine in self.machines:
            why = self._why_behind(machine, manager)
            if why:
                return f"{machine.name}: {why}"
        return self._why_status(manager)

    def _has_nothing(self, manager: Machine) -> bool:
        """Tell whether a manager has nothing of which it could make a first revision."""
        return all(self._refuses(manager, change) for change in diff(EMPTY, live(manager)))

    def _why_behind(self, machine: Machine, manager: Machine) -> str:
        standing, newest = machine.history.standing(), manager.history.standing()
        if not machine.settings.apply:
            return ""
        if standing.revision != newest.revision:
            return f"stands on {standing.revision}, the manager on {newest.revision}"
        if machine.process is not None and machine.process.state.holds:
            return f"holds {[h.text for h in machine.process.state.holds.values()]}"
        return self._why_drifted(machine, manager)

    def _why_drifted(self, machine: Machine, manager: Machine) -> str:
        standing = machine.history.standing()
        left = self._left_alone(machine, manager)
        self._excused = self._excused or bool(left)
        for change in diff(held(machine, standing), live(machine)):
            if change.path not in left:
                return f"{change.path} is not as revision {standing.revision} has it"
        return ""

    def _left_alone(self, machine: Machine, manager: Machine) -> set[ArtifactPath]:
        """Return what may differ in peace: refused where it is, or reported drift."""
        assert machine.process is not None, "asked only then"
        changes = diff(held(machine, machine.history.standing()), live(machine))
        writes = machine is manager or self.shape.writers is Writers.ANY
        others = writes and machine is not manager
        reports = {t.name for t in machine.settings.trees if t.drift is Drift.REPORT}
        refused = machine.process.state.refused
        refusing = {p.tree for p, why in refused.items() if FOR_NOW not in why.problem.reason}
        return {
            change.path
            for change in changes
            if (writes and self._refuses(machine, change))
            or (not writes and change.path.tree in reports)
            # A name that a refused file of the same tree keeps in the revision is not to be had.
            or (others and change.path.tree in refusing and self._has_seen(machine, change))
            # A manager knows nothing of trees that it does not list, and takes no proposal for them.
            or (writes and change.path.tree not in manager.settings.tree_names)
        }

    @staticmethod
    def _refuses(machine: Machine, change: Change) -> bool:
        """Tell whether the agent refuses what is there now, not what it saw there before."""
        assert machine.process is not None, "asked only then"
        refused = machine.process.state.refused.get(change.path)
        seen = Cluster._has_seen(machine, change)
        return refused is not None and seen and FOR_NOW not in refused.problem.reason

    @staticmethod
    def _has_seen(machine: Machine, change: Change) -> bool:
        """Tell whether the agent knows what is there now: else it has yet to decide about it."""
        assert machine.process is not None, "asked only then"
        here = change.after.digest if change.after is not None else None
        return machine.process.node.observing.observed(change.path) == here

    def _why_status(self, manager: Machine) -> str:
        """Say where the manager's status does not tell what is so."""
        assert manager.process is not None, "it leads"
        status = manager.process.node.reporting.status(self.world.now())
        nodes = status["nodes"]
        assert isinstance(nodes, list), "a list of rows"
        for row in nodes:
            assert isinstance(row, dict), "rows are objects"
            machine = next(m for m in self.machines if m.name == row["name"])
            if not machine.settings.apply or self._drifts(machine, manager):
                continue
            if row["state"] != "Synced" and PUT_BACK not in str(row["reason"]):
                return f"status says {row['name']} is {row['state']}: {row['reason']}"
        alarms = status["alarms"]
        assert isinstance(alarms, list), "a list of alarms"
        if any(PUT_BACK not in str(alarm) for alarm in alarms):
            return f"alarms: {alarms}"
        return ""

    def _drifts(self, machine: Machine, manager: Machine) -> bool:
        return bool(self._left_alone(machine, manager)) and machine is not manager


def live(machine: Machine) -> Manifest:
    """Return what is in a machine's trees now, as rows."""
    return Manifest.of(
        (ArtifactPath(tree, path), Entry(digest_of(row[0]), len(row[0])))
        for tree in machine.settings.tree_names
        for path, row in machine.disk.trees[tree].items()
        if not machine.disk.ignored(tree, path)
    )


def _stands(machine: Machine) -> bool:
    return machine.history.standing().revision.number > 0


def takes_all(_path: str, _content: bytes) -> str:
    """Refuse nothing."""
    return ""


def run_seed(
    seed: int,
    *,
    tracing: bool = False,
    build: Build | None = None,
    **kinds: Unpack[Kinds],
) -> tuple[Violation | None, Sequence[str]]:
    """Run one seed; return what was found, and the trace if it was asked for."""
    cluster = Cluster(seed, tracing=tracing, build=build, **kinds)
    try:
        cluster.run()
    except Violation as violation:
        cluster.world.tell("witness", f"VIOLATION {violation}")
        return violation, cluster.world.trace
    return None, cluster.world.trace
