"""One machine of the cluster: what survives on it, and the agent that runs there now and then.

The agent is the production node with its production hands, put together as the wiring does it;
only threads are missing. A lane carries out one effect at a time, at a virtual instant of its
own; the loop takes what has arrived. A crash cuts the commit lane at any point of what it does.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.agent import effects as fx
from syncagent.agent import lease_effects as lx
from syncagent.agent import results as rs
from syncagent.agent.hands.committer import Committer
from syncagent.agent.hands.eye import Eye
from syncagent.agent.hands.fetching import Fetching
from syncagent.agent.hands.memory import Memory
from syncagent.agent.hands.recovery import finish_interrupted
from syncagent.agent.hands.remembering import Remembering
from syncagent.agent.hands.serving import Serving
from syncagent.agent.node.node import Node
from syncagent.agent.node.state import State
from syncagent.agent.share_effects import ReadShare
from syncagent.core.artifact import NodeName, stem_of
from syncagent.core.election import Election, Lost
from syncagent.core.errors import DiskError, StateError, SyncagentError
from syncagent.core.events import DialFailed, HintKind, Received
from syncagent.core.lease import Candidate, Timing
from syncagent.core.runtime import Phase
from syncagent.core.settings import Drift
from syncagent.core.snapshot import Condition, Seen
from syncagent.core.wire.messages import Commit, Report, View
from syncagent.leases.elector import Elector
from syncagent.leases.static import StaticStore
from syncagent.ports import LinkId
from syncagent.runtime.none import NoRuntime
from syncagent.validation.validator import ArtifactValidator
from tests.fakes.disk import FakeDisk
from tests.fakes.drawn_elector import DrawnElector
from tests.fakes.hints import FakeHints
from tests.fakes.history import FakeGuard, FakeHistory
from tests.fakes.runtime import FakeGateway, FakeRuntime, backed_up
from tests.simulation.artifacts import PLANS
from tests.simulation.witness import FLUSH_S
from tests.simulation.world import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncagent.agent.effects import Effect
    from syncagent.core.artifact import ArtifactPath, TreeName
    from syncagent.core.election import LeadChange
    from syncagent.core.ledger import Standing, StandingChange
    from syncagent.core.manifest import Manifest
    from syncagent.core.outcome import Outcome
    from syncagent.core.revision import Token
    from syncagent.core.settings import Settings
    from syncagent.ports import Disk, History, Runtime
    from tests.fakes.lease_house import House
    from tests.fakes.runtime_words import Dialect
    from tests.simulation.share import Share
    from tests.simulation.witness import Witness
    from tests.simulation.world import World

NEVER_S = 1e9
BLINK_S = 0.001
SPINS_MAX = 50
REVISIONS_MAX = 100_000
RESTART_S = 5.0
STOP_S = 90.0
"""How long an agent may take to stop before it is killed."""
GIVING_BACK_S = 0.05
"""How often it is looked whether a lease has been given back."""
SAVED_S = 10.0
"""What was saved in a console has been written into its file, and looked at, after this time."""


class Cut(BaseException):
    """The process ends here, in the middle of an effect."""


@dataclass(frozen=True)
class Build:
    """The classes an agent is made of: a test of the checkers replaces one by a faulty one."""

    node: Callable[[State], Node] = Node
    committer: type[Committer] = Committer
    recover: Callable[[Disk, History], StandingChange | None] = finish_interrupted
    guard: type[FakeGuard] = FakeGuard
    disk: Callable[..., FakeDisk] = FakeDisk
    elector: type[DrawnElector] = DrawnElector
    election: type[Election] = Election


@dataclass
class Pace:
    """How fast a machine is: the longest that an effect usually takes, by lane."""

    eye_s: float = 0.2
    commit_s: float = 0.1
    serve_s: float = 0.05
    turn_s: float = 0.002
    factor: float = 1.0


class Lane:
    """Carries out one effect after the other, each at an instant of its own."""

    def __init__(
        self, process: Process, name: str, longest_s: float, do: Callable[[Effect], object | None]
    ) -> None:
        self._process = process
        self._name = name
        self._longest_s = longest_s
        self._do = do
        self._queue: deque[Effect] = deque()
        self.current: Effect | None = None

    @property
    def idle(self) -> bool:
        """True if nothing waits, and nothing is under way."""
        return self.current is None and not self._queue

    def put(self, effect: Effect) -> None:
        """Have something carried out."""
        self._queue.append(effect)
        if self.current is None:
            self._begin()

    def _begin(self) -> None:
        if not self._queue:
            return
        effect = self.current = self._queue.popleft()
        machine = self._process.machine
        rng = machine.world.rng
        after_s = self._longest_s * machine.pace.factor * rng.random() ** 2
        after_s += machine.unlucky(machine, effect, after_s)
        machine.world.later(after_s, lambda: self._end(effect))

    def _end(self, effect: Effect) -> None:
        process = self._process
        if not process.alive or self.current is not effect:
            return
        machine = process.machine
        if machine.frozen_until > machine.world.at_s:
            wait_s = machine.frozen_until - machine.world.at_s
            machine.world.later(wait_s, lambda: self._end(effect))
            return
        self.carry_out()

    def carry_out(self, *, last: bool = False) -> None:
        """Carry out the current effect now, and begin with the next unless this was the `last`."""
        effect = self.current
        if effect is None:
            return
        machine = self._process.machine
        result = machine.guarded(f"{self._name} {type(effect).__name__}", lambda: self._do(effect))
        self.current = None
        if result is not None:
            self._process.post(result)
        machine.witness.looked_at(machine)
        if not last:
            self._begin()


class Process:
    """One life of the agent. It ends by `Machine.crash` only."""

    def __init__(self, machine: Machine, build: Build) -> None:
        self.machine = machine
        self.alive = True
        world, settings = machine.world, machine.settings
        machine.lives += 1
        self.incarnation = f"key-{settings.node}.folder-{settings.node}.{machine.lives}"
        self.hints = FakeHints([t for t in settings.tree_names if machine.rooted(t)], self.post)
        self.links = world.network.join(
            settings.node, self.post, incarnation=self.incarnation, cluster=settings.cluster
        )
        self.hints.seen_here = settings.in_place
        guard_state = machine.guard.state()
        self._inbox: deque[object] = deque()
        self._turn_at: float | None = None
        self._spins = 0
        self._requests = 0
        self._replies: dict[int, Callable[[fx.Reply], None]] = {}
        self._make_elector(settings)
        gateway = machine.gateway
        self.runtime: Runtime = FakeRuntime(gateway, self.post) if gateway else NoRuntime()
        self.state = State(
            settings=settings,
            incarnation=self.incarnation,
            standing=machine.history.standing(),
            guard=guard_state,
            chance=world.rng,
            has_blob=machine.history.has,
            wall=world.wall,
            auto_failover=machine.house is not None,
            believes=self._believes,
            outlook=self.elector.outlook,
            runtime_about=self.runtime.about,
            outcomes=tuple(machine.history.outcomes()),
        )
        self.node = build.node(self.state)
        self._make_lanes(build)
        self.node.start(world.now())
        self._act()
        self._turn_in(0.0)
        machine.witness.begins_life(self)
        if machine.house is not None:
            self.elector.start()

    def _make_elector(self, settings: Settings) -> None:
        machine, world, given = self.machine, self.machine.world, settings.election
        house = machine.house
        store = StaticStore(NodeName(given.manager), machine.guard)
        election = machine.build.election(
            Candidate(settings.cluster, settings.node, self.incarnation, priority=given.priority),
            Timing(given.lease_s, given.renew_s, given.operation_s, given.margin_s),
            server_expiry=house.store.server_expiry if house else store.server_expiry,
            never_expires=house is None,
            jitter=world.rng.random,
        )
        self.elector: Elector
        if house is None:
            self.elector = Elector(store, election, world, self._lead_changed)
        else:
            self.elector = machine.build.elector(
                house, election, world, self._lead_changed, self._later
            )

    def _later(self, after_s: float, act: Callable[[], None]) -> None:
        """Have something happen in this process: when the machine does not stand still."""
        machine = self.machine

        def now() -> None:
            if not self.alive:
                return
            if machine.frozen_until > machine.world.at_s:
                self._later(machine.frozen_until - machine.world.at_s, act)
                return
            act()
            machine.witness.reigns()

        machine.world.later(after_s, now)

    def _lead_changed(self, change: LeadChange) -> None:
        self.machine.world.tell(self.machine.name, f"~ {change}")
        if isinstance(change, Lost):
            self.post(rs.NotElected(change.reason, lost=True, token=change.token))
        else:
            self.post(rs.Elected(change.token))

    def _believes(self, token: Token) -> bool:
        if self.machine.house is None:
            return True
        belief = self.elector.current()
        return belief is not None and belief.token == token

    def _make_lanes(self, build: Build) -> None:
        machine = self.machine
        world, disk, history, pace = machine.world, machine.disk, machine.history, machine.pace
        kinds = machine.settings.tree_kinds
        memory = Memory(ArtifactValidator(machine.settings.limits.file_bytes), kinds)
        committer = build.committer(disk, machine.guard, history, memory, world)
        if machine.settings.in_place:
            committer.lasts = self._believes
        eye = Eye(disk, self.hints, memory, world, history.has)
        serving = Serving(history, memory, self._send)
        fetching = Fetching(disk, history, world, kinds, lambda _name, _key: {})
        self.lanes = {
            "eye": Lane(self, "eye", pace.eye_s, eye.do),  # type: ignore[arg-type]
            "commit": Lane(self, "commit", pace.commit_s, committer.do),
            "serve": Lane(self, "serve", pace.serve_s, serving.do),  # type: ignore[arg-type]
            "clerk": Lane(self, "clerk", pace.serve_s, fetching.do),  # type: ignore[arg-type]
        }
        routes: dict[type, Callable[..., None]] = {
            fx.Dial: lambda effect: self._dial(effect.peer),
            ReadShare: self._read_share,
            fx.Send: lambda effect: self._send(effect.link, effect.message),
            fx.Hangup: lambda effect: self.links.close(LinkId(effect.link), effect.reason),
            fx.Reply: self._reply,
            fx.Serve: self.lanes["serve"].put,
            fx.Report: self._report,
            fx.Fetch: self.lanes["clerk"].put,
            fx.Remember: self._remember,
            fx.Listen: lambda _effect: self.runtime.start(history.runtime_mark()),
            fx.TellRuntime: self._tell,
            fx.Acquire: self._acquire,
            fx.Resign: lambda effect: self.elector.fenced(effect.highest_epoch),
            lx.Campaign: lambda e: self.elector.campaign(e.floor, forced=e.forced),
            lx.StandBack: lambda _effect: self._stand_back(),
            lx.Wake: lambda effect: self.elector.wake(first=effect.first),
            lx.Depart: lambda _effect: self._later(0.0, self._depart),
        }
        # Writing the scan cache and looking for new tenants is not simulated.
        routes.update(dict.fromkeys((fx.SaveCache, fx.Discover), lambda _effect: None))
        routes.update(dict.fromkeys((fx.Look, fx.Scan, fx.StartWatch), self.lanes["eye"].put))
        routes.update(dict.fromkeys(committer.kinds, self.lanes["commit"].put))
        # No lane must be waited for: it may be what hangs.
        routes[fx.Shun] = lambda effect: disk.shun(effect.tree, effect.why)
        self._routes = routes

    # --- the loop -----------------------------------------------------------------------------

    def post(self, event: object) -> None:
        """Take an event into the inbox."""
        if not self.alive:
            return
        if isinstance(event, Received):
            self.machine.witness.told(self.machine, event.message)
        self._inbox.append(event)
        self._turn_in(self.machine.world.rng.random() * self.machine.pace.turn_s)

    def _turn_in(self, after_s: float) -> None:
        world = self.machine.world
        at = world.at_s + after_s
        if self._turn_at is not None and self._turn_at <= at:
            return
        self._turn_at = at
        world.later(after_s, lambda: self._turn(at))

    def _turn(self, at: float) -> None:
        if not self.alive or self._turn_at != at:
            return
        machine = self.machine
        self._turn_at = None
        if machine.frozen_until > machine.world.at_s:
            self._turn_in(machine.frozen_until - machine.world.at_s)
            return
        machine.guarded("loop", self._take_all)

    def _take_all(self) -> None:
        machine = self.machine
        world = machine.world
        idle = not self._inbox
        while self._inbox:
            event = self._inbox.popleft()
            if world.tracing and not dull(event):
                world.tell(machine.name, f"< {brief(event)}")
            self.node.handle(event, world.now())  # type: ignore[arg-type]
            self._act()
        wake_at = self.node.tick(world.now())
        self._act()
        self._spins = self._spins + 1 if idle and wake_at <= world.at_s else 0
        if self._spins > SPINS_MAX:
            raise Violation("idle", f"{machine.name} spins: it asks to be woken at once, again")
        machine.witness.looked_at(machine)
        if machine.share is not None:
            machine.share.followed(self)
        self._turn_in(max(wake_at - world.at_s, 0.001))

    def _act(self) -> None:
        world = self.machine.world
        for effect in self.node.drain():
            if world.tracing and not isinstance(effect, fx.Report) and not dull(effect):
                world.tell(self.machine.name, f"> {brief(effect)}")
            self._routes[type(effect)](effect)

    # --- what the wiring does -----------------------------------------------------------------

    def _dial(self, peer: NodeName) -> None:
        share = self.machine.share
        if share is not None and peer == share.name and not share.keep(self):
            self.post(DialFailed(peer, "another keeper has taken the share over"))
        elif share is not None and peer == share.name:
            self._later(1.0, lambda: self.links.dial(peer))
        else:
            self.links.dial(peer)

    def _read_share(self, effect: ReadShare) -> None:
        share = self.machine.share
        assert share is not None, "only who has one reads it"
        self._later(self.machine.world.rng.random(), lambda: self.post(share.read(effect)))

    def _send(self, link: int, message: object) -> None:
        if isinstance(message, Commit) and link in self.state.links:
            self.machine.commits(self.machine, self.state.links[link])
        self.links.send(LinkId(link), message)  # type: ignore[arg-type]

    def _tell(self, effect: fx.TellRuntime) -> None:
        (self.runtime.verify if effect.ask else self.runtime.tell)(effect.order)

    def _remember(self, effect: fx.Remember) -> None:
        machine = self.machine
        machine.witness.truth.told(machine, effect.outcomes)
        Remembering(machine.history).do(effect)

    def _report(self, effect: fx.Report) -> None:
        world = self.machine.world
        self.machine.history.event(world.wall(), effect.what, effect.fields)
        if effect.what == "rollback":
            # The settings ask for it: what was not there before a change goes with it.
            trials = self.node.trying.trials
            self.machine.witness.unwanted.update(trials)
            self.machine.witness.truth.back.update(
                (path, trial.before.digest) for path, trial in trials.items() if trial.before
            )
        witness, token = self.machine.witness, self.state.token
        if effect.what == "leading" and token is not None:
            witness.leads(token, self.state.standing.revision)
            witness.is_known(self, token)
        elif effect.what == "passed-over" and token is not None:
            # Nobody could give it, and every candidate had its turn to try.
            witness.passes_over(token, int(effect.fields["revision"]))
        if world.tracing:
            words = " ".join(f"{name}={value}" for name, value in effect.fields.items())
            world.tell(self.machine.name, f"* {effect.what} {words}")

    def _acquire(self, effect: fx.Acquire) -> None:
        try:
            token = self.elector.acquire(effect.floor, promoted=effect.promoted)
        except SyncagentError as error:
            self.post(rs.NotElected(str(error)))
            return
        self.post(rs.Elected(token) if token else rs.NotElected("another node holds the lease"))

    def _depart(self) -> None:
        """End as the agent does: what a hand has begun is finished, what waits is not."""
        for lane in self.lanes.values():
            if lane.current is not None and self.alive:
                lane.carry_out(last=True)
        self.elector.close()
        self.machine.departed(self)

    def _stand_back(self) -> None:
        elector, world = self.elector, self.machine.world
        elector.resign()
        until = world.at_s + self.machine.settings.election.operation_s

        def look() -> None:
            waits = isinstance(elector, DrawnElector) and elector.giving_back
            if waits and world.at_s < until:
                self._later(GIVING_BACK_S, look)
            else:
                self.post(rs.StoodBack())

        look()

    # --- the desk -----------------------------------------------------------------------------

    def ask(
        self,
        verb: str,
        arguments: Mapping[str, object],
        then: Callable[[fx.Reply], None] = lambda _reply: None,
        *,
        timeout_s: float = 60.0,
    ) -> None:
        """Ask as a person at this node would; `then` gets the reply."""
        self._requests += 1
        self._replies[self._requests] = then
        self.post(rs.Asked(self._requests, verb, arguments, timeout_s))

    def _reply(self, effect: fx.Reply) -> None:
        then = self._replies.pop(effect.request, None)
        if then is None:
            raise Violation("desk", f"a reply to {effect.request}, which nobody asked (any more)")
        then(effect)


@dataclass
class Machine:
    """What a node is besides its agent: disk, guard, history, and what is done to them."""

    world: World
    settings: Settings
    witness: Witness
    build: Build = field(default_factory=Build)
    pace: Pace = field(default_factory=Pace)
    process: Process | None = None
    frozen_until: float = 0.0
    failing_until: float = 0.0
    hints_lost: float = 0.0
    races: float = 0.0
    away: dict[TreeName, str] = field(default_factory=dict)
    """Trees that a fault took, and how."""
    lives: int = 0
    house: House | None = None
    """The way to the lease store, in seeds in which it elects."""
    share: Share | None = None
    """The share that all nodes have, in seeds with one."""
    gateway: FakeGateway | None = None
    """The runtime beside the agent, in seeds that have some."""
    meddle: Callable[[Machine], None] = lambda _machine: None
    """Called in the midst of a commit: an operator who edits at the worst instant."""
    unlucky: Callable[[Machine, Effect, float], float] = lambda _machine, _effect, _after: 0.0
    """Called when an effect begins: what happens meanwhile, and how much longer it takes (s)."""
    commits: Callable[[Machine, NodeName], None] = lambda _machine, _worker: None
    """Called when it tells a worker to commit, before that is on its way."""
    held: tuple[Standing, Manifest] | None = None
    """What its trees should hold, as it was last worked out (see `witness.held`)."""

    def __post_init__(self) -> None:
        self._cut_in: int | None = None
        self._saved_at: dict[ArtifactPath, float] = {}
        self._remembered: list[tuple[float, dict[ArtifactPath, Outcome], str | None]] = []
        """What was remembered of the runtime lately, each up to when it was so."""
        self._restarts = 0
        self._back_in_s = RESTART_S
        self.disk = self.build.disk(self.settings.tree_names, wall=self.world.wall)
        self.disk.crash_at = self._point
        # What is older than the retention is forgotten by design: nothing is, in these minutes.
        self.history = FakeHistory(revisions_max=REVISIONS_MAX, fail=self._history_point)
        self.guard = self.build.guard(self.settings.cluster, fail=self._history_point)
        self.witness.meet(self)

    @property
    def name(self) -> str:
        return self.settings.node

    def guarded(self, doing: str, do: Callable[[], object | None]) -> object | None:
        """Do something of the agent's; what it has no answer for would have ended it."""
        if self.failing_until > self.world.at_s and self.world.chance(0.5):
            self.disk.failing = "ENOSPC"
        try:
            return do()
        except (Cut, Violation):
            raise
        except BaseException as error:
            raise Violation("alive", f"{self.name} would have ended: {doing}: {error!r}") from error
        finally:
            self.disk.failing = ""

    # --- operators ----------------------------------------------------------------------------

    def put(self, path: ArtifactPath, content: bytes, *, again: bool = False) -> None:
        """Write a file as a person would; it is durable soon, so at once here.

        `again`: it was there, and was taken by accident.
        """
        if not again and self.world.at_s < self._saved_at.get(path, -NEVER_S) + SAVED_S:
            return
        self.witness.person(self, path, content)
        self.disk.put(path, content)
        self.disk._durable[path.tree][path.path] = self.disk.trees[path.tree][path.path]
        self.world.tell(self.name, f"! put {path} {len(content)} B")
        self.hint(path.tree, path.path, HintKind.WRITTEN)

    def remove(self, path: ArtifactPath, *, meant: bool = True) -> None:
        """Remove a file; `meant`: a person wants it gone everywhere."""
        if self.disk.content(path) is None:
            return
        self.witness.person(self, path, None, meant=meant)
        self.disk.remove(path)
        self.disk._durable[path.tree].pop(path.path, None)
        self.world.tell(self.name, f"! remove {path}{'' if meant else ' (not meant)'}")
        self.hint(path.tree, path.path, HintKind.DELETED)

    def hint(self, tree: TreeName, path: str, kind: HintKind) -> None:
        """Let the watcher see something, unless it misses it."""
        process = self.process
        if process is None or self.world.chance(self.hints_lost):
            return
        self.world.later(
            self.world.rng.random() * 0.02, lambda: process.hints.happen(tree, path, kind)
        )

    # --- the runtime --------------------------------------------------------------------------

    def beside(self, dialect: Dialect, refuses: Callable[[str, bytes], str]) -> None:
        """Put a runtime beside the agent, and start it."""
        self.disk.ignored = backed_up
        runs_plans = dialect.name != "synapse" and PLANS in self.settings.tree_names
        self.gateway = FakeGateway(
            self.disk,
            dialect,
            self.world.wall,
            plans=PLANS if runs_plans else None,
            refuses=refuses,
            wrote=self._runtime_wrote,
        )
        self.boot_runtime()

    def boot_runtime(self) -> None:
        """Start the runtime, if it does not run."""
        if self.gateway is not None and self.gateway.state.phase is Phase.DOWN:
            self.world.tell(self.name, "! runtime starts")
            self.gateway.boot()
            self._run_runtime()

    def kill_runtime(self, back_in_s: float) -> None:
        """End the runtime; it comes back after a while."""
        if self.gateway is not None and self.gateway.state.phase is not Phase.DOWN:
            self.world.tell(self.name, "! runtime killed")
            self.witness.truth.turned(self)
            self.gateway.kill()
            self.world.later(back_in_s, self.boot_runtime)

    def save_in_console(self, path: ArtifactPath, content: bytes) -> None:
        """Save an artifact as its runtime's console does, if it has one that takes it.

        Nobody writes over its file meanwhile: of two that did so between two looks nobody can tell
        from outside which one the runtime was.
        """
        gateway = self.gateway
        if gateway is None or gateway.dialect.name == "synapse" or path.tree != gateway.tree:
            return
        if gateway.state.phase is not Phase.READY or gateway.refuses(path.path, content):
            return
        if any(tree.drift is Drift.REPORT for tree in self.settings.trees):
            return  # Of most kinds an update is not announced, and here it is not put right either.
        self.world.tell(self.name, f"! console saves {path}")
        self.witness.known.setdefault(path, set()).add(content)
        self.witness.truth.turned(self)
        self._saved_at[path] = self.world.at_s
        gateway.console(path.path, stem_of(path.path), content)
        self.witness.truth.turned(self)
        self.world.later(gateway.dialect.persist_s + BLINK_S, self._run_what_is_due)

    def _run_runtime(self) -> None:
        """Have the runtime do what is due, now and whenever something is."""
        self._run_what_is_due()
        gateway = self.gateway
        assert gateway is not None, "there is one"
        due_s = gateway.due() - self.world.wall()
        starts = gateway.state.incarnation
        if due_s < NEVER_S:

            def again() -> None:
                if gateway.state.incarnation == starts and gateway.state.phase is not Phase.DOWN:
                    self._run_runtime()

            self.world.later(max(due_s, BLINK_S), again)

    def _run_what_is_due(self) -> None:
        """Have the runtime do what is due now; what it writes is its own."""
        gateway = self.gateway
        assert gateway is not None, "there is one"
        for tree in gateway.trees:
            self.witness.accident(self, tree, done=False)
        if not self.away.keys() & set(gateway.trees):
            self.witness.truth.turned(self)
            gateway.run()
            self.witness.truth.turned(self)
        else:
            gateway.stand_still()
        for tree in gateway.trees:
            self.witness.accident(self, tree, done=True)
            self.disk._durable[tree] = dict(self.disk.trees[tree])

    def _runtime_wrote(self, path: ArtifactPath) -> None:
        self.world.tell(self.name, f"! runtime wrote {path}")
        content = self.disk.content(path)
        if content is not None:
            self.witness.runtimes.add((self.name, path, content))
            if path in self._saved_at:
                # What the console saved, or what the deployer has made of it since.
                self.witness.known.setdefault(path, set()).add(content)
        kind = HintKind.DELETED if content is None else HintKind.WRITTEN
        self.hint(path.tree, path.path, kind)

    def rooted(self, tree: TreeName) -> bool:
        """Tell whether a tree's root is there to be watched."""
        return self.disk.conditions.get(tree, Condition.GOOD) is Condition.GOOD

    # --- life ---------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start the agent as the wiring does: recover, then open the doors."""
        if self.process is not None:
            return
        self.world.tell(self.name, "! boot")
        self._restarts += 1
        if self.world.chance(0.1):
            self._cut_in = self.world.rng.randint(1, 6)
        try:
            self.history.load()
            self.build.recover(self.disk, self.history)
        except Cut:
            self._after_cut(power=self.world.chance(0.5))
            return
        except (StateError, DiskError) as error:
            self.world.tell(self.name, f"! does not start: {error}")
            self.world.later(RESTART_S, self.boot)
            return
        finally:
            self._cut_in = None
        self.witness.recovered(self)
        self.process = Process(self, self.build)

    def crash(self, *, power: bool, back_in_s: float) -> None:
        """End the agent in the middle of whatever it does."""
        process = self.process
        if process is None:
            return
        self.world.tell(self.name, f"! {'power cut' if power else 'killed'}")
        lane = process.lanes["commit"]
        if lane.current is not None and self.world.chance(0.8):
            self._cut_in = self.world.rng.randint(1, self.world.rng.choice((3, 8, 20)))
            try:
                lane.carry_out()
            except Cut:
                self.world.tell(self.name, f"! cut in {type(lane.current).__name__}")
            self._cut_in = None
        self._end(process, power=power, back_in_s=back_in_s)

    def _end(self, process: Process, *, power: bool, back_in_s: float) -> None:
        process.alive = False
        self.witness.ends_life(self)
        process.runtime.stop()
        self.world.network.leave(process.links, power=power)
        self.process = None
        self.frozen_until = 0.0
        self._lose(power=power)
        if self.share is not None:
            self.share.followed(process)
        self.world.later(back_in_s, self.boot)

    def freeze(self, for_s: float) -> None:
        """Have the agent's process stand still; its machine and its connections don't."""
        self.world.tell(self.name, f"! frozen for {for_s:.1f} s")
        self.frozen_until = max(self.frozen_until, self.world.at_s + for_s)

    def stop(self, back_in_s: float) -> None:
        """Have the agent end as a person ends it; it is killed if it takes too long."""
        process = self.process
        if process is None:
            return
        self.world.tell(self.name, "! told to stop")
        self._back_in_s = back_in_s
        process.post(rs.Leaving())

        def kill() -> None:
            if process.alive:
                self.crash(power=False, back_in_s=back_in_s)

        self.world.later(STOP_S, kill)

    def departed(self, process: Process) -> None:
        """The agent has ended by itself."""
        if process.alive:
            self.world.tell(self.name, "! stopped")
            self._end(process, power=False, back_in_s=self._back_in_s)

    def _after_cut(self, *, power: bool) -> None:
        self.world.tell(self.name, f"! cut in recovery, {'power cut' if power else 'killed'}")
        self._cut_in = None
        self._lose(power=power)
        self.world.later(RESTART_S, self.boot)

    def _lose(self, *, power: bool) -> None:
        """Have disk, history and guard forget what a crash loses."""
        self.witness.seen(self)
        if power:
            self.disk.power_cut()
            self.witness.power_cut(self)
        else:
            self.disk.killed()
        records = self.history._records
        self._remember(self.world.wall())
        self.history = self.history.crash(power=power)
        if power:
            # The records are not flushed at once, but soon.
            flushed = self.world.wall() - FLUSH_S
            self.history._records = {k: row for k, row in records.items() if row[1] < flushed}
            self.history._outcomes, self.history._mark = self._remembered_at(flushed)
            self._remembered.clear()
        self.guard = self.guard.crash()
        self.history.fail = self._history_point
        self.guard.fail = self._history_point

    def _remember(self, wall: float) -> None:
        """Note up to when a runtime's outcomes were remembered as they are now."""
        flushed = wall - FLUSH_S
        self._remembered = [row for row in self._remembered if row[0] > flushed]
        self._remembered.append((wall, dict(self.history._outcomes), self.history._mark))

    def _remembered_at(self, wall: float) -> tuple[dict[ArtifactPath, Outcome], str | None]:
        """Return what of a runtime was remembered at a time, and up to where it was heard."""
        return next((row[1], row[2]) for row in self._remembered if row[0] > wall)

    # --- in the midst of an effect ------------------------------------------------------------

    def _point(self, name: str) -> None:
        """Something may happen here: a cut, a failing disk, a person, a scan."""
        if name == "intent-durable":
            assert self.disk._intent is not None, "it has just become so"
            self.witness.begins(self, self.disk._intent.txid)
        self.witness.order.at(self, name)
        self._maybe_cut()
        begun = name in {"intent-durable", "stepped", "synced"} or name.startswith("step ")
        if self.failing_until > self.world.at_s and self.world.chance(0.15):
            if begun:
                raise StateError(f"{name}: the disk fails half-way")
            if name in {"stage", "seal"}:
                raise DiskError(f"{name}: no space left", errno_name="ENOSPC")
        if self.races and begun and self.world.chance(self.races):
            self.witness.seen(self)
            self.witness.order.spoilt(self)
            self.meddle(self)
        if self.races and self.process is not None and self.world.chance(self.races):
            self.process.lanes["eye"].carry_out()

    def _history_point(self, name: str) -> None:
        if name == "remember":
            self._remember(self.world.wall())
        self._maybe_cut()
        if self.failing_until > self.world.at_s and self.world.chance(0.3):
            raise DiskError(f"{name}: no space left", errno_name="ENOSPC")

    def _maybe_cut(self) -> None:
        if self._cut_in is None:
            return
        self._cut_in -= 1
        if self._cut_in <= 0:
            raise Cut


def dull(value: object) -> bool:
    """Tell whether a trace is better without it: reports and views, every few seconds."""
    return isinstance(getattr(value, "message", None), Report | View)


def brief(value: object) -> str:
    """Say an event or effect in one line."""
    if isinstance(value, rs.Scanned):
        files = value.snapshot.files.items()
        rows = {path: what.entry.digest if isinstance(what, Seen) else what for path, what in files}
        text = f"Scanned({value.tree} {value.snapshot.condition} {value.started:.3f} {rows})"
    else:
        text = repr(value)
    text = _SET.sub(lambda found: "{" + ", ".join(sorted(found[1].split(", "))) + "}", text)
    text = _PATH.sub(r"\1:\2", text)
    text = _DIGEST.sub(r"~\1", text)
    text = _REVISION.sub(r"r\2.\1~\3", text)
    text = _ENTRY.sub(r"\1", text)
    return text if len(text) <= LINE_MAX else text[: LINE_MAX - 3] + "..."


LINE_MAX = 500
_SET = re.compile(r"frozenset\(\{([^}]*)\}\)")
_PATH = re.compile(r"ArtifactPath\(tree='(\w+)', path='([^']*)'\)")
_DIGEST = re.compile(r"'xxh3:(\w{8})\w*'")
_REVISION = re.compile(r"RevisionId\(epoch=(\d+), number=(\d+), digest=~(\w{8})\)")
_ENTRY = re.compile(r"Entry\(digest=(~\w{8}), size=\d+\)")
