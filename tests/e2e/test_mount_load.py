"""A share that is taken away and comes back again and again while people edit: nothing is lost.

Edits go on at the share, in a node's own tree and at the share's back all the time. Whatever is unmounted
lazily under a writer keeps its writes: they are behind the mount.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.artifacts import fill, sequence
from tests.e2e.cluster import files_of, until
from tests.e2e.mounted_trees import Witness
from tests.e2e.shadowed import ShadowCluster, prepare_share
from tests.servers.mounts import UNCACHED, sshfs

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

TIMES = 2
EDIT_EVERY_S = 0.05
LIMITS = {"limits": {"poll": "1s", "safety_scan": "5s"}}


class Editor:
    """Writes sequences anew, each whole and by a rename, until it is stopped."""

    def __init__(self, tree: Path, names: tuple[str, ...]) -> None:
        self.tree = tree
        self.names = names
        self.edits = 0

    @contextmanager
    def editing(self) -> Iterator[None]:
        stopped = threading.Event()
        thread = threading.Thread(target=self._edit, args=(stopped,))
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def _edit(self, stopped: threading.Event) -> None:
        while not stopped.wait(EDIT_EVERY_S):
            name = self.names[self.edits % len(self.names)]
            self.edits += 1
            self.write(name, str(self.edits))

    def write(self, name: str, note: str) -> None:
        part = self.tree / f".{name}.part"
        part.write_bytes(sequence(name, note))
        part.rename(self.tree / f"sequences/{name}.xml")


def is_away(cluster: ShadowCluster) -> bool:
    """Tell whether status says that the share can't be used."""
    return cluster.share_row(cluster.manager)["state"] in {"Held", "Offline"}


def settled(cluster: ShadowCluster) -> bool:
    """Tell whether all have the same, and stand on the same.

    A keeper that could not write when its mount went says so for two minutes: it is `Degraded`.
    """
    status = cluster.manager.answer("status")
    assert isinstance(status, dict)
    rows = status["nodes"]
    assert isinstance(rows, list)
    return cluster.equal() and all(
        row["revision"] == status["revision"] and row["state"] in {"Synced", "Degraded"}
        for row in rows
    )


def test_a_share_that_goes_and_comes_under_edits_loses_none(tmp_path: Path) -> None:
    source, behind, point = (tmp_path / name for name in ("source", "behind", "point"))
    for folder in (behind, point):
        folder.mkdir()
    fill(source, apis=2, sequences=6)
    prepare_share(behind / "synapse", source)
    with (
        sshfs(tmp_path / "serves", behind, point, *UNCACHED) as mount,
        ShadowCluster(
            tmp_path / "nodes",
            {"gw-1": source, "gw-2": source},
            None,
            mount=point,
            sections=LIMITS,
        ) as cluster,
    ):
        cluster.start()
        until(cluster.synced, "every node is Synced")
        manager, worker = cluster
        full = files_of(worker.tree).keys()
        witness = Witness()
        for agent in cluster:
            witness.watch(agent.tree)
        witness.watch(behind)
        on_the_share = Editor(behind / "synapse", ("Sequences000", "Sequences001"))
        on_a_node = Editor(worker.tree, ("Sequences002", "Sequences003"))
        with witness.watching(), on_the_share.editing(), on_a_node.editing():
            for _ in range(TIMES):
                mount.unmount(lazy=True)
                until(lambda: is_away(cluster), "it is told that it is not there")
                assert list(point.iterdir()) == [], "nothing is written where it was mounted"
                mount.process.kill()
                mount.serve()
                until(lambda: not is_away(cluster), "it is there again")
        # What is written at the very moment of a commit is kept aside: the last words are in peace.
        until(lambda: settled(cluster), "all is quiet")
        on_the_share.write("Sequences000", "the last of the share")
        on_a_node.write("Sequences002", "the last of the node")
        until(
            lambda: b"the last of the share" in files_of(worker.tree)["sequences/Sequences000.xml"],
            "what the share says last arrives",
        )
        until(lambda: settled(cluster), "every node and the share are equal")
        assert b"the last of the node" in files_of(behind / "synapse")["sequences/Sequences002.xml"]
        assert files_of(behind / "synapse").keys() == full
        assert witness.taken == []
        assert on_the_share.edits > 50
        revisions = manager.ask("get", "revisions")
        assert isinstance(revisions, list)
        assert [row for row in revisions if row["deleted"]] == []
