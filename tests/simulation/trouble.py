"""What happens to a cluster: people at work, and everything that breaks. All of it from one seed.

A seed first draws its temper: which kinds of trouble it has at all, and how often. So some
seeds are calm but for one kind, and others have everything at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.effects import AdmitToken, CommitIntent, Declare
from syncagent.core.artifact import ArtifactPath
from syncagent.core.events import HintKind
from syncagent.core.safety import HoldReason
from syncagent.core.snapshot import Condition
from tests.simulation.artifacts import FILES, PATHS, SYNAPSE, all_paths, bad, good

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.effects import Effect, Reply
    from syncagent.core.artifact import NodeName, TreeName
    from syncagent.core.safety import Hold
    from tests.simulation.cluster import Cluster
    from tests.simulation.machine import Machine, Process

NEVER = float("inf")


class Trouble:
    """Makes things happen until it is told to stop."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.world = cluster.world
        self.rng = cluster.world.rng
        self.stopped = False
        self._version = 0
        kinds: dict[str, tuple[Callable[[], None], float]] = {
            "edit": (self._edit, 10.0),
            "burst": (self._burst, 3.0),
            "delete": (self._delete, 3.0),
            "rename": (self._rename, 2.0),
            "copy": (self._copy, 1.0),
            "break": (self._break, 2.0),
            "in-place": (self._in_place, 3.0),
            "wipe": (self._wipe, 1.0),
            "crash": (lambda: self._crash(power=False), 3.0),
            "power": (lambda: self._crash(power=True), 3.0),
            "freeze": (self._freeze, 2.0),
            "slow": (self._slow, 1.5),
            "disk": (self._disk, 2.0),
            "cut": (self._cut, 2.0),
            "partition": (self._partition, 2.0),
            "empty": (self._empty, 1.5),
            "unmount": (self._unmount, 1.5),
            "replace": (self._replace, 1.5),
            "folder": (self._folder, 1.0),
            "promote": (self._promote, 1.5),
            "approve": (self._approve, 3.0),
            "reject": (self._reject, 0.7),
            "restore": (self._restore, 1.0),
            "watch": (self._watch, 1.0),
        }
        if cluster.runtimes:
            kinds["runtime"] = (self._runtime, 2.0)
        if cluster.elections:
            kinds["stop"] = (self._stop, 1.5)
            kinds["switchover"] = (self._switchover, 1.5)
            kinds["pause"] = (self._pause, 0.7)
            kinds["resume"] = (self._resume, 0.7)
            kinds["cut-off"] = (self._cut_off, 2.0)
        if cluster.storm is not None:
            kinds |= cluster.storm.acts()
            kinds["depose"] = (self._depose, 2.0)
            kinds["strand"] = (lambda: None, 0.0)
        if cluster.consoles:
            kinds["console"] = (self._console, 10.0)
        for name in cluster.spared:
            kinds.pop(name, None)
        always = {"edit", "approve", "console"}
        share = self.rng.choice((0.2, 0.5, 0.8))
        chosen = [name for name in kinds if name in always or self.world.chance(share)]
        self._acts = [kinds[name][0] for name in chosen]
        self._weights = [kinds[name][1] for name in chosen]
        self._pause_s = self.rng.choice((0.5, 2.0, 8.0))
        self._crashes = {"crash", "power"}.intersection(chosen)
        self._promotes = "promote" in chosen
        for machine in cluster.machines:
            machine.meddle = self._meddle
            machine.unlucky = self._unlucky
            if "strand" in chosen:
                machine.commits = self._strand

    def begin(self) -> None:
        """Start."""
        self._next()

    def stop(self) -> None:
        """Stop breaking things, and mend what is broken."""
        self.stopped = True
        self.world.network.heal()
        if self.cluster.storm is not None:
            self.cluster.storm.stop()
        self.world.network.weather = replace(self.world.network.weather, break_chance=0.0)
        for machine in self.cluster.machines:
            machine.failing_until = 0.0
            machine.races = 0.0
            machine.pace.factor = 1.0

    def _next(self) -> None:
        if self.stopped:
            return
        self.world.later(self.rng.expovariate(1.0 / self._pause_s), self._happen)

    def _happen(self) -> None:
        if self.stopped:
            return
        self.rng.choices(self._acts, self._weights)[0]()
        self._next()

    # --- people -------------------------------------------------------------------------------

    def _where(self) -> Machine:
        """Return where somebody works: most often where artifacts are written."""
        leading = [m for m in self.cluster.machines if m.process and m.process.state.leads]
        if leading and self.world.chance(0.6):
            return self.rng.choice(leading)
        return self.rng.choice(self.cluster.machines)

    def _tree(self, machine: Machine) -> TreeName | None:
        """Return a tree to work in; nobody works in one that is away."""
        trees = [t for t in machine.settings.tree_names if t not in machine.away]
        return self.rng.choice(trees) if trees else None

    def fresh(self, path: ArtifactPath) -> bytes:
        """Return new valid bytes, or now and then some that were there before."""
        known = [
            c for c in sorted(self.cluster.witness.known.get(path, ())) if self._is_good(path, c)
        ]
        if known and self.world.chance(0.15):
            return self.rng.choice(known)
        self._version += 1
        return good(path, self._version, self.rng)

    def _is_good(self, path: ArtifactPath, content: bytes) -> bool:
        machine = next(m for m in self.cluster.machines if path.tree in m.settings.tree_names)
        return self.cluster.witness._valid(machine, path, content)

    def _edit(self) -> None:
        machine = self._where()
        tree = self._tree(machine)
        if tree is not None:
            path = self.rng.choice(all_paths(tree))
            machine.put(path, self.fresh(path))

    def _console(self) -> None:
        """Save something as a Publisher does: in a runtime first."""
        machine = self._where()
        path = self.rng.choice(all_paths(SYNAPSE))
        machine.save_in_console(path, self.fresh(path))

    def _burst(self) -> None:
        machine = self._where()
        for _ in range(self.rng.randint(2, 6)):
            tree = self._tree(machine)
            if tree is not None:
                path = self.rng.choice(all_paths(tree))
                machine.put(path, self.fresh(path))

    def _present(self, machine: Machine) -> ArtifactPath | None:
        tree = self._tree(machine)
        if tree is None or not machine.disk.trees[tree]:
            return None
        return ArtifactPath(tree, self.rng.choice(sorted(machine.disk.trees[tree])))

    def _delete(self) -> None:
        machine = self._where()
        path = self._present(machine)
        if path is not None:
            machine.remove(path)

    def _rename(self) -> None:
        """Move an artifact to another file of its folder."""
        machine = self._where()
        path = self._present(machine)
        if path is None:
            return
        content = machine.disk.content(path)
        assert content is not None, "it was chosen because it is there"
        machine.remove(path)
        machine.put(self._beside(path), content)

    def _copy(self) -> None:
        """Copy an artifact: two files that claim one name."""
        machine = self._where()
        path = self._present(machine)
        content = machine.disk.content(path) if path is not None else None
        if path is not None and content is not None:
            machine.put(self._beside(path), content)

    def _beside(self, path: ArtifactPath) -> ArtifactPath:
        folder = path.path.rpartition("/")[0]
        same = [p for p in PATHS[path.tree] if p.rpartition("/")[0] == folder]
        return ArtifactPath(path.tree, self.rng.choice(same))

    def _break(self) -> None:
        machine = self._where()
        tree = self._tree(machine)
        if tree is not None and tree != FILES:
            self._version += 1
            path = self.rng.choice(all_paths(tree))
            machine.put(path, bad(path, self._version, self.rng))

    def _in_place(self) -> None:
        """Write a file in two goes, as an editor without care does."""
        machine = self._where()
        tree = self._tree(machine)
        if tree is None:
            return
        path = self.rng.choice(all_paths(tree))
        whole = self.fresh(path)
        machine.put(path, whole[: len(whole) // 2] if tree != FILES else whole)

        def rest() -> None:
            if tree not in machine.away:
                machine.put(path, whole)

        self.world.later(self.rng.uniform(0.0, 3.0), rest)

    def _wipe(self) -> None:
        """Remove many on purpose: a folder, or a whole tree."""
        machine = self._where()
        tree = self._tree(machine)
        if tree is None:
            return
        folders = sorted({p.rpartition("/")[0] for p in machine.disk.trees[tree]} | {""})
        folder = self.rng.choice(folders)
        for path in sorted(machine.disk.trees[tree]):
            if path.startswith(folder):
                machine.remove(ArtifactPath(tree, path))
        if folder and self.world.chance(0.5):
            machine.disk.remove_folder(tree, folder)
            machine.hint(tree, folder, HintKind.SUBTREE)

    def _meddle(self, machine: Machine) -> None:
        """Edit while a commit runs."""
        path = self._present(machine)
        if path is None:
            return
        if self.world.chance(0.2):
            machine.remove(path)
        else:
            machine.put(path, self.fresh(path))

    # --- machines -----------------------------------------------------------------------------

    def _any(self) -> Machine:
        return self.rng.choice(self.cluster.machines)

    def _crash(self, *, power: bool) -> None:
        self._any().crash(power=power, back_in_s=self.rng.choice((1.0, 5.0, 40.0)))

    def _unlucky(self, machine: Machine, effect: Effect, after_s: float) -> float:
        """Have the worst happen while something is made live, or while a token is admitted."""
        if self.stopped or not isinstance(effect, CommitIntent | Declare | AdmitToken):
            return 0.0
        if self._crashes and not isinstance(effect, AdmitToken) and self.world.chance(0.03):
            power = self.rng.choice(sorted(self._crashes)) == "power"
            self.world.later(after_s * 0.999, lambda: machine.crash(power=power, back_in_s=2.0))
            return 0.0
        if self._promotes and self.world.chance(0.1):
            # A slow disk, and somebody else is made manager meanwhile: sometimes this very node.
            other = machine if self.world.chance(0.5) else self._any()
            self.promote(other, force=True)
            return self.rng.uniform(0.5, 10.0)
        return 0.0

    def _runtime(self) -> None:
        self._any().kill_runtime(self.rng.choice((0.5, 5.0, 60.0)))

    def _freeze(self) -> None:
        machine = self._any()
        for_s = self.rng.choice((0.5, 5.0, 60.0))
        machine.freeze(for_s)

    def _stop(self) -> None:
        self._any().stop(self.rng.choice((1.0, 5.0, 40.0)))

    def _leader(self) -> Machine | None:
        leading = [m for m in self.cluster.machines if m.process and m.process.state.leads]
        return self.rng.choice(leading) if leading else None

    def _switchover(self) -> None:
        """Hand over to a node, or to whoever is best; most often at the manager."""
        machine = self._leader() if self.world.chance(0.8) else self._any()
        if machine is None or machine.process is None:
            return
        name = self.rng.choice((None, *(m.name for m in self.cluster.nodes)))
        self.world.tell(machine.name, f"! switchover {name or ''}")
        arguments = {} if name is None else {"node": name}
        machine.process.ask("switchover", arguments, self._heard(machine, "switchover"))

    def _pause(self) -> None:
        machine = self._leader()
        if machine is not None and machine.process is not None:
            for_s = self.rng.choice((None, 5.0, 30.0, 100.0))
            self.world.tell(machine.name, f"! pause for {for_s} s")
            arguments = {} if for_s is None else {"for_s": for_s}
            machine.process.ask("pause", arguments, self._heard(machine, "pause"))

    def _resume(self) -> None:
        machine = self._leader()
        if machine is not None:
            self.resume(machine)

    def resume(self, machine: Machine) -> None:
        """Have the cluster go on, if this node leads it."""
        if machine.process is not None and machine.process.state.leads:
            self.world.tell(machine.name, "! resume")
            machine.process.ask("resume", {}, self._heard(machine, "resume"))

    def _depose(self) -> None:
        """The manager stands still for longer than its lease, just when it has something to send."""
        machine = self._leader()
        if machine is None:
            return
        for _ in range(self.rng.randint(0, 3)):
            tree = self._tree(machine)
            if tree is not None:
                path = self.rng.choice(all_paths(tree))
                machine.put(path, self.fresh(path))
        for_s = machine.settings.election.lease_s * self.rng.uniform(0.9, 2.5)

        after_s = self.rng.choice((0.0, 0.5, 2.0, 4.0)) * self.rng.random()
        self.world.later(after_s, lambda: machine.freeze(for_s))

    def _strand(self, machine: Machine, worker: NodeName) -> None:
        """Its word to commit stays on the way, while the manager stands still and loses its lease."""
        if self.stopped or not self.world.chance(0.15):
            return
        for_s = machine.settings.election.lease_s * self.rng.uniform(1.2, 2.8)
        self.world.tell(machine.name, f"! its word to {worker} is held up for {for_s:.1f} s")
        self.world.network.deafen(worker, machine.settings.node)
        machine.freeze(for_s - 1.0)
        self.world.later(for_s, self.world.network.heal)

    def _cut_off(self) -> None:
        """The manager reaches only its workers, only the store, or neither."""
        machine, storm = self._leader(), self.cluster.storm
        if machine is None:
            return
        name = machine.settings.node
        for_s = machine.settings.election.lease_s * self.rng.choice((0.7, 1.5, 4.0))
        what = self.rng.choice(("workers", "store", "both", "one way"))
        self.world.tell(name, f"! cut off from {what} for {for_s:.1f} s")
        if storm is not None and what in {"store", "both"}:
            storm.away([name], for_s)
        if what in {"workers", "both"}:
            self.world.network.partition([name])
            self.world.later(for_s, self.world.network.heal)
        if what == "one way":
            others = [m.settings.node for m in self.cluster.machines if m is not machine]
            for other in others:
                pair = (name, other) if self.world.chance(0.5) else (other, name)
                self.world.network.deafen(*pair)
            self.world.later(for_s, self.world.network.heal)

    def _slow(self) -> None:
        self._any().pace.factor = self.rng.choice((1.0, 10.0, 50.0))

    def _disk(self) -> None:
        machine = self._any()
        for_s = self.rng.choice((1.0, 10.0, 60.0))
        self.world.tell(machine.name, f"! disk fails for {for_s} s")
        machine.failing_until = self.world.at_s + for_s

    def _cut(self) -> None:
        one, two = self.rng.sample(self.cluster.machines, 2)
        self.world.tell(one.name, f"! link to {two.name} cut")
        self.world.network.cut(one.settings.node, two.settings.node)

    def _partition(self) -> None:
        names = [m.settings.node for m in self.cluster.machines]
        self.rng.shuffle(names)
        at = self.rng.randint(1, len(names) - 1)
        self.world.tell("network", f"! partition {names[:at]} from {names[at:]}")
        self.world.network.partition(names[:at], names[at:])
        self.world.later(self.rng.choice((5.0, 30.0, 90.0)), self.world.network.heal)

    def _watch(self) -> None:
        machine = self._any()
        machine.hints_lost = self.rng.choice((0.0, 0.3, 1.0))
        if machine.process is not None:
            machine.process.hints.miss(self.rng.choice(machine.settings.tree_names))

    # --- trees that go and come back ----------------------------------------------------------

    def _takeable(self) -> tuple[Machine, TreeName] | None:
        machine = self._where()
        tree = self._tree(machine)
        return None if tree is None else (machine, tree)

    def _empty(self) -> None:
        """All files of a tree are gone for a while: nobody meant it."""
        target = self._takeable()
        if target is None:
            return
        machine, tree = target
        stash = {path: row[0] for path, row in machine.disk.trees[tree].items()}
        self._take(machine, tree, "emptied")
        for path in stash:
            machine.remove(ArtifactPath(tree, path), meant=False)
        if self.world.chance(0.5):
            machine.disk.folders[tree] = {""}
        machine.hint(tree, "", HintKind.SUBTREE)
        self._back_in(machine, tree, lambda: self._refill(machine, tree, stash))

    def _folder(self) -> None:
        """One folder is gone for a while."""
        target = self._takeable()
        if target is None:
            return
        machine, tree = target
        folders = sorted({p.rpartition("/")[0] for p in machine.disk.trees[tree]} - {""})
        if not folders:
            return
        folder = self.rng.choice(folders)
        rows = machine.disk.trees[tree]
        stash = {path: row[0] for path, row in rows.items() if path.startswith(f"{folder}/")}
        self._take(machine, tree, "folder gone")
        for path in stash:
            machine.remove(ArtifactPath(tree, path), meant=False)
        machine.disk.remove_folder(tree, folder)
        machine.hint(tree, folder, HintKind.SUBTREE)
        self._back_in(machine, tree, lambda: self._refill(machine, tree, stash))

    def _refill(self, machine: Machine, tree: TreeName, stash: dict[str, bytes]) -> None:
        """Put back what is missing still: at once, or file by file as a copy does.

        Slowly only if the agent has seen that more was gone: if it never did, a tree that is half
        back can't be told from one of which a person has removed a few.
        """
        suspect = machine.history.standing().notes.get("suspect", "")
        slowly = f'"{tree}"' in suspect and self.rng.random() < 0.9
        left = [p for p in sorted(stash) if p not in machine.disk.trees[tree]]
        if not left:
            del machine.away[tree]
            return
        for path in left[:1] if slowly else left:
            machine.put(ArtifactPath(tree, path), stash[path], again=True)
        after_s = self.rng.uniform(0.0, 3.0) if slowly and not self.stopped else 0.0
        self.world.later(after_s, lambda: self._refill(machine, tree, stash))

    def _unmount(self) -> None:
        target = self._takeable()
        if target is None:
            return
        machine, tree = target
        self._take(machine, tree, "unmounted")
        condition = self.rng.choice((Condition.MISSING, Condition.UNREADABLE, Condition.STALLED))
        machine.disk.conditions[tree] = condition
        if machine.process is not None:
            machine.process.hints.lose_root(tree)

        def back() -> None:
            machine.disk.conditions.pop(tree, None)
            del machine.away[tree]
            if machine.process is not None:
                machine.process.hints.restore_root(tree)

        self._back_in(machine, tree, back)

    def _replace(self) -> None:
        """Another folder stands where the tree was: an empty mount point, an older copy."""
        target = self._takeable()
        if target is None:
            return
        machine, tree = target
        disk = machine.disk
        if machine.history.standing().identities.get(tree) != disk.identity[tree]:
            return  # the agent has not come to know this root yet: whatever is there is the tree
        if machine.lives and machine.process is None and disk._intent is not None:
            return  # what a crash has cut is finished first
        self._take(machine, tree, "replaced")
        came = machine.witness.came(machine, tree)
        was, rows, folders = disk.identity[tree], disk.trees[tree], disk.folders[tree]
        durable = disk._durable[tree]
        other = {p: row for p, row in rows.items() if self.world.chance(0.3)}
        disk.identity[tree] = f"{was}'"
        machine.witness.accident(machine, tree, done=False)
        disk.trees[tree], disk._durable[tree] = dict(other), dict(other)
        machine.witness.accident(machine, tree, done=True)
        machine.hint(tree, "", HintKind.SUBTREE)

        def back() -> None:
            machine.witness.accident(machine, tree, done=False)
            disk.identity[tree], disk.trees[tree], disk.folders[tree] = was, rows, folders
            disk._durable[tree] = durable
            machine.witness.accident(machine, tree, done=True)
            # These are the same files as before, and nobody but the agent saw the others.
            machine.witness.of[machine.name].came.update(came)
            del machine.away[tree]
            machine.hint(tree, "", HintKind.SUBTREE)

        self._back_in(machine, tree, back)

    def _take(self, machine: Machine, tree: TreeName, how: str) -> None:
        self.world.tell(machine.name, f"! tree {tree} {how}")
        machine.away[tree] = how
        machine.witness.of[machine.name].wrote_into.discard(tree)

    def _back_in(self, machine: Machine, tree: TreeName, back: Callable[[], None]) -> None:
        def now() -> None:
            self.world.tell(machine.name, f"! tree {tree} comes back")
            back()

        self.world.later(self.rng.choice((0.5, 5.0, 30.0, 100.0)), now)

    # --- operators ----------------------------------------------------------------------------

    def _promote(self) -> None:
        machine = self._any()
        self.promote(machine, force=self.world.chance(0.5))

    def promote(self, machine: Machine, *, force: bool) -> None:
        """Have a node become manager."""
        if machine.process is not None and machine in self.cluster.nodes:
            self.world.tell(machine.name, f"! promote{' --force' if force else ''}")
            if force:
                self.cluster.witness.forced.add(machine.process.incarnation)
                if self.cluster.storm is not None:
                    # It takes the lease from whoever has it still.
                    self.cluster.storm.kept = False
            machine.process.ask("promote", {"force": force}, self._heard(machine, "promote"))

    def _desk(self, machine: Machine) -> Process | None:
        """Return where a person asks about a machine: of the share at whoever leads."""
        if machine in self.cluster.nodes:
            return machine.process
        leader = self._leader()
        return leader.process if leader is not None else None

    def _approve(self) -> None:
        machine = self._any()
        holds = self.holds(machine)
        if holds:
            self.approve(machine, self.rng.choice(holds))

    def holds(self, machine: Machine) -> list[Hold]:
        """Return what a person at this node could approve and would: not what is only away."""
        process = machine.process
        if process is None:
            return []
        return [
            hold
            for hold in process.state.holds.values()
            if hold.approvable
            and hold.reason is not HoldReason.ROOT_REPLACED
            and not any(tree in machine.away for tree in {p.tree for p in hold.paths})
        ]

    def approve(self, machine: Machine, hold: Hold) -> None:
        """Say yes, here or at the manager."""
        process = self._desk(machine)
        if process is None:
            return
        self.world.tell(machine.name, f"! approve {hold.id} {hold.reason} {len(hold.paths)}")
        self.cluster.witness.approves(machine, hold.reason, hold.paths)
        process.ask("approve", {"id": hold.id}, self._heard(machine, "approve"))

    def _reject(self) -> None:
        machine = self._any()
        holds, process = self.holds(machine), self._desk(machine)
        if holds and process is not None:
            hold = self.rng.choice(holds)
            self.world.tell(machine.name, f"! reject {hold.id} {hold.reason}")
            if hold.reason is HoldReason.NACKED:
                # What was not there before goes again.
                self.cluster.witness.unwanted.update(hold.paths)
            process.ask("reject", {"id": hold.id}, self._heard(machine, "reject"))

    def restore(self) -> None:
        """Have somebody restore something that was kept, as long as there is trouble."""
        if not self.stopped:
            self._restore()

    def _restore(self) -> None:
        machine = self._where()
        kept = machine.disk.kept()
        if machine.process is None or not kept or machine not in self.cluster.nodes:
            return
        row = self.rng.choice(kept)
        content = machine.disk.kept_bytes(row.id)
        if row.path.tree in machine.away or not self._is_good(row.path, content):
            return
        self.world.tell(machine.name, f"! restore {row.id} {row.path}")
        machine.process.ask("restore", {"what": row.id}, self._heard(machine, "restore"))

    def _heard(self, machine: Machine, verb: str) -> Callable[[Reply], None]:
        def heard(reply: Reply) -> None:
            said = repr(reply.error) if reply.error else str(reply.result)
            self.world.tell(machine.name, f"! {verb}: {said[:200]}")

        return heard
