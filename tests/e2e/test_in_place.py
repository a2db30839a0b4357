"""Trees that are a mount of all nodes, each seen through a FUSE mount of its own, as real hosts do.

A kernel tells of what is done through one of these mounts only there, and each caches by itself. The
polls are so rare that nothing is seen by one while a test lasts.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.e2e.artifacts import sequence
from tests.e2e.cluster import Agent, Cluster, files_of, until
from tests.e2e.shadowed import mark_root
from tests.servers.mounts import bindfs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from syncagent.core.desk import JSON
    from tests.servers.mounts import Mount

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

NAMES = ("gw-1", "gw-2", "gw-3")
RARELY = {"poll": "10m", "safety_scan": "1h", "reconcile": "1h"}


class InPlace(Cluster):
    """Three nodes on one folder, `behind`; each has its own mount of it."""

    def __init__(self, folder: Path, limits: Mapping[str, str]) -> None:
        self.behind = folder / "behind"
        (self.behind / "sequences").mkdir(parents=True)
        for name in ("one", "two", "three"):
            (self.behind / f"sequences/{name}.xml").write_bytes(sequence(name))
        mark_root(self.behind, "loopback", "synapse")
        self.mounts: dict[str, Mount] = {}
        self._stack = ExitStack()
        shared = {"mode": "shared"}
        sections = {"cluster": shared, "shared": {"form": "in-place"}, "limits": limits}
        super().__init__(folder / "nodes", dict.fromkeys(NAMES), sections)
        try:
            for agent in self:
                self.mount(agent)
        except BaseException:
            self._stack.close()
            raise

    def mount(self, agent: Agent) -> None:
        """Mount the folder for a node."""
        place = self.folder / f"serves-{agent.name}-{len(self.mounts)}"
        place.mkdir()
        mount = self._stack.enter_context(bindfs(place, self.behind, agent.tree))
        self.mounts[agent.name] = mount

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._stack.close()

    def revision(self) -> int:
        """Return the newest revision that the manager knows."""
        status = self.leader.answer("status")
        assert isinstance(status, dict)
        return int(status["revision"])

    @property
    def leader(self) -> Agent:
        return next(a for a in self if a.runs and a.own_row()["role"] == "manager")

    def all_stand_on(self, number: int) -> bool:
        """Tell whether every node stands on a revision and sees it on its mount."""
        rows = [agent.own_row() for agent in self if agent.runs]
        return all((row["state"], row["revision"]) == ("Synced", number) for row in rows)

    def inodes(self) -> dict[str, tuple[int, int]]:
        """Return what changes when a file is rewritten or touched: inode and mtime."""
        found = {}
        for path in files_of(self.behind):
            status = (self.behind / path).stat()
            found[path] = (status.st_ino, status.st_mtime_ns)
        return found


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InPlace]:
    with InPlace(tmp_path_factory.mktemp("in-place"), RARELY) as cluster:
        cluster.start()
        until(lambda: cluster.all_stand_on(1), "all stand on the first revision")
        yield cluster


@pytest.mark.parametrize("name", NAMES)
def test_a_change_by_any_node_is_declared_once_and_seen_by_all_without_their_polls(
    cluster: InPlace, name: str
) -> None:
    number = cluster.revision()
    (cluster[name].tree / f"sequences/by-{name}.xml").write_bytes(sequence(f"by-{name}"))
    until(lambda: cluster.all_stand_on(number + 1), f"all have what {name} wrote")
    (cluster[name].tree / "sequences/one.xml").write_bytes(sequence("one", name))
    until(lambda: cluster.all_stand_on(number + 2), f"all have what {name} changed")
    written = cluster.inodes()
    done = cluster.leader.run("wait", "--timeout", "60s")
    assert done.returncode == 0, done.stderr
    assert cluster.revision() == number + 2
    assert cluster.inodes() == written, "nobody has rewritten anything"
    assert not (cluster.behind / ".syncagent").exists(), "nobody has written beside it either"
    for agent in cluster:
        revisions = agent.ask("get", "revisions")
        assert isinstance(revisions, list)
        assert int(revisions[0]["number"]) == number + 2


def test_what_is_for_one_node_only_is_refused_with_a_way_out(cluster: InPlace) -> None:
    for command in (("redeploy", "sequence/two", "--node", "gw-2"), ("undeploy", "sequence/two")):
        for name in ("gw-1", "gw-2"):
            done = cluster[name].run(*command)
            assert done.returncode == 6, (command, name, done.stderr)
            assert "in-place" in done.stderr
    before = cluster.inodes()
    assert cluster["gw-2"].run("redeploy", "sequence/two").returncode == 7
    assert cluster.inodes() == before
    done = cluster.leader.run("redeploy", "sequence/two")
    assert done.returncode == 0, done.stderr
    until(lambda: cluster.inodes() != before, "the file is touched")
    after = cluster.inodes()
    assert {path for path in after if after[path] != before[path]} == {"sequences/two.xml"}


def test_a_status_says_what_can_not_be_kept(cluster: InPlace) -> None:
    for agent in cluster:
        done = agent.run("status", "-o", "wide")
        assert "mode shared (in-place)" in done.stdout
        assert "Promises 1, 2, 3 are not kept" in done.stdout
        status = agent.ask("status")
        assert isinstance(status, dict)
        assert (status["mode"], status["form"], status["not_kept"]) == (
            "shared",
            "in-place",
            [1, 2, 3],
        )


def test_a_mount_that_is_taken_from_all_nodes_takes_nothing_with_it(tmp_path: Path) -> None:
    with InPlace(tmp_path, {"poll": "2s"}) as cluster:
        cluster.start()
        until(lambda: cluster.all_stand_on(1), "all stand on the first revision")
        before = cluster.inodes()
        for mount in cluster.mounts.values():
            mount.unmount(lazy=True)
        for agent in cluster:
            until(lambda agent=agent: held(agent), f"{agent.name} is held")  # type: ignore[misc]
        assert cluster.revision() == 1
        for agent in cluster:
            cluster.mount(agent)
        until(lambda: cluster.all_stand_on(1), "all go on by themselves")
        assert cluster.inodes() == before
        (cluster["gw-3"].tree / "sequences/new.xml").write_bytes(sequence("new"))
        until(lambda: cluster.all_stand_on(2), "and take what comes")
        for agent in cluster:
            assert not [row for row in changes(agent) if row["change"] == "delete"]


def held(agent: Agent) -> bool:
    row = agent.own_row()
    return row["state"] == "Held" and "root" in str(row["reason"]).lower()


def changes(agent: Agent) -> list[dict[str, JSON]]:
    """Return what all revisions have changed, as this node remembers them."""
    done = agent.run("diff", "1", "2", "-o", "json")
    listed = json.loads(done.stdout)["changes"]
    assert isinstance(listed, list)
    return listed


def test_the_next_manager_goes_on_from_what_is_on_the_mount(tmp_path: Path) -> None:
    with InPlace(tmp_path, {"poll": "2s"}) as cluster:
        cluster.start()
        until(lambda: cluster.all_stand_on(1), "all stand on the first revision")
        dead, heir = cluster["gw-1"], cluster["gw-2"]
        dead.kill()
        (cluster["gw-3"].tree / "sequences/two.xml").write_bytes(sequence("two", "unled"))
        before = cluster.inodes()
        done = heir.run("promote", "--force")
        assert done.returncode == 0, done.stderr
        until(lambda: cluster.all_stand_on(2), "what was written while nobody led is declared")
        cluster.start("gw-1")
        until(lambda: cluster.all_stand_on(2), "the former manager follows")
        assert dead.own_row()["role"] == "worker"
        assert cluster.inodes() == before


def test_a_manager_that_was_frozen_writes_nothing_when_it_goes_on(tmp_path: Path) -> None:
    with InPlace(tmp_path, {"poll": "2s"}) as cluster:
        cluster.start()
        until(lambda: cluster.all_stand_on(1), "all stand on the first revision")
        former, heir = cluster["gw-1"], cluster["gw-2"]
        former.pause()
        try:
            assert heir.run("promote", "--force").returncode == 0
            (cluster["gw-3"].tree / "sequences/two.xml").write_bytes(sequence("two", "frozen"))
            until(lambda: heir.own_row()["revision"] == 2, "its successor declares")
            before = cluster.inodes()
        finally:
            former.resume()
        until(lambda: former.own_row()["role"] == "worker", "it follows")
        until(lambda: cluster.all_stand_on(2), "all stand on the second revision")
        assert cluster.inodes() == before


def test_only_the_manager_puts_back_what_a_person_rejects_to_lose(tmp_path: Path) -> None:
    with InPlace(tmp_path, {"poll": "2s"}) as cluster:
        cluster.start()
        until(lambda: cluster.all_stand_on(1), "all stand on the first revision")
        content = files_of(cluster.behind)
        for path in content:
            (cluster["gw-3"].tree / path).unlink()
        until(lambda: holds(cluster.leader), "the deletion of all waits for a person")
        assert cluster.leader.run("reject", holds(cluster.leader)[0]).returncode == 0
        until(lambda: files_of(cluster.behind) == content, "the manager puts them back")
        until(lambda: cluster.all_stand_on(1), "all see them")
        written = cluster.inodes()
        assert cluster.leader.run("wait", "--timeout", "30s").returncode == 0
        assert cluster.inodes() == written
        assert not list(cluster.behind.rglob("*.part"))


def holds(agent: Agent) -> list[str]:
    """Return the ids of deletions that wait."""
    status = agent.answer("status")
    assert isinstance(status, dict)
    return [str(row["id"]) for row in status["held"] if row["kind"] != "root-missing"]
