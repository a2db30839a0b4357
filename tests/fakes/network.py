"""A network in one process: links between named nodes, deterministic from a seed and a clock.

It keeps what TCP with our protocol promises and no more. Within a link messages arrive whole and
in order, or the link breaks and a suffix of what was sent is lost. Between nodes that can't reach
each other messages stand still; they go on when the partition heals, or both ends learn after
`silence_s` that the link is gone, each at its own time. A broken link may be known at one end long
before the other. Every message goes through the codec, so a simulation tests the wire as well.

Nothing happens by itself: what is due waits in a queue that the owner empties with `pop` or `run`.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from syncagent.core.errors import ProtocolError, RefusedError
from syncagent.core.events import DialFailed, LinkDown, LinkUp, Received, StrangerRefused
from syncagent.core.wire.codec import decode, encode
from syncagent.core.wire.handshake import agree
from syncagent.core.wire.messages import VERSIONS, Bye, Hello, Message
from syncagent.ports import LinkId

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable

    from syncagent.core.artifact import NodeName
    from syncagent.core.events import ShellEvent


class TwinError(RefusedError):
    """Another process of that name lives."""


@dataclass(frozen=True)
class Weather:
    """How the network behaves: delays in seconds, chances per message sent."""

    delay_least_s: float = 0.0001
    delay_most_s: float = 0.005
    break_chance: float = 0.0
    connect_timeout_s: float = 10.0
    silence_s: float = 45.0
    queue_max: int = 10_000


@dataclass(eq=False)
class _End:
    """One end of a link, and what is on its way to it."""

    id: LinkId
    owner: FakeLinks
    peer: NodeName
    dialled: bool
    arriving: deque[bytes] = field(default_factory=deque)
    quiet_until: float = 0.0
    stalled: bool = False
    up: bool = True
    other: _End | None = None
    version: int = 0
    partition: int = 0


class FakeNetwork:
    """Links between the nodes that joined. `now` is the virtual clock, shared by all of them."""

    def __init__(
        self, rng: random.Random, now: Callable[[], float], weather: Weather | None = None
    ) -> None:
        self.weather = weather or Weather()
        self._rng = rng
        self._now = now
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self._link_ids = count(1)
        self._nodes: dict[NodeName, FakeLinks] = {}
        self._sides: dict[NodeName, int] = {}
        self._deaf: set[tuple[NodeName, NodeName]] = set()
        self._partitions = 0
        self.beside: frozenset[NodeName] = frozenset()
        """Nodes that whoever dials them has on its own machine: nothing ever parts them."""

    def join(
        self,
        node: NodeName,
        post: Callable[[ShellEvent], None],
        *,
        incarnation: str = "i1",
        cluster: str = "apim",
        versions: tuple[int, ...] = VERSIONS,
    ) -> FakeLinks:
        """Start a node: its events go to `post`. A second of the same name is a copied node."""
        hello = Hello(versions, cluster, node, incarnation, "simulated")
        links = FakeLinks(self, hello, post)
        self._nodes.setdefault(node, links)
        return links

    def leave(self, links: FakeLinks, *, power: bool = False) -> None:
        """End a node's process at once, without a goodbye; it gets no more events.

        `power`: the machine went away with it, so that peers notice by silence only.
        """
        links.alive = False
        if self._nodes.get(links.node) is links:
            del self._nodes[links.node]
        for end in list(links.ends.values()):
            self._break(end, "connection reset", gone_for_good=power)
        links.ends.clear()

    def partition(self, *groups: Iterable[NodeName]) -> None:
        """Let nodes reach only their own group; nodes that are not named share one more group."""
        self._partitions += 1
        self._sides = {node: side for side, group in enumerate(groups, 1) for node in group}
        self._part()
        self._resume()

    def deafen(self, one: NodeName, two: NodeName) -> None:
        """Let nothing pass from `two` to `one` any more; what `one` sends still arrives."""
        self._partitions += 1
        self._deaf.add((one, two))
        self._part()

    def _part(self) -> None:
        """Ends that can't talk to each other learn it by silence."""
        for links in list(self._nodes.values()):
            for end in list(links.ends.values()):
                if not self.reach(links.node, end.peer):
                    end.partition = self._partitions
                    self._later(self.weather.silence_s, self._silence(end, self._partitions))

    def heal(self) -> None:
        """End the partition: what stood still goes on."""
        self._partitions += 1
        self._sides = {}
        self._deaf = set()
        self._resume()

    def reach(self, one: NodeName, two: NodeName) -> bool:
        """Tell whether packets pass between two nodes, both ways."""
        return self.hears(one, two) and self.hears(two, one)

    def hears(self, one: NodeName, two: NodeName) -> bool:
        """Tell whether packets pass from `two` to `one`."""
        if not self.beside.isdisjoint((one, two)):
            return True
        same = self._sides.get(one, 0) == self._sides.get(two, 0)
        return same and (one, two) not in self._deaf

    def cut(self, one: NodeName, two: NodeName) -> int:
        """Break all links between two nodes, each somewhere in what is on its way; return how many."""
        links = self._nodes.get(one)
        ends = [end for end in links.ends.values() if end.peer == two] if links else []
        for end in ends:
            self._break(end, "connection reset")
        return len(ends)

    def next_due(self) -> float | None:
        """Return when the next thing is due, None if nothing is on its way."""
        return self._queue[0][0] if self._queue else None

    def pop(self) -> tuple[float, Callable[[], None]]:
        """Take the next thing off the queue: when it is due, and what does it."""
        due, _, act = heapq.heappop(self._queue)
        return due, act

    def run(self, until: float) -> int:
        """Do everything that is due up to `until`, in order; return how many things that were."""
        done = 0
        while self._queue and self._queue[0][0] <= until:
            self.pop()[1]()
            done += 1
        return done

    # What FakeLinks asks for.

    def dial(self, links: FakeLinks, peer: NodeName) -> None:
        """Start connecting."""
        if not self.reach(links.node, peer):
            timeout_s = self.weather.connect_timeout_s
            self._later(timeout_s, lambda: links.tell(DialFailed(peer, "timed out")))
            return
        self._later(self._delay() * 4, lambda: self._connect(links, peer))

    def send(self, end: _End, message: Message) -> None:
        """Put a message on its way to the other end."""
        other = end.other
        assert other is not None
        try:
            data = encode(message, end.version)
        except ProtocolError as error:
            self.close(end, str(error))
            return
        if len(other.arriving) >= self.weather.queue_max:
            self._break(end, "the queue of messages to send is full")
            return
        if self._rng.random() < self.weather.break_chance:
            self._break(end, "connection reset")
            return
        self._enqueue(other, data)

    def close(self, end: _End, reason: str) -> None:
        """Say goodbye behind what was sent, and take this end down."""
        other = end.other
        if not end.up or other is None:
            return
        self._enqueue(other, encode(Bye(reason), end.version))
        self._down(end, reason, 0.0)

    # How links live and break.

    def _connect(self, links: FakeLinks, peer: NodeName) -> None:
        if not links.alive:
            return
        target = self._nodes.get(peer)
        if target is None or not self.reach(links.node, peer):
            links.tell(DialFailed(peer, "connection refused"))
            return
        try:
            version = self._greet(links, target, peer)
        except RefusedError as error:
            reason = str(error)
            twin = isinstance(error, TwinError)
            target.tell(StrangerRefused(links.node, links.key, "simulated:0", reason, twin))
            self._later(self._delay(), lambda: links.tell(DialFailed(peer, reason)))
            return
        mine = _End(LinkId(next(self._link_ids)), links, peer, dialled=True)
        theirs = _End(LinkId(next(self._link_ids)), target, links.node, dialled=False)
        mine.other, theirs.other = theirs, mine
        for end, delay_s in ((mine, 0.0), (theirs, self._delay())):
            end.version = version
            end.owner.ends[end.id] = end
            end.quiet_until = self._now() + delay_s
            self._later(delay_s, self._raise(end))

    def _greet(self, links: FakeLinks, target: FakeLinks, peer: NodeName) -> int:
        if links.node not in target.trusted(links.node) or peer not in links.trusted(peer):
            raise RefusedError(f"the key of {links.node} is not known")
        for end in target.ends.values():
            rival = end.other.owner if end.peer == links.node and end.other else links
            if rival.alive and rival.hello.incarnation != links.hello.incarnation:
                raise TwinError(f"two live nodes are named {links.node}")
        theirs = decode(encode(links.hello, 1), 1)
        mine = decode(encode(target.hello, 1), 1)
        assert isinstance(theirs, Hello)
        assert isinstance(mine, Hello)
        agree(links.hello, mine, peer)
        return agree(target.hello, theirs, links.node)

    def _raise(self, end: _End) -> Callable[[], None]:
        def act() -> None:
            other = end.other
            if end.up and other is not None:
                incarnation = other.owner.hello.incarnation
                event = LinkUp(end.id, end.peer, end.dialled, end.version, incarnation)
                end.owner.tell(event)

        return act

    def _enqueue(self, end: _End, data: bytes) -> None:
        if not end.up:
            return
        end.arriving.append(data)
        end.quiet_until = max(end.quiet_until, self._now() + self._delay())
        self._at(end.quiet_until, self._deliver(end))

    def _deliver(self, end: _End) -> Callable[[], None]:
        def act() -> None:
            if not end.up or not end.arriving:
                return
            if end.stalled or not self.hears(end.owner.node, end.peer):
                end.stalled = True
                return
            message = decode(end.arriving.popleft(), end.version)
            if isinstance(message, Bye):
                self._down(end, f"{end.peer} closed the link: {message.reason}", 0.0)
            else:
                end.owner.tell(Received(end.id, message))

        return act

    def _resume(self) -> None:
        for links in list(self._nodes.values()):
            for end in list(links.ends.values()):
                if end.stalled and self.hears(links.node, end.peer):
                    end.stalled = False
                    due = max(end.quiet_until, self._now() + self._delay())
                    end.quiet_until = due
                    for _ in end.arriving:
                        self._at(due, self._deliver(end))

    def _silence(self, end: _End, partition: int) -> Callable[[], None]:
        def act() -> None:
            # Another partition or a heal in between restarted the clock, if it concerns this end.
            if end.partition == partition and self._partitions == partition:
                self._down(end, "no sign of life", self._rng.random())

        return act

    def _break(self, end: _End, reason: str, *, gone_for_good: bool = False) -> None:
        """Break a link: this end knows soon; the other when it looks, or by silence."""
        other = end.other
        self._down(end, reason, self._delay())
        if other is None or not other.up:
            return
        keep = self._rng.randint(0, len(other.arriving))
        while len(other.arriving) > keep:
            other.arriving.pop()
        late = gone_for_good or not self.reach(end.owner.node, end.peer) or self._rng.random() < 0.2
        after_s = self.weather.silence_s * self._rng.uniform(0.7, 1.0) if late else 0.0
        rest_s = max(other.quiet_until - self._now(), 0.0)
        self._later(rest_s + after_s + self._delay(), lambda: self._down(other, reason, 0.0))

    def _down(self, end: _End, reason: str, after_s: float) -> None:
        if not end.up:
            return
        end.up = False
        end.arriving.clear()

        def act() -> None:
            if end.owner.ends.pop(end.id, None) is not None:
                end.owner.tell(LinkDown(end.id, end.peer, reason))

        self._later(after_s, act)

    def _delay(self) -> float:
        return self._rng.uniform(self.weather.delay_least_s, self.weather.delay_most_s)

    def _later(self, after_s: float, act: Callable[[], None]) -> None:
        self._at(self._now() + after_s, act)

    def _at(self, due: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (due, next(self._order), act))


class FakeLinks:
    """`ports.Links` of one node on a `FakeNetwork`."""

    def __init__(
        self, network: FakeNetwork, hello: Hello, post: Callable[[ShellEvent], None]
    ) -> None:
        self.hello = hello
        self.node = hello.node
        self.key = f"ssh-ed25519 {hello.node}-key {hello.node}"
        self.alive = True
        self.ends: dict[LinkId, _End] = {}
        self._network = network
        self._post = post
        self._peers: frozenset[NodeName] | None = None

    def replace_peers(self, peers: Iterable[NodeName] | None) -> None:
        """Know these peers' keys and no others from now on; None: everybody's."""
        self._peers = None if peers is None else frozenset(peers)
        for end in list(self.ends.values()):
            if end.peer not in self.trusted(end.peer):
                self._network.close(end, "the peer is not in the settings any more")

    def trusted(self, peer: NodeName) -> frozenset[NodeName]:
        """Return the peers whose keys are known."""
        return frozenset({peer}) if self._peers is None else self._peers

    def is_whole(self, link: LinkId) -> bool:
        """Tell whether a link has both its ends: not one whose other side is gone without a word."""
        end = self.ends.get(link)
        return end is not None and end.up and end.other is not None and end.other.up

    def tell(self, event: ShellEvent) -> None:
        """Post an event, unless the process is gone."""
        if self.alive:
            self._post(event)

    def dial(self, peer: NodeName) -> None:
        """Start connecting; see `ports.Links`."""
        if peer not in self.trusted(peer):
            reason = f"{peer} is not in the settings"
            self._network._later(0.0, lambda: self.tell(DialFailed(peer, reason)))
            return
        self._network.dial(self, peer)

    def send(self, link: LinkId, message: Message) -> None:
        """Send a message; see `ports.Links`."""
        end = self.ends.get(link)
        if end is not None and end.up:
            self._network.send(end, message)

    def close(self, link: LinkId, reason: str) -> None:
        """Close a link; see `ports.Links`."""
        end = self.ends.get(link)
        if end is not None:
            self._network.close(end, reason)
