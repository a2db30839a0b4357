"""What may be the path of an artifact, and what kind it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import (
    FOLDERS,
    PART_BYTES_MAX,
    PATH_BYTES_MAX,
    ArtifactPath,
    Kind,
    TreeKind,
    TreeName,
    fold_name,
    kind_of,
    path_fault,
    stem_of,
    tenant_of,
)

DECOMPOSED = "api/u\u0308.xml"
"""u and a combining diaeresis: what a Mac writes."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("synapse.xml", id="a root file"),
        pytest.param("api/admin--Pizza_v1.0.0.xml", id="what a Publisher writes"),
        pytest.param("api/@tenant/a+b=c,d-e.xml", id="all ordinary characters"),
        pytest.param("api/Größe und Preis.xml", id="umlauts and spaces"),
        pytest.param("api/.hidden", id="a leading dot"),
        pytest.param("api/a..b.xml", id="two dots within a name"),
        pytest.param("api/CONSOLE.xml", id="begins like a device"),
        pytest.param("api/x-NUL.xml", id="ends like a device"),
        pytest.param("a" * PART_BYTES_MAX, id="the longest name"),
        pytest.param("ü" * (PART_BYTES_MAX // 2), id="the longest name that is not ASCII"),
        pytest.param("/".join(["abcd"] * (PATH_BYTES_MAX // 5)), id="a long path"),
    ],
)
def test_a_portable_relative_path_is_fine(path: str) -> None:
    assert path_fault(path) is None


@pytest.mark.parametrize(
    ("path", "word"),
    [
        pytest.param("", "0 bytes", id="empty"),
        pytest.param("a/" * PATH_BYTES_MAX + "b", "bytes; 1 to", id="too long"),
        pytest.param("ü" * PATH_BYTES_MAX, "bytes; 1 to", id="too long in bytes only"),
        pytest.param("/etc/passwd", "absolute", id="absolute"),
        pytest.param("api/../../x.xml", "leads out", id="leads out of the tree"),
        pytest.param("..", "leads out", id="the folder above"),
        pytest.param("api/./x.xml", "empty part '.'", id="the folder itself"),
        pytest.param("api//x.xml", "empty part ''", id="two slashes"),
        pytest.param("api/", "empty part ''", id="a trailing slash"),
        pytest.param("api/" + "a" * (PART_BYTES_MAX + 1), "more than 255", id="a name too long"),
        pytest.param("api/" + "ü" * 128, "more than 255", id="a name too long in bytes only"),
        pytest.param("api/a\nb.xml", "control", id="a line feed"),
        pytest.param("api/a\x00b.xml", "control", id="a zero byte"),
        pytest.param("api/a\u202eb.xml", "control", id="text that runs backwards"),
        pytest.param("api/a:b.xml", "':'", id="a colon"),
        pytest.param("api\\b.xml", "'\\\\'", id="a backslash"),
        pytest.param('a<>"|?*b', "*", id="shell characters"),
        pytest.param("api/x.", "dot or space", id="ends in a dot"),
        pytest.param("api/x ", "dot or space", id="ends in a space"),
        pytest.param("api /x", "dot or space", id="a folder ends in a space"),
        pytest.param("CON", "device", id="a device"),
        pytest.param("api/nul.xml", "device", id="a device with a suffix, in lower case"),
        pytest.param("lpt1/x.xml", "device", id="a folder that is a device"),
        pytest.param(DECOMPOSED, "normal form C", id="not composed"),
        pytest.param("api/\udcff.xml", "UTF-8", id="bytes that are no text"),
    ],
)
def test_what_not_every_node_can_hold_is_refused_with_the_reason(path: str, word: str) -> None:
    fault = path_fault(path)
    assert fault is not None
    assert word in fault


@settings(deadline=None, max_examples=300)
@given(st.text(st.sampled_from("aN.u /:\u0308ü\nCO"), max_size=12))
def test_what_is_fine_stays_below_the_root_and_can_be_split(path: str) -> None:
    if path_fault(path) is not None:
        return
    parts = path.split("/")
    assert all(part not in {"", ".", ".."} for part in parts)
    assert all(path_fault(part) is None for part in parts)
    assert path.encode().decode() == path


@pytest.mark.parametrize(("folder", "kind"), FOLDERS.items())
def test_a_folder_of_a_synapse_tree_says_the_kind(folder: str, kind: Kind) -> None:
    assert kind_of(TreeKind.SYNAPSE, f"{folder}/x.xml") is kind
    assert kind_of(TreeKind.SYNAPSE, f"{folder}/x.txt") is Kind.FILE
    assert kind_of(TreeKind.GENERIC, f"{folder}/x.xml") is Kind.FILE


@pytest.mark.parametrize(
    ("tree_kind", "path", "kind"),
    [
        pytest.param(TreeKind.SYNAPSE, "synapse.xml", Kind.ROOT, id="at the root"),
        pytest.param(TreeKind.SYNAPSE, "api/deep/er.xml", Kind.API, id="below a kind's folder"),
        pytest.param(TreeKind.SYNAPSE, "other/x.xml", Kind.FILE, id="a folder of no kind"),
        pytest.param(TreeKind.SYNAPSE, "api/x.XML", Kind.FILE, id="suffixes compare with case"),
        pytest.param(TreeKind.SYNAPSE, "api/xxml", Kind.API, id="the runtime wants no dot"),
        pytest.param(TreeKind.SIDDHI, "a.siddhiql", Kind.PLAN, id="a plan"),
        pytest.param(TreeKind.SIDDHI, "a.xml", Kind.FILE, id="no plan"),
    ],
)
def test_the_kind_is_what_the_runtime_takes_it_for(
    tree_kind: TreeKind, path: str, kind: Kind
) -> None:
    assert kind_of(tree_kind, path) is kind


def test_a_path_is_shown_with_its_tree() -> None:
    assert str(ArtifactPath(TreeName("synapse"), "api/a.xml")) == "synapse:api/a.xml"


def test_a_stem_has_no_folder_and_no_suffix() -> None:
    assert [stem_of(p) for p in ("api/a.b.xml", "a", "x/.xml")] == ["a.b", "a", ".xml"]


def test_a_tree_s_name_tells_the_tenant() -> None:
    names = ["synapse", "siddhi", "tenant-1", "tenant-1-siddhi", "tenants"]
    assert [tenant_of(TreeName(name)) for name in names] == ["", "", "1", "1", ""]


def test_names_fold_as_a_case_insensitive_disk_folds_them() -> None:
    assert fold_name("api/PIZZA.xml") == fold_name("api/Pizza.xml")
    assert fold_name("api/GRÖẞE") == fold_name("api/größe") == "api/grösse"
    assert fold_name("api/a") != fold_name("api/b")
