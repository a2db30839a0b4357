"""The lease as one row of a table in a database that is there anyway: `sql`.

Every step is one statement that commits by itself and compares before it sets, so no step needs
a transaction, a lock, or the database's clock: candidates judge by their own clock whether the
row still changes (`core.election`, rule 2). `seq` rises with every renewal, `epoch` with every
lease, and neither is ever taken from anything but the row and the floor.

A request that is not answered in time must cost the lease and no more: a database that hangs
answers neither a statement's own limit nor the kernel's. So each driver's limits are set, and
where a driver waits without one (`dialects`) the connection is cut from outside.

One connection is kept; after any failure it is thrown away, with whatever state it was in.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from syncagent.core.artifact import NodeName
from syncagent.core.lease import LeadershipLost, LeaseView, StoreUnavailable
from syncagent.core.revision import Token
from syncagent.leases.dialects import TABLE, Database, missing_table, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import TextClause

    from syncagent.core.lease import Candidate, Timing
    from syncagent.core.storeurl import StoreUrl

    Values = dict[str, str | int]

_LOOK: Final = text(
    f"SELECT holder, incarnation, epoch, seq, ttl_ms FROM {TABLE} WHERE name = :name"  # noqa: S608
)
_TAKE: Final = text(
    f"UPDATE {TABLE} SET holder = :holder, incarnation = :incarnation, epoch = :epoch, seq = 0,"  # noqa: S608
    " ttl_ms = :ttl_ms WHERE name = :name AND holder = :seen_holder"
    " AND incarnation = :seen_incarnation AND epoch = :seen_epoch AND seq = :seen_seq"
)
_BEGIN: Final = text(
    f"INSERT INTO {TABLE} (name, holder, incarnation, epoch, seq, ttl_ms)"  # noqa: S608
    " VALUES (:name, :holder, :incarnation, :epoch, 0, :ttl_ms)"
)
_RENEW: Final = text(
    f"UPDATE {TABLE} SET seq = seq + 1 WHERE name = :name AND holder = :holder"  # noqa: S608
    " AND incarnation = :incarnation AND epoch = :epoch"
)
_RESIGN: Final = text(
    f"UPDATE {TABLE} SET holder = '', seq = seq + 1 WHERE name = :name AND holder = :holder"  # noqa: S608
    " AND incarnation = :incarnation AND epoch = :epoch"
)
_EMPTY: Final = "-"
"""The version of a table without the cluster's row."""
_PARTS: Final = 4
_TEXTS: Final = 2
_NUMBERS: Final = 3


class SqlStore:
    """A LeaseStore in the row of `cluster`; it connects when it is first asked.

    A request takes about `timing.operation_s` at most, plus as much again where it has to connect first.
    """

    server_expiry: bool = False
    auto_failover: bool = True

    def __init__(self, url: StoreUrl, cluster: str, timing: Timing) -> None:
        self._cluster = cluster
        self._ttl_ms = round(timing.lease_s * 1000)
        self._database = Database(url, timing.operation_s)

    def observe(self) -> LeaseView:
        """Return what the row says. Raises StoreUnavailable, also if no row can look so."""
        with _unknown():
            row = self._database.look(_LOOK, {"name": self._cluster})
        if row is None:
            return LeaseView(None, _EMPTY, 0, self._ttl_ms / 1000)
        return _view(self._cluster, row)

    def try_acquire(self, me: Candidate, seen: LeaseView, epoch_floor: int) -> Token | None:
        """Take the lease if the row is still as `seen`; None if not. Raises StoreUnavailable."""
        epoch = max(seen.last_epoch, epoch_floor) + 1
        token = Token(self._cluster, epoch, me.node, me.incarnation)
        values: Values = {**_holder(token), "ttl_ms": self._ttl_ms}
        if seen.version == _EMPTY:
            return token if self._begin(values) else None
        seen_epoch, seen_seq, holder, incarnation = seen.version.split("/", _PARTS - 1)
        before: Values = {
            "seen_epoch": int(seen_epoch),
            "seen_seq": int(seen_seq),
            "seen_holder": holder,
            "seen_incarnation": incarnation,
        }
        return token if self._change(_TAKE, {**values, **before}) == 1 else None

    def renew(self, token: Token) -> None:
        """Let the row change. Raises LeadershipLost if it is not `token`'s, StoreUnavailable."""
        if self._change(_RENEW, _holder(token)) != 1:
            raise LeadershipLost(f"the lease of epoch {token.epoch} is another's, or is gone")

    def resign(self, token: Token) -> None:
        """Leave the row without a holder if it is still `token`'s. Raises StoreUnavailable."""
        self._change(_RESIGN, _holder(token))

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def _begin(self, values: Values) -> bool:
        """Make the row; False if somebody else just did."""
        try:
            return self._change(_BEGIN, values) == 1
        except StoreUnavailable as error:
            if isinstance(error.__cause__, IntegrityError):
                return False
            raise

    def _change(self, statement: TextClause, values: Values) -> int:
        with _unknown():
            return self._database.change(statement, {"name": self._cluster, **values})


@contextmanager
def _unknown() -> Iterator[None]:
    """Translate what a database fails with: whether a statement was done is unknown then."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        if missing_table(error):
            raise StoreUnavailable(
                f"the database has no table {TABLE}",
                hint="make it, with rights to do so: syncagent init --lease-table",
            ) from error
        raise StoreUnavailable(f"the database can't be asked: {plain(error)}") from error


def _holder(token: Token) -> Values:
    return {
        "holder": token.holder,
        "incarnation": token.incarnation,
        "epoch": token.epoch,
    }


def _view(cluster: str, fields: list[object]) -> LeaseView:
    """Return what a row says; one that no agent wrote is not believed."""
    holder, incarnation = str(fields[0]), str(fields[1])
    numbers = [field for field in fields[_TEXTS:] if isinstance(field, int)]
    if len(numbers) < _NUMBERS or numbers[0] < (1 if holder else 0) or numbers[2] <= 0:
        raise StoreUnavailable(
            f"the row of {cluster} in {TABLE} is damaged: epoch, seq, ttl_ms are {fields[_TEXTS:]}",
            hint="delete the row: the agents make it anew, above every epoch that they know",
        )
    epoch, seq, ttl_ms = numbers
    token = Token(cluster, epoch, NodeName(holder), incarnation) if holder else None
    return LeaseView(token, f"{epoch}/{seq}/{holder}/{incarnation}", epoch, ttl_ms / 1000)
