"""The releases of API Manager, v1.9.0 to v4.2.0, put on a cluster one after the other.

Once through each of the two doors that a worker can have: its embedded server, and OpenSSH.
"""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.e2e.behind_sshd import behind_sshd
from tests.e2e.cluster import Agent, Cluster, files_of, until

ROOT = Path(__file__).resolve().parents[2]
RELEASES = ROOT / "tests/data/corpus/apim-releases"
ORDER = (
    *("v1.9.0", "v1.10.0", "v2.0.0", "v2.1.0", "v2.2.0", "v2.6.0"),
    *("v3.0.0", "v3.2.0", "v4.0.0", "v4.1.0", "v4.2.0"),
)
UNCHANGED = {"v2.6.0"}
"""Releases that ship the same artifacts as the one before."""
HELD = {
    # The last proxy goes, and the folder proxy-services goes with it: a folder that vanishes is
    # held at any size, because an unmounted one looks the same.
    "v4.2.0": ("folder-vanished", "1 of 23 artifacts of synapse are gone on gw-1"),
}
"""Releases that wait for a person, and what that person is told."""

Sources = Mapping[str, Path | None]
Door = Callable[[Path, Sources], AbstractContextManager[Cluster]]

pytestmark = pytest.mark.e2e


@contextmanager
def embedded(folder: Path, nodes: Sources) -> Iterator[Cluster]:
    """Run a cluster whose workers are reached through the agent's own SSH server."""
    with Cluster(folder, nodes) as cluster:
        cluster.start()
        yield cluster


@contextmanager
def openssh(folder: Path, nodes: Sources) -> Iterator[Cluster]:
    """Run one whose workers are reached through OpenSSH's sshd and the forced command."""
    with behind_sshd(folder, nodes) as (cluster, doors):
        yield cluster
        for name, sshd in doors.items():
            assert sshd.sessions(), f"{name} was linked through sshd to the end"


def tree_of(release: str) -> Path:
    return RELEASES / release / "synapse-configs/default"


def install(release: str, agent: Agent) -> None:
    """Put a release where the manager's tree is, as an operator does."""
    subprocess.run(
        ["rsync", "-rc", "--delete", f"{tree_of(release)}/", f"{agent.tree}/"],
        check=True,
        timeout=60,
    )


def mtimes(agent: Agent) -> dict[str, tuple[bytes, int]]:
    return {
        name: (data, (agent.tree / name).stat().st_mtime_ns)
        for name, data in files_of(agent.tree).items()
    }


def moved(
    before: Mapping[str, tuple[bytes, int]], after: Mapping[str, tuple[bytes, int]]
) -> list[str]:
    """Return the files whose bytes stayed and whose mtime did not."""
    return [
        name
        for name, (data, at) in after.items()
        if name in before and before[name][0] == data and before[name][1] != at
    ]


def approve_what_waits(cluster: Cluster, release: str) -> None:
    reason, text = HELD[release]
    until(lambda: cluster.manager.ask("get", "held"), f"{release} is held")
    (hold,) = cluster.manager.ask("get", "held")
    assert (hold["kind"], hold["node"]) == (reason, "gw-1")
    assert text in hold["reason"]
    for worker in cluster.workers:
        assert set(hold["paths"]) <= {f"synapse:{name}" for name in files_of(worker.tree)}
    assert cluster.manager.run("approve", hold["id"]).returncode == 0


@pytest.mark.parametrize(
    "door",
    [
        pytest.param(embedded, id="embedded"),
        pytest.param(openssh, id="OpenSSH", marks=pytest.mark.needs_sshd),
    ],
)
def test_eleven_releases_arrive_byte_for_byte_and_touch_nothing_else(
    tmp_path: Path, door: Door
) -> None:
    with door(tmp_path, {"gw-1": tree_of(ORDER[0]), "gw-2": None, "gw-3": None}) as cluster:
        cluster.wait_synced()
        revision = 1
        for release in ORDER[1:]:
            before = {agent.name: mtimes(agent) for agent in cluster}
            install(release, cluster.manager)
            if release in HELD:
                approve_what_waits(cluster, release)
            done = cluster.manager.run("wait", "--timeout", "60s")
            assert done.returncode == 0, f"{release}: {done.stderr}"
            wanted = files_of(tree_of(release))
            for agent in cluster:
                assert files_of(agent.tree) == wanted, f"{agent.name} at {release}"
                assert moved(before[agent.name], mtimes(agent)) == [], f"{agent.name} at {release}"
            status = cluster.manager.ask("status")
            assert status["state"] == "Synced"
            assert (status["revision"] == revision) is (release in UNCHANGED), release
            revision = status["revision"]
        revisions = cluster.manager.ask("get", "revisions")
        assert [row["number"] for row in revisions] == list(range(revision, 0, -1))
        assert sum(row["deleted"] for row in revisions) == 6
        shown = cluster.manager.run("diff", "1", str(revision))
        assert shown.returncode == 3
        assert "_AuthorizeAPI_.xml" in shown.stdout
        for worker in cluster.workers:
            assert not list((worker.tree).rglob("*.part"))
            kept = worker.ask("get", "quarantine")
            assert {"api/_AuthorizeAPI_.xml", "proxy-services/WorkflowCallbackService.xml"} <= {
                row["path"] for row in kept
            }
