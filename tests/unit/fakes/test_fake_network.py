"""What simulations rely on: the fake network promises what TCP does, and no more."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import NodeName
from syncagent.core.events import DialFailed, LinkDown, LinkUp, Received
from syncagent.core.wire.messages import Report
from syncagent.ports import LinkId
from tests.fakes.network import FakeLinks, FakeNetwork, Weather

if TYPE_CHECKING:
    from syncagent.core.events import ShellEvent

E = TypeVar("E")
NODES = [NodeName(f"gw-{n}") for n in range(1, 4)]
ONE, TWO, THREE = NODES


class Town:
    """Three nodes under one clock; every link that comes up is used until it goes."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self.rng = random.Random(seed)
        self.time = 0.0
        self.network = FakeNetwork(self.rng, lambda: self.time, weather)
        self.events: dict[NodeName, list[ShellEvent]] = {node: [] for node in NODES}
        self.links: dict[NodeName, FakeLinks] = {
            node: self.network.join(node, self.events[node].append) for node in NODES
        }

    def advance(self, seconds: float) -> None:
        end = self.time + seconds
        while (due := self.network.next_due()) is not None and due <= end:
            assert due >= self.time, "time went back"
            self.time = due
            self.network.pop()[1]()
        self.time = end

    def up(self, node: NodeName) -> list[LinkUp]:
        down = {event.link for event in of(self.events[node], LinkDown)}
        return [event for event in of(self.events[node], LinkUp) if event.link not in down]


def of(events: list[ShellEvent], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def gust(town: Town, node: NodeName) -> None:
    """Let one random thing happen to a node and its links."""
    other = town.rng.choice([peer for peer in NODES if peer != node])
    match town.rng.randrange(7):
        case 0:
            town.network.partition({node})
        case 1:
            town.network.heal()
        case 2:
            town.network.cut(node, other)
        case 3:
            for up in town.up(node)[:1]:
                town.links[node].close(LinkId(up.link), "enough")
        case _:
            town.links[node].dial(other)


def storm(seed: int) -> Town:
    """Let random things happen for a while."""
    town = Town(seed, Weather(break_chance=0.01, silence_s=5.0, connect_timeout_s=2.0))
    for number in range(150):
        node = town.rng.choice(NODES)
        if town.rng.random() < 0.4:
            gust(town, node)
        else:
            for up in town.up(node):
                town.links[node].send(LinkId(up.link), Report(f"{node}:{up.link}:{number}"))
        town.advance(town.rng.random() * 2)
    town.network.heal()
    town.advance(60.0)
    return town


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32))
def test_in_any_storm_messages_arrive_in_order_inside_the_life_of_their_link(seed: int) -> None:
    town = storm(seed)
    for node in NODES:
        living: set[int] = set()
        last: dict[int, int] = {}
        for event in town.events[node]:
            match event:
                case LinkUp(link=link):
                    assert link not in last
                    living.add(link)
                    last[link] = -1
                case LinkDown(link=link):
                    living.remove(link)
                case Received(link=link, message=Report(body)):
                    assert link in living
                    number = int(body.rpartition(":")[2])
                    assert number > last[link]
                    last[link] = number
                case _:
                    assert isinstance(event, DialFailed)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32))
def test_after_any_storm_both_ends_agree_which_links_live(seed: int) -> None:
    town = storm(seed)
    alive = {node: town.up(node) for node in NODES}
    for node in NODES:
        for up in alive[node]:
            town.links[node].send(LinkId(up.link), Report(f"{node}:{up.link}:999"))
    before = {node: len(town.events[node]) for node in NODES}
    town.advance(60.0)
    arrived = sum(len(of(town.events[n][before[n] :], Received)) for n in NODES)
    broken = sum(len(of(town.events[n][before[n] :], LinkDown)) for n in NODES)
    assert broken or arrived == sum(map(len, alive.values()))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32))
def test_the_same_seed_gives_the_same_events(seed: int) -> None:
    assert storm(seed).events == storm(seed).events


def test_a_short_partition_delays_and_a_long_one_breaks() -> None:
    town = Town(1, Weather(silence_s=10.0))
    town.links[ONE].dial(TWO)
    town.advance(1.0)
    link = LinkId(town.up(ONE)[0].link)
    town.network.partition({ONE})
    town.links[ONE].send(link, Report("late"))
    town.advance(8.0)
    assert not of(town.events[TWO], Received)
    town.network.heal()
    town.advance(1.0)
    assert [event.message for event in of(town.events[TWO], Received)] == [Report("late")]
    town.network.partition({ONE})
    town.links[ONE].send(link, Report("lost"))
    town.advance(12.0)
    assert len(of(town.events[TWO], Received)) == 1
    assert len(of(town.events[ONE], LinkDown)) == len(of(town.events[TWO], LinkDown)) == 1


def test_a_dial_into_a_partition_times_out_and_nodes_on_one_side_still_meet() -> None:
    town = Town(1, Weather(connect_timeout_s=3.0))
    town.network.partition({ONE, TWO}, {THREE})
    town.links[ONE].dial(THREE)
    town.links[ONE].dial(TWO)
    town.advance(2.9)
    assert town.up(ONE)[0].peer == TWO
    assert not of(town.events[ONE], DialFailed)
    town.advance(0.2)
    assert of(town.events[ONE], DialFailed) == [DialFailed(THREE, "timed out")]


def test_a_node_whose_power_fails_is_missed_by_silence_and_can_come_back() -> None:
    town = Town(1, Weather(silence_s=10.0))
    town.links[ONE].dial(TWO)
    town.advance(1.0)
    town.network.leave(town.links[TWO], power=True)
    town.advance(5.0)
    assert not of(town.events[ONE], LinkDown)
    again = town.network.join(TWO, town.events[TWO].append, incarnation="i2")
    again.dial(ONE)
    town.advance(1.0)
    assert [up.incarnation for up in town.up(ONE)] == ["i1", "i2"]
    town.advance(10.0)
    assert [up.incarnation for up in town.up(ONE)] == ["i2"]
