"""`redeploy` and `undeploy`: what a person directs, here, elsewhere, and on all nodes."""

from __future__ import annotations

import json

import pytest

from syncagent.core.errors import (
    BusyError,
    ExitCode,
    RefusedError,
    SettingsError,
    SyncagentError,
    UnreachableError,
)
from syncagent.core.exempt import Because
from syncagent.core.settings import PeerSettings
from syncagent.core.wire.messages import Answered, Ask, Done, Report, View
from tests.fakes.agent_bench import ME, PEER, THIRD, Bench, T, at, sequence
from tests.fakes.disk import SECOND_NS
from tests.fakes.runtime_words import CARBON, SYNAPSE, Dialect

A, B = "sequences/a.xml", "sequences/b.xml"
FILES = {A: sequence("Apple"), B: sequence("Banana")}
PEERS = (PeerSettings(PEER, "gw-2:1", ""), PeerSettings(THIRD, "gw-3:1", ""))


def managing(**given: object) -> tuple[Bench, int]:
    """A manager with one worker that is there and one that is not."""
    bench = Bench(FILES, peers=PEERS, **given).lead().pass_(3)  # type: ignore[arg-type]
    link = bench.follow()
    bench.hear(link, Done(bench.state.standing.revision, bench.state.base.digest))
    bench.sent.clear()
    return bench, link


def following(**given: object) -> tuple[Bench, int]:
    bench = Bench(FILES, manager=PEER, standing=FILES, peers=PEERS, **given).start()  # type: ignore[arg-type]
    link, _ = bench.managed()
    bench.sent.clear()
    return bench, link


def answered(bench: Bench, verb: str, **arguments: object) -> dict[str, object]:
    answer = bench.answer(verb, **arguments)
    assert isinstance(answer, dict)
    return answer


def nodes(answer: dict[str, object]) -> dict[object, tuple[object, object]]:
    rows = answer["nodes"]
    assert isinstance(rows, list)
    return {row["node"]: (row["done"], row["reason"]) for row in rows}


def described(bench: Bench, artifact: str) -> list[dict[str, object]]:
    """Return the nodes of a description; a worker's manager does not answer here."""
    found = bench.answer("describe", artifact=artifact)
    assert isinstance(found, dict)
    return found["nodes"]  # type: ignore[no-any-return]


def says_done(bench: Bench, link: int, reason: str = "") -> Ask:
    """Let the worker say that it did what it was asked for; return what that was."""
    (asked,) = bench.said(Ask, link)
    row = {"node": PEER, "done": True, "reason": reason}
    bench.hear(link, Answered(asked.id, json.dumps({"result": {"nodes": [row]}})))
    return asked


# --- here -----------------------------------------------------------------------------------------


def test_an_undeploy_is_answered_when_the_file_has_gone() -> None:
    bench, _ = following()
    answer = answered(bench, "undeploy", artifact="sequence/Apple", node=ME, for_s=600.0)
    assert nodes(answer) == {ME: (True, "")}
    assert (answer["tree"], answer["path"], answer["name"]) == ("synapse", A, "Apple")
    assert bench.files == {B: FILES[B]}
    exemption = bench.state.exempt[at(A)]
    assert exemption.because is Because.UNDEPLOYED
    assert exemption.until == pytest.approx(bench.wall() + 600.0, abs=1.0)
    assert bench.events("undeployed") == [{"path": f"synapse:{A}", "until": answer["until"]}]


def test_what_is_undeployed_is_listed_with_its_name_and_its_end() -> None:
    bench, _ = following()
    until = answered(bench, "undeploy", artifact="sequence/Apple", node=ME)["until"]
    (row,) = undeployed(bench, ME)
    assert row["left_s"] == pytest.approx(3600.0, abs=2.0)
    assert {name: row[name] for name in ("tree", "path", "kind", "name", "until")} == {
        "tree": "synapse",
        "path": A,
        "kind": "sequence",
        "name": "Apple",
        "until": until,
    }
    listed = bench.answer("artifacts")
    assert isinstance(listed, list)
    (apple,) = [row for row in listed if row["path"] == A]
    assert (apple["name"], apple["digest"], apple["state"]) == ("Apple", None, "Unknown")
    assert apple["reason"] == f"undeployed until {until}"
    (own, *_) = described(bench, "sequence/Apple")
    assert (own["digest"], own["state"], own["reason"]) == (None, "Unknown", apple["reason"])


def test_an_undeploy_said_again_is_renewed() -> None:
    bench, _ = following()
    answered(bench, "undeploy", artifact="sequence/Apple", node=ME, for_s=600.0)
    bench.pass_(300.0)
    answered(bench, "undeploy", artifact="sequence/Apple", node=ME, for_s=600.0)
    bench.pass_(450.0)
    assert A not in bench.files
    bench.pass_(300.0)
    assert bench.files == FILES


def test_a_redeploy_ends_an_undeploy_also_by_the_name_that_is_gone() -> None:
    bench, _ = following()
    answered(bench, "undeploy", artifact="sequence/Apple", node=ME)
    bench.join(bench.history, bench.guard)
    bench.start()
    answer = answered(bench, "redeploy", artifact="sequence/Apple", node=ME)
    assert nodes(answer) == {ME: (True, "its file is back")}
    assert bench.files == FILES
    assert not bench.state.exempt


def test_where_no_runtime_is_asked_a_redeploy_moves_the_file_s_time_on() -> None:
    bench, _ = following()
    before = bench.disk.trees[at(A).tree][A]
    answer = answered(bench, "redeploy", artifact="sequence/Apple", node=ME)
    assert nodes(answer) == {ME: (True, "no runtime is asked here; the file's time has moved on")}
    after = bench.disk.trees[at(A).tree][A]
    assert after[0] == before[0]
    assert after != before, "its time has moved on"
    bench.pass_(120.0)
    assert not bench.events("drift")


def test_what_can_t_be_done_here_says_why() -> None:
    bench, _ = following()
    with pytest.raises(RefusedError, match="no artifact 'sequence/Cherry'"):
        bench.answer("redeploy", artifact="sequence/Cherry", node=ME)
    with pytest.raises(SettingsError, match="no node 'gw-9'") as told:
        bench.answer("undeploy", artifact="sequence/Apple", node="gw-9")
    assert told.value.hint == "nodes: gw-1, gw-2, gw-3"
    for wrong in (0, -5.0, True, "long", 1e9):
        with pytest.raises(SettingsError, match="can't last"):
            bench.answer("undeploy", artifact="sequence/Apple", node=ME, for_s=wrong)
    assert bench.files == FILES


def test_a_node_that_only_observes_takes_nothing_away() -> None:
    bench, _ = following(apply=False)
    for verb in ("undeploy", "redeploy"):
        with pytest.raises(RefusedError, match="only observes"):
            bench.answer(verb, artifact="sequence/Apple", node=ME)


def test_what_is_in_no_revision_can_t_be_redeployed() -> None:
    bench, _ = managing()
    bench.put("sequences/bad.xml", b"<sequence")
    bench.pass_(2.0)
    with pytest.raises(RefusedError, match="in no revision yet"):
        bench.answer("redeploy", artifact="sequence/bad", node=ME)


# --- elsewhere ------------------------------------------------------------------------------------


def test_a_worker_says_where_it_can_be_done() -> None:
    bench, _ = following()
    with pytest.raises(BusyError, match="gw-1 is not the manager") as told:
        bench.answer("redeploy", artifact="sequence/Apple")
    assert told.value.exit_code is ExitCode.BUSY
    assert told.value.hint == "on gw-2: syncagent redeploy sequence/Apple; or here: --node gw-1"
    with pytest.raises(BusyError) as told:
        bench.answer("undeploy", artifact="sequence/Apple", node="gw-3")
    assert "on gw-2: syncagent undeploy sequence/Apple --node gw-3" in told.value.hint
    assert "or on gw-3 itself" in told.value.hint


def test_a_manager_has_the_node_do_it_that_was_named() -> None:
    bench, link = managing()
    request = bench.ask("undeploy", artifact="sequence/Apple", node="gw-2", for_s=60.0)
    assert request not in bench.replies
    asked = says_done(bench, link)
    assert (asked.verb, json.loads(asked.body)) == (
        "undeploy",
        {"artifact": f"synapse:{A}", "for_s": 60.0},
    )
    reply = bench.replies[request].result
    assert isinstance(reply, dict)
    assert nodes(reply) == {"gw-2": (True, "")}
    assert bench.files == FILES, "here nothing was taken away"


def test_an_error_of_the_one_node_that_was_named_is_the_answer() -> None:
    bench, link = managing()
    request = bench.ask("redeploy", artifact="sequence/Apple", node="gw-2")
    (asked,) = bench.said(Ask, link)
    error = {"message": "gw-2 only observes", "hint": "", "exit_code": 6}
    bench.hear(link, Answered(asked.id, json.dumps({"error": error})))
    told = bench.replies[request].error
    assert isinstance(told, SyncagentError)
    assert (str(told), told.exit_code) == ("gw-2 only observes", ExitCode.REJECTED)


def test_a_named_node_that_is_away_is_not_reachable() -> None:
    bench, _ = managing()
    with pytest.raises(UnreachableError, match="gw-3 is not connected"):
        bench.answer("redeploy", artifact="sequence/Apple", node="gw-3")


def test_without_a_name_every_node_is_meant_and_each_says_what_it_did() -> None:
    bench, link = managing()
    request = bench.ask("redeploy", artifact="sequence/Apple")
    says_done(bench, link, "its file is back")
    reply = bench.replies[request].result
    assert isinstance(reply, dict)
    found = nodes(reply)
    assert found["gw-1"][0] is True
    assert found["gw-2"] == (True, "its file is back")
    assert found["gw-3"][0] is False, "it is away"
    assert "until" not in reply


def test_a_node_that_does_not_list_the_tree_is_not_meant() -> None:
    bench, link = managing()
    bench.state.peers[PEER].trees = ("siddhi",)
    bench.state.peers[THIRD].trees = ("siddhi",)
    reply = answered(bench, "redeploy", artifact="sequence/Apple")
    assert nodes(reply).keys() == {"gw-1"}
    assert not bench.said(Ask, link)


def test_a_silent_node_is_not_waited_for_for_ever() -> None:
    bench, _ = managing()
    request = bench.ask("undeploy", artifact="sequence/Apple")
    bench.pass_(25.0)
    reply = bench.replies[request].result
    assert isinstance(reply, dict)
    assert nodes(reply)["gw-1"] == (True, "")
    done, reason = nodes(reply)["gw-2"]
    assert done is False
    assert "no answer within 20 s" in str(reason)


def test_a_connection_that_breaks_is_told_as_it_is() -> None:
    bench, link = managing()
    request = bench.ask("undeploy", artifact="sequence/Apple")
    bench.cut(link)
    bench.rest()
    reply = bench.replies[request].result
    assert isinstance(reply, dict)
    assert "may have been done or not" in str(nodes(reply)["gw-2"][1])


def test_a_worker_does_for_its_manager_what_it_would_do_for_a_person() -> None:
    bench, link = following()
    body = json.dumps({"artifact": f"synapse:{A}", "for_s": 60.0})
    bench.hear(link, Ask(7, "undeploy", body))
    (told,) = bench.said(Answered, link)
    result = json.loads(told.body)["result"]
    assert nodes(result) == {ME: (True, "")}
    assert A not in bench.files
    bench.hear(link, Ask(8, "redeploy", body))
    assert bench.files == FILES


# --- who knows of it ------------------------------------------------------------------------------


def test_the_manager_lists_what_its_workers_undeployed_and_so_does_everybody_else() -> None:
    bench, link = managing()
    row = {"tree": "synapse", "path": A, "kind": "sequence", "name": "Apple"}
    row["until"] = "2026-11-21T14:05:00Z"
    bench.hear(link, Report(json.dumps({"row": {"undeployed": [row]}})))
    assert undeployed(bench, PEER) == [row]
    assert reason_there(bench, PEER) == "undeployed until 2026-11-21T14:05:00Z"
    worker, up = following()
    nodes = [{"name": name, "undeployed": [row]} for name in (ME, PEER, THIRD)]
    worker.hear(up, View(json.dumps({"revision": 1, "nodes": nodes})))
    assert undeployed(worker, THIRD) == [row]
    assert undeployed(worker, ME) == [], "of itself a node knows better"
    assert reason_there(worker, THIRD) == "undeployed until 2026-11-21T14:05:00Z"


def undeployed(bench: Bench, name: str) -> list[dict[str, object]]:
    status = bench.answer("status")
    assert isinstance(status, dict)
    (row,) = [row for row in status["nodes"] if row["name"] == name]
    found = row["undeployed"]
    assert isinstance(found, list)
    return found


def reason_there(bench: Bench, name: str) -> object:
    return {each["node"]: each["reason"] for each in described(bench, "sequence/Apple")}[name]


def test_a_worker_reports_what_it_undeployed() -> None:
    bench, link = following()
    answered(bench, "undeploy", artifact="sequence/Apple", node=ME)
    bench.pass_(1.0)
    report = json.loads(bench.said(Report, link)[-1].body)
    assert [row["name"] for row in report["row"]["undeployed"]] == ["Apple"]


def test_on_a_manager_an_undeploy_is_no_deletion_and_the_others_keep_theirs() -> None:
    bench, _ = managing()
    number = bench.state.standing.revision.number
    answered(bench, "undeploy", artifact="sequence/Apple", node=ME)
    bench.pass_(400.0)
    assert A not in bench.files
    assert bench.state.standing.revision.number == number
    assert at(A) in bench.state.standing.manifest
    assert not bench.state.holds


def test_a_file_that_is_put_back_on_the_manager_ends_its_undeploy() -> None:
    bench, _ = managing()
    number = bench.state.standing.revision.number
    answered(bench, "undeploy", artifact="sequence/Apple", node=ME)
    bench.put(A, FILES[A])
    bench.pass_(5.0)
    assert (bench.files, bench.state.exempt) == (FILES, {})
    assert bench.state.standing.revision.number == number
    assert not bench.node.observing.differing()
    answered(bench, "undeploy", artifact="sequence/Apple", node=ME)
    new = sequence("Apple", text="new")
    bench.put(A, new)
    bench.pass_(5.0)
    assert (bench.files[A], bench.state.exempt) == (new, {})
    assert bench.state.standing.revision.number == number + 1


def test_a_file_that_is_put_back_on_a_worker_is_drift() -> None:
    bench, _ = following()
    answered(bench, "undeploy", artifact="sequence/Apple", node=ME)
    bench.put(A, FILES[A])
    bench.pass_(5.0)
    assert A not in bench.files
    assert at(A) in bench.state.exempt
    assert bench.events("drift") == [{"path": f"synapse:{A}"}]


# --- beside a runtime -----------------------------------------------------------------------------


def beside(dialect: Dialect = SYNAPSE) -> Bench:
    """A worker whose runtime has loaded everything."""
    bench = Bench(FILES, manager=PEER, standing=FILES, peers=PEERS)
    files = bench.disk.trees[T]
    files.update({path: (row[0], row[1] - 60 * SECOND_NS) for path, row in files.items()})
    bench.beside(dialect).start()
    bench.managed()
    bench.pass_(16.0)
    assert row_of(bench)["deployed"] == 2
    return bench


def row_of(bench: Bench) -> dict[str, object]:
    status = bench.answer("status")
    assert isinstance(status, dict)
    (row,) = [row for row in status["nodes"] if row["name"] == ME]
    assert isinstance(row, dict)
    return row


def test_a_redeploy_is_pending_until_the_runtime_has_looked_again() -> None:
    bench = beside()
    assert nodes(answered(bench, "redeploy", artifact="sequence/Apple", node=ME)) == {
        ME: (True, "")
    }
    row = row_of(bench)
    assert (row["pending"], row["deployed"]) == (1, 1)
    bench.pass_(30.0)
    row = row_of(bench)
    assert (row["pending"], row["deployed"]) == (0, 2)
    assert bench.events("answered")[-1]["deployed"] == 2


def test_what_is_undeployed_counts_for_nothing_until_it_is_back() -> None:
    bench = beside()
    answered(bench, "undeploy", artifact="sequence/Apple", node=ME, for_s=600.0)
    bench.pass_(60.0)
    row = row_of(bench)
    assert (row["artifacts"], row["deployed"], row["state"]) == (1, 1, "Synced")
    bench.pass_(650.0)
    row = row_of(bench)
    assert (row["artifacts"], row["deployed"]) == (2, 2)
    assert bench.files == FILES


def test_a_row_says_which_runtime_it_is_and_what_it_is_doing() -> None:
    bench = beside()
    runtime = row_of(bench)["runtime"]
    assert isinstance(runtime, dict)
    assert (runtime["kind"], runtime["phase"]) == ("synapse", "ready")
    assert runtime["scan_s"] > 0


def test_what_a_runtime_rejects_is_listed_with_its_words_on_that_node_and_the_manager() -> None:
    bench = beside(CARBON)
    assert bench.gateway is not None
    bench.gateway.refuses = lambda path, _content: "no such mediator" if path.endswith(A) else ""
    answered(bench, "redeploy", artifact="sequence/Apple", node=ME)
    bench.pass_(120.0)
    listed = bench.answer("refused")
    assert isinstance(listed, list)
    (row,) = listed
    assert (row["node"], row["path"], row["code"]) == (ME, A, "rejected-by-runtime")
    assert row["reason"].startswith("rejected by the runtime: ")
    own = described(bench, "sequence/Apple")[0]
    assert (own["state"], bool(own["excerpt"])) == ("Rejected", True)
    artifacts = bench.answer("artifacts")
    assert isinstance(artifacts, list)
    (apple,) = [each for each in artifacts if each["path"] == A]
    assert (apple["state"], bool(apple["reason"])) == ("Rejected", True)
    bench.pass_(1.0)
    link = bench.state.manager_link
    manager, worker = managing()
    manager.hear(worker, bench.said(Report, link)[-1])
    theirs = manager.answer("refused")
    assert isinstance(theirs, list)
    assert [(each["node"], each["path"]) for each in theirs] == [(PEER, A)]
