"""Agents killed at any moment, under edits that never stop: no torn file, no leftovers, no loss."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill, sequence
from tests.e2e.cluster import POLL_S, Agent, Cluster, files_of, until

KILLS = 24

pytestmark = pytest.mark.e2e


class Reader(threading.Thread):
    """Reads every live artifact of a tree again and again, as a gateway would."""

    def __init__(self, tree: Path) -> None:
        super().__init__(daemon=True)
        self.tree = tree
        self.torn: list[str] = []
        self.read = 0
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.is_set():
            for path in self.tree.glob("*/*.xml"):
                try:
                    data = path.read_bytes()
                except FileNotFoundError:
                    continue
                self.read += 1
                whole = data.endswith((b"</api>\n", b"</sequence>\n")) and data.startswith(b"<")
                if not whole:
                    self.torn.append(f"{path}: {data[-40:]!r}")
            self.over.wait(0.002)


class Editor(threading.Thread):
    """Saves, adds and deletes artifacts as an editor does: a new file, then a rename over the old."""

    def __init__(self, tree: Path, seed: int) -> None:
        super().__init__(daemon=True)
        self.tree = tree
        self.chance = random.Random(seed)
        self.over = threading.Event()
        self.edits = 0

    def run(self) -> None:
        while not self.over.is_set():
            number = self.chance.randrange(40)
            name = f"Sequences{number:03}"
            path = self.tree / f"sequences/{name}.xml"
            if self.chance.random() < 0.1:
                path.unlink(missing_ok=True)
            else:
                note = "x" * self.chance.randrange(4000) + str(self.edits)
                new = path.with_name(f".{name}.part")
                new.write_bytes(sequence(name, note))
                new.replace(path)
            self.edits += 1
            self.over.wait(0.02)


@contextmanager
def at_work(*threads: Reader | Editor) -> Iterator[None]:
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for thread in threads:
            thread.over.set()
        for thread in threads:
            thread.join()


def leftovers(agent: Agent) -> list[str]:
    """Return staged files that nobody will ever make live."""
    return [
        str(path)
        for path in agent.folder.rglob("*")
        if path.is_file() and (path.name.endswith(".part") or "staging" in path.parts)
    ]


def test_two_dozen_kills_under_edits_leave_whole_files_and_equal_trees(tmp_path: Path) -> None:
    fill(tmp_path / "source", apis=10, sequences=40)
    chance = random.Random(20)
    nodes = {"gw-1": tmp_path / "source", "gw-2": None, "gw-3": None}
    limits = {"limits": {"reconnect_max": "1s", "delete_files": 1000, "delete_share": "100%"}}
    with Cluster(tmp_path, nodes, limits) as cluster:
        cluster.start()
        cluster.wait_synced()
        readers = [Reader(agent.tree) for agent in cluster.workers]
        editor = Editor(cluster.manager.tree, seed=7)
        with at_work(editor, *readers):
            for kill in range(KILLS):
                agent = chance.choice(list(cluster))
                pause = threading.Event()
                pause.wait(chance.random() * 0.6)  # when it is hit is what varies
                agent.kill()
                pause.wait(POLL_S)
                agent.start()
                if kill % 4 == 3:
                    until(agent.live, f"{agent.name} answers")
        for agent in cluster:
            until(agent.live, f"{agent.name} answers")
        cluster.wait_synced()
        assert [reader.torn for reader in readers] == [[], []]
        assert editor.edits > 50
        assert min(reader.read for reader in readers) > 500
        last = api("Last")
        (cluster.manager.tree / "api/Last.xml").write_bytes(last)
        for worker in cluster.workers:
            until(lambda w=worker: files_of(w.tree).get("api/Last.xml") == last, "still alive")
        cluster.wait_synced()
        for agent in cluster:
            until(lambda a=agent: leftovers(a) == [], f"nothing is left over on {agent.name}")
            assert agent.own_row()["state"] == "Synced"
        assert cluster.manager.run("reconcile").returncode == 0
