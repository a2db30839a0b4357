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
from syncagent.settings.gateway import with_known_trees
from syncagent.settings.reload import changes_that_need_restart, reloaded

TREE = TreeSettings(TreeName("synapse"), TreeKind.SYNAPSE, "/a")
OLD = Settings(cluster="c", node=NodeName("n"), state_dir="/s", trees=(TREE,))
LIVE = replace(
    OLD,
    peers=(PeerSettings(NodeName("m"), "m:1", ""),),
    limits=Limits(delete_files=9, history_revisions=5),
    rollout=RolloutSettings(canary="none", max_unavailable=0.5, on_reject="rollback", ordered=True),
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
        (
            replace(OLD, runtime=RuntimeSettings(command=("/bin/deploy", "-v"))),
            "runtime.command: nothing -> /bin/deploy -v",
        ),
        (replace(OLD, runtime=RuntimeSettings(timeout_s=5.0)), "runtime.timeout: 60.0 -> 5.0"),
        (replace(OLD, limits=Limits(poll_s=9.0)), "limits.poll: 2.0 -> 9.0"),
        (replace(OLD, limits=Limits(file_bytes=1)), "limits.file_size: 5242880 -> 1"),
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


HOME = "/opt/am"
SERVER = f"{HOME}/repository/deployment/server"
SUPER = replace(TREE, path=f"{SERVER}/synapse-configs/default")
TENANT = TreeSettings(
    TreeName("tenant-7-siddhi"), TreeKind.SIDDHI, f"{HOME}/repository/tenants/7/executionplans"
)
AT_HOME = replace(OLD, gateway_home=HOME, trees=(SUPER,))


@pytest.mark.parametrize("name", ["tenant-7", "tenant-7-siddhi", "synapse", "siddhi"])
def test_a_tree_that_comes_or_goes_at_the_home_is_no_change(name: str) -> None:
    base = f"{HOME}/repository/tenants/7" if "tenant" in name else SERVER
    below = "executionplans" if "siddhi" in name else "synapse-configs/default"
    tree = replace(TENANT, name=TreeName(name), path=f"{base}/{below}")
    more = replace(AT_HOME, trees=(tree,))
    none = replace(AT_HOME, trees=())
    assert changes_that_need_restart(none, more) == []
    assert changes_that_need_restart(more, none) == []
    assert reloaded(more, none) == more, "absence is not evidence"


def test_a_listed_tree_beside_the_home_is_a_change() -> None:
    elsewhere = replace(TENANT, path="/srv/plans")
    assert changes_that_need_restart(AT_HOME, replace(AT_HOME, trees=(SUPER, elsewhere))) == [
        "tree tenant-7-siddhi: added"
    ]


def test_a_known_tree_that_is_gone_stays_known_at_a_new_start() -> None:
    before = replace(AT_HOME, trees=(SUPER, TENANT, replace(TREE, name=TreeName("x"))))
    assert with_known_trees(AT_HOME, before).trees == (SUPER, TENANT)
    moved = replace(AT_HOME, gateway_home="/opt/other")
    assert with_known_trees(moved, before).trees == (SUPER,)
