"""`promote`, `switchover`, `pause`, `resume`, `leader`: what they ask, what they say, how they exit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncagent.core.errors import BusyError, DeadlineError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from syncagent.core.errors import SyncagentError
    from tests.fakes.desk import FakeDesk
    from tests.fakes.terminal import CommandLine

LEADS = {"epoch": 8, "manager": "gw-2"}


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [(["switchover", "gw-2"], {"node": "gw-2"}), (["switchover"], {})],
)
def test_a_switchover_says_who_leads(
    call: CommandLine, desk: FakeDesk, arguments: list[str], asked: dict[str, str]
) -> None:
    desk.answers["switchover"] = LEADS
    shown = call(*arguments)
    assert (shown.code, shown.out, shown.err) == (0, "gw-2 is the manager (epoch 8)\n", "")
    verb, given, timeout_s = desk.asked[-1]
    assert (verb, given) == ("switchover", {**asked, "timeout_s": 180.0})
    assert timeout_s == 180.0, "longer than the agent itself waits"
    assert call(*arguments, "-o", "json").json == {"apiVersion": "syncagent/v1", **LEADS}


def test_another_node_than_the_one_that_was_meant_is_a_part_only(
    call: CommandLine, desk: FakeDesk
) -> None:
    desk.answers["switchover"] = LEADS
    shown = call("switchover", "gw-3")
    assert (shown.code, shown.out) == (4, "gw-2 is the manager (epoch 8)\n")
    assert shown.err == "gw-3 did not take over in time: gw-2 was first\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RefusedError("gw-2 can't lead"), 6),
        (BusyError("not the manager"), 7),
        (DeadlineError("not caught up"), 8),
        (UnreachableError("not connected"), 9),
    ],
)
def test_why_it_is_not_handed_over_is_in_the_exit_code(
    call: CommandLine, desk: FakeDesk, error: SyncagentError, code: int
) -> None:
    desk.answers["switchover"] = error
    shown = call("switchover")
    assert (shown.code, shown.out, shown.err) == (code, "", f"error: {error}\n")


def test_a_pause_says_until_when_and_who_asked(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["pause"] = {"since": "s", "by": "b", "until": "2026-11-21T14:00:00Z"}
    shown = call("pause", "--for", "2h")
    assert (shown.code, shown.out) == (0, "the cluster is paused until 2026-11-21T14:00:00Z\n")
    verb, given, _ = desk.asked[-1]
    assert (verb, given["for_s"]) == ("pause", 7200.0)
    assert "@" in str(given["by"])


def test_a_pause_without_an_end_says_how_it_ends(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["pause"] = {"since": "s", "by": "b", "until": None}
    assert call("pause").out == "the cluster is paused until `syncagent resume`\n"
    assert "for_s" not in desk.asked[-1][1]


@pytest.mark.parametrize(
    ("length", "why"), [("soon", "needs a number and a unit"), ("0s", "no time at all")]
)
def test_an_odd_length_is_a_usage_error(call: CommandLine, length: str, why: str) -> None:
    shown = call("pause", "--for", length)
    assert (shown.code, shown.out) == (2, "")
    assert why in shown.err


@pytest.mark.parametrize(("was", "line"), [(True, "resumed\n"), (False, "nothing was paused\n")])
def test_resume_says_whether_there_was_anything_to_end(
    call: CommandLine, desk: FakeDesk, was: bool, line: str
) -> None:
    desk.answers["resume"] = {"resumed": was}
    shown = call("resume")
    assert (shown.code, shown.out) == (0, line)


def test_who_leads_is_said_in_one_line_with_the_age_of_its_lease(
    call: CommandLine, desk: FakeDesk
) -> None:
    lease = {"holder": "gw-2", "epoch": 8, "backend": "etcd", "renewed_s": 3.2, "why": ""}
    desk.answers["status"] = {"manager": "gw-2", "leader": lease}
    shown = call("leader")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out == "gw-2 is the manager (epoch 8, etcd, lease renewed 3s ago)\n"
    assert call("leader", "-o", "json").json == {
        "apiVersion": "syncagent/v1",
        "manager": "gw-2",
        **lease,
    }


def test_where_nobody_leads_it_says_why_and_its_exit_code_tells(
    call: CommandLine, desk: FakeDesk
) -> None:
    why = "the lease store (sql) can't be asked since 03:00: refused"
    lease = {"holder": "gw-2", "epoch": 8, "backend": "sql", "renewed_s": 70.0, "why": why}
    desk.answers["status"] = {"manager": None, "leader": lease}
    shown = call("leader")
    assert (shown.code, shown.out) == (7, f"no manager (sql): {why}\n")
    desk.answers["status"] = {
        "manager": "gw-1",
        "leader": {"holder": "gw-1", "epoch": 1, "backend": "static", "renewed_s": None, "why": ""},
    }
    assert call("leader").out == "gw-1 is the manager (epoch 1, static)\n"
