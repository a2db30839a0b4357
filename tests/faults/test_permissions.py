"""An agent without root, where it may write little: pyfakefs keeps the permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyfakefs import helpers
from pyfakefs.fake_filesystem_unittest import Patcher

from syncagent.core.errors import DiskError
from syncagent.core.intent import Keep
from syncagent.fsio import OsFS
from tests.fakes.node_bench import ChangeSet, NodeBench, step

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = 1000
CHANGE = ChangeSet(
    {"synapse/api/A.xml": b"a"},
    (
        (step("synapse/api/A.xml", b"a", b"aa", Keep.DRIFT), b"aa"),
        (step("plans/p.siddhiql", None, b"p"), b"p"),
    ),
)


@pytest.fixture
def bench() -> Iterator[NodeBench]:
    with Patcher():
        made = NodeBench(OsFS())
        made.build(CHANGE.old)
        yield made
        helpers.set_uid(0)


def give(bench: NodeBench, *paths: str) -> None:
    for path in paths:
        bench.fs.chown(f"/node/{path}", USER, USER)
    helpers.set_uid(USER)


def test_where_the_parent_may_not_be_written_bytes_wait_inside(bench: NodeBench) -> None:
    give(bench, "state", "gateway/synapse", "gateway/synapse/api", "gateway/plans")
    disk = bench.disk()
    disk.recover(0)
    CHANGE.stage(disk)
    waiting = [name for name in bench.fs.listdir("/node/gateway/plans") if name != ".syncagent"]
    assert len(waiting) == 1
    assert waiting[0].endswith(".part")
    disk.seal(1)
    disk.commit(CHANGE.intent)
    live = {name: content for name, content in bench.live().items() if "/." not in name}
    assert live == CHANGE.new
    assert [disk.kept_bytes(kept.id) for kept in disk.kept()] == [b"a"]
    assert sorted(bench.fs.listdir("/node/gateway")) == ["plans", "synapse"]


def test_a_tree_that_may_not_be_written_is_refused_with_a_hint(bench: NodeBench) -> None:
    give(bench, "state", "gateway/plans")
    disk = bench.disk()
    with pytest.raises(DiskError) as refused:
        CHANGE.stage(disk)
    assert refused.value.errno_name == "EACCES"
    assert "user" in refused.value.hint
    disk.discard(1)
    helpers.set_uid(0)
    assert bench.live() == CHANGE.old


def test_a_state_folder_that_may_not_be_written_stops_a_commit_before_it_begins(
    bench: NodeBench,
) -> None:
    give(bench, "gateway", "gateway/synapse", "gateway/synapse/api", "gateway/plans")
    disk = bench.disk()
    CHANGE.stage(disk)
    disk.seal(1)
    with pytest.raises(DiskError) as refused:
        disk.commit(CHANGE.intent)
    assert refused.value.errno_name == "EACCES"
    assert bench.live() == CHANGE.old
