"""Hypothesis strategies for everything that two agents may say to each other."""

from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName, path_fault
from syncagent.core.change import Change
from syncagent.core.digest import from_raw
from syncagent.core.manifest import Entry
from syncagent.core.revision import REVISION_ZERO, RevisionId, Token
from syncagent.core.verdict import Problem, Refused, Severity
from syncagent.core.wire import messages as m

numbers = st.integers(0, 2**63 - 1)
counts = st.integers(1, 2**62)
digests = st.binary(min_size=16, max_size=16).map(from_raw)
names = st.text(st.characters(categories=["L", "N", "Pd"]), min_size=1, max_size=20)
nodes = names.map(NodeName)
words = st.text(st.characters(categories=["L", "N", "Pd"]), min_size=1, max_size=30)
trees = st.sampled_from([TreeName(n) for n in ("synapse", "siddhi", "tenant-1", "tenant-2-siddhi")])
reasons = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
parts = st.text(
    st.characters(categories=["L", "N", "Pd", "Pc"], max_codepoint=0x24F), min_size=1, max_size=12
)
paths = (
    st.lists(parts, min_size=1, max_size=3)
    .map(lambda found: "/".join(found) + ".xml")
    .filter(lambda path: path_fault(path) is None)
)
artifacts = st.builds(ArtifactPath, trees, paths)
entries = st.builds(Entry, digests, st.integers(0, 2**32 - 1))
small_entries = st.builds(Entry, digests, st.integers(0, 5 * 1024 * 1024))
revisions = st.just(REVISION_ZERO) | st.builds(RevisionId, counts, counts, digests)
tokens = st.builds(Token, names, counts, nodes, words)
bodies = st.text(st.characters(exclude_categories=["Cs"]), max_size=2000)
tree_lists = st.lists(trees, unique=True).map(tuple)
rows = st.dictionaries(artifacts, entries, max_size=12).map(
    lambda found: tuple(sorted(found.items()))
)
changes = st.dictionaries(
    artifacts,
    st.tuples(st.none() | entries, st.none() | entries).filter(lambda pair: pair[0] != pair[1]),
    max_size=12,
).map(lambda found: tuple(Change(path, *pair) for path, pair in found.items()))
path_lists = st.lists(artifacts, unique=True, max_size=8).map(tuple)
problems = st.builds(Problem, words, reasons, numbers, st.sampled_from(Severity))
refused = st.lists(st.builds(Refused, artifacts, problems), max_size=5).map(tuple)
blob_lists = st.lists(digests, max_size=8).map(tuple)
versions = st.sets(st.integers(0, 65535), min_size=1, max_size=5).map(
    lambda found: tuple(sorted(found, reverse=True))
)


@st.composite
def offers(draw: st.DrawFn) -> m.Offer:
    parent = draw(revisions)
    revision = RevisionId(parent.epoch + draw(st.integers(1, 3)), parent.number + 1, draw(digests))
    return m.Offer(
        draw(tokens),
        revision,
        parent,
        draw(nodes),
        draw(reasons),
        draw(blob_lists),
        draw(st.none() | changes),
        draw(path_lists),
    )


@st.composite
def wants(draw: st.DrawFn) -> m.Want:
    blobs = draw(blob_lists)
    pairs = st.lists(st.none() | digests, min_size=len(blobs), max_size=len(blobs)).map(tuple)
    return m.Want(draw(revisions), draw(st.booleans()), blobs, draw(st.just(()) | pairs))


BY_TYPE: dict[type, st.SearchStrategy[m.Message]] = {
    m.Hello: st.builds(m.Hello, versions, names, nodes, words, reasons),
    m.Survey: st.builds(m.Survey),
    m.Surveyed: st.builds(m.Surveyed, st.none() | tokens, revisions, digests, tree_lists, digests),
    m.Admit: st.builds(m.Admit, tokens),
    m.Admitted: st.builds(m.Admitted, tokens, revisions, digests, tree_lists, digests),
    m.Fenced: st.builds(m.Fenced, st.none() | tokens, reasons),
    m.Offer: offers(),
    m.Want: wants(),
    m.ManifestPart: st.builds(m.ManifestPart, revisions, rows, st.booleans()),
    m.Blobs: st.builds(m.Blobs, st.lists(small_entries, max_size=8).map(tuple), st.binary()),
    m.Delta: st.builds(m.Delta, small_entries, digests, st.binary()),
    m.Missing: st.builds(m.Missing, revisions, blob_lists),
    m.Prepared: st.builds(m.Prepared, revisions),
    m.Declined: st.builds(
        m.Declined,
        revisions,
        st.sampled_from(["held", "refused", "observing", "disk"]),
        reasons,
        st.just("") | words,
        refused,
    ),
    m.Commit: st.builds(m.Commit, tokens, revisions),
    m.Done: st.builds(m.Done, revisions, digests, digests),
    m.Failed: st.builds(m.Failed, revisions, reasons),
    m.Report: st.builds(m.Report, bodies),
    m.View: st.builds(m.View, bodies),
    m.Propose: st.builds(m.Propose, numbers, revisions, changes),
    m.Proposed: st.builds(m.Proposed, numbers, path_lists, path_lists, reasons),
    m.Ask: st.builds(m.Ask, numbers, words, bodies),
    m.Answered: st.builds(m.Answered, numbers, bodies),
    m.Hint: st.builds(m.Hint, path_lists, tree_lists, st.booleans()),
    m.Ping: st.builds(m.Ping, numbers),
    m.Pong: st.builds(m.Pong, numbers),
    m.Bye: st.builds(m.Bye, reasons),
}
"""Each type of message to a strategy for it."""

anything = st.one_of(list(BY_TYPE.values()))
