"""`syncagent doctor`: a line for each thing that a node needs, and nothing changed by looking."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.lease import Candidate, Timing
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import EMPTY
from syncagent.core.revision import RevisionId
from syncagent.core.storeurl import StoreUrl
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.home import StateHome
from syncagent.history.node_history import NodeHistory
from syncagent.leases.lease_table import make_lease_table
from syncagent.leases.sql import SqlStore
from tests.fakes.terminal import STATUS, CommandLine, node
from tests.servers.certificates import Authority

if TYPE_CHECKING:
    from pathlib import Path

    from tests.fakes.desk import FakeDesk

PEER = """
[[peer]]
name = "gw-2"
address = "127.0.0.1:7422"
"""


def checks(call: CommandLine) -> dict[str, tuple[str, str, str]]:
    """Return how each thing was found: the word, the text and what to do; the worst of its name."""
    shown = call("doctor", "-o", "json").json
    assert isinstance(shown, dict)
    assert shown["apiVersion"] == "syncagent/v1"
    words = ["ok", "warn", "fail"]
    found: dict[str, tuple[str, str, str]] = {}
    for check in shown["checks"]:
        row = (check["found"], check["text"], check["next"])
        known = found.get(check["check"])
        if known is None or words.index(row[0]) > words.index(known[0]):
            found[check["check"]] = row
    assert shown["found"] == max((row[0] for row in found.values()), key=words.index)
    return found


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): ((status := path.lstat()).st_mtime_ns, status.st_ino)
        for path in sorted(folder.rglob("*"))
    }


def add(call: CommandLine, text: str) -> None:
    call.settings.write_text(call.settings.read_text() + text)


def test_a_new_node_has_warnings_and_nothing_broken(call: CommandLine) -> None:
    answer = call("doctor")
    assert (answer.code, answer.err) == (0, "")
    found = checks(call)
    assert found["settings"][0] == "ok"
    assert "node gw-1 of cluster apim-prod" in found["settings"][1]
    assert found["key"] == ("warn", "this node has no key yet", "syncagent keys show")
    assert found["state"][0] == "ok"
    assert "is new" in found["state"][1]
    assert found["agent"][0] == "warn"
    assert found["tree synapse"][0] == "ok"
    assert "warn  key" in answer.out
    assert "next: syncagent keys show\n" in answer.out


def test_looking_changes_nothing(call: CommandLine, tmp_path: Path) -> None:
    before = everything(tmp_path)
    call("doctor")
    assert everything(tmp_path) == before
    call("keys", "show")
    StateHome.open(str(call.state_dir), "apim-prod", NodeName("gw-1"), OsFS()).close()
    before = everything(tmp_path)
    call("doctor")
    assert everything(tmp_path) == before


def test_a_key_is_named_by_its_fingerprint(call: CommandLine) -> None:
    call("keys", "show")
    assert checks(call)["key"][:2][0] == "ok"
    assert checks(call)["key"][1].startswith("SHA256:")


def test_a_key_that_others_can_read_is_broken(call: CommandLine) -> None:
    call("keys", "show")
    (call.state_dir / "node.key").chmod(0o644)
    assert call("doctor").code == 1
    word, text, hint = checks(call)["key"]
    assert word == "fail"
    assert "mode 0644" in text
    assert "chmod 600" in hint


def test_a_peer_without_a_key_is_named(call: CommandLine) -> None:
    call("keys", "show")
    add(call, PEER)
    word, text, hint = checks(call)["key"]
    assert (word, text) == ("warn", "no key is known of gw-2")
    assert "syncagent keys trust gw-2" in hint


def test_settings_with_mistakes_are_2_and_nothing_else_is_said(call: CommandLine) -> None:
    add(call, '\n[rollout]\ncanary = "bird"\n')
    answer = call("doctor", "-o", "json")
    assert (answer.code, answer.out) == (2, "")
    assert "bird" in answer.err


def test_a_tree_that_is_not_there_is_broken_and_hides_nothing(call: CommandLine) -> None:
    call.tree.rmdir()
    assert call("doctor").code == 1
    found = checks(call)
    assert found["tree synapse"][0] == "fail"
    assert "mount or restore it" in found["tree synapse"][2]
    assert {"settings", "state", "key", "runtime", "clock", "agent"} <= found.keys()


def test_a_tree_that_is_a_file_is_broken(call: CommandLine) -> None:
    call.tree.rmdir()
    call.tree.write_text("")
    assert checks(call)["tree synapse"][:2] == ("fail", f"{call.tree} is no folder")


def test_a_copied_state_folder_is_broken(call: CommandLine, tmp_path: Path) -> None:
    other = tmp_path / "other"
    StateHome.open(str(other), "apim-prod", NodeName("gw-1"), OsFS()).close()
    (call.state_dir / "identity").write_bytes((other / "identity").read_bytes())
    word, text, hint = checks(call)["state"]
    assert word == "fail"
    assert "copied state folder" in text
    assert "init --new-identity" in hint


def test_a_missing_guard_beside_a_ledger_is_broken(call: CommandLine) -> None:
    call("keys", "show")
    with StateHome.open(str(call.state_dir), "apim-prod", NodeName("gw-1"), OsFS()) as home:
        guard = FileGuard(OsFS(), home.path, "apim-prod")
        guard.enrol()
        history = NodeHistory(OsFS(), home.path, wall=lambda: 0.0)
        history.load()
        history.stand(StandingChange(RevisionId(3, 41, EMPTY.digest)))
        history.close()
    assert checks(call)["state"] == ("ok", f"{call.state_dir}: revision 41, epoch 0", "")
    (call.state_dir / "guard").unlink()
    assert checks(call)["state"][0] == "fail"
    assert "init --re-enrol" in checks(call)["state"][2]


def test_no_state_folder_is_a_warning_that_says_how_to_make_it(call: CommandLine) -> None:
    call.state_dir.rmdir()
    word, _, hint = checks(call)["state"]
    assert (word, hint) == ("warn", f"install -d -m 700 {call.state_dir}")


def test_a_clock_that_was_set_back_is_broken(call: CommandLine) -> None:
    ledger = call.state_dir / "ledger"
    ledger.write_bytes(b"")
    ahead = ledger.stat().st_mtime + 7200
    os.utime(ledger, (ahead, ahead))
    word, text, _ = checks(call)["clock"]
    assert word == "fail"
    assert "behind what was written here before" in text


def test_a_home_that_is_none_is_broken(call: CommandLine, tmp_path: Path) -> None:
    add(call, f'\n[gateway]\nhome = "{tmp_path}"\n')
    answer = call("doctor")
    assert answer.code == 2, "the settings name it"
    assert "is no gateway's home" in answer.err


def test_what_the_agent_sees_of_itself_and_its_peers_is_told(
    call: CommandLine, desk: FakeDesk
) -> None:
    nodes = [
        node("gw-1", role="manager"),
        node("gw-2"),
        node("gw-3", state="Offline", reason="no route to host"),
    ]
    desk.answers["status"] = {**STATUS, "nodes": nodes}
    found = checks(call)
    assert found["agent"] == ("ok", "it runs: manager, Synced", "")
    assert found["peer gw-2"][0] == "ok"
    assert found["peer gw-3"] == (
        "warn",
        "no route to host",
        "on gw-3: systemctl status syncagent",
    )


def test_an_agent_in_trouble_is_a_warning_with_its_reason(
    call: CommandLine, desk: FakeDesk
) -> None:
    mine = node("gw-1", state="Degraded", reason="the disk is full")
    desk.answers["status"] = {"nodes": [mine], "manager": None}
    found = checks(call)
    assert found["agent"] == (
        "warn",
        "it runs: worker, Degraded: the disk is full",
        "syncagent status",
    )
    assert found["manager"][0] == "warn"


def elected(call: CommandLine, election: str) -> tuple[str, str, str]:
    """How the election is found with these settings of it."""
    before = call.settings.read_text()
    parts = before.partition("[election]")
    call.settings.write_text(f"{parts[0]}[election]\n{election}\n")
    found = checks(call)["election"]
    call.settings.write_text(before)
    return found


def test_the_lease_store_is_asked_as_the_agent_would(call: CommandLine, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/lease.db"
    sql = f'backend = "sql"\nurl = "{url}"'
    assert elected(call, 'manager = "gw-1"')[0] == "ok"
    word, text, hint = elected(call, sql)
    assert (word, "no table syncagent_lease" in text) == ("fail", True)
    assert "init --lease-table" in hint
    make_lease_table(StoreUrl(url))
    assert elected(call, sql) == ("ok", "sql: the lease is free, epoch 0", "")
    store = SqlStore(StoreUrl(url), "apim-prod", Timing())
    token = store.try_acquire(Candidate("apim-prod", NodeName("gw-2"), "s"), store.observe(), 6)
    store.close()
    assert token is not None
    assert elected(call, sql)[1] == "sql: gw-2 holds the lease, epoch 7"
    assert "asks nobody" in elected(call, f"{sql}\nnofailover = true")[1]


def gateway(call: CommandLine, tmp_path: Path, more: str = "") -> Path:
    """Give the node a home of Apache Synapse in place of the tree that its settings list."""
    home = tmp_path / "synapse-3.0.1"
    (home / "repository/conf/synapse-config").mkdir(parents=True)
    listed = call.settings.read_text().partition("[[tree]]")[0]
    election = '[election]\nmanager = "gw-1"\n'
    call.settings.write_text(f'{listed}[gateway]\nhome = "{home}"\n{election}{more}')
    return home


def test_a_runtime_is_found_with_its_log(call: CommandLine, tmp_path: Path) -> None:
    home = gateway(call, tmp_path)
    word, text, hint = checks(call)["runtime"]
    assert word == "warn"
    assert "Apache Synapse 3.0.1" in text
    assert "is not there yet" in text
    assert "[runtime] log" in hint
    log = home / "logs/own.log"
    log.parent.mkdir()
    log.write_text("")
    gateway_text = call.settings.read_text()
    call.settings.write_text(f'{gateway_text}[runtime]\nlog = "{log}"\n')
    word, text, _ = checks(call)["runtime"]
    assert (word, text.endswith(f"heard through {log}")) == ("ok", True)
    log.write_text('{"level": "INFO", "message": "Server ready for processing..."}\n')
    word, text, hint = checks(call)["runtime"]
    assert (word, "it is written as JSON" in text) == ("warn", True)
    assert "layout" in hint
    assert checks(call)["gateway"][1] == f"Apache Synapse 3.0.1 at {home}"


def test_a_program_that_stands_for_the_runtime_has_to_be_there(
    call: CommandLine, tmp_path: Path
) -> None:
    program = tmp_path / "deploy"
    add(call, f'\n[runtime]\nkind = "command"\ncommand = ["{program}", "--json"]\n')
    word, text, hint = checks(call)["runtime"]
    assert (word, hint) == ("fail", "correct [runtime] command")
    assert f"{program} is not there" in text
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert checks(call)["runtime"][:2] == ("ok", f"command: {program}")


def test_no_runtime_is_a_warning_unless_it_is_meant(call: CommandLine) -> None:
    assert checks(call)["runtime"][0] == "warn"
    add(call, '\n[runtime]\nkind = "none"\n')
    assert checks(call)["runtime"][0] == "ok"


# --- the HTTP door --------------------------------------------------------------------------------


@pytest.fixture
def port() -> int:
    """A port that nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def guarded(tmp_path: Path) -> Path:
    """A token file as it should be."""
    token = tmp_path / "token"
    token.touch(mode=0o600)
    token.write_text("x" * 32)
    return token


def door(call: CommandLine, address: str, **more: object) -> None:
    lines = "".join(f'{key} = "{value}"\n' for key, value in more.items())
    add(call, f'\n[http]\nlisten = "{address}"\n{lines}')


def test_a_door_that_is_not_wanted_is_not_mentioned(call: CommandLine) -> None:
    assert "http" not in checks(call)


def test_a_door_that_could_open_is_told_with_what_guards_it(
    call: CommandLine, tmp_path: Path, port: int
) -> None:
    certificate, key = Authority(tmp_path / "authority").issue("door")
    token = guarded(tmp_path)
    given = {"token_file": token, "certificate": certificate, "certificate_key": key}
    door(call, f"127.0.0.1:{port}", **given)
    assert checks(call)["http"] == ("ok", f"127.0.0.1:{port} is free: HTTPS, with a token", "")
    token.chmod(0o644)
    word, why, hint = checks(call)["http"]
    assert word == "fail"
    assert f"{token} has mode 0644" in why
    assert "chmod 600" in hint


def test_a_door_whose_port_is_taken_by_somebody_else_is_broken(call: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        door(call, f"127.0.0.1:{other.getsockname()[1]}")
        word, why, _ = checks(call)["http"]
    assert word == "fail"
    assert "another process listens there" in why


def test_an_agent_that_runs_without_its_door_wants_a_restart(
    call: CommandLine, desk: FakeDesk, port: int
) -> None:
    desk.answers["status"] = STATUS
    door(call, f"127.0.0.1:{port}")
    word, why, hint = checks(call)["http"]
    assert (word, why) == ("fail", f"the agent runs and does not answer at 127.0.0.1:{port}")
    assert "restart" in hint


def test_a_running_agent_may_have_the_port(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["status"] = STATUS
    with socket.create_server(("127.0.0.1", 0)) as own:
        where = f"127.0.0.1:{own.getsockname()[1]}"
        door(call, where)
        word, text, _ = checks(call)["http"]
    assert word == "ok"
    how = "HTTP without TLS, without a token"
    assert text == f"the agent runs, and somebody listens at {where}: {how}"


def test_a_token_in_the_clear_over_the_network_is_a_warning(
    call: CommandLine, tmp_path: Path, port: int
) -> None:
    door(call, f"0.0.0.0:{port}", token_file=guarded(tmp_path))
    word, why, hint = checks(call)["http"]
    assert word == "warn"
    assert "in the clear" in why
    assert "certificate" in hint
