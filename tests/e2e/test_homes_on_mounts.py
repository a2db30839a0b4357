"""A gateway's home with a mount in it that hangs: what was there when it last answered counts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from syncagent.settings.afar import ANSWER_S, SilentHomeError
from syncagent.settings.gateway import discover
from syncagent.settings.homes import FILE_NAME, discover_or_recall
from tests.e2e.cluster import until
from tests.servers.mounts import Played, played
from tests.servers.played_mount import Play

pytestmark = [pytest.mark.e2e, pytest.mark.needs_root]

SERVER = "repository/deployment/server"


@contextmanager
def home_with_mount(folder: Path) -> Iterator[tuple[str, Played]]:
    """A gateway's home whose folder of deployments is a mount."""
    home, behind = folder / "am", folder / "behind"
    (home / SERVER).mkdir(parents=True)
    (behind / "synapse-configs/default/api").mkdir(parents=True)
    (behind / "executionplans").mkdir()
    with played(folder / "served", behind, home / SERVER) as mount:
        yield str(home), mount


def test_a_home_that_hangs_is_given_up_and_known_from_before(tmp_path: Path) -> None:
    with home_with_mount(tmp_path) as (home, mount):
        known = discover_or_recall(home, str(tmp_path))
        assert [tree.name for tree in known.trees] == ["synapse", "siddhi"]
        assert (tmp_path / FILE_NAME).is_file()
        mount.play(Play(hang=True))
        began = time.monotonic()
        assert discover_or_recall(home, str(tmp_path)) == known
        assert time.monotonic() - began >= ANSWER_S
        with pytest.raises(SilentHomeError, match="does not answer"):
            discover_or_recall(home, str(tmp_path / "nowhere"))
        mount.play()

        def answers() -> bool:
            try:
                return discover(home) == known
            except SilentHomeError:
                return False  # the process that was given up is not gone yet

        until(answers, "the home answers again")


def test_a_home_whose_mount_is_dead_is_known_from_before(tmp_path: Path) -> None:
    with home_with_mount(tmp_path) as (home, mount):
        known = discover_or_recall(home, str(tmp_path))
        mount.kill()
        assert discover_or_recall(home, str(tmp_path)) == known
        with pytest.raises(SilentHomeError, match="not connected"):
            discover_or_recall(home, str(tmp_path / "nowhere"))
