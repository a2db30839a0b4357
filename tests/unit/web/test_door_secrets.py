"""The secrets of the TCP door: what is taken for one, and what is refused before it opens."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from syncagent.core.errors import SettingsError
from syncagent.core.settings import HttpSettings
from syncagent.fsio import OsFS
from syncagent.web.secrets import TOKEN_VARIABLE, read_token
from syncagent.web.tcp import TcpDoor
from tests.fakes.board import FakeBoard
from tests.fakes.desk import FakeDesk
from tests.servers.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate and its key."""
    return Authority(tmp_path_factory.mktemp("certificate")).issue("door")


def made(tmp_path: Path, **settings: str) -> TcpDoor:
    given = HttpSettings(**{"listen": "127.0.0.1:0", **settings})
    return TcpDoor(given, FakeDesk(), FakeBoard(), OsFS(), {})


def secret(tmp_path: Path, text: str, mode: int = 0o600) -> str:
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("text", "mode", "why"),
    [
        (SECRET, 0o604, "has mode 0604: others can read"),
        (SECRET, 0o620, "has mode 0620"),
        ("short", 0o600, "is not 16 to 1024 visible ASCII"),
        ("a token with blanks in it", 0o600, "without a blank"),
        ("x" * 5000, 0o600, "can't be read"),
    ],
)
def test_a_token_that_protects_nothing_is_refused(
    tmp_path: Path, text: str, mode: int, why: str
) -> None:
    with pytest.raises(SettingsError, match=why) as caught:
        made(tmp_path, token_file=secret(tmp_path, text, mode))
    assert text not in str(caught.value)
    with pytest.raises(SettingsError, match="No such file"):
        made(tmp_path, token_file=str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match="Is a directory"):
        made(tmp_path, token_file=str(tmp_path))


def test_a_group_of_its_own_may_read_the_token(tmp_path: Path) -> None:
    door = made(tmp_path, token_file=secret(tmp_path, SECRET, 0o640))
    assert door.has_token
    assert not door.encrypted


def test_the_token_may_be_in_the_environment_but_not_in_two_places(tmp_path: Path) -> None:
    environ = {TOKEN_VARIABLE: SECRET}
    settings = HttpSettings("127.0.0.1:0")
    assert TcpDoor(settings, FakeDesk(), FakeBoard(), OsFS(), environ).has_token
    twice = replace(settings, token_file=secret(tmp_path, SECRET))
    with pytest.raises(SettingsError, match=r"and in http\.token_file"):
        TcpDoor(twice, FakeDesk(), FakeBoard(), OsFS(), environ)


def test_a_key_that_others_can_read_or_that_does_not_fit_is_refused(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    text = pair[1].read_text()
    with pytest.raises(SettingsError, match="mode 0644"):
        made(
            tmp_path,
            certificate=str(pair[0]),
            certificate_key=secret(tmp_path, text, 0o644),
        )
    with pytest.raises(SettingsError, match="can't be used"):
        made(
            tmp_path,
            certificate=str(pair[0]),
            certificate_key=secret(tmp_path, "nonsense"),
        )
    both = secret(tmp_path, pair[0].read_text() + text)
    assert made(tmp_path, certificate=both).encrypted


def test_a_key_with_a_password_is_refused_and_nobody_is_asked_for_it(
    tmp_path: Path, pair: tuple[Path, Path]
) -> None:
    key = load_pem_private_key(pair[1].read_bytes(), None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    with pytest.raises(SettingsError, match="can't be used: the key has a password"):
        made(
            tmp_path,
            certificate=str(pair[0]),
            certificate_key=secret(tmp_path, locked.decode()),
        )


def test_files_that_are_not_there_are_named(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    nowhere = str(tmp_path / "nowhere")
    with pytest.raises(SettingsError, match=r"http\.certificate_key: .*/nowhere can't be read"):
        made(tmp_path, certificate=str(pair[0]), certificate_key=nowhere)
    with pytest.raises(SettingsError, match="No such file"):
        made(tmp_path, certificate=nowhere, certificate_key=str(pair[1]))
    with pytest.raises(SettingsError, match="is not a file"):
        made(tmp_path, certificate=nowhere, certificate_key=str(tmp_path))


def test_a_token_is_not_shown_by_accident(tmp_path: Path) -> None:
    settings = HttpSettings("127.0.0.1:0", token_file=secret(tmp_path, SECRET))
    token = read_token(OsFS(), settings, {})
    assert SECRET not in f"{token!r} {token}"
