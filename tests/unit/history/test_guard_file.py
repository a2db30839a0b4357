"""The guard's file: missing, damaged, of another cluster; enrolled and enrolled again."""

from __future__ import annotations

import select
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.errors import StateError
from syncagent.core.revision import Token
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.node_history import NodeHistory

if TYPE_CHECKING:
    from pathlib import Path


def token(epoch: int, holder: str = "gw-1") -> Token:
    return Token("apim", epoch, NodeName(holder), "start-1")


def guard_in(path: Path, cluster: str = "apim") -> FileGuard:
    return FileGuard(OsFS(), str(path), cluster)


def make_ledger(path: Path) -> None:
    history = NodeHistory(OsFS(), str(path), wall=lambda: 0.0)
    history.load()
    history.close()


def test_a_folder_without_a_ledger_is_new(tmp_path: Path) -> None:
    assert guard_in(tmp_path).enrol().epoch == 0
    assert guard_in(tmp_path).state().epoch == 0


def test_enrolling_twice_lowers_nothing(tmp_path: Path) -> None:
    guard = guard_in(tmp_path)
    guard.enrol()
    guard.admit(token(4))
    assert guard_in(tmp_path).enrol().epoch == 4
    make_ledger(tmp_path)
    assert guard_in(tmp_path).enrol().epoch == 4


def test_a_guard_missing_beside_a_ledger_fails_closed(tmp_path: Path) -> None:
    make_ledger(tmp_path)
    guard = guard_in(tmp_path)
    for call in (guard.enrol, guard.state, lambda: guard.admit(token(1))):
        with pytest.raises(StateError, match="missing") as caught:
            call()
        assert "--re-enrol" in caught.value.hint
    with pytest.raises(StateError), guard.holding(token(1)):
        pytest.fail("a guard without memory was held")
    assert not (tmp_path / "guard").exists()


@pytest.mark.parametrize("ledger", [True, False], ids=["beside a ledger", "without a ledger"])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content[:-5], id="cut short"),
        pytest.param(lambda content: bytes(len(content)), id="zeros"),
        pytest.param(lambda content: content.replace(b'"epoch": 4', b'"epoch": 3'), id="edited"),
        pytest.param(lambda content: content + b"x", id="longer"),
    ],
)
def test_a_damaged_guard_fails_closed(tmp_path: Path, damage: object, ledger: bool) -> None:
    guard = guard_in(tmp_path)
    guard.enrol()
    guard.admit(token(4))
    if ledger:
        make_ledger(tmp_path)
    assert callable(damage)
    file = tmp_path / "guard"
    file.write_bytes(damage(file.read_bytes()))
    for call in (guard.enrol, guard.state, lambda: guard.admit(token(9))):
        with pytest.raises(StateError, match="damaged"):
            call()


def test_enrolling_again_takes_the_peers_highest_token(tmp_path: Path) -> None:
    make_ledger(tmp_path)
    guard = guard_in(tmp_path)
    assert guard.re_enrol(token(7, "gw-2")).highest == token(7, "gw-2")
    assert guard_in(tmp_path).state().highest == token(7, "gw-2")


def test_enrolling_again_without_peers_begins_at_zero(tmp_path: Path) -> None:
    make_ledger(tmp_path)
    assert guard_in(tmp_path).re_enrol(None).epoch == 0


def test_enrolling_again_never_lowers_what_is_readable(tmp_path: Path) -> None:
    guard = guard_in(tmp_path)
    guard.enrol()
    guard.admit(token(9))
    assert guard.re_enrol(token(7, "gw-2")).highest == token(9)
    assert guard.re_enrol(None).highest == token(9)


def test_the_guard_of_another_cluster_is_refused(tmp_path: Path) -> None:
    guard_in(tmp_path).enrol()
    with pytest.raises(StateError, match="of cluster 'apim'"):
        guard_in(tmp_path, "other").state()


def test_the_file_is_private(tmp_path: Path) -> None:
    guard_in(tmp_path).enrol()
    assert (tmp_path / "guard").stat().st_mode & 0o777 == 0o600


def test_another_process_waits_for_the_lock(tmp_path: Path) -> None:
    """`holding` here keeps an admission in another process out until it ends."""
    guard = guard_in(tmp_path)
    guard.enrol()
    guard.admit(token(1))
    code = (
        "import sys\n"
        "from syncagent.core.revision import Token\n"
        "from syncagent.fsio import OsFS\n"
        "from syncagent.history.guard import FileGuard\n"
        "print('ready', flush=True)\n"
        "FileGuard(OsFS(), sys.argv[1], 'apim').admit(Token('apim', 2, 'gw-2', 'x'))\n"
        "print('admitted', flush=True)\n"
    )
    with guard.holding(token(1)):
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert other.stdout is not None
        assert other.stdout.readline() == "ready\n"
        assert select.select([other.stdout], [], [], 0.1) == ([], [], [])
        assert guard.state().epoch == 1
    assert other.stdout.readline() == "admitted\n"
    other.stdout.close()
    assert other.wait(10) == 0
    assert guard.state().epoch == 2
