"""What any History does: the real one on a disk, and the fake of the simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import ArtifactPath, NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import Digest, digest_of
from syncagent.core.ledger import Standing, StandingChange
from syncagent.core.manifest import EMPTY, Entry, Manifest
from syncagent.core.outcome import Deployment, Outcome
from syncagent.core.revision import REVISION_ZERO, Revision, RevisionId
from syncagent.core.wire.packing import compress_batch, split_batch
from syncagent.fsio import OsFS
from syncagent.history.node_history import NodeHistory
from tests.fakes.history import FakeHistory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from syncagent.ports import History

SYNAPSE = TreeName("synapse")
NODE = NodeName("gw-1")


class Bench:
    """A history under test, and how it is started again after its process was killed."""

    def __init__(self, first: History, again: Callable[[History], History]) -> None:
        self.history = first
        self._again = again

    def restart(self) -> History:
        self.history = self._again(self.history)
        return self.history


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    if request.param == "fake":

        def crashed(history: History) -> History:
            assert isinstance(history, FakeHistory)
            return history.crash(power=False)

        yield Bench(FakeHistory(), crashed)
        return
    opened: list[NodeHistory] = []

    def start(_before: History | None = None) -> NodeHistory:
        if opened:
            opened[-1].close()
        opened.append(NodeHistory(OsFS(), str(tmp_path), wall=lambda: 1_000.0))
        opened[-1].load()
        return opened[-1]

    yield Bench(start(), start)
    opened[-1].close()


def blob(text: str) -> tuple[Entry, bytes]:
    content = text.encode()
    return Entry(digest_of(content), len(content)), content


def at(name: str) -> ArtifactPath:
    return ArtifactPath(SYNAPSE, f"api/{name}.xml")


def after(standing: Standing, name: str, entry: Entry | None, epoch: int = 1) -> Revision:
    """The revision in which only `name` changes."""
    change = Change(at(name), standing.manifest.get(at(name)), entry)
    manifest = standing.manifest.after([change])
    own = RevisionId(epoch, standing.revision.number + 1, manifest.digest)
    return Revision(own, standing.revision, (change,), NODE, "edit")


def declare(history: History, standing: Standing, name: str, text: str | None) -> Standing:
    item = None if text is None else blob(text)
    revision = after(standing, name, None if item is None else item[0])
    change = StandingChange(revision=revision.id, changes=revision.changes)
    history.stand(change, [] if item is None else [item])
    history.record(revision, at=500.0 + revision.id.number)
    return standing.after(change)


def test_a_new_node_stands_before_the_first_revision(bench: Bench) -> None:
    assert bench.history.load() == Standing(REVISION_ZERO, EMPTY)


def test_what_was_stood_on_is_there_after_a_restart(bench: Bench) -> None:
    first = declare(bench.history, Standing(), "a", "one")
    second = declare(bench.history, first, "b", "two")
    notes = StandingChange(txid=7, identities={SYNAPSE: "fs-1"}, notes={"pause": "{}", "x": "1"})
    bench.history.stand(notes)
    bench.history.stand(StandingChange(notes={"x": ""}))
    expected = second.after(notes).after(StandingChange(notes={"x": ""}))
    assert bench.restart().load() == expected
    assert dict(expected.notes) == {"pause": "{}"}


def test_it_says_where_the_node_stands_now(bench: Bench) -> None:
    assert bench.history.standing() == Standing()
    standing = declare(bench.history, Standing(), "a", "one")
    assert bench.history.standing() == standing


def test_a_whole_manifest_replaces_the_one_before(bench: Bench) -> None:
    declare(bench.history, Standing(), "a", "one")
    entry, _ = blob("other")
    whole = Manifest.of([(at("z"), entry)])
    bench.history.stand(StandingChange(revision=RevisionId(3, 9, whole.digest), manifest=whole))
    found = bench.restart().load()
    assert (found.manifest, found.revision.number) == (whole, 9)


def test_bytes_come_back_under_their_digest(bench: Bench) -> None:
    entry, content = blob("one")
    declare(bench.history, Standing(), "a", "one")
    assert bench.history.has(entry.digest)
    assert bench.restart().blob(entry.digest) == content


def test_unknown_bytes_are_not_there(bench: Bench) -> None:
    unknown = blob("never kept")[0].digest
    assert not bench.history.has(unknown)
    assert bench.history.blob(unknown) is None
    assert list(bench.history.batches([unknown])) == []


def test_a_batch_from_the_wire_is_kept(bench: Bench) -> None:
    items = [blob(f"artifact {number}") for number in range(20)]
    bench.history.add_blobs(*compress_batch(items))
    bench.history.stand(StandingChange(txid=1))
    history = bench.restart()
    assert [history.blob(entry.digest) for entry, _ in items] == [content for _, content in items]


def test_a_batch_with_other_bytes_than_it_says_is_not_believed(bench: Bench) -> None:
    (entry, _), (other, content) = blob("right"), blob("wrong")
    _, frame = compress_batch([(other, content)])
    bench.history.add_blobs([entry], frame)
    assert bench.history.blob(entry.digest) is None
    assert not bench.history.has(entry.digest)
    bench.history.add_blobs(*compress_batch([blob("right")]))
    assert bench.history.blob(entry.digest) == b"right"


@pytest.mark.parametrize("wanted", [1, 5, 19, 20], ids=lambda count: f"{count} of 20")
def test_batches_hold_all_that_is_wanted(bench: Bench, wanted: int) -> None:
    items = [blob(f"artifact {number}") for number in range(20)]
    bench.history.add_blobs(*compress_batch(items[:10]))
    bench.history.stand(StandingChange(txid=1), items[10:])
    asked = [entry.digest for entry, _ in items[:wanted]]
    sent: dict[Digest, bytes] = {}
    for entries, frame in bench.history.batches(asked):
        contents = split_batch(entries, frame)
        sent.update(zip((entry.digest for entry in entries), contents, strict=True))
    assert set(asked) <= set(sent)
    assert all(digest_of(content) == digest for digest, content in sent.items())


def test_revisions_are_listed_newest_first(bench: Bench) -> None:
    standing = declare(bench.history, Standing(), "a", "one")
    standing = declare(bench.history, standing, "a", "two")
    declare(bench.history, standing, "a", None)
    listed = bench.history.revisions(2)
    assert [(revision.id.number, when) for revision, when in listed] == [(3, 503.0), (2, 502.0)]
    assert listed[0][0].changes == (Change(at("a"), blob("two")[0], None),)


def test_an_earlier_manifest_is_found_by_undoing_changes(bench: Bench) -> None:
    stood = [Standing()]
    for name, text in [("a", "one"), ("b", "two"), ("a", "three"), ("b", None)]:
        stood.append(declare(bench.history, stood[-1], name, text))
    history = bench.restart()
    assert [history.manifest_of(number) for number in range(5)] == [each.manifest for each in stood]
    assert history.manifest_of(5) is None
    assert history.manifest_of(-1) is None


def test_a_manifest_before_what_is_remembered_is_not_found(bench: Bench) -> None:
    entry, _ = blob("one")
    whole = Manifest.of([(at("a"), entry)])
    change = StandingChange(revision=RevisionId(1, 9, whole.digest), manifest=whole)
    bench.history.stand(change)
    declare(bench.history, Standing().after(change), "b", "two")
    assert bench.history.manifest_of(9) == whole
    assert bench.history.manifest_of(8) is None


def test_events_are_read_on_from_an_id(bench: Bench) -> None:
    for number in range(5):
        bench.history.event(float(number), "committed", {"revision": number, "node": "gw-1"})
    first, second = bench.history.events(0, 2)
    rest = bench.history.events(second[0], 100)
    assert [event[3]["revision"] for event in (first, second, *rest)] == [0, 1, 2, 3, 4]
    assert first[1:3] == (0.0, "committed")
    assert bench.history.events(rest[-1][0], 100) == []


def test_tidying_keeps_what_the_node_stands_on_and_remembers(bench: Bench) -> None:
    standing = declare(bench.history, Standing(), "a", "one")
    standing = declare(bench.history, standing, "a", "two")
    bench.history.tidy()
    history = bench.restart()
    assert history.blob(blob("one")[0].digest) == b"one"
    assert history.blob(blob("two")[0].digest) == b"two"
    assert history.load() == standing


def outcome(name: str, text: str, state: Deployment = Deployment.DEPLOYED) -> Outcome:
    return Outcome(at(name), blob(text)[0].digest, state, "why", "the log's\nwords \ufffd", 3, 7.5)


def test_outcomes_are_there_after_a_restart_with_the_mark(bench: Bench) -> None:
    assert list(bench.history.outcomes()) == []
    assert bench.history.runtime_mark() is None
    rows = [outcome("a", "one"), outcome("b", "two", Deployment.REJECTED)]
    bench.history.remember(rows, mark="log:1:200")
    history = bench.restart()
    assert sorted(history.outcomes(), key=lambda each: each.path) == rows
    assert history.runtime_mark() == "log:1:200"


def test_an_outcome_takes_the_place_of_the_one_before(bench: Bench) -> None:
    bench.history.remember([outcome("a", "one"), outcome("b", "two")], mark="1")
    bench.history.remember([outcome("a", "three", Deployment.PENDING)], gone=[at("b"), at("z")])
    assert list(bench.history.outcomes()) == [outcome("a", "three", Deployment.PENDING)]
    assert bench.history.runtime_mark() == "1", "what says nothing of the mark leaves it"


def test_what_is_gone_and_said_again_at_once_is_remembered(bench: Bench) -> None:
    bench.history.remember([outcome("a", "one")])
    bench.history.remember([outcome("a", "two")], gone=[at("a")])
    assert list(bench.history.outcomes()) == [outcome("a", "two")]


@pytest.mark.parametrize("state", list(Deployment))
def test_every_state_is_kept(bench: Bench, state: Deployment) -> None:
    bench.history.remember([outcome("a", "one", state)])
    assert [each.state for each in bench.restart().outcomes()] == [state]


def test_a_mark_may_move_alone(bench: Bench) -> None:
    bench.history.remember([], mark="1")
    bench.history.remember([], mark="2")
    assert bench.restart().runtime_mark() == "2"
