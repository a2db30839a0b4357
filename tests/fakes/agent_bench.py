"""One agent's decisions on fakes: time moves by hand, and effects wait until a test has them done.

The node, its hands, disk, guard and history are joined as `wiring` joins them, without threads. What
goes to peers is kept in `sent`, what goes to people in `replies`; a test says what comes back.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from syncagent.agent import effects as fx
from syncagent.agent import lease_effects as lx
from syncagent.agent import results as rs
from syncagent.agent.hands.committer import Committer
from syncagent.agent.hands.eye import Eye
from syncagent.agent.hands.fetching import Fetching
from syncagent.agent.hands.memory import Memory
from syncagent.agent.hands.remembering import Remembering
from syncagent.agent.hands.serving import Serving
from syncagent.agent.node.describing import MANAGER_S
from syncagent.agent.node.node import Node
from syncagent.agent.node.state import Role, State
from syncagent.core.artifact import ArtifactPath, NodeName, TreeKind, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.events import Hinted, HintKind, LinkDown, LinkUp, Received
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Entry, Manifest
from syncagent.core.revision import Revision, RevisionId, Token
from syncagent.core.settings import ElectionSettings, PeerSettings, Settings, TreeSettings
from syncagent.core.wire.messages import Admit, Admitted, Offer
from syncagent.ports import Instant
from syncagent.runtime.none import NoRuntime
from syncagent.validation.validator import ArtifactValidator
from tests.fakes.disk import FakeDisk
from tests.fakes.electing import StillElector
from tests.fakes.hints import FakeHints
from tests.fakes.history import FakeGuard, FakeHistory
from tests.fakes.runtime import FakeGateway, FakeRuntime, backed_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from syncagent.agent.effects import Effect
    from syncagent.agent.results import Result
    from syncagent.core.digest import Digest
    from syncagent.core.events import ShellEvent
    from syncagent.core.wire.messages import Message
    from syncagent.ports import LeaseStore, Runtime
    from tests.fakes.runtime_words import Dialect

T = TreeName("synapse")
PLANS = TreeName("siddhi")
ME, PEER, THIRD = NodeName("gw-1"), NodeName("gw-2"), NodeName("gw-3")
WALL = 1_700_000_000.0
XMLNS = "http://ws.apache.org/ns/synapse"
M = TypeVar("M")

Files = dict[str, bytes]


def at(path: str, tree: TreeName = T) -> ArtifactPath:
    """Return the place of an artifact."""
    return ArtifactPath(tree, path)


def entry(content: bytes) -> Entry:
    """Return what a manifest says of these bytes."""
    return Entry(digest_of(content), len(content))


def sequence(name: str, *uses: str, text: str = "") -> bytes:
    """Return a sequence that calls others."""
    inner = "".join(f'<sequence key="{use}"/>' for use in uses)
    return f'<sequence xmlns="{XMLNS}" name="{name}">{inner}<!--{text}--></sequence>'.encode()


def rows(files: Files, tree: TreeName = T) -> Manifest:
    """Return the manifest of files."""
    return Manifest.of((at(path, tree), entry(content)) for path, content in files.items())


def adds(files: Files, tree: TreeName = T) -> tuple[Change, ...]:
    """Return the changes that add files."""
    return tuple(Change(at(p, tree), None, entry(c)) for p, c in sorted(files.items()))


def revision(
    parent: RevisionId,
    before: Manifest,
    changes: Iterable[Change],
    *,
    epoch: int | None = None,
    released: tuple[Digest, ...] = (),
) -> Revision:
    """Return the revision that follows."""
    made = tuple(changes)
    after = before.after(made)
    own = RevisionId(parent.epoch if epoch is None else epoch, parent.number + 1, after.digest)
    return Revision(own, parent, made, PEER, "edit", released)


class Bench:
    """One node. `at` is its clock; `hands` are effects that wait to be carried out."""

    incarnation = "i1"

    def __init__(
        self,
        files: Files | None = None,
        *,
        manager: NodeName = ME,
        standing: Files | None = None,
        trees: tuple[TreeName, ...] = (T,),
        store: LeaseStore | None = None,
        **given: object,
    ) -> None:
        self.at = 1_000.0
        self.store = store
        self.elector: StillElector | None = None
        self.disk = FakeDisk(list(trees), wall=self.wall)
        for path, content in (files or {}).items():
            self.disk.put(at(path), content)
        self.history = FakeHistory()
        self.guard = FakeGuard("c")
        if standing is not None:
            self._stand(standing, manager)
        kinds = {name: TreeKind.SIDDHI if name == PLANS else TreeKind.SYNAPSE for name in trees}
        values: dict[str, object] = {
            "election": ElectionSettings(manager=manager)
            if store is None
            else ElectionSettings("sql", manager, eligible=(ME, PEER, THIRD)),
            "peers": (PeerSettings(PEER, "gw-2:1", ""),),
            **given,
        }
        self.settings = Settings(
            "c",
            ME,
            "/state",
            tuple(TreeSettings(name, kind, f"/{name}") for name, kind in kinds.items()),
            **values,  # type: ignore[arg-type]
        )
        self.runtime: Runtime = NoRuntime()
        self.gateway: FakeGateway | None = None
        self.arrived: deque[ShellEvent | Result] = deque()
        self.join(self.history, self.guard)
        self.hands: list[Effect] = []
        self.sent: list[tuple[int, Message]] = []
        self.replies: dict[int, fx.Reply] = {}
        self.reports: list[fx.Report] = []
        self.dialled: list[NodeName] = []
        self.hung_up: list[tuple[int, str]] = []
        self.others: list[Effect] = []
        self.told: list[fx.TellRuntime] = []
        self.elect: Callable[[fx.Acquire], Result] = self._elect
        self.wake_at = self.at
        self._links = 0
        self._requests = 0

    def join(self, history: FakeHistory, guard: FakeGuard) -> None:
        """Make the node and its hands anew, over this history and guard."""
        self.history, self.guard = history, guard
        kinds = self.settings.tree_kinds
        trees = self.settings.tree_names
        self.hints = FakeHints(trees, self.handle)
        self.memory = Memory(ArtifactValidator(1024 * 1024), kinds)
        self.committer = Committer(self.disk, self.guard, self.history, self.memory, self)
        self.eye = Eye(self.disk, self.hints, self.memory, self, self.history.has)
        self.serving = Serving(self.history, self.memory, self._send)
        self.fetching = Fetching(
            self.disk, self.history, self, kinds, lambda name, key: {"name": name, "key": key}
        )
        self.remembering = Remembering(self.history)
        more: dict[str, object] = {}
        if self.store is not None:
            post = self.arrived.append
            self.elector = StillElector(self.store, self.settings, self.incarnation, self, post)
            outlook = self.elector.elector.outlook
            more = {"auto_failover": True, "believes": self.elector.believes, "outlook": outlook}
        self.state = State(
            settings=self.settings,
            incarnation=self.incarnation,
            standing=self.history.standing(),
            guard=self.guard.state(),
            chance=random.Random(7),
            has_blob=self.history.has,
            wall=self.wall,
            runtime_about=self.runtime.about,
            outcomes=tuple(self.history.outcomes()),
            **more,  # type: ignore[arg-type]
        )
        if self.settings.in_place:
            self.committer.lasts = self.state.believes
        self.node = Node(self.state)

    def beside(self, dialect: Dialect) -> Bench:
        """Have a runtime beside the node, ready, with the tree loaded as it is now.

        It goes through its scans while time passes; `gateway.scan()` has it do one at once.
        """
        self.disk.ignored = backed_up
        self.gateway = FakeGateway(self.disk, dialect, self.wall, wrote=self._hint)
        self.gateway.ready()
        self.runtime = FakeRuntime(self.gateway, self.arrived.append)
        self.join(self.history, self.guard)
        return self

    def _hint(self, path: ArtifactPath) -> None:
        gone = self.disk.content(path) is None
        self.arrived.append(Hinted(*path, HintKind.DELETED if gone else HintKind.WRITTEN))

    def _stand(self, files: Files, manager: NodeName) -> None:
        manifest = rows(files)
        own = RevisionId(1, 1, manifest.digest)
        blobs = [(entry(content), content) for content in files.values()]
        self.history.stand(StandingChange(own, manifest=manifest, txid=1), blobs)
        self.history.record(
            Revision(own, RevisionId(0, 0, Manifest().digest), adds(files), manager), WALL
        )
        self.guard.admit(Token("c", 1, manager, "i0"))

    # --- the clock ----------------------------------------------------------------------------

    def now(self) -> Instant:
        """Return the instant, as `ports.Clock` says."""
        return Instant(self.at)

    def wall(self) -> float:
        """Return wall time, as `ports.Clock` says."""
        return WALL + getattr(self, "at", 0.0)

    # --- life ---------------------------------------------------------------------------------

    def start(self) -> Bench:
        """Start the node and have everything done until it rests."""
        self.node.start(self.at)
        self._drain()
        self.rest()
        return self

    def handle(self, event: ShellEvent | Result) -> None:
        """Hand the node one event or result."""
        self.node.handle(event, self.at)
        self._drain()

    def tick(self) -> None:
        """Let the node do what is due now."""
        self.wake_at = self.node.tick(self.at)
        self._drain()

    def do(self, effect: Effect) -> Result | None:
        """Carry out one effect of the hands; return what came of it."""
        if isinstance(effect, fx.Look | fx.Scan | fx.StartWatch):
            return self.eye.do(effect)
        if isinstance(effect, fx.Acquire):
            return self.elect(effect)
        if isinstance(effect, fx.Fetch):
            return self.fetching.do(effect)
        if isinstance(effect, fx.Serve):
            return self.serving.do(effect)
        return self.committer.do(effect)

    def step(self) -> bool:
        """Have the oldest waiting effect done and its result taken; False if none waits."""
        if not self.hands:
            return False
        result = self.do(self.hands.pop(0))
        if result is not None:
            self.handle(result)
        return True

    def rest(self) -> None:
        """Have everything done that is due now."""
        for _ in range(1_000):
            if self.gateway is not None:
                self.gateway.run()
            if self.elector is not None:
                self.elector.run()
            while self.arrived:
                self.handle(self.arrived.popleft())
            while self.step():
                pass
            self.tick()
            if not self.hands and not self.arrived:
                return
        raise AssertionError("it never rests")

    def pass_(self, seconds: float) -> Bench:
        """Let time pass, with everything done when it is due."""
        until = self.at + seconds
        self.rest()
        while self.at < until:
            wake_at = self.wake_at
            if self.gateway is not None:
                wake_at = min(wake_at, self.gateway.due() - WALL)
            if self.elector is not None:
                wake_at = min(wake_at, self.elector.run())
            self.at = min(until, max(self.at + 0.01, wake_at))
            self.rest()
        return self

    def _drain(self) -> None:
        for effect in self.node.drain():
            match effect:
                case fx.Send() | fx.Hangup() | fx.Dial():
                    self._about_peers(effect)
                case fx.Reply(request):
                    assert request not in self.replies, "every request gets exactly one reply"
                    self.replies[request] = effect
                case fx.Report():
                    self.reports.append(effect)
                    self.fetching.report(effect)
                case fx.Remember() | fx.Listen() | fx.TellRuntime():
                    self._about_runtime(effect)
                case fx.Resign() | lx.Campaign() | lx.StandBack() | lx.Wake():
                    self._about_lease(effect)
                case fx.SaveCache() | fx.Discover() | lx.Depart():
                    self.others.append(effect)
                case _:
                    self.hands.append(effect)

    def _about_lease(self, effect: Effect) -> None:
        self.others.append(effect)
        if self.elector is not None:
            self.elector.do(effect)

    def _about_peers(self, effect: fx.Send | fx.Hangup | fx.Dial) -> None:
        match effect:
            case fx.Send(link, message):
                self._send(link, message)
            case fx.Hangup(link, reason):
                self.hung_up.append((link, reason))
            case fx.Dial(peer):
                self.dialled.append(peer)

    def _about_runtime(self, effect: fx.Remember | fx.Listen | fx.TellRuntime) -> None:
        match effect:
            case fx.Remember():
                self.remembering.do(effect)
            case fx.Listen():
                self.runtime.start(self.history.runtime_mark())
            case fx.TellRuntime(order, ask):
                self.told.append(effect)
                (self.runtime.verify if ask else self.runtime.tell)(order)

    def _send(self, link: int, message: Message) -> None:
        self.sent.append((link, message))

    def _elect(self, wish: fx.Acquire) -> Result:
        epoch = max(wish.floor, self.guard.state().epoch) + 1
        return rs.Elected(Token("c", epoch, ME, self.incarnation))

    # --- the world ----------------------------------------------------------------------------

    def put(self, path: str, content: bytes, tree: TreeName = T) -> None:
        """Write a file; the watcher sees it."""
        self.disk.put(at(path, tree), content)
        self.handle(Hinted(tree, path, HintKind.WRITTEN))

    def remove(self, path: str, tree: TreeName = T) -> None:
        """Remove a file; the watcher sees it."""
        self.disk.remove(at(path, tree))
        self.handle(Hinted(tree, path, HintKind.DELETED))

    @property
    def files(self) -> Files:
        """What is in the first tree now."""
        return {path: row[0] for path, row in self.disk.trees[self.settings.trees[0].name].items()}

    def link(self, peer: NodeName = PEER, *, dialled: bool = True, version: int = 2) -> int:
        """Open a connection to a peer; return its number."""
        self._links += 1
        self.handle(LinkUp(self._links, peer, dialled, version, "p1"))
        return self._links

    def cut(self, link: int, peer: NodeName = PEER) -> None:
        """Cut a connection."""
        self.handle(LinkDown(link, peer, "cut"))

    def hear(self, link: int, message: Message) -> None:
        """Let a message come in, and have done what follows at once."""
        self.handle(Received(link, message))
        self.rest()

    def said(self, kind: type[M], link: int | None = None) -> list[M]:
        """Return and forget the messages of a kind that were sent."""
        found = [
            message
            for to, message in self.sent
            if isinstance(message, kind) and (link is None or to == link)
        ]
        self.sent = [
            (to, message)
            for to, message in self.sent
            if not (isinstance(message, kind) and (link is None or to == link))
        ]
        return found

    def ask(self, verb: str, timeout_s: float = 60.0, **arguments: object) -> int:
        """Ask as a person would; return the request's number."""
        self._requests += 1
        self.handle(rs.Asked(self._requests, verb, arguments, timeout_s))
        self.rest()
        return self._requests

    def answer(self, verb: str, **arguments: object) -> object:
        """Ask what is answered at once, or without the peer that knows more; raise an error."""
        request = self.ask(verb, **arguments)
        if request not in self.replies:
            self.pass_(MANAGER_S)
        reply = self.replies[request]
        if reply.error is not None:
            raise reply.error
        return reply.result

    def events(self, what: str) -> list[Mapping[str, str | int]]:
        """Return the fields of all events of a kind."""
        return [report.fields for report in self.reports if report.what == what]

    # --- other nodes --------------------------------------------------------------------------

    def token(self, epoch: int = 1, holder: NodeName = PEER) -> Token:
        """Return another node's token."""
        return Token("c", epoch, holder, "p1")

    def managed(self, epoch: int = 2) -> tuple[int, Token]:
        """Let a peer become this node's manager; return its connection and token."""
        link, token = self.link(dialled=False), self.token(epoch)
        self.hear(link, Admit(token))
        assert self.said(Admitted, link)
        return link, token

    def offer(self, link: int, token: Token, of: Revision, *, whole: bool = False) -> Offer:
        """Let the manager offer a revision."""
        offer = Offer(
            token, of.id, of.parent, of.author, of.note, of.released, None if whole else of.changes
        )
        self.hear(link, offer)
        return offer

    def lead(self) -> Bench:
        """Have the node lead: nobody else can be reached."""
        self.start()
        assert self.state.role is Role.SURVEYING or self.state.leads
        self.pass_(6.0)
        assert self.state.leads
        return self

    def follow(self, peer: NodeName = PEER, *, standing: RevisionId | None = None) -> int:
        """Let a peer admit this node, which leads; return the connection."""
        link = self.link(peer)
        self.admit(link, standing)
        return link

    def admit(
        self, link: int, standing: RevisionId | None = None, digest: str | None = None
    ) -> None:
        """Let the node behind a connection admit this node's token."""
        assert self.state.token is not None
        own = standing if standing is not None else self.state.standing.revision
        projection = digest or self.state.base.digest
        self.hear(
            link,
            Admitted(self.state.token, own, projection, self.settings.tree_names),  # type: ignore[arg-type]
        )
