"""Commands on a node whose agent has ended, or was killed: its own files answer."""

import json
from pathlib import Path

import pytest

from tests.e2e.artifacts import api, fill
from tests.e2e.cluster import Agent, Cluster

pytestmark = pytest.mark.e2e

LISTS = ("nodes", "artifacts", "revisions", "quarantine", "conflicts")


def state_of(agent: Agent) -> dict[str, bytes]:
    """Return the bytes of the state folder; SQLite's shared memory is no file that anybody keeps."""
    return {
        str(path.relative_to(agent.state)): path.read_bytes()
        for path in agent.state.rglob("*")
        if path.is_file() and not path.name.endswith("-shm")
    }


@pytest.mark.parametrize("killed", [False, True])
def test_a_node_without_an_agent_answers_from_its_files(tmp_path: Path, *, killed: bool) -> None:
    fill(tmp_path / "source", apis=3, sequences=3)
    with Cluster(tmp_path, {"gw-1": tmp_path / "source", "gw-2": None}) as cluster:
        cluster.start()
        cluster.wait_synced()
        manager = cluster.manager
        asked = {what: manager.ask("get", what) for what in LISTS}
        described = manager.ask("describe", "api/Api000")
        manager.kill() if killed else manager.end()
        (manager.tree / "api/Api000.xml").write_bytes(api("Api000", note="meanwhile"))
        before = state_of(manager)
        for what in LISTS:
            answer = manager.run("get", what, "-o", "json")
            assert answer.returncode == 9, answer.stderr
            assert answer.stderr.startswith("daemon not running, showing state of ")
        shown = {what: _json(manager, "get", what) for what in LISTS}
        for what in ("artifacts", "revisions", "quarantine", "conflicts"):
            assert shown[what] == asked[what]
        now = _json(manager, "describe", "api/Api000")
        assert isinstance(now, dict)
        assert isinstance(described, dict)
        assert (now["digest"], now["group"]) == (described["digest"], described["group"])
        assert now["nodes"][0]["digest"] != now["digest"], "the edit is seen"
        difference = _json(manager, "diff")
        assert isinstance(difference, dict)
        assert [row["path"] for row in difference["changes"]] == ["api/Api000.xml"]
        assert manager.run("get", "held").returncode == 9
        assert state_of(manager) == before, "nothing has changed by being looked at"


def _json(agent: Agent, *arguments: str) -> object:
    answer = agent.run(*arguments, "-o", "json")
    assert answer.returncode == 9
    value: object = json.loads(answer.stdout)
    return value
