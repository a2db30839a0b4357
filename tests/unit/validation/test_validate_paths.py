"""Files and folders judged without a daemon."""

import errno
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from syncagent.core.verdict import Problem
from syncagent.fsio import OsFS
from syncagent.validation.tool import validate_paths

CORPUS = Path(__file__).resolve().parents[2] / "data" / "corpus"
NS = "http://ws.apache.org/ns/synapse"
PLAN = "@Plan:name('P')\ndefine stream S (a string);\n"


def sequence(name: str, body: str = "") -> str:
    return f'<sequence xmlns="{NS}" name="{name}">{body}</sequence>'


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for path, content in files.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def codes(
    *paths: Path | str, root: Path | None = None, limit: int = 1_000_000
) -> dict[str, list[str]]:
    found = validate_paths([str(path) for path in paths], OsFS(), limit)
    return {
        (os.path.relpath(path, root) if root else path): [problem.code for problem in problems]
        for path, problems in found
    }


def test_a_released_tree_is_found_below_any_folder_and_has_no_errors() -> None:
    found = dict(validate_paths([str(CORPUS / "apim-releases")], OsFS()))
    assert len(found) == 239
    assert {p.code for problems in found.values() for p in problems} == {"file-name"}


def test_every_file_below_a_path_is_named_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "synapse-configs/default/sequences/a.xml": sequence("a"),
            "synapse-configs/default/sequences/notes.txt": "x",
            "synapse-configs/default/registry.xml": f'<registry xmlns="{NS}"/>',
            "executionplans/P.siddhiql": PLAN,
            "tenants/1/synapse-configs/default/sequences/a.xml": sequence("a"),
            "tenants/1/executionplans/P.siddhiql": PLAN,
            "conf/other.properties": "x",
        },
    )
    assert codes(tmp_path, root=tmp_path) == {
        "executionplans/P.siddhiql": [],
        "synapse-configs/default/registry.xml": [],
        "synapse-configs/default/sequences/a.xml": [],
        "synapse-configs/default/sequences/notes.txt": [],
        "tenants/1/executionplans/P.siddhiql": [],
        "tenants/1/synapse-configs/default/sequences/a.xml": [],
    }


def test_a_whole_tree_is_checked_across_its_files(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "sequences/a.xml": sequence("a", '<sequence key="gone"/><sequence key="b"/>'),
            "sequences/b.xml": sequence("b"),
            "sequences/c.xml": sequence("b"),
            "sequences/d.xml": "<broken",
        },
    )
    assert codes(tmp_path, root=tmp_path) == {
        "sequences/a.xml": ["unresolved-reference"],
        "sequences/b.xml": [],
        "sequences/c.xml": ["duplicate-name", "file-name"],
        "sequences/d.xml": ["not-well-formed"],
    }


def test_one_kinds_folder_shows_duplicates_but_misses_no_references(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "endpoints/a.xml": f'<endpoint xmlns="{NS}" name="a" key="elsewhere"/>',
            "endpoints/b.xml": f'<endpoint xmlns="{NS}" name="a" key="elsewhere"/>',
            "endpoints/notes.txt": "x",
        },
    )
    assert codes(tmp_path / "endpoints", root=tmp_path) == {
        "endpoints/a.xml": [],
        "endpoints/b.xml": ["duplicate-name", "file-name"],
        "endpoints/notes.txt": [],
    }


def test_a_folder_of_the_runtimes_templates_is_no_tree(tmp_path: Path) -> None:
    write(tmp_path, {"templates/conf.toml": "x", "tasks/run.sh": "x", "src/api.txt": "x"})
    assert "src/api.txt" not in codes(tmp_path, root=tmp_path)


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        pytest.param("api/x.xml", sequence("x"), ["wrong-root"], id="the folder decides"),
        pytest.param("any/x.xml", sequence("x"), [], id="else the root element"),
        pytest.param("any/x.xml", "<beans/>", ["wrong-root"], id="a root element of no kind"),
        pytest.param("any/x.xml", "<beans>", ["not-well-formed"], id="broken XML"),
        pytest.param("any/flat.xml", f'<definitions xmlns="{NS}"/>', [], id="a flat configuration"),
        pytest.param("any/synapse.xml", sequence("x"), ["wrong-root"], id="a root file"),
        pytest.param("any/P.siddhiql", PLAN, [], id="a plan anywhere"),
        pytest.param("any/P.siddhiql", "text", ["statement"], id="a broken plan"),
        pytest.param("any/x.txt", b"\0", [], id="anything else"),
    ],
)
def test_a_single_file_is_judged_by_its_place_or_root_element(
    tmp_path: Path, path: str, content: str | bytes, expected: list[str]
) -> None:
    write(tmp_path, {path: content})
    assert codes(tmp_path / path) == {str(tmp_path / path): expected}


def test_a_path_that_is_not_there_is_a_problem_not_an_error(tmp_path: Path) -> None:
    ((_, problems),) = validate_paths(
        [
            str(tmp_path / "nope"),
        ],
        OsFS(),
    )
    assert problems == (Problem("unreadable", "can't be read: No such file or directory"),)


def test_links_fifos_and_devices_are_refused_and_never_opened(tmp_path: Path) -> None:
    secret = write(tmp_path, {"secret.xml": sequence("secret")}) / "secret.xml"
    tree = write(tmp_path / "tree", {"sequences/a.xml": sequence("a")})
    (tree / "sequences" / "link.xml").symlink_to(secret)
    (tree / "api").symlink_to(tmp_path)
    os.mkfifo(tree / "sequences" / "pipe.xml")
    assert codes(tree, root=tree) == {
        "api": ["symlink"],
        "sequences/a.xml": [],
        "sequences/link.xml": ["symlink"],
        "sequences/pipe.xml": ["not-regular"],
    }
    assert codes(tree / "api", root=tree) == {"api": ["symlink"]}


class Shut(OsFS):
    """A file system whose folders named `shut` can't be listed, whoever asks."""

    __slots__ = ("_real",)

    def __init__(self) -> None:
        super().__init__()
        self._real = self.scandir
        self.scandir = self._shut

    def _shut(self, path: str | int) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
        if str(path).endswith("shut"):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return self._real(path)


def test_a_folder_that_cannot_be_listed_is_named_not_skipped(tmp_path: Path) -> None:
    write(tmp_path, {"t/sequences/a.xml": sequence("a"), "t/api/shut/x": "", "shut/x": ""})
    found = dict(validate_paths([str(tmp_path)], Shut()))
    assert {os.path.relpath(path, tmp_path): [p.code for p in v] for path, v in found.items()} == {
        "shut": ["unreadable"],
        "t/api/shut": ["not-regular"],
        "t/sequences/a.xml": [],
    }


@pytest.mark.parametrize("name", ["loose.xml", "registry.xml"])
def test_a_loose_file_over_the_limit_is_refused(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, {name: sequence("a")}) / name
    assert list(codes(path, limit=10).values()) == [["too-large"]]


def test_loose_files_in_a_folder_that_is_no_tree_are_judged_one_by_one(tmp_path: Path) -> None:
    write(tmp_path, {"x.xml": sequence("x"), "y.xml": "<y/>", "z.txt": "z", ".git/a.xml": "<y/>"})
    assert codes(tmp_path, root=tmp_path) == {"x.xml": [], "y.xml": ["wrong-root"]}


def test_a_file_over_the_limit_is_not_read(tmp_path: Path) -> None:
    class Reading(OsFS):
        __slots__ = ()

        def read_all(self, fd: int, limit: int) -> bytes:
            raise AssertionError(f"read up to {limit} bytes of {fd}")

    path = write(tmp_path, {"sequences/a.xml": sequence("a")}) / "sequences" / "a.xml"
    ((_, problems),) = validate_paths([str(path)], Reading(), 10)
    assert [problem.code for problem in problems] == ["too-large"]


def test_a_name_that_not_every_node_can_hold_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"sequences/a:b.xml": sequence("a:b")})
    assert codes(tmp_path, root=tmp_path) == {"sequences/a:b.xml": ["name"]}


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sequences").mkdir()
    name = os.fsencode(tmp_path / "sequences") + b"/\xff.xml"
    Path(os.fsdecode(name)).write_bytes(b"<a/>")
    assert list(codes(tmp_path).values()) == [["name"]]


def test_a_hidden_artifact_is_found_and_warned_of(tmp_path: Path) -> None:
    write(tmp_path, {"sequences/.a.xml": sequence(".a")})
    assert codes(tmp_path, root=tmp_path) == {"sequences/.a.xml": ["hidden-name"]}


def test_errors_of_the_whole_tree_come_before_a_files_own_warnings(tmp_path: Path) -> None:
    write(tmp_path, {"sequences/a.xml": sequence("x"), "sequences/b.xml": sequence("x")})
    assert codes(tmp_path, root=tmp_path)["sequences/b.xml"] == ["duplicate-name", "file-name"]


def test_folders_nested_without_end_are_not_followed_for_ever(tmp_path: Path) -> None:
    deep = tmp_path / "/".join(["d"] * 60)
    write(deep, {"sequences/a.xml": sequence("a")})
    assert list(codes(tmp_path).values()) == [["too-deep"]]
    write(tmp_path / "tree", {"sequences/" + "d/" * 60 + "a.xml": sequence("a")})
    assert list(codes(tmp_path / "tree").values()) == [["not-regular"]]
