"""`syncagent reconcile`: silent when clean, never twice at once, honest about the rest."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from syncagent.cli.lock import reconcile_lock
from tests.fakes.terminal import CommandLine, golden

if TYPE_CHECKING:
    from tests.fakes.desk import FakeDesk


SYNCED = [{"name": "gw-1", "state": "Synced", "reason": ""}]
CLEAN = {"revision": 412, "changes": [], "nodes": SYNCED, "held": []}
CHANGE = {"tree": "synapse", "path": "api/Pizza.xml", "kind": "api", "change": "add"}
HELD = {"id": "b-1", "tree": "synapse", "path": "", "reason": "deletes 12 APIs", "at": ""}


def test_clean_it_says_nothing_and_exits_0(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["reconcile"] = CLEAN
    answer = call("reconcile")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
    assert desk.asked == [("reconcile", {"dry_run": False, "timeout_s": 600.0}, 600.0)]


def test_what_was_changed_is_data(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["reconcile"] = {**CLEAN, "changes": [CHANGE]}
    answer = call("reconcile")
    assert (answer.code, answer.err) == (0, "")
    golden("reconcile.txt", answer.out)


def test_a_dry_run_exits_3_if_something_would_change(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["reconcile"] = {**CLEAN, "changes": [CHANGE]}
    answer = call("reconcile", "-n", "--timeout", "30s")
    assert answer.code == 3
    golden("reconcile.txt", answer.out)
    assert desk.asked[0][1] == {"dry_run": True, "timeout_s": 30.0}
    desk.answers["reconcile"] = CLEAN
    assert call("reconcile", "--dry-run").code == 0


def test_json_is_the_whole_answer_also_when_clean(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["reconcile"] = CLEAN
    assert call("reconcile", "-o", "json").json == {"apiVersion": "syncagent/v1", **CLEAN}


@pytest.mark.parametrize("state", ["Offline", "OutOfSync", "Degraded", "Paused"])
def test_a_node_that_is_not_in_sync_makes_it_4(
    call: CommandLine, desk: FakeDesk, state: str
) -> None:
    behind = {"name": "gw-2", "state": state, "reason": "no route to host"}
    desk.answers["reconcile"] = {**CLEAN, "nodes": [*SYNCED, behind]}
    answer = call("reconcile")
    assert (answer.code, answer.out) == (4, "")
    assert answer.err == f"gw-2 {state}: no route to host\n"


def test_what_is_held_makes_it_5_and_says_how_to_go_on(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["reconcile"] = {**CLEAN, "held": [HELD]}
    answer = call("reconcile")
    assert (answer.code, answer.out) == (5, "")
    assert answer.err == (
        "Held b-1: deletes 12 APIs\n  see: syncagent diff   allow: syncagent approve b-1\n"
    )


@pytest.mark.parametrize(("choice", "code"), [("skip", 0), ("fail", 7), ("wait", 8)])
def test_while_another_runs_it_skips_fails_or_waits(
    call: CommandLine, desk: FakeDesk, choice: str, code: int
) -> None:
    with reconcile_lock(str(call.state_dir), wait_s=0) as mine:
        assert mine
        answer = call("reconcile", "--if-busy", choice, "--timeout", "10ms")
    assert (answer.code, answer.out, desk.asked) == (code, "", [])
    assert (answer.err == "") == (code == 0)


def test_skipping_is_the_default_and_speaks_only_when_asked_to(
    call: CommandLine, desk: FakeDesk
) -> None:
    with reconcile_lock(str(call.state_dir), wait_s=0):
        assert call("reconcile").err == ""
        assert call("reconcile", "-v").err.endswith("; skipped\n")


def test_a_skipped_one_says_so_in_json(call: CommandLine, desk: FakeDesk) -> None:
    with reconcile_lock(str(call.state_dir), wait_s=0):
        answer = call("reconcile", "-o", "json")
    assert (answer.code, answer.err) == (0, "")
    described = answer.json
    assert isinstance(described, dict)
    assert (described["skipped"], described["changes"]) == (True, [])


def test_who_waits_goes_on_when_the_other_has_ended(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["reconcile"] = CLEAN
    taken, over = threading.Event(), threading.Event()

    def other() -> None:
        with reconcile_lock(str(call.state_dir), wait_s=0):
            taken.set()
            over.wait(10)

    thread = threading.Thread(target=other)
    thread.start()
    assert taken.wait(10)
    threading.Timer(0.05, over.set).start()
    assert call("reconcile", "--if-busy", "wait").code == 0
    thread.join(10)
    assert [verb for verb, _, _ in desk.asked] == ["reconcile"]


def test_the_lock_is_free_after_each_run(call: CommandLine, desk: FakeDesk) -> None:
    assert call("reconcile").code == 6, "the fake has no answer"
    with reconcile_lock(str(call.state_dir), wait_s=0) as mine:
        assert mine


def test_without_an_agent_a_manager_does_a_full_round(call: CommandLine) -> None:
    call.alone = {**CLEAN, "role": "manager", "changes": [CHANGE]}
    answer = call("reconcile", "-o", "json")
    assert answer.code == 0
    assert answer.json == {"apiVersion": "syncagent/v1", **call.alone, "dry_run": False}


def test_without_an_agent_a_worker_repairs_itself_and_exits_9(call: CommandLine) -> None:
    call.alone = {**CLEAN, "role": "worker"}
    answer = call("reconcile")
    assert (answer.code, answer.out) == (9, "")
    assert "its own ledger only" in answer.err


def test_a_state_folder_that_cannot_be_used_is_an_error(call: CommandLine) -> None:
    call.settings.write_text(call.settings.read_text().replace(str(call.state_dir), "/proc/none"))
    answer = call("reconcile")
    assert answer.code == 1
    assert "the state folder /proc/none can't be used" in answer.err


def test_verbose_without_a_terminal_is_silent_when_short(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["reconcile"] = CLEAN
    answer = call("reconcile", "-v")
    assert (answer.code, answer.out, answer.err) == (0, "", "")
