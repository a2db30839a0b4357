"""An approval releases the set that was shown, once, and soon."""

from syncagent.core.artifact import ArtifactPath
from syncagent.core.events import Hinted, HintKind
from tests.fakes.agent_bench import Bench, T, sequence

FILES = {f"sequences/{name}.xml": sequence(name) for name in "abc"}
ROOT = {"top.xml": b"<definitions xmlns='http://ws.apache.org/ns/synapse'/>"}


def _vanish(bench: Bench) -> None:
    """Let the folder go, as an unmount would."""
    bench.disk.remove_folder(T, "sequences")
    bench.handle(Hinted(T, "sequences", HintKind.SUBTREE))


def _come_back(bench: Bench) -> None:
    bench.disk.folders[T].add("sequences")
    for path, content in FILES.items():
        bench.disk.put(ArtifactPath(T, path), content)


def test_an_approval_that_came_too_late_does_not_release_the_same_set_another_day() -> None:
    bench = Bench(FILES | ROOT).lead()
    bench.pass_(3)
    _vanish(bench)
    bench.pass_(5)
    (hold,) = bench.state.holds.values()
    # It is back, and nobody has seen that yet, when a person says yes.
    _come_back(bench)
    bench.answer("approve", id=hold.id)
    bench.pass_(120)
    assert bench.state.standing.revision.number == 1
    assert not bench.state.holds
    bench.at += 24 * 3600
    _vanish(bench)
    bench.pass_(5)
    assert bench.state.standing.revision.number == 1, "yesterday's yes is not today's"
    assert bench.state.holds


def test_an_approval_lasts_until_it_can_be_acted_upon() -> None:
    bench = Bench(FILES | ROOT).lead()
    bench.pass_(3)
    _vanish(bench)
    bench.pass_(5)
    (hold,) = bench.state.holds.values()
    bench.answer("approve", id=hold.id)
    bench.pass_(5)
    assert bench.state.standing.revision.number == 2
    assert not bench.state.approved
