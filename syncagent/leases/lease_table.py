"""Making the table that keeps the lease: an installer's step, never an agent's.

Agents that start together and find no table would all make one, and all but one fail; and their
account has no need of the right to. So `syncagent init --lease-table` runs the file that a
database administrator could run as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from syncagent.core.lease import StoreUnavailable
from syncagent.leases.dialects import TABLE, Database, plain

if TYPE_CHECKING:
    from syncagent.core.storeurl import StoreUrl

FILE: Final = "lease_table.sql"
PATIENCE_S: Final = 10.0
"""A person waits for this, and a large database may be slow to make a table."""


@dataclass(frozen=True, slots=True)
class LeaseTable:
    """The table, in which database (without its password), and whether it was made just now."""

    table: str
    database: str
    made: bool


def make_lease_table(url: StoreUrl) -> LeaseTable:
    """Make the table if it is not there. Raises StoreUnavailable, ImportError without a driver."""
    database = Database(url, PATIENCE_S, makes_file=True)
    try:
        there = database.has_table()
        if not there:
            there = not _made(database)
    except (SQLAlchemyError, OSError) as error:
        raise StoreUnavailable(
            f"the table {TABLE} can't be made in {url}: {plain(error)}",
            hint="it needs an account that may create tables: run it with SYNCAGENT_ELECTION__URL "
            f"set to such a one, or have the file {FILE} of this package run there",
        ) from error
    finally:
        database.close()
    return LeaseTable(TABLE, str(url), made=not there)


def _made(database: Database) -> bool:
    """Make the table; False if somebody else, who began at the same moment, was first.

    PostgreSQL's IF NOT EXISTS does not see a table that another session is about to commit: it then
    runs into the catalogue's own unique keys.
    """
    try:
        database.run_file(FILE)
    except DBAPIError:
        if database.has_table():
            return False
        raise
    return True
