"""`init --share`: marks where a person means them, and an answer where both sides differ."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.wiring.sharing import init_share
from syncagent.agent.wiring.sides import Side
from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.errors import BusyError, DiskError, SettingsError, StateError
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import EMPTY
from syncagent.core.revision import RevisionId
from syncagent.core.settings import Settings, SharedForm, SharedSettings, TreeSettings
from syncagent.disk.mark import MARK_NAME
from syncagent.fsio import OsFS
from syncagent.history.home import StateHome
from syncagent.history.node_history import NodeHistory
from tests.fakes.agent_bench import sequence

if TYPE_CHECKING:
    from pathlib import Path

    from syncagent.core.desk import JSON

SYNAPSE, PLANS = TreeName("synapse"), TreeName("siddhi")
KINDS = {SYNAPSE: TreeKind.SYNAPSE, PLANS: TreeKind.SIDDHI}


def plan(name: str) -> bytes:
    return f"@Plan:name('{name}')\ndefine stream One (key string);\n".encode()


class Site:
    """A node's trees and a share beside them, on one disk."""

    def __init__(self, folder: Path, form: SharedForm = SharedForm.SHADOW) -> None:
        self.folder = folder
        self.state = folder / "state"
        shadow = form is SharedForm.SHADOW
        trees = tuple(
            TreeSettings(
                name,
                kind,
                str(folder / ("node" if shadow else "share") / name),
                share=str(folder / "share" / name) if shadow else "",
                mark="" if shadow else "c",
            )
            for name, kind in KINDS.items()
        )
        for tree in trees:
            for path in filter(None, (tree.path, tree.share)):
                (folder / path).mkdir(parents=True, exist_ok=True)
        self.settings = Settings(
            "c", NodeName("gw-1"), str(self.state), trees, "shared", shared=SharedSettings(form)
        )

    def put(self, side: str, path: str, content: bytes) -> None:
        file = self.folder / side / path
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)

    def files(self, side: str) -> dict[str, bytes]:
        root = self.folder / side
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file() and ".syncagent" not in str(path.relative_to(root))
        }

    def mark(self, tree: TreeName = SYNAPSE) -> Path:
        return self.folder / "share" / tree / MARK_NAME

    def init(self, side: Side | None = None, *, force: bool = True) -> dict[str, JSON]:
        return dict(init_share(self.settings, side=side, force=force))

    def quarantined(self, side: str) -> list[bytes]:
        kept = (self.folder / side / ".syncagent/quarantine").iterdir()
        return sorted(path.read_bytes() for path in kept if not path.name.endswith(".list"))

    def stand(self, change: StandingChange) -> None:
        with StateHome.open(str(self.state), "c", NodeName("gw-1"), OsFS()) as home:
            history = NodeHistory(OsFS(), home.path, wall=lambda: 0.0)
            history.load()
            history.stand(change)
            history.close()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def did(report: dict[str, JSON]) -> list[str]:
    rows = report["trees"]
    assert isinstance(rows, list)
    return [str(row["did"]) for row in rows if isinstance(row, dict)]


def mistakes(site: Site, *, force: bool = True) -> str:
    with pytest.raises(SettingsError) as caught:
        site.init(force=force)
    assert caught.value.hint
    return "\n".join(caught.value.mistakes)


def test_marks_are_made_once_and_found_by_whoever_comes_next(site: Site) -> None:
    first = site.init()
    assert did(first) == ["made", "made"]
    uuids = [json.loads(site.mark(tree).read_text())["uuid"] for tree in KINDS]
    assert len(set(uuids)) == 2, "each folder has its own"
    again = site.init()
    assert did(again) == ["found", "found"]
    other = replace(site.settings, node=NodeName("gw-2"), state_dir=str(site.folder / "s2"))
    rows = init_share(other, side=None, force=True)["trees"]
    assert isinstance(rows, list)
    assert [row["uuid"] for row in rows if isinstance(row, dict)] == uuids


def test_in_place_the_trees_themselves_get_the_marks(tmp_path: Path) -> None:
    site = Site(tmp_path, SharedForm.IN_PLACE)
    site.put("share", "synapse/sequences/a.xml", sequence("a"))
    assert did(site.init()) == ["made", "made"]
    assert site.mark().is_file()
    with pytest.raises(SettingsError, match="there is one side only"):
        site.init(Side.SHARE)


def test_a_lost_mark_is_put_back_by_who_knew_it(site: Site) -> None:
    site.state.mkdir(mode=0o700)
    site.init()
    before = site.mark().read_bytes()
    site.mark().unlink()
    assert did(site.init()) == ["put back", "found"]
    assert site.mark().read_bytes() == before


def test_what_the_ledger_knows_a_share_by_is_put_back(tmp_path: Path) -> None:
    site = Site(tmp_path, SharedForm.IN_PLACE)
    site.stand(StandingChange(identities={SYNAPSE: "share:0a1b", PLANS: "66:7"}))
    assert did(site.init()) == ["put back", "made"]
    assert json.loads(site.mark().read_text())["uuid"] == "0a1b"


def test_damaged_memory_of_marks_is_no_obstacle(site: Site) -> None:
    site.state.mkdir(mode=0o700)
    (site.state / "shares.json").write_text("{")
    assert did(site.init()) == ["made", "made"]


def test_all_that_is_wrong_is_said_at_once_and_nothing_is_made(site: Site) -> None:
    shutil.rmtree(site.folder / "share/siddhi")
    site.mark().write_text("{")
    said = mistakes(site)
    assert f"tree siddhi: there is no folder {site.folder}/share/siddhi" in said
    assert f"tree synapse: {site.mark()} is damaged (it is not JSON); take it away" in said
    (site.folder / "share/siddhi").mkdir()
    mistakes(site)
    assert not site.mark(PLANS).exists()


class Mounted(OsFS):
    """As if everything were on a file system of another machine."""

    def statfs_type(self, path: str) -> int:
        self.stat(path)
        return 0x6969


def test_a_folder_that_is_missing_below_a_mounted_share_is_made(site: Site) -> None:
    """A tenant that is new has no folder on the share yet."""
    (site.folder / "share").chmod(0o2775)
    shutil.rmtree(site.folder / "share/siddhi")
    tree = replace(site.settings.trees[1], share=f"{site.folder}/share/tenants/7/plans")
    site.settings = replace(site.settings, trees=(site.settings.trees[0], tree))
    site.put("node", "siddhi/p.siddhiql", plan("p"))
    report = dict(init_share(site.settings, side=None, force=False, fs=Mounted()))
    assert did(report) == ["made", "made, with its folder,"]
    made = site.folder / "share/tenants/7/plans"
    assert (made / MARK_NAME).is_file()
    assert made.stat().st_mode & 0o7777 == 0o2775


def test_a_folder_that_only_this_machine_writes_to_is_no_share(site: Site) -> None:
    said = mistakes(site, force=False)
    assert "which only this machine writes to: is the share mounted?" in said
    assert not site.mark().exists()


def test_the_share_of_another_cluster_is_not_taken(site: Site) -> None:
    other = replace(site.settings, cluster="d")
    init_share(other, side=None, force=True)
    said = mistakes(site)
    assert "is the tree synapse of the cluster d already, by its .syncagent-root" in said


def test_without_a_share_there_is_nothing_to_prepare(site: Site) -> None:
    site.settings = replace(site.settings, mode="push")
    assert "needs cluster.mode" in mistakes(site)


def test_a_mark_is_not_read_through_a_symlink(site: Site) -> None:
    site.mark().symlink_to("/nowhere/mark")
    assert "can't be opened: Too many levels of symbolic links" in mistakes(site)


@pytest.fixture
def differing(site: Site) -> Site:
    for side, names in (("share", "abx"), ("node", "bcx")):
        for name in names:
            text = side if name == "x" else ""
            site.put(side, f"synapse/sequences/{name}.xml", sequence(name, text=text))
    site.put("share", "siddhi/p.siddhiql", plan("p"))
    return site


def test_both_sides_are_compared_and_nothing_is_made_before_the_answer(differing: Site) -> None:
    before = differing.files("share"), differing.files("node")
    report = differing.init()
    assert report["asks"] is True
    assert report["differences"] == [
        {
            "tree": "synapse",
            "node": 3,
            "share": 3,
            "only_node": 1,
            "only_share": 1,
            "differ": 1,
        },
        {"tree": "siddhi", "node": 0, "share": 1, "only_node": 0, "only_share": 1, "differ": 0},
    ]
    assert report["trees"] == []
    assert (differing.files("share"), differing.files("node")) == before
    assert not differing.mark().exists()


def test_what_the_share_holds_comes_to_the_node_and_what_it_displaces_is_kept(
    differing: Site,
) -> None:
    share, lost = differing.files("share"), sequence("x", text="node")
    report = differing.init(Side.SHARE)
    assert report["asks"] is False
    assert report["carried"] == {"written": 3, "removed": 1, "kept": 2, "refused": []}
    assert differing.files("node") == share == differing.files("share")
    assert differing.quarantined("node") == sorted([lost, sequence("c")])
    assert did(report) == ["made", "made"]
    history = NodeHistory(OsFS(), str(differing.state), wall=lambda: 0.0)
    standing = history.load()
    history.close()
    assert (standing.txid, standing.revision.number) == (1, 0)


def test_what_the_node_holds_goes_to_the_share_and_what_it_displaces_is_kept(
    differing: Site,
) -> None:
    (differing.folder / "share/siddhi/p.siddhiql").unlink()
    node, lost = differing.files("node"), sequence("x", text="share")
    report = differing.init(Side.NODE)
    assert report["carried"] == {"written": 2, "removed": 1, "kept": 2, "refused": []}
    assert differing.files("share") == node == differing.files("node")
    assert differing.quarantined("share") == sorted([lost, sequence("a")])
    assert not (differing.state / "init-share").exists()
    assert did(report) == ["made", "made"]


def test_an_empty_side_empties_no_tree(differing: Site) -> None:
    with pytest.raises(StateError, match="tree siddhi is empty on this node"):
        differing.init(Side.NODE)
    assert not differing.mark().exists()


def test_an_empty_share_asks_nothing(site: Site) -> None:
    site.put("node", "synapse/sequences/a.xml", sequence("a"))
    report = site.init()
    assert (report["asks"], report["differences"], did(report)) == (False, [], ["made", "made"])
    assert site.files("share") == {}, "the cluster's revision comes there later"


def test_what_is_invalid_is_left_where_it_is(site: Site) -> None:
    site.put("share", "synapse/sequences/a.xml", b"<sequence")
    site.put("share", "synapse/sequences/b.xml", sequence("b"))
    site.put("node", "synapse/sequences/a.xml", sequence("a"))
    carried = site.init(Side.SHARE)["carried"]
    assert isinstance(carried, dict)
    assert (carried["written"], carried["kept"]) == (1, 0)
    refused = carried["refused"]
    assert isinstance(refused, list)
    assert [row["path"] for row in refused if isinstance(row, dict)] == ["sequences/a.xml"]
    assert site.files("node")["synapse/sequences/a.xml"] == sequence("a")


def test_a_renamed_artifact_goes_in_one_step_with_its_old_file(site: Site) -> None:
    site.put("share", "synapse/sequences/new.xml", sequence("s", text="new"))
    site.put("node", "synapse/sequences/old.xml", sequence("s"))
    site.init(Side.SHARE)
    assert set(site.files("node")) == {"synapse/sequences/new.xml"}


def test_a_cluster_that_has_a_revision_is_asked_nothing(differing: Site) -> None:
    change = StandingChange(revision=RevisionId(1, 4, EMPTY.digest), manifest=EMPTY)
    differing.stand(change)
    with pytest.raises(SettingsError, match="has revision 4 already"):
        differing.init(Side.SHARE)
    assert differing.init()["asks"] is False
    with pytest.raises(SettingsError, match="this cluster has revision 4"):
        differing.init(Side.NODE)


def test_an_answer_that_was_given_before_is_not_given_again(differing: Site) -> None:
    differing.init(Side.SHARE)
    differing.put("share", "synapse/sequences/z.xml", sequence("z"))
    with pytest.raises(SettingsError, match="this was answered before"):
        differing.init(Side.SHARE)
    assert did(differing.init()) == ["found", "found"]


def test_trees_are_not_changed_under_a_running_agent(differing: Site) -> None:
    home = StateHome.open(str(differing.state), "c", NodeName("gw-1"), OsFS())
    with pytest.raises(BusyError):
        differing.init(Side.SHARE)
    home.close()
    assert not differing.mark().exists()


def test_a_tree_that_can_not_be_read_is_not_compared(differing: Site) -> None:
    shutil.rmtree(differing.folder / "node/synapse")
    with pytest.raises(StateError, match="tree synapse can't be compared"):
        differing.init()


@pytest.mark.parametrize("side", list(Side))
def test_an_answer_that_was_interrupted_is_finished_when_it_is_given_again(
    differing: Site, side: Side
) -> None:
    if side is Side.NODE:
        (differing.folder / "share/siddhi/p.siddhiql").unlink()
    loser = "node" if side is Side.SHARE else "share"
    winner = "share" if side is Side.SHARE else "node"
    wanted, before = differing.files(winner), differing.files(loser)
    interrupted = 0
    for nth in range(1, 40):
        fs, moves = OsFS(), iter(range(1, 1000))
        real = fs.rename

        def fail(a: str, b: str, **at: int) -> None:
            live = "src_dir_fd" in at and not b.startswith(".") and not b.endswith(".part")
            if live and next(moves) == nth:  # noqa: B023 - called in this round only
                raise OSError(5, "a disk that fails")
            real(a, b, **at)  # noqa: B023

        fs.rename = fail
        try:
            init_share(differing.settings, side=side, force=True, fs=fs)
        except (StateError, DiskError):
            interrupted += 1
            assert not differing.mark().exists()
            continue
        break
    assert interrupted, "something was interrupted"
    assert differing.files(loser) == wanted
    for content in before.values():
        kept = {*differing.quarantined(loser), *wanted.values()}
        assert content in kept, "nothing is lost"
    assert differing.mark().exists()
