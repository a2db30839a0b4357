"""`init --share` on the command line: what it did, what it asks, and what it refuses."""

import json
from pathlib import Path

import pytest

from tests.fakes.agent_bench import sequence
from tests.fakes.terminal import CommandLine


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder for a tree and a share."""
    return tmp_path / "site"


def settings(folder: Path) -> list[str]:
    for part in ("tree", "share/sequences"):
        (folder / part).mkdir(parents=True)
    path = folder / "syncagent.toml"
    path.write_text(
        f'[cluster]\nname = "c"\nmode = "shared"\n[node]\nname = "gw-1"\n'
        f'state_dir = "{folder}/state"\n[[tree]]\nname = "synapse"\nkind = "synapse"\n'
        f'path = "{folder}/tree"\nshare = "{folder}/share"\n'
    )
    return ["--config", str(path)]


def test_marks_are_made_and_said(call: CommandLine, site: Path) -> None:
    answer = call("init", "--share", "--force", *settings(site))
    assert answer.code == 0
    assert answer.out.startswith(f"synapse: {site}/share (")
    assert "): made " in answer.out
    assert "next: the same on each other node, then: syncagent run" in answer.err
    assert (site / "share/.syncagent-root").is_file()


def test_which_side_is_right_is_asked_for_with_numbers(call: CommandLine, site: Path) -> None:
    config = settings(site)
    (site / "share/sequences/a.xml").write_bytes(sequence("a"))
    (site / "share/sequences/b.xml").write_text("<b")
    answer = call("init", "--share", "--force", *config)
    assert answer.code == 5
    assert (
        answer.out == "synapse: 2 only on the share, 0 only on this node, 0 differ (of 2 and 0)\n"
    )
    assert "syncagent init --share --from share" in answer.err
    assert "syncagent init --share --from node" in answer.err
    answer = call("init", "--share", "--force", "--from", "share", *config)
    assert answer.code == 0
    assert "1 written, 0 removed, 0 kept in quarantine" in answer.out
    assert "left out: synapse: sequences/b.xml: " in answer.out
    assert (site / "tree/sequences/a.xml").read_bytes() == sequence("a")


def test_programs_get_the_same(call: CommandLine, site: Path) -> None:
    answer = call("init", "--share", "--force", "-o", "json", *settings(site))
    said = json.loads(answer.out)
    assert (said["asks"], said["differences"], said["carried"]) == (False, [], None)
    assert [row["did"] for row in said["trees"]] == ["made"]


def test_a_share_that_is_not_mounted_is_refused(call: CommandLine, site: Path) -> None:
    answer = call("init", "--share", *settings(site))
    assert answer.code == 2
    assert "which only this machine writes to: is the share mounted?" in answer.err
    assert not (site / "share/.syncagent-root").exists()


def test_an_answer_without_the_question_is_a_mistake(call: CommandLine) -> None:
    answer = call("init", "--from", "node")
    assert answer.code == 2
    assert "--from needs --share" in answer.err
