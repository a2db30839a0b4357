"""Who watches the cluster from outside: disks, guards and ledgers only, never a node's own word.

`looked_at` is called after everything an agent has done; `person` before everything a person or
an accident does to a tree. What has changed in between was the agent.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core import exempt
from syncagent.core.artifact import ArtifactPath, Kind, kind_of
from syncagent.core.crosscheck import Index
from syncagent.core.diff import diff
from syncagent.core.digest import digest_of
from syncagent.core.manifest import EMPTY
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.settings import Writers
from syncagent.core.verdict import Severity
from syncagent.core.wire.messages import Admit, Admitted, Commit, Offer
from syncagent.validation.validator import ArtifactValidator
from tests.fakes.disk import SECOND_NS
from tests.simulation.sequel import Sequel
from tests.simulation.truth import Truth
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from syncagent.core.artifact import TreeName
    from syncagent.core.change import Change
    from syncagent.core.digest import Digest
    from syncagent.core.ledger import Standing
    from syncagent.core.manifest import Manifest
    from syncagent.core.revision import RevisionId, Token
    from syncagent.core.wire.messages import Message
    from tests.simulation.machine import Machine, Process
    from tests.simulation.reign import Reign
    from tests.simulation.world import World

Row = tuple[bytes, int]

NEVER = float("-inf")
FLUSH_S = 30.0
"""How late a history's records reach the disk by themselves."""
ANSWER_S = 2.0
"""An answer that is younger than this may not have been read when the offer was made."""
RACE_S = 120.0
"""An edit that is younger than this may have come after the agent's last look before a commit."""


def held(machine: Machine, standing: Standing) -> Manifest:
    """Return what a machine's trees should hold: its rows, and where it is exempt from them."""
    known = machine.held
    if known is not None and known[0] is standing:
        return known[1]
    found = _held(machine, standing)
    machine.held = (standing, found)
    return found


def _held(machine: Machine, standing: Standing) -> Manifest:
    rows = standing.manifest.project(machine.settings.tree_names)
    own = exempt.from_note(standing.notes.get(exempt.NOTE, ""))
    there = {**withheld(machine, standing), **exempt.lasting(own.values(), rows)}
    return exempt.overlay(rows, there)


def withheld(machine: Machine, standing: Standing) -> exempt.Exemptions:
    """Return what a machine gets later."""
    rows = standing.manifest.project(machine.settings.tree_names)
    _, found = exempt.withheld_from_note(standing.notes.get(exempt.WITHHELD_NOTE, ""))
    return exempt.lasting(found.values(), rows)


@dataclass
class Seen:
    """What was last seen of one machine."""

    trees: dict[TreeName, dict[str, Row]]
    standing: Standing
    highest: Token | None = None
    touched: set[ArtifactPath] = field(default_factory=set)
    """Where a person or an accident wrote last, not the agent."""
    touched_at: dict[ArtifactPath, float] = field(default_factory=dict)
    came: dict[ArtifactPath, float] = field(default_factory=dict)
    """Since when each path holds what it holds; what was there from the beginning has no entry."""
    unsent: set[tuple[ArtifactPath, Digest]] = field(default_factory=set)
    """What this node stood on and no other line of revisions ever had."""
    displaced: list[tuple[ArtifactPath, bytes]] = field(default_factory=list)
    """What the agent has taken away in a commit that is under way."""
    writes: int = 0
    wrote_into: set[TreeName] = field(default_factory=set)
    """Trees into which the agent has written while they were away."""
    wrote_at: float = 0.0
    committed: int = 0
    """The epoch under which it committed or declared last."""
    changed: bool = True
    """Whether there is anything to judge in the trees since they were last found right."""


class Witness:
    """The checkers. Raises Violation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._validator = ArtifactValidator()
        self.truth = Truth(world)
        self.order = Sequel()
        self.machines: dict[str, Machine] = {}
        self.of: dict[str, Seen] = {}
        self.known: dict[ArtifactPath, set[bytes]] = {}
        """Whatever a person has ever written at a path, anywhere."""
        self.runtimes: set[tuple[str, ArtifactPath, bytes]] = set()
        """What a node's runtime has ever written into its trees: that is nobody else's."""
        self.unwanted: set[ArtifactPath] = set()
        """What a person removed on purpose, or approved the removal of."""
        self.approved: set[ArtifactPath] = set()
        """What a person said yes to when it was held."""
        self.welcomed: set[str] = set()
        """Nodes whose first contact a person approved."""
        self.revisions: dict[RevisionId, Manifest] = {REVISION_ZERO: EMPTY}
        self.orders: set[tuple[str, Token, RevisionId]] = set()
        self.answers: dict[Token, list[tuple[float, RevisionId]]] = {}
        self.asked: set[tuple[str, Token]] = set()
        """Who has been asked to admit what."""
        self.forced: set[str] = set()
        """Incarnations that a person has forced to lead, whatever they had been told."""
        self.begun: dict[tuple[str, int], Token] = {}
        self.parents: dict[RevisionId, RevisionId] = {}
        self.reign: Reign | None = None
        """Who watches the lease, in seeds that have one."""
        self.happened: Counter[str] = Counter()
        """How often something happened that seeds are made for."""
        self.taken: list[tuple[str, ArtifactPath, bytes, float]] = []

    def meet(self, machine: Machine) -> None:
        """Begin to watch a machine, as it is now."""
        self.machines[machine.name] = machine
        self.of[machine.name] = Seen(self._copy(machine), machine.history.standing())

    # --- the lease ----------------------------------------------------------------------------

    def begins_life(self, process: Process) -> None:
        """A process has started."""
        if self.reign is None:
            return
        machine = process.machine

        def acting() -> Token | None:
            frozen = machine.frozen_until > self._world.at_s
            return process.state.token if process.state.leads and not frozen else None

        self.reign.electors[machine.name] = process.elector.current
        self.reign.acting[machine.name] = acting

    def ends_life(self, machine: Machine) -> None:
        """A process has ended."""
        if self.reign is not None:
            self.reign.gone(machine.name)

    def reigns(self) -> None:
        """Judge what all believe of the lease."""
        if self.reign is not None:
            self.reign.look()

    # --- what people and accidents do ---------------------------------------------------------

    def person(
        self, machine: Machine, path: ArtifactPath, content: bytes | None, *, meant: bool = True
    ) -> None:
        """Somebody is about to write or remove a file."""
        self.seen(machine)
        self.order.spoilt(machine)
        seen = self.of[machine.name]
        seen.changed = True
        seen.touched.add(path)
        seen.touched_at[path] = self._world.at_s
        self._comes(seen, path, content)
        if content is None:
            seen.trees[path.tree].pop(path.path, None)
            if meant:
                self.unwanted.add(path)
            return
        self.known.setdefault(path, set()).add(content)
        seen.trees[path.tree][path.path] = (content, int(self._world.wall() * 1e9))

    def accident(self, machine: Machine, tree: TreeName, *, done: bool) -> None:
        """A whole tree is (`done`: has been) changed by something that is no person."""
        if not done:
            self.seen(machine)
            return
        seen = self.of[machine.name]
        seen.changed = True
        before, after = seen.trees[tree], dict(machine.disk.trees[tree])
        for path in before.keys() | after.keys():
            if before.get(path) != after.get(path):
                where = ArtifactPath(tree, path)
                seen.touched.add(where)
                self._comes(seen, where, after[path][0] if path in after else None)
        seen.trees[tree] = after

    def came(self, machine: Machine, tree: TreeName) -> dict[ArtifactPath, float]:
        """Return since when the files of a tree hold what they hold."""
        seen = self.of[machine.name]
        paths = [ArtifactPath(tree, path) for path in machine.disk.trees[tree]]
        return {path: seen.came.get(path, NEVER) for path in paths}

    def power_cut(self, machine: Machine) -> None:
        """What was not durable is as it was: nobody's deed."""
        seen = self.of[machine.name]
        seen.changed = True
        after = self._copy(machine)
        for tree, rows in after.items():
            for path in rows.keys() | seen.trees[tree].keys():
                if rows.get(path) != seen.trees[tree].get(path):
                    where = ArtifactPath(tree, path)
                    seen.touched.add(where)
                    self._comes(seen, where, rows[path][0] if path in rows else None)
        seen.trees = after
        seen.displaced.clear()
        # A record that was not flushed yet names nothing any more: what only it named may be tidied.
        flushed = self._world.at_s - FLUSH_S
        self.taken = [row for row in self.taken if row[0] != machine.name or row[3] < flushed]

    def _comes(self, seen: Seen, path: ArtifactPath, content: bytes | None) -> None:
        """Note since when a path holds what it holds; the last look is not overwritten yet."""
        before = seen.trees[path.tree].get(path.path)
        if content is None or before is None or before[0] != content:
            seen.came[path] = self._world.at_s

    def approves(self, machine: Machine, reason: str, paths: Iterable[ArtifactPath]) -> None:
        """A person says yes to a hold of this node."""
        paths = tuple(paths)
        self.approved.update(paths)
        self.unwanted.update(paths)
        if reason == "first-contact":
            self.welcomed.add(machine.name)
        elif reason == "nacked":
            self.truth.let_pass(paths)

    def told(self, machine: Machine, message: Message) -> None:
        """A message has arrived."""
        if isinstance(message, Admit):
            self.asked.add((machine.name, message.token))
        pushed = isinstance(message, Commit | Offer)
        if pushed and message.token.epoch < machine.guard.state().epoch:
            # Of a manager that was deposed before this arrived: it must come to nothing.
            self.happened[f"stale {type(message).__name__}"] += 1
        if isinstance(message, Commit):
            self.orders.add((machine.name, message.token, message.revision))
        elif isinstance(message, Admitted) and message.token.holder == machine.name:
            answers = self.answers.setdefault(message.token, [])
            answers.append((self._world.at_s, message.revision))

    def leads(self, token: Token, standing: RevisionId) -> None:
        """A node begins to lead: nobody had told it of a newer revision, unless forced."""
        self.happened["led"] += 1
        if token.incarnation in self.forced:
            return
        for at, revision in self.answers.get(token, ()):
            if at < self._world.at_s - ANSWER_S and revision[:2] > standing[:2]:
                raise Violation(
                    "catch-up",
                    f"{token.incarnation} leads from {standing}, and was told of {revision}",
                )

    def is_known(self, process: Process, token: Token) -> None:
        """A node begins to lead: of those it could ask at least one was asked to admit its token."""
        network, well = self._world.network, []
        for peer in process.state.peers.values():
            machine = self.machines[peer.name]
            up = peer.link is not None and process.links.is_whole(peer.link)
            sound = machine.failing_until <= self._world.at_s and machine.pace.factor <= 1.0
            if up and sound and network.reach(process.machine.settings.node, peer.name):
                well.append(machine)
        awake = [m for m in well if m.frozen_until <= self._world.at_s]
        asked = [m for m in awake if (m.name, token) in self.asked]
        if len(awake) > 1 and not asked:
            raise Violation(
                "admission", f"{token.incarnation} leads; {[m.name for m in awake]} weren't asked"
            )

    def passes_over(self, token: Token, number: int) -> None:
        """A node gives up a revision that it was told of."""
        self.happened["passed over"] += 1
        told = self.answers.get(token, [])
        self.answers[token] = [row for row in told if row[1].number != number]

    def begins(self, machine: Machine, txid: int) -> None:
        """An intent is durable: the commit will be finished, whatever happens."""
        highest = machine.guard.state().highest
        if highest is not None:
            self.begun[machine.name, txid] = highest

    # --- what the agent did -------------------------------------------------------------------

    def seen(self, machine: Machine) -> None:
        """Judge what the agent has changed in the trees since they were last seen."""
        seen = self.of[machine.name]
        for tree, rows in machine.disk.trees.items():
            before = seen.trees[tree]
            if rows == before:
                continue
            seen.changed = True
            for path in sorted(rows.keys() | before.keys()):
                old, new = before.get(path), rows.get(path)
                if old != new:
                    self._agent_wrote(machine, ArtifactPath(tree, path), old, new)
            seen.trees[tree] = dict(rows)

    def _agent_wrote(
        self, machine: Machine, path: ArtifactPath, old: Row | None, new: Row | None
    ) -> None:
        seen = self.of[machine.name]
        if machine.gateway is not None and touched(old, new):
            self._world.tell(machine.name, f"# {path} touched")
            return
        seen.touched.discard(path)
        seen.writes += 1
        self._comes(seen, path, new[0] if new is not None else None)
        if path.tree in machine.away:
            seen.wrote_into.add(path.tree)
        seen.wrote_at = self._world.at_s
        where = f"{machine.name} {path}"
        self._world.tell(machine.name, f"# {path} {_say(old)} -> {_say(new)}")
        if machine.away.get(path.tree) == "replaced":
            raise Violation("old or new", f"{where}: written into a folder that is not the tree")
        if not machine.settings.apply:
            raise Violation("observe", f"{where}: written although apply = false")
        if new is not None:
            self._agent_put(machine, path, old, new)
        if old is not None:
            seen.displaced.append((path, old[0]))

    def _agent_put(self, machine: Machine, path: ArtifactPath, old: Row | None, new: Row) -> None:
        where = f"{machine.name} {path}"
        if (
            new[0] not in self.known.get(path, ())
            and (machine.name, path, new[0]) not in self.runtimes
        ):
            raise Violation("old or new", f"{where}: {new[0][:60]!r} was never declared there")
        if not self._valid(machine, path, new[0]):
            raise Violation("validated", f"{where}: invalid bytes made live")
        self.truth.put(machine, path, new[0])
        if old is not None and old[0] == new[0]:
            raise Violation("untouched", f"{where}: right bytes written again")
        if old is not None and old[1] >= new[1]:
            raise Violation("untouched", f"{where}: the mtime does not rise")

    def _valid(self, machine: Machine, path: ArtifactPath, content: bytes) -> bool:
        kind = kind_of(machine.settings.tree_kinds[path.tree], path.path)
        return self._validator.examine(kind, path.path, content).valid

    def recovered(self, machine: Machine) -> None:
        """Judge what a start has made of what was interrupted."""
        intent, standing = machine.disk._intent, machine.history.standing()
        if intent is not None and intent.txid > standing.txid:
            raise Violation("whole revision", f"{machine.name} starts with a commit half done")
        self.looked_at(machine)

    def looked_at(self, machine: Machine) -> None:
        """Judge trees, guard and ledger after the agent has done something."""
        self.seen(machine)
        self._guard(machine)
        seen = self.of[machine.name]
        standing = machine.history.standing()
        if standing is not seen.standing:
            if standing.revision != seen.standing.revision:
                self._moved(machine, seen.standing, standing)
            seen.standing = standing
            seen.changed = True
        intent = machine.disk._intent
        if intent is not None and intent.txid > standing.txid:
            return
        self._kept(machine, seen)
        if seen.changed:
            self._whole(machine, seen)
            seen.changed = False

    def _guard(self, machine: Machine) -> None:
        seen = self.of[machine.name]
        highest = machine.guard.state().highest
        if highest == seen.highest:
            return
        before = seen.highest
        if highest is None or (before is not None and highest.epoch <= before.epoch):
            raise Violation("one writer", f"{machine.name}: guard went from {before} to {highest}")
        self._world.tell(machine.name, f"# guard {highest.epoch} {highest.incarnation}")
        seen.highest = highest

    def _kept(self, machine: Machine, seen: Seen) -> None:
        """Everything that was taken away must be durable somewhere here."""
        if not seen.displaced:
            return
        for path, content in seen.displaced:
            if not self._remembers(machine, path, content):
                raise Violation(
                    "nothing is lost", f"{machine.name} {path}: {content[:60]!r} is nowhere"
                )
            if (path, digest_of(content)) in seen.unsent:
                seen.unsent.discard((path, digest_of(content)))
                self.happened["never sent, and kept"] += 1
                if not self._listed(machine, path, content):
                    raise Violation(
                        "nothing is lost",
                        f"{machine.name} {path}: {content[:60]!r} was sent to nobody, and is not listed",
                    )
            self.taken.append((machine.name, path, content, self._world.at_s))
        seen.displaced.clear()

    def _remembers(self, machine: Machine, path: ArtifactPath, content: bytes) -> bool:
        digest = digest_of(content)
        if digest in machine.history._durable:
            return True
        return self._listed(machine, path, content)

    @staticmethod
    def _listed(machine: Machine, path: ArtifactPath, content: bytes) -> bool:
        """Tell whether a person at this node is shown these bytes among those that were kept."""
        digest = digest_of(content)
        return any(row.digest == digest and row.path == path for row in machine.disk.kept())

    def _whole(self, machine: Machine, seen: Seen) -> None:
        """With no commit under way a tree is what the ledger says, but for others' edits."""
        right, process = held(machine, seen.standing), machine.process
        # What waits to be noted may be of before an edit: that the two agree now proves nothing.
        settled = process is None or process.lanes["commit"].idle
        for tree in machine.settings.tree_names:
            if machine.away.get(tree) == "replaced":
                continue
            named = right.tree(tree)
            rows = seen.trees[tree]
            for path in named.keys() | rows.keys():
                wanted, row = named.get(path), rows.get(path)
                where = ArtifactPath(tree, path)
                if (wanted.digest if wanted else None) == (digest_of(row[0]) if row else None):
                    if settled:
                        seen.touched.discard(where)
                elif where not in seen.touched:
                    raise Violation(
                        "whole revision",
                        f"{machine.name} {where} is {_say(row)}, not as revision "
                        f"{seen.standing.revision} has it",
                    )

    # --- revisions ----------------------------------------------------------------------------

    def _moved(self, machine: Machine, old: Standing, new: Standing) -> None:
        """A ledger names another revision than before."""
        self._world.tell(machine.name, f"# stands on {new.revision}")
        for change in diff(old.manifest, new.manifest):
            self.truth.moved(machine, change.path)
        highest = machine.guard.state().highest
        if highest is None:
            raise Violation("one writer", f"{machine.name} moved without any token")
        # A commit that the disk cut short is finished under the token under which it began.
        if new.txid != old.txid:
            highest = self.begun.get((machine.name, new.txid), highest)
        self._in_turn(machine, highest)
        if new.revision not in self.revisions:
            self._declared(machine, old, new, highest)
            self._shared(machine, new.revision)
            return
        if new.manifest != self.revisions[new.revision]:
            raise Violation("whole revision", f"{machine.name}: other rows of {new.revision}")
        told = (machine.name, highest, new.revision) in self.orders
        if highest.holder != machine.name and not told:
            raise Violation(
                "one writer",
                f"{machine.name} committed {new.revision}, and {highest.incarnation} "
                f"(epoch {highest.epoch}) never said so",
            )
        self._turned_aside(machine, old, new)
        self._contact(machine, old)
        self._raced(machine, old, new)
        here = held(machine, old)
        changes = diff(here, held(machine, new))
        self._consent(machine, here, changes, f"committed {new.revision}")

    def _in_turn(self, machine: Machine, token: Token) -> None:
        """Nothing lands of an epoch after something of a later one did."""
        seen = self.of[machine.name]
        if token.epoch < seen.committed:
            raise Violation(
                "one writer",
                f"{machine.name} commits under epoch {token.epoch} after {seen.committed}",
            )
        seen.committed = token.epoch

    def _turned_aside(self, machine: Machine, old: Standing, new: Standing) -> None:
        """Note what a node leaves that follows another line: what this line never had."""
        line, at = set(), new.revision
        while at in self.parents:
            line.add(at)
            at = self.parents[at]
        seen = self.of[machine.name]
        self._shared(machine, new.revision)
        if old.revision.number == 0 or old.revision in line:
            return
        self._world.tell(machine.name, f"# leaves the line of {old.revision}")
        self.happened["left a line"] += 1
        for change in diff(new.manifest, old.manifest):
            entry = change.after
            row = seen.trees.get(change.path.tree, {}).get(change.path.path)
            as_it_was = (digest_of(row[0]) if row else None) == (entry.digest if entry else None)
            if as_it_was and machine.settings.writers is Writers.ANY:
                # It may stay there, as an edit that is proposed from now on.
                seen.touched.add(change.path)
            if entry is None or any(self._had(one, change.path, entry.digest) for one in line):
                continue
            seen.unsent.add((change.path, entry.digest))

    def _shared(self, machine: Machine, revision: RevisionId) -> None:
        """What a node's line has come to have is not this node's alone any more."""
        seen = self.of[machine.name]
        seen.unsent = {row for row in seen.unsent if not self._had(revision, *row)}

    def _had(self, revision: RevisionId, path: ArtifactPath, digest: Digest) -> bool:
        entry = self.revisions[revision].get(path)
        return entry is not None and entry.digest == digest

    def _declared(self, machine: Machine, old: Standing, new: Standing, highest: Token) -> None:
        fresh = new.revision
        if highest.holder != machine.name or fresh.epoch != highest.epoch:
            raise Violation(
                "one writer", f"{machine.name} declared {fresh} under {highest.incarnation}"
            )
        if fresh.number != old.revision.number + 1:
            raise Violation("one writer", f"{machine.name}: {fresh} follows {old.revision}")
        self.revisions[fresh] = new.manifest
        self.parents[fresh] = old.revision
        changes = diff(old.manifest, new.manifest)
        for change in changes:
            if change.after is None:
                self._declared_gone(machine, change.path)
            else:
                self._declared_put(machine, change.path, change.after.digest)
        self._unique(machine, new.manifest)
        self._raced(machine, old, new)
        self._consent(machine, old.manifest, changes, f"declared {fresh}")

    def _declared_gone(self, machine: Machine, path: ArtifactPath) -> None:
        if path not in self.unwanted and not self._filled(machine, path):
            raise Violation("absence", f"{machine.name} declared {path} gone; nobody meant it")

    def _declared_put(self, machine: Machine, path: ArtifactPath, digest: Digest) -> None:
        content = self._content(path, digest)
        if content is None:
            raise Violation("old or new", f"{machine.name} declared unknown {path}")
        if not self._valid(machine, path, content):
            raise Violation("validated", f"{machine.name} declared invalid {path}")
        self.truth.declared(machine, path, digest)
        kept = digest in machine.history._durable
        if machine.settings.writers is Writers.MANAGER and not kept:
            raise Violation("nothing is lost", f"{path} was declared without its bytes")

    def _raced(self, machine: Machine, old: Standing, new: Standing) -> None:
        """What somebody wrote after the agent had looked for the last time is an edit of the new."""
        seen = self.of[machine.name]
        for change in diff(old.manifest, new.manifest):
            at = seen.touched_at.get(change.path, NEVER)
            if self._world.at_s - at < RACE_S:
                seen.touched.add(change.path)

    def _filled(self, machine: Machine, path: ArtifactPath) -> bool:
        """Tell whether the agent wrote into the tree before it could know that it was emptied.

        With one file in it again a small tree is not empty any more, and what is gone from it looks
        like what a person removes: no rule of safety tells the two apart.
        """
        any_writer = machine.settings.writers is Writers.ANY
        return any(
            path.tree in one.away and path.tree in self.of[one.name].wrote_into
            for one in (self.machines.values() if any_writer else (machine,))
        )

    def _unique(self, machine: Machine, manifest: Manifest) -> None:
        """No two artifacts of a declared revision claim one name."""
        index = Index()
        rows = [(p, e) for p, e in manifest if p.tree in machine.settings.tree_names]
        for path, entry in rows:
            content = self._content(path, entry.digest)
            kind = kind_of(machine.settings.tree_kinds[path.tree], path.path)
            assert content is not None, "each was judged when it was declared"
            index.put(path, kind, self._validator.examine(kind, path.path, content).facts)
        for path, _ in rows:
            for problem in index.problems(path):
                if problem.severity is Severity.ERROR:
                    raise Violation(
                        "validated", f"{machine.name} declared {path}: {problem.reason}"
                    )

    def _content(self, path: ArtifactPath, digest: Digest) -> bytes | None:
        return next((c for c in self.known.get(path, ()) if digest_of(c) == digest), None)

    def _contact(self, machine: Machine, old: Standing) -> None:
        """A filled node is changed at its first contact only if a person said so."""
        seen = self.of[machine.name]
        if old.revision.number or machine.name in self.welcomed:
            return
        for path, _ in seen.displaced:
            if self._world.at_s - seen.touched_at.get(path, NEVER) >= RACE_S:
                raise Violation("consent", f"{machine.name} {path}: first contact, not approved")

    def _consent(
        self, machine: Machine, before: Manifest, changes: Iterable[Change], did: str
    ) -> None:
        """No large set of deletions or updates without a person's yes."""
        limits = machine.settings.limits
        gone: dict[TreeName, list[ArtifactPath]] = {}
        updated: list[ArtifactPath] = []
        for change in changes:
            if change.after is None:
                gone.setdefault(change.path.tree, []).append(change.path)
            elif change.before is not None:
                updated.append(change.path)
        for tree, paths in gone.items():
            total, count = len(before.tree(tree)), len(paths)
            kinds = machine.settings.tree_kinds
            apis = sum(kind_of(kinds[tree], p.path) is Kind.API for p in paths if tree in kinds)
            share = count > limits.delete_share_floor and count > limits.delete_share * total
            large = count >= total or count > limits.delete_files or apis > limits.delete_apis
            if (large or share) and not self.approved.issuperset(paths):
                raise Violation("consent", f"{machine.name} {did}: {count} of {total} {tree} gone")
        if len(updated) > limits.updates and not self.approved.issuperset(updated):
            raise Violation("consent", f"{machine.name} {did}: {len(updated)} updates")

    # --- at the end ---------------------------------------------------------------------------

    def nothing_is_lost(self) -> None:
        """Whatever an agent has ever taken away is somewhere still."""
        for name, path, content, _ in self.taken:
            if self._remembers(self.machines[name], path, content):
                continue
            if any(m.disk.content(path) == content for m in self._listing(path.tree)):
                continue
            raise Violation("nothing is lost", f"{name} {path}: {content[:60]!r} is nowhere now")

    def _listing(self, tree: TreeName) -> list[Machine]:
        return [m for m in self.machines.values() if tree in m.settings.tree_names]

    @staticmethod
    def _copy(machine: Machine) -> dict[TreeName, dict[str, Row]]:
        return {tree: dict(rows) for tree, rows in machine.disk.trees.items()}


def touched(old: Row | None, new: Row | None) -> bool:
    """Tell whether a file was shown to the runtime again: the same bytes, seconds later."""
    if old is None or new is None:
        return False
    return old[0] == new[0] and new[1] // SECOND_NS > old[1] // SECOND_NS


def _say(row: Row | None) -> str:
    return "absent" if row is None else digest_of(row[0])[5:13]
