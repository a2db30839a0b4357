"""`init`: what it makes, what it never touches, and what it says."""

import errno
import os
import stat
import tomllib
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.errors import BusyError, DiskError, SettingsError
from syncagent.core.settings import PeerSettings, TreeSettings
from syncagent.fsio import OsFS
from syncagent.settings.init import Wish, init
from syncagent.settings.load import load

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAHJ/sGrRAJE0e/Qnzv6fB+QCVFhtguKYV7MLVC5mraT"
PEER = PeerSettings(NodeName("gw-2"), "10.0.0.12:7421", KEY)


def make_key(state_dir: str) -> str:
    """Stands for the `ssh` part: leaves a file where the key would be."""
    path = Path(state_dir) / "id"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700, "a key needs a closed folder"
    path.write_text("secret")
    return f"{KEY} gw-1"


@pytest.fixture
def wish(tmp_path: Path) -> Wish:
    return Wish(
        cluster="c",
        node="gw-1",
        state_dir=str(tmp_path / "var/state"),
        path=str(tmp_path / "etc/syncagent.toml"),
        trees=(TreeSettings(TreeName("synapse"), TreeKind.SYNAPSE, str(tmp_path / "tree")),),
        listen="10.0.0.11:7421",
        peers=(PEER,),
    )


def test_what_init_writes_loads_without_mistakes(wish: Wish) -> None:
    report = init(OsFS(), wish, make_key)
    settings = load(wish.path, {})
    assert (settings.cluster, settings.node, settings.listen) == ("c", "gw-1", "10.0.0.11:7421")
    assert settings.state_dir == wish.state_dir
    assert settings.trees == wish.trees
    assert settings.peers == (PEER,)
    assert settings.election.manager == "gw-1"
    assert report.path == wish.path
    assert report.public_key == f"{KEY} gw-1"
    assert report.trees == (f"synapse: {wish.trees[0].path}",)
    assert stat.S_IMODE(Path(wish.state_dir).stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(wish.path).stat().st_mode) == 0o640
    assert [path.name for path in Path(wish.path).parent.iterdir()] == ["syncagent.toml"]


def test_without_a_home_no_runtime_is_asked(wish: Wish) -> None:
    init(OsFS(), wish, make_key)
    assert load(wish.path, {}).runtime.kind == "none"


def test_a_text_that_needs_quoting_is_quoted(wish: Wish, tmp_path: Path) -> None:
    odd = tmp_path / 'a "b" \\ # ü'
    tree = replace(wish.trees[0], path=str(odd))
    init(OsFS(), replace(wish, trees=(tree,)), make_key)
    assert load(wish.path, {}).trees[0].path == str(odd)


@pytest.mark.parametrize(
    ("peers", "words"),
    [
        ((), None),
        ((PEER,), "Two nodes never fail over by themselves"),
        ((PEER, replace(PEER, name=NodeName("gw-3"), address="x:1", key="")), "does not change"),
    ],
)
def test_init_says_what_becomes_of_the_manager(
    wish: Wish, peers: tuple[PeerSettings, ...], words: str | None
) -> None:
    notes = init(OsFS(), replace(wish, peers=peers), make_key).notes
    told = [note for note in notes if "promote" in note]
    assert (words is None and told == []) or (words is not None and words in told[0])


@pytest.mark.parametrize(("manager", "expected"), [("", "gw-1"), ("gw-2", "gw-2")])
def test_every_node_names_the_same_manager(wish: Wish, manager: str, expected: str) -> None:
    other = replace(PEER, name=NodeName("gw-1"), address="10.0.0.11:7421")
    wish = replace(wish, node="gw-2", peers=(other,), manager=manager)
    notes = init(OsFS(), wish, make_key).notes
    assert load(wish.path, {}).election.manager == expected
    assert any("gw-1 is the first manager" in note for note in notes) is not bool(manager)


def test_the_steps_hold_what_the_other_nodes_need(wish: Wish) -> None:
    peers = (PEER, replace(PEER, name=NodeName("gw-3"), address="x:1", key=""))
    report = init(OsFS(), replace(wish, peers=peers), make_key)
    entry = report.steps[0].partition("[[peer]] ")[2]
    assert tomllib.loads(entry.replace(", ", "\n")) == {
        "name": "gw-1",
        "address": "10.0.0.11:7421",
        "key": KEY,
    }
    assert "gw-3" in report.steps[1]
    assert f"syncagent run --config {wish.path}" in report.steps


def test_a_settings_file_that_exists_is_not_touched_without_force(wish: Wish) -> None:
    Path(wish.path).parent.mkdir(parents=True)
    Path(wish.path).write_text("mine")
    with pytest.raises(BusyError, match="exists already"):
        init(OsFS(), wish, make_key)
    assert Path(wish.path).read_text() == "mine"
    assert not Path(wish.state_dir).exists(), "nothing else is made either"
    init(OsFS(), replace(wish, force=True), make_key)
    assert load(wish.path, {}).node == "gw-1"


def test_a_file_that_appears_meanwhile_is_not_overwritten(wish: Wish) -> None:
    def slow_key(state_dir: str) -> str:
        Path(wish.path).parent.mkdir(parents=True)
        Path(wish.path).write_text("another's")
        return make_key(state_dir)

    with pytest.raises(BusyError, match="exists already"):
        init(OsFS(), wish, slow_key)
    assert Path(wish.path).read_text() == "another's"
    assert len(list(Path(wish.path).parent.iterdir())) == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"cluster": "a b"}, "cluster.name"),
        ({"listen": "7421"}, "node.listen"),
        ({"manager": "gw-9"}, "election.manager"),
        ({"peers": (replace(PEER, key="nonsense"),)}, "peer.key"),
        ({"trees": ()}, "nothing to keep equal"),
    ],
)
def test_a_wish_with_mistakes_makes_nothing(
    wish: Wish, tmp_path: Path, change: dict[str, object], expected: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        init(OsFS(), replace(wish, **change), make_key)  # type: ignore[arg-type]
    assert expected in caught.value.mistakes[0]
    assert list(tmp_path.iterdir()) == []


def home_of(tmp_path: Path, version: str) -> str:
    home = tmp_path / "am"
    (home / "repository/deployment/server/synapse-configs/default").mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin/version.txt").write_text(f"WSO2 API Manager {version}")
    return str(home)


def test_a_home_is_written_once_and_its_trees_found_from_it(wish: Wish, tmp_path: Path) -> None:
    home = home_of(tmp_path, "3.1.0")
    report = init(OsFS(), replace(wish, trees=(), home=home), make_key)
    assert report.gateway == "API Manager 3.1.0"
    settings = load(wish.path, {})
    assert settings.gateway_home == home
    assert [tree.name for tree in settings.trees] == ["synapse"]
    assert settings.runtime.kind == "auto"
    text = Path(wish.path).read_text()
    assert 'kind = "auto"  # the answers of API Manager 3.1.0 are read from its log' in text
    assert "[[tree]]" not in text


def test_a_home_whose_synchronizer_is_on_makes_nothing(wish: Wish, tmp_path: Path) -> None:
    home = home_of(tmp_path, "4.2.0")
    with pytest.raises(SettingsError, match="brings its artifacts itself"):
        init(OsFS(), replace(wish, trees=(), home=home), make_key)
    assert not Path(wish.path).parent.exists()
    assert not Path(wish.state_dir).exists()


def test_a_state_folder_that_is_open_to_others_is_closed(wish: Wish) -> None:
    Path(wish.state_dir).mkdir(parents=True, mode=0o755)
    init(OsFS(), wish, make_key)
    assert stat.S_IMODE(Path(wish.state_dir).stat().st_mode) == 0o700


def test_a_file_in_the_place_of_the_state_folder_is_refused(wish: Wish) -> None:
    Path(wish.state_dir).parent.mkdir(parents=True)
    Path(wish.state_dir).write_text("a file")
    with pytest.raises(SettingsError, match="is no folder"):
        init(OsFS(), wish, make_key)
    with pytest.raises(DiskError, match="can't be made"):
        init(OsFS(), replace(wish, state_dir=wish.state_dir + "/below"), make_key)


class FailingNth(OsFS):
    """A file system whose Nth call that changes something fails with ENOSPC."""

    CALLS = ("open", "write", "fchmod", "fsync", "link", "replace", "unlink", "mkdir", "chmod")

    def __init__(self, nth: int) -> None:
        super().__init__()
        self.left = nth
        for name in self.CALLS:
            setattr(self, name, self._counted(getattr(self, name)))

    def _counted(self, call):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        def counted(*arguments, **named):  # type: ignore[no-untyped-def]  # noqa: ANN002, ANN003, ANN202
            self.left -= 1
            if self.left == 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments, **named)

        return counted


@pytest.mark.parametrize("force", [False, True])
def test_whichever_call_fails_the_old_file_or_the_whole_new_one_is_there(
    wish: Wish, force: bool
) -> None:
    wish = replace(wish, force=force)
    path = Path(wish.path)
    for nth in range(1, 60):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if force:
            path.write_text("old")
        fs = FailingNth(nth)
        with suppress(DiskError):
            init(fs, wish, make_key)
        content = path.read_text() if path.exists() else ""
        assert content in {"", "old"} or load(str(path), {}).node == "gw-1"
        assert bool(content) or not force
        assert not (path.parent / ".syncagent.toml.part").exists()
        if fs.left > 0:
            assert nth > 8, "so many calls can fail"
            return
    pytest.fail("init never came through")
