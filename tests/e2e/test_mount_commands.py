"""Commands on a node of which a mount hangs come back, and say so."""

import time
from pathlib import Path

import pytest

from tests.e2e.cluster import Agent, free_ports
from tests.servers.mounts import played
from tests.servers.played_mount import Play

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

BACK_S = 60.0


def test_doctor_comes_back_and_names_the_tree_that_hangs(tmp_path: Path) -> None:
    agent = Agent("gw-1", tmp_path / "gw-1", free_ports(1)[0])
    behind = tmp_path / "behind"
    for folder in (behind, agent.folder, agent.tree):
        folder.mkdir()
    (behind / "a.xml").write_bytes(b"<a/>")
    agent.settings.write_text(
        f'[cluster]\nname = "c"\n[node]\nname = "gw-1"\nstate_dir = "{agent.state}"\n'
        f'[[tree]]\nname = "synapse"\nkind = "synapse"\npath = "{agent.tree}"\n[runtime]\nkind = "none"\n'
        '[election]\nmanager = "gw-1"\n'
    )
    with played(tmp_path / "served", behind, agent.tree) as mount:
        well = agent.run("doctor")
        assert "polled: fuse" in well.stdout, well.stdout + well.stderr
        mount.play(Play(hang=True))
        began = time.monotonic()
        ill = agent.run("doctor")
        assert time.monotonic() - began < BACK_S
        assert "does not answer since" in ill.stdout, ill.stdout + ill.stderr
