"""`syncagent status` and `get nodes`: the cluster on one screen, and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from syncagent.core.errors import BusyError, StateError
from tests.fakes.terminal import STATUS, CommandLine, golden

if TYPE_CHECKING:
    from syncagent.core.desk import JSON
    from tests.fakes.desk import FakeDesk


@pytest.mark.parametrize(
    ("arguments", "columns", "name"),
    [
        pytest.param(["status"], "", "status.txt", id="no terminal"),
        pytest.param(["status", "-o", "wide"], "", "status-wide.txt", id="wide"),
        pytest.param(["status"], "72", "status-72.txt", id="narrow"),
        pytest.param(["status"], "30", "status-30.txt", id="far too narrow"),
        pytest.param(["status", "gw-2"], "", "status-gw-2.txt", id="one node"),
        pytest.param(["get", "nodes"], "", "nodes.txt", id="get nodes"),
        pytest.param(["status", "-o", "yaml"], "", "status.yaml", id="yaml"),
    ],
)
def test_status_reads_like_this(  # noqa: PLR0913
    call: CommandLine,
    desk: FakeDesk,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    columns: str,
    name: str,
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    desk.answers["nodes"] = STATUS["nodes"]
    answer = call(*arguments)
    assert (answer.code, answer.err) == (0, "")
    golden(name, answer.out)


@pytest.mark.parametrize("columns", ["1", "30", "72", "200"])
def test_no_name_is_cut_at_any_width(
    call: CommandLine, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert "gw-3-with-a-rather-long-name.example.org " in call("status").out


def test_a_hold_that_can_t_be_approved_does_not_say_how_to(
    call: CommandLine, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    hold: dict[str, JSON] = {"id": "r-1", "node": "gw-2", "reason": "its folder is not there"}
    for approvable in (True, False):
        held: list[JSON] = [{**hold, "approvable": approvable}]
        desk.answers["status"] = {**STATUS, "held": held}
        desk.answers["held"] = held
        shown = call("status").out
        assert "Held r-1 on gw-2: its folder is not there" in shown
        assert ("syncagent approve" in shown) is approvable
        assert ("nothing here waits for an approval" in call("get", "held").err) is not approvable


def test_what_a_runtime_refused_shows_both_ways_on(call: CommandLine, desk: FakeDesk) -> None:
    hold: dict[str, JSON] = {"id": "n-5", "node": "gw-1", "kind": "nacked", "reason": "refused"}
    desk.answers["status"] = {**STATUS, "held": [hold]}
    assert (
        "Held n-5 on gw-1: refused\n"
        "  see: syncagent get refused   put back: syncagent reject n-5"
        "   go on: syncagent approve n-5\n"
    ) in call("status").out


def test_json_is_only_json_and_loses_no_field(call: CommandLine, desk: FakeDesk) -> None:
    answer = call("status", "-o", "json")
    assert (answer.code, answer.err, answer.json) == (0, "", STATUS)


def test_status_of_one_node_is_the_whole_object_with_that_node(
    call: CommandLine, desk: FakeDesk
) -> None:
    nodes = STATUS["nodes"]
    assert isinstance(nodes, list)
    answer = call("status", "gw-2", "-o", "json")
    assert answer.json == {**STATUS, "nodes": [nodes[1]]}


def test_an_unknown_node_is_an_error_that_names_the_nodes(
    call: CommandLine, desk: FakeDesk
) -> None:
    answer = call("status", "gw-9", "-o", "json")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.splitlines() == [
        "error: the cluster has no node 'gw-9'",
        "  next: its nodes are: gw-1, gw-2, gw-3-with-a-rather-long-name.example.org",
    ]


def test_status_exits_0_whatever_it_shows(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["status"] = {"state": "Degraded", "nodes": []}
    assert call("status").code == 0


@pytest.mark.parametrize("output", ["table", "json"])
def test_without_an_agent_status_answers_from_files_and_exits_9(
    call: CommandLine, output: str
) -> None:
    call.offline = {**STATUS, "as_of": "2026-11-21T12:03:10Z"}
    answer = call("status", "-o", output)
    assert answer.code == 9
    assert answer.err.splitlines() == [
        "daemon not running, showing state of 2026-11-21T12:03:10Z",
        "  next: syncagent run",
    ]
    if output == "json":
        assert answer.json == call.offline
    else:
        golden("status.txt", answer.out)


@pytest.mark.parametrize("arguments", [["status"], ["get", "nodes"]])
def test_files_that_say_nothing_leave_it_at_9(call: CommandLine, arguments: list[str]) -> None:
    call.offline = StateError("no ledger", hint="syncagent run")
    answer = call(*arguments, "-o", "json")
    assert (answer.code, answer.out) == (9, "")
    assert answer.err.splitlines() == [
        "error: no agent runs here, and its files say nothing: no ledger",
        "  next: syncagent run",
    ]


def test_get_nodes_without_an_agent_answers_from_files_too(call: CommandLine) -> None:
    call.offline = STATUS
    answer = call("get", "nodes", "-o", "json")
    assert (answer.code, answer.json) == (9, STATUS["nodes"])


def test_an_agent_that_says_no_is_not_taken_for_a_missing_one(
    call: CommandLine, desk: FakeDesk
) -> None:
    desk.answers["status"] = BusyError("starting up", hint="try again")
    answer = call("status")
    assert (answer.code, answer.out) == (7, "")
    assert answer.err == "error: starting up\n  next: try again\n"


def test_an_answer_of_an_older_agent_still_prints(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["status"] = {"cluster": "old", "nodes": [{"name": "gw-1"}, "odd", None]}
    answer = call("status")
    assert answer.code == 0
    assert "gw-1" in answer.out


def test_colours_are_for_terminals_unless_asked_for(
    call: CommandLine, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = call("status").out
    assert "\x1b" not in plain
    monkeypatch.setenv("CLICOLOR_FORCE", "1")
    coloured = call("status").out
    assert "\x1b[33mOutOfSync\x1b[0m" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert call("status").out == plain


def test_what_a_node_reports_cannot_steer_the_terminal(call: CommandLine, desk: FakeDesk) -> None:
    reason = "gone\x1b[2Jwild\nCluster fake"
    desk.answers["status"] = {"nodes": [{"name": "gw-1\x1b]0;x\x07", "reason": reason}]}
    for arguments in (["status"], ["status", "-o", "wide"]):
        out = call(*arguments).out
        assert "\x1b" not in out
        assert "\x07" not in out
        assert not any(line.startswith("Cluster fake") for line in out.splitlines())


def test_json_keeps_what_a_table_hides(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["status"] = {"nodes": [{"name": "gw-1\x1b"}]}
    assert json.loads(call("status", "-o", "json").out)["nodes"] == [{"name": "gw-1\x1b"}]


def test_status_says_how_old_the_lease_is(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["status"] = {**STATUS, "leader": {"holder": "gw-1", "renewed_s": 3.2}}
    assert ", lease renewed 3s ago)" in call("status").out.splitlines()[0]
    desk.answers["status"] = {**STATUS, "leader": {"holder": "gw-1", "renewed_s": None}}
    assert "lease" not in call("status").out.splitlines()[0]


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (
            {"until": "2026-11-21T14:00:00Z", "left_s": 3540.0},
            "until 2026-11-21T14:00:00Z (59m left)",
        ),
        ({"until": None, "left_s": None}, "until somebody resumes it"),
    ],
)
def test_status_says_once_who_has_paused_the_cluster(
    call: CommandLine, desk: FakeDesk, end: dict[str, JSON], words: str
) -> None:
    paused: dict[str, JSON] = {"by": "ann@gw-1", "since": "2026-11-21T12:00:00Z", **end}
    node: dict[str, JSON] = {"name": "gw-1", "state": "Paused", "reason": "paused since then"}
    desk.answers["status"] = {**STATUS, "nodes": [node], "held": [], "alarms": [], "paused": paused}
    lines = call("status").out.splitlines()
    assert lines[-2:] == [
        f"Paused {words}, by ann@gw-1 since 2026-11-21T12:00:00Z",
        "  next: syncagent resume",
    ]


def test_a_wide_status_says_which_promises_the_mode_can_not_keep(
    call: CommandLine, desk: FakeDesk
) -> None:
    in_place: dict[str, JSON] = {"mode": "shared", "form": "in-place", "not_kept": [1, 2, 3]}
    desk.answers["status"] = {**STATUS, **in_place}
    said = "Promises 1, 2, 3 are not kept"
    wide = call("status", "-o", "wide").out
    assert "mode shared (in-place)" in wide
    assert said in wide
    assert said not in call("status").out
    desk.answers["status"] = {**STATUS, "mode": "shared", "form": "shadow", "not_kept": []}
    assert "not kept" not in call("status", "-o", "wide").out
