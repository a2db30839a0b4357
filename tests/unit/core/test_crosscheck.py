"""Names that two artifacts claim, and references that nothing defines."""

from collections.abc import Container, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import SHARED_KEY_SPACE, ArtifactPath, Kind, TreeName
from syncagent.core.crosscheck import Index, crosscheck
from syncagent.core.verdict import Facts, Problem, Reference, Severity

T = TreeName("synapse")
OTHER = TreeName("tenant-1")


def at(path: str, tree: TreeName = T) -> ArtifactPath:
    return ArtifactPath(tree, path)


def seq(name: str, *uses: str) -> tuple[Kind, Facts]:
    return Kind.SEQUENCE, Facts(name, references=tuple(Reference(Kind.SEQUENCE, u) for u in uses))


def api(name: str, context: str = "", version: str = "") -> tuple[Kind, Facts]:
    return Kind.API, Facts(name, context or f"/{name}", version)


def found(
    artifacts: Mapping[ArtifactPath, tuple[Kind, Facts]], settled: Container[ArtifactPath] = ()
) -> dict[str, list[str]]:
    return {
        str(path): [problem.code for problem in problems]
        for path, problems in crosscheck(artifacts, settled).items()
    }


@pytest.mark.parametrize(
    ("artifacts", "expected"),
    [
        pytest.param({at("a"): seq("x"), at("b"): seq("y")}, {}, id="different names"),
        pytest.param(
            {at("b"): seq("x"), at("a"): seq("x")},
            {"synapse:b": ["duplicate-name"]},
            id="the first by path stays",
        ),
        pytest.param(
            {at("a"): seq("x"), at("b"): seq("x"), at("c"): seq("x")},
            {"synapse:b": ["duplicate-name"], "synapse:c": ["duplicate-name"]},
            id="all others are refused",
        ),
        pytest.param(
            {at("a"): seq("x"), at("a", OTHER): seq("x")}, {}, id="trees do not know each other"
        ),
        pytest.param(
            {at("a"): (Kind.ENDPOINT, Facts("x")), at("b"): seq("x")},
            {"synapse:b": ["duplicate-key"]},
            id="sequences and endpoints share their names",
        ),
        pytest.param(
            {at("a"): (Kind.TEMPLATE, Facts("x")), at("b"): (Kind.LOCAL_ENTRY, Facts("x"))},
            {"synapse:b": ["duplicate-key"]},
            id="so do templates and local entries",
        ),
        pytest.param(
            {at("a"): api("x"), at("b"): seq("x"), at("c"): (Kind.PROXY_SERVICE, Facts("x"))},
            {},
            id="other kinds have names of their own",
        ),
        pytest.param({at("a"): seq("x"), at("b"): seq("X")}, {}, id="case counts"),
        pytest.param(
            {at("a"): api("x", "/c", "1"), at("b"): api("y", "/c", "1")},
            {"synapse:b": ["duplicate-context"]},
            id="two APIs at one context and version",
        ),
        pytest.param(
            {at("a"): api("x", "/c", "1"), at("b"): api("y", "/c", "2"), at("c"): api("z", "/c")},
            {},
            id="versions tell APIs of one context apart",
        ),
        pytest.param(
            {at("a"): api("x", "/c"), at("b"): api("x", "/c")},
            {"synapse:b": ["duplicate-name", "duplicate-context"]},
            id="a copy clashes twice",
        ),
        pytest.param(
            {at("a.siddhiql"): (Kind.PLAN, Facts("p")), at("b.siddhiql"): (Kind.PLAN, Facts("p"))},
            {"synapse:b.siddhiql": ["duplicate-name"]},
            id="plans of one name",
        ),
        pytest.param(
            {at("synapse.xml"): (Kind.ROOT, Facts("x")), at("b"): (Kind.ROOT, Facts("x"))},
            {},
            id="root files have no names",
        ),
        pytest.param({at("a"): seq(""), at("b"): seq("")}, {}, id="the nameless claim nothing"),
        pytest.param(
            {at("a"): seq("x", "gone")},
            {"synapse:a": ["unresolved-reference"]},
            id="a reference to nothing",
        ),
        pytest.param({at("a"): seq("x", "y"), at("b"): seq("y")}, {}, id="a reference that holds"),
        pytest.param(
            {at("a"): seq("x", "y"), at("b"): (Kind.LOCAL_ENTRY, Facts("y"))},
            {},
            id="any kind of the shared key space answers",
        ),
        pytest.param(
            {at("a"): seq("x", "y"), at("b", OTHER): seq("y")},
            {"synapse:a": ["unresolved-reference"]},
            id="another tree's artifact answers nothing",
        ),
        pytest.param(
            {at("a"): seq("x", "y"), at("synapse.xml"): (Kind.ROOT, Facts(defines=(Reference(Kind.SEQUENCE, "y"),)))},
            {},
            id="synapse.xml may hold the answer",
        ),
    ],
)  # fmt: skip
def test_what_is_found_among_artifacts(
    artifacts: dict[ArtifactPath, tuple[Kind, Facts]], expected: dict[str, list[str]]
) -> None:
    assert found(artifacts) == expected


def test_the_settled_one_stays_and_the_newcomer_is_refused() -> None:
    both = {at("a"): seq("x"), at("b"): seq("x")}
    assert found(both, settled={at("b")}) == {"synapse:a": ["duplicate-name"]}
    assert found(both, settled={at("a")}) == {"synapse:b": ["duplicate-name"]}
    assert found(both, settled={at("a"), at("b")}) == {"synapse:b": ["duplicate-name"]}


def test_the_reason_names_who_stays() -> None:
    (problem,) = crosscheck({at("a.xml"): seq("x"), at("b.xml"): seq("x")})[at("b.xml")]
    assert "a.xml" in problem.reason
    assert "'x'" in problem.reason
    assert problem.severity is Severity.ERROR


def test_a_missing_reference_is_a_warning_that_names_it() -> None:
    (problem,) = crosscheck({at("a"): seq("x", "gone")})[at("a")]
    assert problem.severity is Severity.WARNING
    assert "'gone'" in problem.reason


def test_a_rename_is_no_duplicate() -> None:
    index = Index(settled={at("old")})
    index.put(at("old"), *seq("x"))
    index.drop(at("old"))
    index.put(at("new"), *seq("x"))
    assert index.problems(at("new")) == ()


def test_a_change_tells_whose_problems_may_be_different() -> None:
    index = Index()
    assert index.put(at("user"), *seq("u", "x")) == frozenset()
    assert index.put(at("a"), *seq("x")) == {at("user")}
    assert index.put(at("b"), *seq("x")) == {at("a"), at("user")}
    assert index.drop(at("a")) == {at("b"), at("user")}
    assert index.drop(at("a")) == frozenset()
    assert index.problems(at("a")) == ()
    assert len(index) == 2


def test_what_is_put_again_forgets_what_it_was() -> None:
    index = Index()
    index.put(at("a"), *seq("x", "y"))
    index.put(at("a"), *seq("z"))
    index.put(at("b"), *seq("x"))
    assert (index.problems(at("a")), index.problems(at("b"))) == ((), ())


NAMES = st.sampled_from(["", "x", "y", "z"])
PATHS = st.builds(ArtifactPath, st.sampled_from([T, OTHER]), st.sampled_from("abcde"))
FACTS = st.builds(
    Facts,
    name=NAMES,
    context=st.sampled_from([None, "/c", "/d"]),
    version=st.sampled_from([None, "", "1"]),
    references=st.lists(
        st.builds(Reference, st.sampled_from([None, Kind.SEQUENCE, Kind.MESSAGE_STORE]), NAMES),
        max_size=2,
    ).map(tuple),
    defines=st.lists(
        st.builds(Reference, st.sampled_from([Kind.SEQUENCE, Kind.API]), NAMES), max_size=2
    ).map(tuple),
)
KINDS = st.sampled_from([Kind.SEQUENCE, Kind.ENDPOINT, Kind.API, Kind.MESSAGE_STORE, Kind.FILE])
CHANGES = st.lists(st.tuples(PATHS, st.none() | st.tuples(KINDS, FACTS)), max_size=20)


@settings(deadline=None, max_examples=200)
@given(CHANGES, st.frozensets(PATHS))
def test_the_index_says_what_the_batch_says_and_names_everyone_it_touches(
    changes: list[tuple[ArtifactPath, tuple[Kind, Facts] | None]], settled: frozenset[ArtifactPath]
) -> None:
    index, artifacts = Index(settled), dict[ArtifactPath, tuple[Kind, Facts]]()
    before: Mapping[ArtifactPath, tuple[Problem, ...]] = {}
    for path, what in changes:
        if what is None:
            artifacts.pop(path, None)
            touched = index.drop(path)
        else:
            artifacts[path] = what
            touched = index.put(path, *what)
        after = crosscheck(artifacts, settled)
        assert {p: index.problems(p) for p in artifacts if index.problems(p)} == after
        changed = {p for p in {*before, *after} if before.get(p) != after.get(p)}
        assert changed <= touched | {path}
        before = after


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(PATHS, st.tuples(KINDS, FACTS), max_size=8), st.frozensets(PATHS))
def test_what_is_not_refused_has_no_duplicate_left(
    artifacts: dict[ArtifactPath, tuple[Kind, Facts]], settled: frozenset[ArtifactPath]
) -> None:
    problems = crosscheck(artifacts, settled)
    seen: set[tuple[object, ...]] = set()
    for path, (kind, facts) in artifacts.items():
        errors = [p for p in problems.get(path, ()) if p.severity is Severity.ERROR]
        if errors or not facts.name or kind is Kind.FILE:
            continue
        claims: list[tuple[object, ...]] = [
            (path.tree, "shared" if kind in SHARED_KEY_SPACE else kind, facts.name)
        ]
        if kind is Kind.API and facts.context:
            claims.append((path.tree, "place", facts.context, facts.version or ""))
        for claim in claims:
            assert claim not in seen
            seen.add(claim)
