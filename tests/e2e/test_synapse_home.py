"""A real Synapse is fetched once, whole or not at all, by however many ask at once."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.cluster import free_ports, until
from tests.e2e.synapse import ROOT, SynapseHome, library, synapse_homes

pytestmark = [pytest.mark.e2e, pytest.mark.needs_synapse]

SCRIPT = ROOT / "scripts/synapse-home"


def ask(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if name != "SYNCAGENT_SYNAPSE"}
    return subprocess.run(
        [SCRIPT, *arguments],
        env=kept | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_two_who_ask_at_once_get_one_folder_and_nothing_else_is_left(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: ask(XDG_CACHE_HOME=str(tmp_path)), range(2))
    assert one.returncode == two.returncode == 0, one.stderr + two.stderr
    assert one.stdout == two.stdout
    assert (one.stderr + two.stderr).count("fetching Apache Synapse") == 1
    home = Path(one.stdout.strip())
    assert {path.name for path in home.iterdir()} == {"lib", "modules", "complete"}
    assert {path.name for path in home.parent.iterdir()} == {home.name, f"{home.name}.lock"}


def test_a_check_fetches_nothing(tmp_path: Path) -> None:
    done = ask("--check", XDG_CACHE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_someone_else_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "letter").write_text("dear")
    done = ask(SYNCAGENT_SYNAPSE=str(mine))
    assert done.returncode == 3
    assert "it is left alone" in done.stderr
    assert (mine / "letter").read_text() == "dear"


def test_what_is_fetched_is_listed_with_its_digest() -> None:
    sums = (ROOT / "tests/data/synapse/SHA256SUMS").read_text().splitlines()
    listed = {line.split()[1] for line in sums}
    shared = library()
    found = {f"{path.parent.name}/{path.name}" for path in shared.glob("*/*")}
    assert found == listed


def test_a_home_that_is_killed_leaves_nothing_behind_and_starts_again(tmp_path: Path) -> None:
    with synapse_homes(tmp_path, "one") as (home,):
        home.start()
        pid = home.pid
        home.kill()
        assert not Path(f"/proc/{pid}").exists()
        home.start()
        assert home.listens
    assert not home.runs
    assert not home.listens


def test_homes_listen_on_loopback_only(tmp_path: Path) -> None:
    home = SynapseHome(tmp_path / "one", free_ports(1)[0])
    try:
        home.start()
        until(lambda: home.listens, "it listens")
        with Path("/proc/net/tcp").open() as table:
            rows = [line.split() for line in list(table)[1:]]
        with Path("/proc/net/tcp6").open() as table:
            rows += [line.split() for line in list(table)[1:]]
        port = f"{home.port:04X}"
        places = {row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port}")}
        assert places <= {f"0100007F:{port}", f"0000000000000000FFFF00000100007F:{port}"}
        assert places
    finally:
        home.stop()
