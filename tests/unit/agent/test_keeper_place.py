"""All hosts find the share's state at the same place, whatever trees they list."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.wiring.keeper_place import keeper_folder, known_keeper
from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.errors import DiskError
from syncagent.core.revision import Token
from syncagent.core.settings import TreeSettings
from syncagent.disk.mark import Mark, write_mark
from syncagent.fsio import O_FOLDER, OsFS
from syncagent.history.portable import begin_reign

if TYPE_CHECKING:
    from pathlib import Path


def tree(share: Path, name: str, *, marked: bool = True) -> TreeSettings:
    root = share / name / "default"
    root.mkdir(parents=True)
    if marked:
        fs = OsFS()
        fd = fs.open(str(root), O_FOLDER)
        write_mark(fs, fd, Mark(str(uuid.uuid4()), "c", name))
        fs.close(fd)
    return TreeSettings(TreeName(name), TreeKind.SYNAPSE, str(root), mark="c")


def begin(folder: str) -> None:
    begin_reign(OsFS(), folder, Token("c", 1, NodeName("gw-1"), "start"))


def test_a_new_share_gets_it_beside_the_tree_that_all_nodes_have(tmp_path: Path) -> None:
    trees = [tree(tmp_path, "siddhi"), tree(tmp_path, "synapse")]
    assert known_keeper(OsFS(), trees) is None
    found = keeper_folder(OsFS(), trees)
    assert found == str(tmp_path / "synapse/.syncagent/keeper")
    assert not (tmp_path / "siddhi/.syncagent").exists()


def test_who_lists_more_trees_finds_what_another_made_elsewhere(tmp_path: Path) -> None:
    siddhi = tree(tmp_path, "siddhi")
    begin(keeper_folder(OsFS(), [siddhi]))
    trees = [tree(tmp_path, "synapse"), siddhi]
    assert keeper_folder(OsFS(), trees) == str(tmp_path / "siddhi/.syncagent/keeper")


def test_it_is_found_inside_a_tree_that_is_itself_the_mount(tmp_path: Path) -> None:
    one = tree(tmp_path, "synapse")
    (tmp_path / "synapse/default/.syncagent").mkdir(mode=0o700)
    begin(str(tmp_path / "synapse/default/.syncagent/keeper"))
    assert keeper_folder(OsFS(), [one]) == str(tmp_path / "synapse/default/.syncagent/keeper")


@pytest.mark.parametrize("known", [True, False])
def test_a_tree_without_its_mark_is_no_share(tmp_path: Path, known: bool) -> None:
    one = tree(tmp_path, "synapse", marked=False)
    if known:
        (tmp_path / "synapse/.syncagent").mkdir(mode=0o700)
        begin(str(tmp_path / "synapse/.syncagent/keeper"))
    with pytest.raises(DiskError, match=r"\.syncagent-root"):
        keeper_folder(OsFS(), [one])
