"""What the embedded server refuses, and that a flood of it keeps no peer out."""

from __future__ import annotations

import socket
import threading
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

import paramiko
import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.errors import BusyError
from syncagent.core.events import LinkUp, StrangerRefused
from syncagent.ssh.keys import line_of
from syncagent.ssh.links import Pace, SshLinks
from syncagent.ssh.server import GREETING_MAX, SILENT_MAX
from tests.fakes.loopback import Loopback, eventually, new_key

if TYPE_CHECKING:
    from collections.abc import Iterator

ONE, TWO = NodeName("gw-1"), NodeName("gw-2")


@pytest.fixture
def world() -> Iterator[Loopback]:
    made = Loopback(Pace(step_s=2.0, tick_s=0.2))
    made.start(ONE)
    made.key(TWO)
    made.spread()
    yield made
    made.stop()


def connect(world: Loopback) -> socket.socket:
    host, _, port = world.addresses[ONE].rpartition(":")
    return socket.create_connection((host, int(port)), 10)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def client(world: Loopback, stack: ExitStack) -> paramiko.Transport:
    sock = stack.enter_context(connect(world))
    transport = paramiko.Transport(sock)
    stack.callback(transport.close)
    transport.start_client(timeout=10)
    return transport


def logged_in(world: Loopback, stack: ExitStack) -> paramiko.Transport:
    transport = client(world, stack)
    transport.auth_publickey(TWO, world.keys[TWO].private)
    return transport


def await_hang_up(sock: socket.socket) -> None:
    """Read to the end; a reset is an end too (there were bytes that nobody read)."""
    sock.settimeout(20)
    with suppress(ConnectionResetError):
        while sock.recv(4096):
            pass


def refused(world: Loopback) -> StrangerRefused:
    def strangers(events: list[object]) -> list[StrangerRefused]:
        return [event for event in events if isinstance(event, StrangerRefused)]

    return strangers(list(world.wait(ONE, lambda events: bool(strangers(list(events))))))[0]


def test_an_unknown_key_is_refused_and_listed_with_its_line(
    world: Loopback, stack: ExitStack
) -> None:
    key = new_key()
    with pytest.raises(paramiko.AuthenticationException):
        client(world, stack).auth_publickey(TWO, key.private)
    stack.close()
    assert refused(world) == StrangerRefused(
        TWO,
        line_of(key.private, TWO),
        "127.0.0.1",
        "the key is not the one that is pinned for gw-2",
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gw-9", "no peer of that name"),
        ("gw-3", "not the one that is pinned for gw-3"),
        ("gw-1", "this node's own name"),
        ("root", "no peer of that name"),
    ],
)
def test_a_known_key_under_another_name_is_refused(
    world: Loopback, stack: ExitStack, name: str, words: str
) -> None:
    world.key(NodeName("gw-3"))
    with pytest.raises(paramiko.AuthenticationException):
        client(world, stack).auth_publickey(name, world.keys[TWO].private)
    stack.close()
    assert words in refused(world).reason


def test_a_stranger_that_keeps_trying_is_told_of_once(world: Loopback) -> None:
    key = new_key()
    for _ in range(3):
        with ExitStack() as stack, pytest.raises(paramiko.AuthenticationException):
            client(world, stack).auth_publickey(TWO, key.private)
    refused(world)
    with ExitStack() as stack, pytest.raises(paramiko.AuthenticationException):
        client(world, stack).auth_publickey(TWO, new_key().private)
    found = world.wait(ONE, lambda events: len(events) >= 2)
    assert len({event.key for event in found if isinstance(event, StrangerRefused)}) == len(found)


def test_a_claimed_name_can_not_carry_control_characters_or_pages(
    world: Loopback, stack: ExitStack
) -> None:
    with pytest.raises(paramiko.AuthenticationException):
        client(world, stack).auth_publickey("\x1b[2J" + "x" * 5000, new_key().private)
    stack.close()
    stranger = refused(world)
    assert stranger.name.isprintable()
    assert len(stranger.name) < 300


def test_passwords_and_nothing_at_all_are_no_way_in(world: Loopback, stack: ExitStack) -> None:
    with pytest.raises(paramiko.BadAuthenticationType) as told:
        client(world, stack).auth_none(TWO)
    assert told.value.allowed_types == ["publickey"]
    with pytest.raises(paramiko.AuthenticationException):
        client(world, stack).auth_password(TWO, "secret", fallback=False)
    with pytest.raises(paramiko.AuthenticationException):
        client(world, stack).auth_interactive(TWO, lambda *_: [])


@pytest.mark.parametrize(
    "ask",
    [
        lambda channel: channel.invoke_shell(),
        lambda channel: channel.exec_command("id"),
        lambda channel: channel.exec_command("syncagent"),
        lambda channel: channel.get_pty(),
        lambda channel: channel.invoke_subsystem("sftp"),
        lambda channel: channel.set_environment_variable("LD_PRELOAD", "x"),
        lambda channel: channel.resize_pty() or channel.invoke_shell(),
        lambda channel: channel.request_x11(),
    ],
    ids=["shell", "exec", "exec our name", "pty", "sftp", "env", "resize", "x11"],
)
def test_a_session_gives_our_subsystem_and_nothing_else(
    world: Loopback, stack: ExitStack, ask: object
) -> None:
    channel = logged_in(world, stack).open_session(timeout=10)
    assert callable(ask)
    with suppress(paramiko.SSHException):
        ask(channel)
    # Some requests want no answer: whatever was asked, the channel must not have become usable.
    with pytest.raises(paramiko.SSHException):
        channel.invoke_shell()


def test_forwarding_of_ports_and_agents_is_refused(world: Loopback, stack: ExitStack) -> None:
    transport = logged_in(world, stack)
    with pytest.raises(paramiko.ChannelException, match="prohibited"):
        transport.open_channel("direct-tcpip", ("127.0.0.1", 22), ("127.0.0.1", 1), timeout=10)
    with pytest.raises(paramiko.SSHException, match="forwarding request denied"):
        transport.request_port_forward("127.0.0.1", 0)
    with pytest.raises(paramiko.ChannelException, match="prohibited"):
        transport.open_channel("auth-agent@openssh.com", timeout=10)


def test_a_second_session_is_refused(world: Loopback, stack: ExitStack) -> None:
    transport = logged_in(world, stack)
    transport.open_session(timeout=10)
    with pytest.raises(paramiko.ChannelException, match="prohibited"):
        transport.open_session(timeout=10)


def test_a_session_before_login_is_refused(world: Loopback, stack: ExitStack) -> None:
    transport = client(world, stack)
    with pytest.raises(paramiko.SSHException):
        transport.open_session(timeout=10)


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"SSH-1.5-old\r\n",
        b"SSH-2.0-noise\r\n" + b"\xff" * 300,
        b"SSH-" + b"x" * 5000,
        b"",
    ],
)
def test_noise_is_hung_up_on(world: Loopback, noise: bytes) -> None:
    with connect(world) as sock:
        sock.sendall(noise)
        with suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        await_hang_up(sock)
    assert not [event for event in world.told[ONE].events if isinstance(event, LinkUp)]


def test_garbage_after_login_is_answered_with_a_reason_and_hung_up_on(
    world: Loopback, stack: ExitStack
) -> None:
    channel = logged_in(world, stack).open_session(timeout=10)
    channel.invoke_subsystem("syncagent")
    channel.settimeout(10)
    channel.sendall(b"Last login: never on tty1\n")
    answer = b"".join(iter(lambda: channel.recv(4096), b""))
    assert b"does not speak syncagent's protocol" in answer
    assert b"Last login" in answer


def test_a_caller_that_never_stops_sending_noise_is_cut_off(
    world: Loopback, stack: ExitStack
) -> None:
    channel = logged_in(world, stack).open_session(timeout=10)
    channel.invoke_subsystem("syncagent")
    channel.settimeout(10)
    sent = 0
    with suppress(OSError, EOFError):
        while sent < 2**36:
            channel.sendall(bytes(1024))
            sent += 1024
    assert sent < 2**36


def test_two_hundred_half_open_connections_do_not_keep_a_peer_out(world: Loopback) -> None:
    two = world.start(TWO, incarnation="i2")
    with ExitStack() as stack:
        for n in range(200):
            sock = stack.enter_context(connect(world))
            if n % 2:
                sock.sendall(b"SSH-2.0-slow\r\n")
        two.dial(ONE)
        world.wait(ONE, lambda events: any(isinstance(event, LinkUp) for event in events))
        server = world.links[ONE]._server
        assert server is not None
        assert len(server._greeting) <= GREETING_MAX


def test_what_never_finishes_its_greeting_is_dropped_in_time(world: Loopback) -> None:
    before = threading.active_count()
    with ExitStack() as stack:
        silent = stack.enter_context(connect(world))
        slow = stack.enter_context(connect(world))
        slow.sendall(b"SSH-2.0-slow\r\n")
        for sock in (silent, slow):
            await_hang_up(sock)
    eventually(lambda: threading.active_count() <= before, "a thread was left behind")


def test_more_silent_connections_than_there_is_room_for_send_the_oldest_away(
    world: Loopback,
) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(connect(world))
        for _ in range(SILENT_MAX):
            stack.enter_context(connect(world))
        await_hang_up(first)


def test_an_address_that_is_taken_is_named(world: Loopback) -> None:
    links: SshLinks = world.links[ONE]
    with pytest.raises(BusyError, match=r"can't listen on 127\.0\.0\.1") as told:
        links.listen(world.addresses[ONE])
    assert "node.listen" in told.value.hint
