"""What SIGHUP takes up, and what needs a restart."""

from dataclasses import replace

import pytest

from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.settings import (
    Drift,
    ElectionSettings,
    Limits,
    PeerSettings,
    RolloutSettings,
    RuntimeSettings,
    Settings,
    TreeSettings,
    WatchMode,
    Writers,
)
from syncagent.settings.reload import changes_that_need_restart, reloaded

TREE = TreeSettings(TreeName("synapse"), TreeKind.SYNAPSE, "/a")
OLD = Settings(cluster="c", node=NodeName("n"), state_dir="/s", trees=(TREE,))
LIVE = replace(
    OLD,
    peers=(PeerSettings(NodeName("m"), "m:1", ""),),
    limits=Limits(poll_s=9.0),
    rollout=RolloutSettings(ordered=True),
    trees=(replace(TREE, drift=Drift.REPORT),),
)


def test_peers_limits_rollout_and_drift_are_taken_up_without_a_restart() -> None:
    assert changes_that_need_restart(OLD, LIVE) == []
    assert reloaded(OLD, LIVE) == LIVE


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        (replace(OLD, cluster="d"), "cluster.name: c -> d"),
        (replace(OLD, node=NodeName("m")), "node.name: n -> m"),
        (replace(OLD, state_dir="/t"), "node.state_dir: /s -> /t"),
        (replace(OLD, listen="h:1"), "node.listen: nothing -> h:1"),
        (replace(OLD, apply=False), "node.apply: True -> False"),
        (replace(OLD, writers=Writers.ANY), "cluster.writers: manager -> any"),
        (replace(OLD, gateway_home="/g"), "gateway.home: nothing -> /g"),
        (replace(OLD, election=ElectionSettings(lease_s=20.0)), "election.lease: 15.0 -> 20.0"),
        (replace(OLD, runtime=RuntimeSettings(kind="none")), "runtime.kind: auto -> none"),
        (replace(OLD, trees=()), "tree synapse: taken out"),
        (replace(OLD, trees=(TREE, replace(TREE, name=TreeName("x")))), "tree x: added"),
        (replace(OLD, trees=(replace(TREE, watch=WatchMode.POLL),)), "tree synapse: changed"),
    ],
)
def test_what_is_held_open_needs_a_restart(new: Settings, expected: str) -> None:
    assert changes_that_need_restart(OLD, new) == [expected]
    assert reloaded(OLD, new) == OLD


def test_every_change_is_named_and_what_can_be_taken_up_is() -> None:
    new = replace(LIVE, listen="h:1", state_dir="/t")
    assert len(changes_that_need_restart(OLD, new)) == 2
    assert reloaded(OLD, new) == LIVE
