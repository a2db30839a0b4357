"""Who belongs together in a rollout."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, Kind, TreeName
from syncagent.core.crosscheck import Index
from syncagent.core.groups import groups, groups_of
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


def index_of(artifacts: dict[ArtifactPath, tuple[Kind, Facts]]) -> Index:
    index = Index()
    for path, (kind, facts) in artifacts.items():
        index.take(path, kind, facts)
    return index


@settings(deadline=None, max_examples=500)
@given(GRAPHS, st.data())
def test_the_groups_of_a_few_are_those_of_all(uses: dict[str, str], data: st.DataObject) -> None:
    artifacts = tree(uses)
    paths = data.draw(st.lists(st.sampled_from(list(artifacts)), max_size=4)) if uses else []
    index = index_of(artifacts)
    few = groups_of(paths, index.users, index.uses)
    if few is not None:
        every = groups(artifacts)
        assert few == {path: every[path] for path in paths}


@settings(deadline=None, max_examples=300)
@given(GRAPHS)
def test_only_circles_need_a_look_at_all(uses: dict[str, str]) -> None:
    # Who refers only to what comes later in the alphabet is in no circle.
    straight = {path: "".join(u for u in used if u > path) for path, used in uses.items()}
    artifacts = tree(straight)
    index = index_of(artifacts)
    assert groups_of(artifacts, index.users, index.uses) == groups(artifacts)


@pytest.mark.parametrize(
    ("uses", "path"),
    [({"b": "c", "c": "bd", "d": ""}, "d"), ({"A": "f", "B": "f", "f": "e", "e": "f"}, "e")],
)
def test_a_circle_above_is_met(uses: dict[str, str], path: str) -> None:
    index = index_of(tree(uses))
    assert groups_of([ArtifactPath(T, path)], index.users, index.uses) is None


def test_what_everybody_uses_costs_no_look_at_everybody() -> None:
    artifacts = tree({"c": ""}) | {
        ArtifactPath(T, f"A{number}"): (
            Kind.API,
            Facts(f"A{number}", references=(Reference(Kind.SEQUENCE, "c"),)),
        )
        for number in range(1_000)
    }
    index, asked = index_of(artifacts), []

    def users(path: ArtifactPath) -> frozenset[ArtifactPath]:
        asked.append(path)
        return index.users(path)

    assert groups_of([ArtifactPath(T, "c")], users, index.uses) == {
        ArtifactPath(T, "c"): "synapse:c"
    }
    assert len(asked) == 3, "itself and two that differ"


def test_of_two_with_one_name_the_first_by_path_is_the_one_that_is_used() -> None:
    artifacts = tree({"A": "c", "c": ""})
    twin = ArtifactPath(T, "d")
    artifacts[twin] = artifacts[ArtifactPath(T, "c")]
    index = index_of(artifacts)
    found = groups_of([ArtifactPath(T, "c"), twin], index.users, index.uses)
    assert found == {ArtifactPath(T, "c"): "synapse:A", twin: "synapse:d"}


def test_what_is_not_known_is_alone() -> None:
    index, path = Index(), ArtifactPath(T, "z")
    assert groups_of([path], index.users, index.uses) == {path: "synapse:z"}
