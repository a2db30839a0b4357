"""The three-way decision: base, observed, desired."""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.digest import Digest, digest_of
from syncagent.core.intent import Keep, Step
from syncagent.core.manifest import EMPTY, Entry, Manifest
from syncagent.core.plan import LEAVE, REVERT, UNKNOWN, DriftPolicy, Plan, Unknown, make_plan

P = ArtifactPath(TreeName("t"), "api/a.xml")
X, Y, Z = (Entry(digest_of(name), 1) for name in (b"x", b"y", b"z"))
Here = Digest | Unknown | None


def only(entry: Entry | None) -> Manifest:
    return EMPTY if entry is None else Manifest.of([(P, entry)])


def plan_one(base: Entry | None, seen: Here, desired: Entry | None, policy: DriftPolicy) -> Plan:
    return make_plan(
        [P, P],
        base=only(base),
        observed=lambda _: seen,
        desired=only(desired),
        policy=lambda _: policy,
    )


@pytest.mark.parametrize(
    ("base", "seen", "desired", "policy", "expected"),
    [
        pytest.param(None, None, X, REVERT, Step(P, None, X), id="new"),
        pytest.param(X, X, Y, REVERT, Step(P, X.digest, Y), id="updated: the history has X"),
        pytest.param(X, X, None, REVERT, Step(P, X.digest, None, Keep.DELETED), id="deleted"),
        pytest.param(X, Y, X, REVERT, Step(P, Y.digest, X, Keep.DRIFT), id="edited: put back"),
        pytest.param(X, None, X, REVERT, Step(P, None, X, Keep.DRIFT), id="removed: put back"),
        pytest.param(None, X, None, REVERT, Step(P, X.digest, None, Keep.DRIFT), id="put in: out"),
        pytest.param(X, Y, X, LEAVE, None, id="edited: left"),
        pytest.param(X, None, X, LEAVE, None, id="removed: left"),
        pytest.param(None, X, None, LEAVE, None, id="put in: left"),
        pytest.param(X, Y, Z, REVERT, Step(P, Y.digest, Z, Keep.DRIFT), id="both changed"),
        pytest.param(X, Y, Z, LEAVE, Step(P, Y.digest, Z, Keep.CONFLICT), id="both: conflict"),
        pytest.param(None, Y, Z, LEAVE, Step(P, Y.digest, Z, Keep.CONFLICT), id="both new"),
        pytest.param(X, Y, None, LEAVE, Step(P, Y.digest, None, Keep.CONFLICT), id="edit, delete"),
        pytest.param(X, UNKNOWN, X, REVERT, Step(P, None, X, Keep.DRIFT), id="unknown: replaced"),
        pytest.param(X, UNKNOWN, X, LEAVE, None, id="unknown: left"),
        pytest.param(X, UNKNOWN, Y, LEAVE, Step(P, None, Y, Keep.CONFLICT), id="unknown: updated"),
        pytest.param(X, UNKNOWN, None, REVERT, None, id="unknown: not ours to remove"),
        pytest.param(None, UNKNOWN, None, REVERT, None, id="unknown and never ours"),
    ],
)
def test_why_a_path_differs_decides_what_is_done(
    base: Entry | None,
    seen: Entry | Unknown | None,
    desired: Entry | None,
    policy: DriftPolicy,
    expected: Step | None,
) -> None:
    here = seen.digest if isinstance(seen, Entry) else seen
    plan = plan_one(base, here, desired, policy)
    assert plan == (Plan((), (P,)) if expected is None else Plan((expected,), ()))


@pytest.mark.parametrize(("base", "policy"), list(product([None, X, Y], [REVERT, LEAVE])))
@pytest.mark.parametrize("same", [None, X])
def test_right_bytes_are_never_touched(
    base: Entry | None, policy: DriftPolicy, same: Entry | None
) -> None:
    assert plan_one(base, same.digest if same else None, same, policy) == Plan((), ())


PATHS = [ArtifactPath(TreeName("t"), name) for name in "abcd"]
ENTRY = st.sampled_from([None, X, Y, Z])
CASE = st.tuples(ENTRY, st.sampled_from([None, X.digest, Y.digest, Z.digest, UNKNOWN]), ENTRY)


@settings(deadline=None, max_examples=400)
@given(st.lists(CASE, min_size=4, max_size=4), st.sampled_from([REVERT, LEAVE]))
def test_the_steps_lead_to_what_is_desired(
    cases: list[tuple[Entry | None, Here, Entry | None]], policy: DriftPolicy
) -> None:
    base = {p: case[0] for p, case in zip(PATHS, cases, strict=True)}
    seen = {p: case[1] for p, case in zip(PATHS, cases, strict=True)}
    desired = {p: case[2] for p, case in zip(PATHS, cases, strict=True)}

    def manifest(rows: dict[ArtifactPath, Entry | None]) -> Manifest:
        return Manifest.of((p, e) for p, e in rows.items() if e is not None)

    plan = make_plan(
        PATHS,
        base=manifest(base),
        observed=seen.__getitem__,
        desired=manifest(desired),
        policy=lambda _: policy,
    )
    wanted = {p: e.digest if e else None for p, e in desired.items()}
    assert [s.path for s in plan.steps] == sorted({s.path for s in plan.steps})
    for step in plan.steps:
        here = seen[step.path]
        assert here != wanted[step.path], "a step changes something"
        assert step.after == desired[step.path]
        assert step.expected == (None if here is UNKNOWN else here)
        agreed = base[step.path]
        known = here is None or (agreed is not None and here == agreed.digest)
        assert known or step.keep is not None, "bytes that no revision holds are kept"
        assert step.after is not None or step.keep is not None, "deleted bytes are kept"
    done = {**seen, **{s.path: wanted[s.path] for s in plan.steps}}
    left = {p for p in PATHS if done[p] != wanted[p]}
    assert left == set(plan.drift)
    for path in left:
        stays = base[path] == desired[path] and not policy.revert
        assert stays or (seen[path] is UNKNOWN and desired[path] is None)
    again = make_plan(
        PATHS,
        base=manifest(desired),
        observed=done.__getitem__,
        desired=manifest(desired),
        policy=lambda _: policy,
    )
    assert again.steps == () or policy.revert is True
    assert not [s for s in again.steps if s.path not in left], "decided again, nothing is left"


def test_a_step_must_do_something() -> None:
    with pytest.raises(AssertionError):
        Step(P, None, None)
