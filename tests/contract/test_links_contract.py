"""What every `Links` does: SSH on loopback, and the fake that simulations trust."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol, TypeVar

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.events import DialFailed, LinkDown, LinkUp, Received, StrangerRefused
from syncagent.core.wire.messages import Ping, Report, Survey, View
from syncagent.ports import LinkId
from tests.fakes.loopback import Loopback
from tests.fakes.network import FakeNetwork, Weather

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.core.events import ShellEvent
    from syncagent.core.wire.messages import Message
    from syncagent.ports import Links

E = TypeVar("E")
ONE, TWO, THREE = NodeName("gw-1"), NodeName("gw-2"), NodeName("gw-3")


class World(Protocol):
    """Some nodes that can reach each other, and the events that each was told."""

    def start(self, node: NodeName, *, incarnation: str = "i1", cluster: str = "apim") -> Links: ...
    def forget(self, node: NodeName, peer: NodeName) -> None:
        """Take the peer out of the node's settings while it runs."""

    def kill(self, node: NodeName) -> None:
        """End the node's connections as if its process had died."""

    def wait(self, node: NodeName, found: Callable[[list[ShellEvent]], bool]) -> list[ShellEvent]:
        """Let things happen until the node's events satisfy `found`; return them all."""

    def stop(self) -> None: ...


class FakeWorld:
    def __init__(self) -> None:
        self.time = 0.0
        self.network = FakeNetwork(random.Random(7), lambda: self.time, Weather())
        self.nodes = {}
        self.events: dict[NodeName, list[ShellEvent]] = {ONE: [], TWO: [], THREE: []}

    def start(self, node: NodeName, *, incarnation: str = "i1", cluster: str = "apim") -> Links:
        links = self.network.join(
            node, self.events[node].append, incarnation=incarnation, cluster=cluster
        )
        self.nodes[node] = links
        return links

    def forget(self, node: NodeName, peer: NodeName) -> None:
        self.nodes[node].replace_peers({ONE, TWO, THREE} - {node, peer})

    def kill(self, node: NodeName) -> None:
        self.network.leave(self.nodes[node])

    def wait(self, node: NodeName, found: Callable[[list[ShellEvent]], bool]) -> list[ShellEvent]:
        events = self.events[node]
        while not found(events):
            assert self.network.next_due() is not None, f"nothing more happens: {events}"
            self.time, act = self.network.pop()
            act()
        return events

    def stop(self) -> None:
        pass


@pytest.fixture(params=[FakeWorld, Loopback], ids=["fake", "ssh"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    made: World = request.param()
    yield made
    made.stop()


def all_of(events: list[ShellEvent], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def first(world: World, node: NodeName, kind: type[E]) -> E:
    return all_of(world.wait(node, lambda events: bool(all_of(events, kind))), kind)[0]


def messages(events: list[ShellEvent]) -> list[Message]:
    return [event.message for event in all_of(events, Received)]


def connect(world: World) -> tuple[Links, LinkUp, Links, LinkUp]:
    one, two = world.start(ONE), world.start(TWO, incarnation="i2")
    one.dial(TWO)
    return one, first(world, ONE, LinkUp), two, first(world, TWO, LinkUp)


def test_a_dialled_peer_is_up_at_both_ends_with_its_proved_name(world: World) -> None:
    _, up_1, _, up_2 = connect(world)
    assert up_1 == LinkUp(up_1.link, TWO, dialled=True, version=3, incarnation="i2")
    assert up_2 == LinkUp(up_2.link, ONE, dialled=False, version=3, incarnation="i1")


def test_messages_arrive_whole_and_in_order_in_both_directions(world: World) -> None:
    one, up_1, two, up_2 = connect(world)
    there = [Report(f"{n}" * (n % 40) * 50) for n in range(200)]
    back = [View(f"{n}") for n in range(200)]
    for message, answer in zip(there, back, strict=True):
        one.send(LinkId(up_1.link), message)
        two.send(LinkId(up_2.link), answer)
    got = world.wait(TWO, lambda events: len(messages(events)) >= 200)
    assert messages(got) == there
    assert {event.link for event in all_of(got, Received)} == {up_2.link}
    assert messages(world.wait(ONE, lambda events: len(messages(events)) >= 200)) == back


def test_nothing_is_received_before_the_link_is_up_or_after_it_is_down(world: World) -> None:
    one, up_1, two, up_2 = connect(world)
    for n in range(50):
        one.send(LinkId(up_1.link), Report(str(n)))
    one.close(LinkId(up_1.link), "enough")
    first(world, TWO, LinkDown)
    kinds = [type(event) for event in world.wait(TWO, lambda events: True)]
    assert kinds == [LinkUp, *[Received] * 50, LinkDown]
    two.send(LinkId(up_2.link), Survey())
    assert not messages(world.wait(ONE, lambda events: True))


def test_a_closed_link_is_down_once_at_both_ends_with_the_reason(world: World) -> None:
    one, up_1, _, up_2 = connect(world)
    one.close(LinkId(up_1.link), "switching off")
    one.close(LinkId(up_1.link), "again")
    down_1, down_2 = first(world, ONE, LinkDown), first(world, TWO, LinkDown)
    assert down_1 == LinkDown(up_1.link, TWO, "switching off")
    assert (down_2.link, down_2.peer) == (up_2.link, ONE)
    assert "switching off" in down_2.reason
    assert len(all_of(world.wait(ONE, lambda events: True), LinkDown)) == 1


def test_sending_or_closing_what_is_gone_is_quiet(world: World) -> None:
    one, up_1, _, _ = connect(world)
    one.close(LinkId(up_1.link), "enough")
    first(world, ONE, LinkDown)
    one.send(LinkId(up_1.link), Survey())
    one.close(LinkId(up_1.link), "enough")
    one.send(LinkId(999_999), Survey())
    one.close(LinkId(999_999), "never was")


def test_a_peer_that_dies_takes_its_links_down(world: World) -> None:
    _, up_1, _, _ = connect(world)
    world.kill(TWO)
    assert first(world, ONE, LinkDown).link == up_1.link


def test_a_peer_that_is_not_there_fails_the_dial(world: World) -> None:
    one = world.start(ONE)
    one.dial(TWO)
    assert first(world, ONE, DialFailed).peer == TWO


def test_a_peer_that_is_not_in_the_settings_fails_the_dial(world: World) -> None:
    one = world.start(ONE)
    world.start(TWO)
    world.forget(ONE, TWO)
    one.dial(TWO)
    assert "not in the settings" in first(world, ONE, DialFailed).reason


def test_an_unknown_peer_is_refused_and_listed(world: World) -> None:
    one = world.start(ONE)
    world.start(TWO)
    world.forget(TWO, ONE)
    one.dial(TWO)
    stranger = first(world, TWO, StrangerRefused)
    assert stranger.name == ONE
    assert stranger.key.startswith("ssh-ed25519 ")
    assert first(world, ONE, DialFailed).peer == TWO


def test_a_peer_that_is_taken_out_of_the_settings_loses_its_links(world: World) -> None:
    _, up_1, _, up_2 = connect(world)
    world.forget(TWO, ONE)
    assert first(world, TWO, LinkDown).link == up_2.link
    assert first(world, ONE, LinkDown).link == up_1.link


def test_a_peer_of_another_cluster_is_refused_with_both_names(world: World) -> None:
    one = world.start(ONE)
    world.start(TWO, cluster="test")
    one.dial(TWO)
    reason = first(world, ONE, DialFailed).reason
    assert "apim" in reason
    assert "test" in reason
    assert first(world, TWO, StrangerRefused).name == ONE


def test_two_links_between_the_same_nodes_live_side_by_side(world: World) -> None:
    one, up_1, two, _ = connect(world)
    two.dial(ONE)
    ups = all_of(world.wait(ONE, lambda events: len(all_of(events, LinkUp)) == 2), LinkUp)
    assert [up.dialled for up in ups] == [True, False]
    assert ups[0].link != ups[1].link
    one.close(LinkId(up_1.link), "one is enough")
    first(world, TWO, LinkDown)
    one.send(LinkId(ups[1].link), Survey())
    world.wait(TWO, lambda events: messages(events) == [Survey()])


def test_a_restarted_peer_connects_again_with_its_new_incarnation(world: World) -> None:
    connect(world)
    world.kill(TWO)
    first(world, ONE, LinkDown)
    world.start(TWO, incarnation="i3").dial(ONE)
    ups = all_of(world.wait(ONE, lambda events: len(all_of(events, LinkUp)) == 2), LinkUp)
    assert ups[1].incarnation == "i3"


def test_a_message_that_can_not_be_said_takes_the_link_down(world: World) -> None:
    one, up_1, _, _ = connect(world)
    one.send(LinkId(up_1.link), Ping(-1))
    assert "-1" in first(world, ONE, LinkDown).reason
