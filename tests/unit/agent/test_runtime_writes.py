"""What the runtime writes while a node is about to write itself."""

from __future__ import annotations

import pytest

from syncagent.agent.effects import CommitIntent, Declare, Look, Scan
from syncagent.core.artifact import Kind
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.events import Hinted, HintKind, Received, RuntimeHeard
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import Heard, Saying
from syncagent.core.wire.messages import Blobs, Commit, Prepared
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import PEER, PLANS, Bench, T, at, entry, revision, sequence
from tests.fakes.runtime import FakeRuntime
from tests.fakes.runtime_words import CARBON
from tests.unit.agent.test_deploying import (
    OLD,
    _aged,
    _manager,
    api,
    bring,
    following,
    leading,
    refuse,
    state_of,
)


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


def test_what_was_refused_at_the_start_before_there_was_a_revision_is_not_called_deployed() -> None:
    files = {**OLD, "api/Bad.xml": api("Bad")}
    bench = Bench(files, manager=PEER).beside(CARBON).start()
    refuse(bench)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.pass_(1.0)
    bench.gateway.boot()
    bench.pass_(60.0)
    assert bench.events("rejected-edit")
    bring(bench, dict(files))
    bench.pass_(5.0)
    assert state_of(bench, "api/A.xml") is Deployment.DEPLOYED
    assert state_of(bench, "api/Bad.xml") is Deployment.REJECTED


def test_what_a_log_of_whole_seconds_says_of_the_second_of_a_write_is_no_answer() -> None:
    bench = following(OLD)
    bench.at = float(int(bench.at)) + 0.6
    bring(bench, {"api/A.xml": api("A", "new")})
    second = float(int(bench.wall()))
    for saying in (Saying.REJECTED, Saying.UPDATED):
        heard = Heard(
            saying, at("api/A.xml"), Kind.API, "A", "of what was there before", "", second
        )
        bench.handle(RuntimeHeard((heard,), "0"))
        assert state_of(bench, "api/A.xml") is Deployment.PENDING
    bench.pass_(90.0)
    assert state_of(bench, "api/A.xml") is Deployment.DEPLOYED


def test_what_failed_at_a_start_without_a_name_may_be_what_no_revision_has() -> None:
    bench = leading(OLD)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.put("sequences/s.xml", sequence("s", text="new"))
    bench.put("sequences/z.xml", sequence("s"))
    bench.pass_(5.0)
    assert list(bench.state.refused) == [at("sequences/z.xml")]
    bench.gateway.boot()
    bench.pass_(20.0)
    known = bench.node.deploying.here(at("sequences/s.xml"))
    assert known is not None
    assert known.state is Deployment.UNKNOWN
    assert "it may be what" in known.reason


def test_what_the_runtime_took_before_this_node_looked_is_not_called_the_revisions() -> None:
    bench = leading(OLD)
    # No hint comes of it, so the runtime is the first to see it.
    bench.disk.put(at("api/A.xml"), api("A", "twice").replace(b'context="/A"', b'context="/B"'))
    bench.at += 0.5
    said = Heard(Saying.UPDATED, at("api/A.xml"), at=bench.wall())
    bench.handle(RuntimeHeard((said,), "x"))
    assert state_of(bench, "api/A.xml") is Deployment.DEPLOYED
    bench.handle(Hinted(T, "api/A.xml", HintKind.WRITTEN))
    bench.pass_(3.0)
    assert at("api/A.xml") in bench.state.refused
    assert state_of(bench, "api/A.xml") is Deployment.UNKNOWN


def test_an_edit_that_was_seen_just_before_the_runtime_wrote_over_it_is_not_the_runtimes() -> None:
    bench = leading(OLD, CARBON)
    refuse(bench)
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(30.0)
    # A person mends it; it is looked at, and read by the runtime, before it is a revision's.
    edit = api("A", "another")
    bench.put("api/A.xml", edit)
    bench.at += 0.2
    bench.handle(bench.eye.do(Look(T, ("api/A.xml",))))
    bench.at += 1.0
    restored = api("A", "as it was")
    bench.disk.put(at("api/A.xml"), restored)
    said = Heard(Saying.RESTORED, at("api/A.xml"), Kind.API, "A", at=bench.wall())
    bench.handle(RuntimeHeard((said,), "m"))
    exemption = bench.state.exempt[at("api/A.xml")]
    assert exemption.here is None or exemption.here.digest != digest_of(edit)
    bench.rest()
    bench.pass_(1.0)
    after = bench.state.exempt[at("api/A.xml")].here
    assert after == entry(restored)


def test_what_the_runtime_moved_away_before_it_was_a_revision_is_no_deletion_of_it() -> None:
    bench = leading(OLD)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.gateway.refuses = lambda path, _content: "no class" if path == "api/A.xml" else ""
    bench.gateway.boot()
    bench.pass_(30.0)
    bench.put("api/A.xml", api("A", "new"))
    while not any(isinstance(effect, Declare) for effect in bench.hands):
        if not bench.step():
            bench.at += 0.05
            bench.tick()
    # The runtime refuses it and moves it away while its revision goes to disk.
    bench.gateway.scan()
    declare = next(effect for effect in bench.hands if isinstance(effect, Declare))
    bench.hands.remove(declare)
    bench.pass_(1.2)
    result = bench.do(declare)
    assert result is not None
    bench.handle(result)
    bench.pass_(20.0)
    assert "api/A.xml" not in bench.files
    assert bench.state.standing.revision.number == 2
    assert at("api/A.xml") in bench.state.rows
    assert state_of(bench, "api/A.xml") is Deployment.REJECTED


def test_what_the_runtime_refused_where_it_was_is_not_put_back_once_it_is_gone() -> None:
    bench = following(OLD, CARBON)
    refuse(bench)
    bring(bench, {"api/Bad.xml": api("Bad")})
    bench.pass_(30.0)
    refused = bench.state.exempt[at("api/Bad.xml")].here
    assert refused is not None
    assert "api/Bad.xml" in bench.files
    bench.remove("api/Bad.xml")
    bench.pass_(30.0)
    assert "api/Bad.xml" not in bench.files
    assert bench.state.exempt[at("api/Bad.xml")].here is None
    assert state_of(bench, "api/Bad.xml") is Deployment.REJECTED
    bench.put("api/Bad.xml", api("Bad"))
    bench.pass_(0.5)
    assert state_of(bench, "api/Bad.xml") is Deployment.PENDING, "the runtime is asked again"


def test_what_somebody_puts_over_what_the_runtime_refused_stays_until_there_is_another() -> None:
    bench = following(OLD, CARBON)
    refuse(bench)
    bring(bench, {"api/Bad.xml": api("Bad")})
    bench.pass_(30.0)
    bench.put("api/Bad.xml", api("Bad", "by hand"))
    txid = bench.state.standing.txid
    bench.pass_(30.0)
    assert bench.state.standing.txid == txid, "it would be refused again"
    assert bench.files["api/Bad.xml"] == api("Bad", "by hand")
    assert bench.state.exempt[at("api/Bad.xml")].here == entry(api("Bad", "by hand"))
    assert state_of(bench, "api/Bad.xml") is Deployment.REJECTED
    bring(bench, {"api/Bad.xml": api("Bad", "better")})
    assert bench.files["api/Bad.xml"] == api("Bad", "better")
    assert not bench.state.exempt


@pytest.mark.parametrize("leads", [True, False])
def test_a_restore_while_no_agent_ran_is_known_for_one_before_anything_is_done(leads: bool) -> None:
    trees = (T, PLANS)
    given = {"peers": ()} if leads else {"manager": PEER, "standing": OLD}
    bench = _aged(Bench(OLD, trees=trees, **given)).beside(CARBON)  # type: ignore[arg-type]
    bench.start().pass_(20.0)
    refuse(bench)
    bench.runtime.stop()
    bench.at += 100.0
    put_back = bad_edit(bench)
    number = bench.state.standing.revision.number
    assert bench.gateway is not None
    bench.runtime = FakeRuntime(bench.gateway, bench.arrived.append)
    bench.join(bench.history, bench.guard)
    bench.node.start(bench.at)
    bench.tick()
    late = [effect for effect in bench.hands if effect == Scan(PLANS)]
    bench.hands.remove(*late)
    bench.pass_(3.0)
    assert bench.state.leads is leads
    assert not bench.events("runtime-wrote"), "it is not listened to yet"
    bench.hands.extend(late)
    bench.pass_(20.0)
    assert bench.events("runtime-wrote")
    assert bench.files["api/A.xml"] == put_back
    assert bench.state.standing.revision.number == number


def bad_edit(bench: Bench) -> bytes:
    """Have a person write what the runtime refuses; return what that puts back."""
    bench.disk.put(at("api/A.xml"), api("A", "new"))
    assert bench.gateway is not None
    bench.gateway.scan()
    put_back = bench.files["api/A.xml"]
    assert put_back not in {OLD["api/A.xml"], api("A", "new")}
    return put_back


def test_what_the_runtime_puts_back_where_a_commit_is_about_to_write_is_no_exemption() -> None:
    bench = following(OLD, CARBON)
    refuse(bench)
    bench.put("api/A.xml", api("A", "new"))
    while not (bench.hands and isinstance(bench.hands[0], CommitIntent)):
        bench.at = max(bench.at, bench.wake_at)
        bench.tick()
        while bench.hands and not isinstance(bench.hands[0], CommitIntent):
            bench.step()
    assert bench.gateway is not None
    bench.gateway.scan()
    put_back = bench.files["api/A.xml"]
    assert put_back not in {OLD["api/A.xml"], api("A", "new")}
    while bench.arrived:
        bench.handle(bench.arrived.popleft())
    looked = bench.eye.do(Look(T, ("api/A.xml",)))
    assert looked is not None
    bench.handle(looked)
    assert not bench.state.exempt
    bench.pass_(30.0)
    assert bench.files["api/A.xml"] == OLD["api/A.xml"]
    assert not bench.state.exempt


def test_a_repair_that_waited_for_the_runtime_does_not_put_back_what_that_has_refused() -> None:
    bench = following(OLD, CARBON)
    refuse(bench)
    bring(bench, {"api/Bad.xml": api("Bad")})
    bench.pass_(30.0)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.gateway.boot()
    bench.pass_(0.5)
    bench.put("api/B.xml", api("B", "by hand"))
    bench.pass_(5.0)
    assert not bench.node.deploying.may_write
    bench.put("api/Bad.xml", api("Bad", "by hand"))
    bench.pass_(120.0)
    assert bench.files["api/B.xml"] == OLD["api/B.xml"]
    assert bench.files["api/Bad.xml"] == api("Bad", "by hand")
