"""What tests of lease stores ask of a store, over and over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from syncagent.core.artifact import NodeName
from syncagent.core.lease import Candidate, StoreUnavailable, Timing
from tests.servers.process import reached

if TYPE_CHECKING:
    from syncagent.core.revision import Token
    from syncagent.ports import LeaseStore

SHORT: Final = Timing(lease_s=2.0, renew_s=0.5, operation_s=1.0, margin_s=0.5)
CLUSTER: Final = "apim"
LEADER: Final = f"/syncagent/{CLUSTER}/leader"
EPOCH: Final = f"/syncagent/{CLUSTER}/epoch"
WAIT_S: Final = 20.0


def me(node: str = "gw-1", start: str = "start-1") -> Candidate:
    return Candidate(CLUSTER, NodeName(node), start)


def acquire(store: LeaseStore, candidate: Candidate | None = None, floor: int = 0) -> Token:
    """Take the lease, as soon as the store answers."""
    reached(lambda: answers(store), "the store answers", WAIT_S)
    token = store.try_acquire(candidate or me(), store.observe(), floor)
    assert token is not None
    return token


def answers(store: LeaseStore) -> bool:
    try:
        store.observe()
    except StoreUnavailable:
        return False
    return True


def renews(store: LeaseStore, token: Token) -> bool:
    try:
        store.renew(token)
    except StoreUnavailable:
        return False
    return True
