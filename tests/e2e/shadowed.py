"""A cluster over one share: each node has a tree of its own, and all know the same folder."""

import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path

from syncagent.core.desk import JSON
from syncagent.disk.mark import Mark, write_mark
from syncagent.fsio import O_FOLDER, OsFS
from tests.e2e.cluster import Agent, Cluster, Sections, files_of


def mark_root(root: Path, cluster: str, tree: str) -> None:
    """Make the mark by which a tree on a share is known, as a person has it made once."""
    fs = OsFS()
    fd = fs.open(str(root), O_FOLDER)
    try:
        write_mark(fs, fd, Mark(str(uuid.uuid4()), cluster, tree))
    finally:
        fs.close(fd)


def prepare_share(share: Path, source: Path | None) -> None:
    """Make the share's folder, if it is not there, as a copy of `source` or empty, and mark it."""
    if share.exists():
        return
    if source is None:
        share.mkdir(parents=True)
    else:
        shutil.copytree(source, share)
    mark_root(share, "loopback", "synapse")


class ShadowCluster(Cluster):
    """Nodes in mode `shared`, form `shadow`; the share starts as a copy of `source`, or empty.

    `mount` is the folder in which the share lies, where it is not to be a plain one.
    """

    def __init__(
        self,
        folder: Path,
        nodes: Mapping[str, Path | None],
        source: Path | None,
        *,
        mount: Path | None = None,
        sections: Sections | None = None,
    ) -> None:
        self.share = (mount or folder / "mnt") / "synapse"
        prepare_share(self.share, source)
        shadow: Sections = {"cluster": {"mode": "shared"}, "tree": {"share": str(self.share)}}
        super().__init__(folder, nodes, {**(sections or {}), **shadow})

    def equal(self) -> bool:
        """Tell whether every node's tree and the share have the bytes of the manager's."""
        return super().equal() and files_of(self.share) == files_of(self.manager.tree)

    def nodes_equal(self) -> bool:
        """Tell whether every node's tree is as the manager's, whatever the share is."""
        return super().equal()

    @staticmethod
    def share_row(agent: Agent) -> dict[str, JSON]:
        """Return the share's row of an agent's status."""
        status = agent.answer("status")
        assert isinstance(status, dict)
        return next(row for row in status["nodes"] if row["name"] == "share")


def keeper_of(agent: Agent) -> int | None:
    """Return the process id of the keeper that an agent runs; None if there is none."""
    assert agent.process is not None
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            words = (folder / "cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if parent == agent.process.pid and b"wiring.keeper" in words:
            return int(folder.name)
    return None
