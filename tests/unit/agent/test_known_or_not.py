"""What cannot be known of a runtime is not claimed: neither that it took a file nor that it did not."""

from __future__ import annotations

from dataclasses import replace

from syncagent.agent.effects import Look
from syncagent.agent.node.hearing import LOST, UNTAKEN
from syncagent.core.artifact import Kind, TreeKind
from syncagent.core.events import Received, RuntimeHeard, WatchFault, WatchTrouble
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import Heard, Phase, Saying
from syncagent.core.settings import Drift, TreeSettings, Writers
from syncagent.core.snapshot import Condition
from syncagent.core.wire.messages import Blobs, Commit, Prepared, Propose
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import (
    PEER,
    WALL,
    XMLNS,
    Bench,
    Files,
    T,
    adds,
    at,
    entry,
    revision,
    sequence,
)
from tests.fakes.runtime_words import CARBON, SYNAPSE
from tests.unit.agent.test_deploying import (
    OLD,
    _aged,
    _moved_unseen,
    again,
    api,
    bring,
    following,
    leading,
    state_of,
)

D = Deployment
TWO: Files = {**OLD, "sequences/t.xml": sequence("t")}


def put_unseen(bench: Bench, path: str, content: bytes) -> None:
    """Have a person write a file of which this node hears nothing."""
    bench.disk.put(at(path), content)


def refuse_bad(bench: Bench) -> None:
    """Have the runtime refuse what says that it is bad."""
    assert bench.gateway is not None
    bench.gateway.refuses = lambda _path, content: "no class" if b"bad" in content else ""


def template(name: str, text: str) -> bytes:
    """Return a template of a sequence."""
    body = f"<sequence><!--{text}--><log/></sequence>"
    return f'<template xmlns="{XMLNS}" name="{name}">{body}</template>'.encode()


def endpoint(text: str) -> bytes:
    """Return an endpoint."""
    return f'<endpoint xmlns="{XMLNS}" name="e"><!--{text}--><default/></endpoint>'.encode()


def stopped(files: Files) -> Bench:
    """Return a worker whose runtime is down, and to which one new good version has come since."""
    bench = following(files)
    refuse_bad(bench)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.pass_(1.0)
    bring(bench, {"sequences/t.xml": sequence("t", text="later")})
    return bench


def test_what_failed_at_a_start_may_have_been_overwritten_since() -> None:
    bench = stopped(TWO)
    assert bench.gateway is not None
    put_unseen(bench, "sequences/s.xml", sequence("s", text="bad"))
    bench.gateway.boot()
    bench.pass_(0.3)
    bench.put("sequences/s.xml", sequence("s"))
    bench.pass_(20.0)
    known = bench.node.deploying.here(at("sequences/t.xml"))
    assert known is not None
    assert (known.state, "may be" in known.reason) == (D.UNKNOWN, True)


def test_what_failed_at_a_start_may_be_gone_since() -> None:
    bench = stopped({**TWO, "sequences/u.xml": sequence("u")})
    assert bench.gateway is not None
    put_unseen(bench, "sequences/u.xml", sequence("u", text="bad"))
    bench.gateway.boot()
    bench.pass_(0.3)
    bench.remove("sequences/u.xml")
    bench.pass_(20.0)
    assert state_of(bench, "sequences/t.xml") is D.UNKNOWN


def test_what_may_have_failed_at_a_start_is_not_surer_when_the_others_are_gone() -> None:
    bench = leading(TWO)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.put("sequences/t.xml", sequence("t", text="later"))
    bench.put("sequences/z.xml", sequence("s"))
    bench.pass_(5.0)
    assert list(bench.state.refused) == [at("sequences/z.xml")]
    bench.gateway.boot()
    bench.pass_(20.0)
    assert state_of(bench, "sequences/t.xml") is D.UNKNOWN
    bench.remove("sequences/z.xml")
    bench.pass_(20.0)
    bench.node.deploying.committed((), None, bench.state.standing.revision.number, bench.at)
    bench.pass_(20.0)
    assert state_of(bench, "sequences/t.xml") is D.UNKNOWN


def test_what_is_said_while_an_edit_is_being_put_right_may_be_about_that_edit() -> None:
    bench = following(OLD)
    bench.put("api/A.xml", api("A", "by hand"))
    for _ in range(200):
        bench.pass_(0.01)
        if bench.files["api/A.xml"] == OLD["api/A.xml"]:
            break
    assert state_of(bench, "api/A.xml") is D.PENDING
    said = Heard(Saying.UPDATED, at("api/A.xml"), Kind.API, "A", at=bench.wall())
    bench.handle(RuntimeHeard((said,), "0"))
    assert state_of(bench, "api/A.xml") is D.PENDING
    bench.pass_(60.0)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_what_failed_before_there_was_a_revision_is_known_to_the_next_agent_too() -> None:
    files = {**OLD, "templates/x.xml": template("x", "bad")}
    bench = _aged(Bench(files, manager=PEER)).beside(SYNAPSE)
    assert bench.gateway is not None
    bench.gateway.kill()
    refuse_bad(bench)
    bench.gateway.boot()
    bench.start().pass_(20.0)
    again(bench)
    bench.pass_(20.0)
    bring(bench, dict(files))
    bench.pass_(5.0)
    assert state_of(bench, "sequences/s.xml") is D.DEPLOYED
    assert state_of(bench, "templates/x.xml") in {D.REJECTED, D.UNKNOWN, D.PENDING}


def killed_by(bench: Bench) -> None:
    """Let time pass until the deployer is dead, and a while more."""
    assert bench.gateway is not None
    bench.pass_(30.0)
    assert bench.node.deploying.runtime.phase is Phase.STUCK


def test_what_killed_the_deployer_may_be_a_file_that_no_revision_has() -> None:
    bench = leading({"sequences/a.xml": sequence("a"), **OLD})
    bench.put("sequences/s.xml", sequence("s", text="later"))
    bench.pass_(1.0)
    bench.put("sequences/a.xml", sequence("s"))
    killed_by(bench)
    assert list(bench.state.refused) == [at("sequences/a.xml")]
    known = bench.node.deploying.here(at("sequences/s.xml"))
    assert known is not None
    assert (known.state, "died" in known.reason) == (D.PENDING, True)


def test_what_killed_the_deployer_may_be_an_edit_that_was_not_seen() -> None:
    bench = leading(OLD)
    refuse_bad(bench)
    bench.put("sequences/s.xml", sequence("s", text="later"))
    bench.pass_(3.0)
    put_unseen(bench, "api/A.xml", api("A", "bad"))
    killed_by(bench)
    assert state_of(bench, "sequences/s.xml") is D.PENDING


def test_who_finds_the_deployer_dead_accuses_nobody() -> None:
    bench = following(OLD)
    refuse_bad(bench)
    put_unseen(bench, "api/A.xml", api("A", "bad"))
    assert bench.gateway is not None
    bench.gateway.scan()
    bench.pass_(1.0)
    put_unseen(bench, "api/A.xml", OLD["api/A.xml"])
    bring(bench, {"sequences/s.xml": sequence("s", text="later")})
    again(bench)
    killed_by(bench)
    assert state_of(bench, "sequences/s.xml") is D.PENDING


def test_what_the_runtime_put_back_is_not_what_it_refused() -> None:
    bench = _aged(Bench(OLD, manager=PEER)).beside(CARBON).start().pass_(20.0)
    refuse_bad(bench)
    bench.put("api/A.xml", api("A", "bad"))
    bench.pass_(20.0)
    put_back = bench.files["api/A.xml"]
    assert put_back not in {OLD["api/A.xml"], api("A", "bad")}
    assert bench.events("runtime-wrote")
    for _ in range(2):
        again(bench)
        bench.pass_(5.0)
    known = bench.node.deploying.outcomes.get(at("api/A.xml"))
    assert known is None or known.state is not D.REJECTED


def test_what_failed_at_a_start_may_have_gone_before_this_agent_came() -> None:
    files = {**OLD, "templates/x.xml": template("x", "good")}
    bench = _aged(Bench(files, manager=PEER)).beside(SYNAPSE)
    assert bench.gateway is not None
    bench.gateway.kill()
    refuse_bad(bench)
    put_unseen(bench, "templates/y.xml", template("y", "bad"))
    bench.gateway.ready()
    del bench.disk.trees[T]["templates/y.xml"]
    bench.start().pass_(20.0)
    bring(bench, dict(files))
    bench.pass_(5.0)
    known = bench.node.deploying.here(at("templates/x.xml"))
    assert known is not None
    assert (known.state, "may be" in known.reason) == (D.UNKNOWN, True)


def test_what_was_moved_away_from_a_tree_that_did_not_answer_is_known_to_the_next_agent() -> None:
    bench = following(OLD, writers=Writers.ANY)
    _moved_unseen(bench)
    bench.disk.conditions[T] = Condition.STALLED
    bench.handle(WatchFault(T, WatchTrouble.OVERFLOW, ""))
    bench.pass_(20.0)
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.pass_(5.0)
    again(bench)
    del bench.disk.conditions[T]
    bench.pass_(60.0)
    link, _ = bench.managed()
    bench.pass_(5.0)
    assert not bench.said(Propose, link)
    assert bench.state.exempt[at("api/Bad.xml")].here is None
    assert not bench.events("drift")


def test_nothing_is_remembered_as_heard_while_a_tree_does_not_answer() -> None:
    bench = following(OLD)
    mark = bench.history.runtime_mark()
    assert mark is not None
    bench.disk.conditions[T] = Condition.STALLED
    bench.handle(WatchFault(T, WatchTrouble.OVERFLOW, ""))
    bench.pass_(20.0)
    said = Heard(Saying.BACKED_UP, at("api/A.xml"), at=bench.wall())
    bench.handle(RuntimeHeard((said,), "99"))
    bench.pass_(5.0)
    assert bench.history.runtime_mark() == mark
    del bench.disk.conditions[T]
    bench.pass_(60.0)
    assert bench.history.runtime_mark() != mark


def test_a_refusal_of_what_was_written_over_it_unseen_is_not_that_of_what_was_deployed() -> None:
    bench = leading(OLD)
    assert bench.gateway is not None
    bench.disk.put(at("api/A.xml"), api("A", "by hand")[:-6])
    bench.gateway.scan()
    bench.rest()
    assert state_of(bench, "api/A.xml") is D.DEPLOYED
    bench.pass_(2.0)
    assert bench.events("rejected-edit")
    assert not bench.events("rejected")
    assert at("api/A.xml") not in bench.state.exempt


def test_what_was_deployed_may_be_what_a_start_refused_if_another_file_has_its_name() -> None:
    bench = leading(OLD)
    assert bench.gateway is not None
    assert state_of(bench, "sequences/s.xml") is D.DEPLOYED
    bench.gateway.kill()
    bench.pass_(1.0)
    bench.disk.put(at("sequences/0.xml"), sequence("s", text="by hand"))
    bench.gateway.boot()
    bench.pass_(30.0)
    assert bench.gateway.serves("sequences", "s") == bench.files["sequences/0.xml"]
    assert state_of(bench, "sequences/s.xml") is D.UNKNOWN
    assert state_of(bench, "api/B.xml") is D.DEPLOYED


def test_a_refusal_of_what_is_being_written_over_waits_for_a_look() -> None:
    bench = leading(OLD)
    bench.put("api/A.xml", api("A", "new"))
    bench.pass_(1.0)
    assert state_of(bench, "api/A.xml") is D.PENDING
    bench.put("api/A.xml", api("A", "another"))
    bench.at += 0.01
    said = Heard(Saying.REJECTED, at("api/A.xml"), reason="no class", at=bench.wall())
    bench.handle(RuntimeHeard((said,), "m"))
    assert state_of(bench, "api/A.xml") is D.PENDING, "nobody knows yet which of the two"
    bench.pass_(0.4)
    assert bench.events("rejected-edit")
    assert [event["revision"] for event in bench.events("rejected")] != [2]


def test_what_a_start_refuses_by_its_file_is_looked_at_first() -> None:
    bench = following(OLD, CARBON)
    bring(bench, {"api/A.xml": api("A", "new")})
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.pass_(1.0)
    bench.disk.put(at("api/A.xml"), api("A", "by hand")[:-6])
    bench.gateway.boot()
    while not bench.gateway.model.faults:
        bench.pass_(0.1)
    assert state_of(bench, "api/A.xml") is D.PENDING
    bench.pass_(1.0)
    assert not bench.events("rejected")


def test_what_came_back_after_the_runtime_let_go_is_not_blamed_for_what_was_there_meanwhile() -> (
    None
):
    bench = leading(OLD)
    gone = Heard(Saying.UNDEPLOYED, None, Kind.API, "A", at=bench.wall())
    bench.handle(RuntimeHeard((gone,), "m"))
    assert state_of(bench, "api/A.xml") is D.PENDING
    bench.disk.put(at("api/A.xml"), api("A", "another"))
    bench.at += 0.1
    said = Heard(Saying.REJECTED, at("api/A.xml"), reason="no class", at=bench.wall())
    bench.handle(RuntimeHeard((said,), "n"))
    bench.pass_(0.2)
    assert bench.events("rejected-edit")
    assert not bench.events("rejected")


def held_up(bench: Bench, seconds: float) -> None:
    """Let time pass in which this node's hands do nothing."""
    assert bench.gateway is not None
    until = bench.at + seconds
    while bench.at < until:
        bench.at += 0.05
        bench.gateway.run()
        while bench.arrived:
            bench.handle(bench.arrived.popleft())
        bench.tick()


def test_what_a_commit_wrote_after_a_start_was_not_loaded_with_it() -> None:
    bench = following(OLD)
    assert bench.gateway is not None
    link, token = bench.managed()
    before, content = bench.state.standing, api("C")
    made = revision(before.revision, before.manifest, adds({"api/C.xml": content}), epoch=2)
    bench.offer(link, token, made)
    bench.hear(link, Blobs(*compress_batch([(entry(content), content)])))
    assert bench.said(Prepared)
    bench.handle(Received(link, Commit(token, made.id)))
    held_up(bench, 1.0)
    bench.gateway.kill()
    held_up(bench, 1.0)
    bench.gateway.boot()
    held_up(bench, 3.0)
    assert bench.node.deploying.answers
    bench.rest()
    assert bench.state.standing.revision == made.id
    bench.pass_(1.0)
    assert bench.gateway.serves("api", "C") is None
    assert state_of(bench, "api/C.xml") is D.PENDING
    bench.pass_(30.0)
    assert state_of(bench, "api/C.xml") is D.DEPLOYED


def test_what_is_said_of_a_tree_that_does_not_answer_counts_when_it_is_seen() -> None:
    bench = following(OLD)
    bring(bench, {"api/A.xml": api("A", "new"), "api/B.xml": api("B", "new")})
    bench.disk.conditions[T] = Condition.STALLED
    bench.handle(WatchFault(T, WatchTrouble.OVERFLOW, ""))
    bench.pass_(2.0)
    put_unseen(bench, "api/A.xml", api("A", "by hand"))
    for name in "AB":
        said = Heard(Saying.UPDATED, at(f"api/{name}.xml"), Kind.API, name, at=bench.wall() + 0.1)
        bench.handle(RuntimeHeard((said,), "99"))
        assert state_of(bench, f"api/{name}.xml") is D.PENDING
    put_unseen(bench, "api/A.xml", api("A", "broken")[:-6])
    del bench.disk.conditions[T]
    while not bench.node.observing.ready:
        bench.pass_(0.1)
    assert state_of(bench, "api/A.xml") is D.PENDING
    assert state_of(bench, "api/B.xml") is D.DEPLOYED


def test_what_was_said_in_the_second_of_a_write_may_be_of_what_was_there_before() -> None:
    bench = _aged(Bench(OLD, manager=PEER)).beside(SYNAPSE)
    bench.at = float(int(bench.at) + 100)
    second, bench.at = bench.wall(), bench.at + 0.8
    bench.disk.put(at("api/A.xml"), api("A", "later"))
    bench.disk.put(at("api/B.xml"), api("B", "later"))
    bench.start().pass_(2.0)
    bring(bench, dict(bench.files))
    for name, when in (("A", second), ("B", second + 3.0)):
        said = Heard(Saying.UPDATED, at(f"api/{name}.xml"), Kind.API, name, at=when)
        bench.handle(RuntimeHeard((said,), "99"))
    assert state_of(bench, "api/A.xml") is not D.DEPLOYED
    assert state_of(bench, "api/B.xml") is D.DEPLOYED


def test_a_refusal_of_what_nothing_is_known_of_waits_for_a_look() -> None:
    bench = _aged(Bench(OLD, manager=PEER)).beside(SYNAPSE)
    bench.at += 10.0
    bench.disk.put(at("api/A.xml"), api("A", "later"))
    bench.disk.put(at("api/B.xml"), api("B", "later"))
    bench.start().pass_(2.0)
    bring(bench, dict(bench.files))
    assert at("api/A.xml") not in bench.node.deploying.outcomes
    put_unseen(bench, "api/A.xml", api("A", "by hand"))
    for name in "AB":
        said = Heard(Saying.REJECTED, at(f"api/{name}.xml"), reason="no class", at=bench.wall())
        bench.handle(RuntimeHeard((said,), "m"))
        assert not bench.events("rejected"), "nobody has looked since"
    bench.pass_(0.5)
    assert [event["path"] for event in bench.events("rejected")] == ["synapse:api/B.xml"]
    assert state_of(bench, "api/A.xml") is not D.REJECTED


def test_what_is_said_during_a_commit_may_be_of_what_a_person_put_there_meanwhile() -> None:
    bench = following(OLD)
    new = {f"sequences/{name}.xml": sequence(name) for name in "mn"}
    standing, (link, token) = bench.state.standing, bench.managed()
    made = revision(standing.revision, standing.manifest, adds(new), epoch=2)
    bench.offer(link, token, made)
    bench.hear(link, Blobs(*compress_batch([(entry(c), c) for c in new.values()])))
    bench.handle(Received(link, Commit(token, made.id)))
    bench.tick()
    bench.at += 0.5
    put_unseen(bench, "sequences/n.xml", sequence("n", text="by hand"))
    for name in "mn":
        path = at(f"sequences/{name}.xml")
        said = Heard(Saying.DEPLOYED, path, Kind.SEQUENCE, name, at=bench.wall())
        bench.handle(RuntimeHeard((said,), "m"))
    bench.at += 2.0
    bench.rest()
    assert bench.state.standing.revision == made.id
    assert [event["path"] for event in bench.events("kept")] == ["synapse:sequences/n.xml"]
    assert state_of(bench, "sequences/m.xml") is D.DEPLOYED
    assert state_of(bench, "sequences/n.xml") is D.PENDING


def test_what_is_undeployed_by_its_name_is_the_file_that_is_gone_not_its_next_bearer() -> None:
    trees = (TreeSettings(T, TreeKind.SYNAPSE, f"/{T}", drift=Drift.REPORT),)
    bench = following(TWO)
    bench.state.settings = replace(bench.settings, trees=trees)
    assert state_of(bench, "sequences/t.xml") is D.DEPLOYED
    bench.put("sequences/s.xml", sequence("t"))
    bench.remove("sequences/t.xml")
    bench.pass_(30.0)
    assert bench.files["sequences/s.xml"] == sequence("t"), "nobody puts it right"
    assert state_of(bench, "sequences/s.xml") is D.UNKNOWN
    assert state_of(bench, "sequences/t.xml") is D.UNKNOWN


def test_who_hears_that_again_when_it_starts_knows_which_file_is_gone() -> None:
    trees = (TreeSettings(T, TreeKind.SYNAPSE, f"/{T}", drift=Drift.REPORT),)
    bench = following(TWO)
    bench.settings = replace(bench.settings, trees=trees)
    mark = bench.history.runtime_mark()
    bench.runtime.stop()
    put_unseen(bench, "sequences/s.xml", sequence("t"))
    bench.disk.remove(at("sequences/t.xml"))
    assert bench.gateway is not None
    bench.gateway.scan()
    bench.history._mark = mark
    again(bench)
    bench.pass_(5.0)
    assert bench.gateway.serves("sequences", "t") == sequence("t")
    assert state_of(bench, "sequences/t.xml") is not D.DEPLOYED


def test_what_killed_the_deployer_may_be_what_a_power_cut_had_the_agent_forget() -> None:
    bench = following(OLD)
    refuse_bad(bench)
    bring(bench, {"api/A.xml": api("A", "bad")})
    del bench.history._outcomes[at("api/A.xml")]
    again(bench)
    bring(bench, {"sequences/s.xml": sequence("s", text="later")})
    killed_by(bench)
    assert state_of(bench, "sequences/s.xml") is D.PENDING


def test_a_refusal_just_before_there_is_a_revision_waits_for_a_look_too() -> None:
    bench = _aged(Bench({**OLD, "templates/x.xml": template("x", "good")})).beside(SYNAPSE).start()
    put_unseen(bench, "templates/x.xml", template("x", "bad")[:-20])
    assert bench.gateway is not None
    bench.gateway.scan()
    assert not bench.state.leads
    bench.pass_(8.0)
    assert bench.state.leads
    assert not bench.events("rejected")
    assert state_of(bench, "templates/x.xml") is not D.REJECTED


def test_what_the_ledger_says_was_refused_is_not_put_back_after_a_power_cut_and_a_start() -> None:
    bench = following(OLD)
    refuse_bad(bench)
    bring(bench, {"endpoints/e.xml": endpoint("bad")})
    bench.pass_(20.0)
    assert list(bench.state.exempt) == [at("endpoints/e.xml")]
    assert "endpoints/e.xml" not in bench.files
    pending = replace(bench.history._outcomes[at("endpoints/e.xml")], state=D.PENDING)
    bench.history._outcomes[at("endpoints/e.xml")] = pending
    assert bench.gateway is not None
    bench.runtime.stop()
    bench.gateway.kill()
    bench.gateway.ready()
    bench.history._mark = str(len(bench.gateway.log))
    txid = bench.state.standing.txid
    again(bench)
    bench.pass_(60.0)
    assert bench.state.standing.txid == txid, "nothing was put anywhere"
    assert state_of(bench, "endpoints/e.xml") is D.REJECTED


def test_an_old_refusal_that_is_heard_again_is_not_of_what_was_put_there_since() -> None:
    bench = following(OLD)
    before = bench.wall()
    bench.pass_(30.0)
    bring(bench, {"sequences/s.xml": sequence("s", text="later")})
    pending = bench.history._outcomes[at("sequences/s.xml")]
    bench.history._outcomes[pending.path] = replace(pending, at=before - 10.0)
    again(bench)
    said = Heard(Saying.REJECTED, at("sequences/s.xml"), reason="no class", at=before)
    bench.handle(RuntimeHeard((said,), "m"))
    bench.pass_(1.0)
    assert state_of(bench, "sequences/s.xml") is not D.REJECTED


def test_what_the_runtime_put_back_and_takes_up_again_later_is_not_the_revisions() -> None:
    bench = following(OLD, CARBON)
    refuse_bad(bench)
    gateway = bench.gateway
    assert gateway is not None
    bench.at = gateway.due() - WALL - 1.5
    put_unseen(bench, "api/A.xml", api("A", "bad"))
    bench.pass_(4.0)
    put_back = bench.files["api/A.xml"]
    assert list(bench.state.exempt) == [at("api/A.xml")]
    assert state_of(bench, "api/A.xml") is D.DEPLOYED, "it serves what it had"
    bench.pass_(40.0)
    bench.put("api/A.xml", api("A", "by hand"))
    bench.pass_(40.0)
    assert bench.files["api/A.xml"] == put_back
    assert gateway.serves("api", "A") == put_back != OLD["api/A.xml"]
    assert state_of(bench, "api/A.xml") is D.UNKNOWN


def test_a_refusal_of_an_edit_is_not_that_of_the_same_bytes_which_the_runtime_puts_back() -> None:
    bench = following(OLD, CARBON)
    bench.put("api/A.xml", api("A", "by hand"))
    seen = bench.eye.do(Look(T, ("api/A.xml",)))
    assert seen is not None
    bench.handle(seen)
    bench.hands.clear()
    for saying in (Saying.REJECTED, Saying.RESTORED):
        said = Heard(saying, at("api/A.xml"), reason="no class", at=bench.wall())
        bench.handle(RuntimeHeard((said,), "m"))
    bench.disk.put(at("api/A.xml"), OLD["api/A.xml"])
    bench.pass_(5.0)
    assert bench.files["api/A.xml"] == OLD["api/A.xml"]
    assert not bench.events("rejected")
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_what_the_runtime_refuses_for_itself_no_restart_heals_though_its_file_was_lost() -> None:
    bench = following(OLD)
    bring(bench, {"api/A.xml": api("A", "new")})
    for saying, reason in ((Saying.LOST_TRACK, ""), (Saying.REJECTED, "no class")):
        said = Heard(saying, at("api/A.xml"), Kind.API, "A", reason, at=bench.wall())
        bench.handle(RuntimeHeard((said,), "m"))
    bench.handle(RuntimeHeard((Heard(Saying.LOST_TRACK, at("api/A.xml"), at=bench.wall()),), "m"))
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert (known.state, known.reason) == (D.REJECTED, "no class")
    assert bench.gateway is not None
    bench.gateway.kill()
    bench.gateway.ready()
    bench.rest()
    assert not bench.node.deploying._hearing.healed_by_start(bench.at)


def test_a_refusal_that_comes_late_says_why() -> None:
    bench = following(OLD)
    assert bench.gateway is not None
    bench.gateway.mute = True
    bring(bench, {"api/A.xml": api("A", "new")})
    lost = Heard(Saying.LOST_TRACK, at("api/A.xml"), Kind.API, "A", at=bench.wall() + 0.5)
    bench.at += 1.0
    bench.handle(RuntimeHeard((lost,), "m"))
    bench.pass_(400.0)
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert known.reason.startswith(UNTAKEN)
    late = Heard(Saying.REJECTED, at("api/A.xml"), Kind.API, "A", "no class", at=bench.wall())
    bench.handle(RuntimeHeard((late,), "m"))
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert (known.state, known.reason) == (D.REJECTED, "no class")


def unseen(bench: Bench) -> Heard:
    """Take a tree from where its runtime and its node see it; return what the runtime says."""
    bench.disk.conditions[T] = Condition.MISSING
    bench.handle(WatchFault(T, WatchTrouble.OVERFLOW, ""))
    bench.pass_(5.0)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED
    words = "API named 'A' has been undeployed"
    return Heard(Saying.UNDEPLOYED, None, Kind.API, "A", excerpt=words, at=bench.wall())


def test_what_a_runtime_undeployed_while_nobody_sees_the_tree_is_not_called_deployed() -> None:
    bench = leading(OLD)
    gone = unseen(bench)
    bench.handle(RuntimeHeard((gone,), "m"))
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert (known.state, known.excerpt) == (D.UNKNOWN, gone.excerpt)
    assert "has undeployed it" in known.reason
    bench.pass_(5.0)
    back = Heard(Saying.DEPLOYED, at("api/A.xml"), at=bench.wall())
    bench.handle(RuntimeHeard((back,), "n"))
    assert state_of(bench, "api/A.xml") is D.UNKNOWN, "of which bytes it is can't be seen"
    del bench.disk.conditions[T]
    bench.pass_(60.0)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_what_it_does_not_take_up_again_when_the_tree_is_back_is_waited_for() -> None:
    bench = leading(OLD)
    bench.handle(RuntimeHeard((unseen(bench),), "m"))
    del bench.disk.conditions[T]
    bench.handle(WatchFault(T, WatchTrouble.OVERFLOW, ""))
    while state_of(bench, "api/A.xml") is D.UNKNOWN:
        bench.pass_(0.1)
    known = bench.node.deploying.here(at("api/A.xml"))
    assert known is not None
    assert (known.state, "let go of it" in known.reason) == (D.PENDING, True)


def test_an_old_word_of_an_undeployment_says_nothing_of_what_came_later() -> None:
    bench = leading(OLD)
    gone = unseen(bench)
    bench.handle(RuntimeHeard((replace(gone, at=gone.at - 3600.0),), "m"))
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_what_was_deployed_is_what_was_there_then_though_another_agent_sees_it_first() -> None:
    trees = (TreeSettings(T, TreeKind.SYNAPSE, f"/{T}", drift=Drift.REPORT),)
    bench = following(OLD)
    bench.settings = replace(bench.settings, trees=trees)
    bench.state.settings = bench.settings
    bring(bench, {"api/A.xml": api("A", "new")})
    bench.at += 1.5
    put_unseen(bench, "api/A.xml", api("A", "by hand"))
    bench.at += 2.0
    assert bench.gateway is not None
    bench.gateway.scan()
    bench.pass_(2.0)
    assert state_of(bench, "api/A.xml") is D.DEPLOYED, "it can't know better"
    again(bench)
    bench.pass_(2.0)
    assert bench.files["api/A.xml"] == api("A", "by hand")
    assert state_of(bench, "api/A.xml") is D.UNKNOWN


def test_what_may_have_been_refused_at_a_start_is_when_the_runtime_refuses_and_moves_it() -> None:
    bench = following({**OLD, "endpoints/e.xml": endpoint("bad")})
    refuse_bad(bench)
    known = bench.node.deploying.outcomes[at("endpoints/e.xml")]
    bench.node.deploying._outcomes.put(
        replace(known, state=D.UNKNOWN, reason="it may be"), bench.at
    )
    bench.disk.trees[T].pop("endpoints/e.xml")
    for saying in (Saying.REJECTED, Saying.BACKED_UP):
        said = Heard(saying, at("endpoints/e.xml"), reason="no class", at=bench.wall())
        bench.handle(RuntimeHeard((said,), "m"))
    bench.pass_(5.0)
    assert bench.state.exempt[at("endpoints/e.xml")].detail == "no class"
    assert state_of(bench, "endpoints/e.xml") is D.REJECTED


def test_a_refusal_in_the_second_in_which_the_same_bytes_were_written_again_says_nothing() -> None:
    bench = leading(OLD)
    bench.pass_(2.0)
    said_at = float(int(bench.wall()))
    bench.disk.put(at("api/A.xml"), OLD["api/A.xml"])
    said = Heard(Saying.REJECTED, at("api/A.xml"), reason="no class", at=said_at)
    bench.handle(RuntimeHeard((said,), "m"))
    bench.pass_(1.0)
    assert state_of(bench, "api/A.xml") is D.UNKNOWN, "it may have been refused, or put there after"
    assert bench.events("rejected-edit")
    assert not bench.events("rejected")
    assert at("api/A.xml") not in bench.state.exempt
    taken = Heard(Saying.UPDATED, at("api/A.xml"), at=bench.wall())
    bench.handle(RuntimeHeard((taken,), "n"))
    assert state_of(bench, "api/A.xml") is D.DEPLOYED


def test_a_refusal_long_after_the_same_bytes_were_written_again_is_of_them() -> None:
    bench = leading(OLD)
    bench.pass_(2.0)
    bench.disk.put(at("api/A.xml"), OLD["api/A.xml"])
    bench.pass_(2.5)
    said_at = float(int(bench.wall()))
    said = Heard(Saying.REJECTED, at("api/A.xml"), reason="no class", at=said_at)
    bench.handle(RuntimeHeard((said,), "m"))
    bench.pass_(1.0)
    assert state_of(bench, "api/A.xml") is D.REJECTED


def test_what_was_refused_since_the_last_start_is_not_put_back_for_it_after_a_power_cut() -> None:
    bench = following(OLD)
    refuse_bad(bench)
    bring(bench, {"endpoints/e.xml": endpoint("bad")})
    bench.pass_(20.0)
    where = at("endpoints/e.xml")
    lost = replace(bench.state.exempt[where], detail=f"no class; {LOST}")
    bench.state.exempt_at(where, lost)
    bench.pass_(5.0)
    taken = replace(bench.history._outcomes[where], state=D.DEPLOYED, at=1.0)
    bench.history._outcomes[where] = taken  # what came after it was not on the disk yet
    txid = bench.state.standing.txid
    again(bench)
    bench.pass_(60.0)
    assert bench.state.standing.txid == txid, "nothing was put anywhere"
    assert state_of(bench, "endpoints/e.xml") is D.REJECTED
