"""A cluster whose trees are one mount: what anybody writes all others see, each after its own cache.

Promises 1 to 3 can't hold there. Judged are the others, and that no agent but one that leads writes:
nothing is deleted by an agent, nothing that it displaces is lost, right bytes are not written again,
absence is no evidence, and in peace every node stands on what is on the mount.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.hands.recovery import abandon
from syncagent.core.artifact import ArtifactPath
from syncagent.core.digest import digest_of
from syncagent.core.intent import Keep
from syncagent.core.settings import Settings, SharedForm, SharedSettings, Writers
from tests.fakes.common_disk import CommonDisk, Mount
from tests.fakes.runtime import backed_up
from tests.simulation.artifacts import all_paths, good
from tests.simulation.cluster import Cluster, Shape
from tests.simulation.machine import Build, Machine
from tests.simulation.witness import Witness, touched
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from syncagent.core.artifact import TreeName
    from syncagent.core.change import Change
    from syncagent.core.ledger import Standing, StandingChange
    from syncagent.core.manifest import Manifest
    from syncagent.core.revision import RevisionId
    from syncagent.ports import Disk, History
    from tests.fakes.disk import Tree
    from tests.simulation.world import World

Row = tuple[bytes, int]

KEPT_VERSION = 900
RESTORES = 8
LAGS_S = (0.0, 0.3, 3.0)
"""How long a node's cache may show what was there before."""


def leave_as_it_is(disk: Disk, _history: History) -> StandingChange | None:
    """Recover as the wiring does where others may write meanwhile."""
    abandon(disk)
    return None


class MountWitness(Witness):
    """Judges what agents do to the mount. Raises Violation."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.displaced: list[tuple[ArtifactPath, bytes]] = []
        self._before: dict[tuple[str, TreeName], Tree] = {}

    # What is judged of each node's own trees elsewhere is judged of the mount as it is written.

    def seen(self, machine: Machine) -> None:
        """Nothing: its own view of the mount is a cache."""

    def accident(self, machine: Machine, tree: TreeName, *, done: bool) -> None:
        """A runtime is about to write (`done`: has written) through its node's view."""
        disk = machine.disk
        assert isinstance(disk, CommonDisk), "all are"
        if not done:
            self._before[machine.name, tree] = dict(disk.trees[tree])
            return
        for name in disk.spread(tree, self._before.pop((machine.name, tree))):
            path = ArtifactPath(tree, name)
            content = disk.content(path)
            if content is None:
                # It has moved it away: it is gone for all.
                self.unwanted.add(path)
            else:
                self.known.setdefault(path, set()).add(content)

    def power_cut(self, machine: Machine) -> None:
        """The server has power."""

    def person(
        self, machine: Machine, path: ArtifactPath, content: bytes | None, *, meant: bool = True
    ) -> None:
        """Somebody is about to write or remove a file."""
        self.of[machine.name].touched_at[path] = self._world.at_s
        if content is not None:
            self.known.setdefault(path, set()).add(content)
        elif meant:
            self.unwanted.add(path)

    def recovered(self, machine: Machine) -> None:
        """What was interrupted is left as it is."""
        self.looked_at(machine)

    def looked_at(self, machine: Machine) -> None:
        """Judge guard and ledger after the agent has done something."""
        self._guard(machine)
        seen, standing = self.of[machine.name], machine.history.standing()
        if standing is not seen.standing:
            if standing.revision != seen.standing.revision:
                self._moved(machine, seen.standing, standing)
            seen.standing = standing

    def wrote(self, disk: CommonDisk, path: ArtifactPath, old: Row | None, new: Row | None) -> None:
        """An agent has written to the mount."""
        machine = next(m for m in self.machines.values() if m.disk is disk)
        where = f"{machine.name} {path}"
        self._world.tell(machine.name, f"# {path} {_say(old)} -> {_say(new)}")
        self.of[machine.name].writes += 1
        self.happened["wrote"] += 1
        self._may_write(machine, where)
        if new is None:
            raise Violation("absence", f"{where}: deleted by an agent")
        if touched(old, new) and machine.gateway is not None:
            return  # for a runtime that said nothing, or a person who asked for it
        if old is not None and old[0] == new[0]:
            raise Violation("untouched", f"{where}: right bytes written again")
        if new[0] not in self.known.get(path, ()):
            raise Violation("old or new", f"{where}: {new[0][:60]!r} was never there")
        if not self._valid(machine, path, new[0]):
            raise Violation("validated", f"{where}: invalid bytes made live")
        if old is not None:
            self.displaced.append((path, old[0]))

    @staticmethod
    def _may_write(machine: Machine, where: str) -> None:
        process = machine.process
        if process is None or not machine.settings.apply:
            raise Violation("who writes", f"{where}: written by an agent that may not")
        token = process.state.token
        if not process.state.leads or token is None:
            raise Violation("who writes", f"{where}: written by a worker")
        if not process._believes(token):
            raise Violation("who writes", f"{where}: written after the lease")

    def _declared_gone(self, machine: Machine, path: ArtifactPath) -> None:
        if path not in self.unwanted:
            raise Violation("absence", f"{machine.name} declared {path} gone; nobody meant it")

    def _turned_aside(self, machine: Machine, old: Standing, new: Standing) -> None:
        """What another line had is on the mount, or was overwritten there by whom it was."""

    def _consent(
        self, machine: Machine, before: Manifest, changes: Iterable[Change], did: str
    ) -> None:
        if did.startswith("declared"):
            # A worker only follows what is on the mount already.
            super()._consent(machine, before, changes, did)

    def nothing_is_lost(self) -> None:
        """Whatever an agent has overwritten is in a history, kept, or there again."""
        for path, content in self.displaced:
            digest = digest_of(content)
            remembered = any(digest in m.history._durable for m in self.machines.values())
            machine = next(iter(self.machines.values()))
            if not (remembered or self._listed(machine, path, content)):
                raise Violation("nothing is lost", f"{path}: {content[:60]!r} is nowhere")


class MountCluster(Cluster):
    """Nodes on one mount. `leave_as_it_is` and the like are in `build` unless a test says other."""

    spared = frozenset({"replace", "console"})

    def __init__(
        self,
        seed: int,
        *,
        tracing: bool = False,
        build: Build | None = None,
        runtimes: bool = False,
        elections: bool = False,
    ) -> None:
        self.mount = Mount()
        build = build or Build(recover=leave_as_it_is)
        build = replace(build, disk=self._disk)
        self._away: dict[TreeName, str] = {}
        super().__init__(seed, tracing=tracing, build=build, runtimes=runtimes, elections=elections)

    def _make_witness(self) -> Witness:
        witness = MountWitness(self.world)
        self.mount.later = self.world.later
        self.mount.wrote = witness.wrote
        return witness

    def _shape(self) -> Shape:
        return replace(super()._shape(), writers=Writers.ANY)

    def _disk(self, names: Sequence[TreeName], *, wall: object) -> CommonDisk:
        # What a runtime has met of a file at its start, where a cache hides it, nobody can know.
        lag_s = 0.0 if self.runtimes else self.rng.choice(LAGS_S)
        return CommonDisk(names, wall=wall, mount=self.mount, lag_s=lag_s)  # type: ignore[arg-type]

    def _settings(self, **given: object) -> Settings:
        given |= {"mode": "shared", "shared": SharedSettings(SharedForm.IN_PLACE)}
        settings = super()._settings(**given)
        marked = tuple(replace(tree, mark="apim") for tree in settings.trees)
        return replace(settings, trees=marked)

    def _machine(self, number: int) -> Machine:
        machine = super()._machine(number)
        machine.away = self._away
        machine.disk.ignored = backed_up
        return machine

    def _fill(self) -> None:
        """Put artifacts on the mount, before anybody looks."""
        first = self.machines[0]
        for tree in first.settings.tree_names:
            for path in all_paths(tree):
                if self.world.chance(0.7):
                    first.put(path, good(path, 0, self.rng))
                # For people to restore: that is most of what an agent ever writes here.
                old = good(path, KEPT_VERSION, self.rng)
                self.witness.known.setdefault(path, set()).add(old)
                first.disk.keep(path, old, Keep.DRIFT, "")
        for _ in range(RESTORES):
            self.world.later(self.rng.uniform(5.0, 150.0), self.trouble.restore)

    def _stay_still(self) -> None:
        before = self.machines[0].history.standing().revision
        super()._stay_still()
        self._is_on_the_mount(before)

    def _is_on_the_mount(self, newest: RevisionId) -> None:
        """In peace a revision says what is on the mount, but for what is refused there."""
        manager = self.leading()[0]
        process = manager.process
        assert process is not None, "it leads"
        manifest = manager.history.standing().manifest
        for tree in manager.settings.tree_names:
            rows, there = manifest.tree(tree), self.mount.trees[tree]
            for path in sorted(rows.keys() | there.keys()):
                wanted, row = rows.get(path), there.get(path)
                if backed_up(tree, path):
                    continue
                same = (wanted.digest if wanted else None) == (digest_of(row[0]) if row else None)
                refused = {p.path for p in process.state.refused if p.tree == tree}
                if not same and path not in refused:
                    raise Violation("convergence", f"{path} is not as {newest} has it")


def run_mount_seed(
    seed: int,
    *,
    tracing: bool = False,
    build: Build | None = None,
    runtimes: bool = False,
    elections: bool = False,
) -> tuple[Violation | None, Sequence[str]]:
    """Run one seed; return what was found, and the trace if it was asked for."""
    cluster = MountCluster(
        seed, tracing=tracing, build=build, runtimes=runtimes, elections=elections
    )
    try:
        cluster.run()
    except Violation as violation:
        cluster.world.tell("witness", f"VIOLATION {violation}")
        return violation, cluster.world.trace
    return None, cluster.world.trace


def _say(row: Row | None) -> str:
    return "absent" if row is None else digest_of(row[0])[5:13]
