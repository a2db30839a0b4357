"""`etcd`: the lease is a key that etcd drops by itself when its lease is not kept alive.

    <prefix>/<cluster>/leader    who leads, bound to a lease of etcd's
    <prefix>/<cluster>/epoch     the highest epoch so far; stays

Both are written in one transaction, on the condition that neither changed since they were looked at:
so no epoch is given twice. All reads go through etcd's quorum.

Keeping alive is not enough to renew: the key may have been deleted or overwritten while its lease
lives on, so it is looked at afterwards. What stands at the key without a lease, or can't be read, is
nobody's: nothing would ever end it, so it may be overwritten.

Before 3.5 etcd ends a lease that has run out only when its wall clock says so too: set back by an hour, it
lets a dead manager's lease stand for an hour. So who waits for a lease asks how long it has left, and ends
one that etcd itself counts as run out. Its holder has stopped by then, for that count begins later than
the holder's.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.lease import LeadershipLost, LeaseView, StoreUnavailable
from syncagent.core.revision import Token
from syncagent.leases.etcd_gateway import Gateway, decode, encode, number, parts, text, within
from syncagent.leases.record import Record, decode_epoch
from syncagent.leases.record import decode as decode_record

if TYPE_CHECKING:
    from syncagent.core.lease import Candidate, Timing
    from syncagent.leases.etcd_gateway import Body, EtcdPlace


@dataclass(frozen=True, slots=True)
class _Key:
    """A key as etcd has it; `revision` 0: it is absent."""

    content: bytes = b""
    revision: int = 0
    lease: int = 0


class EtcdStore:
    """A LeaseStore in etcd 3.4 or later. One thread at a time.

    `timing.operation_s` is for a whole operation, whatever it asks and wherever. Raises
    SettingsError if the certificates can't be used; connects when it is first asked.
    """

    server_expiry: bool = True
    auto_failover: bool = True

    def __init__(self, place: EtcdPlace, cluster: str, timing: Timing) -> None:
        folder = f"{place.prefix.rstrip('/')}/{cluster}"
        self._leader = f"{folder}/leader"
        self._epoch = f"{folder}/epoch"
        self._cluster = cluster
        self._timing = timing
        self._gateway = Gateway(place)
        self._until = 0.0
        self._seen = _Key()
        self._seen_since = 0.0
        self._told_by = ("", "")

    def observe(self) -> LeaseView:
        """Return what etcd's quorum says now. Raises StoreUnavailable."""
        self._begin()
        leader, epoch = self._look()
        if self._has_run_out(leader):
            self._revoke(leader.lease)
            leader, epoch = self._look()
        record = self._held(leader)
        return LeaseView(
            token=record.token if record else None,
            version=f"{leader.revision}.{epoch.revision}",
            last_epoch=decode_epoch(epoch.content, self._epoch) if epoch.revision else 0,
            lease_s=record.lease_s if record else self._timing.lease_s,
        )

    def try_acquire(self, me: Candidate, seen: LeaseView, epoch_floor: int) -> Token | None:
        """Take the lease if nothing changed since `seen`, and it is free or a person wants it.

        Raises StoreUnavailable.
        """
        if seen.token is not None and not me.promoted:
            return None
        self._begin()
        lease, lease_s = self._grant()
        token = Token(me.cluster, max(seen.last_epoch, epoch_floor) + 1, me.node, me.incarnation)
        leader_revision, _, epoch_revision = seen.version.partition(".")
        answer = self._ask(
            "kv/txn",
            {
                "compare": [
                    _unchanged(self._leader, leader_revision),
                    _unchanged(self._epoch, epoch_revision),
                ],
                "success": [
                    _put(self._leader, Record(token, lease_s).encode(), lease),
                    _put(self._epoch, str(token.epoch).encode()),
                ],
            },
        )
        if answer.get("succeeded") is True:
            return token
        self._revoke(lease)
        return None

    def renew(self, token: Token) -> None:
        """Keep the lease alive and see that it is still ours. Raises as the port says."""
        self._begin()
        leader = self._look()[0]
        self._check(leader, token)
        kept = self._ask("lease/keepalive", {"ID": str(leader.lease)})
        granted_s = number(kept, "TTL")
        if granted_s <= 0:
            raise LeadershipLost("the lease has run out in etcd")
        self._check(self._look()[0], token)
        if granted_s < self._timing.lease_s:
            raise StoreUnavailable(f"etcd renews for {granted_s} s only")

    def resign(self, token: Token) -> None:
        """Delete the key if it is still `token`'s. Raises StoreUnavailable."""
        self._begin()
        leader = self._look()[0]
        record = self._held(leader)
        if record is None or record.token != token:
            return
        self._ask(
            "kv/txn",
            {
                "compare": [_unchanged(self._leader, str(leader.revision))],
                "success": [{"request_delete_range": {"key": encode(self._leader)}}],
            },
        )
        self._revoke(leader.lease)

    def close(self) -> None:
        """Let go of the connection."""
        self._gateway.close()

    def _begin(self) -> None:
        self._until = time.monotonic() + self._timing.operation_s

    def _ask(self, path: str, question: Body) -> Body:
        answer = self._gateway.ask(path, question, self._until)
        header = within(answer, "header")
        self._told_by = (text(header, "member_id"), text(header, "raft_term"))
        return answer

    def _has_run_out(self, leader: _Key) -> bool:
        """Tell whether etcd counts the key's lease as run out, and has not ended it.

        Asked only when the key has been there for as long as its holder's lease is. The member that leads
        etcd says it; that it did lead when it said so is shown by a look through the quorum, at the
        same member in the same term.
        """
        now, record = time.monotonic(), self._held(leader)
        if leader != self._seen:
            self._seen, self._seen_since = leader, now
        if record is None or now - self._seen_since < record.lease_s:
            return False
        left_s = number(self._ask("lease/timetolive", {"ID": str(leader.lease)}), "TTL")
        told_by = self._told_by
        return left_s < 0 and self._look()[0] == leader and self._told_by == told_by

    def _look(self) -> tuple[_Key, _Key]:
        """Return both keys, as they are at one moment."""
        ranges = [{"request_range": {"key": encode(key)}} for key in (self._leader, self._epoch)]
        answer = self._ask("kv/txn", {"success": ranges})
        found = [_key(within(part, "response_range")) for part in parts(answer, "responses")]
        if len(found) != len(ranges):
            raise StoreUnavailable("etcd's answer can't be read")
        return found[0], found[1]

    def _held(self, leader: _Key) -> Record | None:
        """Return whose lease stands at the key; None if it is free or nobody's."""
        return decode_record(leader.content, self._cluster) if leader.lease else None

    def _check(self, leader: _Key, token: Token) -> None:
        record = self._held(leader)
        if record is None or record.token != token:
            raise LeadershipLost(
                f"{self._leader} is {'free' if record is None else f'held by {record.token}'}"
            )

    def _grant(self) -> tuple[int, float]:
        """Get a lease of etcd's: its id and its length."""
        granted = self._ask("lease/grant", {"TTL": str(math.ceil(self._timing.lease_s))})
        lease, lease_s = number(granted, "ID"), number(granted, "TTL")
        if lease_s < self._timing.lease_s:
            raise StoreUnavailable(f"etcd grants leases of {lease_s} s only")
        return lease, float(lease_s)

    def _revoke(self, lease: int) -> None:
        """Tidy up; what fails here runs out by itself."""
        try:
            self._ask("lease/revoke", {"ID": str(lease)})
        except StoreUnavailable:
            return


def _key(found: Body) -> _Key:
    for entry in parts(found, "kvs"):
        return _Key(
            decode(text(entry, "value")), number(entry, "mod_revision"), number(entry, "lease")
        )
    return _Key()


def _unchanged(key: str, revision: str) -> Body:
    return {"key": encode(key), "target": "MOD", "result": "EQUAL", "mod_revision": revision}


def _put(key: str, content: bytes, lease: int = 0) -> Body:
    return {"request_put": {"key": encode(key), "value": encode(content), "lease": str(lease)}}
