"""What a look at some paths says, and what it leaves for a scan to say."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, TreeName, path_fault
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.snapshot import Seen
from syncagent.disk.read import escaped
from tests.fakes.examiner import KeepingExaminer
from tests.fakes.eyes import TREE, Eyes, code

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def eyes(tmp_path: Path) -> Eyes:
    eyes = Eyes(tmp_path)
    eyes.put("api/a.xml", b"1")
    eyes.put("api/b.xml", b"2")
    eyes.put("root.xml", b"3")
    return eyes


def test_a_look_sees_what_is_there_and_what_is_not(eyes: Eyes) -> None:
    found = eyes.look("api/a.xml", "api/no.xml", "root.xml", "none.xml")
    assert {path: code(what) for path, what in found.items()} == {
        "api/a.xml": "seen",
        "api/no.xml": "absent",
        "root.xml": "seen",
        "none.xml": "absent",
    }
    seen = found["api/a.xml"]
    assert isinstance(seen, Seen)
    assert seen.entry.digest == digest_of(b"1")


def test_a_look_shows_the_bytes_it_read(eyes: Eyes) -> None:
    examiner = KeepingExaminer()
    eyes.looking.look(TREE, ["api/a.xml", "api/no.xml"], examiner)
    assert examiner.shown == {"api/a.xml": b"1"}


def test_below_a_folder_that_is_gone_nothing_is_called_absent(eyes: Eyes) -> None:
    eyes.scan()
    shutil.rmtree(eyes.tree / "api")
    assert code(eyes.look("api/a.xml")["api/a.xml"]) == "no-folder"
    assert eyes.scan().tells_absence("api/a.xml")


def test_a_look_after_a_scan_reads_only_what_changed(eyes: Eyes) -> None:
    eyes.scan()
    eyes.put("api/b.xml", b"new")
    examiner = KeepingExaminer()
    eyes.looking.look(TREE, ["api/a.xml", "api/b.xml"], examiner)
    assert examiner.shown == {"api/b.xml": b"new"}


def test_what_a_look_read_is_read_once_more_by_the_next_scan(eyes: Eyes) -> None:
    eyes.scan()
    eyes.put("api/b.xml", b"new")
    eyes.look("api/b.xml")
    assert eyes.read_by_scan() == {"api/b.xml"}
    assert eyes.read_by_scan() == set()


def test_a_look_at_what_the_examiner_wants_reads_it_though_it_is_known(eyes: Eyes) -> None:
    eyes.scan()
    examiner = KeepingExaminer(wanted={digest_of(b"1")})
    eyes.looking.look(TREE, ["api/a.xml", "api/b.xml"], examiner)
    assert examiner.shown == {"api/a.xml": b"1"}


def test_a_name_that_can_not_be_an_artifact_s_is_refused_until_it_is_gone(eyes: Eyes) -> None:
    eyes.put("api/con.xml")
    found = eyes.look("../outside.xml", "api/con.xml", "/etc/passwd")
    assert {code(what) for what in found.values()} == {"name"}
    (eyes.tree / "api/con.xml").unlink()
    assert code(eyes.look("api/con.xml")["api/con.xml"]) == "absent"


def test_a_new_name_that_clashes_with_a_known_one_is_refused_at_once(eyes: Eyes) -> None:
    eyes.scan()
    eyes.put("api/A.xml")
    assert code(eyes.look("api/A.xml")["api/A.xml"]) == "case-clash"
    (eyes.tree / "api/a.xml").unlink()
    assert code(eyes.look("api/a.xml")["api/a.xml"]) == "absent"
    assert code(eyes.look("api/A.xml")["api/A.xml"]) == "seen"
    eyes.put("api/C.xml")
    eyes.put("api/c.xml")
    assert code(eyes.look("api/C.xml")["api/C.xml"]) == "seen"
    assert code(eyes.look("api/c.xml")["api/c.xml"]) == "case-clash"


def test_when_one_of_a_clash_goes_the_other_is_looked_at_with_it(eyes: Eyes) -> None:
    eyes.scan()
    eyes.put("api/A.xml")
    assert code(eyes.look("api/A.xml")["api/A.xml"]) == "case-clash"
    (eyes.tree / "api/a.xml").unlink()
    found = eyes.look("api/a.xml")
    assert {path: code(what) for path, what in found.items()} == {
        "api/a.xml": "absent",
        "api/A.xml": "seen",
    }


def test_a_file_that_only_changes_the_case_of_its_name_is_a_rename(eyes: Eyes) -> None:
    eyes.scan()
    (eyes.tree / "api/a.xml").rename(eyes.tree / "api/A.xml")
    found = eyes.look("api/A.xml", "api/a.xml")
    assert {path: code(what) for path, what in found.items()} == {
        "api/a.xml": "absent",
        "api/A.xml": "seen",
    }


@pytest.mark.parametrize("name", ["api/A.XML/x.xml", "api/.A.xml.swp"])
def test_what_is_no_file_of_the_tree_is_not_looked_at_for_its_name(eyes: Eyes, name: str) -> None:
    eyes.scan()
    eyes.put(name)
    (eyes.tree / "api/a.xml").unlink()
    assert set(eyes.look("api/a.xml")) == {"api/a.xml"}


def test_a_folder_where_a_file_was_is_not_called_absent(eyes: Eyes) -> None:
    eyes.scan()
    (eyes.tree / "root.xml").unlink()
    (eyes.tree / "root.xml").mkdir()
    assert code(eyes.look("root.xml")["root.xml"]) == "not-regular"


def test_a_look_without_its_root_is_refused(eyes: Eyes) -> None:
    eyes.scan()
    shutil.rmtree(eyes.tree)
    with pytest.raises(DiskError, match="is not there") as caught:
        eyes.look("root.xml")
    assert caught.value.errno_name == "ENOENT"
    assert caught.value.hint


def test_read_returns_bytes_only_of_the_digest_that_is_asked_for(eyes: Eyes) -> None:
    assert eyes.read("api/a.xml", digest_of(b"1")) == b"1"
    assert eyes.read("api/a.xml", digest_of(b"2")) is None
    assert eyes.read("api/no.xml", digest_of(b"1")) is None
    assert eyes.read("no/no.xml", digest_of(b"1")) is None


def test_below_a_folder_that_clashes_with_a_known_one_nothing_is_seen(eyes: Eyes) -> None:
    eyes.scan()
    eyes.put("API/x.xml")
    eyes.put("Api/deep/x.xml")
    found = eyes.look("API/x.xml", "Api/deep/x.xml", "new/x.xml")
    assert [code(what) for what in found.values()] == ["case-clash", "case-clash", "no-folder"]
    eyes.put("new/x.xml")
    assert code(eyes.look("new/x.xml")["new/x.xml"]) == "seen"


def test_a_tree_that_this_node_does_not_list_is_refused(eyes: Eyes) -> None:
    other = TreeName("other")
    with pytest.raises(DiskError, match="no tree other"):
        eyes.looking.scan(other, KeepingExaminer())
    with pytest.raises(DiskError, match="no tree other"):
        eyes.looking.look(other, ["a"], KeepingExaminer())
    with pytest.raises(DiskError, match="no tree other"):
        eyes.looking.read(ArtifactPath(other, "a"), digest_of(b""))


NAMES = st.binary(min_size=1, max_size=12) | st.text("ae\u0301\u00e9\\.x\n con", min_size=1).map(
    str.encode
)


@given(NAMES.filter(lambda name: b"/" not in name))
@settings(max_examples=300, deadline=None)
def test_what_is_shown_of_a_refused_name_can_be_sent_and_is_no_artifact_s_name(
    name: bytes,
) -> None:
    path = f"api/{os.fsdecode(name)}"
    shown = escaped(path)
    assert shown.isprintable()
    assert shown.encode()
    if path_fault(path) is None:
        assert shown == path
    else:
        assert path_fault(shown) is not None
