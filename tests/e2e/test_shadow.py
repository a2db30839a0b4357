"""A share as the source: what changes there or in any node's tree becomes equal everywhere."""

import os
import signal
from pathlib import Path

import pytest

from syncagent.core.digest import digest_of
from tests.e2e.cluster import files_of, until
from tests.e2e.shadowed import ShadowCluster, keeper_of

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "tests/data/corpus/apim-releases/v3.0.0/synapse-configs/default"
FAULT = "sequences/_auth_failure_handler_.xml"
MAIN = "sequences/main.xml"
BUILD = "sequences/_build_.xml"

pytestmark = pytest.mark.e2e


def test_a_change_on_the_share_reaches_every_tree_and_one_in_any_tree_the_share(
    tmp_path: Path,
) -> None:
    nodes = {"gw-1": RELEASE, "gw-2": None, "gw-3": None}
    with ShadowCluster(tmp_path, nodes, RELEASE) as cluster:
        cluster.start()
        cluster.wait_synced()
        assert cluster.share_row(cluster.manager)["role"] == "share"

        on_the_share = cluster.share / FAULT
        on_the_share.write_bytes(on_the_share.read_bytes() + b"<!-- on the share -->\n")
        cluster.wait_synced()
        assert files_of(cluster["gw-2"].tree)[FAULT].endswith(b"<!-- on the share -->\n")

        # A keeper that dies is followed by another.
        died = keeper_of(cluster.manager)
        assert died is not None
        os.kill(died, signal.SIGKILL)
        on_the_share.write_bytes(on_the_share.read_bytes() + b"<!-- without a keeper -->\n")
        until(cluster.equal, "the next keeper sees it")
        assert keeper_of(cluster.manager) not in {None, died}

        on_a_node = cluster["gw-3"].tree / FAULT
        on_a_node.write_bytes(on_a_node.read_bytes() + b"<!-- by a runtime -->\n")
        until(lambda: on_the_share.read_bytes() == on_a_node.read_bytes(), "the share has it")
        cluster.wait_synced()
        assert files_of(cluster.manager.tree)[FAULT].endswith(b"<!-- by a runtime -->\n")
    for agent in cluster:
        assert agent.process is not None
        assert agent.process.returncode == 0, agent.log.read_text()


def append(path: Path, words: str) -> bytes:
    """Edit an artifact as a person or a runtime would; return its bytes."""
    content = path.read_bytes() + f"<!-- {words} -->\n".encode()
    path.write_bytes(content)
    return content


def test_another_nodes_keeper_goes_on_where_that_of_a_dead_manager_was(tmp_path: Path) -> None:
    nodes = {"gw-1": RELEASE, "gw-2": RELEASE, "gw-3": None}
    with ShadowCluster(tmp_path, nodes, RELEASE) as cluster:
        cluster.start()
        cluster.wait_synced()
        append(cluster.share / FAULT, "before")
        cluster.wait_synced()
        revision = cluster.share_row(cluster.manager)["revision"]
        orphan = keeper_of(cluster.manager)
        cluster.manager.kill()
        until(lambda: not Path(f"/proc/{orphan}").exists(), "the keeper dies with its node")

        # Nobody leads: what is changed waits, and is not reverted.
        on_the_share = append(cluster.share / FAULT, "on the share, unled")
        on_a_node = append(cluster["gw-3"].tree / MAIN, "on gw-3, unled")
        both = [
            append(place / BUILD, str(place)) for place in (cluster.share, cluster["gw-3"].tree)
        ]

        heir = cluster["gw-2"]
        promoted = heir.run("promote", "--force")
        assert promoted.returncode == 0, promoted.stderr
        until(lambda: files_of(heir.tree)[FAULT] == on_the_share, "gw-2 has the share's change")
        until(lambda: files_of(cluster.share)[MAIN] == on_a_node, "the share has gw-3's change")
        until(lambda: cluster.share_row(heir)["revision"] != revision, "it goes on from there")
        cluster.start("gw-1")
        until(cluster.equal, "gw-1 follows")

        # Of what was changed in two places one won, and the other is kept and listed.
        won = files_of(heir.tree)[BUILD]
        (lost,) = (content for content in both if content != won)
        conflicts = heir.ask("get", "conflicts")
        assert isinstance(conflicts, list)
        assert [row["path"] for row in conflicts] == [BUILD]
        assert conflicts[0]["digest"] == digest_of(lost)
        assert keeper_of(cluster["gw-1"]) is None


def test_a_frozen_manager_and_its_keeper_change_nothing_when_they_go_on(tmp_path: Path) -> None:
    with ShadowCluster(tmp_path, {"gw-1": RELEASE, "gw-2": RELEASE}, RELEASE) as cluster:
        cluster.start()
        cluster.wait_synced()
        former, heir = cluster["gw-1"], cluster["gw-2"]
        frozen = keeper_of(former)
        assert frozen is not None
        os.kill(frozen, signal.SIGSTOP)
        former.pause()
        try:
            assert heir.run("promote", "--force").returncode == 0
            content = append(cluster.share / FAULT, "while they were frozen")
            until(lambda: files_of(heir.tree)[FAULT] == content, "gw-2 leads the share")
        finally:
            os.kill(frozen, signal.SIGCONT)
            former.resume()
        until(lambda: files_of(former.tree)[FAULT] == content, "gw-1 follows")
        until(lambda: keeper_of(former) is None, "its keeper ends")
        until(lambda: heir.run("wait", "--timeout", "5s").returncode == 0, "all are in sync")
        assert files_of(cluster.share) == files_of(heir.tree)
        assert files_of(cluster.share)[FAULT] == content


def test_a_node_that_comes_back_takes_from_the_share_what_it_missed(tmp_path: Path) -> None:
    with ShadowCluster(tmp_path, {"gw-1": RELEASE, "gw-2": RELEASE}, RELEASE) as cluster:
        cluster.start()
        cluster.wait_synced()
        away = cluster["gw-2"]
        away.end()
        for number in range(3):
            noise = os.urandom(40_000).hex()
            (cluster.share / f"sequences/big{number}.xml").write_text(
                f'<sequence xmlns="http://ws.apache.org/ns/synapse" name="big{number}">'
                f"<!-- {noise} --></sequence>"
            )
        until(
            lambda: "sequences/big2.xml" in files_of(cluster.manager.tree), "the manager has them"
        )
        cluster.start("gw-2")
        cluster.wait_synced()
        said = [
            event["fields"]
            for event in away.ask("events")  # type: ignore[attr-defined]
            if event["what"] == "share-read"
        ]
        assert [(row["found"], row["left"]) for row in said] == [(3, 0)]


def test_a_share_without_its_mark_is_left_alone_until_it_has_it(tmp_path: Path) -> None:
    with ShadowCluster(tmp_path, {"gw-1": RELEASE}, RELEASE) as cluster:
        mark = cluster.share / ".syncagent-root"
        mark.rename(tmp_path / "mark")
        cluster.start()
        until(
            lambda: "has no .syncagent-root" in str(cluster.share_row(cluster.manager)["reason"]),
            "the share's row says why",
        )
        assert not (cluster.share.parent / ".syncagent").exists()
        waited = cluster.manager.run("wait", "--synced", "--timeout", "30s")
        assert waited.returncode == 0, waited.stderr
        (tmp_path / "mark").rename(mark)
        cluster.wait_synced()


def test_what_vanishes_from_a_share_at_once_is_held_and_what_is_invalid_is_refused(
    tmp_path: Path,
) -> None:
    with ShadowCluster(tmp_path, {"gw-1": RELEASE, "gw-2": RELEASE}, RELEASE) as cluster:
        cluster.start()
        cluster.wait_synced()
        whole = files_of(cluster.share)
        manager = cluster.manager

        (cluster.share / MAIN).write_text("<sequence name='main'>")
        until(lambda: cluster.share_row(manager)["refused"] == 1, "the share refuses it")
        refused = manager.ask("get", "refused")
        assert isinstance(refused, list)
        assert [(row["node"], row["path"]) for row in refused] == [("share", MAIN)]
        (cluster.share / MAIN).write_bytes(whole[MAIN])
        until(lambda: cluster.share_row(manager)["refused"] == 0, "it is mended")

        for path in whole:
            (cluster.share / path).unlink()
        until(lambda: cluster.share_row(manager)["state"] == "Held", "the deletions are held")
        assert files_of(manager.tree) == files_of(cluster["gw-2"].tree) == whole
        held = manager.ask("get", "held")
        assert isinstance(held, list)
        approved = manager.run("approve", held[0]["id"])
        assert approved.returncode == 0, approved.stderr
        until(lambda: files_of(cluster["gw-2"].tree) == {}, "they reach the other node")
        cluster.wait_synced()
