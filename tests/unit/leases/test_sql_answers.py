"""What a database or its driver says that nobody expected: told as unknown, never a crash."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.lease import Candidate, StoreUnavailable, Timing
from syncagent.core.storeurl import StoreUrl
from syncagent.leases.lease_table import make_lease_table
from syncagent.leases.sql import SqlStore

if TYPE_CHECKING:
    from pathlib import Path

TIMING = Timing()
ME = Candidate("apim", NodeName("gw-1"), "start-1")
FORBIDS = """
CREATE TRIGGER forbids BEFORE UPDATE ON syncagent_lease
BEGIN SELECT RAISE(ABORT, 'the administrator has his own rules'); END
"""


def test_a_rule_of_the_database_that_forbids_a_step_is_told_as_unknown(tmp_path: Path) -> None:
    path = tmp_path / "lease.db"
    url = StoreUrl(f"sqlite:///{path}")
    make_lease_table(url)
    with closing(SqlStore(url, "apim", TIMING)) as store:
        token = store.try_acquire(ME, store.observe(), 0)
        assert token is not None
        with closing(sqlite3.connect(path)) as administrator:
            administrator.execute(FORBIDS)
        for step in (
            lambda: store.renew(token),
            lambda: store.resign(token),
            lambda: store.try_acquire(ME, store.observe(), 0),
        ):
            with pytest.raises(StoreUnavailable, match="his own rules"):
                step()


def test_a_row_that_somebody_else_made_first_is_no_fault(tmp_path: Path) -> None:
    url = StoreUrl(f"sqlite:///{tmp_path / 'lease.db'}")
    make_lease_table(url)
    with closing(SqlStore(url, "apim", TIMING)) as store:
        empty = store.observe()
        assert store.try_acquire(ME, empty, 0) is not None
        assert store.try_acquire(ME, empty, 0) is None


@pytest.mark.parametrize("said", ["nosuch=1", "charset=nosuch", "ssl=true"])
def test_what_pymysql_cannot_use_is_told_without_the_password(said: str) -> None:
    url = StoreUrl(f"mysql://u:s3cret@127.0.0.1:1/x?{said}")
    with (
        closing(SqlStore(url, "apim", TIMING)) as store,
        pytest.raises(StoreUnavailable, match="can't use what the URL says") as told,
    ):
        store.observe()
    assert "s3cret" not in str(told.value)
