"""A tree that a node lists later than it joined: what lies in it is not reverted as drift."""

from __future__ import annotations

import json

from syncagent.agent.node.meeting import NOTE
from syncagent.core.artifact import ArtifactPath
from syncagent.core.change import Change
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Manifest
from syncagent.core.revision import RevisionId
from syncagent.core.wire.messages import Commit
from tests.fakes.agent_bench import PEER, PLANS, Bench, T, entry, revision, sequence

OURS, THEIRS = (
    b"@Plan:name('x') define stream S (a int);",
    b"@Plan:name('x') define stream T (b int);",
)
PATH = ArtifactPath(PLANS, "x.siddhiql")


def node_with_a_new_tree(content: bytes | None) -> Bench:
    """Stand on a revision with a plan, having met only the first tree; the plans' tree is new."""
    bench = Bench({"sequences/a.xml": sequence("a")}, manager=PEER, trees=(T, PLANS))
    if content is not None:
        bench.disk.put(PATH, content)
    first = ArtifactPath(T, "sequences/a.xml")
    manifest = Manifest.of([(first, entry(sequence("a"))), (PATH, entry(THEIRS))])
    blobs = [(entry(sequence("a")), sequence("a")), (entry(THEIRS), THEIRS)]
    own = RevisionId(1, 1, manifest.digest)
    met = {NOTE: json.dumps([T])}
    bench.history.stand(StandingChange(own, manifest=manifest, txid=1, notes=met), blobs)
    bench.guard.admit(bench.token(1))
    fresh = bench.state
    fresh.guard = bench.guard.state()
    fresh.standing = bench.history.standing()
    fresh.base = manifest
    bench.node.observing.rebase(manifest, None)
    return bench.start()


def met(bench: Bench) -> list[str]:
    found: list[str] = json.loads(bench.state.standing.notes[NOTE])
    return found


def plan(bench: Bench) -> bytes | None:
    return bench.disk.read(PATH, entry(THEIRS).digest) or bench.disk.read(PATH, entry(OURS).digest)


def test_an_empty_tree_is_filled_and_met() -> None:
    bench = node_with_a_new_tree(None).pass_(3.0)
    assert plan(bench) == THEIRS
    assert met(bench) == ["siddhi", "synapse"]
    assert not bench.state.holds


def test_an_equal_tree_needs_nothing() -> None:
    bench = node_with_a_new_tree(THEIRS).pass_(3.0)
    assert met(bench) == ["siddhi", "synapse"]
    assert not bench.state.holds


def test_a_tree_that_holds_something_else_waits_for_a_person_once() -> None:
    bench = node_with_a_new_tree(OURS).pass_(3.0)
    (hold,) = bench.state.holds.values()
    assert (hold.reason, hold.tree) == ("first-contact", PLANS)
    assert plan(bench) == OURS
    assert met(bench) == ["synapse"]
    bench.pass_(200.0)
    assert list(bench.state.holds) == [hold.id]
    assert len(bench.events("held")) == 1, "it is told once"

    bench.answer("approve", id=hold.id)
    bench.pass_(3.0)
    assert plan(bench) == THEIRS
    assert not bench.state.holds
    assert met(bench) == ["siddhi", "synapse"]
    assert not bench.state.approved, "used up"
    bench.disk.put(PATH, OURS)
    bench.pass_(400.0)
    assert plan(bench) == THEIRS, "from now on it is drift"


def test_a_clash_that_somebody_mends_ends_the_hold() -> None:
    bench = node_with_a_new_tree(OURS).pass_(3.0)
    assert bench.state.holds
    bench.disk.put(PATH, THEIRS)
    bench.pass_(100.0)
    assert not bench.state.holds
    assert met(bench) == ["siddhi", "synapse"]


def test_other_trees_are_mended_meanwhile() -> None:
    bench = node_with_a_new_tree(OURS).pass_(3.0)
    bench.put("sequences/a.xml", sequence("a", text="by hand"))
    bench.pass_(100.0)
    assert bench.files == {"sequences/a.xml": sequence("a")}
    assert plan(bench) == OURS


def test_an_offer_that_comes_first_leaves_the_new_tree_alone() -> None:
    bench = node_with_a_new_tree(OURS)
    link, token = bench.managed()
    before = bench.state.standing
    change = Change(ArtifactPath(T, "sequences/b.xml"), None, entry(sequence("b")))
    bench.history.stand(StandingChange(), [(entry(sequence("b")), sequence("b"))])
    sent = bench.offer(link, token, revision(before.revision, before.manifest, [change], epoch=2))
    bench.rest()
    bench.hear(link, Commit(token, sent.revision))
    bench.pass_(3.0)
    assert bench.state.standing.revision == sent.revision
    assert "sequences/b.xml" in bench.files
    assert plan(bench) == OURS
    assert [hold.reason for hold in bench.state.holds.values()] == ["first-contact"]
