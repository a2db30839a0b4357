"""What a peer with a good key but bad words can do: speak for nobody but itself."""

import pytest

from syncagent.core.manifest import EMPTY
from syncagent.core.revision import Token
from syncagent.core.settings import Writers
from syncagent.core.wire.messages import (
    Admit,
    Admitted,
    Commit,
    Fenced,
    Missing,
    Offer,
    Propose,
    Proposed,
    Surveyed,
    Want,
)
from tests.fakes.agent_bench import ME, PEER, THIRD, Bench, T, adds, revision, sequence

FILES = {f"sequences/{name}.xml": sequence(name) for name in "abc"}


@pytest.mark.parametrize("holder", [ME, THIRD])
def test_a_token_is_admitted_only_from_its_holder(holder: str) -> None:
    bench = Bench(FILES, standing=FILES).start()
    link = bench.link(PEER, dialled=False)
    before = bench.guard.state()
    bench.hear(link, Admit(Token("c", 9, holder, "i1")))  # type: ignore[arg-type]
    assert bench.guard.state() == before
    assert not bench.said(Admitted)
    assert [number for number, _ in bench.hung_up] == [link]


def test_a_worker_that_was_told_the_managers_token_can_not_use_it() -> None:
    bench = Bench(FILES).lead()
    bench.pass_(3)
    number = bench.state.standing.revision.number
    bench.follow(PEER)
    assert bench.state.token is not None
    thief = bench.link(PEER, dialled=False)
    gone = revision(bench.state.standing.revision, bench.state.standing.manifest, adds({"x": b""}))
    bench.hear(
        thief,
        Offer(bench.state.token, gone.id, gone.parent, PEER, "", (), gone.changes),
    )
    bench.hear(thief, Commit(bench.state.token, gone.id))
    bench.pass_(3)
    assert bench.state.standing.revision.number == number
    assert not bench.said(Want, thief)
    assert bench.files == FILES


def test_a_worker_takes_no_offer_of_another_worker() -> None:
    bench = Bench(manager=PEER).start()
    _, token = bench.managed()
    thief = bench.link(THIRD, dialled=False)
    first = revision(
        bench.state.standing.revision, bench.state.standing.manifest, adds(FILES), epoch=2
    )
    bench.hear(thief, Offer(token, first.id, first.parent, THIRD, "", (), first.changes))
    assert not bench.said(Want, thief)
    assert bench.node.advancing.job is None


def _proposed(bench: Bench, **files: bytes) -> int:
    """Let a worker propose a new file; return its connection."""
    link = bench.follow(PEER)
    changes = adds({f"sequences/{name}.xml": content for name, content in files.items()})
    bench.hear(link, Propose(7, bench.state.standing.revision, changes))
    assert bench.said(Want, link)
    return link


def test_a_proposal_whose_bytes_are_gone_is_lost_and_stops_nobody() -> None:
    bench = Bench(FILES, writers=Writers.ANY).lead()
    bench.pass_(3)
    link = _proposed(bench, d=sequence("d"))
    bench.hear(link, Missing(bench.state.standing.revision, ()))
    (answer,) = bench.said(Proposed, link)
    assert [path.path for path in answer.lost] == ["sequences/d.xml"]
    assert not bench.node.proposing.busy


def test_a_proposer_that_sends_no_bytes_is_not_waited_for_long() -> None:
    bench = Bench(FILES, writers=Writers.ANY).lead()
    bench.pass_(3)
    _proposed(bench, d=sequence("d"))
    bench.put("sequences/e.xml", sequence("e"))
    bench.pass_(180)
    assert not bench.node.proposing.busy
    assert any(path.path == "sequences/e.xml" for path, _ in bench.state.standing.manifest)


@pytest.mark.parametrize("token", [Token("c", 2**62, PEER, "x"), Token("other", 7, PEER, "x")])
def test_a_token_that_nobody_can_have_admitted_stops_no_manager(token: Token) -> None:
    bench = Bench(FILES).start()
    link = bench.link(PEER)
    bench.hear(link, Surveyed(token, bench.state.standing.revision, EMPTY.digest, (T,)))
    assert bench.state.token is not None
    bench.admit(link)
    assert bench.state.leads
    bench.hear(link, Fenced(token, "over"))
    assert bench.state.leads
