"""Real etcd on loopback: one member or three, with TLS or without.

    with Etcd(folder, members=3) as etcd:
        etcd.start()
        store = EtcdStore(EtcdPlace(etcd.places), "apim", timing)
        etcd.members[0].hang()

Elections among the members take a fraction of a second, so that a lease may be as short as one.
"""

from __future__ import annotations

import base64
import json
import ssl
import urllib.request
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from tests.e2e.cluster import free_ports
from tests.servers.ensemble import Ensemble
from tests.servers.process import Server, program

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.servers.certificates import Authority
    from tests.servers.clock import Clock

HEARTBEAT_MS = 50
ELECTION_MS = 500
ASK_S = 5.0


class Etcd(Ensemble):
    """A cluster of `members`; each is a `Server` that can be hung or killed alone."""

    def __init__(
        self,
        folder: Path,
        members: int = 1,
        authority: Authority | None = None,
        clock: Clock | None = None,
    ) -> None:
        ports = free_ports(2 * members)
        super().__init__(folder, ports[:members], authority)
        self._clock = clock
        self.scheme = "https" if authority else "http"
        self.urls = tuple(f"{self.scheme}://127.0.0.1:{port}" for port in self.ports)
        self._peers = [f"http://127.0.0.1:{port}" for port in ports[members:]]
        self.members = [self._member(number) for number in range(members)]

    @property
    def places(self) -> tuple[str, ...]:
        return self.urls

    def answers(self, member: int) -> bool:
        try:
            with urllib.request.urlopen(
                f"{self.urls[member]}/health", timeout=ASK_S, context=self._context()
            ) as answer:
                return bool(json.load(answer)["health"] == "true")
        except (OSError, ValueError):
            return False

    def ask(self, path: str, question: Mapping[str, object], member: int = 0) -> dict[str, object]:
        """Ask a member directly, as an operator's tool would."""
        request = urllib.request.Request(
            f"{self.urls[member]}/v3/{path}", json.dumps(question).encode(), method="POST"
        )
        with urllib.request.urlopen(request, timeout=ASK_S, context=self._context()) as answer:
            found = json.load(answer)
        assert isinstance(found, dict)
        return found

    def put(self, key: str, value: str, **more: object) -> None:
        self.ask("kv/put", {"key": coded(key), "value": coded(value), **more})

    def delete(self, prefix: str) -> None:
        """Delete all keys that begin with `prefix`."""
        end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
        self.ask("kv/deleterange", {"key": coded(prefix), "range_end": coded(end)})

    def time_of_day(self) -> float:
        """Return what a member takes for the time."""
        with urllib.request.urlopen(
            f"{self.urls[0]}/health", timeout=ASK_S, context=self._context()
        ) as answer:
            return parsedate_to_datetime(answer.headers["Date"]).timestamp()

    def leader(self) -> int:
        """Return which member leads."""
        for number in range(len(self.members)):
            status = self.ask("maintenance/status", {}, number)
            header = status["header"]
            assert isinstance(header, dict)
            if header["member_id"] == status["leader"]:
                return number
        raise AssertionError("no member leads")

    def _member(self, number: int) -> Server:
        folder = self.folder / f"member-{number}"
        cluster = ",".join(f"m{index}={url}" for index, url in enumerate(self._peers))
        command = [
            program("etcd"),
            f"--name=m{number}",
            f"--data-dir={folder}/data",
            f"--listen-client-urls={self.urls[number]}",
            f"--advertise-client-urls={self.urls[number]}",
            f"--listen-peer-urls={self._peers[number]}",
            f"--initial-advertise-peer-urls={self._peers[number]}",
            f"--initial-cluster={cluster}",
            f"--heartbeat-interval={HEARTBEAT_MS}",
            f"--election-timeout={ELECTION_MS}",
        ]
        if self.authority:
            certificate, key = self.authority.issue("etcd")
            command += [
                f"--cert-file={certificate}",
                f"--key-file={key}",
                f"--trusted-ca-file={self.authority.certificate}",
                "--client-cert-auth",
            ]
        return Server(self._clock.before(command) if self._clock else command, folder)

    def _context(self) -> ssl.SSLContext | None:
        if self.authority is None:
            return None
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(*self.authority.issue("operator"))
        return context


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
