"""Real ZooKeeper on loopback: one server or three, with TLS or without.

    with ZooKeeper(folder) as zookeeper:
        zookeeper.start()
        store = ZooKeeperStore(ZooKeeperPlace(zookeeper.places, tick_s=TICK_S), "apim", timing)

Its tick is short, so that a session may be as short as two fifths of a second.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from kazoo.client import KazooClient

from tests.e2e.cluster import free_ports
from tests.servers.ensemble import Ensemble
from tests.servers.process import Server, need, program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.certificates import Authority
    from tests.servers.clock import Clock

JARS = Path("/usr/share/java")
JAR = JARS / "zookeeper.jar"
"""It names the jars it needs, but for those below, which TLS needs."""
CLASSES = ":".join(map(str, [JAR, *(JARS / f"netty-{part}.jar" for part in ("codec", "resolver"))]))
TICK_S = 0.2
SESSION_S_MAX = 20.0
ASK_S = 5.0
JAVA = (
    "-Xmx96m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dzookeeper.admin.enableServer=false",
)


class ZooKeeper(Ensemble):
    """An ensemble; each of `members` is a `Server` that can be hung or killed alone.

    `clock`: what its servers take for the time of day, if not the machine's.
    """

    def __init__(
        self,
        folder: Path,
        members: int = 1,
        authority: Authority | None = None,
        session_s_max: float = SESSION_S_MAX,
        clock: Clock | None = None,
    ) -> None:
        need(JAR.exists(), "ZooKeeper")
        ports = free_ports(3 * members)
        super().__init__(folder, ports[:members], authority)
        self._clock = clock
        self.session_s_max = session_s_max
        self._peers = list(zip(ports[members : 2 * members], ports[2 * members :], strict=True))
        self.members = [self._member(number) for number in range(members)]

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(f"127.0.0.1:{port}" for port in self.ports)

    def answers(self, member: int) -> bool:
        return "Mode: " in self.tell(member, "srvr")

    @contextmanager
    def hand(self) -> Iterator[KazooClient]:
        """What a person does in the store."""
        client = KazooClient(hosts=",".join(self.places))
        client.start()
        try:
            yield client
        finally:
            client.stop()
            client.close()

    def tell(self, member: int, word: str) -> str:
        """Send a four-letter word; return the answer, empty if there is none."""
        try:
            with self._connected(member) as connection:
                connection.sendall(word.encode())
                return connection.makefile("rb").read().decode()
        except OSError:
            return ""

    def _connected(self, member: int) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.ports[member]), ASK_S)
        if self.authority is None:
            return plain
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.load_cert_chain(*self.authority.issue("operator"))
        return context.wrap_socket(plain, server_hostname="127.0.0.1")

    def serving(self, session: int) -> int:
        """Return which server a session is connected to."""
        answering = [at for at, member in enumerate(self.members) if not member.hung]
        (found,) = [at for at in answering if f"sid=0x{session:x}," in self.tell(at, "cons")]
        return found

    def _member(self, number: int) -> Server:
        folder = self.folder / f"member-{number}"
        data = folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "myid").write_text(f"{number + 1}\n")
        lines = [
            f"tickTime={TICK_S * 1000:.0f}",
            f"maxSessionTimeout={self.session_s_max * 1000:.0f}",
            f"dataDir={data}",
            "maxClientCnxns=0",
            "4lw.commands.whitelist=srvr,cons",
            *self._door(number),
        ]
        if len(self.ports) > 1:
            lines += ["initLimit=20", "syncLimit=5"]
            lines += [
                f"server.{index + 1}=127.0.0.1:{quorum}:{election}"
                for index, (quorum, election) in enumerate(self._peers)
            ]
        (folder / "zoo.cfg").write_text("\n".join(lines) + "\n")
        command = [
            program("java"), *JAVA, "-cp", CLASSES,
            "org.apache.zookeeper.server.quorum.QuorumPeerMain", str(folder / "zoo.cfg"),
        ]  # fmt: skip
        return Server(command, folder, env=self._clock.env if self._clock else None)

    def _door(self, number: int) -> list[str]:
        port = self.ports[number]
        if self.authority is None:
            return [f"clientPort={port}", "clientPortAddress=127.0.0.1"]
        certificate, key = self.authority.issue("zookeeper")
        store = self.folder / "zookeeper.pem"
        store.write_text(key.read_text() + certificate.read_text())
        return [
            f"secureClientPort={port}",
            "secureClientPortAddress=127.0.0.1",
            "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory",
            f"ssl.keyStore.location={store}",
            f"ssl.trustStore.location={self.authority.certificate}",
            "ssl.keyStore.type=PEM",
            "ssl.trustStore.type=PEM",
            "ssl.clientAuth=need",
        ]
