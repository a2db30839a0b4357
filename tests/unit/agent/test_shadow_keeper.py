"""The keeper's process: what it works by, why it does not come up, and that it never outlives its node."""

from __future__ import annotations

import os
import signal
import uuid
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.wiring.shadow import Shadow, keeper_settings
from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.errors import UnreachableError
from syncagent.core.revision import Token
from syncagent.core.settings import (
    SHARE,
    ElectionSettings,
    HttpSettings,
    PeerSettings,
    Settings,
    SharedSettings,
    TreeSettings,
    Writers,
)
from syncagent.disk.mark import Mark, write_mark
from syncagent.fsio import O_FOLDER, OsFS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from syncagent.ssh.transport import Pipe

T = TreeName("synapse")


class Links:
    """Takes what a `Shadow` would have dialled; a test calls it."""

    def __init__(self) -> None:
        self.reach: Callable[[], Pipe] | None = None

    def dial_beside(self, peer: NodeName, reach: Callable[[], Pipe]) -> None:
        assert peer == SHARE
        self.reach = reach


def settings_for(tmp_path: Path) -> Settings:
    share = tmp_path / "mnt" / "synapse"
    share.mkdir(parents=True)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    tree = TreeSettings(T, TreeKind.SYNAPSE, str(tmp_path / "tree"), share=str(share))
    return Settings(
        "c",
        NodeName("gw-1"),
        str(state),
        (tree,),
        mode="shared",
        writers=Writers.ANY,
        listen="127.0.0.1:1",
        gateway_home="/opt/gateway",
        peers=(PeerSettings(NodeName("gw-2"), "gw-2:1", "a key"),),
        election=ElectionSettings("sql", eligible=("gw-1",)),
        http=HttpSettings("127.0.0.1:2"),
        shared=SharedSettings(),
    )


def mark(settings: Settings) -> None:
    fs = OsFS()
    fd = fs.open(settings.trees[0].share, O_FOLDER)
    write_mark(fs, fd, Mark(str(uuid.uuid4()), "c", T))
    fs.close(fd)


@pytest.fixture
def shadow(tmp_path: Path) -> Iterator[tuple[Shadow, Links, Settings]]:
    settings, links = settings_for(tmp_path), Links()
    made = Shadow(OsFS(), settings.state_dir, settings, links)  # type: ignore[arg-type]
    yield made, links, settings
    made.stop()


def token(epoch: int) -> Token:
    return Token("c", epoch, NodeName("gw-1"), "start")


def test_a_keeper_is_led_by_its_node_and_opens_no_door(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    own = keeper_settings(settings)
    assert own.node == SHARE
    assert own.state_dir == f"{settings.state_dir}/share"
    assert [(tree.path, tree.mark) for tree in own.trees] == [(settings.trees[0].share, "c")]
    assert own.peers == (PeerSettings(NodeName("gw-1"), "", ""),)
    assert (own.listen, own.gateway_home, own.http.listen) == ("", "", "")
    assert (own.runtime.kind, own.writers) == ("none", Writers.ANY)
    assert not own.shadow
    assert not own.stands


def test_without_a_token_there_is_no_keeper(shadow: tuple[Shadow, Links, Settings]) -> None:
    made, links, _ = shadow
    made.dial()
    assert links.reach is not None
    with pytest.raises(UnreachableError, match="does not lead"):
        links.reach()


def test_a_keeper_says_why_it_does_not_come_up(shadow: tuple[Shadow, Links, Settings]) -> None:
    made, links, _ = shadow
    made.follow(token(1))
    made.dial()
    assert links.reach is not None
    with pytest.raises(UnreachableError, match=r"no \.syncagent-root"):
        links.reach()


def test_one_keeper_runs_for_each_token_and_a_higher_one_gets_another(
    shadow: tuple[Shadow, Links, Settings],
) -> None:
    made, links, settings = shadow
    mark(settings)
    made.follow(token(1))
    made.dial()
    assert links.reach is not None
    links.reach().finish()
    links.reach().finish()
    first = made.process_id
    assert first is not None
    made.follow(token(2))
    links.reach().finish()
    assert made.process_id not in {None, first}
    with pytest.raises(ProcessLookupError):
        os.kill(first, 0)


def test_a_keeper_that_does_not_end_is_killed_with_its_node(
    shadow: tuple[Shadow, Links, Settings],
) -> None:
    made, links, settings = shadow
    mark(settings)
    made.follow(token(1))
    made.dial()
    assert links.reach is not None
    links.reach().finish()
    pid = made.process_id
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    made.end_s = 0.5
    made.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
