"""The process that watches the share for hints: what it tells, and what it waits for."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from syncagent.agent.wiring.share_watch import ShareWatch, Watching
from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.events import Hinted, HintKind, ShareHinted
from syncagent.core.settings import Settings, SharedSettings, TreeSettings
from syncagent.disk.mark import Mark, write_mark
from syncagent.fsio import O_FOLDER, OsFS
from tests.servers.process import reached

if TYPE_CHECKING:
    from pathlib import Path

T = TreeName("synapse")


def mark(root: Path) -> None:
    fs = OsFS()
    fd = fs.open(str(root), O_FOLDER)
    write_mark(fs, fd, Mark(str(uuid.uuid4()), "c", T))
    fs.close(fd)


def settings_for(share: Path, state: Path, mode: str = "shared") -> Settings:
    tree = TreeSettings(T, TreeKind.SYNAPSE, "/nowhere", share=str(share))
    shared = SharedSettings()
    return Settings("c", NodeName("gw-1"), str(state), (tree,), mode=mode, shared=shared)


def test_what_is_done_on_a_marked_share_is_seen_and_an_unmarked_one_is_waited_for(
    tmp_path: Path,
) -> None:
    share = tmp_path / "synapse"
    (share / "api").mkdir(parents=True)
    seen: list[Hinted] = []
    watching = Watching(OsFS(), settings_for(share, tmp_path).share_trees, seen.append)
    watching.attach()
    (share / "api/a.xml").write_text("<api/>")
    mark(share)
    watching.attach()
    seen.clear()
    (share / "api/b.xml").write_text("<api/>")
    try:
        reached(lambda: any(hint.path == "api/b.xml" for hint in seen), "it is seen")
        assert not any(hint.path == "api/a.xml" for hint in seen)

        # The folder is taken away and comes back: it is watched anew.
        share.rename(tmp_path / "away")
        reached(lambda: bool(watching.lost), "it is lost")
        watching.attach()
        assert watching.lost == {T}
        (tmp_path / "away").rename(share)
        watching.attach()
        (share / "api/c.xml").write_text("<api/>")
        reached(lambda: any(hint.path == "api/c.xml" for hint in seen), "it is seen again")
    finally:
        watching.end()


def test_a_node_with_a_share_is_told_by_a_process_of_its_own(tmp_path: Path) -> None:
    share = tmp_path / "synapse"
    (share / "api").mkdir(parents=True)
    mark(share)
    told: list[object] = []
    watch = ShareWatch(settings_for(share, tmp_path), str(tmp_path), told.append)
    watch.start()
    try:
        hint = ShareHinted(T, "api/a.xml", HintKind.WRITTEN)

        def seen() -> bool:
            (share / "api/a.xml").write_text("<api/>")
            return hint in told

        reached(seen, "it is told")
    finally:
        watch.stop()


def test_a_node_without_a_share_starts_nothing(tmp_path: Path) -> None:
    watch = ShareWatch(settings_for(tmp_path, tmp_path, "push"), str(tmp_path), lambda _event: None)
    watch.start()
    watch.stop()
    assert not (tmp_path / "share-watch.lock").exists()
