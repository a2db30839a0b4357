"""What people ask of a node: every question gets exactly one answer, and it is true."""

import json

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.node.asking import PEER_REQUESTS
from syncagent.agent.node.describing import NO_RUNTIME
from syncagent.core.desk import VERBS
from syncagent.core.digest import digest_of
from syncagent.core.errors import (
    BusyError,
    DeadlineError,
    ExitCode,
    HeldError,
    RefusedError,
    SettingsError,
    SyncagentError,
    UnreachableError,
)
from syncagent.core.events import DialFailed, LinkUp, Received, StrangerRefused
from syncagent.core.intent import Keep
from syncagent.core.settings import Writers
from syncagent.core.wire.messages import (
    Answered,
    Ask,
    Bye,
    Commit,
    Done,
    Hello,
    Offer,
    Ping,
    Pong,
    Prepared,
    Report,
    View,
    Want,
)
from tests.fakes.agent_bench import (
    ME,
    PEER,
    THIRD,
    Bench,
    T,
    adds,
    at,
    revision,
    rows,
    sequence,
)

FILES = {"sequences/a.xml": sequence("a", "b"), "sequences/b.xml": sequence("b")}


def managing(**given: object) -> tuple[Bench, int]:
    bench = Bench(FILES, **given).lead().pass_(3)  # type: ignore[arg-type]
    link = bench.follow()
    bench.hear(link, Done(bench.state.standing.revision, bench.state.base.digest))
    bench.sent.clear()
    return bench, link


def did_its_round(bench: Bench, link: int, *changes: dict[str, str]) -> None:
    """Let the worker answer that it has compared its trees, and what it did."""
    asked = bench.said(Ask, link)
    assert [ask.verb for ask in asked] == ["reconcile"]
    answer = {"result": {"changes": list(changes)}}
    bench.hear(link, Answered(asked[0].id, json.dumps(answer)))


def following() -> tuple[Bench, int]:
    bench = Bench(FILES, manager=PEER, standing=FILES).start()
    link, _ = bench.managed()
    bench.sent.clear()
    return bench, link


def node_row(status: object, name: str) -> dict[str, object]:
    assert isinstance(status, dict)
    (row,) = [row for row in status["nodes"] if row["name"] == name]
    return row


# --- every verb -----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", sorted(VERBS))
@pytest.mark.parametrize("manages", [True, False])
def test_every_verb_gets_one_answer_even_without_arguments(verb: str, manages: bool) -> None:
    bench, _ = managing() if manages else following()
    request = bench.ask(verb, timeout_s=5.0)
    bench.pass_(8)
    reply = bench.replies[request]
    assert reply.error is None or isinstance(reply.error, SyncagentError)
    json.dumps(reply.result)


def test_a_word_that_is_no_verb_is_not_in_this_version() -> None:
    bench, _ = managing()
    with pytest.raises(SettingsError, match="dance: not in this version"):
        bench.answer("dance")


# --- status ---------------------------------------------------------------------------------------


def test_a_cluster_in_sync_says_so() -> None:
    bench, _ = managing()
    status = bench.answer("status")
    assert isinstance(status, dict)
    assert (status["manager"], status["epoch"], status["revision"]) == (ME, 1, 1)
    assert (status["state"], status["held"], status["alarms"]) == ("Synced", [], [])
    assert [row["name"] for row in status["nodes"]] == [ME, PEER]
    row = node_row(status, ME)
    assert (row["role"], row["artifacts"], row["unknown"], row["deployed"]) == ("manager", 2, 2, 0)
    assert row["watch"] == "inotify"


def test_a_worker_that_is_away_is_offline_and_the_cluster_out_of_sync() -> None:
    bench, link = managing()
    bench.cut(link)
    bench.handle(DialFailed(PEER, "no route to host"))
    status = bench.answer("status")
    row = node_row(status, PEER)
    assert (row["state"], row["reason"]) == ("Offline", "no route to host")
    assert isinstance(status, dict)
    assert status["state"] == "OutOfSync"
    assert len(bench.events("unreachable")) == 1
    bench.handle(DialFailed(PEER, "no route to host"))
    assert len(bench.events("unreachable")) == 1, "said once"


def test_a_worker_that_lags_says_for_how_long() -> None:
    bench, link = managing()
    bench.put("sequences/c.xml", sequence("c"))
    bench.pass_(2)
    assert node_row(bench.answer("status"), PEER)["state"] == "Syncing"
    bench.pass_(7)
    assert node_row(bench.answer("status"), PEER)["lag_s"] == pytest.approx(7, abs=2)
    bench.hear(link, Done(bench.state.standing.revision, bench.state.base.digest))
    assert node_row(bench.answer("status"), PEER)["lag_s"] == 0.0


def test_a_worker_s_own_words_are_shown() -> None:
    bench, link = managing()
    row = {"state": "Held", "reason": "60 deletions", "artifacts": 7, "revision": 1}
    bench.hear(link, Report(json.dumps({"row": row})))
    row = node_row(bench.answer("status"), PEER)
    assert (row["state"], row["reason"], row["artifacts"]) == ("Held", "60 deletions", 7)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("", id="nothing"),
        pytest.param("[" * 100_000, id="very deep"),
        pytest.param("[]", id="a list"),
        pytest.param('{"row": []}', id="a row that is a list"),
        pytest.param('{"row": {"state": [], "reason": {}}, "held": 1, "refused": [1]}', id="odd"),
        pytest.param('{"differing": [{"tree": "x", "path": "../y"}], "progress": 3}', id="paths"),
        pytest.param('{"differing": [{"tree": "synapse", "digest": "unknown"}]}', id="a digest"),
    ],
)
def test_no_report_of_a_peer_ends_the_agent(body: str) -> None:
    bench, link = managing()
    bench.hear(link, Report(body))
    for verb in ("status", "held", "refused", "progress", "nodes"):
        bench.answer(verb)
    bench.answer("diff", **{"from": PEER})
    bench.answer("describe", artifact="sequence/a")
    bench.pass_(12)


@pytest.mark.parametrize(
    "body",
    ["", "[]", '{"nodes": 3}', '{"nodes": [{"name": "x", "seen_s": true}, 4], "held": 1}'],
)
def test_no_view_of_a_manager_ends_the_agent(body: str) -> None:
    bench, link = following()
    bench.hear(link, View(body))
    for verb in ("status", "held", "nodes"):
        bench.answer(verb)
    request = bench.ask("reconcile", timeout_s=3)
    bench.pass_(5)
    assert request in bench.replies


def test_a_worker_shows_the_manager_s_view_with_its_own_row_fresh() -> None:
    bench, link = following()
    view = {
        "apiVersion": "syncagent/v1",
        "manager": PEER,
        "revision": 1,
        "state": "Synced",
        "nodes": [
            {"name": PEER, "state": "Synced", "seen_s": 0.0},
            {"name": ME, "state": "Offline", "seen_s": 9.0},
            {"name": THIRD, "state": "Synced", "seen_s": None},
        ],
        "held": [],
        "alarms": [],
    }
    bench.hear(link, View(json.dumps(view)))
    bench.pass_(4)
    status = bench.answer("status")
    assert node_row(status, ME)["state"] == "Synced"
    assert node_row(status, PEER)["seen_s"] == pytest.approx(4.0, abs=0.2)
    assert node_row(status, THIRD)["seen_s"] is None
    bench.cut(link)
    lonely = bench.answer("status")
    assert isinstance(lonely, dict)
    assert (lonely["manager"], lonely["state"]) == (None, "Unknown")
    assert "no contact with the manager gw-2" in lonely["alarms"][-1]


def test_only_the_manager_s_connection_brings_views() -> None:
    bench, _ = following()
    other = bench.link(THIRD, dialled=False)
    bench.hear(other, View('{"nodes": []}'))
    assert bench.state.view == {}


def test_without_a_manager_it_says_who_is_waited_for() -> None:
    bench = Bench(FILES, manager=PEER).start()
    status = bench.answer("status")
    assert isinstance(status, dict)
    assert status["alarms"][-1] == "no manager yet: waiting for gw-2"
    candidate = Bench(FILES)
    candidate.node.start(candidate.at)
    candidate._drain()
    asked = candidate.ask("status")
    result = candidate.replies[asked].result
    assert isinstance(result, dict)
    assert "this node is surveying" in result["alarms"][-1]


def test_reports_travel_when_something_changed_and_every_few_seconds() -> None:
    bench, link = following()
    bench.pass_(1)
    bench.said(Report)
    bench.pass_(25)
    assert 2 <= len(bench.said(Report, link)) <= 3
    bench.put("sequences/a.xml", sequence("a", text="by hand"))
    bench.pass_(1)
    (*_, report) = bench.said(Report, link)
    assert json.loads(report.body)["row"]["name"] == ME
    manager, down = managing()
    manager.pass_(25)
    assert 2 <= len(manager.said(View, down)) <= 4


def test_the_progress_of_a_transfer_is_shown() -> None:
    bench, link = following()
    token = bench.state.guard.highest
    assert token is not None
    new = {f"f{n}.txt": b"%d" % n for n in range(4)}
    made = revision(bench.state.standing.revision, rows(FILES), adds(new), epoch=2)
    bench.offer(link, token, made)
    progress = bench.answer("progress")
    assert isinstance(progress, dict)
    (row,) = progress["nodes"]
    assert (progress["active"], row["files_done"], row["files_total"]) == (True, 0, 4)
    assert (row["bytes_done"], row["bytes_total"], row["phase"]) == (0, 4, "blobs")
    assert node_row(bench.answer("status"), ME)["state"] == "Syncing"


def test_a_node_with_local_differences_is_out_of_sync() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES, writers=Writers.ANY).start()
    bench.put("sequences/a.xml", sequence("a", text="by hand"))
    bench.pass_(1)
    row = node_row(bench.answer("status"), ME)
    assert (row["state"], row["reason"]) == ("OutOfSync", "1 differ from revision 1")


def test_troubles_and_kept_bytes_are_events() -> None:
    bench, _ = managing()
    bench.handle(rs.Trouble("somewhere", "it broke"))
    row = node_row(bench.answer("status"), ME)
    assert (row["state"], row["reason"]) == ("Degraded", "it broke")
    kept = bench.disk.keep(at("x"), b"x", Keep.DRIFT, "")
    bench.handle(rs.KeptFile(kept))
    assert bench.events("kept")[-1]["id"] == kept.id


def test_strangers_are_remembered_once_and_not_for_ever() -> None:
    bench, _ = managing()
    for number in range(60):
        bench.handle(StrangerRefused(f"x{number}", f"key {number}", "10.0.0.9", "unknown key"))
    bench.handle(StrangerRefused("x59", "key 59", "10.0.0.9", "unknown key"))
    found = bench.answer("strangers")
    assert isinstance(found, list)
    assert [row["name"] for row in found] == [f"x{n}" for n in range(10, 60)]
    assert len(bench.events("stranger")) == 60
    assert bench.answer("keys_trust", name="x59", key="key 59") == {"name": "x59", "key": "key 59"}


# --- one artifact ---------------------------------------------------------------------------------


def test_an_artifact_is_described_by_kind_and_name_or_path() -> None:
    bench, _ = managing()
    for what in ("sequence/a", "sequences/a.xml", f"{T}:sequence/a", f"{T}:sequences/a.xml"):
        found = bench.answer("describe", artifact=what)
        assert isinstance(found, dict)
        assert (found["path"], found["references"]) == ("sequences/a.xml", ["sequence/b"])
        assert found["size"] == len(FILES["sequences/a.xml"])
        assert found["group"] == {
            "head": "synapse:sequences/a.xml",
            "members": [
                {"path": f"sequences/{name}.xml", "kind": "sequence", "name": name} for name in "ab"
            ],
        }
        mine, theirs = found["nodes"]
        digest = digest_of(FILES["sequences/a.xml"])
        assert (mine["node"], mine["digest"], mine["reason"]) == (ME, digest, NO_RUNTIME)
        assert (theirs["node"], theirs["digest"]) == (PEER, digest)


@pytest.mark.parametrize("what", ["", "sequence/z", "other:sequence/a"])
def test_what_is_not_known_is_not_described(what: str) -> None:
    bench, _ = managing()
    with pytest.raises(RefusedError, match="no artifact"):
        bench.answer("describe", artifact=what)


def test_a_name_that_many_have_is_not_guessed() -> None:
    bench = Bench({"a/x.txt": b"1", "b/x.txt": b"2"}).lead().pass_(3)
    with pytest.raises(RefusedError, match=r"names 2 .*: synapse:a/x.txt, synapse:b/x.txt"):
        bench.answer("describe", artifact="file/x")


def test_a_description_tells_what_is_wrong_and_where_it_differs() -> None:
    bench, link = managing()
    bench.put("sequences/a.xml", b"<sequence name='a'")
    bench.pass_(2)
    row = {"tree": T, "path": "sequences/a.xml", "digest": None}
    bench.hear(link, Report(json.dumps({"differing": [row]})))
    found = bench.answer("describe", artifact="sequences/a.xml")
    assert isinstance(found, dict)
    mine, theirs = found["nodes"]
    assert mine["state"] == "Refused"
    assert (theirs["state"], theirs["digest"]) == ("OutOfSync", None)
    assert found["problems"][0]["severity"] == "error"
    refused = bench.answer("refused")
    assert isinstance(refused, list)
    assert refused[0]["path"] == "sequences/a.xml"
    assert refused[0]["reason"].startswith("line ")


def test_a_node_that_stands_elsewhere_is_not_guessed_about() -> None:
    bench, link = managing()
    bench.cut(link)
    bench.put("sequences/c.xml", sequence("c"))
    bench.pass_(2)
    found = bench.answer("describe", artifact="sequence/c")
    assert isinstance(found, dict)
    assert (found["nodes"][1]["digest"], found["nodes"][1]["reason"]) == (None, "cut")


# --- differences ----------------------------------------------------------------------------------


def test_own_differences_are_shown_with_their_lines() -> None:
    bench, _ = managing()
    bench.put("sequences/a.xml", b"<sequence name='a'\n")
    bench.pass_(2)
    found = bench.answer("diff")
    assert isinstance(found, dict)
    (change,) = found["changes"]
    assert (found["from"], found["to"], change["change"]) == ("revision 1", ME, "update")
    assert "+<sequence name='a'" in change["text"]


@pytest.mark.parametrize("name", [ME, PEER])
def test_a_node_s_differences_are_what_it_reported(name: str) -> None:
    bench, link = managing()
    report = {
        "differing": [
            {"tree": T, "path": "sequences/a.xml", "digest": None},
            {"tree": T, "path": "x.txt", "digest": "unknown"},
            {"tree": "elsewhere", "path": "y.txt", "digest": digest_of(b"y")},
        ]
    }
    bench.hear(link, Report(json.dumps(report)))
    found = bench.answer("diff", **{"from": name})
    assert isinstance(found, dict)
    words = [(change["path"], change["change"]) for change in found["changes"]]
    wanted = [("sequences/a.xml", "delete"), ("x.txt", "add"), ("y.txt", "add")]
    assert words == (wanted if name == PEER else [])


def test_two_revisions_are_compared() -> None:
    bench, _ = managing()
    bench.put("sequences/a.xml", sequence("a", text="2"))
    bench.pass_(2)
    for first, second, way in ((1, 2, ("1", "2")), ("1", None, ("1", "2")), (2, 0, ("2", "0"))):
        found = bench.answer("diff", **{"from": first, "to": second})
        assert isinstance(found, dict)
        assert (found["from"], found["to"]) == tuple(f"revision {number}" for number in way)
    assert {change["change"] for change in found["changes"]} == {"delete"}
    with pytest.raises(RefusedError, match="revision 9 is not remembered"):
        bench.answer("diff", **{"from": 9})
    with pytest.raises(SettingsError, match="no node or revision 'gw-9'"):
        bench.answer("diff", **{"from": "gw-9"})


def test_revisions_and_events_are_listed_newest_first_and_in_order() -> None:
    bench, _ = managing()
    bench.put("sequences/c.xml", sequence("c"))
    bench.pass_(2)
    found = bench.answer("revisions", limit=5)
    assert isinstance(found, list)
    assert [(row["number"], row["added"]) for row in found] == [(2, 1), (1, 2)]
    assert bench.answer("revisions", limit="many") == found
    events = bench.answer("events", after=0, limit=3)
    assert isinstance(events, list)
    assert [row["id"] for row in events] == [1, 2, 3]


# --- reconcile and wait ---------------------------------------------------------------------------


def test_status_tells_what_a_worker_holds_before_its_own_report_comes() -> None:
    bench, _ = managing()
    row = node_row(bench.answer("status"), PEER)
    assert (row["state"], row["revision"]) == ("Synced", 1)
    assert row["artifacts"] == row["unknown"] == len(bench.state.base)


def test_a_reconcile_ends_when_what_it_found_is_live_everywhere() -> None:
    bench, link = managing()
    bench.disk.put(at("sequences/c.xml"), sequence("c"))
    request = bench.ask("reconcile", timeout_s=60)
    bench.pass_(2)
    assert request not in bench.replies
    did_its_round(bench, link, {"tree": "synapse", "path": "api/mended.xml", "change": "update"})
    (offer,) = bench.said(Offer, link)
    bench.hear(link, Prepared(offer.revision))
    bench.said(Commit)
    bench.hear(link, Done(offer.revision, bench.state.base.digest))
    bench.pass_(1)
    result = bench.replies[request].result
    assert isinstance(result, dict)
    assert (result["from_revision"], result["revision"]) == (1, 2)
    changes = [(change["path"], change.get("node")) for change in result["changes"]]
    assert changes == [("sequences/c.xml", None), ("api/mended.xml", PEER)]


def test_a_dry_run_says_what_would_be_done() -> None:
    bench = Bench(FILES, peers=(), apply=False).lead()
    request = bench.ask("reconcile", dry_run=True, timeout_s=60)
    bench.pass_(3)
    result = bench.replies[request].result
    assert isinstance(result, dict)
    assert [change["change"] for change in result["changes"]] == ["add", "add"]
    assert bench.state.standing.revision.number == 0


def test_a_dry_run_changes_nothing_while_it_lasts() -> None:
    bench, link = managing()
    request = bench.ask("reconcile", dry_run=True, timeout_s=60)
    bench.put("sequences/c.xml", sequence("c"))
    bench.pass_(3)
    assert bench.state.standing.revision.number == 1
    did_its_round(bench, link, {"tree": "synapse", "path": "api/drift.xml", "change": "add"})
    bench.pass_(1)
    result = bench.replies[request].result
    assert isinstance(result, dict)
    found = [(change["path"], change.get("node")) for change in result["changes"]]
    assert found == [("sequences/c.xml", None), ("api/drift.xml", PEER)]
    bench.pass_(2)
    assert bench.state.standing.revision.number == 2


def test_a_reconcile_waits_for_who_is_still_being_dialled() -> None:
    bench = Bench(FILES).lead().pass_(3)
    request = bench.ask("reconcile", timeout_s=60)
    bench.pass_(3)
    assert request not in bench.replies
    bench.handle(DialFailed(PEER, "refused"))
    bench.pass_(1)
    assert request in bench.replies


def test_a_reconcile_that_is_held_says_what_to_approve() -> None:
    files = {f"sequences/{n:03}.xml": sequence(f"s{n}") for n in range(60)}
    bench = Bench(files, peers=()).lead().pass_(3)
    for path in list(files)[5:]:
        bench.disk.remove(at(path))
    request = bench.ask("reconcile", timeout_s=60)
    bench.pass_(8)
    result = bench.replies[request].result
    assert isinstance(result, dict)
    (held,) = result["held"]
    assert held["path"] == "55 artifacts"
    late = bench.ask("wait", timeout_s=2)
    bench.pass_(3)
    error = bench.replies[late].error
    assert isinstance(error, HeldError)
    assert held["id"] in error.hint


def test_a_wait_ends_when_all_are_in_sync() -> None:
    bench, link = managing()
    request = bench.ask("wait", synced=True, revision=2, timeout_s=60)
    bench.pass_(2)
    assert request not in bench.replies
    did_its_round(bench, link)
    bench.put("sequences/c.xml", sequence("c"))
    bench.pass_(2)
    (offer,) = bench.said(Offer, link)
    bench.hear(link, Done(offer.revision, bench.state.base.digest))
    bench.pass_(1)
    assert request not in bench.replies, "status would still show what was before"
    bench.hear(link, Report(json.dumps({"row": {"state": "Synced", "revision": 2}})))
    bench.pass_(1)
    assert bench.replies[request].result == {"revision": 2, "state": "Synced"}


def test_a_wait_that_is_not_reached_in_time_says_why() -> None:
    bench, link = managing()
    bench.cut(link)
    bench.handle(DialFailed(PEER, "refused"))
    first = bench.ask("wait", revision=2, timeout_s=2)
    bench.pass_(3)
    error = bench.replies[first].error
    assert isinstance(error, DeadlineError)
    lonely = Bench(FILES, peers=()).lead().pass_(3)
    second = lonely.ask("wait", revision=2, timeout_s=2)
    lonely.pass_(3)
    assert "stands on revision 1, not 2" in str(lonely.replies[second].error)


def test_a_worker_waits_for_what_its_manager_says() -> None:
    bench, link = following()
    request = bench.ask("wait", timeout_s=60)
    bench.pass_(3)
    assert request not in bench.replies
    bench.hear(link, View(json.dumps({"revision": 1, "nodes": []})))
    bench.pass_(1)
    assert bench.replies[request].result == {"revision": 1, "state": "Synced"}


@pytest.mark.parametrize("revision_", ["abc", [], 1.5])
def test_a_revision_that_is_no_number_is_refused(revision_: object) -> None:
    bench, _ = managing()
    with pytest.raises(SettingsError, match="no number"):
        bench.answer("wait", revision=revision_)


def test_while_somebody_waits_the_node_is_not_woken_without_pause() -> None:
    bench, link = managing()
    bench.cut(link)
    bench.ask("wait", revision=9, timeout_s=60)
    bench.pass_(3)
    bench.tick()
    assert bench.wake_at >= bench.at + 0.01


# --- approve, reject, restore ---------------------------------------------------------------------


def test_what_is_not_held_can_t_be_approved() -> None:
    bench, link = managing()
    bench.hear(link, Report(json.dumps({"row": {"state": "Synced"}, "held": []})))
    with pytest.raises(RefusedError, match="no hold 'd-1'"):
        bench.answer("approve", id="d-1")


def test_a_worker_s_hold_is_approved_by_way_of_the_manager() -> None:
    bench, link = managing()
    bench.hear(link, Report(json.dumps({"held": [{"id": "d-1"}]})))
    request = bench.ask("approve", id="d-1")
    (message,) = bench.said(Ask, link)
    assert (message.verb, json.loads(message.body)) == ("approve", {"id": "d-1"})
    other = bench.link(THIRD, dialled=False)
    bench.hear(other, Answered(message.id, '{"result": "forged"}'))
    assert request not in bench.replies
    bench.hear(link, Answered(message.id, '{"result": {"id": "d-1"}}'))
    assert bench.replies[request].result == {"id": "d-1"}
    bench.hear(link, Answered(message.id, '{"result": {"id": "d-1"}}'))


@pytest.mark.parametrize(
    ("body", "words", "code"),
    [
        pytest.param("", "can't be read", ExitCode.ERROR, id="nothing"),
        pytest.param("[]", "can't be read", ExitCode.ERROR, id="a list"),
        pytest.param('{"error": 5}', "can't be read", ExitCode.ERROR, id="a number"),
        pytest.param('{"error": {"message": "no"}}', "no", ExitCode.ERROR, id="no code"),
        pytest.param(
            '{"error": {"message": "no", "exit_code": 77}}', "no", ExitCode.ERROR, id="what code"
        ),
        pytest.param(
            '{"error": {"message": "no", "hint": "h", "exit_code": 5}}', "no", ExitCode.HELD, id="5"
        ),
    ],
)
def test_an_error_elsewhere_is_an_error_here(body: str, words: str, code: ExitCode) -> None:
    bench, link = managing()
    bench.hear(link, Report(json.dumps({"held": [{"id": "d-1"}]})))
    request = bench.ask("reject", id="d-1")
    (message,) = bench.said(Ask, link)
    bench.hear(link, Answered(message.id, body))
    error = bench.replies[request].error
    assert isinstance(error, SyncagentError)
    assert (words in str(error), error.exit_code) == (True, code)


def test_a_manager_s_person_is_answered_and_nobody_else_s() -> None:
    bench, link = following()
    bench.hear(link, Ask(4, "approve", '{"id": "d-9"}'))
    bench.hear(link, Ask(5, "approve", "no JSON"))
    bench.hear(link, Ask(6, "status", "{}"))
    stranger = bench.link(THIRD, dialled=False)
    bench.hear(stranger, Ask(7, "approve", '{"id": "d-9"}'))
    answers = {message.id: json.loads(message.body)["error"] for message in bench.said(Answered)}
    assert answers.keys() == {4, 5, 6, 7}
    assert "no hold 'd-9'" in answers[4]["message"]
    assert answers[6]["message"] == answers[7]["message"] == "not allowed"
    assert not any(request >= PEER_REQUESTS for request in bench.replies)


def test_a_manager_s_person_gets_the_result_too() -> None:
    files = {f"sequences/{n:03}.xml": sequence(f"s{n}") for n in range(60)}
    bench = Bench(files, manager=PEER, standing=files, writers=Writers.ANY).start()
    link, _ = bench.managed()
    for path in list(files)[5:]:
        bench.remove(path)
    bench.pass_(4)
    (hold,) = bench.state.holds
    bench.hear(link, Ask(4, "approve", json.dumps({"id": hold})))
    (answer,) = bench.said(Answered)
    assert json.loads(answer.body)["result"]["released"] == 55


def test_kept_bytes_are_restored_as_a_revision() -> None:
    bench, _ = managing()
    bench.put("notes.txt", b"old")
    bench.pass_(2)
    kept = bench.disk.keep(at("notes.txt"), b"older", Keep.CONFLICT, "by hand")
    listed = bench.answer("quarantine")
    assert isinstance(listed, list)
    assert [row["id"] for row in listed] == [kept.id]
    assert bench.answer("conflicts") == listed
    request = bench.ask("restore", what=kept.id)
    bench.pass_(1)
    assert bench.replies[request].result == {
        "tree": T,
        "path": "notes.txt",
        "digest": digest_of(b"older"),
        "revision": 3,
    }
    assert bench.files["notes.txt"] == b"older"
    again = bench.ask("restore", what=kept.id)
    assert bench.replies[again].result is not None, "it is so already"
    assert bench.state.standing.revision.number == 3


def test_restoring_the_revision_s_own_bytes_only_repairs() -> None:
    bench, _ = managing()
    path = "sequences/a.xml"
    bench.disk.keep(at(path), FILES[path], Keep.DELETED, "")
    bench.put(path, b"<broken")
    bench.pass_(2)
    request = bench.ask("restore", what=path)
    bench.pass_(1)
    assert bench.replies[request].error is None
    assert bench.files[path] == FILES[path]
    assert bench.state.standing.revision.number == 1


def test_what_can_t_be_restored_says_why() -> None:
    bench, _ = managing()
    nothing = bench.ask("restore", what="k9")
    bench.pass_(6)
    assert "nothing is kept" in str(bench.replies[nothing].error)
    bad = bench.disk.keep(at("sequences/x.xml"), b"<bad", Keep.REFUSED, "")
    request = bench.ask("restore", what=bad.id)
    bench.pass_(1)
    assert str(bench.replies[request].error).count("sequences/x.xml") == 1
    worker, link = following()
    with pytest.raises(RefusedError, match="nothing is kept"):
        worker.answer("restore", what="k1")
    worker.cut(link)
    with pytest.raises(UnreachableError, match="no manager is connected"):
        worker.answer("restore", what="k1")


def test_while_a_revision_is_on_its_way_nothing_is_restored() -> None:
    bench, _ = managing()
    bench.disk.keep(at("notes.txt"), b"older", Keep.CONFLICT, "")
    bench.put("sequences/c.xml", sequence("c"))
    while not any(isinstance(effect, fx.Declare) for effect in bench.hands):
        bench.at += 0.05
        bench.tick()
        while bench.hands and not isinstance(bench.hands[0], fx.Declare):
            bench.step()
    bench.handle(rs.Asked(99, "restore", {"what": "notes.txt"}, 5.0))
    assert isinstance(bench.replies[99].error, BusyError)


# --- small talk -----------------------------------------------------------------------------------


def test_pings_are_answered_and_goodbyes_hang_up() -> None:
    bench, link = managing()
    bench.hear(link, Ping(8))
    assert bench.said(Pong) == [Pong(8)]
    bench.hear(link, Pong(8))
    bench.hear(link, Bye("going"))
    assert (link, "going") in bench.hung_up
    bench.hear(link, Hello((2,), "c", PEER, "p1", "x"))
    assert (link, "unexpected Hello") in bench.hung_up
    bench.handle(Received(99, Ping(9)))
    assert bench.said(Pong) == [], "from a connection that is gone"


def test_a_newer_connection_takes_the_place_of_an_older() -> None:
    bench, link = managing()
    newer = bench.link()
    assert (link, "superseded by a newer connection") in bench.hung_up
    assert bench.state.peers[PEER].link == newer
    bench.cut(link)
    assert bench.state.peers[PEER].link == newer
    bench.hear(link, Prepared(bench.state.standing.revision))
    bench.hear(newer, Want(bench.state.standing.revision, manifest=True))


def test_a_worker_that_was_dialling_hangs_up() -> None:
    bench = Bench(FILES, manager=PEER).start()
    bench.handle(LinkUp(5, PEER, dialled=True, version=2, incarnation="p1"))
    assert bench.hung_up == [(5, "not manager any more")]
    bench.handle(DialFailed(THIRD, "who?"))


def test_the_pause_between_attempts_grows_to_a_minute() -> None:
    bench = Bench(FILES).lead()
    pauses = []
    for _ in range(12):
        bench.dialled.clear()
        bench.handle(DialFailed(PEER, "refused"))
        before = bench.at
        while not bench.dialled:
            bench.pass_(0.1)
        pauses.append(bench.at - before)
    assert pauses[0] <= 2
    assert max(pauses) > 10
    assert max(pauses) <= 61
