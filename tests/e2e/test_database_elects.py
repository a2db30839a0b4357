"""Two real agents and a real database as the third party: it is killed, or hangs, and comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.e2e.cluster import until
from tests.e2e.electing import TIMES, Electorate
from tests.servers.databases import PASSWORD, Database, MariaDB, PostgreSQL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.needs_servers]

SEQUENCE = b'<sequence xmlns="http://ws.apache.org/ns/synapse" name="%s"/>'


@pytest.mark.parametrize(("make", "outage"), [(PostgreSQL, "killed"), (MariaDB, "hung")])
def test_two_nodes_fail_over_by_a_database_and_nobody_leads_without_it(
    tmp_path: Path, make: Callable[[], Database], outage: str
) -> None:
    seed = tmp_path / "seed"
    (seed / "sequences").mkdir(parents=True)
    (seed / "sequences/main.xml").write_bytes(SEQUENCE % b"main")
    secret = tmp_path / "lease-url"
    with make() as database:
        database.start()
        secret.write_text(f"{database.url}\n")
        secret.chmod(0o600)
        election = {"backend": "sql", "url_file": str(secret), **TIMES}
        nodes = {"gw-1": seed, "gw-2": None}
        with Electorate(tmp_path / "nodes", nodes, {"election": election}) as cluster:
            again = cluster["gw-2"].run("init", "--lease-table")
            assert "there already" in again.stdout
            assert PASSWORD not in again.stdout
            cluster.start()
            first = cluster.wait_led()
            cluster.wait_synced()
            first.kill()
            second = cluster.wait_led(but=first)
            first.start()
            until(first.live, "the old manager runs again")
            cluster.wait_led()
            (database.kill if outage == "killed" else database.hang)()
            until(lambda: cluster.leader() is None, "nobody leads without the database")
            told = second.run("status")
            assert "the lease store" in told.stdout + told.stderr
            (database.start if outage == "killed" else database.wake)()
            manager = cluster.wait_led()
            content = SEQUENCE % b"after"
            (manager.tree / "sequences/after.xml").write_bytes(content)
            cluster.wait_synced()
            assert all(
                (each.tree / "sequences/after.xml").read_bytes() == content for each in cluster
            )
            for each in cluster:
                assert PASSWORD not in each.log.read_text()
                assert PASSWORD not in each.run("config", "show").stdout
