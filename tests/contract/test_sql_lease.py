"""What only the lease store in a database does; what every lease store does is in the common suite."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pymysql
import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.lease import Candidate, LeadershipLost, StoreUnavailable, Timing
from syncagent.core.storeurl import StoreUrl
from syncagent.leases import sql
from syncagent.leases.lease_table import make_lease_table
from syncagent.leases.sql import SqlStore
from tests.servers.backend import TIMING
from tests.servers.backends import ServerBackend, SqlBackend
from tests.servers.candidate import boot
from tests.servers.databases import DATABASE, PASSWORD, USER, PostgreSQL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from syncagent.core.revision import Token
    from tests.servers.backend import Backend

SLACK_S = 15.0
WAIT_S = 30.0


@pytest.fixture(
    params=[
        pytest.param("postgresql", marks=pytest.mark.needs_servers),
        pytest.param("mariadb", marks=pytest.mark.needs_servers),
    ]
)
def server(
    request: pytest.FixtureRequest, backend_named: Callable[[str], Backend]
) -> Iterator[ServerBackend]:
    chosen = backend_named(request.param)
    assert isinstance(chosen, ServerBackend)
    yield chosen
    chosen.start()


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.needs_servers),
        pytest.param("mariadb", marks=pytest.mark.needs_servers),
    ]
)
def database(request: pytest.FixtureRequest, backend_named: Callable[[str], Backend]) -> SqlBackend:
    chosen = backend_named(request.param)
    assert isinstance(chosen, SqlBackend)
    return chosen


def acquire(store: SqlStore, cluster: str, node: str = "gw-1") -> Token:
    token = store.try_acquire(Candidate(cluster, NodeName(node), "s"), store.observe(), 0)
    assert token is not None
    return token


def connect(backend: Backend, cluster: str, timing: Timing = TIMING) -> SqlStore:
    store = backend.connect(cluster, timing)
    assert isinstance(store, SqlStore)
    return store


# Reaching it.


def test_a_wrong_password_is_told_and_never_shown(server: ServerBackend, cluster: str) -> None:
    url = server.place().at.replace(PASSWORD, "wr0ng-s3cret")
    store = SqlStore(StoreUrl(url), cluster, TIMING)
    with pytest.raises(
        StoreUnavailable, match=r"(?i)(authentication failed|access denied)"
    ) as told:
        store.observe()
    assert "wr0ng-s3cret" not in str(told.value)
    store.close()


def test_a_database_without_the_table_is_told_with_what_to_do(
    server: ServerBackend, cluster: str
) -> None:
    server.ask("CREATE DATABASE empty_one")
    if isinstance(server.server, PostgreSQL):
        server.ask(f"ALTER DATABASE empty_one OWNER TO {USER}")
    else:
        server.ask(f"GRANT ALL ON empty_one.* TO '{USER}'@'127.0.0.1'")
    url = StoreUrl(server.place().at.replace(f"/{DATABASE}", "/empty_one"))
    store = SqlStore(url, cluster, TIMING)
    with pytest.raises(StoreUnavailable, match="no table syncagent_lease") as told:
        store.observe()
    assert told.value.hint is not None
    assert "init --lease-table" in told.value.hint
    table = make_lease_table(url)
    assert (table.made, make_lease_table(url).made) == (True, False)
    assert PASSWORD not in table.database
    assert store.observe().last_epoch == 0
    store.close()
    server.ask(
        "DROP DATABASE empty_one" + (" WITH (FORCE)" * isinstance(server.server, PostgreSQL))
    )


def test_many_that_make_the_table_at_once_make_one(server: ServerBackend) -> None:
    server.ask("CREATE DATABASE made_at_once")
    if isinstance(server.server, PostgreSQL):
        server.ask(f"ALTER DATABASE made_at_once OWNER TO {USER}")
    else:
        server.ask(f"GRANT ALL ON made_at_once.* TO '{USER}'@'127.0.0.1'")
    url = StoreUrl(server.place().at.replace(f"/{DATABASE}", "/made_at_once"))
    made: list[bool] = []
    start = threading.Barrier(8)

    def make() -> None:
        start.wait(WAIT_S)
        made.append(make_lease_table(url).made)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert len(made) == 8
    assert any(made)


def test_a_row_that_is_locked_costs_no_more_than_the_operation(
    server: ServerBackend, cluster: str
) -> None:
    store = connect(server, cluster)
    token = acquire(store, cluster)
    locked = threading.Event()
    done = threading.Event()

    def lock() -> None:
        """Hold the row as an administrator who forgot to commit."""
        statement = f"SELECT * FROM syncagent_lease WHERE name = '{cluster}' FOR UPDATE"
        if isinstance(server.server, PostgreSQL):
            with psycopg.connect(server.place().at.partition("?")[0]) as connection:
                connection.execute(statement.encode())
                locked.set()
                done.wait(WAIT_S)
        else:
            with pymysql.connect(
                host="127.0.0.1",
                port=server.port,
                user=USER,
                password=PASSWORD,
                database=DATABASE,
            ) as connection:
                connection.cursor().execute(statement)
                locked.set()
                done.wait(WAIT_S)

    holding = threading.Thread(target=lock)
    holding.start()
    try:
        assert locked.wait(WAIT_S)
        began = boot()
        with pytest.raises(StoreUnavailable):
            store.renew(token)
        assert boot() - began < 2 * TIMING.operation_s + SLACK_S
    finally:
        done.set()
        holding.join(WAIT_S)
    store.renew(token)
    store.close()


def test_a_hung_server_costs_no_more_than_the_operation(
    server: ServerBackend, cluster: str
) -> None:
    store = connect(server, cluster)
    token = acquire(store, cluster)
    server.hang()
    for _ in range(3):
        began = boot()
        with pytest.raises(StoreUnavailable, match="can't be asked"):
            store.renew(token)
        # psycopg takes 2 s for a connection at least.
        assert boot() - began < 2 * TIMING.operation_s + 2.0 + SLACK_S
    server.wake()
    store.renew(token)
    store.close()


# What stands in it.


def test_names_that_differ_in_case_are_different_clusters_and_nodes(
    database: SqlBackend, cluster: str
) -> None:
    lower, upper = connect(database, cluster), connect(database, cluster.upper())
    token = acquire(lower, cluster)
    assert upper.observe().token is None
    with pytest.raises(LeadershipLost):
        lower.renew(type(token)(cluster, token.epoch, NodeName("GW-1"), token.incarnation))
    lower.renew(token)
    for store in (lower, upper):
        store.close()


@pytest.mark.parametrize("damage", ["epoch = -3", "ttl_ms = 0", "epoch = 0"])
def test_a_row_that_no_agent_wrote_is_not_believed(
    database: SqlBackend, cluster: str, damage: str
) -> None:
    store = connect(database, cluster)
    acquire(store, cluster)
    database.ask(f"UPDATE syncagent_lease SET {damage} WHERE name = '{cluster}'")
    with pytest.raises(StoreUnavailable, match="is damaged") as told:
        store.observe()
    assert told.value.hint is not None
    assert "delete the row" in told.value.hint
    database.forget(cluster)
    assert store.observe().last_epoch == 0
    store.close()


def test_rows_stand_in_the_database_as_plain_text_and_numbers(
    database: SqlBackend, cluster: str
) -> None:
    store = connect(database, cluster)
    token = acquire(store, cluster)
    store.renew(token)
    found = database.ask(
        "SELECT holder, incarnation, epoch, seq, ttl_ms FROM syncagent_lease "
        f"WHERE name = '{cluster}'"
    )
    assert [tuple(row) for row in found] == [("gw-1", "s", 1, 1, round(TIMING.lease_s * 1000))]
    store.close()


def test_no_statement_asks_for_the_database_s_time() -> None:
    named = ("_LOOK", "_TAKE", "_BEGIN", "_RENEW", "_RESIGN")
    words = " ".join(str(vars(sql)[name]) for name in named).lower()
    assert words.count("syncagent_lease") == len(named)
    assert [word for word in ("now(", "current_", "time", "sysdate") if word in words] == []


# Rights.


def test_select_insert_and_update_are_all_the_rights_that_it_needs(
    server: ServerBackend, cluster: str
) -> None:
    few = "SELECT, INSERT, UPDATE ON syncagent_lease"
    if isinstance(server.server, PostgreSQL):
        server.ask(f"CREATE USER few PASSWORD '{PASSWORD}'")
        server.ask(f"GRANT {few} TO few")
    else:
        server.ask(f"CREATE USER 'few'@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'")
        server.ask(f"GRANT {few} TO 'few'@'127.0.0.1'")
    url = StoreUrl(server.place().at.replace(f"//{USER}:", "//few:"))
    store = SqlStore(url, cluster, TIMING)
    token = acquire(store, cluster)
    store.renew(token)
    store.resign(token)
    assert acquire(store, cluster).epoch == 2
    store.close()
