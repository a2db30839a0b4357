"""What seldom happens: results that come late, in another order, or from nobody."""

import json

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.node.state import Role
from syncagent.core.digest import digest_of
from syncagent.core.errors import SyncagentError
from syncagent.core.events import Hinted, HintKind
from syncagent.core.guard import GuardState
from syncagent.core.intent import Keep
from syncagent.core.settings import Writers
from syncagent.core.wire.messages import Delta, Offer, Propose, Proposed, Report, View, Want
from syncagent.core.wire.packing import make_delta
from tests.fakes.agent_bench import (
    ME,
    PEER,
    THIRD,
    Bench,
    T,
    at,
    entry,
    sequence,
)

FILES = {f"sequences/{name}.xml": sequence(name) for name in "ab"}
A = at("sequences/a.xml")


def leading(**given: object) -> tuple[Bench, int]:
    bench = Bench(FILES, **given).lead().pass_(3)  # type: ignore[arg-type]
    link = bench.follow()
    bench.sent.clear()
    return bench, link


def until(bench: Bench, kind: type) -> None:
    """Have everything done until an effect of `kind` would be next."""
    while not any(isinstance(effect, kind) for effect in bench.hands):
        bench.at += 0.05
        bench.tick()
        while bench.hands and not isinstance(bench.hands[0], kind):
            bench.step()


def test_a_record_that_is_durable_after_the_fall_is_stood_on() -> None:
    bench, _ = leading()
    bench.put("sequences/c.xml", sequence("c"))
    until(bench, fx.Declare)
    declare = bench.hands.pop(0)
    done = bench.do(declare)
    link = bench.link(dialled=False)
    token = bench.token(9)
    bench.handle(rs.TokenAdmitted(token, GuardState("c", token), link))
    assert bench.state.role is Role.WORKER
    assert done is not None
    bench.sent.clear()
    bench.handle(done)
    assert bench.state.standing == bench.history.standing()
    assert bench.state.standing.revision.number == 2
    assert bench.said(Offer) == [], "a worker offers nothing"


def test_own_work_ends_with_the_managership() -> None:
    bench, _ = leading()
    bench.disk.keep(at("notes.txt"), b"older", Keep.CONFLICT, "")
    bench.handle(rs.Asked(50, "restore", {"what": "notes.txt"}, 5.0))
    until(bench, fx.Seal)
    assert bench.node.advancing.job is not None
    link = bench.link(dialled=False)
    token = bench.token(9)
    bench.handle(rs.TokenAdmitted(token, GuardState("c", token), link))
    assert bench.node.advancing.job is None
    assert isinstance(bench.replies[50].error, SyncagentError)
    bench.rest()
    assert "notes.txt" not in bench.files


def test_a_token_of_a_connection_that_is_gone_makes_no_manager() -> None:
    bench = Bench(FILES, manager=PEER).start()
    token = bench.token(3)
    bench.handle(rs.TokenAdmitted(token, GuardState("c", token), 99))
    assert bench.state.manager_link is None
    assert bench.state.guard.epoch == 3


def test_a_delta_that_makes_other_bytes_is_refused() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES)
    old, new = FILES[A.path], sequence("a", text="2")
    forged = sequence("a", text="3")
    assert len(forged) == len(new)
    delta = Delta(entry(forged), digest_of(old), make_delta(old, new))
    assert isinstance(bench.do(fx.StageBlobs(7, delta, ())), rs.StageFailed)
    assert not bench.history.has(digest_of(forged))


def test_an_artifact_without_a_verdict_gets_one_before_it_is_declared() -> None:
    bench, _ = leading()
    bench.put("sequences/c.xml", sequence("c"))
    until(bench, fx.Declare)
    bench.hands.clear()
    bench.node.observing.views[T].examined.pop("sequences/c.xml")
    declared = bench.node.declaring.pending
    assert declared is not None
    bench.handle(rs.DeclareFailed(declared.id, "changed", (at("sequences/c.xml"),)))
    bench.pass_(8)
    assert bench.state.standing.manifest.get(at("sequences/c.xml")) == entry(sequence("c"))


def test_a_question_waits_while_the_node_becomes_manager() -> None:
    bench = Bench(FILES)
    bench.node.start(bench.at)
    bench._drain()
    request = bench.ask("reconcile", timeout_s=60)
    bench.pass_(3)
    assert request not in bench.replies
    bench.pass_(8)
    bench.handle(Hinted(T, A.path, HintKind.WRITTEN))
    bench.pass_(8)
    assert bench.state.leads
    if request not in bench.replies:
        bench.link()
        bench.pass_(60)
    assert request in bench.replies


def test_answers_to_proposals_of_anybody_but_the_manager_mean_nothing() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES, writers=Writers.ANY).start()
    bench.managed()
    stranger = bench.link(THIRD, dialled=False)
    bench.hear(stranger, Proposed(1, (A,), ()))
    assert bench.events("proposal-taken") == []


def test_a_proposal_from_nobody_means_nothing() -> None:
    bench, link = leading(writers=Writers.ANY)
    bench.node.proposing.proposed(99, Propose(1, bench.state.standing.revision, ()), bench.at)
    assert not bench.node.proposing.busy
    assert bench.said(Proposed, link) == []


def test_a_worker_that_lacks_bytes_asks_nobody_else() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()
    link, _ = bench.managed()
    bench.link(THIRD, dialled=False)
    bench.hear(link, Want(bench.state.standing.revision, manifest=False, blobs=(digest_of(b"?"),)))
    assert bench.said(Want) == []


def test_a_worker_describes_others_as_its_manager_sees_them() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()
    link, _ = bench.managed()
    row = {"name": PEER, "revision": 1, "state": "Synced"}
    bench.hear(link, View(json.dumps({"nodes": [row]})))
    found = bench.answer("describe", artifact="sequence/a")
    assert isinstance(found, dict)
    assert found["nodes"][1]["digest"] == digest_of(FILES[A.path])
    bench.hear(link, View(json.dumps({"nodes": [{**row, "revision": 0}]})))
    unknown = bench.answer("describe", artifact="sequence/a")
    assert isinstance(unknown, dict)
    assert "ask gw-2" in unknown["nodes"][1]["reason"]


def test_a_peer_on_the_same_revision_does_not_have_what_is_refused_here() -> None:
    bench, link = leading()
    bench.put("sequences/x.xml", b"<bad")
    bench.pass_(2)
    bench.hear(link, Report("{}"))
    found = bench.answer("describe", artifact="sequences/x.xml")
    assert isinstance(found, dict)
    assert found["nodes"][1]["reason"] == "revision 1 does not have it"
    assert found["nodes"][0]["node"] == ME
