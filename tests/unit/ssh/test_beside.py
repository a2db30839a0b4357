"""Two agents of one user on one machine: linked without keys, by a socket that only this user enters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.errors import UnreachableError
from syncagent.core.events import DialFailed, LinkUp, Received, StrangerRefused
from syncagent.core.settings import PeerSettings
from syncagent.core.wire.messages import Report
from syncagent.fsio import OsFS
from syncagent.ports import LinkId
from syncagent.ssh.links import Identity, SshLinks
from syncagent.ssh.stdio import connect
from syncagent.ssh.transport import Pipe
from tests.fakes.loopback import Told, new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from syncagent.core.events import ShellEvent

ONE, SHARE = NodeName("gw-1"), NodeName("share")


def has(kind: type) -> Callable[[list[ShellEvent]], bool]:
    return lambda events: any(isinstance(event, kind) for event in events)


def links_of(node: NodeName, told: Told, *peers: PeerSettings, cluster: str = "apim") -> SshLinks:
    return SshLinks(Identity(cluster, node, f"{node}-i", new_key()), peers, told.post)


@pytest.fixture
def one() -> Iterator[tuple[SshLinks, Told]]:
    """The node; it knows nobody by a key."""
    told = Told()
    links = links_of(ONE, told)
    yield links, told
    links.stop()


def keeper_at(folder: Path, told: Told, node: NodeName = SHARE, cluster: str = "apim") -> SshLinks:
    links = links_of(node, told, PeerSettings(ONE, "", ""), cluster=cluster)
    links.listen_local(OsFS(), str(folder))
    return links


def reach(folder: Path) -> Callable[[], Pipe]:
    def reached() -> Pipe:
        sock = connect(OsFS(), str(folder), ONE)
        return Pipe(sock, sock=sock)

    return reached


def test_an_agent_beside_is_led_over_its_second_socket(
    tmp_path: Path, one: tuple[SshLinks, Told]
) -> None:
    links, told = one
    keeper_told = Told()
    keeper = keeper_at(tmp_path, keeper_told)
    try:
        links.dial_beside(SHARE, reach(tmp_path))
        up = next(e for e in told.wait(has(LinkUp)) if isinstance(e, LinkUp))
        led = next(e for e in keeper_told.wait(has(LinkUp)) if isinstance(e, LinkUp))
        assert (up.peer, up.dialled) == (SHARE, True)
        assert (led.peer, led.dialled) == (ONE, False)
        keeper.send(LinkId(led.link), Report("{}"))
        told.wait(has(Received))
    finally:
        keeper.stop()


@pytest.mark.parametrize(
    ("node", "cluster"), [(NodeName("gw-9"), "apim"), (SHARE, "another cluster")]
)
def test_who_answers_there_must_be_who_was_meant(
    tmp_path: Path, one: tuple[SshLinks, Told], node: NodeName, cluster: str
) -> None:
    links, told = one
    keeper = keeper_at(tmp_path, Told(), node, cluster)
    try:
        links.dial_beside(SHARE, reach(tmp_path))
        told.wait(has(DialFailed))
        assert not any(isinstance(event, LinkUp) for event in told.events)
    finally:
        keeper.stop()


def test_why_it_can_not_be_reached_is_told(one: tuple[SshLinks, Told]) -> None:
    links, told = one

    def fails() -> Pipe:
        raise UnreachableError("the share has no keeper", hint="mount it")

    links.dial_beside(SHARE, fails)
    failed = next(e for e in told.wait(has(DialFailed)) if isinstance(e, DialFailed))
    assert (failed.peer, failed.reason) == (SHARE, "the share has no keeper. mount it")


def test_nobody_comes_in_under_the_name_of_who_is_beside(
    tmp_path: Path, one: tuple[SshLinks, Told]
) -> None:
    links, told = one
    links.listen_local(OsFS(), str(tmp_path))
    stranger = links_of(SHARE, Told(), PeerSettings(ONE, "", ""))
    try:

        def as_the_share() -> Pipe:
            sock = connect(OsFS(), str(tmp_path), SHARE)
            return Pipe(sock, sock=sock)

        stranger.dial_beside(ONE, as_the_share)
        refused = next(e for e in told.wait(has(StrangerRefused)) if isinstance(e, StrangerRefused))
        assert refused.name == SHARE
    finally:
        stranger.stop()
