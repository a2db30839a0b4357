"""Who else claims what an artifact claims; and quiet times that change meanwhile."""

from syncagent.core.artifact import ArtifactPath, Kind, TreeName
from syncagent.core.crosscheck import Index
from syncagent.core.events import Hinted, HintKind
from syncagent.core.settle import Settling
from syncagent.core.verdict import Facts

T = TreeName("synapse")


def at(path: str, tree: TreeName = T) -> ArtifactPath:
    return ArtifactPath(tree, path)


def test_rivals_are_all_others_of_a_name_or_a_place() -> None:
    index = Index()
    index.put(at("a"), Kind.API, Facts("one", "/one", "1"))
    index.put(at("b"), Kind.API, Facts("one", "/two", "1"))
    index.put(at("c"), Kind.API, Facts("three", "/one", "1"))
    index.put(at("d"), Kind.API, Facts("four", "/four", "1"))
    index.put(at("a", TreeName("other")), Kind.API, Facts("one", "/one", "1"))
    assert index.rivals(at("a")) == {at("b"), at("c")}
    assert index.rivals(at("b")) == {at("a")}
    assert index.rivals(at("d")) == index.rivals(at("unknown")) == frozenset()
    index.drop(at("b"))
    assert index.rivals(at("a")) == {at("c")}


def test_other_quiet_times_count_for_what_is_dirty_already() -> None:
    settling = Settling(written_s=0.1, created_s=0.5, cap_s=10.0)
    settling.hint(Hinted(T, "a", HintKind.WRITTEN), 0.0)
    settling.retune(written_s=2.0, created_s=2.0, cap_s=10.0)
    assert not settling.due(1.0)
    assert settling.due(2.0).paths == {T: ("a",)}
    settling.hint(Hinted(T, "a", HintKind.WRITTEN), 3.0)
    settling.retune(written_s=0.1, created_s=0.5, cap_s=10.0)
    assert settling.next_at() == 3.1
    assert settling.due(3.1).paths == {T: ("a",)}
