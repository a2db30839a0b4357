"""One connection to a database, and how each kind of database is kept from hanging.

Limits are needed in three places: for the connection, for the statement in the server, and for
the socket, because a server that was stopped or cut off heeds no limit of its own. PyMySQL has all
three. psycopg waits for an answer as long as the socket is open, and the kernel of a machine whose
server process stands still goes on confirming what it gets: a `Leash` shuts the socket down then.
SQLite only ever waits for another process's lock.
"""

from __future__ import annotations

import math
import os
import socket
import threading
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from syncagent.core.lease import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import Connection, Dialect, Engine, TextClause
    from sqlalchemy.engine.interfaces import DBAPIConnection

    from syncagent.core.storeurl import StoreUrl

    Arguments = dict[str, object]


TABLE: Final = "syncagent_lease"
_PSYCOPG_CONNECT_S_MIN: Final = 2
"""psycopg takes no shorter limit for connecting."""
_PG_NO_TABLE: Final = "42P01"
_MYSQL_NO_TABLE: Final = 1146
_MYSQL_ARGS: Final = 2


class Database:
    """A connection that is made when it is needed and thrown away after any failure.

    `makes_file`: an SQLite database that is not there is made. Any thread may call any method; one
    waits for the other. Raises ImportError if the driver is not installed.
    """

    def __init__(self, url: StoreUrl, operation_s: float, *, makes_file: bool = False) -> None:
        self._url = url
        self._limit_s = operation_s
        self._makes_file = makes_file
        self._lock = threading.Lock()
        self._leash = Leash(operation_s)
        self._engine = self._make_engine()
        self._connection: Connection | None = None

    def look(self, statement: TextClause, values: Mapping[str, str | int]) -> list[object] | None:
        """Return the first row of an answer, None if it has none. Raises like `change`."""
        with self._kept() as connection:
            row = connection.execute(statement, values).first()
            return None if row is None else list(row)

    def change(self, statement: TextClause, values: Mapping[str, str | int]) -> int:
        """Carry out one statement, which commits by itself; return how many rows it changed.

        Raises SQLAlchemyError, TimeoutError.
        """
        with self._kept() as connection:
            return connection.execute(statement, values).rowcount

    def run_file(self, name: str) -> None:
        """Carry out the one statement in a file of this package. Raises like `change`."""
        statement = resources.files("syncagent.leases").joinpath(name).read_text(encoding="utf-8")
        with self._kept() as connection:
            connection.exec_driver_sql(statement)

    def has_table(self) -> bool:
        """Tell whether the lease's table is there, for this user. Raises like `change`."""
        with self._kept() as connection:
            return self._engine.dialect.has_table(connection, TABLE)

    def close(self) -> None:
        """Close the connection; one that hangs is left to the end of the process."""
        if not self._lock.acquire(timeout=self._limit_s):
            return
        try:
            self._drop()
        finally:
            self._lock.release()

    @contextmanager
    def _kept(self) -> Iterator[Connection]:
        """Give the connection, for one statement."""
        with self._lock:
            try:
                with self._leash.held():
                    if self._connection is None:
                        self._connection = self._engine.connect()
                    yield self._connection
            except (SQLAlchemyError, OSError) as error:
                self._drop()
                if self._leash.pulled:
                    what = f"it did not answer within {self._limit_s:g} s"
                    raise TimeoutError(what) from error
                raise

    def _drop(self) -> None:
        """Close the connection hard: nothing is sent over it that could hang."""
        connection, self._connection = self._connection, None
        self._leash.let_go()
        if connection is not None:
            connection.invalidate()
            connection.close()

    def _make_engine(self) -> Engine:
        engine = create_engine(
            self._url.complete,
            poolclass=NullPool,
            pool_reset_on_return=None,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
        )
        connect = {
            "sqlite": self._connect_sqlite,
            "postgresql": self._connect_postgresql,
            "mysql": self._connect_mysql,
            "mariadb": self._connect_mysql,
        }
        event.listen(engine, "do_connect", connect[self._url.kind])
        return engine

    # How each is connected. `arguments` are what the URL says, and may be changed.

    def _connect_sqlite(
        self, _dialect: Dialect, _record: object, places: list[str], arguments: Arguments
    ) -> None:
        mode = "rwc" if self._makes_file else "rw"
        places[:] = [f"file:{quote(self._url.path)}?mode={mode}"]
        # The elector's threads take turns; this class lets one in at a time.
        arguments |= {"uri": True, "timeout": self._limit_s, "check_same_thread": False}

    def _connect_mysql(
        self, dialect: Dialect, _record: object, places: list[str], arguments: Arguments
    ) -> DBAPIConnection:
        whole_s = math.ceil(self._limit_s)
        arguments |= {
            "connect_timeout": self._limit_s,
            "read_timeout": self._limit_s,
            "write_timeout": self._limit_s,
            # What stands in the comment only MariaDB reads, and only it knows.
            "init_command": f"SET SESSION innodb_lock_wait_timeout={whole_s}"
            f" /*M! , max_statement_time={self._limit_s:g} */",
        }
        try:
            return dialect.connect(*places, **arguments)
        except (TypeError, AttributeError, ValueError) as error:
            # PyMySQL does not look at what it is given before it uses it.
            raise StoreUnavailable(
                f"the driver can't use what the URL says: {error}",
                hint="what stands behind its ? are PyMySQL's names for what it takes",
            ) from error

    def _connect_postgresql(
        self, dialect: Dialect, _record: object, places: list[str], arguments: Arguments
    ) -> DBAPIConnection:
        limit_ms = math.ceil(self._limit_s * 1000)
        asked = arguments.get("options", "")
        arguments |= {
            "connect_timeout": max(_PSYCOPG_CONNECT_S_MIN, math.ceil(self._limit_s)),
            "tcp_user_timeout": limit_ms,
            "options": f"{asked} -c statement_timeout={limit_ms}".strip(),
            # Nothing is gained by preparing, and poolers that share connections don't take it.
            "prepare_threshold": None,
        }
        connection = dialect.connect(*places, **arguments)
        self._leash.hold(connection.fileno())
        return connection


class Leash:
    """Shuts a connection's socket down that somebody has waited on for too long."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None
        self.pulled = False
        """Whether the socket of the last waiting was shut down."""

    def hold(self, fd: int) -> None:
        """Take hold of a new connection; who is waiting has the whole time again."""
        self.let_go()
        with self._lock:
            # A name of our own for the same socket: the driver's number may be reused at any time.
            self._socket = socket.socket(fileno=os.dup(fd))
            if self._timer is not None:
                self._timer.cancel()
                self._start()

    def let_go(self) -> None:
        """Forget the connection."""
        with self._lock:
            held, self._socket = self._socket, None
        if held is not None:
            held.close()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Allow what is done within this the time, and no more."""
        with self._lock:
            self.pulled = False
            self._start()
        try:
            yield
        finally:
            with self._lock:
                timer, self._timer = self._timer, None
            if timer is not None:
                timer.cancel()
                # Not under the lock, which the timer may be waiting for.
                timer.join()

    def _start(self) -> None:
        self._timer = threading.Timer(self._limit_s, self._pull)
        self._timer.daemon = True
        self._timer.start()

    def _pull(self) -> None:
        with self._lock:
            if self._timer is None or self._socket is None:
                return
            self.pulled = True
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                # It is closed already, from the other end.
                return


def missing_table(error: BaseException) -> bool:
    """Tell whether this says that there is no table to keep a lease in."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    if cause is None:
        return False
    said = str(cause)
    return (
        getattr(cause, "sqlstate", None) == _PG_NO_TABLE
        or bool(cause.args and cause.args[0] == _MYSQL_NO_TABLE)
        or "no such table" in said
        or "unable to open database file" in said
    )


def plain(error: BaseException) -> str:
    """Return what a driver says, on one line, without the statement and its values."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    numbered = len(cause.args) == _MYSQL_ARGS and isinstance(cause.args[0], int)
    return " ".join(str(cause.args[1] if numbered else cause).split())
