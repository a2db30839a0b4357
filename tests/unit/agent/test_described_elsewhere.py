"""`describe` knows the other nodes: a manager by their reports, a worker by asking its manager."""

from __future__ import annotations

import json

import pytest

from syncagent.core.errors import RefusedError
from syncagent.core.exempt import paths_digest
from syncagent.core.safety import HoldReason
from syncagent.core.wire.messages import Answered, Ask, Done, Offer, Report
from tests.fakes.agent_bench import ME, PEER, Bench, T, at, entry, rows, sequence
from tests.fakes.disk import SECOND_NS
from tests.fakes.runtime_words import SYNAPSE

A, B = "sequences/a.xml", "sequences/b.xml"
OLD = {A: sequence("a"), B: sequence("b")}
NEW = sequence("a", text="new")
RUNTIME = {"kind": "synapse", "label": "x", "phase": "ready", "answers": True}


def nodes(found: object) -> dict[str, dict[str, object]]:
    assert isinstance(found, dict)
    return {row["node"]: row for row in found["nodes"]}


def peer_row(bench: Bench, artifact: str) -> dict[str, object]:
    return nodes(bench.answer("describe", artifact=artifact))[PEER]


def status_row(bench: Bench) -> dict[str, object]:
    status = bench.answer("status")
    assert isinstance(status, dict)
    (row,) = [row for row in status["nodes"] if row["name"] == PEER]
    return row  # type: ignore[no-any-return]


# --- a worker asks --------------------------------------------------------------------------------


def following() -> tuple[Bench, int]:
    bench = Bench(OLD, manager=PEER, standing=OLD).start()
    link, _ = bench.managed()
    bench.sent.clear()
    return bench, link


def answers(bench: Bench, link: int, body: dict[str, object]) -> Ask:
    (asked,) = bench.said(Ask, link)
    bench.hear(link, Answered(asked.id, json.dumps(body)))
    return asked


def test_a_worker_speaks_for_itself_and_its_manager_for_the_others() -> None:
    bench, link = following()
    request = bench.ask("describe", artifact="sequence/a")
    theirs = [
        {"node": PEER, "state": "Rejected", "reason": "no such class"},
        {"node": ME, "state": "Deployed", "reason": "what the manager believes"},
    ]
    asked = answers(bench, link, {"result": {"nodes": theirs}})
    assert (asked.verb, json.loads(asked.body)) == ("describe", {"artifact": f"synapse:{A}"})
    found = nodes(bench.replies[request].result)
    assert list(found) == [ME, PEER]
    assert (found[ME]["state"], found[PEER]["state"]) == ("Unknown", "Rejected")


def test_what_only_the_manager_has_it_describes_alone() -> None:
    bench, link = following()
    request = bench.ask("describe", artifact="sequence/new")
    answers(bench, link, {"result": {"name": "new", "nodes": []}})
    assert bench.replies[request].result == {"name": "new", "nodes": []}


@pytest.mark.parametrize("silent", [True, False])
def test_without_the_manager_s_word_a_worker_says_what_it_knows(silent: bool) -> None:
    bench, link = following()
    request = bench.ask("describe", artifact="sequence/a")
    other = bench.ask("describe", artifact="sequence/nowhere")
    if silent:
        bench.pass_(4.0)
    else:
        for asked in bench.said(Ask, link):
            error = {"message": "not allowed", "hint": "", "exit_code": 6}
            bench.hear(link, Answered(asked.id, json.dumps({"error": error})))
    assert (
        nodes(bench.replies[request].result)[PEER]["reason"] == "only the manager knows: ask gw-2"
    )
    assert isinstance(bench.replies[other].error, RefusedError)


def test_an_answer_that_comes_too_late_is_nobody_s() -> None:
    bench, link = following()
    request = bench.ask("describe", artifact="sequence/a")
    (asked,) = bench.said(Ask, link)
    bench.pass_(4.0)
    reply = bench.replies[request]
    bench.hear(link, Answered(asked.id, json.dumps({"result": {"nodes": []}})))
    assert bench.replies[request] is reply


def test_a_manager_answers_its_workers_and_nobody_else() -> None:
    bench = Bench(OLD).lead().pass_(3)
    link = bench.follow()
    bench.hear(link, Ask(5, "describe", json.dumps({"artifact": "sequence/a"})))
    (told,) = bench.said(Answered, link)
    assert list(nodes(json.loads(told.body)["result"])) == [ME, PEER]
    worker, up = following()
    worker.hear(up, Ask(6, "describe", json.dumps({"artifact": "sequence/a"})))
    assert "not allowed" in worker.said(Answered, up)[0].body


# --- a manager reads reports ----------------------------------------------------------------------


def leading() -> tuple[Bench, int]:
    """A manager with a canary, and a worker whose runtime has taken everything."""
    bench = Bench(OLD)
    files = bench.disk.trees[T]
    files.update({path: (row[0], row[1] - 60 * SECOND_NS) for path, row in files.items()})
    bench.beside(SYNAPSE).lead().pass_(16.0)
    link = bench.follow()
    bench.hear(link, Done(bench.state.standing.revision, bench.state.base.digest))
    reports(bench, link)
    return bench, link


def reports(bench: Bench, link: int, **more: object) -> None:
    peer = bench.state.peers[PEER]
    number = peer.standing.number if peer.standing else 0
    row = {"revision": number, "state": "Synced"}
    body = {"row": row, "runtime": RUNTIME, "outcomes": [], "outcomes_total": 0}
    bench.hear(link, Report(json.dumps({**body, "withheld": peer.withheld, **more})))


def test_what_waits_for_the_canary_is_the_old_version_elsewhere_and_the_rest_is_as_it_was() -> None:
    bench, _ = leading()
    assert bench.gateway is not None
    bench.gateway.mute = True
    bench.put(A, NEW)
    bench.pass_(1.0)
    waits = peer_row(bench, "sequence/a")
    assert (waits["digest"], waits["state"]) == (entry(OLD[A]).digest, "Deployed")
    assert waits["reason"] == "the newest version waits: another runtime tries it first"
    other = peer_row(bench, "sequence/b")
    assert (other["digest"], other["state"], other["reason"]) == (
        entry(OLD[B]).digest,
        "Deployed",
        "",
    )


def test_what_is_withheld_from_a_node_that_got_the_rest_is_not_claimed_of_it() -> None:
    bench, link = leading()
    assert bench.gateway is not None
    bench.gateway.refuses = lambda path, _content: "no such class" if path.endswith(A) else ""
    bench.put(A, NEW)
    bench.pass_(30.0)
    bench.put("sequences/c.xml", sequence("c"))
    bench.pass_(200.0)
    for offer in bench.said(Offer, link):
        named = paths_digest(offer.withheld)
        bench.hear(link, Done(offer.revision, bench.state.rows.digest, named))
    reports(bench, link)
    if bench.state.peers[PEER].standing == bench.state.standing.revision:
        held = peer_row(bench, "sequence/a")
        assert held["digest"] == entry(OLD[A]).digest
        assert "the newest version waits: " in str(held["reason"])


@pytest.mark.parametrize("path", [A, "sequences/c.xml"])
def test_what_a_node_s_runtime_refused_is_rejected_there_and_waits_elsewhere(path: str) -> None:
    bench, link = leading()
    new = sequence(path[10], text="refused")
    bench.put(path, new)
    bench.pass_(30.0)
    bench.hear(link, Done(bench.state.standing.revision, bench.state.rows.digest))
    refusal = {"tree": str(T), "path": path, "digest": entry(new).digest}
    refusal |= {"state": "Rejected", "reason": "no such class", "excerpt": "ERROR - no"}
    reports(bench, link, outcomes=[refusal], outcomes_total=1)
    assert [hold.reason for hold in bench.state.holds.values()] == [HoldReason.NACKED]
    for _ in range(2):
        row = peer_row(bench, path)
        assert (row["state"], row["reason"], row["excerpt"]) == (
            "Rejected",
            "no such class",
            "ERROR - no",
        )
        # It stands on the revision, less what is withheld; its next report is on its way.
        number = bench.state.standing.revision
        bench.hear(link, Done(number, bench.state.rows.digest, paths_digest([at(path)])))


def test_a_report_of_before_the_last_commit_is_no_word_about_it() -> None:
    bench, link = leading()
    peer = bench.state.peers[PEER]
    number = bench.state.standing.revision.number
    reports(bench, link, row={"revision": number - 1})
    row = peer_row(bench, "sequence/a")
    assert (row["state"], row["reason"]) == ("Unknown", "its report is on its way")
    assert row["digest"] == rows(OLD).get(at(A)).digest  # type: ignore[union-attr]
    counted = {"revision": number - 1, "state": "Synced", "artifacts": 2, "deployed": 2}
    reports(bench, link, row={**counted, "pending": 0, "unknown": 0})
    shown = status_row(bench)
    assert (shown["revision"], shown["state"]) == (number, "Synced")
    assert (shown["deployed"], shown["pending"], shown["unknown"]) == (None, None, 2)
    reports(bench, link, withheld=paths_digest([at(A)]))
    assert peer_row(bench, "sequence/a")["state"] == "Unknown"
    reports(bench, link)
    assert peer_row(bench, "sequence/a")["state"] == "Deployed"
    assert peer.standing == bench.state.standing.revision


def test_what_comes_in_portions_is_claimed_when_all_has_come() -> None:
    bench, link = leading()
    reports(bench, link, portions=3)
    row = peer_row(bench, "sequence/a")
    assert (row["state"], row["reason"]) == (
        "Unknown",
        "it takes up what is new in portions, and not all has come",
    )
    reports(bench, link, portions=0)
    assert peer_row(bench, "sequence/a")["state"] == "Deployed"


def test_what_a_manager_undeployed_on_itself_is_still_on_the_others() -> None:
    bench, _ = leading()
    bench.answer("undeploy", artifact="sequence/a", node=ME)
    found = nodes(bench.answer("describe", artifact="sequence/a"))
    assert (found[ME]["digest"], found[ME]["state"]) == (None, "Unknown")
    assert (found[PEER]["digest"], found[PEER]["state"]) == (entry(OLD[A]).digest, "Deployed")
