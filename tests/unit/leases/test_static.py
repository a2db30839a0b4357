"""`static` never takes a lease by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.errors import DiskError, StateError
from syncagent.core.lease import Candidate, StoreUnavailable
from syncagent.core.revision import Token
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.leases.static import StaticStore
from tests.fakes.history import FakeGuard

if TYPE_CHECKING:
    from pathlib import Path

MANAGER = NodeName("gw-1")


def me(node: str, *, promoted: bool = False) -> Candidate:
    return Candidate("apim", NodeName(node), "start-2", promoted=promoted)


def held_by(node: str, epoch: int = 7) -> FakeGuard:
    return FakeGuard("apim", highest=Token("apim", epoch, NodeName(node), "start-1"))


@pytest.mark.parametrize(
    ("guard", "candidate", "epoch"),
    [
        pytest.param(FakeGuard("apim"), me("gw-1"), 1, id="the named node, before any epoch"),
        pytest.param(FakeGuard("apim"), me("gw-2"), None, id="another, before any epoch"),
        pytest.param(held_by("gw-1"), me("gw-1"), 8, id="the holder, restarted"),
        pytest.param(held_by("gw-2"), me("gw-2"), 8, id="a promoted holder, restarted"),
        pytest.param(held_by("gw-2"), me("gw-1"), None, id="the named node after another's epoch"),
        pytest.param(held_by("gw-1"), me("gw-2"), None, id="another, while the holder is away"),
        pytest.param(held_by("gw-1"), me("gw-2", promoted=True), 8, id="another, promoted"),
    ],
)
def test_who_may_take_the_lease(guard: FakeGuard, candidate: Candidate, epoch: int | None) -> None:
    store = StaticStore(MANAGER, guard)
    before = guard.state()
    token = store.try_acquire(candidate, store.observe(), 0)
    assert (token.epoch if token else None) == epoch
    assert guard.state().highest == (token or before.highest)


def test_it_elects_nobody_and_ends_no_lease() -> None:
    store = StaticStore(MANAGER, FakeGuard("apim"))
    assert (store.auto_failover, store.server_expiry) == (False, False)
    assert store.observe().lease_s == float("inf")


def test_a_missing_guard_is_not_taken_for_a_free_lease(tmp_path: Path) -> None:
    guard = FileGuard(OsFS(), str(tmp_path), "apim")
    (tmp_path / "ledger").write_bytes(b"of an enrolled node")
    with pytest.raises(StateError):
        guard.enrol()
    with pytest.raises(StoreUnavailable, match="missing"):
        StaticStore(MANAGER, guard).observe()


@pytest.mark.parametrize("error", [DiskError("no room"), StateError("damaged")])
def test_a_guard_that_can_not_be_written_leaves_the_outcome_unknown(error: Exception) -> None:
    def refuse(_what: str) -> None:
        raise error

    store = StaticStore(MANAGER, FakeGuard("apim", fail=refuse))
    with pytest.raises(StoreUnavailable):
        store.try_acquire(me("gw-1"), store.observe(), 0)


def test_a_token_admitted_in_between_wins() -> None:
    guard = FakeGuard("apim")
    store = StaticStore(MANAGER, guard)
    seen = store.observe()
    guard.admit(Token("apim", 3, NodeName("gw-2"), "start-1"))
    assert store.try_acquire(me("gw-1", promoted=True), seen, 0) is None
