"""A cluster with many trees, each seen through a mount of its own: a row of the matrix for each.

    with many_trees(folder, ROWS, on="gw-1") as trees:
        trees.breaks()
        check_broken(trees, "hung")
        trees.mends()

A row names a kind of mount, what befalls it, and how it is mended. All of them are broken at once and mended
at once, for most of what a test of them takes is waiting. One node (`on`) has its trees on the mounts, the
other the same trees on its own disk: what the first makes of a broken mount shows there, for any node
may write. Each has a tree without a mount, too. Nothing here looks at a mount: what it shows is read
behind it.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from syncagent.core.digest import digest_of
from tests.e2e.artifacts import api, fill
from tests.e2e.cluster import Agent, Cluster, Sections, as_toml, files_of, until
from tests.e2e.shadowed import mark_root
from tests.servers.mounts import Mount

CLUSTER = "matrix"
SECTIONS: Sections = {
    "limits": {"poll": "1s", "safety_scan": "5s"},
    "cluster": {"name": CLUSTER, "writers": "any"},
}

STALLED_S = 15.0
"""A mount that hangs is to be told of in this time."""
BUSY_S = 5.0
"""How much later it may be seen here: the machine is busy with other tests."""

IN_PLACE = frozenset({"unreadable", "root-missing", "root-replaced"})
"""Kinds of hold where trees have marks: one that is not to be seen there is missing, or unreadable."""
NEW = api("Api000", note="new")
EDITED = str(digest_of(NEW))

Fault = Callable[[Mount], None]


@dataclass(frozen=True)
class Shown:
    """A hold: its kind is one of these, and its reason has these words in it."""

    kinds: frozenset[str]
    words: str = ""


@dataclass(frozen=True)
class Row:
    """One line of the matrix. `make(folder, behind, point)` mounts."""

    make: Callable[[Path, Path, Path], AbstractContextManager[Mount]]
    breaks: Fault
    mends: Fault
    shown: Shown | None
    """What says so; None: nothing is wrong with it, as far as an agent can know."""


class ManyTrees(Cluster):
    """Two nodes with a tree for each name; in place both have the same, `on` sees it through mounts."""

    def __init__(self, folder: Path, names: list[str], on: str, *, in_place: bool) -> None:
        self.names = names
        self.on = on
        self.in_place = in_place
        self._root = folder
        fill(folder / "source", apis=3, sequences=2)
        nodes = {"gw-1": folder / "source", "gw-2": None}
        for node in nodes:
            for name in names:
                self.at(node, name).mkdir(parents=True, exist_ok=True)
        own: dict[str, Sections] = {}
        sections = SECTIONS
        if in_place:
            sections = {
                **SECTIONS,
                "cluster": {"name": CLUSTER, "mode": "shared"},
                "shared": {"form": "in-place"},
            }
            own["gw-2"] = {"tree": {"path": str(folder / "nodes/gw-1/tree")}}
        super().__init__(folder / "nodes", nodes, sections, own=own)
        if in_place:
            mark_root(self.manager.tree, CLUSTER, "synapse")

    def behind(self, name: str) -> Path:
        """Return what a mount shows."""
        return self._root / "behind" / name

    def at(self, node: str, name: str) -> Path:
        """Return where a tree of a node is."""
        if self.in_place and node != self.on:
            return self.behind(name)
        return self._root / "trees" / node / name / "tree"

    def write_settings(self, agent: Agent, keys: Mapping[str, str]) -> None:
        super().write_settings(agent, keys)
        text = agent.settings.read_text()
        for name in self.names:
            path = str(self.at(agent.name, name))
            text += as_toml({"[tree]": {"name": name, "kind": "synapse", "path": path}})
        agent.settings.write_text(text)


class Witness(FileSystemEventHandler):
    """Sees from outside which artifacts are taken away, whoever does it.

    A file that is exchanged for one from elsewhere is told of as deleted, too: it is there when asked for.
    """

    def __init__(self) -> None:
        self.taken: list[str] = []
        self._observer = Observer()

    def watch(self, tree: Path) -> None:
        self._observer.schedule(self, str(tree), recursive=True)

    @contextmanager
    def watching(self) -> Iterator[None]:
        self._observer.start()
        try:
            yield
        finally:
            self._observer.stop()
            self._observer.join()

    def on_deleted(self, event: FileSystemEvent) -> None:
        path = Path(str(event.src_path))
        if any(part.startswith(".") for part in path.parts):
            return
        try:
            path.lstat()
        except FileNotFoundError:
            self.taken.append(str(path))


@dataclass
class Trees:
    """The cluster, its mounts by their rows' names, and what all trees held when all was well."""

    cluster: ManyTrees
    rows: Mapping[str, Row]
    on: str
    mounts: dict[str, Mount]
    full: dict[str, dict[str, bytes]] = field(default_factory=dict)
    revision_at_first: int = 0
    witness: Witness = field(default_factory=Witness)

    def breaks(self) -> None:
        for name, row in self.rows.items():
            row.breaks(self.mounts[name])

    def mends(self) -> None:
        for name, row in self.rows.items():
            row.mends(self.mounts[name])

    def behind(self, name: str) -> dict[str, bytes]:
        return files_of(self.mounts[name].behind)

    def there(self, name: str) -> dict[str, bytes]:
        """Return a tree as the other node has it, on its own disk."""
        return files_of(self.cluster.at(self.other, name))

    @property
    def other(self) -> str:
        """The node without mounts."""
        return "gw-2" if self.on == "gw-1" else "gw-1"

    def holds(self, name: str) -> dict[str, str]:
        """Return a tree's holds where its mount is: kind and reason."""
        rows = self.cluster[self.on].answer("held")
        assert isinstance(rows, list)
        return {str(row["kind"]): str(row["reason"]) for row in rows if row["tree"] == name}

    def revision(self) -> int:
        status = self.cluster.manager.answer("status")
        assert isinstance(status, dict)
        return int(status["revision"])

    def declared(self, name: str) -> str:
        """Return the digest that the revision has of the API that is edited."""
        told = self.cluster.manager.answer("describe", artifact=f"{name}:api/Api000.xml")
        assert isinstance(told, dict)
        return str(told["digest"])

    def quarantined(self) -> list[object]:
        """Return what either node has displaced or deleted."""
        found: list[object] = []
        for agent in self.cluster:
            rows = agent.answer("quarantine")
            assert isinstance(rows, list)
            found += rows
        return found


@contextmanager
def many_trees(
    folder: Path, rows: Mapping[str, Row], *, on: str, in_place: bool = False
) -> Iterator[Trees]:
    """Run the cluster; it is in sync, and nothing is broken yet."""
    with ExitStack() as stack:
        cluster = stack.enter_context(ManyTrees(folder, list(rows), on, in_place=in_place))
        # The mounts go first at the end: an agent that waits for one of them can end.
        mounts: dict[str, Mount] = {}
        trees = Trees(cluster, rows, on, mounts)
        for name, row in rows.items():
            point = cluster.at(on, name)
            behind = cluster.behind(name)
            behind.mkdir(parents=True, exist_ok=True)
            fill(behind if on == "gw-1" else cluster.at("gw-1", name), apis=3, sequences=2)
            if in_place:
                mark_root(behind, CLUSTER, name)
            made = row.make(folder / "mounts" / name, behind, point)
            mounts[name] = stack.enter_context(made)
        cluster.start()
        until(cluster.synced, "every node is Synced")
        trees.revision_at_first = trees.revision()
        for name in rows:
            trees.full[name] = trees.behind(name)
            assert len(trees.full[name]) == 5, f"{name} is not filled"
            assert trees.there(name) == trees.full[name]
            for place in {mounts[name].behind, cluster.at(trees.other, name)}:
                trees.witness.watch(place)
        with trees.witness.watching():
            yield trees


def edit(trees: Trees, name: str) -> None:
    """Change an API behind a mount."""
    (trees.mounts[name].behind / "api/Api000.xml").write_bytes(NEW)


def check_broken(trees: Trees, name: str) -> None:
    """Nothing is deleted, and the node says what it waits for."""
    shown = trees.rows[name].shown
    if shown is not None:
        until(lambda: trees.holds(name), f"a hold for {name}", STALLED_S + BUSY_S)
        ((kind, reason),) = trees.holds(name).items()
        assert kind in (IN_PLACE if trees.cluster.in_place else shown.kinds), reason
        assert shown.words in reason
        assert "Nothing was deleted" in reason
    assert trees.there(name) == trees.full[name]


def check_mended(trees: Trees, name: str) -> None:
    """The change that was made behind the mount arrives; nothing else happened, and nobody helped."""
    until(lambda: trees.there(name) == trees.behind(name), f"{name} goes on")
    until(lambda: trees.declared(name) == EDITED, f"what was written to {name} is declared")
    until(lambda: trees.holds(name) == {}, f"{name} is not held any more")
    assert trees.there(name).keys() == trees.full[name].keys()


def check_nothing_was_lost(trees: Trees) -> None:
    """Every node is in sync, and no artifact was taken away anywhere, not even for a moment."""
    until(trees.cluster.synced, "every node is Synced")
    assert trees.witness.taken == [], f"taken away: {trees.witness.taken}"
    revisions = trees.cluster.manager.ask("get", "revisions")
    assert isinstance(revisions, list)
    assert [row for row in revisions if row["deleted"]] == []
