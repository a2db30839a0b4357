"""`zookeeper`: the lease is a node that ZooKeeper drops when the session of who made it ends.

    <prefix>/<cluster>/leader    who leads; ephemeral
    <prefix>/<cluster>/epoch     the highest epoch so far; stays

Both are written in one transaction, on the condition that the epoch did not change since it was
looked at: so no epoch is given twice. kazoo's own locks and elections are not used: they don't tell
when they are lost, and give no epoch.

Renewing is a write, since a read may be answered by a server that is cut off from the others. The
session is asked for as long as the lease and a tick more, because a server tells the others about
its sessions once per tick.

The session is kept alive by kazoo, whatever the agent believes: so a lease that was given up here
goes on in the store until it is given back. A node that does not end with anybody's session, or
can't be read, is nobody's: nothing would ever end it, so it may be replaced.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kazoo.exceptions import BadVersionError, NoNodeError

from syncagent.core.lease import LeadershipLost, LeaseView, StoreUnavailable
from syncagent.core.revision import Token
from syncagent.leases.record import Record, decode, decode_epoch
from syncagent.leases.zookeeper_session import ANSWERS, Session

if TYPE_CHECKING:
    from kazoo.client import TransactionRequest
    from kazoo.interfaces import IAsyncResult

    from syncagent.core.lease import Candidate, Timing
    from syncagent.leases.zookeeper_session import ZooKeeperPlace

_ABSENT = -1


@dataclass(frozen=True, slots=True)
class _Node:
    """A node as ZooKeeper has it. `session` 0: it ends with nobody's; `change`: its last one."""

    content: bytes = b""
    version: int = _ABSENT
    session: int = 0
    change: int = 0


class ZooKeeperStore:
    """A LeaseStore in ZooKeeper 3.5 or later. One thread at a time.

    `timing.operation_s` is for a whole operation, whatever it asks. Raises SettingsError if the
    certificates can't be used; connects when it is first asked.
    """

    server_expiry: bool = True
    auto_failover: bool = True

    def __init__(self, place: ZooKeeperPlace, cluster: str, timing: Timing) -> None:
        self._folder = f"{place.prefix.rstrip('/')}/{cluster}"
        self._leader = f"{self._folder}/leader"
        self._epoch = f"{self._folder}/epoch"
        self._cluster = cluster
        self._operation_s = timing.operation_s
        self._lease_s = timing.lease_s
        self._session = Session(place, timing.lease_s, timing.operation_s)
        self._until = 0.0

    def observe(self) -> LeaseView:
        """Return what ZooKeeper says now. Raises StoreUnavailable."""
        self._begin()
        client = self._session.client(self._until)
        # A server that lags asks the leading one first; all three are under way at once.
        synced = client.sync_async(self._folder)
        looks = client.get_async(self._leader), client.get_async(self._epoch)
        self._quietly(synced)
        leader, epoch = (self._node(look) for look in looks)
        record = self._held(leader)
        return LeaseView(
            token=record.token if record else None,
            version=f"{leader.version}.{epoch.version}.{leader.change}.{epoch.change}",
            last_epoch=_epoch_of(epoch, self._epoch),
            lease_s=record.lease_s if record else self._lease_s,
        )

    def try_acquire(self, me: Candidate, seen: LeaseView, epoch_floor: int) -> Token | None:
        """Take the lease if nothing changed since `seen`, and it is free or a person wants it.

        Raises StoreUnavailable.
        """
        if seen.token is not None and not me.promoted:
            return None
        self._begin()
        token = Token(me.cluster, max(seen.last_epoch, epoch_floor) + 1, me.node, me.incarnation)
        leader_version, epoch_version = map(int, seen.version.split(".")[:2])
        transaction = self._session.client(self._until).transaction()
        if leader_version != _ABSENT:
            transaction.delete(self._leader, leader_version)
        record = Record(token, self._lease_s)
        transaction.create(self._leader, record.encode(), ephemeral=True)
        content = str(token.epoch).encode()
        if epoch_version == _ABSENT:
            self._make_folder()
            transaction.create(self._epoch, content)
        else:
            transaction.set_data(self._epoch, content, epoch_version)
        return token if self._commits(transaction) else None

    def renew(self, token: Token) -> None:
        """Write our node again if it is still ours. Raises as the port says."""
        self._begin()
        client = self._session.client(self._until)
        leader = self._node(client.get_async(self._leader))
        record = self._held(leader)
        if record is None or record.token != token:
            self._let_go(leader)
            told = "free" if record is None else f"held by {record.token}"
            raise LeadershipLost(f"{self._leader} is {told}")
        if leader.session != self._session.number:
            raise LeadershipLost("the session that holds the lease has ended here")
        try:
            self._session.wait(
                client.set_async(self._leader, leader.content, leader.version), self._until
            )
        except NoNodeError as error:
            raise LeadershipLost(f"{self._leader} is gone") from error
        except BadVersionError as error:
            # By an earlier renewal that was answered late, or by somebody else: the next look tells.
            raise StoreUnavailable(f"{self._leader} was changed meanwhile") from error

    def resign(self, token: Token) -> None:
        """Delete our node if it is still `token`'s. Raises StoreUnavailable."""
        self._begin()
        client = self._session.client(self._until)
        leader = self._node(client.get_async(self._leader))
        record = self._held(leader)
        if record is not None and record.token == token:
            self._quietly(client.delete_async(self._leader, leader.version))

    def close(self) -> None:
        """End the session, and with it a lease that was not given back."""
        self._session.close()

    def _begin(self) -> None:
        self._until = time.monotonic() + self._operation_s

    def _node(self, look: IAsyncResult) -> _Node:
        try:
            found = self._session.wait(look, self._until)
        except NoNodeError:
            return _Node()
        assert isinstance(found, tuple), "kazoo returns content and stat"
        content, stat = found
        return _Node(content, stat.version, stat.ephemeralOwner, stat.mzxid)

    def _held(self, leader: _Node) -> Record | None:
        """Return whose lease the node is; None if it is free or nobody's."""
        return decode(leader.content, self._cluster) if leader.session else None

    def _let_go(self, leader: _Node) -> None:
        """Delete a node that lives by our session and is not our lease: somebody wrote to it."""
        if leader.session == self._session.number:
            client = self._session.client(self._until)
            self._quietly(client.delete_async(self._leader, leader.version))

    def _make_folder(self) -> None:
        client = self._session.client(self._until)
        self._quietly(client.ensure_path_async(self._folder))

    def _quietly(self, result: IAsyncResult) -> None:
        """Wait for a request that others may have made unnecessary."""
        try:
            self._session.wait(result, self._until)
        except ANSWERS:
            return

    def _commits(self, transaction: TransactionRequest) -> bool:
        """Commit; False if what it was built on is not so any more. Raises StoreUnavailable."""
        results = self._session.wait(transaction.commit_async(), self._until)
        assert isinstance(results, list), "kazoo returns what came of each step"
        failed = [result for result in results if isinstance(result, Exception)]
        for failure in failed:
            if not isinstance(failure, ANSWERS):
                raise StoreUnavailable(f"ZooKeeper: {type(failure).__name__}") from failure
        return not failed


def _epoch_of(node: _Node, where: str) -> int:
    return 0 if node.version == _ABSENT else decode_epoch(node.content, where)
