"""Which of a node's trees are reached by processes of their own, and by how many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.wiring.mounts import ON_SHARE, JoinedHints, apart
from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.settings import Settings, SharedForm, SharedSettings, TreeSettings
from syncagent.fsio import Mount, OsFS
from tests.fakes.hints import FakeHints
from tests.fakes.inbox import Inbox

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO, THREE = TreeName("one"), TreeName("two"), TreeName("three")


class Table(OsFS):
    """A file system with mounts that are only in its table."""

    __slots__ = ("points",)

    def mount_table(self) -> tuple[Mount, ...]:
        return tuple(
            Mount(number, 0, "0:1", "/", point, "nfs4", "server:/share", "rw")
            for number, point in enumerate(self.points)
        )


def settings(base: Path, **given: object) -> Settings:
    trees = tuple(
        TreeSettings(name, TreeKind.SYNAPSE, f"{base}/{folder}")
        for name, folder in ((ONE, "mnt/a"), (TWO, "mnt/b"), (THREE, "c"))
    )
    return Settings("prod", NodeName("gw-1"), str(base), trees, **given)  # type: ignore[arg-type]


def names(found: dict[str, tuple[TreeSettings, ...]]) -> dict[str, list[str]]:
    return {point: [tree.name for tree in trees] for point, trees in found.items()}


def test_trees_on_one_mount_share_a_process_and_local_ones_have_none(tmp_path: Path) -> None:
    fs = Table()
    fs.points = [f"{tmp_path}/mnt"]
    assert names(apart(fs, settings(tmp_path))) == {f"{tmp_path}/mnt": [ONE, TWO]}
    fs.points = [f"{tmp_path}/mnt/a", f"{tmp_path}/c/api"]
    found = names(apart(fs, settings(tmp_path)))
    assert found == {f"{tmp_path}/mnt/a": [ONE], f"{tmp_path}/c/api": [THREE]}
    fs.points = []
    assert apart(fs, settings(tmp_path)) == {}


def test_trees_that_are_the_share_are_apart_also_before_it_is_mounted(tmp_path: Path) -> None:
    fs = Table()
    fs.points = [f"{tmp_path}/c"]
    in_place = settings(tmp_path, mode="shared", shared=SharedSettings(form=SharedForm.IN_PLACE))
    assert names(apart(fs, in_place)) == {ON_SHARE: [ONE, TWO], f"{tmp_path}/c": [THREE]}


def test_each_tree_is_watched_where_it_is_reached() -> None:
    inbox = Inbox()
    here = FakeHints((ONE,), inbox.post)
    joined = JoinedHints(here, ())
    assert joined.start(ONE) == "inotify"
    joined.stop()
    here.lose_root(ONE)
    assert not inbox.events
