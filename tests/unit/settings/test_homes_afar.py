"""A gateway's home on a network mount is looked at by a process of its own, which may hang."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from syncagent.core.errors import SettingsError
from syncagent.fsio import Mount, OsFS
from syncagent.settings.afar import ANSWER_S, SilentHomeError, ask_afar, lies_afar
from syncagent.settings.gateway import gateway_in, gateway_out, look_at_home
from syncagent.settings.homes import FILE_NAME, discover_or_recall, main

if TYPE_CHECKING:
    from pathlib import Path

TOO_SOON_S = 0.0


class Foreign(OsFS):
    """Something below every home is another machine's."""

    __slots__ = ("point",)

    def mount_table(self) -> tuple[Mount, ...]:
        return (Mount(1, 0, "0:1", "/", self.point, "nfs4", "server:/share", "rw"),)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "am"
    for folder in ("synapse-configs/default/api", "executionplans"):
        (home / "repository/deployment/server" / folder).mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin/version.txt").write_text("WSO2 API Manager 3.1.0\n")
    return home


def test_a_home_with_a_network_mount_in_it_lies_afar(home: Path) -> None:
    fs = Foreign()
    fs.point = f"{home}/repository/deployment/server"
    assert lies_afar(str(home), fs)
    fs.point = f"{home.parent}/elsewhere"
    assert not lies_afar(str(home), fs)
    assert not lies_afar(str(home))


def test_a_process_of_its_own_says_what_is_seen_here(home: Path) -> None:
    assert gateway_in(ask_afar(str(home))) == look_at_home(str(home))


def test_what_is_wrong_there_is_raised_here(home: Path) -> None:
    with pytest.raises(SettingsError, match="no gateway's home") as raised:
        ask_afar(str(home / "bin"))
    assert raised.value.hint


def test_one_that_does_not_answer_is_given_up(home: Path) -> None:
    with pytest.raises(SilentHomeError, match="does not answer"):
        ask_afar(str(home), TOO_SOON_S)
    by = time.monotonic() + ANSWER_S
    while not _answers(home):
        assert time.monotonic() < by, "one that was given up ends, and another is asked"


def _answers(home: Path) -> bool:
    try:
        return gateway_in(ask_afar(str(home))) == look_at_home(str(home))
    except SilentHomeError:
        return False


def test_what_is_known_survives_as_it_was(home: Path) -> None:
    gateway = look_at_home(str(home))
    assert gateway_in(json.loads(json.dumps(gateway_out(gateway)))) == gateway
    with pytest.raises(SettingsError, match="does not fit"):
        gateway_in({"home": "x"})


def test_a_process_says_its_answer_in_one_word(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(str(home))
    assert gateway_in(json.loads(capsys.readouterr().out)).version == "3.1.0"
    main(str(home / "nowhere"))
    assert "there is no folder" in json.loads(capsys.readouterr().out)["error"]


def test_a_local_home_is_not_remembered(home: Path, tmp_path: Path) -> None:
    assert discover_or_recall(str(home), str(tmp_path)) == look_at_home(str(home))
    assert not (tmp_path / FILE_NAME).exists()
