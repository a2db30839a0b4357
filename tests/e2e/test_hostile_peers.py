"""Callers that misbehave: without a key, with a strange one, and with one that is trusted."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import ProtocolError, RefusedError, SyncagentError
from syncagent.core.manifest import EMPTY, Entry
from syncagent.core.revision import REVISION_ZERO, RevisionId, Token
from syncagent.core.wire import messages as msg
from syncagent.core.wire.codec import encode
from syncagent.core.wire.frames import PREFACE, frame
from syncagent.core.wire.handshake import Conversation
from syncagent.fsio import OsFS
from syncagent.ssh.client import Attempt
from syncagent.ssh.keys import KEY_FILE, load_key, parse_pinned
from syncagent.ssh.transport import BROKEN, Pipe
from tests.e2e.artifacts import api, fill, sequence
from tests.e2e.cluster import Agent, Cluster, files_of, until

pytestmark = pytest.mark.e2e

RSS_MAX_KIB = 300 * 1024
ROGUE = NodeName("gw-3")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """gw-1 leads, gw-2 follows; gw-3 has a trusted key and is played by the tests."""
    folder = tmp_path_factory.mktemp("rogue")
    fill(folder / "source", apis=5, sequences=5)
    nodes = {"gw-1": folder / "source", "gw-2": None, "gw-3": None}
    with Cluster(folder / "nodes", nodes) as cluster:
        cluster.start("gw-1", "gw-2")
        until(lambda: files_of(cluster["gw-2"].tree) == files_of(cluster["gw-1"].tree), "filled")
        yield cluster


def still_works(cluster: Cluster, note: str) -> None:
    """Check that the two agents live, follow each other, and have not grown."""
    edit = api("Api000", note=note)
    (cluster.manager.tree / "api/Api000.xml").write_bytes(edit)
    worker = cluster["gw-2"]
    until(lambda: files_of(worker.tree)["api/Api000.xml"] == edit, f"it works after {note}")
    for agent in (cluster.manager, worker):
        assert agent.process is not None
        status = Path(f"/proc/{agent.process.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        assert int(line.split()[1]) < RSS_MAX_KIB, line


class Rogue:
    """A client that holds gw-3's key and says what it likes."""

    def __init__(self, cluster: Cluster, victim: Agent, versions: tuple[int, ...]) -> None:
        key = load_key(OsFS(), str(cluster["gw-3"].state / KEY_FILE))
        assert key is not None
        pinned = parse_pinned(cluster.keys[victim.name])
        attempt = Attempt(NodeName(victim.name), victim.address, pinned)
        self.pipe: Pipe = attempt.make(ROGUE, key, 20.0)
        hello = msg.Hello(versions, "loopback", ROGUE, "rogue", "0.0.0")
        self.talk = Conversation(hello, NodeName(victim.name))
        self.heard: list[msg.Message] = []

    def greet(self) -> None:
        self.pipe.send(self.talk.open())
        until(lambda: self.talk.version is not None or self.hear(), "the agent greets")

    def hear(self) -> bool:
        """Take what comes within a moment; False. Raises what the conversation raises."""
        self.pipe.set_timeout(1.0)
        with suppress(TimeoutError):
            data = self.pipe.receive(65536)
            if not data:
                raise EOFError
            self.heard += self.talk.hear(data)
        return False

    def is_cut_off(self) -> bool:
        """Tell whether the agent has ended the connection."""
        try:
            self.hear()
        except (*BROKEN, SyncagentError):
            return True
        return False


@contextmanager
def rogue(
    cluster: Cluster, victim: str, versions: tuple[int, ...] = msg.VERSIONS
) -> Iterator[Rogue]:
    made = Rogue(cluster, cluster[victim], versions)
    try:
        yield made
    finally:
        made.pipe.interrupt()
        made.pipe.finish()


def test_noise_on_the_ssh_port_ends_nothing_but_its_own_connection(cluster: Cluster) -> None:
    manager = cluster.manager
    for data in (
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\0" * 100_000,
        b"SSH-2.0-x\r\n" + b"\xff" * 4000,
    ):
        with socket.create_connection(("127.0.0.1", manager.port), 10) as sock:
            sock.settimeout(30)
            with suppress(OSError):
                sock.sendall(data)
                while sock.recv(4096):
                    pass
    web = http.client.HTTPConnection("127.0.0.1", manager.port, timeout=10)
    web.request("GET", "/status")
    with pytest.raises((http.client.HTTPException, OSError)):
        web.getresponse()
    web.close()
    idle = [socket.create_connection(("127.0.0.1", manager.port), 10) for _ in range(40)]
    still_works(cluster, "noise")
    for sock in idle:
        sock.close()


def test_a_stranger_is_refused_listed_and_trusted_without_a_restart(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=3, sequences=3)
    with Cluster(tmp_path / "nodes", {"gw-1": tmp_path / "source", "gw-2": None}) as cluster:
        manager, worker = cluster.manager, cluster["gw-2"]
        cluster.write_settings(manager, {})
        cluster.start()
        until(lambda: manager.answer("strangers"), "the manager lists who it does not know")
        listed = manager.run("keys", "trust")
        assert "gw-2" in listed.stdout
        assert files_of(worker.tree) == {}
        refused = manager.run("keys", "trust", "gw-9")
        assert refused.returncode == 6
        done = manager.run("keys", "trust", "gw-2")
        assert done.returncode == 0, done.stderr
        cluster.wait_synced()
        assert manager.end() == 0
        cluster.start("gw-1")
        (manager.tree / "api/New.xml").write_bytes(api("New"))
        until((worker.tree / "api/New.xml").exists, "the key is still trusted after a restart")


def test_a_peer_that_breaks_the_protocol_is_cut_off(cluster: Cluster) -> None:
    for after_hello, data in (
        (False, b"GET / HTTP/1.1\r\n\r\n"),
        (False, PREFACE + b"\xff\xff\xff\xff" + b"x" * 1000),
        (True, b"\xff\xff\xff\xff" + b"x" * 1000),
        (True, frame(b"\x83" + b"no zstd at all")),
        (True, frame(b"\x7f" + b"no such message")),
        (True, frame(encode(msg.Hello((2,), "loopback", ROGUE, "again", "0"), 1))),
    ):
        with rogue(cluster, "gw-1") as peer:
            if after_hello:
                peer.greet()
            with suppress(*BROKEN):
                peer.pipe.send(data)
            until(peer.is_cut_off, f"cut off after {data[:20]!r}")
    still_works(cluster, "broken frames")


def test_an_older_protocol_is_spoken_and_an_unknown_one_told_why(cluster: Cluster) -> None:
    with rogue(cluster, "gw-1", versions=(2, 1)) as peer:
        peer.greet()
        assert peer.talk.version == 2
    with (
        rogue(cluster, "gw-1", versions=(99, 98)) as peer,
        pytest.raises(RefusedError, match="speaks protocol"),
    ):
        peer.greet()
    still_works(cluster, "other versions")


def offer_of(path: str, data: bytes, token: Token) -> bytes:
    entry = Entry(digest_of(data), len(data))
    changes = (Change(ArtifactPath(TreeName("synapse"), path), None, entry),)
    manifest = EMPTY.after(changes)
    revision = RevisionId(token.epoch, 1, manifest.digest)
    offer = msg.Offer(token, revision, REVISION_ZERO, ROGUE, "", (), changes)
    return frame(encode(offer, 2))


def test_a_path_that_leads_out_of_the_tree_is_refused_and_nothing_is_written(
    cluster: Cluster,
) -> None:
    worker = cluster["gw-2"]
    before = files_of(worker.tree)
    token = Token("loopback", 1000, ROGUE, "rogue")
    honest = offer_of("aa/bb/evil.xml", sequence("evil"), token)
    crooked = honest.replace(b"aa/bb/evil.xml", b"../../evil.xml")
    assert crooked != honest
    with rogue(cluster, "gw-2") as peer:
        peer.greet()
        peer.pipe.send(crooked)
        until(peer.is_cut_off, "cut off")
    assert not list(worker.folder.parent.rglob("evil.xml"))
    assert files_of(worker.tree) == before
    still_works(cluster, "a crooked path")


def test_an_offer_without_an_admitted_token_is_fenced(cluster: Cluster) -> None:
    worker = cluster["gw-2"]
    before = set(files_of(worker.tree))
    with rogue(cluster, "gw-2") as peer:
        peer.greet()
        peer.pipe.send(offer_of("api/Evil.xml", api("Evil"), Token("loopback", 1, ROGUE, "rogue")))
        until(
            lambda: peer.hear() or any(isinstance(each, msg.Fenced) for each in peer.heard),
            "fenced",
        )
        # In another node's name it may not speak at all.
        stolen = Token("loopback", 50, NodeName("gw-1"), "stolen")
        peer.pipe.send(frame(encode(msg.Admit(stolen), 2)))
        until(lambda: worker.own_row()["state"] == "Synced", "the worker is as it was")
    assert set(files_of(worker.tree)) == before
    assert worker.answer("status")["manager"] == "gw-1"
    still_works(cluster, "a token of nobody")


def test_a_flood_of_messages_and_nonsense_reports_do_not_fill_the_memory(cluster: Cluster) -> None:
    with rogue(cluster, "gw-1") as peer:
        peer.greet()
        with suppress(*BROKEN, ProtocolError):
            peer.pipe.send(frame(encode(msg.Report("[" * 100_000), 2)))
            peer.pipe.send(frame(encode(msg.Report('{"row": 7, "held": {"id": []}}'), 2)))
            peer.pipe.send(frame(encode(msg.Report('{"held": [{"id": null, "paths": 3}, 5]}'), 2)))
            for number in range(200):
                peer.pipe.send(frame(encode(msg.Report(f'"{number}' + "x" * 200_000 + '"'), 2)))
        assert cluster.manager.run("status").returncode == 0
        assert cluster.manager.run("get", "held").returncode == 0
        still_works(cluster, "a flood")
    assert cluster.manager.run("status").returncode == 0
