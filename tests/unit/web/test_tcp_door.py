"""The TCP door, plain and under TLS: what is open to all, what takes the token, who can't hold it up."""

from __future__ import annotations

import errno
import http.client
import json
import re
import socket
import ssl
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
from waitress.adjustments import Adjustments

from syncagent.core.errors import BusyError, SettingsError, UnreachableError
from syncagent.core.lease import Leadership
from syncagent.core.settings import HttpSettings
from syncagent.fsio import OsFS
from syncagent.web.channel import ANSWER_S, CONNECTIONS_MAX, DEAF_S, REQUEST_S, DoorServer
from syncagent.web.tcp import ASKING_MAX, HEADER_BYTES_MAX, TcpDoor, listen
from tests.fakes.board import TOKEN, WORKER, FakeBoard
from tests.fakes.desk import FakeDesk
from tests.servers.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from syncagent.core.desk import JSON


SECRET = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {SECRET}"}
PATIENCE_S = 20.0


@dataclass(frozen=True)
class Certificate:
    """The files of a certificate and its key, and who issued it."""

    certificate: Path
    key: Path
    authority: Authority

    def trusting(self) -> ssl.SSLContext:
        return self.authority.trusting()


def make_certificate(folder: Path) -> Certificate:
    authority = Authority(folder)
    return Certificate(*authority.issue("door"), authority)


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, object]:
        found = json.loads(self.body)
        assert isinstance(found, dict)
        return found


@dataclass
class Front:
    """A door that runs, and the ways to its other end."""

    folder: Path
    certificate: Certificate | None
    board: FakeBoard = field(default_factory=FakeBoard)
    desk: FakeDesk = field(default_factory=lambda: FakeDesk({"status": {"state": "Synced"}}))
    token: bool = True
    port: int = 0
    opened: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        secret = self.folder / "token"
        secret.touch(mode=0o600)
        secret.write_text(f"{SECRET}\n")
        held = self.certificate
        settings = HttpSettings(
            "127.0.0.1:0",
            str(secret) if self.token else "",
            str(held.certificate) if held else "",
            str(held.key) if held else "",
        )
        self.door = TcpDoor(settings, self.desk, self.board, OsFS(), {})
        self.port = self.door.start()

    def connect(self) -> socket.socket:
        """Return a TCP connection on which nothing was said."""
        made = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)
        self.opened.append(made)
        return made

    def secure(self) -> socket.socket:
        """Return a connection that can be spoken on."""
        raw = self.connect()
        if self.certificate is None:
            return raw
        made = self.certificate.trusting().wrap_socket(raw, server_hostname="127.0.0.1")
        self.opened.append(made)
        return made

    def ask(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: str = ""
    ) -> Answered:
        connection = self.http()
        try:
            connection.request(method, path, body or None, headers or {})
            response = connection.getresponse()
            return Answered(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def http(self) -> http.client.HTTPConnection:
        where = ("127.0.0.1", self.port)
        if self.certificate is None:
            return http.client.HTTPConnection(*where, timeout=PATIENCE_S)
        context = self.certificate.trusting()
        return http.client.HTTPSConnection(*where, timeout=PATIENCE_S, context=context)

    def close(self) -> None:
        for gate in self.desk.gates.values():
            gate.set()
        self.door.stop()
        for connection in self.opened:
            connection.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(params=["plain", "tls"])
def front(
    request: pytest.FixtureRequest, tmp_path: Path, certificate: Certificate
) -> Iterator[Front]:
    made = Front(tmp_path, certificate if request.param == "tls" else None)
    yield made
    made.close()


@pytest.fixture
def secured(tmp_path: Path, certificate: Certificate) -> Iterator[Front]:
    made = Front(tmp_path, certificate)
    yield made
    made.close()


def until(happened: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if happened():
            return
        pause.wait(0.01)
    pytest.fail("it did not happen within 20 s")


def rest(connection: socket.socket) -> bytes:
    """Return everything until the other end closes."""
    found = b""
    try:
        while part := connection.recv(65536):
            found += part
    except (ConnectionResetError, ssl.SSLError):
        return found
    return found


# --- what is open to all --------------------------------------------------------------------------


def test_a_worker_is_told_as_such(front: Front) -> None:
    assert front.ask("/worker").status == 200
    assert front.ask("/readyz").status == 200
    assert front.ask("/healthz").status == 200
    no = front.ask("/manager")
    assert no.status == 503
    assert no.json == {
        "ok": False,
        "reason": "gw-1 is not the manager",
        "node": "gw-1",
        "role": "worker",
        "revision": 7,
    }


def test_the_manager_is_one_to_the_end_of_its_lease_and_not_longer(front: Front) -> None:
    front.board.said = replace(WORKER, role="leading", token=TOKEN)
    front.board.believed = Leadership(TOKEN, 101.0)
    assert front.ask("/manager").status == 200
    assert front.ask("/worker").status == 503
    front.board.at = 101.0
    assert front.ask("/manager").status == 503, "the loop has not said anything new meanwhile"


def test_head_is_get_without_the_body(front: Front) -> None:
    for path in ("/manager", "/worker", "/readyz", "/healthz", "/status", "/metrics", "/nowhere"):
        whole, head = front.ask(path), front.ask(path, "HEAD")
        assert (head.status, head.body) == (whole.status, b"")
        assert head.headers["Content-Length"] == str(len(whole.body))


def test_status_is_what_was_published_with_its_age(front: Front) -> None:
    answer = front.ask("/status")
    assert answer.json == {"state": "Synced"}
    assert answer.headers["Age"] == "2"
    assert front.desk.asked == [], "the loop was not asked"
    front.board.told = None
    assert front.ask("/status").status == 503


def test_what_the_lease_store_said_is_told_with_the_token_only(front: Front) -> None:
    fault = "db-7.internal:5432 refuses apim_sync"
    status: JSON = {"leader": {"fault": fault, "why": f"it can't be asked: {fault}"}}
    front.board.told = (status, 98.0)
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = front.ask("/status", headers=headers)
        assert answer.status == 200
        assert "db-7" not in answer.body.decode()
    assert front.ask("/status", headers=BEARER).json == status


def test_metrics_are_text_of_the_version_that_prometheus_reads(front: Front) -> None:
    answer = front.ask("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    assert b"\nsyncagent_worker 1\n" in answer.body


def test_no_answer_says_what_program_made_it(front: Front) -> None:
    for path in ("/healthz", "/nowhere", "/" + "x" * 2 * HEADER_BYTES_MAX):
        answer = front.ask(path)
        assert "Server" not in answer.headers
        assert b"waitress" not in answer.body


def test_what_is_not_here_and_what_is_not_taken_is_said(front: Front) -> None:
    assert front.ask("/").status == 404
    assert front.ask("/v1/status", "HEAD", BEARER).body == b""
    refused = front.ask("/manager", "POST", body="x")
    assert (refused.status, refused.headers["Allow"]) == (405, "GET, HEAD")


# --- what takes the token -------------------------------------------------------------------------


def test_with_the_token_everything_can_be_asked(front: Front) -> None:
    answer = front.ask("/v1/status", "POST", BEARER, "{}")
    assert answer.json == {"ok": True, "result": {"state": "Synced"}}
    assert front.ask("/v1/status", "POST", {"Authorization": f"bEARER {SECRET}"}).status == 200


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {SECRET}x",
        f"Bearer {SECRET[:-1]}",
        f"Basic {SECRET}",
        SECRET,
        "Bearer käse",
    ],
)
def test_without_the_right_token_nothing_reaches_the_desk(front: Front, given: str) -> None:
    headers = {"Authorization": given.encode("utf-8").decode("latin-1")} if given else {}
    for verb in ("status", "diff", "approve", "nonsense"):
        refused = front.ask(f"/v1/{verb}", "POST", headers, "{}")
        assert refused.status == 401
        assert refused.headers["Www-Authenticate"].startswith("Bearer")
    assert front.desk.asked == []


def test_without_a_configured_token_the_network_may_not_ask_at_all(tmp_path: Path) -> None:
    front = Front(tmp_path, None, token=False)
    try:
        refused = front.ask("/v1/status", "POST", {"Authorization": "Bearer "}, "{}")
        assert refused.status == 403
        assert "token_file" in str(refused.json["error"])
        assert front.ask("/manager", "HEAD").status == 503
    finally:
        front.close()


def test_questions_to_a_loop_that_hangs_leave_threads_for_load_balancers(front: Front) -> None:
    front.desk.gates["status"] = threading.Event()
    waiting = [front.http() for _ in range(ASKING_MAX)]
    for connection in waiting:
        connection.request("POST", "/v1/status", "{}", BEARER)
    until(lambda: len(front.desk.asked) == ASKING_MAX)
    assert front.ask("/worker").status == 200
    refused = front.ask("/v1/status", "POST", BEARER, "{}")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    front.desk.gates["status"].set()
    for connection in waiting:
        assert connection.getresponse().status == 200
        connection.close()


# --- who can't hold it up -------------------------------------------------------------------------


def test_connections_that_say_nothing_give_way_to_who_asks(front: Front) -> None:
    silent = [front.connect() for _ in range(CONNECTIONS_MAX + 20)]
    assert front.ask("/healthz").status == 200
    assert rest(silent[0]) == b"", "the one that had been silent the longest was closed"


def test_handshakes_that_fail_or_stop_half_way_harm_nobody(secured: Front) -> None:
    secured.connect().sendall(b"\x16\x03\x01\x02\x00\x01\x00")  # the beginning of a ClientHello
    plain = secured.connect()
    plain.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert b"200" not in rest(plain)
    stranger = ssl.create_default_context()
    with pytest.raises(ssl.SSLCertVerificationError), secured.connect() as raw:
        stranger.wrap_socket(raw, server_hostname="127.0.0.1")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with secured.connect() as raw, old.wrap_socket(raw) as wrapped:
        wrapped.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert rest(wrapped).startswith(b"HTTP/1.0 200")
    assert secured.ask("/healthz").status == 200


def test_a_request_that_comes_byte_by_byte_is_answered_beside_others(front: Front) -> None:
    slow = front.secure()
    for byte in b"GET /worker HTTP/1.0\r\n":
        slow.sendall(bytes([byte]))
    assert front.ask("/healthz").status == 200
    slow.sendall(b"\r\n")
    assert rest(slow).startswith(b"HTTP/1.0 200")


def test_a_request_that_is_not_whole_in_time_is_given_up(front: Front) -> None:
    silent, slow, kept = front.connect(), front.secure(), front.secure()
    slow.sendall(b"GET /worker HTTP/1.1\r\nX: ")
    kept.sendall(b"GET /worker HTTP/1.1\r\nHost: a\r\n\r\n")
    answer = b""
    while not answer.endswith(b"}\n"):
        answer += kept.recv(65536)
    front.board.at += REQUEST_S
    assert front.ask("/healthz").status == 200, "the bound itself is in time"
    front.board.at += 1.0
    front.board.said = replace(WORKER, at=front.board.at)
    for connection in (silent, slow, kept):
        assert rest(connection) == b""
    assert front.ask("/worker").status == 200


def test_an_answer_that_nobody_takes_is_given_up(front: Front) -> None:
    front.desk.answers["artifacts"] = ["x" * 1000] * 20000
    connection = front.http()
    connection.request("POST", "/v1/artifacts", "{}", BEARER)
    until(lambda: len(front.desk.asked) == 1)
    connection.sock.recv(1000)
    front.board.at += REQUEST_S + 1.0
    front.board.said = replace(WORKER, at=front.board.at)
    assert front.ask("/worker").status == 200
    assert len(connection.sock.recv(100_000)) > 0, "a slow reader has more time than that"
    front.board.at += ANSWER_S + 1.0
    assert len(rest(connection.sock)) < 20_000_000, "it was cut off"
    connection.close()


def test_headers_and_bodies_over_the_limit_are_refused(front: Front) -> None:
    with front.secure() as connection:
        connection.sendall(b"GET /worker HTTP/1.1\r\nX: " + b"x" * (HEADER_BYTES_MAX + 1))
        assert b" 431 " in rest(connection)
    with front.secure() as connection:
        head = f"POST /v1/status HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {SECRET}\r\n"
        connection.sendall(head.encode() + b"Content-Length: 9999999\r\n\r\n")
        assert b" 413 " in rest(connection)
    assert front.desk.asked == []


def test_requests_one_after_the_other_on_one_connection_are_answered_in_order(
    front: Front,
) -> None:
    with front.secure() as connection:
        ask = b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n"
        last = b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        connection.sendall(ask % b"/worker" + ask % b"/manager" + ask % b"/nowhere" + last)
        statuses = re.findall(rb"HTTP/1\.1 (\d+)", rest(connection))
    assert statuses == [b"200", b"503", b"404", b"200"]


def test_an_answer_of_many_records_arrives_whole_at_a_slow_reader(front: Front) -> None:
    big = ["x" * 1000] * 6000
    front.desk.answers["artifacts"] = big
    connection = front.http()
    connection.request("POST", "/v1/artifacts", "{}", BEARER)
    response = connection.getresponse()
    assert front.ask("/healthz").status == 200, "others are answered meanwhile"
    parts = b""
    while part := response.read(100_000):
        parts += part
    assert json.loads(parts)["result"] == big
    connection.close()


def test_many_at_once_are_all_answered(front: Front) -> None:
    found: list[int] = []

    def ask_some() -> None:
        found.extend(front.ask("/worker").status for _ in range(10))

    threads = [threading.Thread(target=ask_some) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert found == [200] * 100


def test_a_client_that_leaves_in_the_middle_of_its_answer_harms_nobody(front: Front) -> None:
    front.desk.answers["artifacts"] = ["x" * 1000] * 6000
    for _ in range(5):
        connection = front.http()
        connection.request("POST", "/v1/artifacts", "{}", BEARER)
        connection.close()
    until(lambda: front.ask("/v1/status", "POST", BEARER, "{}").status == 200)


def test_a_door_that_is_shut_leaves_no_thread_and_no_listener(front: Front) -> None:
    idle = front.secure()
    front.door.stop()
    assert rest(idle) == b""
    with pytest.raises(ConnectionRefusedError):
        front.connect()
    assert not [t for t in threading.enumerate() if t.name.startswith(("door", "waitress"))]


# --- its secrets ----------------------------------------------------------------------------------


def test_a_new_certificate_and_token_are_taken_up_while_it_runs(
    tmp_path: Path, certificate: Certificate
) -> None:
    own = make_certificate(tmp_path)
    front = Front(tmp_path, own)
    try:
        before = front.http()
        before.request("GET", "/healthz")
        assert before.getresponse().read()
        new = make_certificate(tmp_path / "new")
        own.certificate.write_bytes(new.certificate.read_bytes())
        with pytest.raises(SettingsError, match=r"can't be used: .*mismatch"):
            front.door.take_up()
        own.key.write_bytes(new.key.read_bytes())
        (tmp_path / "token").write_text("another-token-of-some-length")
        front.door.take_up()
        front.certificate = new
        assert front.ask("/healthz").status == 200, "trusting only the new certificate"
        assert front.ask("/v1/status", "POST", BEARER).status == 401
        before.request("GET", "/healthz")
        assert before.getresponse().status == 200, "a connection of before goes on"
        before.close()
    finally:
        front.close()


def test_an_address_that_is_taken_or_not_here_is_said(front: Front) -> None:
    with pytest.raises(BusyError, match="another process listens there"):
        listen(f"127.0.0.1:{front.port}")
    with pytest.raises(UnreachableError, match=r"192\.0\.2\.1"):
        listen("192.0.2.1:0")


# --- nonsense -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /manager HTTP/9.9\r\n\r\n",
        b"GET http://[/manager HTTP/1.1\r\n\r\n",
        b"GET /%00%ff%zz HTTP/1.1\r\n\r\n",
        b"BREW /manager HTTP/1.1\r\n\r\n",
        b"GET /manager HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET /manager HTTP/1.1\r\nA: b\r\n c: folded\r\n\r\n",
        b"POST /v1/status HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/status HTTP/1.1\r\nContent-Length: 5, 6\r\n\r\n",
        b"POST /v1/status HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/status HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /v1/../manager HTTP/1.0\r\n\r\n",
        b"GET //manager HTTP/1.0\r\n\r\n",
        b"GET /manager;x=/v1/status HTTP/1.0\r\n\r\n",
    ],
)
def test_nonsense_is_refused_and_nobody_is_the_worse_for_it(
    front: Front, caplog: pytest.LogCaptureFixture, nonsense: bytes
) -> None:
    with front.secure() as connection:
        connection.sendall(nonsense + b"GET / HTTP/1.0\r\nConnection: close\r\n\r\n")
        answer = rest(connection)
    statuses = {int(status) for status in re.findall(rb"HTTP/1\.[01] (\d+)", answer)}
    assert statuses <= {400, 401, 404, 405, 501, 503}, answer
    assert statuses or b"http://[" in nonsense, "it is told, or cut off"
    assert front.ask("/worker").status == 200
    assert front.desk.asked == []
    assert [record.getMessage() for record in caplog.records] == []


# --- what the machine refuses ---------------------------------------------------------------------


class Exhausted(DoorServer):  # type: ignore[misc]  # waitress has no types
    """A listening socket of a process that has no descriptor left."""

    at = 100.0
    fault = errno.EMFILE

    def accept(self) -> None:
        raise OSError(self.fault, "no more")


def exhausted() -> Exhausted:
    listener = listen("127.0.0.1:0")
    server = Exhausted(
        print,
        {},
        _sock=listener,
        dispatcher=object(),
        adj=Adjustments(),
        bind_socket=False,
        sockinfo=(listener.family, listener.type, listener.proto, listener.getsockname()),
    )
    server.clock = lambda: server.at
    return server


def test_without_descriptors_it_looks_again_later_and_does_not_spin() -> None:
    server = exhausted()
    assert server.readable()
    server.handle_accept()
    assert not server.readable()
    server.at += DEAF_S
    assert server.readable()
    server.close()


def test_a_connection_that_is_gone_before_it_is_taken_is_no_reason_to_wait() -> None:
    server = exhausted()
    server.fault = errno.ECONNABORTED
    server.handle_accept()
    assert server.readable()
    server.close()
