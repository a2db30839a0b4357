"""What the runtime writes while a node is about to write itself."""

from __future__ import annotations

from syncagent.agent.effects import CommitIntent
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.events import Received
from syncagent.core.wire.messages import Blobs, Commit, Prepared
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import at, entry, revision
from tests.fakes.runtime_words import CARBON
from tests.unit.agent.test_deploying import OLD, _manager, api, bring, following, refuse


def test_a_job_that_was_planned_before_the_runtime_wrote_is_planned_anew() -> None:
    bench = following(OLD, CARBON)
    refuse(bench)
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.pass_(30.0)
    assert list(bench.state.exempt) == [at("api/A.xml")]
    bring(bench, {"api/B.xml": api("B", "new")})
    # Prepared before B is refused: it ends A's exemption, and knows of no other.
    standing, third = bench.state.standing, api("A", "third")
    change = Change(at("api/A.xml"), standing.manifest.get(at("api/A.xml")), entry(third))
    made = revision(standing.revision, standing.manifest, [change], epoch=2)
    link, token = _manager(bench)
    bench.offer(link, token, made)
    bench.hear(link, Blobs(*compress_batch([(entry(third), third)])))
    assert bench.said(Prepared)
    bench.pass_(30.0)
    restored = bench.state.exempt[at("api/B.xml")].here
    assert restored is not None
    assert digest_of(bench.files["api/B.xml"]) == restored.digest
    bench.handle(Received(link, Commit(token, made.id)))
    while not (bench.hands and isinstance(bench.hands[0], CommitIntent)):
        assert bench.step()
    # Whatever the moment of a crash, the ledger says what is in the tree.
    assert restored.digest in bench.hands[0].change.notes["exempt"]
    bench.rest()
    assert bench.files["api/A.xml"] == third
    assert digest_of(bench.files["api/B.xml"]) == restored.digest
