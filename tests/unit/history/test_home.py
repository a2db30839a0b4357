"""The state folder knows whose it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.errors import BusyError, DiskError, StateError
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.home import StateHome, lock_holder, read_identity

if TYPE_CHECKING:
    from pathlib import Path

NODE = NodeName("gw-1")


@pytest.fixture
def machine(tmp_path: Path) -> str:
    file = tmp_path / "machine-id"
    file.write_text("0123456789abcdef0123456789abcdef\n")
    return str(file)


def open_home(path: Path, machine: str, node: str = NODE, cluster: str = "apim") -> StateHome:
    return StateHome.open(str(path), cluster, NodeName(node), OsFS(), machine_id=machine)


def test_a_new_folder_is_private_and_gets_an_identity(tmp_path: Path, machine: str) -> None:
    with open_home(tmp_path / "state", machine) as home:
        assert (home.identity.node, home.identity.cluster) == (NODE, "apim")
        assert home.identity.id
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "state" / "identity").stat().st_mode & 0o777 == 0o600


def test_the_identity_stays_the_same(tmp_path: Path, machine: str) -> None:
    with open_home(tmp_path / "state", machine) as home:
        first = home.identity
    with open_home(tmp_path / "state", machine) as home:
        assert home.identity == first
    assert read_identity(OsFS(), str(tmp_path / "state")) == first


def test_a_trailing_slash_is_not_another_path(tmp_path: Path, machine: str) -> None:
    open_home(tmp_path / "state", machine).close()
    StateHome.open(f"{tmp_path}/state/", "apim", NODE, OsFS(), machine_id=machine).close()


def test_a_folder_that_others_can_read_is_made_private(tmp_path: Path, machine: str) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    open_home(tmp_path / "state", machine).close()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_second_agent_is_told_who_runs(tmp_path: Path, machine: str) -> None:
    with open_home(tmp_path / "state", machine):
        code = (
            "import sys; from syncagent.fsio import OsFS\n"
            "from syncagent.history.home import StateHome\n"
            "from syncagent.core.errors import BusyError\n"
            "try: StateHome.open(sys.argv[1], 'apim', 'gw-1', OsFS(), machine_id=sys.argv[2])\n"
            "except BusyError as error: print(error)\n"
        )
        said = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "state"), machine],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert f"process {os.getpid()}" in said
        assert lock_holder(OsFS(), str(tmp_path / "state")) == os.getpid()
        with pytest.raises(BusyError):
            open_home(tmp_path / "state", machine)
    assert lock_holder(OsFS(), str(tmp_path / "state")) is None


def test_a_folder_copied_to_another_path_is_recognised(tmp_path: Path, machine: str) -> None:
    open_home(tmp_path / "state", machine).close()
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    with pytest.raises(StateError, match="copied") as caught:
        open_home(tmp_path / "copy", machine)
    assert "--new-identity" in caught.value.hint


def test_a_folder_restored_from_a_backup_is_recognised(tmp_path: Path, machine: str) -> None:
    open_home(tmp_path / "state", machine).close()
    shutil.copytree(tmp_path / "state", tmp_path / "backup")
    (tmp_path / "state").rename(tmp_path / "aside")
    (tmp_path / "backup").rename(tmp_path / "state")
    with pytest.raises(StateError, match="copied"):
        open_home(tmp_path / "state", machine)


def test_a_folder_on_another_machine_is_recognised(tmp_path: Path, machine: str) -> None:
    open_home(tmp_path / "state", machine).close()
    other = tmp_path / "other-machine-id"
    other.write_text("ffffffffffffffffffffffffffffffff\n")
    with pytest.raises(StateError, match="another machine"):
        open_home(tmp_path / "state", str(other))


def test_a_machine_without_an_id_is_known_by_its_folder(tmp_path: Path) -> None:
    nothing = str(tmp_path / "none")
    open_home(tmp_path / "state", nothing).close()
    open_home(tmp_path / "state", nothing).close()


@pytest.mark.parametrize(("node", "cluster"), [("gw-2", "apim"), ("gw-1", "other")])
def test_the_state_of_another_node_is_refused(
    tmp_path: Path, machine: str, node: str, cluster: str
) -> None:
    open_home(tmp_path / "state", machine).close()
    with pytest.raises(StateError, match="the settings say"):
        open_home(tmp_path / "state", machine, node, cluster)


@pytest.mark.parametrize("name", ["ledger", "guard", "intent"])
def test_state_without_an_identity_is_refused(tmp_path: Path, machine: str, name: str) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / name).write_bytes(b"something")
    with pytest.raises(StateError, match="no identity"):
        open_home(tmp_path / "state", machine)


def test_a_damaged_identity_is_refused(tmp_path: Path, machine: str) -> None:
    open_home(tmp_path / "state", machine).close()
    file = tmp_path / "state" / "identity"
    file.write_bytes(file.read_bytes().replace(b"gw-1", b"gw-7"))
    with pytest.raises(StateError, match="damaged"):
        open_home(tmp_path / "state", machine)


def test_a_new_identity_moves_everything_but_the_guard_aside(tmp_path: Path, machine: str) -> None:
    with open_home(tmp_path / "state", machine) as home:
        first = home.identity
        FileGuard(OsFS(), home.path, "apim").enrol()
    (tmp_path / "state" / "keys").mkdir()
    (tmp_path / "state" / "keys" / "id").write_text("secret")
    (tmp_path / "state" / "ledger").write_text("the other's")
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    with StateHome.renew(
        str(tmp_path / "copy"), "apim", NodeName("gw-2"), OsFS(), machine_id=machine
    ) as home:
        assert home.identity.id != first.id
        assert home.identity.node == "gw-2"
    assert (tmp_path / "copy" / "former-1" / "ledger").read_text() == "the other's"
    assert (tmp_path / "copy" / "former-1" / "keys" / "id").read_text() == "secret"
    assert not (tmp_path / "copy" / "ledger").exists()
    assert FileGuard(OsFS(), str(tmp_path / "copy"), "apim").enrol().epoch == 0
    open_home(tmp_path / "copy", machine, "gw-2").close()


def test_a_second_new_identity_keeps_the_first_aside(tmp_path: Path, machine: str) -> None:
    open_home(tmp_path / "state", machine).close()
    for _ in range(2):
        StateHome.renew(str(tmp_path / "state"), "apim", NODE, OsFS(), machine_id=machine).close()
    assert (tmp_path / "state" / "former-1" / "identity").is_file()
    assert (tmp_path / "state" / "former-2" / "identity").is_file()


def test_a_folder_that_can_not_be_made_says_how_to_make_it(tmp_path: Path, machine: str) -> None:
    with pytest.raises(DiskError, match="No such file") as caught:
        open_home(tmp_path / "missing" / "state", machine)
    assert "install -d" in caught.value.hint


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path, machine: str) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(StateError, match="not a folder"):
        open_home(tmp_path / "state", machine)
