"""Rows that changed last lie beside the others: nobody can tell, whatever is asked first."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.manifest import LATE_MAX, Entry, Manifest

TREES = [TreeName("synapse"), TreeName("siddhi")]
PATHS = st.builds(ArtifactPath, st.sampled_from(TREES), st.sampled_from("abcd"))
ENTRIES = st.sampled_from([Entry(digest_of(text.encode()), len(text)) for text in ("", "x", "yy")])
EDITS = st.lists(st.tuples(PATHS, st.none() | ENTRIES), max_size=8)


def _projections(manifest: Manifest) -> object:
    parts = [manifest.project([tree]) for tree in TREES]
    return [(part.digest, list(part)) for part in parts]


QUESTIONS: dict[str, Callable[[Manifest], object]] = {
    "digest": lambda m: m.digest,
    "get": lambda m: [m.get(ArtifactPath(tree, name)) for tree in TREES for name in "abcd"],
    "project": _projections,
    "trees": lambda m: m.trees,
    "len": lambda m: (len(m), m.bytes_total),
    "rows": lambda m: (list(m), [dict(m.tree(tree)) for tree in TREES]),
    "equal": lambda m: m == Manifest.of(m),
}


@settings(deadline=None, max_examples=120)
@given(
    EDITS,
    st.lists(
        st.tuples(EDITS, st.lists(st.sampled_from(sorted(QUESTIONS)), max_size=3)), max_size=4
    ),
)
def test_a_manifest_answers_the_same_whatever_was_asked_before(
    start: list[tuple[ArtifactPath, Entry | None]],
    rounds: list[tuple[list[tuple[ArtifactPath, Entry | None]], list[str]]],
) -> None:
    plain = {path: entry for path, entry in start if entry is not None}
    manifest = Manifest.of(plain.items())
    for edits, asked in rounds:
        changes = []
        for path, entry in edits:
            if plain.get(path) != entry:
                changes.append(Change(path, plain.get(path), entry))
            plain.pop(path, None)
            if entry is not None:
                plain[path] = entry
        manifest = manifest.after(changes)
        for what in asked:
            anew = Manifest.of(plain.items())
            assert QUESTIONS[what](manifest) == QUESTIONS[what](anew)
        assert manifest.digest == Manifest.of(plain.items()).digest


def test_what_is_asked_of_the_newer_one_leaves_the_older_as_it_was() -> None:
    path = ArtifactPath(TREES[0], "a")
    old = Manifest.of([(path, Entry(digest_of(b"x"), 1))])
    new = old.after([Change(path, old.get(path), None)])
    assert (len(new), len(old)) == (0, 1)
    assert old.get(path) is not None


def test_what_lies_beside_the_rows_does_not_grow_for_ever() -> None:
    rows = [
        (ArtifactPath(TREES[0], f"p{n}"), Entry(digest_of(b"%d" % n), 1))
        for n in range(2 * LATE_MAX)
    ]
    manifest = Manifest()
    for path, entry in rows:
        manifest = manifest.after([Change(path, None, entry)])
    assert manifest == Manifest.of(rows)
    assert manifest.digest == Manifest.of(rows).digest
