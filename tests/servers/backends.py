"""What the lease may be kept in, as a table of makers: one suite runs over all of them.

A backend is a server that tests can hang, kill and start again, and whose records they can alter by
hand as an operator or a restored backup would. Each test takes a cluster's name of its own.
"""

from __future__ import annotations

import sqlite3
import tempfile
from abc import abstractmethod
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

from syncagent.core.storeurl import StoreUrl
from syncagent.leases.lease_table import make_lease_table
from tests.servers.backend import Backend, WithClock
from tests.servers.consensus import EtcdBackend, EtcdWithClock, ZooKeeperBackend, ZooKeeperWithClock
from tests.servers.databases import Database, MariaDB, PostgreSQL
from tests.servers.places import Place

if TYPE_CHECKING:
    from collections.abc import Callable


class SqlBackend(Backend):
    """A table in any database."""

    taking = b"INSERT INTO syncagent_lease"
    renewing = b"SET seq = seq + 1"

    @abstractmethod
    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """Ask the database as its administrator."""

    def forget(self, cluster: str) -> None:
        self.ask(f"DELETE FROM syncagent_lease WHERE name = '{cluster}'")

    def usurp(self, cluster: str) -> None:
        self.ask(f"UPDATE syncagent_lease SET holder = 'by-hand' WHERE name = '{cluster}'")

    def rewind(self, cluster: str, epoch: int) -> None:
        self.ask(
            f"UPDATE syncagent_lease SET holder = '', epoch = {epoch}, seq = 0 "
            f"WHERE name = '{cluster}'"
        )


class SqliteFile:
    """A file. It hangs while another process has it locked, and is gone while it is moved away."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._away = path.with_suffix(".away")
        self._locker: sqlite3.Connection | None = None

    def start(self) -> None:
        if self._away.exists():
            self._away.rename(self.path)

    def kill(self) -> None:
        self.path.rename(self._away)

    def hang(self) -> None:
        self._locker = sqlite3.connect(self.path, isolation_level=None, timeout=20.0)
        self._locker.execute("BEGIN EXCLUSIVE")

    def wake(self) -> None:
        locker, self._locker = self._locker, None
        if locker is not None:
            locker.execute("ROLLBACK")
            locker.close()


class SqliteBackend(SqlBackend):
    """A file, for nodes of one host."""

    def begin(self) -> None:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix="syncagent-sqlite-"))
        self.path = Path(folder) / "lease.db"
        self.server = SqliteFile(self.path)
        make_lease_table(StoreUrl(self.place().at))

    def place(self, port: int = 0) -> Place:
        assert not port, "a file has no port"
        return Place("sql", f"sqlite:///{self.path}")

    def connections(self) -> int:
        links = Path("/proc/self/fd").iterdir()
        return sum(1 for link in links if link.is_symlink() and _leads_to(link, self.path))

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(self.path, isolation_level=None, timeout=20.0)) as connection:
            return connection.execute(statement).fetchall()


class ServerBackend(SqlBackend):
    """A database server."""

    server: Database
    maker: Callable[[], Database]

    def begin(self) -> None:
        self.server = self.stack.enter_context(self.maker())
        self.port = self.server.port
        self.server.start()
        make_lease_table(StoreUrl(self.place().at))

    def place(self, port: int = 0) -> Place:
        return Place("sql", self.server.url_at(port or self.port))

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        return self.server.ask(statement)

    def connections(self) -> int:
        return self.server.connections()


class PostgreSQLBackend(ServerBackend):
    maker = PostgreSQL


class PostgreSQLWithClock(PostgreSQLBackend, WithClock):
    """One whose clock can be stepped."""

    def begin(self) -> None:
        self.with_clock = PostgreSQL(clock=True)
        self.maker = lambda: self.with_clock
        super().begin()

    def step_clock(self, seconds: int) -> None:
        self.with_clock.step_clock(seconds)

    def time_of_day(self) -> float:
        told = self.ask("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0]
        assert isinstance(told, float)
        return told


class MariaDBBackend(ServerBackend):
    maker = MariaDB


MAKERS: Final[dict[str, Callable[[], Backend]]] = {
    "sqlite": SqliteBackend,
    "postgresql": PostgreSQLBackend,
    "mariadb": MariaDBBackend,
    "etcd": EtcdBackend,
    "zookeeper": ZooKeeperBackend,
}
"""All of them, by name. Those but `sqlite` start a real server."""

WITH_CLOCK: Final[dict[str, Callable[[], WithClock]]] = {
    "postgresql": PostgreSQLWithClock,
    "etcd": EtcdWithClock,
    "zookeeper": ZooKeeperWithClock,
}
"""Those whose clock can be stepped. All databases are sent the same statements: one shows it."""


def _leads_to(link: Path, path: Path) -> bool:
    try:
        return link.readlink() == path
    except OSError:
        return False
