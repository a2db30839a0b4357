"""`wait --ready` before a gateway starts, and `wait --deployed` for what runtimes answer."""

from __future__ import annotations

import json

import pytest

from syncagent.core.errors import DeadlineError, HeldError
from syncagent.core.events import DialFailed
from syncagent.core.settings import PeerSettings
from syncagent.core.wire.messages import Answered, Ask, Done, Report, View
from tests.fakes.agent_bench import (
    PEER,
    THIRD,
    Bench,
    adds,
    at,
    entry,
    revision,
    rows,
    sequence,
)

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


@pytest.mark.parametrize("asked", [{}, {"synced": True}, {"revision": 1}])
def test_synced_needs_no_runtime(asked: dict[str, object]) -> None:
    bench, link = managing()
    reported(bench, link, pending=2)
    request = bench.ask("wait", timeout_s=5.0, **asked)
    did_its_round(bench, link)
    bench.pass_(1.0)
    assert told(bench, request) == {"revision": 1, "state": "Synced"}
