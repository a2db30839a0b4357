"""The node's key file and the lines that peers pin."""

import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import NodeName
from syncagent.core.errors import DiskError, SettingsError, StateError
from syncagent.fsio import OsFS
from syncagent.ssh.keys import fingerprint, line_of, load_key, make_key, parse_pinned, public_line

ONE = NodeName("gw-1")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "node.key")


def names_beside(path: str) -> list[str]:
    return [found.name for found in Path(path).parent.iterdir()]


def test_a_made_key_is_loaded_again_and_only_its_owner_can_read_it(path: str) -> None:
    made = make_key(OsFS(), path)
    loaded = load_key(OsFS(), path)
    assert loaded is not None
    assert loaded.blob == made.blob
    assert stat.S_IMODE(Path(path).stat().st_mode) == 0o600
    assert names_beside(path) == ["node.key"]


def test_no_key_is_no_error(path: str) -> None:
    assert load_key(OsFS(), path) is None


def test_a_key_that_is_there_is_kept(path: str) -> None:
    assert make_key(OsFS(), path).blob == make_key(OsFS(), path).blob


def test_of_many_that_make_a_key_at_once_all_get_the_same(path: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: make_key(OsFS(), path).blob, range(16)))
    assert len(set(keys)) == 1
    assert names_beside(path) == ["node.key"]


def test_ssh_keygen_reads_the_file_and_shows_our_line_and_fingerprint(path: str) -> None:
    key = make_key(OsFS(), path)
    line = subprocess.check_output(["ssh-keygen", "-y", "-f", path], text=True).split()
    assert line[:2] == public_line(key, ONE).split()[:2]
    shown = subprocess.check_output(["ssh-keygen", "-l", "-f", path], text=True)
    assert fingerprint(key.blob) in shown


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o610])
def test_a_key_that_others_could_use_is_refused_with_what_to_do(path: str, mode: int) -> None:
    make_key(OsFS(), path)
    Path(path).chmod(mode)
    with pytest.raises(StateError, match=f"{mode:04o}") as told:
        load_key(OsFS(), path)
    assert "chmod 600" in told.value.hint


@pytest.mark.parametrize("text", ["", "hello", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"])
def test_a_damaged_key_is_refused_and_not_replaced(path: str, text: str) -> None:
    Path(path).write_text(text)
    Path(path).chmod(0o600)
    with pytest.raises(StateError, match="is damaged"):
        load_key(OsFS(), path)
    with pytest.raises(StateError, match="is damaged"):
        make_key(OsFS(), path)
    assert Path(path).read_text() == text


def test_every_way_of_cutting_a_key_short_is_damage_and_nothing_else(path: str) -> None:
    make_key(OsFS(), path)
    whole = Path(path).read_bytes()
    # The end line and its newline may be missing: the key is whole without them.
    for size in range(0, len(whole) - 40, 7):
        Path(path).write_bytes(whole[:size])
        with pytest.raises(StateError):
            load_key(OsFS(), path)


def test_a_folder_that_is_not_there_is_a_disk_error(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="can't be written") as told:
        make_key(OsFS(), str(tmp_path / "none" / "node.key"))
    assert told.value.errno_name == "ENOENT"


def test_a_symlink_is_not_followed(path: str, tmp_path: Path) -> None:
    make_key(OsFS(), str(tmp_path / "other.key"))
    Path(path).symlink_to(tmp_path / "other.key")
    with pytest.raises(StateError, match="can't be read"):
        load_key(OsFS(), path)


def test_a_pinned_line_is_the_key_that_was_shown(path: str) -> None:
    key = make_key(OsFS(), path)
    (pinned,) = parse_pinned(public_line(key, ONE) + "\n")
    assert pinned.asbytes() == key.blob
    assert line_of(pinned, "gw-1") == public_line(key, ONE)


def test_several_lines_pin_several_keys_of_any_common_type(path: str, tmp_path: Path) -> None:
    lines = [public_line(make_key(OsFS(), path), ONE)]
    for kind in ("ecdsa", "rsa"):
        subprocess.run(
            ["ssh-keygen", "-q", "-N", "", "-t", kind, "-f", tmp_path / kind], check=True
        )
        lines.append((tmp_path / f"{kind}.pub").read_text())
    names = [key.get_name() for key in parse_pinned("\n".join(lines))]
    assert names == ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the key is empty"),
        ("  \n ", "the key is empty"),
        ("AAAAC3NzaC1lZDI1NTE5", "not an OpenSSH public key line"),
        ("ssh-dss AAAA gw-1", "'ssh-dss' is not one of"),
        ("ssh-ed25519 %%%% gw-1", "is damaged"),
        ("ssh-ed25519 AAAA gw-1", "is damaged"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== gw-1", "is damaged"),
        ("ssh-ed25519 AAAAB3NzaC1yc2E= gw-1", "is damaged"),
        ("x" * 20_000 + " y", "not an OpenSSH public key line"),
    ],
)
def test_what_is_no_key_line_is_refused_with_what_to_do(text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as told:
        parse_pinned(text)
    assert "syncagent keys show" in told.value.hint


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_a_key_line_with_a_changed_letter_is_another_key_or_refused(data: st.DataObject) -> None:
    line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPkfnU9zUcXv0cBkW1yZ0v0q8m8m0Ck5pI3b7Zq3rXyS gw-1"
    at = data.draw(st.integers(0, 79))
    letter = data.draw(st.characters(codec="ascii", exclude_characters="\n"))
    changed = line[:at] + letter + line[at + 1 :]
    try:
        (key,) = parse_pinned(changed)
    except SettingsError:
        return
    assert line_of(key, "").split() == changed.split()[:2]
