"""A worker's change that is larger than what is kept in memory still becomes a revision."""

from syncagent.agent.hands.memory import CONTENT_BYTES_MAX
from syncagent.core.settings import Writers
from syncagent.core.wire.messages import Missing, Propose, Want
from tests.fakes.agent_bench import PEER, Bench, sequence

BIG = 1_000_000


def test_the_bytes_of_a_large_proposal_can_be_had() -> None:
    bench = Bench({}, manager=PEER, writers=Writers.ANY).start()
    link, _ = bench.managed()
    for number in range(CONTENT_BYTES_MAX // BIG + 3):
        bench.put(f"sequences/{number:02}.xml", sequence(f"s{number}", text="x" * BIG))
    bench.pass_(20)
    proposal = bench.said(Propose, link)[-1]
    wanted = tuple(change.after.digest for change in proposal.changes if change.after is not None)
    bench.hear(link, Want(proposal.base, manifest=False, blobs=wanted))
    assert not bench.said(Missing, link)
