"""`syncagent redeploy`, `undeploy`, and what the other commands show of a runtime's answers."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from syncagent.core.errors import BusyError, DeadlineError, RefusedError, UnreachableError
from syncagent.web.server import ControlServer
from tests.fakes.desk import FakeDesk
from tests.fakes.terminal import STATUS, CommandLine, node

if TYPE_CHECKING:
    from syncagent.core.desk import JSON

TOLD = {"tree": "synapse", "path": "api/Pizza.xml", "kind": "api", "name": "Pizza"}
GW1: dict[str, JSON] = {"node": "gw-1", "done": True, "reason": ""}
GW2: dict[str, JSON] = {"node": "gw-2", "done": True, "reason": "it was undeployed there"}
GW3: dict[str, JSON] = {"node": "gw-3", "done": False, "reason": "it is not connected"}
UNTIL = "2026-11-21T14:05:00Z"


# --- redeploy, undeploy ---------------------------------------------------------------------------


def test_redeploy_asks_for_all_nodes_and_says_what_each_did(
    call: CommandLine, desk: FakeDesk
) -> None:
    desk.answers["redeploy"] = {**TOLD, "nodes": [GW1, GW2]}
    answer = call("redeploy", "api/Pizza")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == (
        "api/Pizza on gw-1: told again\napi/Pizza on gw-2: told again: it was undeployed there\n"
    )
    assert desk.asked[-1][:2] == ("redeploy", {"artifact": "api/Pizza"})
    json = call("redeploy", "api/Pizza", "-o", "json").json
    assert json == {"apiVersion": "syncagent/v1", **TOLD, "nodes": [GW1, GW2]}


def test_undeploy_takes_a_node_and_a_time_and_says_until_when(
    call: CommandLine, desk: FakeDesk
) -> None:
    desk.answers["undeploy"] = {**TOLD, "until": UNTIL, "nodes": [{**GW2, "reason": ""}]}
    answer = call("undeploy", "tenant-1:api/Pizza", "--node", "gw-2", "--for", "10m")
    assert answer.out == f"api/Pizza on gw-2: undeployed until {UNTIL}\n"
    asked = {"artifact": "tenant-1:api/Pizza", "node": "gw-2", "for_s": 600.0}
    assert desk.asked[-1][:2] == ("undeploy", asked)


def test_an_undeploy_lasts_an_hour_unless_told_otherwise(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["undeploy"] = {**TOLD, "until": UNTIL, "nodes": [GW1]}
    assert call("undeploy", "api/Pizza").code == 0
    assert desk.asked[-1][1] == {"artifact": "api/Pizza", "for_s": 3600.0}


@pytest.mark.parametrize(
    ("nodes", "code"),
    [([GW1], 0), ([GW1, GW3], 4), ([GW3], 1)],
    ids=["all", "some", "none"],
)
@pytest.mark.parametrize("verb", ["redeploy", "undeploy"])
def test_the_exit_code_says_whether_all_some_or_no_nodes_did_it(
    call: CommandLine, desk: FakeDesk, verb: str, nodes: list[JSON], code: int
) -> None:
    desk.answers[verb] = {**TOLD, "until": UNTIL, "nodes": nodes}
    answer = call(verb, "api/Pizza")
    assert answer.code == code
    if GW3 in nodes:
        assert "api/Pizza on gw-3: not done: it is not connected\n" in answer.out


def test_what_comes_next_is_said_at_a_terminal(
    call: CommandLine, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    desk.answers["redeploy"] = {**TOLD, "nodes": [GW1]}
    desk.answers["undeploy"] = {**TOLD, "until": UNTIL, "nodes": [GW2]}
    assert call("redeploy", "api/Pizza").err == "  next: syncagent wait --deployed\n"
    said = call("undeploy", "api/Pizza", "--node", "gw-2").err
    assert said == "  next: syncagent redeploy api/Pizza --node gw-2 ends it\n"


@pytest.mark.parametrize("verb", ["redeploy", "undeploy"])
def test_on_a_worker_the_error_says_where(call: CommandLine, desk: FakeDesk, verb: str) -> None:
    desk.answers[verb] = BusyError("gw-2 is not the manager", hint="Do it on gw-1.")
    answer = call(verb, "api/Pizza")
    assert (answer.code, answer.out) == (7, "")
    assert answer.err == "error: gw-2 is not the manager\n  next: Do it on gw-1.\n"


@pytest.mark.parametrize(
    ("error", "code"), [(RefusedError("no artifact"), 6), (UnreachableError("gw-2 is off"), 9)]
)
def test_errors_of_the_node_keep_their_exit_code(
    call: CommandLine, desk: FakeDesk, error: RefusedError | UnreachableError, code: int
) -> None:
    desk.answers["redeploy"] = error
    assert call("redeploy", "api/x", "--node", "gw-2").code == code


@pytest.mark.parametrize(
    "arguments",
    [
        ["redeploy", "Pizza"],
        ["undeploy", "Pizza"],
        ["undeploy", "api/Pizza", "--for", "soon"],
        ["undeploy", "api/Pizza", "--for", "10"],
        ["undeploy", "api/Pizza", "--for", "0s"],
        ["redeploy"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_wrong_usage_and_asks_nobody(
    call: CommandLine, desk: FakeDesk, arguments: list[str]
) -> None:
    answer = call(*arguments)
    assert (answer.code, answer.out, desk.asked) == (2, "", [])


# --- wait -----------------------------------------------------------------------------------------


def test_wait_lists_what_was_rejected_on_stderr_and_exits_6(
    call: CommandLine, desk: FakeDesk
) -> None:
    rejected: dict[str, JSON] = {**TOLD, "node": "gw-2", "reason": "no such mediator"}
    answered: dict[str, JSON] = {"revision": 7, "state": "Rejected", "rejected": [rejected]}
    desk.answers["wait"] = answered
    answer = call("wait", "--deployed")
    assert (answer.code, answer.out) == (6, "revision 7  Rejected\n")
    assert answer.err.splitlines() == [
        "1 artifact rejected:",
        "  gw-2  synapse:api/Pizza.xml  no such mediator",
        "  next: syncagent describe KIND/NAME shows the runtime's own words",
    ]
    assert call("wait", "--deployed", "-o", "json").json == {
        "apiVersion": "syncagent/v1",
        **answered,
    }


def test_ready_with_the_last_good_revision_is_0_with_a_warning(
    call: CommandLine, desk: FakeDesk
) -> None:
    warning = "no manager answered within 1 s: revision 7 is the last good one here"
    desk.answers["progress"] = {"active": False, "nodes": []}
    desk.answers["wait"] = {"revision": 7, "state": "Ready", "warnings": [warning]}
    answer = call("wait", "--ready", "--timeout", "1s")
    assert (answer.code, answer.out) == (0, "revision 7  Ready\n")
    assert answer.err == f"warning: {warning}\n"


def test_ready_waits_for_an_agent_that_is_just_starting(call: CommandLine) -> None:
    answers: dict[str, JSON] = {"progress": {}, "wait": {"revision": 7, "state": "Ready"}}
    server = ControlServer(call.socket, FakeDesk(answers))
    starting = threading.Timer(0.3, server.start)
    starting.start()
    try:
        assert call("wait", "--ready", "--timeout", "20s").code == 0
    finally:
        starting.join()
        server.stop()


def test_ready_without_an_agent_gives_up_with_9(call: CommandLine) -> None:
    answer = call("wait", "--ready", "--timeout", "300ms")
    assert (answer.code, answer.out) == (9, "")
    assert "start it: syncagent run" in answer.err


def test_not_ready_in_time_is_8(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["progress"] = {}
    desk.answers["wait"] = DeadlineError("not reached in time: the trees are being scanned")
    assert call("wait", "--ready", "--timeout", "1s").code == 8


# --- status, describe -----------------------------------------------------------------------------


def runtime(phase: str, **more: JSON) -> dict[str, JSON]:
    label = "WSO2 API Manager 3.1.0"
    return {
        "kind": "carbon",
        "label": label,
        "phase": phase,
        "detail": "",
        "scan_s": 15.0,
        "pause_s": 2.0,
        **more,
    }


def shown(call: CommandLine, desk: FakeDesk, *arguments: str, **fields: JSON) -> str:
    desk.answers["status"] = {**STATUS, "nodes": [node("gw-2", **fields)], "held": []}
    return call("status", *arguments).out


def test_what_is_pending_has_an_eta(call: CommandLine, desk: FakeDesk) -> None:
    out = shown(call, desk, pending=14, deployed=1190, runtime=runtime("ready"))
    assert "gw-2: 14 artifacts pending: up to 43s (14 artifacts x 2 s after its next scan)\n" in out
    assert "1190/1204" in out


def test_without_pauses_or_a_ready_runtime_the_eta_claims_less(
    call: CommandLine, desk: FakeDesk
) -> None:
    quick = runtime("ready", scan_s=10.0, pause_s=0.0)
    assert "pending: up to 10s, its next scan\n" in shown(call, desk, pending=1, runtime=quick)
    waiting = shown(call, desk, pending=1, runtime=runtime("starting"))
    assert "gw-2: 1 artifact pending\n" in waiting
    assert "pending\n" in shown(call, desk, pending=3, runtime=None)


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ("down", "gw-2: its WSO2 API Manager 3.1.0 is down (pid 7 is gone)\n"),
        ("starting", "is starting: what is committed meanwhile waits until it is ready"),
        ("stuck", "next: restart the gateway of gw-2"),
    ],
)
def test_a_runtime_that_isn_t_ready_is_said(
    call: CommandLine, desk: FakeDesk, phase: str, words: str
) -> None:
    out = shown(call, desk, runtime=runtime(phase, detail="pid 7 is gone"))
    assert words in out


def test_a_ready_runtime_is_only_shown_wide(call: CommandLine, desk: FakeDesk) -> None:
    words = "ready (WSO2 API Manager 3.1.0)"
    assert words not in shown(call, desk, runtime=runtime("ready"))
    assert words in shown(call, desk, "-o", "wide", runtime=runtime("ready"))


def test_an_undeployed_artifact_is_listed_with_what_ends_it(
    call: CommandLine, desk: FakeDesk
) -> None:
    row: JSON = {**TOLD, "until": UNTIL, "left_s": 2520.0}
    out = shown(call, desk, undeployed=[row])
    assert (
        f"gw-2: api/Pizza is undeployed there until {UNTIL} (42m left)\n"
        "  ends it: syncagent redeploy api/Pizza --node gw-2\n"
    ) in out


def test_describe_quotes_the_runtime_line_by_line(call: CommandLine, desk: FakeDesk) -> None:
    said = "ERROR - Invalid mediator\n\tat org.apache.Foo\x1b[2J\n\n"
    answer: list[JSON] = [
        {"node": "gw-1", "state": "Deployed", "digest": None, "reason": "", "excerpt": ""},
        {"node": "gw-2", "state": "Rejected", "digest": None, "reason": "bad", "excerpt": said},
    ]
    desk.answers["describe"] = {**TOLD, "nodes": answer}
    out = call("describe", "api/Pizza").out
    assert (
        "the runtime of gw-2 said:\n"
        "  ERROR - Invalid mediator\n"
        "      at org.apache.Foo\N{REPLACEMENT CHARACTER}[2J\n"
    ) in out
    assert "runtime of gw-1" not in out
    assert "\x1b" not in out
