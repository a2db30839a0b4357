"""Real PostgreSQL and MariaDB on loopback, each in a folder of its own, never the machine's own ones.

    with PostgreSQL() as server:
        server.start()
        store = SqlStore(StoreUrl(server.url), "apim", timing)
        server.hang(); server.wake(); server.kill(); server.start()

Nothing is synced to the disk: tests kill processes, not machines. PostgreSQL refuses to run as root:
then it runs as a user of its package, in a folder that this user can reach.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Final

import psycopg
import pymysql

from tests.e2e.cluster import Place, free_ports
from tests.servers.clock import Clock
from tests.servers.ends import Ends
from tests.servers.process import Server, need, program, reached

DATABASE: Final = "syncagent"
USER: Final = "agent"
PASSWORD: Final = "s3cret"
ASK_S: Final = 5


class Database(Ends):
    """What both have in common. A subclass makes `server` and says when it `answers`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="syncagent-database-", dir="/tmp"))
        self.port = free_ports(1)[0]
        try:
            self.server = self._make()
        except BaseException:
            shutil.rmtree(self.folder)
            raise

    def end(self) -> None:
        self._end()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        if not self.server.running:
            self.server.start()
        self.server.wait_ready(self.answers)

    def stop(self) -> None:
        self.server.stop()

    def hang(self) -> None:
        """Stop all its processes where they are; its sockets stay open."""
        self._signal_all(signal.SIGSTOP)

    def wake(self) -> None:
        """Have it go on; quiet if it does not run."""
        if self.server.running:
            self._signal_all(signal.SIGCONT)

    def kill(self) -> None:
        """End it with SIGKILL, with all its processes; quiet if it does not run."""
        children = self._children()
        self.server.kill()
        for pid in children:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        reached(lambda: not any(map(_alive, children)), "its processes have ended")

    @property
    def url(self) -> str:
        return self.url_at(self.port)

    @abstractmethod
    def url_at(self, port: int) -> str:
        """The URL by another port: a proxy's."""

    @abstractmethod
    def ask(self, statement: str) -> list[tuple[object, ...]]:
        """Ask it directly, as an administrator would; return the rows, if there are any."""

    @abstractmethod
    def connections(self) -> int:
        """How many connections candidates have."""

    @abstractmethod
    def answers(self) -> bool:
        """Tell whether it takes connections."""

    @abstractmethod
    def _make(self) -> Server:
        """Make its folder's content, and the process that is to be started."""

    def _end(self) -> None:
        """End it for good."""
        self.kill()

    def _signal_all(self, number: signal.Signals) -> None:
        assert self.server.process is not None, "it was not started"
        for pid in [self.server.process.pid, *self._children()]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _children(self) -> list[int]:
        """The processes that the server started for its connections: none is in its group."""
        process = self.server.process
        if process is None:
            return []
        with suppress(FileNotFoundError):
            tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
            return [int(pid) for pid in tasks.split()]
        return []


class PostgreSQL(Database):
    """`clock`: its processes get their time from libfaketime, and `step_clock` moves it.

    `place`: where it runs, if not on loopback. Its administrator comes by a socket in its folder.
    """

    def __init__(self, *, clock: bool = False, place: Place = Place()) -> None:  # noqa: B008 - frozen
        self._has_clock = clock
        self._clock: Clock | None = None
        self._place = place
        super().__init__()

    def url_at(self, port: int) -> str:
        where = f"{self._place.address}:{port}"
        return f"postgresql://{USER}:{PASSWORD}@{where}/{DATABASE}?sslmode=disable"

    def step_clock(self, seconds: int) -> None:
        """Have its clock stand `seconds` before or behind ours, from now on."""
        assert self._clock, "it has our clock"
        self._clock.step(seconds)

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        url = f"postgresql://postgres@/{DATABASE}?host={self.folder}&port={self.port}"
        with psycopg.connect(url, connect_timeout=ASK_S, autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchall() if done.description else []

    def connections(self) -> int:
        return len(self.ask(f"SELECT 1 FROM pg_stat_activity WHERE usename = '{USER}'"))

    def answers(self) -> bool:
        try:
            return bool(self.ask("SELECT 1"))
        except psycopg.OperationalError:
            return False

    def _end(self) -> None:
        """Have it give its shared memory back, which outlives it if it is killed."""
        if self.server.running:
            self.wake()
            self.server.quit()
        self.kill()

    def _make(self) -> Server:
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        need(found, "postgres")
        data = self.folder / "data"
        as_user = self._as_user()
        initdb = [str(found[-1].parent / "initdb"), "--pgdata", str(data), "--username=postgres"]
        how = ["--auth=trust", "--no-sync", "--locale=C", "--encoding=UTF8"]
        subprocess.run([*as_user, *initdb, *how], check=True, capture_output=True)
        # Only what comes over the wire with a password gets in, but for the administrator.
        (data / "pg_hba.conf").write_text("host all all all scram-sha-256\nlocal all all trust\n")
        script = (
            f"CREATE DATABASE {DATABASE};\nCREATE USER {USER} PASSWORD '{PASSWORD}';\n"
            f"ALTER DATABASE {DATABASE} OWNER TO {USER};\n"
        )
        single = [str(found[-1]), "--single", "-D", str(data), "postgres"]
        subprocess.run([*as_user, *single], input=script.encode(), check=True, capture_output=True)
        options = {
            "listen_addresses": self._place.address,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "150",
            "shared_buffers": "8MB",
            "dynamic_shared_memory_type": "mmap",
            "fsync": "off",
            "log_min_messages": "log",
        }
        arguments = [f"-c{key}={value}" for key, value in options.items()]
        # `env` comes after the change of user: what it preloads has to be that user's.
        self._clock = Clock(self.folder) if self._has_clock else None
        preloaded = self._clock.env if self._clock else {}
        env = [program("env"), *(f"{key}={value}" for key, value in preloaded.items())]
        return Server(
            [*self._place.prefix, *as_user, *env, str(found[-1]), "-D", str(data), *arguments],
            self.folder,
        )

    def _as_user(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        owner = pwd.getpwnam("postgres")
        os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        return [
            program("setpriv"),
            f"--reuid={owner.pw_uid}",
            f"--regid={owner.pw_gid}",
            "--clear-groups",
        ]


class MariaDB(Database):
    """Its threads are all in one process."""

    def url_at(self, port: int) -> str:
        return f"mariadb://{USER}:{PASSWORD}@127.0.0.1:{port}/{DATABASE}"

    def connections(self) -> int:
        return len(self.ask(f"SELECT 1 FROM information_schema.processlist WHERE user = '{USER}'"))

    def ask(self, statement: str) -> list[tuple[object, ...]]:
        connection = pymysql.connect(
            user="root",
            unix_socket=str(self.folder / "socket"),
            database=DATABASE,
            connect_timeout=ASK_S,
            read_timeout=ASK_S,
            autocommit=True,
        )
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def answers(self) -> bool:
        """It listens for others only after it has read its first statements."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), ASK_S):
            try:
                return bool(self.ask("SELECT 1"))
            except pymysql.Error:
                return False
        return False

    def _make(self) -> Server:
        data = self.folder / "data"
        user = pwd.getpwuid(os.geteuid()).pw_name
        install = [
            program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={data}",
            f"--user={user}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
        subprocess.run(install, check=True, capture_output=True)
        first = self.folder / "first.sql"
        first.write_text(
            f"CREATE DATABASE IF NOT EXISTS {DATABASE};\n"
            f"CREATE USER IF NOT EXISTS '{USER}'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}';\n"
            f"GRANT ALL ON {DATABASE}.* TO '{USER}'@'127.0.0.1';\n"
        )
        options = {
            "datadir": str(data),
            "user": user,
            "bind-address": "127.0.0.1",
            "port": str(self.port),
            "socket": str(self.folder / "socket"),
            "pid-file": str(self.folder / "pid"),
            "init-file": str(first),
            "max-connections": "150",
            "innodb-flush-log-at-trx-commit": "2",
            "innodb-buffer-pool-size": "8M",
            "skip-name-resolve": "ON",
        }
        arguments = [f"--{key}={value}" for key, value in options.items()]
        return Server([program("mariadbd"), "--no-defaults", *arguments], self.folder)


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
