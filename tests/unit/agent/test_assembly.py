"""One agent from real parts: what it takes up while it runs, and how it finds new trees."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.loop import Stop
from syncagent.agent.results import Reloaded
from syncagent.agent.wiring.assembly import Assembly
from syncagent.core.artifact import NodeName
from syncagent.core.errors import SettingsError
from syncagent.core.settings import Limits, PeerSettings, Settings
from syncagent.disk.local_part import LocalPart
from syncagent.fsio import OsFS
from syncagent.history.home import StateHome
from syncagent.settings.gateway import discover
from tests.fakes.loopback import new_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUPER = "repository/deployment/server/synapse-configs/default"
TENANT = "repository/tenants/7/synapse-configs/default"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "am"
    (folder / SUPER).mkdir(parents=True)
    return folder


@pytest.fixture
def agent(tmp_path: Path, home: Path) -> Iterator[Assembly]:
    """An agent that is put together but not started: what is posted stays in its inbox."""
    settings = Settings(
        cluster="c",
        node=NodeName("gw-1"),
        state_dir=str(tmp_path / "state"),
        trees=discover(str(home)).trees,
        gateway_home=str(home),
    )
    with StateHome.open(settings.state_dir, "c", settings.node, OsFS()) as opened:
        made = Assembly(settings, opened)
        yield made
        made.stop()


def posted(agent: Assembly) -> list[object]:
    return agent.loop._inbox.take(0.0)


def test_without_new_trees_nothing_happens(agent: Assembly) -> None:
    agent.discover()
    assert posted(agent) == []


def test_a_new_tree_asks_for_a_new_start(agent: Assembly, home: Path) -> None:
    (home / TENANT).mkdir(parents=True)
    agent.discover()
    assert posted(agent) == [Stop(again=True)]


def test_a_home_that_cant_be_read_ends_nothing(
    agent: Assembly, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home.rename(home.with_name("away"))
    with caplog.at_level(logging.WARNING):
        agent.discover()
    assert posted(agent) == []
    assert "no look for new trees: there is no folder" in caplog.text


def test_what_is_taken_up_reaches_node_disk_history_and_links(agent: Assembly) -> None:
    limits = Limits(tree_files=7, history_revisions=3)
    peer = PeerSettings(NodeName("gw-2"), "gw-2:1", new_key().private.get_name() + " x")
    with pytest.raises(SettingsError):
        agent.take_up(lambda settings: replace(settings, limits=limits, peers=(peer,)))
    assert posted(agent) == [], "a key that is none changes nothing"
    assert agent.settings.limits == Limits()

    agent.take_up(lambda settings: replace(settings, limits=limits))
    assert posted(agent) == [Reloaded(agent.settings)]
    assert agent.settings.limits == limits
    (here,) = agent.disk._parts
    assert isinstance(here, LocalPart)
    assert here._looking.limits == limits
    assert agent.history._limits == limits


def test_a_trusted_key_makes_a_peer_that_may_only_call(agent: Assembly) -> None:
    key = new_key()
    line = f"{key.private.get_name()} {key.private.get_base64()}"
    agent._trust("gw-9", line)
    (told,) = posted(agent)
    assert isinstance(told, Reloaded)
    (peer,) = told.settings.peers
    assert (peer.name, peer.address, peer.key) == ("gw-9", "", line)
