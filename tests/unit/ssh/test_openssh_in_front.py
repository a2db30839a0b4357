"""The hardened alternative: OpenSSH's own server in front, with a forced command."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.errors import DiskError, UnreachableError
from syncagent.core.events import DialFailed, LinkDown, LinkUp, Received, StrangerRefused
from syncagent.core.settings import PeerSettings
from syncagent.core.wire.messages import Report, View
from syncagent.fsio import OsFS
from syncagent.ports import LinkId
from syncagent.ssh.keys import NodeKey, make_key, public_line
from syncagent.ssh.links import Identity, Pace, SshLinks
from syncagent.ssh.stdio import SOCKET_NAME, serve_stdio
from tests.fakes.loopback import NOWHERE, Told, eventually, new_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.core.events import ShellEvent

ONE, TWO = NodeName("gw-1"), NodeName("gw-2")
ROOT = Path(__file__).resolve().parents[3]
SERVE = (
    "import sys; sys.path.insert(0, {root!r})\n"
    "from syncagent.core.errors import SyncagentError\n"
    "from syncagent.fsio import OsFS\n"
    "from syncagent.ssh.stdio import serve_stdio\n"
    "try:\n"
    "    serve_stdio(OsFS(), {state!r}, {peer!r})\n"
    "except SyncagentError as error:\n"
    "    sys.exit(f'{{error}}. {{error.hint}}')\n"
)


def has(kind: type) -> Callable[[list[ShellEvent]], bool]:
    return lambda events: any(isinstance(event, kind) for event in events)


def first(told: Told, kind: type) -> ShellEvent:
    return next(event for event in told.wait(has(kind)) if isinstance(event, kind))


def links_of(node: NodeName, key: NodeKey, peer: PeerSettings, told: Told) -> SshLinks:
    me = Identity("apim", node, f"{node}-i", key)
    return SshLinks(me, [peer], told.post, pace=Pace(step_s=15.0))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    # Longer than a Unix socket's path can be, as deep installations have it.
    folder = tmp_path / ("state-" + "x" * 100)
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def agent(state: Path) -> Iterator[tuple[SshLinks, Told]]:
    """gw-2, running; it knows gw-1."""
    told = Told()
    links = links_of(TWO, new_key(), PeerSettings(ONE, NOWHERE, public_line(new_key(), ONE)), told)
    links.listen_local(OsFS(), str(state))
    yield links, told
    links.stop()


@pytest.fixture
def sshd(tmp_path: Path, state: Path, request: pytest.FixtureRequest) -> Iterator[PeerSettings]:
    """A real sshd whose forced command leads to gw-2; what gw-1 has in its settings for it."""
    program = shutil.which("sshd", path=os.environ["PATH"] + ":/usr/sbin:/sbin")
    if program is None:
        assert os.environ.get("SYNCAGENT_REQUIRE_ALL") != "1", "no sshd on this machine"
        pytest.skip("no sshd on this machine")
    script = tmp_path / "serve.py"
    script.write_text(SERVE.format(root=str(ROOT), state=str(state), peer="gw-1"))
    host_key = make_key(OsFS(), str(tmp_path / "host.key"))
    client_key = make_key(OsFS(), str(tmp_path / "client.key"))
    (tmp_path / "authorized").write_text(
        f'command="{sys.executable} {script}",restrict {public_line(client_key, ONE)}\n'
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (tmp_path / "config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path}/host.key\nPidFile none\n"
        f"AuthorizedKeysFile {tmp_path}/authorized\nStrictModes no\nUsePAM no\n"
        f"PasswordAuthentication no\n{request.param}"
    )
    with suppress(OSError):
        Path("/run/sshd").mkdir(exist_ok=True)
    log = (tmp_path / "log").open("wb")
    server = subprocess.Popen([program, "-D", "-e", "-f", tmp_path / "config"], stderr=log)

    def answers() -> bool:
        assert server.poll() is None, (tmp_path / "log").read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    eventually(answers, "sshd does not answer")
    address = f"{getpass.getuser()}@127.0.0.1:{port}"
    yield PeerSettings(TWO, address, public_line(host_key, TWO))
    server.terminate()
    server.wait(10)
    log.close()


@pytest.fixture
def caller(tmp_path: Path, sshd: PeerSettings) -> Iterator[tuple[SshLinks, Told]]:
    """gw-1, which reaches gw-2 through sshd."""
    told = Told()
    links = links_of(ONE, make_key(OsFS(), str(tmp_path / "client.key")), sshd, told)
    yield links, told
    links.stop()


both_ways = pytest.mark.parametrize(
    "sshd",
    ["", "Subsystem syncagent /bin/false\n"],
    ids=["no subsystem", "subsystem"],
    indirect=True,
)
plain = pytest.mark.parametrize("sshd", [""], ids=["no subsystem"], indirect=True)


@pytest.mark.needs_sshd
@both_ways
def test_a_peer_behind_openssh_is_linked_and_talks_both_ways(
    agent: tuple[SshLinks, Told], caller: tuple[SshLinks, Told]
) -> None:
    (two, told_2), (one, told_1) = agent, caller
    one.dial(TWO)
    up_1, up_2 = first(told_1, LinkUp), first(told_2, LinkUp)
    assert isinstance(up_1, LinkUp)
    assert isinstance(up_2, LinkUp)
    assert (up_1.peer, up_2.peer) == (TWO, ONE)
    assert (up_1.dialled, up_2.dialled) == (True, False)
    there = [Report(f"{n}" * 9000) for n in range(100)]
    back = [View(f"{n}" * 9000) for n in range(100)]
    for message, answer in zip(there, back, strict=True):
        one.send(LinkId(up_1.link), message)
        two.send(LinkId(up_2.link), answer)
    for told, sent in ((told_2, there), (told_1, back)):
        events = told.wait(lambda found: sum(isinstance(e, Received) for e in found) == 100)
        assert [event.message for event in events if isinstance(event, Received)] == sent
    one.close(LinkId(up_1.link), "enough")
    down = first(told_2, LinkDown)
    assert isinstance(down, LinkDown)
    assert "enough" in down.reason
    first(told_1, LinkDown)


@pytest.mark.needs_sshd
@plain
def test_without_an_agent_behind_it_the_dial_says_so(
    state: Path, caller: tuple[SshLinks, Told]
) -> None:
    one, told = caller
    one.dial(TWO)
    failed = first(told, DialFailed)
    assert isinstance(failed, DialFailed)
    assert "no agent runs on" in failed.reason
    assert "syncagent run" in failed.reason


@pytest.mark.needs_sshd
@plain
def test_an_agent_that_stops_takes_the_link_behind_openssh_down(
    agent: tuple[SshLinks, Told], caller: tuple[SshLinks, Told]
) -> None:
    one, told = caller
    one.dial(TWO)
    first(told, LinkUp)
    agent[0].stop()
    down = first(told, LinkDown)
    assert isinstance(down, LinkDown)
    assert "gw-2 is stopping" in down.reason


@pytest.mark.needs_sshd
@plain
def test_another_host_key_of_openssh_is_not_talked_to(
    agent: tuple[SshLinks, Told], caller: tuple[SshLinks, Told], sshd: PeerSettings
) -> None:
    one, told = caller
    one.trust(PeerSettings(TWO, sshd.address, public_line(new_key(), TWO)))
    one.dial(TWO)
    failed = first(told, DialFailed)
    assert isinstance(failed, DialFailed)
    assert "is pinned for gw-2" in failed.reason
    assert not agent[1].events


def test_the_socket_is_the_owners_alone_and_goes_with_the_agent(
    state: Path, agent: tuple[SshLinks, Told]
) -> None:
    path = state / SOCKET_NAME
    assert path.lstat().st_mode & 0o777 == 0o600
    agent[0].stop()
    assert not list(state.iterdir())


def test_a_socket_that_a_dead_agent_left_is_replaced(state: Path) -> None:
    (state / SOCKET_NAME).touch()
    peer = PeerSettings(ONE, NOWHERE, public_line(new_key(), ONE))
    links = links_of(TWO, new_key(), peer, Told())
    links.listen_local(OsFS(), str(state))
    assert (state / SOCKET_NAME).is_socket()
    links.stop()


@pytest.mark.parametrize("name", ["gw-9", "gw-2", "", "gw-1\n"])
def test_a_name_that_is_no_peer_is_refused_and_listed(
    state: Path, agent: tuple[SshLinks, Told], name: str
) -> None:
    source, far = os.pipe()
    sink_end, sink = os.pipe()
    serve_stdio(OsFS(), str(state), NodeName(name), (source, sink))
    for fd in (source, far, sink_end, sink):
        os.close(fd)
    refused = first(agent[1], StrangerRefused)
    assert isinstance(refused, StrangerRefused)
    assert refused.reason.endswith("is not in the settings of gw-2")


def test_a_state_folder_that_is_gone_is_a_disk_error(tmp_path: Path) -> None:
    peer = PeerSettings(ONE, NOWHERE, public_line(new_key(), ONE))
    links = links_of(TWO, new_key(), peer, Told())
    with pytest.raises(DiskError, match=r"can't make the socket .*links\.sock") as told:
        links.listen_local(OsFS(), str(tmp_path / "none"))
    assert told.value.errno_name == "ENOENT"
    links.stop()


def test_without_a_running_agent_the_pipe_says_what_to_start(state: Path) -> None:
    with pytest.raises(UnreachableError, match="no agent runs on") as told:
        serve_stdio(OsFS(), str(state), ONE, (0, 1))
    assert "syncagent run" in told.value.hint
