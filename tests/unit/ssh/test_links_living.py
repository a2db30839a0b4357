"""How links live and end: copies, restarts, silence, floods, settings that change, leaks."""

from __future__ import annotations

import logging
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import paramiko
import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.digest import digest_of
from syncagent.core.errors import SettingsError
from syncagent.core.events import DialFailed, LinkDown, LinkUp, Received, StrangerRefused
from syncagent.core.manifest import Entry
from syncagent.core.settings import PeerSettings
from syncagent.core.wire import messages as m
from syncagent.ports import LinkId
from syncagent.ssh.client import Address, parse_address
from syncagent.ssh.keys import public_line
from syncagent.ssh.links import LINKS_PER_PEER_MAX, Identity, Pace, SshLinks
from tests.fakes.loopback import NOWHERE, Loopback, Stuck, Told, eventually, new_key
from tests.servers.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syncagent.core.events import ShellEvent

E = TypeVar("E")
ONE, TWO, THREE = NodeName("gw-1"), NodeName("gw-2"), NodeName("gw-3")


@pytest.fixture
def world() -> Iterator[Loopback]:
    made = Loopback(Pace(step_s=3.0, rival_s=0.5, tick_s=0.05))
    yield made
    made.stop()


def all_of(events: list[ShellEvent], kind: type[E]) -> list[E]:
    return [event for event in events if isinstance(event, kind)]


def nth(world: Loopback, node: NodeName, kind: type[E], count: int = 1) -> E:
    events = world.wait(node, lambda found: len(all_of(found, kind)) >= count)
    return all_of(events, kind)[count - 1]


def connect(world: Loopback) -> tuple[LinkUp, LinkUp]:
    one = world.start(ONE)
    world.start(TWO, incarnation="i2")
    one.dial(TWO)
    return nth(world, ONE, LinkUp), nth(world, TWO, LinkUp)


def hang_at(world: Loopback, node: NodeName) -> Stuck:
    """Make a node's agent hang at its first message: it keeps its connection, answering nothing."""
    stuck = Stuck()
    world.told[node] = stuck
    return stuck


def fds() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_fifty_connections_leave_no_thread_and_no_descriptor(world: Loopback) -> None:
    one = world.start(ONE)
    world.start(TWO, incarnation="i2")
    one.dial(TWO)
    one.close(LinkId(nth(world, ONE, LinkUp).link), "warm")
    nth(world, TWO, LinkDown)
    eventually(lambda: not one._threads, "the first link's threads stay")
    threads, open_fds = threading.active_count(), fds()
    for n in range(2, 52):
        one.dial(TWO)
        up = nth(world, ONE, LinkUp, n)
        if n % 2:
            one.close(LinkId(up.link), "next")
        else:
            world.links[TWO].close(LinkId(nth(world, TWO, LinkUp, n).link), "next")
        nth(world, ONE, LinkDown, n)
        nth(world, TWO, LinkDown, n)
    eventually(lambda: threading.active_count() <= threads, "threads were left behind")
    eventually(lambda: fds() <= open_fds, "descriptors were left behind")


def test_failed_dials_leave_no_thread_and_no_descriptor(world: Loopback) -> None:
    one = world.start(ONE)
    world.start(TWO)
    world.forget(TWO, ONE)
    threads, open_fds = threading.active_count(), fds()
    for n in range(1, 11):
        one.dial(TWO if n % 2 else THREE)
        nth(world, ONE, DialFailed, n)
    eventually(lambda: threading.active_count() <= threads, "threads were left behind")
    eventually(lambda: fds() <= open_fds, "descriptors were left behind")


def test_stopping_ends_every_thread_and_says_goodbye(world: Loopback) -> None:
    before = threading.active_count()
    connect(world)
    world.links[ONE].stop()
    assert "gw-1 is stopping" in nth(world, TWO, LinkDown).reason
    assert nth(world, ONE, LinkDown).reason == "gw-1 is stopping"
    world.links[TWO].stop()
    eventually(lambda: threading.active_count() <= before, "threads were left behind")


def test_a_copy_of_a_live_node_is_refused_at_both_ends(world: Loopback) -> None:
    connect(world)
    world.start(TWO, incarnation="copy").dial(ONE)
    refused = nth(world, ONE, StrangerRefused)
    assert "two live nodes are named gw-2" in refused.reason
    assert refused.twin
    failed = nth(world, TWO, DialFailed)
    assert "two live nodes are named gw-2" in failed.reason
    assert not all_of(world.told[ONE].events, LinkDown)


def test_a_restarted_peer_takes_the_place_of_its_silent_old_self(world: Loopback) -> None:
    old = hang_at(world, TWO)
    up_1, _ = connect(world)
    world.links[ONE].send(LinkId(up_1.link), m.Survey())
    assert old.stuck.wait(20)
    world.told[TWO] = Told()
    world.start(TWO, incarnation="i3").dial(ONE)
    assert nth(world, ONE, LinkDown) == LinkDown(up_1.link, TWO, "gw-2 was restarted")
    assert nth(world, ONE, LinkUp, 2).incarnation == "i3"
    old.go.set()


def test_a_quiet_link_is_asked_for_a_sign_of_life_and_stays() -> None:
    world = Loopback(Pace(quiet_s=0.05, silent_s=5.0, tick_s=0.02))
    up_1, _ = connect(world)
    link = world.links[ONE]._links[LinkId(up_1.link)]
    heard = link._heard
    eventually(lambda: link._heard > heard, "no sign of life came")
    assert not all_of(world.told[ONE].events, LinkDown)
    assert not all_of(world.told[TWO].events, Received)
    world.stop()


def test_a_link_without_a_sign_of_life_is_taken_down() -> None:
    world = Loopback(Pace(quiet_s=0.1, silent_s=0.5, tick_s=0.05))
    deaf = hang_at(world, TWO)
    up_1, _ = connect(world)
    world.links[ONE].send(LinkId(up_1.link), m.Survey())
    assert "no sign of life from gw-2" in nth(world, ONE, LinkDown).reason
    deaf.go.set()
    world.stop()


def test_a_peer_that_takes_nothing_any_more_overflows_and_never_blocks_the_sender() -> None:
    world = Loopback(Pace())
    deaf = hang_at(world, TWO)
    up_1, _ = connect(world)
    blob = m.Blobs((Entry(digest_of(b""), 0),), bytes(8 * 1024 * 1024))
    for _ in range(60):
        world.links[ONE].send(LinkId(up_1.link), blob)
    assert "takes nothing any more" in nth(world, ONE, LinkDown).reason
    deaf.go.set()
    world.stop()


def test_large_messages_cross_in_both_directions_at_once(world: Loopback) -> None:
    up_1, up_2 = connect(world)
    blob = m.Blobs((Entry(digest_of(b""), 0),), bytes(range(256)) * 40_000)
    for _ in range(6):
        world.links[ONE].send(LinkId(up_1.link), blob)
        world.links[TWO].send(LinkId(up_2.link), blob)
    for node in (ONE, TWO):
        events = world.wait(node, lambda found: len(all_of(found, Received)) == 6)
        assert {event.message for event in all_of(events, Received)} == {blob}


def test_keys_are_exchanged_again_under_way_without_losing_anything(world: Loopback) -> None:
    up_1, up_2 = connect(world)
    pipe = world.links[ONE]._links[LinkId(up_1.link)]._pipe
    assert pipe._transport is not None
    sent = [m.Report(f"{n}" * 500) for n in range(600)]
    for n, message in enumerate(sent):
        world.links[ONE].send(LinkId(up_1.link), message)
        world.links[TWO].send(LinkId(up_2.link), message)
        if n == 200:
            pipe._transport.renegotiate_keys()
    for node in (ONE, TWO):
        events = world.wait(node, lambda found: len(all_of(found, Received)) == 600)
        assert [event.message for event in all_of(events, Received)] == sent


def test_an_older_agent_is_spoken_to_in_its_version(world: Loopback) -> None:
    one = world.start(ONE)
    world.start(TWO, versions=(2, 1))
    one.dial(TWO)
    assert nth(world, ONE, LinkUp).version == nth(world, TWO, LinkUp).version == 2
    one.send(LinkId(nth(world, ONE, LinkUp).link), m.Hint(()))
    assert "Hint can't be said in protocol version 2" in nth(world, ONE, LinkDown).reason


def test_an_agent_that_is_too_old_is_refused_with_both_versions(world: Loopback) -> None:
    one = world.start(ONE, versions=(4, 3))
    world.start(TWO, versions=(2, 1))
    one.dial(TWO)
    reason = nth(world, ONE, DialFailed).reason
    assert "speaks protocol 4 and 3" in reason
    assert "speaks 2 and 1" in reason
    stranger = nth(world, TWO, StrangerRefused)
    assert stranger.reason.endswith("one version at a time")
    assert stranger.key == public_line(world.keys[ONE], ONE)


def test_a_server_with_another_key_is_not_talked_to(world: Loopback) -> None:
    one = world.start(ONE)
    world.start(TWO)
    changed = [
        replace(peer, key=public_line(new_key(), TWO)) if peer.name == TWO else peer
        for peer in world.peers_of(ONE)
    ]
    one.replace_peers(changed)
    one.dial(TWO)
    reason = nth(world, ONE, DialFailed).reason
    assert "shows the key SHA256:" in reason
    assert "is pinned for gw-2" in reason
    assert "keys show" in reason
    assert not world.told[TWO].events
    shown = nth(world, ONE, StrangerRefused)
    assert (shown.name, shown.key) == (TWO, public_line(world.keys[TWO], TWO))


def test_two_nodes_without_keys_learn_them_by_one_dial_and_link_when_both_are_trusted(
    world: Loopback,
) -> None:
    links = {ONE: world.start(ONE), TWO: world.start(TWO)}
    for node, peer in ((ONE, TWO), (TWO, ONE)):
        links[node].replace_peers([PeerSettings(peer, world.addresses[peer], "")])
    links[ONE].dial(TWO)
    assert "no key is pinned for gw-2 yet" in nth(world, ONE, DialFailed).reason
    for node, peer in ((ONE, TWO), (TWO, ONE)):
        stranger = nth(world, node, StrangerRefused)
        assert (stranger.name, stranger.key) == (peer, public_line(world.keys[peer], peer))
        links[node].trust(PeerSettings(peer, world.addresses[peer], stranger.key))
    links[TWO].dial(ONE)
    assert nth(world, TWO, LinkUp).peer == ONE


def test_a_peer_without_a_key_is_not_linked_even_if_it_knows_ours(world: Loopback) -> None:
    one = world.start(ONE)
    world.start(TWO)
    one.replace_peers([PeerSettings(TWO, world.addresses[TWO], "")])
    one.dial(TWO)
    assert "no key is pinned" in nth(world, ONE, DialFailed).reason
    world.links[TWO].dial(ONE)
    assert "does not accept this node's key" in nth(world, TWO, DialFailed).reason
    assert not all_of(world.told[TWO].events + world.told[ONE].events, LinkUp)


def test_a_dial_that_the_other_end_refuses_says_what_to_do_there(world: Loopback) -> None:
    one = world.start(ONE)
    world.start(TWO)
    world.forget(TWO, ONE)
    one.dial(TWO)
    assert "on gw-2, `syncagent keys trust gw-1`" in nth(world, ONE, DialFailed).reason


def test_a_stranger_that_is_trusted_while_running_gets_in(world: Loopback) -> None:
    one = world.start(ONE)
    two = world.start(TWO)
    world.forget(TWO, ONE)
    one.dial(TWO)
    stranger = nth(world, TWO, StrangerRefused)
    two.trust(PeerSettings(ONE, NOWHERE, stranger.key))
    one.dial(TWO)
    assert nth(world, TWO, LinkUp).peer == ONE


def test_a_peer_whose_key_is_changed_loses_its_links_and_others_keep_theirs(
    world: Loopback,
) -> None:
    up_1, _ = connect(world)
    three = world.start(THREE)
    three.dial(ONE)
    nth(world, ONE, LinkUp, 2)
    world.links[ONE].trust(PeerSettings(TWO, NOWHERE, public_line(new_key(), TWO)))
    down = nth(world, ONE, LinkDown)
    assert (down.link, down.reason) == (up_1.link, "the peer's key was changed in the settings")
    world.links[ONE].send(LinkId(nth(world, ONE, LinkUp, 2).link), m.Survey())
    assert nth(world, THREE, Received).message == m.Survey()


def test_a_bad_key_in_new_settings_changes_nothing(world: Loopback) -> None:
    connect(world)
    with pytest.raises(SettingsError, match=r"\[\[peer\]\] gw-2: .*not an OpenSSH"):
        world.links[ONE].trust(PeerSettings(TWO, NOWHERE, "nonsense"))
    world.links[ONE].dial(TWO)
    nth(world, ONE, LinkUp, 2)


def test_one_peer_holds_only_so_many_links(world: Loopback) -> None:
    one = world.start(ONE)
    world.start(TWO)
    for n in range(LINKS_PER_PEER_MAX):
        one.dial(TWO)
        nth(world, ONE, LinkUp, n + 1)
    one.dial(TWO)
    assert "holds 4 links already" in nth(world, ONE, DialFailed).reason


@pytest.mark.parametrize("noise", [b"\xff" * 64, b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff\x02"])
def test_noise_on_a_live_link_takes_it_down_with_the_reason_at_both_ends(
    world: Loopback, noise: bytes
) -> None:
    up_1, up_2 = connect(world)
    world.links[ONE]._links[LinkId(up_1.link)]._pipe.send(noise)
    down = nth(world, TWO, LinkDown)
    assert down.link == up_2.link
    assert "frame of" in down.reason
    assert "frame of" in nth(world, ONE, LinkDown).reason


def test_this_node_in_the_list_of_peers_is_left_out(world: Loopback) -> None:
    one = world.start(ONE)
    one.dial(ONE)
    assert nth(world, ONE, DialFailed).reason == "gw-1 is not in the settings"


def test_paramiko_says_nothing_unless_somebody_asks_it_to(
    world: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    connect(world)
    assert not caplog.records
    assert logging.getLogger("paramiko").level > logging.CRITICAL


def test_what_is_negotiated_is_fast_and_modern(world: Loopback) -> None:
    up_1, _ = connect(world)
    transport = world.links[ONE]._links[LinkId(up_1.link)]._pipe._transport
    assert isinstance(transport, paramiko.Transport)
    assert transport.local_cipher == transport.remote_cipher == "aes128-gcm@openssh.com"
    assert transport.host_key_type == "ssh-ed25519"
    assert transport.agreed_on_strict_kex


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("gw-2:7421", ("", "gw-2", 7421)),
        ("syncagent@10.0.0.2:22", ("syncagent", "10.0.0.2", 22)),
        ("[2001:db8::2]:7421", ("", "2001:db8::2", 7421)),
        ("a@b@[::1]:1", ("a@b", "::1", 1)),
        (":7421", ("", "", 7421)),
    ],
)
def test_an_address_has_host_and_port_and_perhaps_an_account(
    text: str, parts: tuple[str, str, int]
) -> None:
    assert parse_address(text) == Address(*parts)


@pytest.mark.parametrize("text", ["", "gw-2", "gw-2:", "gw-2:ssh", "2001:db8::2:7421", "h:65536"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="is not host:port"):
        parse_address(text)


def test_links_that_listen_nowhere_can_dial(world: Loopback) -> None:
    world.start(TWO)
    told = Told()
    links = SshLinks(Identity("apim", ONE, "i1", world.key(ONE)), world.peers_of(ONE), told.post)
    links.dial(TWO)
    told.wait(lambda events: bool(all_of(events, LinkUp)))
    links.stop()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-liar\r\n" + b"\x00\x00\x00\x0c\x0a\x14" + b"\xff" * 40,
        b"SSH-2.0-liar\r\n" + b"\x00\x00\x00\x14\x04\x14\x00\x00\x00\x09\xff\xff" + b"\xff" * 40,
        b"SSH-2.0-liar\r\n" + bytes(400),
        b"SSH-1.3-old\r\n",
        b"\xff\xfe\r\n" * 50,
    ],
    ids=["silence", "http", "noise", "kexinit of noise", "zeros", "old", "not text"],
)
def test_a_dial_to_what_is_no_agent_fails_and_leaves_nothing(answer: bytes) -> None:
    world = Loopback(Pace(step_s=0.5))
    one = world.start(ONE)
    threads = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        one.trust(PeerSettings(TWO, address, public_line(new_key(), TWO)))
        one.dial(TWO)
        sock, _ = server.accept()
        with sock:
            sock.sendall(answer)
            assert address in nth(world, ONE, DialFailed).reason
    eventually(lambda: threading.active_count() <= threads, "threads were left behind")
    world.stop()


def test_a_host_that_is_gone_is_given_up_long_before_an_agent_that_is_slow() -> None:
    """The queue of the server is full: the kernel drops who asks for more, as an empty network does."""
    world = Loopback(Pace(connect_s=0.3, step_s=600.0))
    one = world.start(ONE)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            one.trust(PeerSettings(TWO, f"127.0.0.1:{port}", public_line(new_key(), TWO)))
            one.dial(TWO)
            assert "timed out" in nth(world, ONE, DialFailed).reason
    world.stop()


def test_an_agent_that_answers_slowly_is_not_taken_for_a_host_that_is_gone() -> None:
    world = Loopback(Pace(connect_s=0.3, step_s=60.0))
    one, two = world.start(ONE), world.start(TWO, incarnation="i2")
    port = int(world.addresses[TWO].rpartition(":")[2])
    with Proxy(port) as proxy:
        proxy.delay_s = 0.5
        one.trust(PeerSettings(TWO, f"127.0.0.1:{proxy.port}", public_line(world.key(TWO), TWO)))
        one.dial(TWO)
        assert nth(world, ONE, LinkUp).peer == TWO
        world.stop()
    two.stop()


def test_keys_are_exchanged_again_by_themselves_after_enough_bytes(world: Loopback) -> None:
    up_1, _ = connect(world)
    transport = world.links[ONE]._links[LinkId(up_1.link)]._pipe._transport
    assert transport is not None
    transport.packetizer.REKEY_BYTES = 1_000_000
    blob = m.Blobs((Entry(digest_of(b""), 0),), bytes(range(256)) * 2_000)
    for _ in range(8):
        world.links[ONE].send(LinkId(up_1.link), blob)
    world.wait(TWO, lambda events: len(all_of(events, Received)) == 8)
    eventually(lambda: transport.session_id != transport.H, "no new keys")
    world.links[ONE].send(LinkId(up_1.link), m.Survey())
    world.wait(TWO, lambda events: len(all_of(events, Received)) == 9)
