"""The order of a commit's steps."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import (
    SHARED_KEY_SPACE,
    ArtifactPath,
    Kind,
    TreeKind,
    TreeName,
    kind_of,
)
from syncagent.core.digest import Digest
from syncagent.core.intent import Step
from syncagent.core.manifest import Entry
from syncagent.core.order import KIND_ORDER, order_steps

TREES = {TreeName("synapse"): TreeKind.SYNAPSE, TreeName("siddhi"): TreeKind.SIDDHI}


def kinds(path: ArtifactPath) -> Kind:
    return kind_of(TREES[path.tree], path.path)


def names(_path: ArtifactPath, digest: Digest) -> str | None:
    """The digest is the artifact's name, up to a `#`; `?` stands for an unknown one."""
    return None if digest == "?" else digest.partition("#")[0]


def step(text: str) -> Step:
    """`+PATH NAME` creates, `~PATH OLD NEW` updates, `-PATH NAME` deletes."""
    sign, (path, *held) = text[0], text[1:].split()
    where = ArtifactPath(TreeName("siddhi" if path.endswith("siddhiql") else "synapse"), path)
    digests = [Digest(name) for name in held]
    if sign == "-":
        return Step(where, digests[0], None)
    return Step(where, digests[0] if sign == "~" else None, Entry(digests[-1], 1))


def ordered(*texts: str) -> list[str]:
    steps = {step(text): text for text in texts}
    return [steps[done] for done in order_steps(reversed(steps), kinds, names)]


@pytest.mark.parametrize(
    "texts",
    [
        pytest.param([], id="nothing"),
        pytest.param(
            [
                "+readme.txt r", "+imports/i.xml i", "+local-entries/l.xml l", "+endpoints/e.xml e",
                "+templates/t.xml t", "+sequences/s.xml s", "+message-stores/m.xml m",
                "+message-processors/p.xml p", "+tasks/t.xml t", "+event-sources/e.xml e",
                "+priority-executors/x.xml x", "+proxy-services/p.xml p",
                "+inbound-endpoints/i.xml i", "+api/a.xml a", "+q.siddhiql q", "+registry.xml r",
            ],
            id="what is used comes before what uses it, root files last",
        ),
        pytest.param(
            ["-api/a.xml a", "-proxy-services/p.xml p", "-sequences/s.xml s", "-endpoints/e.xml e",
             "-local-entries/l.xml l", "-imports/i.xml i"],
            id="deletions are reversed",
        ),
        pytest.param(
            ["+sequences/n.xml n", "+api/a.xml a", "-api/b.xml b", "-sequences/o.xml o"],
            id="deletions come after all else",
        ),
        pytest.param(
            ["+sequences/n.xml n", "+api/new.xml a", "-api/old.xml a", "+registry.xml r", "-sequences/o.xml o"],
            id="a rename's deletion follows its creation at once",
        ),
        pytest.param(
            ["+api/new.xml a#2", "-api/old.xml a#1", "+registry.xml r"],
            id="a rename with an edit is a rename",
        ),
        pytest.param(
            ["~api/b.xml b a", "-api/a.xml a", "+registry.xml r"],
            id="a file that takes over a deleted one's name",
        ),
        pytest.param(
            ["+endpoints/x.xml x", "-sequences/x.xml x", "+api/a.xml a"],
            id="a name that changes its kind inside the shared key space",
        ),
        pytest.param(
            ["+sequences/x.xml x", "+api/a.xml a", "-api/x.xml x"],
            id="equal names of other kinds are strangers",
        ),
        pytest.param(
            ["+api/new.xml ?", "+registry.xml r", "-api/old.xml ?"],
            id="unknown names make no rename",
        ),
        pytest.param(
            ["+api/n.xml a", "-api/z.xml a", "-api/o.xml a", "+registry.xml r"],
            id="two old files of one name go together",
        ),
        pytest.param(
            ["+q.siddhiql p", "-o.siddhiql p", "+registry.xml r"],
            id="plans are renamed like others",
        ),
        pytest.param(
            ["~sequences/a.xml a a#2", "~sequences/b.xml b b#2", "~api/c.xml c c#2"],
            id="updates are ordered by kind, then by path",
        ),
    ],
)  # fmt: skip
def test_steps_are_done_in_this_order(texts: list[str]) -> None:
    assert ordered(*texts) == texts


def test_every_kind_has_its_place_once() -> None:
    assert sorted(KIND_ORDER) == sorted(Kind)


def test_root_files_are_last_and_what_is_imported_is_before_what_uses_it() -> None:
    assert KIND_ORDER[-1] is Kind.ROOT
    place = KIND_ORDER.index
    assert (
        place(Kind.IMPORT) < place(Kind.LOCAL_ENTRY) < place(Kind.ENDPOINT) < place(Kind.SEQUENCE)
    )
    assert place(Kind.SEQUENCE) < place(Kind.PROXY_SERVICE) < place(Kind.API)


FOLDERS = st.sampled_from(["imports", "endpoints", "sequences", "api", "tasks"])
PATHS = st.builds(lambda folder, base: f"{folder}/{base}.xml", FOLDERS, st.sampled_from("abcd"))
NAMES = st.sampled_from(["x", "y", "z", "?"])
STEPS = st.dictionaries(
    PATHS,
    st.one_of(
        NAMES.map(lambda name: f"-{{}} {name}"),
        NAMES.map(lambda name: f"+{{}} {name}"),
        st.tuples(NAMES, NAMES).map(lambda pair: "~{} " + " ".join(pair)),
    ),
    max_size=12,
).map(lambda found: [step(form.format(path)) for path, form in found.items()])


@settings(deadline=None, max_examples=300)
@given(STEPS, st.randoms(use_true_random=False))
def test_the_order_is_a_permutation_that_depends_on_nothing_else(
    steps: list[Step], rng: object
) -> None:
    done = order_steps(steps, kinds, names)
    assert sorted(done, key=repr) == sorted(steps, key=repr)
    rng.shuffle(steps)  # type: ignore[attr-defined]
    assert order_steps(steps, kinds, names) == done


@settings(deadline=None, max_examples=300)
@given(STEPS)
def test_puts_go_up_and_deletions_go_down_and_only_renames_mix(steps: list[Step]) -> None:
    done = order_steps(steps, kinds, names)
    puts = [KIND_ORDER.index(kinds(s.path)) for s in done if s.after is not None]
    assert puts == sorted(puts)
    last_put = max((n for n, s in enumerate(done) if s.after is not None), default=-1)
    own = {space(s.path, s.after.digest) for s in done if s.after} - {None}
    early = [s for s in done[: last_put + 1] if s.after is None]
    assert all(s.expected and space(s.path, s.expected) in own for s in early)
    late = [s for s in done[last_put + 1 :] if space(s.path, s.expected or Digest("?")) not in own]
    assert [KIND_ORDER.index(kinds(s.path)) for s in late] == sorted(
        (KIND_ORDER.index(kinds(s.path)) for s in late), reverse=True
    )


@settings(deadline=None, max_examples=300)
@given(STEPS)
def test_every_rename_is_together(steps: list[Step]) -> None:
    done = order_steps(steps, kinds, names)
    for before, after in itertools.pairwise(done):
        if after.after is not None or after.expected is None:
            continue
        identity = space(after.path, after.expected)
        created = [s for s in done if s.after and space(s.path, s.after.digest) == identity]
        if identity and created:
            held = before.after.digest if before.after else before.expected
            assert held is not None
            assert space(before.path, held) == identity


def space(path: ArtifactPath, digest: Digest) -> tuple[object, ...] | None:
    name = names(path, digest)
    kind = kinds(path)
    return (path.tree, "shared" if kind in SHARED_KEY_SPACE else kind, name) if name else None
