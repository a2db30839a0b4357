"""The program as a process: what it loads, signals, pipes, terminals, shells."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.cli.progress import line
from syncagent.cli.root import COMMANDS

if TYPE_CHECKING:
    from tests.fakes.desk import FakeDesk
    from tests.fakes.terminal import CommandLine

HEAVY = {"lxml", "paramiko", "rich", "yaml", "sqlite3", "msgpack", "cryptography", "waitress"}

SEEN = """
import json, sys
from syncagent.cli.main import run
code = run(sys.argv[1:])
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


def start(
    call: CommandLine, *arguments: str, stderr: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    environment = {**os.environ, "SYNCAGENT_CONFIG": str(call.settings), "TERM": "xterm"}
    return subprocess.Popen(
        [sys.executable, "-m", "syncagent", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=environment,
    )


def until_asked(desk: FakeDesk, verb: str) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if any(asked == verb for asked, _, _ in desk.asked):
            return
        pause.wait(0.01)
    pytest.fail(f"{verb} was not asked within 20 s")


@pytest.mark.parametrize(
    "arguments", [["version"], ["--help"], ["status"], ["status", "-o", "json"]]
)
def test_a_quick_command_loads_nothing_heavy(
    call: CommandLine, desk: FakeDesk, arguments: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SEEN, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "SYNCAGENT_CONFIG": str(call.settings)},
        check=True,
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert HEAVY.isdisjoint(modules)
    assert "click" in modules, "the list is of this process"


@pytest.mark.parametrize("arguments", [["wait"], ["reconcile"], ["reconcile", "-v"]], ids=" ".join)
def test_interrupted_it_exits_130_without_a_trace(
    call: CommandLine, desk: FakeDesk, arguments: list[str]
) -> None:
    desk.gates[arguments[0]] = threading.Event()
    with start(call, *arguments) as process:
        until_asked(desk, arguments[0])
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    desk.gates[arguments[0]].set()
    assert (process.returncode, out) == (130, "")
    assert err.strip() == ""


def test_status_watches_until_interrupted(call: CommandLine, desk: FakeDesk) -> None:
    with start(call, "status", "-w") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Cluster apim-prod")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130


def test_events_follow_and_ask_for_what_is_new(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["events"] = [{"id": 7, "at": "now", "what": "committed", "fields": {}}]
    with start(call, "events", "-f", "-o", "json") as process:
        assert process.stdout is not None
        for _ in range(2):
            assert json.loads(process.stdout.readline())["id"] == 7
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    assert [arguments["after"] for _, arguments, _ in desk.asked[:2]] == [0, 7]


def test_a_reader_that_goes_away_is_no_crash(call: CommandLine, desk: FakeDesk) -> None:
    desk.answers["artifacts"] = [{"name": "x" * 100, "path": str(n)} for n in range(10_000)]
    with start(call, "get", "artifacts") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
    assert "Traceback" not in err


@pytest.mark.parametrize(("command", "said"), [("reconcile", ""), ("wait", "revision 1  Synced\n")])
def test_what_takes_long_shows_each_node_on_a_terminal(
    call: CommandLine, desk: FakeDesk, command: str, said: str
) -> None:
    gate = desk.gates[command] = threading.Event()
    desk.answers["reconcile"] = {"revision": 1, "changes": [], "nodes": [], "held": []}
    desk.answers["wait"] = {"revision": 1, "state": "Synced"}
    moving = {"name": "gw-2", "phase": "staging", "files_done": 3, "files_total": 9}
    desk.answers["progress"] = {
        "active": True,
        "nodes": [{**moving, "bytes_done": 1024, "bytes_total": 4096}],
    }
    master, slave = pty.openpty()
    with start(call, command, stderr=slave) as process:
        os.close(slave)
        shown = ""
        while "3/9 files" not in shown:
            shown += os.read(master, 4096).decode(errors="replace")
        gate.set()
        out, _ = process.communicate(timeout=20)
    os.close(master)
    assert (process.returncode, out) == (0, said)
    assert "gw-2 staging" in shown


def test_without_a_terminal_progress_is_one_line() -> None:
    nodes = [
        {"name": "gw-2", "phase": "staging", "files_done": 3, "files_total": 9},
        {"name": "gw-3", "phase": "done", "files_done": 9, "files_total": 9},
    ]
    assert line(nodes) == "gw-2 staging 3/9 files; gw-3 done 9/9 files"
    assert line([]) == "working"


def test_it_refuses_to_run_without_its_assertions() -> None:
    done = subprocess.run(
        [sys.executable, "-O", "-m", "syncagent", "version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "refuses to run under python -O" in done.stderr


@pytest.mark.parametrize(
    ("shell", "check"),
    [
        ("bash", 'source "$1" && complete -p syncagent'),
        ("zsh", 'autoload -U compinit && compinit -D && source "$1"'),
        ("fish", "source $argv[1]; and complete -c syncagent"),
    ],
)
def test_the_completion_script_sources_without_error(
    call: CommandLine, tmp_path: Path, shell: str, check: str
) -> None:
    answer = call("completion", shell)
    assert (answer.code, answer.err) == (0, "")
    assert "_SYNCAGENT_COMPLETE" in answer.out
    program = shutil.which(shell)
    if program is None:
        assert shell != "bash", "bash is needed for this test"
        pytest.skip(f"{shell} is not installed: its script was not sourced")
    script = tmp_path / "completion"
    script.write_text(answer.out)
    before = ["--"] if shell == "fish" else [shell]
    done = subprocess.run(
        [program, "-c", check, *before, str(script)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def completed(call: CommandLine, words: str) -> list[str]:
    environment = {
        **os.environ,
        "SYNCAGENT_CONFIG": str(call.settings),
        "_SYNCAGENT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run(
        [sys.executable, "-m", "syncagent"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("syncagent sta", ["plain,status"]),
        ("syncagent get he", ["plain,held"]),
        ("syncagent status -o j", ["plain,json"]),
    ],
)
def test_tab_completes_commands_and_choices(
    call: CommandLine, words: str, expected: list[str]
) -> None:
    assert completed(call, words) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("syncagent status gw-2", ["plain,gw-2"]),
        ("syncagent approve b", ["plain,b-0193"]),
        ("syncagent describe api", ["plain,api/Pizza"]),
        ("syncagent restore q", []),
    ],
)
def test_tab_completes_what_the_agent_knows(
    call: CommandLine, desk: FakeDesk, words: str, expected: list[str]
) -> None:
    desk.answers["nodes"] = [{"name": "gw-1"}, {"name": "gw-2"}]
    desk.answers["held"] = [{"id": "b-0193"}, {"id": "c-1"}]
    desk.answers["artifacts"] = [{"kind": "api", "name": "Pizza"}, {"kind": "plan", "name": "x"}]
    assert completed(call, words) == expected


def test_tab_offers_nothing_where_no_agent_answers(call: CommandLine) -> None:
    assert completed(call, "syncagent status g") == []


@pytest.mark.parametrize("locale", ["C.UTF-8", "POSIX", "C"])
def test_a_file_name_that_is_no_text_comes_out_in_json(call: CommandLine, locale: str) -> None:
    name = b"caf\xc3\xa9\xff.xml"
    (call.tree / os.fsdecode(name)).write_text("<")
    done = subprocess.run(
        [sys.executable, "-m", "syncagent", "validate", str(call.tree), "-o", "json"],
        capture_output=True,
        env={**os.environ, "LC_ALL": locale, "PYTHONIOENCODING": "ascii"},
        check=False,
    )
    assert (done.returncode, b"Traceback" in done.stderr) == (6, False)
    (found,) = json.loads(done.stdout)
    assert os.fsencode(Path(found["path"]).name) == name


def leaf_commands() -> list[str]:
    leaves = [name for name in COMMANDS if name not in {"keys", "config"}]
    return [*leaves, "keys show", "keys trust", "config check", "config show", "config schema"]


@pytest.mark.parametrize("name", leaf_commands())
def test_the_help_of_every_command_starts_with_examples_and_takes_config(
    call: CommandLine, name: str
) -> None:
    answer = call(*name.split(), "--help")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("Examples:\n  ")
    assert f"syncagent {name}" in answer.out.partition("\nUsage:")[0]
    assert "--config FILE" in answer.out


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_each_says_itself(call: CommandLine, name: str) -> None:
    assert COMMANDS[name].summary in " ".join(call(name, "--help").out.split())
