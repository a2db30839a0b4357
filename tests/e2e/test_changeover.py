"""A running cluster goes from push to a share and back, node by node, and nothing is lost."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.e2e.cluster import Agent, Cluster, Sections, files_of, until

ROOT = Path(__file__).resolve().parents[2]
RELEASE = ROOT / "tests/data/corpus/apim-releases/v3.0.0/synapse-configs/default"
FAULT = "sequences/_auth_failure_handler_.xml"
MAIN = "sequences/main.xml"

pytestmark = pytest.mark.e2e


class ChangingCluster(Cluster):
    """Nodes that each go from form to form: `push`, `shadow` or `in-place` on `share`."""

    def __init__(self, folder: Path, nodes: Mapping[str, Path | None]) -> None:
        self.share = folder / "mnt" / "synapse"
        self.share.mkdir(parents=True)
        super().__init__(folder, nodes)

    def change(self, agent: Agent, form: str) -> None:
        """Stop a node, give it the settings of a form, and start it."""
        assert agent.end() == 0, agent.log.read_text()
        self.change_before_start(agent, form)
        self.start(agent.name)

    def change_before_start(self, agent: Agent, form: str) -> None:
        """Give a node the settings of a form."""
        sections: Sections
        if form == "shadow":
            sections = {"cluster": {"mode": "shared"}, "tree": {"share": str(self.share)}}
        elif form == "in-place":
            shared = {"form": "in-place"}
            sections = {
                "cluster": {"mode": "shared"},
                "shared": shared,
                "tree": {"path": str(self.share)},
            }
        else:
            sections = {}
        self.own = {**self.own, agent.name: sections}
        self.write_settings(agent, self.keys)

    def revision(self) -> int:
        """Return the number of the current revision."""
        status = self.manager.answer("status")
        assert isinstance(status, dict)
        number = status["revision"]
        assert isinstance(number, int)
        return number

    def wait(self) -> None:
        """Wait until every node says that it is synced."""
        until(self.synced, "every node is Synced")


def append(path: Path, words: str) -> bytes:
    """Edit an artifact as a person or a runtime would; return its bytes."""
    content = path.read_bytes() + f"<!-- {words} -->\n".encode()
    path.write_bytes(content)
    return content


def displaced(agent: Agent) -> list[object]:
    """Return all bytes that a node keeps because they were not where they belonged."""
    return [agent.ask("get", name) for name in ("quarantine", "conflicts")]


def test_from_push_to_a_share_in_both_forms_and_back(tmp_path: Path) -> None:
    with ChangingCluster(tmp_path, {"gw-1": RELEASE, "gw-2": None}) as cluster:
        manager, worker = cluster["gw-1"], cluster["gw-2"]
        cluster.start()
        cluster.wait_synced()
        first = cluster.revision()

        # To the share as a source: it is prepared once, and fills itself.
        for agent in (worker, manager):
            cluster.change(agent, "shadow")
            made = agent.run("init", "--share", "--force")
            assert made.returncode == 0, made.stderr
        cluster.wait()
        until(lambda: files_of(cluster.share) == files_of(manager.tree), "the share is filled")
        assert cluster.revision() == first, "nothing has changed"
        wanted = append(cluster.share / FAULT, "on the share")
        until(lambda: files_of(worker.tree)[FAULT] == wanted, "every tree has it")

        # To the share as the trees of all: what the nodes know is what is there.
        for agent in (worker, manager):
            cluster.change(agent, "in-place")
        cluster.wait()
        second = cluster.revision()
        assert second == first + 1
        local = files_of(worker.tree)
        wanted = append(cluster.share / MAIN, "in place")
        until(lambda: cluster.revision() == second + 1, "it is declared")
        cluster.wait()
        assert files_of(worker.tree) == local, "what nobody uses is left alone"

        # Back to trees of the nodes' own: they are what the share holds, copied by a person.
        for agent in (worker, manager):
            shutil.rmtree(agent.tree)
            shutil.copytree(cluster.share, agent.tree, ignore=shutil.ignore_patterns(".syncagent*"))
            cluster.change(agent, "shadow")
        cluster.wait()
        assert cluster.revision() == second + 1
        wanted = append(worker.tree / FAULT, "by the worker's runtime")
        until(lambda: files_of(cluster.share)[FAULT] == wanted, "the share has it")
        cluster.wait()

        # And without a share again.
        for agent in (worker, manager):
            cluster.change(agent, "push")
        cluster.wait_synced()
        third = cluster.revision()
        assert third == second + 2
        wanted = append(manager.tree / MAIN, "by push")
        until(lambda: files_of(worker.tree)[MAIN] == wanted, "it is pushed")
        assert files_of(cluster.share)[MAIN] != wanted, "the share is left as it was"
        for agent in cluster:
            assert displaced(agent) == [[], []], f"nothing was displaced on {agent.name}"


def hold_of(agent: Agent, words: str) -> str:
    """Wait for the one hold that says these words; return its id."""
    found: list[str] = []

    def there() -> bool:
        rows = agent.answer("held")
        assert isinstance(rows, list)
        found[:] = [str(row["id"]) for row in rows if words in str(row)]
        return bool(found)

    until(there, f"a hold that says {words!r}")
    assert len(found) == 1
    return found[0]


def test_a_share_that_holds_other_artifacts_than_a_cluster_with_a_revision_waits(
    tmp_path: Path,
) -> None:
    with ChangingCluster(tmp_path, {"gw-1": RELEASE}) as cluster:
        manager = cluster.manager
        cluster.start()
        cluster.wait()
        shutil.rmtree(cluster.share)
        shutil.copytree(RELEASE, cluster.share)
        other = append(cluster.share / FAULT, "of the share")
        cluster.change(manager, "shadow")
        made = manager.run("init", "--share", "--force")
        assert made.returncode == 0, made.stderr
        name = hold_of(manager, "meets it for the first time")
        shown = manager.run("diff", "share")
        assert FAULT in shown.stdout, shown.stderr
        assert (cluster.share / FAULT).read_bytes() == other
        assert manager.run("approve", name).returncode == 0
        until(lambda: files_of(cluster.share) == files_of(manager.tree), "the share is equal")
        kept = list((cluster.share.parent / ".syncagent/quarantine").iterdir())
        assert other in [path.read_bytes() for path in kept]


def test_a_tree_that_is_empty_after_a_change_is_held_and_filled_on_a_word(tmp_path: Path) -> None:
    with ChangingCluster(tmp_path, {"gw-1": RELEASE}) as cluster:
        manager = cluster.manager
        shutil.rmtree(cluster.share)
        shutil.copytree(RELEASE, cluster.share)
        cluster.change_before_start(manager, "in-place")
        assert manager.run("init", "--share", "--force").returncode == 0
        cluster.start()
        cluster.wait()
        shutil.rmtree(manager.tree)
        manager.tree.mkdir()
        cluster.change(manager, "shadow")
        name = hold_of(manager, "that is the whole tree")
        wanted = files_of(cluster.share)
        assert wanted == files_of(RELEASE)
        assert manager.run("reject", name).returncode == 0
        until(lambda: files_of(manager.tree) == wanted, "the tree is filled")
        assert files_of(cluster.share) == wanted
