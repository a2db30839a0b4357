"""`wait --ready` before a gateway starts, and `wait --deployed` for what runtimes answer."""

from __future__ import annotations

import json

import pytest

from syncagent.core.errors import DeadlineError, HeldError
from syncagent.core.events import DialFailed
from syncagent.core.exempt import paths_digest
from syncagent.core.settings import PeerSettings, RolloutSettings
from syncagent.core.wire.messages import Answered, Ask, Done, Offer, Report, View
from tests.fakes.agent_bench import (
    PEER,
    THIRD,
    Bench,
    T,
    adds,
    at,
    entry,
    revision,
    rows,
    sequence,
)
from tests.fakes.disk import SECOND_NS
from tests.fakes.runtime_words import CARBON

A = "sequences/a.xml"
FILES = {A: sequence("a")}
MORE = {"sequences/b.xml": sequence("b")}
PEERS = (PeerSettings(PEER, "gw-2:1", ""), PeerSettings(THIRD, "gw-3:1", ""))


def told(bench: Bench, request: int) -> dict[str, object]:
    reply = bench.replies[request]
    assert reply.error is None
    assert isinstance(reply.result, dict)
    return reply.result


def following() -> tuple[Bench, int]:
    bench = Bench(FILES, manager=PEER, standing=FILES, peers=PEERS).start()
    link, _ = bench.managed()
    return bench, link


def view(bench: Bench, link: int, number: int, **fields: object) -> None:
    nodes = [{"name": PEER, "state": "Synced", "pending": 0, "revision": number, **fields}]
    bench.hear(link, View(json.dumps({"revision": number, "nodes": nodes})))


# --- ready ----------------------------------------------------------------------------------------


def test_a_worker_is_ready_when_it_has_what_its_manager_has() -> None:
    bench, link = following()
    request = bench.ask("wait", ready=True, timeout_s=60.0)
    bench.pass_(1.0)
    assert request not in bench.replies, "the manager has not said what is newest"
    view(bench, link, 1)
    bench.pass_(1.0)
    assert told(bench, request) == {"revision": 1, "state": "Ready"}


def test_a_worker_that_is_behind_is_not_ready_in_time() -> None:
    bench, link = following()
    view(bench, link, 2)
    request = bench.ask("wait", ready=True, timeout_s=5.0)
    bench.pass_(7.0)
    error = bench.replies[request].error
    assert isinstance(error, DeadlineError)
    assert "stands on revision 1, the manager on 2" in str(error)


def test_what_waits_for_a_canary_does_not_keep_a_gateway_from_its_start() -> None:
    bench, link = following()
    behind = {"name": "gw-1", "revision": 1, "state": "Syncing", "waits_for_canary": True}
    canary = {"name": PEER, "revision": 2, "state": "Synced", "pending": 1}
    bench.hear(link, View(json.dumps({"revision": 2, "nodes": [canary, behind]})))
    request = bench.ask("wait", ready=True, timeout_s=60.0)
    bench.pass_(1.0)
    assert told(bench, request) == {"revision": 1, "state": "Ready"}
    for wish in ({}, {"deployed": True}):
        request = bench.ask("wait", timeout_s=5.0, **wish)
        bench.pass_(6.0)
        assert isinstance(bench.replies[request].error, DeadlineError)


def test_on_a_worker_a_refusal_of_the_canary_is_an_answer_too() -> None:
    bench, link = following()
    behind = {"name": "gw-1", "revision": 1, "state": "Syncing", "waits_for_canary": True}
    row = {"node": PEER, "tree": "synapse", "path": A, "code": "rejected-by-runtime"}
    body = {"revision": 2, "nodes": [behind], "refused": [row]}
    request = bench.ask("wait", deployed=True, timeout_s=60.0)
    bench.hear(link, View(json.dumps(body)))
    bench.pass_(1.0)
    answer = told(bench, request)
    assert (answer["state"], answer["rejected"]) == ("Rejected", [row])


def test_without_a_manager_the_last_good_revision_will_do_and_that_is_said() -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES, peers=PEERS).start()
    request = bench.ask("wait", ready=True, timeout_s=30.0)
    bench.pass_(29.0)
    assert request not in bench.replies, "a manager may still come"
    bench.pass_(2.0)
    answer = told(bench, request)
    assert (answer["revision"], answer["state"]) == (1, "Ready")
    warnings = answer["warnings"]
    assert isinstance(warnings, list)
    assert "no manager answered within 30 s" in warnings[0]
    assert "revision 1, the last good one here" in warnings[0]


def test_a_node_that_never_had_a_revision_is_not_ready() -> None:
    bench = Bench({}, manager=PEER, peers=PEERS).start()
    request = bench.ask("wait", ready=True, timeout_s=5.0)
    bench.pass_(7.0)
    assert isinstance(bench.replies[request].error, DeadlineError)


def test_a_tree_that_is_not_whole_is_mended_before_it_is_ready() -> None:
    bench = Bench({}, manager=PEER, standing=FILES, peers=PEERS).start()
    request = bench.ask("wait", ready=True, timeout_s=30.0)
    bench.pass_(32.0)
    if bench.files == FILES:
        assert told(bench, request)["state"] == "Ready"
    else:
        assert isinstance(bench.replies[request].error, HeldError | DeadlineError)


def test_a_manager_is_ready_by_itself_and_asks_nobody() -> None:
    bench = Bench(FILES, peers=PEERS).lead().pass_(3)
    link = bench.follow()
    bench.sent.clear()
    request = bench.ask("wait", ready=True, timeout_s=30.0)
    bench.pass_(1.0)
    assert told(bench, request) == {"revision": 1, "state": "Ready"}
    assert not bench.said(Ask, link)


def test_ready_at_a_revision_waits_for_it() -> None:
    bench, link = following()
    view(bench, link, 1)
    request = bench.ask("wait", ready=True, revision=2, timeout_s=5.0)
    bench.pass_(7.0)
    error = bench.replies[request].error
    assert isinstance(error, DeadlineError)
    assert "stands on revision 1, not 2" in str(error)


# --- deployed -------------------------------------------------------------------------------------


def managing() -> tuple[Bench, int]:
    bench = Bench(FILES).lead().pass_(3)
    link = bench.follow()
    bench.hear(link, Done(bench.state.standing.revision, bench.state.base.digest))
    bench.sent.clear()
    return bench, link


def reported(bench: Bench, link: int, *refused: dict[str, object], **fields: object) -> None:
    row = {"state": "Synced", "revision": 1, "pending": 0, "unknown": 0, **fields}
    bench.hear(link, Report(json.dumps({"row": row, "refused": list(refused)})))


def did_its_round(bench: Bench, link: int) -> None:
    asked = bench.said(Ask, link)
    assert [ask.verb for ask in asked] == ["reconcile"]
    bench.hear(link, Answered(asked[0].id, json.dumps({"result": {"changes": []}})))


def test_deployed_waits_until_nothing_is_pending_on_any_worker() -> None:
    bench, link = managing()
    reported(bench, link, pending=2)
    request = bench.ask("wait", deployed=True, timeout_s=60.0)
    did_its_round(bench, link)
    bench.pass_(5.0)
    assert request not in bench.replies
    reported(bench, link, deployed=1)
    bench.pass_(1.0)
    answer = told(bench, request)
    assert (answer["revision"], answer["state"], answer["rejected"]) == (1, "Deployed", [])
    assert answer["warnings"] == ["gw-1: what became of 1 artifact is not known"]


def test_what_is_pending_too_long_is_named() -> None:
    bench, link = managing()
    reported(bench, link, pending=2)
    request = bench.ask("wait", deployed=True, timeout_s=5.0)
    did_its_round(bench, link)
    bench.pass_(7.0)
    error = bench.replies[request].error
    assert isinstance(error, DeadlineError)
    assert "2 pending on gw-2" in str(error)


def test_what_a_worker_s_runtime_rejected_is_listed() -> None:
    bench, link = managing()
    row = {"node": PEER, "tree": "synapse", "path": A, "reason": "rejected by the runtime: no"}
    reported(bench, link, {**row, "code": "rejected-by-runtime"}, {**row, "code": "xml"})
    request = bench.ask("wait", deployed=True, timeout_s=5.0)
    did_its_round(bench, link)
    bench.pass_(1.0)
    answer = told(bench, request)
    assert answer["state"] == "Rejected"
    assert answer["rejected"] == [{**row, "code": "rejected-by-runtime"}], "the other is refused"


def test_a_worker_asks_no_other_and_goes_by_the_manager_s_view() -> None:
    bench, link = following()
    view(bench, link, 1, pending=3)
    request = bench.ask("wait", deployed=True, timeout_s=60.0)
    bench.pass_(2.0)
    assert request not in bench.replies
    view(bench, link, 1)
    bench.pass_(1.0)
    assert told(bench, request)["state"] == "Deployed"


def test_a_node_that_is_away_is_not_waited_for_and_that_is_said() -> None:
    bench = Bench(FILES).lead()
    for _ in range(4):
        bench.handle(DialFailed(PEER, "no route to host"))
        bench.pass_(2.0)
    request = bench.ask("wait", deployed=True, timeout_s=5.0)
    bench.pass_(1.0)
    warnings = told(bench, request)["warnings"]
    assert isinstance(warnings, list)
    assert "gw-2 can't be reached: it was not waited for" in warnings


def test_what_came_meanwhile_is_waited_for_too() -> None:
    bench, link = following()
    view(bench, link, 1)
    token = bench.token(2)
    of = revision(bench.state.standing.revision, rows(FILES), adds(MORE), epoch=2)
    bench.offer(link, token, of)
    request = bench.ask("wait", deployed=True, timeout_s=5.0)
    bench.pass_(1.0)
    assert request not in bench.replies, (
        f"{at('sequences/b.xml')} ({entry(MORE['sequences/b.xml'])})"
    )


def canary(on_reject: str) -> tuple[Bench, int]:
    """A manager whose runtime refuses what says so."""
    bench = Bench(FILES, rollout=RolloutSettings(on_reject=on_reject))
    files = bench.disk.trees[T]
    files.update({path: (row[0], row[1] - 60 * SECOND_NS) for path, row in files.items()})
    bench.beside(CARBON).lead().pass_(16.0)
    assert bench.gateway is not None
    bench.gateway.refuses = lambda _path, content: "no such mediator" if b"bad" in content else ""
    link = bench.follow()
    bench.hear(link, Done(bench.state.standing.revision, bench.state.base.digest))
    return bench, link


@pytest.mark.parametrize("on_reject", ["hold", "rollback"])
def test_what_the_canary_rejects_ends_a_wait_at_once_with_its_reason(on_reject: str) -> None:
    bench, link = canary(on_reject)
    bench.put(A, sequence("a", text="bad"))
    bench.pass_(0.5)
    request = bench.ask("wait", deployed=True, timeout_s=300.0)
    for _ in range(250):
        bench.pass_(1.0)
        number = bench.state.standing.revision
        for asked in bench.said(Ask, link):
            bench.hear(link, Answered(asked.id, json.dumps({"result": {"changes": []}})))
        for offer in bench.said(Offer, link):
            named = paths_digest(offer.withheld)
            bench.hear(link, Done(offer.revision, bench.state.rows.digest, named))
        reported(bench, link, deployed=1, revision=number.number)
        if request in bench.replies:
            break
    answer = told(bench, request)
    assert answer["state"] == "Rejected"
    (row,) = answer["rejected"]  # type: ignore[misc]
    assert (row["node"], row["path"]) == ("gw-1", A)
    assert "no such mediator" in row["reason"]
    assert answer["revision"] == (3 if on_reject == "rollback" else 2)


@pytest.mark.parametrize("asked", [{}, {"synced": True}, {"revision": 1}])
def test_synced_needs_no_runtime(asked: dict[str, object]) -> None:
    bench, link = managing()
    reported(bench, link, pending=2)
    request = bench.ask("wait", timeout_s=5.0, **asked)
    did_its_round(bench, link)
    bench.pass_(1.0)
    assert told(bench, request) == {"revision": 1, "state": "Synced"}
