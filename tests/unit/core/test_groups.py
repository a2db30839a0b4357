"""Who belongs together in a rollout."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, Kind, TreeName
from syncagent.core.groups import groups
from syncagent.core.verdict import Facts, Reference

T = TreeName("synapse")
OTHER = TreeName("tenant-1")


def tree(uses: dict[str, str], name: TreeName = T) -> dict[ArtifactPath, tuple[Kind, Facts]]:
    """Sequences by one-letter names; what is in capitals is an API."""
    return {
        ArtifactPath(name, path): (
            Kind.API if path.isupper() else Kind.SEQUENCE,
            Facts(path, references=tuple(Reference(Kind.SEQUENCE, use) for use in used)),
        )
        for path, used in uses.items()
    }


@pytest.mark.parametrize(
    ("uses", "expected"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"A": "", "b": ""}, {"A": "A", "b": "b"}, id="strangers are alone"),
        pytest.param(
            {"A": "bc", "b": "", "c": "d", "d": ""},
            {"A": "A", "b": "A", "c": "A", "d": "A"},
            id="an API with all that only it uses",
        ),
        pytest.param(
            {"A": "c", "B": "c", "c": ""}, {"A": "A", "B": "B", "c": "c"}, id="what two share is alone"
        ),
        pytest.param(
            {"A": "c", "B": "c", "c": "d", "d": ""},
            {"A": "A", "B": "B", "c": "c", "d": "c"},
            id="what only a shared one uses belongs to it",
        ),
        pytest.param(
            {"A": "cd", "B": "c", "c": "d", "d": ""},
            {"A": "A", "B": "B", "c": "c", "d": "d"},
            id="what a group and a shared one use is shared",
        ),
        pytest.param(
            {"A": "bc", "b": "d", "c": "d", "d": ""},
            {"A": "A", "b": "A", "c": "A", "d": "A"},
            id="two ways inside one group",
        ),
        pytest.param({"b": "c", "c": "b"}, {"b": "b", "c": "b"}, id="a circle is one group"),
        pytest.param(
            {"a": "b", "b": "a", "c": "da", "d": "c"},
            {"a": "a", "b": "a", "c": "c", "d": "c"},
            id="circles are groups of their own",
        ),
        pytest.param({"A": "A", "b": "b"}, {"A": "A", "b": "b"}, id="a use of oneself"),
        pytest.param({"A": "z"}, {"A": "A"}, id="a reference to nothing"),
        pytest.param(
            {"A": "c", "B": "c", "C": "c", "D": "c", "c": "e", "e": ""},
            {"A": "A", "B": "B", "C": "C", "D": "D", "c": "c", "e": "c"},
            id="many users",
        ),
    ],
)  # fmt: skip
def test_the_groups_of_a_tree(uses: dict[str, str], expected: dict[str, str]) -> None:
    assert groups(tree(uses)) == {
        ArtifactPath(T, path): f"synapse:{head}" for path, head in expected.items()
    }


def test_trees_have_groups_of_their_own() -> None:
    both = {**tree({"A": "b"}), **tree({"b": ""}, OTHER)}
    assert set(groups(both).values()) == {"synapse:A", "tenant-1:b"}


def test_a_nameless_artifact_is_alone_and_nobodys() -> None:
    path = ArtifactPath(T, "a")
    nothing = {path: (Kind.SEQUENCE, Facts("", references=(Reference(Kind.SEQUENCE, ""),)))}
    assert groups(nothing) == {path: "synapse:a"}


GRAPHS = st.dictionaries(st.sampled_from("ABcdefgh"), st.text("cdefgh", max_size=3), max_size=8)


@settings(deadline=None, max_examples=300)
@given(GRAPHS)
def test_every_artifact_has_a_group_and_a_group_is_used_from_outside_only_at_its_head(
    uses: dict[str, str],
) -> None:
    artifacts = tree(uses)
    of = {path.path: group for path, group in groups(artifacts).items()}
    assert of.keys() == uses.keys()
    for user, used in uses.items():
        for target in used:
            if target in of and of[target] != of[user]:
                assert of[target] == f"synapse:{target}"


@settings(deadline=None, max_examples=100)
@given(GRAPHS)
def test_the_order_in_which_artifacts_come_plays_no_part(uses: dict[str, str]) -> None:
    backwards = dict(reversed(uses.items()))
    assert groups(tree(uses)) == groups(tree(backwards))
