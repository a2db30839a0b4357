"""What of a revision a runtime gets first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, Kind, TreeKind, TreeName, kind_of
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.entry import Entry
from syncagent.core.rollout import PORTION_MAX, first_portion

OLD, NEW = Entry(digest_of(b"old"), 3), Entry(digest_of(b"new"), 3)


def kinds(path: ArtifactPath) -> Kind:
    return kind_of(TreeKind.SYNAPSE, path.path)


def change(path: str, before: Entry | None, after: Entry | None) -> Change:
    return Change(ArtifactPath(TreeName("synapse"), path), before, after)


def portions(changes: list[Change], *, ordered: bool) -> list[set[str]]:
    found: list[set[str]] = []
    left = changes
    while left:
        first = first_portion(left, kinds, ordered=ordered)
        assert first, "what is left gets smaller"
        found.append({path.path for path in first})
        left = [c for c in left if c.path not in first]
    return found


def test_what_is_no_burden_comes_at_once() -> None:
    changes = [change("api/a.xml", OLD, NEW), change("sequences/b.xml", OLD, None)]
    assert portions(changes, ordered=False) == [{"api/a.xml", "sequences/b.xml"}]


def test_25_updates_come_at_a_time_what_others_use_first() -> None:
    changes = [change(f"api/{n}.xml", OLD, NEW) for n in range(30)]
    changes += [change(f"sequences/{n}.xml", OLD, NEW) for n in range(30)]
    first, second, third = portions(changes, ordered=False)
    assert [len(first), len(second), len(third)] == [25, 25, 10]
    assert all(path.startswith("sequences/") for path in first)
    assert all(path.startswith("api/") for path in third)


def test_additions_are_no_burden() -> None:
    changes = [change(f"api/{n}.xml", None, NEW) for n in range(100)]
    assert len(portions(changes, ordered=False)) == 1


def test_in_order_one_kind_comes_after_the_other_and_deletions_last() -> None:
    changes = [
        change("api/a.xml", OLD, NEW),
        change("endpoints/e.xml", None, NEW),
        change("sequences/s.xml", OLD, NEW),
        change("templates/t.xml", OLD, None),
    ]
    assert portions(changes, ordered=True) == [
        {"endpoints/e.xml"},
        {"sequences/s.xml"},
        {"api/a.xml"},
        {"templates/t.xml"},
    ]


def test_the_two_halves_of_a_rename_come_together() -> None:
    changes = [
        change("api/new.xml", None, NEW),
        change("api/old.xml", OLD, None),
        change("sequences/s.xml", OLD, NEW),
    ]
    assert portions(changes, ordered=True) == [
        {"sequences/s.xml"},
        {"api/new.xml", "api/old.xml"},
    ]


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["api", "sequences", "endpoints"]), st.integers(0, 40)),
        st.sampled_from([(OLD, NEW), (None, NEW), (OLD, None)]),
        max_size=90,
    ),
    st.booleans(),
)
def test_portions_hold_everything_once_and_none_is_too_heavy(
    made: dict[tuple[str, int], tuple[Entry | None, Entry | None]], ordered: bool
) -> None:
    changes = [change(f"{folder}/{n}.xml", *pair) for (folder, n), pair in made.items()]
    found = portions(changes, ordered=ordered)
    assert sorted(path for portion in found for path in portion) == sorted(
        c.path.path for c in changes
    )
    updates = {c.path.path for c in changes if c.before and c.after}
    assert all(len(portion & updates) <= PORTION_MAX for portion in found)
    for folder in ("api", "sequences", "endpoints"):
        new = {c.path.path for c in changes if c.before is None and c.path.path.startswith(folder)}
        gone = {c.path.path for c in changes if c.after is None and c.path.path.startswith(folder)}
        if new and gone:
            assert sum(bool(portion & (new | gone)) for portion in found) == 1
