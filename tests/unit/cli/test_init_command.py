"""`init`, `run` and `serve`: what makes a node and what joins it to others."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.terminal import CommandLine


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "am"
    (home / "repository/deployment/server/synapse-configs/default").mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin/version.txt").write_text("WSO2 API Manager 3.1.0")
    return home


def wish(folder: Path, home: Path) -> list[str]:
    return [
        *("init", "--cluster", "apim-prod", "--node", "gw-7", "--home", str(home)),
        *("--listen", "10.0.0.17:7421", "--peer", "gw-8=10.0.0.18:7421"),
        *("--state-dir", str(folder / "new-state"), "--config", str(folder / "new.toml")),
    ]


def test_init_makes_settings_that_check_and_a_key_that_shows(
    call: CommandLine, tmp_path: Path, home: Path
) -> None:
    made = call(*wish(tmp_path, home), "-o", "json")
    assert (made.code, made.err) == (0, "")
    answer = made.json
    assert isinstance(answer, dict)
    assert answer["apiVersion"] == "syncagent/v1"
    config = ["--config", str(tmp_path / "new.toml")]
    assert "node gw-7 of cluster apim-prod" in call("config", "check", *config).out
    assert call("keys", "show", *config).out == f"{answer['public_key']}\n"
    assert "gw-8" in (tmp_path / "new.toml").read_text()


def test_init_tells_people_what_to_do_next(call: CommandLine, tmp_path: Path, home: Path) -> None:
    lines = call(*wish(tmp_path, home)).out.splitlines()
    assert lines[0] == f"settings    {tmp_path}/new.toml"
    assert any(line.startswith("public key  ssh-ed25519 ") for line in lines)
    assert any(line.startswith("note: ") for line in lines), "two nodes never fail over alone"
    assert lines[-1].startswith("next: syncagent run")


def test_init_writes_over_nothing_unless_told_to(
    call: CommandLine, tmp_path: Path, home: Path
) -> None:
    assert call(*wish(tmp_path, home)).code == 0
    before = (tmp_path / "new.toml").read_text()
    again = call(*wish(tmp_path, home), "--manager", "gw-8")
    assert (again.code, again.out) == (7, "")
    assert (tmp_path / "new.toml").read_text() == before
    assert call(*wish(tmp_path, home), "--manager", "gw-8", "--force").code == 0
    assert (tmp_path / "new.toml").read_text() != before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["init"], "--cluster is missing"),
        (["init", "--cluster", "c"], "--home FOLDER or --tree NAME=KIND:PATH is missing"),
        (["init", "--cluster", "c", "--home", "/nonexistent"], "/nonexistent"),
        (["init", "--cluster", "c", "--home", "/x", "--peer", "gw-2"], "not NAME=HOST:PORT"),
        (["serve", "--peer", "gw-2"], "--stdio"),
        (["serve", "--stdio"], "--peer"),
    ],
)
def test_what_is_missing_is_wrong_usage(
    call: CommandLine, arguments: list[str], words: str
) -> None:
    answer = call(*arguments)
    assert (answer.code, answer.out) == (2, "")
    assert words in answer.err


def test_explicit_trees_stand_in_the_file_beside_a_home(
    call: CommandLine, tmp_path: Path, home: Path
) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    trees = ["--tree", f"conf=generic:{folder}", "--tree", f"late=siddhi:{tmp_path}/late"]
    made = call(*wish(tmp_path, home), *trees, "-o", "json")
    assert (made.code, made.err) == (0, "")
    assert isinstance(made.json, dict)
    assert made.json["trees"] == [
        f"synapse: {home}/repository/deployment/server/synapse-configs/default",
        f"conf: {folder}",
        f"late: {tmp_path}/late",
    ]
    notes = [note for note in made.json["notes"] if "Tree " in note]
    assert len(notes) == 1, "only the folder that is missing is noted"
    assert f"no folder {tmp_path}/late yet" in notes[0]
    assert call("config", "check", "--config", str(tmp_path / "new.toml")).code == 0


def test_explicit_trees_need_no_home(call: CommandLine, tmp_path: Path) -> None:
    asked = ["--cluster", "c", "--node", "n", "--tree", f"conf=generic:{tmp_path}/conf:with:colons"]
    places = ["--state-dir", str(tmp_path / "s"), "--config", str(tmp_path / "new.toml")]
    made = call("init", *asked, *places, "-o", "json")
    assert (made.code, made.err) == (0, "")
    assert isinstance(made.json, dict)
    assert made.json["trees"] == [f"conf: {tmp_path}/conf:with:colons"]


def test_all_mistakes_come_at_once_and_nothing_is_made(call: CommandLine, tmp_path: Path) -> None:
    asked = [
        *("--node", "a b", "--home", "/nonexistent", "--listen", "7421"),
        *("--peer", "gw-2", "--peer", "gw-3=nowhere"),
        *("--tree", "conf", "--tree", "x=folder:/x", "--tree", "y=generic:relative"),
        *("--state-dir", str(tmp_path / "s"), "--config", str(tmp_path / "new.toml")),
    ]
    answer = call("init", *asked)
    assert (answer.code, answer.out) == (2, "")
    for words in (
        "--peer 'gw-2' is not NAME=HOST:PORT",
        "--tree 'conf' is not NAME=KIND:PATH",
        "'folder' is none of synapse, siddhi, generic",
        "--cluster is missing",
        "node.name",
        "node.listen",
        "/nonexistent",
        "peer.address",
        "tree.path",
    ):
        assert words in answer.err
    assert "new.toml:" not in answer.err, "there is no such file, and so no such line"
    assert not (tmp_path / "s").exists()
    assert not (tmp_path / "new.toml").exists()


def test_a_copied_node_gets_a_key_of_its_own(call: CommandLine) -> None:
    copied = call("keys", "show").out
    renewed = call("init", "--new-identity")
    assert renewed.code == 0
    assert renewed.out.startswith("ssh-ed25519 ")
    assert renewed.out != copied
    assert call("keys", "show").out == renewed.out


def test_serving_a_peer_without_an_agent_exits_9(call: CommandLine) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "syncagent", "serve", "--stdio", "--peer", "gw-2"),
            *("--config", str(call.settings)),
        ],
        input=b"",
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (9, b"")
    assert b"error: " in done.stderr


def test_the_lease_s_table_is_made_once(call: CommandLine, tmp_path: Path, home: Path) -> None:
    assert call(*wish(tmp_path, home)).code == 0
    path, database = tmp_path / "new.toml", tmp_path / "lease.db"
    named = 'manager = "gw-7"'
    text = path.read_text()
    assert named in text
    path.write_text(text.replace(named, f'backend = "sql"\nurl = "sqlite:///{database}"'))
    where = f"syncagent_lease in sqlite:///{database}"
    config = ["--config", str(path)]
    assert call("init", "--lease-table", *config).out == f"{where}: made\n"
    assert call("init", "--lease-table", *config).out == f"{where}: there already\n"


def test_only_one_of_the_things_that_init_does_alone(call: CommandLine) -> None:
    answer = call("init", "--lease-table", "--re-enrol")
    assert answer.code == 2
    assert "--re-enrol and --lease-table are two things" in answer.err


def test_two_nodes_are_told_what_they_can_choose(
    call: CommandLine, tmp_path: Path, home: Path
) -> None:
    text = call(*wish(tmp_path, home)).out
    assert "Two nodes never fail over by themselves" in text
    assert 'backend = "sql"' in text
    assert "syncagent init --lease-table" in text
