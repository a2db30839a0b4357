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
        (["init", "--cluster", "c"], "--home is missing"),
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
