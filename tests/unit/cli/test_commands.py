"""Every other command: what it asks, what it prints, how it exits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.core.errors import (
    BusyError,
    DeadlineError,
    HeldError,
    RefusedError,
    SyncagentError,
)
from syncagent.web.server import ControlServer
from tests.fakes.terminal import CommandLine, golden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.desk import JSON
    from tests.fakes.desk import FakeDesk


ARTIFACTS = [
    {
        "tree": "synapse",
        "path": "api/admin--Pizza_v1.0.xml",
        "kind": "api",
        "name": "admin--Pizza_v1.0",
        "digest": "xxh3:" + "0" * 32,
        "state": "Rejected",
        "reason": "Duplicate resource definition by the name: Pizza:v1.0",
    },
    {
        "tree": "tenant-1-siddhi",
        "path": "limit.siddhiql",
        "kind": "plan",
        "name": "配额",
        "digest": "xxh3:" + "1" * 32,
        "state": "Deployed",
    },
]
ENTRIES = [
    {
        "id": "b-0193",
        "tree": "synapse",
        "path": "api/a.xml",
        "node": "gw-2",
        "reason": "deletes 12 APIs; 10 are allowed",
        "at": "2026-11-21T12:03:10Z",
    }
]
REVISIONS = [
    {
        "number": 412,
        "epoch": 7,
        "digest": "xxh3:" + "2" * 32,
        "author": "gw-1",
        "note": "",
        "at": "2026-11-21T12:03:10Z",
        "added": 1,
        "updated": 0,
        "deleted": 2,
    }
]
DESCRIBED = {
    "tree": "synapse",
    "path": "api/Pizza.xml",
    "kind": "api",
    "name": "Pizza",
    "digest": "xxh3:" + "0" * 32,
    "size": 812,
    "revision": 412,
    "nodes": [
        {"node": "gw-1", "digest": "xxh3:" + "0" * 32, "state": "Deployed", "reason": ""},
        {"node": "gw-2", "digest": None, "state": "Pending", "reason": "not loaded yet"},
    ],
    "references": ["sequence/fault", "endpoint/PizzaEP"],
    "group": {
        "head": "synapse:api/Pizza.xml",
        "members": [
            {"path": "api/Pizza.xml", "kind": "api", "name": "Pizza"},
            {"path": "endpoints/PizzaEP.xml", "kind": "endpoint", "name": "PizzaEP"},
        ],
    },
    "problems": [{"code": "odd", "reason": "context ends in a slash", "line": 1}],
    "events": [],
}
CHANGES = [
    {
        "tree": "synapse",
        "path": "api/Pizza.xml",
        "kind": "api",
        "change": "update",
        "before": "xxh3:" + "0" * 32,
        "after": "xxh3:" + "1" * 32,
        "text": ["@@ -1 +1 @@", '-<api name="a"/>', '+<api name="b"/>'],
    },
    {"tree": "synapse", "path": "sequences/x.xml", "kind": "sequence", "change": "delete"},
]


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("artifacts", ARTIFACTS),
        ("revisions", REVISIONS),
        ("held", ENTRIES),
        ("refused", ENTRIES),
        ("quarantine", ENTRIES),
        ("conflicts", ENTRIES),
    ],
)
def test_a_list_is_a_table_for_people_and_a_bare_array_in_json(
    call: CommandLine, desk: FakeDesk, what: str, answer: list[dict[str, object]]
) -> None:
    if what in {"quarantine", "conflicts"}:
        desk.answers["kept"] = {"entries": answer, "missing": []}  # type: ignore[dict-item]
    else:
        desk.answers[what] = answer  # type: ignore[assignment]
    assert call("get", what, "-o", "json").json == answer
    table = call("get", what)
    assert (table.code, table.err) == (0, "")
    golden(f"{what}.txt", table.out)


@pytest.mark.parametrize("output", ["table", "json"])
def test_an_empty_list_is_an_empty_array_and_a_word_on_stderr(
    call: CommandLine, desk: FakeDesk, output: str
) -> None:
    desk.answers["held"] = []
    answer = call("get", "held", "-o", output)
    assert answer.code == 0
    assert (answer.out, answer.err) == (
        ("", "nothing is held\n") if output == "table" else ("[]\n", "")
    )


def test_whose_quarantine_is_not_in_the_list_is_said_on_stderr(
    call: CommandLine, desk: FakeDesk
) -> None:
    missing: list[JSON] = [{"node": "gw-3", "reason": "no answer within 5 s"}]
    desk.answers["kept"] = {"entries": ENTRIES, "missing": missing}  # type: ignore[dict-item]
    answer = call("get", "quarantine", "-o", "json")
    assert (answer.code, answer.json) == (0, ENTRIES)
    assert answer.err == "not listed: gw-3: no answer within 5 s\n"
    assert desk.asked[-1][:2] == ("kept", {"what": "quarantine"})


def test_revisions_are_asked_for_with_a_limit(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["revisions"] = REVISIONS  # type: ignore[assignment]
    assert call("get", "revisions", "--limit", "3").code == 0
    assert desk.asked[-1][:2] == ("revisions", {"limit": 3})


@pytest.mark.parametrize(
    "arguments",
    [
        ["wait"],
        ["approve", "x"],
        ["reject", "x"],
        ["restore", "x"],
        ["redeploy", "api/x"],
        ["undeploy", "api/x"],
        ["promote"],
        ["events"],
        ["keys", "trust", "gw-2"],
    ],
    ids=" ".join,
)
def test_a_question_without_an_agent_exits_9_and_says_how_to_start_one(
    call: CommandLine, arguments: list[str]
) -> None:
    answer = call(*arguments)
    assert (answer.code, answer.out) == (9, "")
    assert answer.err.splitlines() == [
        f"error: no agent listens at {call.socket}",
        "  next: start it: syncagent run",
    ]


def test_describe_shows_an_artifact_on_every_node(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["describe"] = DESCRIBED  # type: ignore[assignment]
    answer = call("describe", "api/Pizza")
    assert (answer.code, answer.err) == (0, "")
    golden("describe.txt", answer.out)
    assert desk.asked[-1][:2] == ("describe", {"artifact": "api/Pizza"})
    assert call("describe", "api/Pizza", "-o", "json").json == {
        "apiVersion": "syncagent/v1",
        **DESCRIBED,
    }


def test_an_ambiguous_name_shows_the_candidates(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["describe"] = RefusedError("2 trees have api/x", hint="synapse:api/x, t:api/x")
    answer = call("describe", "api/x")
    assert (answer.code, answer.out) == (6, "")
    assert answer.err == "error: 2 trees have api/x\n  next: synapse:api/x, t:api/x\n"


def test_a_name_without_a_kind_is_wrong_usage(call: CommandLine, desk: FakeDesk) -> None:
    answer = call("describe", "Pizza")
    assert (answer.code, desk.asked) == (2, [])
    assert "for example api/Pizza" in answer.err


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        ([], {}),
        (["gw-2"], {"from": "gw-2"}),
        (["409"], {"from": 409}),
        (["409", "411"], {"from": 409, "to": 411}),
    ],
)
def test_diff_exits_3_when_there_is_a_difference(
    call: CommandLine, desk: FakeDesk, arguments: list[str], asked: dict[str, object]
) -> None:
    desk.answers["diff"] = {"from": 409, "to": 411, "changes": CHANGES}  # type: ignore[dict-item]
    answer = call("diff", *arguments)
    assert (answer.code, answer.err) == (3, "")
    golden("diff.txt", answer.out)
    assert desk.asked[-1][:2] == ("diff", asked)


def test_diff_without_differences_is_silent_and_exits_0(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["diff"] = {"from": 1, "to": 1, "changes": []}
    answer = call("diff")
    assert (answer.code, answer.out, answer.err) == (0, "", "")


def test_a_node_is_compared_with_no_second_revision(call: CommandLine, desk: FakeDesk) -> None:
    assert call("diff", "gw-2", "411").code == 2
    assert desk.asked == []


@pytest.mark.parametrize(
    ("flags", "asked"),
    [
        ([], {"synced": True, "deployed": False, "ready": False, "timeout_s": 300.0}),
        (
            ["--deployed", "--timeout", "30s"],
            {"synced": False, "deployed": True, "ready": False, "timeout_s": 30.0},
        ),
        (
            ["--revision", "412"],
            {
                "synced": False,
                "deployed": False,
                "ready": False,
                "revision": 412,
                "timeout_s": 300.0,
            },
        ),
    ],
)
def test_wait_says_what_it_waited_for(
    call: CommandLine, desk: FakeDesk, flags: list[str], asked: dict[str, object]
) -> None:
    desk.answers["wait"] = {"revision": 412, "state": "Synced"}
    answer = call("wait", *flags)
    assert (answer.code, answer.out, answer.err) == (0, "revision 412  Synced\n", "")
    assert desk.asked == [("wait", asked, asked["timeout_s"])]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SyncagentError("failed"), 1),
        (HeldError("held"), 5),
        (RefusedError("rejected"), 6),
        (BusyError("busy"), 7),
        (DeadlineError("too late"), 8),
    ],
)
def test_the_agents_errors_keep_their_exit_codes(
    call: CommandLine, desk: FakeDesk, error: SyncagentError, code: int
) -> None:
    for verb in ("wait", "approve", "reject", "restore", "promote", "reconcile"):
        desk.answers[verb] = error
    for arguments in (["wait"], ["approve", "x"], ["reject", "x"], ["restore", "x"], ["promote"]):
        answer = call(*arguments, "-o", "json")
        assert (answer.code, answer.out, answer.err) == (code, "", f"error: {error}\n")
    assert call("reconcile").code == code


@pytest.mark.parametrize(
    ("arguments", "answer", "asked", "line"),
    [
        (
            ["approve", "b-1"],
            {"id": "b-1", "released": 12, "nodes": ["gw-1", "gw-2"]},
            ("approve", {"id": "b-1"}),
            "released b-1: 12 changes on gw-1, gw-2\n",
        ),
        (
            ["reject", "b-1"],
            {"id": "b-1", "released": 1, "nodes": []},
            ("reject", {"id": "b-1"}),
            "rejected b-1: 1 change\n",
        ),
        (
            ["restore", "q-7"],
            {"tree": "synapse", "path": "api/a.xml", "digest": "xxh3:00", "revision": 413},
            ("restore", {"what": "q-7"}),
            "restored synapse:api/a.xml  xxh3:00  revision 413\n",
        ),
        (
            ["promote", "--force"],
            {"epoch": 8, "manager": "gw-1"},
            ("promote", {"force": True, "timeout_s": 180.0}),
            "gw-1 is the manager (epoch 8)\n",
        ),
        (
            ["keys", "trust", "gw-2"],
            {"name": "gw-2", "fingerprint": "SHA256:abc"},
            ("keys_trust", {"name": "gw-2"}),
            "gw-2  SHA256:abc\n",
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_decision_is_passed_on_and_confirmed(  # noqa: PLR0913
    call: CommandLine,
    desk: FakeDesk,
    arguments: list[str],
    answer: dict[str, object],
    asked: tuple[str, object],
    line: str,
) -> None:
    desk.answers[asked[0]] = answer  # type: ignore[assignment]
    shown = call(*arguments)
    assert (shown.code, shown.out, shown.err) == (0, line, "")
    assert desk.asked[-1][:2] == asked
    shown = call(*arguments, "-o", "json")
    assert shown.json == {"apiVersion": "syncagent/v1", **answer}


def test_keys_trust_alone_lists_who_was_refused(call: CommandLine, desk: FakeDesk) -> None:
    stranger = {
        "name": "gw-3",
        "key": "ssh-ed25519 AAAA",
        "address": "10.0.0.13:50022",
        "at": "2026-11-21T12:03:10Z",
        "reason": "unknown key",
    }
    desk.answers["strangers"] = [stranger]
    assert call("keys", "trust", "-o", "json").json == [stranger]
    golden("strangers.txt", call("keys", "trust").out)


def test_a_key_can_be_trusted_while_no_agent_runs(call: CommandLine) -> None:
    line = call("keys", "show").out.strip()
    kind, key, name = line.split()
    assert (kind, name) == ("ssh-ed25519", "gw-1")
    assert call("keys", "show").out.strip() == line, "the key stays"
    answer = call("keys", "trust", "gw-2", f"{kind} {key}")
    assert answer.code == 0
    assert answer.out.startswith("gw-2  SHA256:")
    assert f"{kind} {key}" in (call.state_dir / "trusted_keys").read_text()
    assert call("keys", "trust", "gw-2", "nonsense").code == 6


def test_events_are_lines_for_people_and_an_array_in_json(
    call: CommandLine, desk: FakeDesk
) -> None:
    seen = [
        {"id": 1, "at": "2026-11-21T12:00:00Z", "what": "committed", "fields": {"revision": 412}},
        {"id": 2, "at": "2026-11-21T12:00:01Z", "what": "link-down", "fields": {}},
    ]
    desk.answers["events"] = seen  # type: ignore[assignment]
    assert call("events", "-o", "json").json == seen
    assert call("events").out == (
        "2026-11-21T12:00:00Z  committed  revision=412\n2026-11-21T12:00:01Z  link-down\n"
    )


@pytest.mark.parametrize(
    ("what", "fields", "told"),
    [
        (
            "rejected",
            {"path": "synapse:api/Pizza.xml", "reason": "no such mediator", "revision": 7},
            "synapse:api/Pizza.xml: the runtime did not take it: no such mediator",
        ),
        ("rejected", {"id": "d-1", "reason": "deletions"}, "id=d-1  reason=deletions"),
        (
            "answered",
            {"revision": 7, "deployed": 2, "rejected": 1, "unknown": 0},
            "revision 7: 2 deployed, 1 rejected, 0 unknown",
        ),
        ("runtime", {"phase": "ready", "detail": ""}, "ready"),
        (
            "nacked",
            {"path": "p", "node": "gw-2", "reason": "{odd}"},
            "p: gw-2 did not take it: {odd}",
        ),
    ],
)
def test_what_a_runtime_did_reads_as_a_sentence(
    call: CommandLine, desk: FakeDesk, what: str, fields: dict[str, JSON], told: str
) -> None:
    at = "2026-11-21T12:00:00Z"
    desk.answers["events"] = [{"id": 1, "at": at, "what": what, "fields": fields}]
    assert call("events").out == f"{at}  {what}  {told}\n"


class Diary:
    """A desk with more events than it gives out at once, oldest first."""

    def __init__(self, many: int) -> None:
        self.many = many

    def ask(self, verb: str, arguments: Mapping[str, JSON], timeout_s: float) -> JSON:
        assert verb == "events"
        after, limit = arguments["after"], arguments["limit"]
        assert isinstance(after, int)
        assert isinstance(limit, int)
        last = min(after + limit, self.many)
        return [{"id": n, "at": "", "what": "x", "fields": {}} for n in range(after + 1, last + 1)]


@pytest.mark.parametrize("many", [0, 1, 2, 999, 1000, 1001, 2500])
def test_events_are_the_newest_also_where_there_are_many(call: CommandLine, many: int) -> None:
    server = ControlServer(call.socket, Diary(many))
    server.start()
    try:
        seen = call("events", "--limit", "2", "-o", "json").json
    finally:
        server.stop()
    assert isinstance(seen, list)
    assert [event["id"] for event in seen] == list(range(1, many + 1))[-2:]


def test_deployed_is_left_open_where_no_runtime_answers(call: CommandLine, desk: FakeDesk) -> None:
    silent = {"name": "gw-1", "artifacts": 9, "deployed": 0, "unknown": 9}
    desk.answers["status"] = {"nodes": [silent]}
    assert "0/9" not in call("status").out
    desk.answers["status"] = {"nodes": [{**silent, "unknown": 0, "pending": 9}]}
    assert "0/9" in call("status").out


def test_validate_exits_6_and_names_file_line_and_reason(call: CommandLine) -> None:
    api = call.tree / "api"
    api.mkdir()
    (api / "Good.xml").write_text(
        '<api xmlns="http://ws.apache.org/ns/synapse" name="Good" context="/good">'
        '<resource methods="GET"/></api>'
    )
    answer = call("validate")
    assert (answer.code, answer.out, answer.err) == (0, "", "1 artifact, 0 invalid\n")
    (api / "Bad.xml").write_text("<api\n")
    answer = call("validate", str(call.tree))
    assert (answer.code, answer.err) == (6, "2 artifacts, 1 invalid\n")
    assert answer.out.startswith(f"{api}/Bad.xml:")
    described = call("validate", "-o", "json").json
    assert isinstance(described, list)
    assert [(item["path"], item["valid"]) for item in described] == [
        (f"{api}/Bad.xml", False),
        (f"{api}/Good.xml", True),
    ]
    assert set(described[0]["problems"][0]) == {"code", "reason", "line", "severity"}


def test_validate_judges_for_the_runtime_of_the_settings_or_the_one_that_is_named(
    call: CommandLine,
) -> None:
    sequences = call.tree / "sequences"
    sequences.mkdir()
    (sequences / "A.xml").write_text(
        '<sequence xmlns="http://ws.apache.org/ns/synapse" name="A">\n<call/>\n</sequence>'
    )
    assert call("validate").code == 0
    answer = call("validate", "--runtime", "synapse")
    assert (answer.code, answer.err) == (6, "1 artifact, 1 invalid\n")
    assert answer.out == (
        f"{sequences}/A.xml:2: error: Apache Synapse does not know <call>, a mediator of WSO2's"
        " [dialect]\n"
    )
    with call.settings.open("a") as settings:
        settings.write('[runtime]\nkind = "synapse"\nlog = "/var/log/synapse.log"\n')
    assert call("validate").code == 6
    assert call("validate", str(call.tree)).code == 6
    assert call("validate", "--runtime", "carbon").code == 0
    call.settings.write_text("[nonsense")
    assert call("validate", str(call.tree)).code == 2
    assert call("validate", str(call.tree), "--runtime", "synapse").code == 6


def test_validating_a_path_that_is_not_there_is_wrong_usage(call: CommandLine) -> None:
    assert call("validate", "/nonexistent/x.xml").code == 2


def test_config_check_lists_every_mistake_and_exits_2(call: CommandLine) -> None:
    assert call("config", "check").code == 0
    text = call.settings.read_text()
    call.settings.write_text(text.replace("[node]", '[node]\nnaem = "x"\nlistn = 1'))
    answer = call("config", "check")
    assert (answer.code, answer.out) == (2, "")
    mistakes = [line for line in answer.err.splitlines() if line.startswith("  - ")]
    assert len(mistakes) == 2
    assert "naem" in mistakes[0]
    for arguments in (["status"], ["config", "show"], ["reconcile"]):
        assert call(*arguments).code == 2, "every command needs good settings"


def test_config_show_and_schema_print_toml_and_json(call: CommandLine) -> None:
    assert "apim-prod" in call("config", "show").out
    schema = call("config", "schema").json
    assert isinstance(schema, dict)
    assert schema["required"] == ["cluster", "node"]


def test_settings_that_are_not_there_are_said_so(call: CommandLine) -> None:
    answer = call("status", "--config", "/nonexistent/syncagent.toml")
    assert answer.code == 2
    assert "/nonexistent/syncagent.toml" in answer.err


def test_the_settings_file_can_come_from_the_environment(
    call: CommandLine, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNCAGENT_CONFIG", "/nonexistent/other.toml")
    assert "/nonexistent/other.toml" in call("status").err
    assert call("status", "--config", str(call.settings)).code == 0


def test_a_typo_is_answered_with_what_was_meant(call: CommandLine) -> None:
    answer = call("stauts")
    assert (answer.code, answer.out) == (2, "")
    assert "Did you mean status?" in answer.err


@pytest.mark.parametrize(
    "name",
    ["check", "history", "rollback"],
)
def test_a_command_of_a_later_version_says_so(call: CommandLine, name: str) -> None:
    answer = call(name, "x")
    assert answer.code == 2
    assert f"'{name}' is not in this version" in answer.err
    assert f"\n  {name} " not in call("--help").out


@pytest.mark.parametrize("timeout", ["5", "soon", "-1s"])
def test_a_length_of_time_needs_its_unit(call: CommandLine, timeout: str) -> None:
    answer = call("wait", "--timeout", timeout)
    assert answer.code == 2
    assert "a length of time needs a number and a unit" in answer.err


def test_what_is_refused_fits_a_terminal_of_eighty_columns(
    call: CommandLine, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = "sequences/_production_key_error_handler_for_orders_.xml"
    reason = "line 12: the sequence name 'orders' is that of sequences/orders.xml already"
    row = {"id": f"synapse:{path}", "node": "gw-2", "tree": "synapse", "path": path}
    desk.answers["refused"] = [row | {"at": "2026-11-21T12:03:10Z", "reason": reason}]
    table = call("get", "refused").out
    assert max(map(len, table.splitlines())) <= 80
    assert f"synapse:{path}" in table
    assert all(word in table for word in reason.split())
    wide = call("get", "refused", "-o", "wide").out
    assert "PATH" in wide.splitlines()[0].split()
