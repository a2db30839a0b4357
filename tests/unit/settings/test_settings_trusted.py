"""Keys that people trusted at run time, and how they meet those of the settings."""

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from syncagent.core.errors import RefusedError, SettingsError
from syncagent.fsio import OsFS
from syncagent.settings.keys import fingerprint
from syncagent.settings.load import interpret
from syncagent.settings.trusted import read_trusted, trust

KEY_2 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAHJ/sGrRAJE0e/Qnzv6fB+QCVFhtguKYV7MLVC5mraT"
KEY_3 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL/kuft6Rn1JhSoPxZxJY0CNRXEltVfLcYjO4qI++/Rn"


def says(words: str) -> Callable[[SettingsError], bool]:
    return lambda error: any(words in mistake for mistake in error.mistakes)


def settings_text(state: Path, key: str = "") -> str:
    return (
        f'[cluster]\nname="c"\n[node]\nname="gw-1"\nstate_dir="{state}"\n'
        '[[tree]]\nname="t"\nkind="generic"\npath="/nowhere"\n'
        '[election]\nmanager="gw-1"\n'
        '[[peer]]\nname="gw-2"\naddress="gw-2:7421"\n' + (f'key="{key}"\n' if key else "")
    )


def test_a_trusted_key_is_there_for_the_next_start(tmp_path: Path) -> None:
    assert trust(OsFS(), str(tmp_path), "gw-2", f"{KEY_2} some comment")
    assert not trust(OsFS(), str(tmp_path), "gw-2", KEY_2), "trusted already"
    assert trust(OsFS(), str(tmp_path), "gw-3", KEY_3)
    assert read_trusted(str(tmp_path)) == {"gw-2": KEY_2, "gw-3": KEY_3}
    assert stat.S_IMODE((tmp_path / "trusted_keys").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["trusted_keys"]
    loaded = interpret(settings_text(tmp_path), "s.toml", {})
    assert [(peer.name, peer.address, peer.key) for peer in loaded.settings.peers] == [
        ("gw-2", "gw-2:7421", KEY_2),
        ("gw-3", "", KEY_3),
    ]
    assert loaded.origins["peer.gw-2.key"] == "trusted keys"


def test_a_new_key_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    trust(OsFS(), str(tmp_path), "gw-2", KEY_2)
    assert trust(OsFS(), str(tmp_path), "gw-2", KEY_3)
    assert read_trusted(str(tmp_path)) == {"gw-2": KEY_3}


def test_what_can_not_be_trusted_is_refused(tmp_path: Path) -> None:
    trust(OsFS(), str(tmp_path), "gw-2", KEY_2)
    with pytest.raises(RefusedError, match="this key is gw-2's"):
        trust(OsFS(), str(tmp_path), "gw-3", KEY_2)
    with pytest.raises(RefusedError, match="can't be a node's name"):
        trust(OsFS(), str(tmp_path), "gw 3\n", KEY_3)
    with pytest.raises(RefusedError, match="the key for gw-3 can't be used"):
        trust(OsFS(), str(tmp_path), "gw-3", "ssh-ed25519 AAAA")
    assert read_trusted(str(tmp_path)) == {"gw-2": KEY_2}


def test_a_key_that_differs_from_the_settings_is_a_mistake(tmp_path: Path) -> None:
    trust(OsFS(), str(tmp_path), "gw-2", KEY_3)
    with pytest.raises(SettingsError) as caught:
        interpret(settings_text(tmp_path, KEY_2), "s.toml", {})
    assert "not the key that the settings give" in caught.value.mistakes[0]
    assert f"{tmp_path}/trusted_keys:2: " in caught.value.mistakes[0]


def test_a_key_that_agrees_with_the_settings_is_fine(tmp_path: Path) -> None:
    trust(OsFS(), str(tmp_path), "gw-2", KEY_2)
    assert interpret(settings_text(tmp_path, KEY_2), "s.toml", {}).settings.peers[0].key == KEY_2


def test_the_own_name_among_trusted_keys_is_ignored(tmp_path: Path) -> None:
    trust(OsFS(), str(tmp_path), "gw-1", KEY_3)
    peers = interpret(settings_text(tmp_path), "s.toml", {}).settings.peers
    assert [(peer.name, peer.key) for peer in peers] == [("gw-2", "")]


def test_every_damaged_line_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    path = tmp_path / "trusted_keys"
    content = f"# a comment\n\n{KEY_2}\n{KEY_2} gw-2\n{KEY_3} gw-2\n{KEY_3} a/b\nssh-rsa AA gw-4\n"
    path.write_text(content)
    with pytest.raises(SettingsError) as caught:
        read_trusted(str(tmp_path))
    lines = [mistake.split(":")[1] for mistake in caught.value.mistakes]
    assert lines == ["3", "5", "6", "7"]
    with pytest.raises(SettingsError):
        trust(OsFS(), str(tmp_path), "gw-3", KEY_3)
    assert path.read_text() == content
    with pytest.raises(SettingsError, check=says("trusted_keys:5: gw-2 has a key at")):
        interpret(settings_text(tmp_path), "s.toml", {})


def test_trusted_keys_that_can_not_be_read_are_no_empty_list(tmp_path: Path) -> None:
    (tmp_path / "trusted_keys").mkdir()
    with pytest.raises(SettingsError, check=says("it can't be read")):
        read_trusted(str(tmp_path))
    with pytest.raises(SettingsError, check=says("it can't be read")):
        interpret(settings_text(tmp_path), "s.toml", {})


def test_a_fingerprint_is_the_one_that_ssh_keygen_prints(tmp_path: Path) -> None:
    path = tmp_path / "key.pub"
    path.write_text(f"{KEY_2}\n")
    command = ["ssh-keygen", "-l", "-f", path]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout.split()[1] == fingerprint(KEY_2)
