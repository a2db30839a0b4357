"""A real HAProxy with `config/haproxy.cfg`, and stand-ins for the products behind it.

    front = Proxy(folder, authority, doors_port)
    with front, Products(authority, front) as products: ...

Each node has an address of its own on loopback (127.0.0.11 for 10.0.0.11), as in the file. A product
notes each request that reaches it, with the instant; a client keeps its cookie and asks again for as
long as it takes, as the Publisher's user would.
"""

from __future__ import annotations

import http.client
import http.server
import re
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.e2e.cluster import free_ports
from tests.servers.process import Server, program

if TYPE_CHECKING:
    from types import TracebackType

    from tests.servers.certificates import Authority

CONFIG = Path(__file__).resolve().parents[2] / "config/haproxy.cfg"
HERE = "127.0.0.10"
"""HAProxy's own address."""
NODES = {"gw-1": "127.0.0.11", "gw-2": "127.0.0.12", "gw-3": "127.0.0.13"}
PAUSE_S = 0.02
REQUEST_S = 30.0


def now() -> float:
    """Return wall time, which the agents' events have too."""
    return time.clock_gettime(time.CLOCK_REALTIME)


@dataclass(frozen=True)
class Served:
    """A request that reached a product; `at` is wall time, as in the agents' events."""

    node: str
    at: float
    number: str


@dataclass(frozen=True)
class Answered:
    """A request that a client sent and that was answered."""

    node: str
    sent: float
    answered: float


class Proxy(Server):
    """HAProxy on loopback. `management` and `apis` are its ports, `door` that of the agents."""

    def __init__(self, folder: Path, authority: Authority) -> None:
        haproxy = program("haproxy")
        ports = free_ports(5)
        self.management, self.apis, self.products, self.gateways, self.door = ports
        folder.mkdir(parents=True, exist_ok=True)
        certificate, key = authority.issue("lb")
        both = folder / "lb.pem"
        both.write_bytes(certificate.read_bytes() + key.read_bytes())
        self.file = folder / "haproxy.cfg"
        self.file.write_text(self._text(str(both), str(authority.certificate)))
        super().__init__([haproxy, "-db", "-f", str(self.file)], folder)
        self.program = haproxy

    def _text(self, certificate: str, authority: str) -> str:
        """Return the file with addresses, ports and certificates of this machine."""
        text = CONFIG.read_text()
        for there, here in (
            ("bind 0.0.0.0:9443", f"bind {HERE}:{self.management}"),
            ("bind 0.0.0.0:8243", f"bind {HERE}:{self.apis}"),
            ("port 7480", f"port {self.door}"),
            ("/etc/haproxy/lb.pem", certificate),
            ("/etc/haproxy/nodes-ca.pem", authority),
            ("log /dev/log local0", "log stdout format raw local0"),
        ):
            assert there in text, there
            text = text.replace(there, here)
        text = re.sub(r"10\.0\.0\.(1[123]):9443", rf"127.0.0.\1:{self.products}", text)
        return re.sub(r"10\.0\.0\.(1[123]):8243", rf"127.0.0.\1:{self.gateways}", text)


class _Product(http.server.ThreadingHTTPServer):
    """A node's product, or its gateway; both over TLS."""

    daemon_threads = True

    def __init__(self, node: str, port: int, context: ssl.SSLContext, served: list[Served]) -> None:
        super().__init__((NODES[node], port), _Handler)
        self.node = node
        self.served = served
        self.released = threading.Event()
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes, or whose session was shut, is what happens here."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Product

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer()

    def _answer(self) -> None:
        if self.path != "/services/Version":
            self.server.served.append(Served(self.server.node, now(), self.path))
        if self.path.endswith("/slow"):
            self.server.released.wait(REQUEST_S)
        body = self.server.node.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "JSESSIONID=0123456789ABCDEF; Path=/; Secure; HttpOnly")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Requests are noted elsewhere."""


class Products:
    """A product and a gateway per node."""

    def __init__(self, authority: Authority, proxy: Proxy) -> None:
        self.published: list[Served] = []
        self.called: list[Served] = []
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue("node"))
        self._servers = [
            _Product(node, port, context, served)
            for node in NODES
            for port, served in ((proxy.products, self.published), (proxy.gateways, self.called))
        ]
        self._threads = [threading.Thread(target=each.serve_forever) for each in self._servers]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for server in self._servers:
            server.released.set()
            server.shutdown()
            server.server_close()
        for thread in self._threads:
            thread.join()


@dataclass
class Client:
    """Asks one thing after another, in a thread of its own, from `start` to `stop`.

    With `patient` it asks again where nobody answers; without, that is a failure.
    """

    port: int
    context: ssl.SSLContext
    name: str
    patient: bool = True
    answers: list[Answered] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    cookie: str = ""

    def __post_init__(self) -> None:
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask_on)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def ask(self, path: str) -> str:
        """Send one request; return who answered, or nothing where nobody did."""
        headers = {"Cookie": self.cookie} if self.cookie else {}
        link = http.client.HTTPSConnection(HERE, self.port, timeout=REQUEST_S, context=self.context)
        sent = now()
        with suppress(OSError, http.client.HTTPException):
            link.request("POST", path, "<api/>", headers)
            response = link.getresponse()
            node = response.read().decode()
            if response.status == HTTPStatus.OK:
                self.answers.append(Answered(node, sent, now()))
                self.cookie = (response.getheader("Set-Cookie") or self.cookie).partition(";")[0]
                link.close()
                return node
        link.close()
        return ""

    def _ask_on(self) -> None:
        number = 0
        while not self._stopping.wait(PAUSE_S):
            number += 1
            if not self.ask(f"/{self.name}/{number}") and not self.patient:
                self.failures.append(f"{self.name}/{number}")
