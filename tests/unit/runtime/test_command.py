"""The adapter of programs: what it is given, what its end means, and that nothing of it is left."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

import pytest

from syncagent.core.artifact import ArtifactPath, Kind, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.events import RuntimeHeard, RuntimeTurned
from syncagent.core.runtime import EXCERPT_MAX, REASON_MAX, Heard, Order, OrderItem, Phase, Saying
from syncagent.fsio import OsFS
from syncagent.ports import Instant
from syncagent.runtime.command import CommandRuntime, answer
from syncagent.runtime.listening import Means
from syncagent.runtime.program import OUTPUT_BYTES_MAX, Ended, run_program
from tests.fakes.inbox import DEADLINE_S, Inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

TREE = TreeName("synapse")
NEW = OrderItem(ArtifactPath(TREE, "api/New.xml"), Kind.API, "New", digest_of(b"n"))
CHANGED = OrderItem(
    ArtifactPath(TREE, "api/Old.xml"), Kind.API, "Old", digest_of(b"o"), updated=True
)
GONE = OrderItem(ArtifactPath(TREE, "api/Gone.xml"), Kind.API, "Gone", None, updated=True)
ORDER = Order(7, (NEW, CHANGED, GONE))
PYTHON = sys.executable


class Clock:
    def now(self) -> Instant:
        return Instant(5.0)

    def wall(self) -> float:
        return 99.0


def said(ended: Ended) -> tuple[list[tuple[str, Saying, str]], str]:
    heard, fault = answer(ORDER, ended, 99.0)
    return [(each.name, each.saying, each.reason) for each in heard], fault


def test_exit_code_0_takes_every_item_for_what_it_is() -> None:
    assert said(Ended(0, b"", b"")) == (
        [
            ("New", Saying.DEPLOYED, ""),
            ("Old", Saying.UPDATED, ""),
            ("Gone", Saying.UNDEPLOYED, ""),
        ],
        "",
    )


def test_exit_code_1_refuses_every_item_with_the_last_line_of_its_errors() -> None:
    heard, fault = said(Ended(1, b"", b"warming up\nno such host: esb-7\n"))
    assert {saying for _, saying, _ in heard} == {Saying.REJECTED}
    assert {reason for _, _, reason in heard} == {"no such host: esb-7"}
    assert not fault


@pytest.mark.parametrize("code", [2, 127, -9])
def test_another_exit_code_says_nothing_of_the_items(code: int) -> None:
    heard, fault = said(Ended(code, b"", b"connection refused\n"))
    assert heard == []
    assert "connection refused" in fault


def test_a_program_that_was_killed_says_nothing() -> None:
    heard, fault = said(Ended(None, b'{"items": []}', b""))
    assert heard == []
    assert "killed" in fault


def test_the_output_says_more_than_the_exit_code_item_by_item() -> None:
    out = json.dumps(
        {
            "items": [
                {"tree": "synapse", "path": "api/New.xml", "state": "rejected", "reason": "clash"},
                {"tree": "synapse", "path": "api/Old.xml", "state": "unknown"},
                {"tree": "synapse", "path": "api/Gone.xml", "state": "undeployed", "more": 1},
                {"tree": "synapse", "path": "api/Stranger.xml", "state": "deployed"},
                "nonsense",
                {"tree": 1},
            ]
        }
    ).encode()
    assert said(Ended(0, out, b""))[0] == [
        ("New", Saying.REJECTED, "clash"),
        ("Gone", Saying.UNDEPLOYED, ""),
    ]


def test_a_state_that_is_not_known_says_nothing() -> None:
    out = b'{"items": [{"tree": "synapse", "path": "api/New.xml", "state": "fine"}]}'
    assert [name for name, _, _ in said(Ended(0, out, b""))[0]] == ["Old", "Gone"]


@pytest.mark.parametrize(
    "out", [b'{"items": 3}', b"{", b'{"deployed": true}', b'{"items": ' + b"[" * 300_000]
)
def test_json_that_can_not_be_understood_says_nothing(out: bytes) -> None:
    heard, fault = said(Ended(0, out, b""))
    assert heard == []
    assert "JSON" in fault


def test_a_reason_is_one_line_of_text_that_can_be_written_down() -> None:
    row = '{"tree": "synapse", "path": "api/New.xml", "state": "rejected", "reason": "%s"}'
    out = ('{"items": [%s]}' % (row % "no\\ud800 such\\n host")).encode()
    assert said(Ended(0, out, b""))[0][0] == ("New", Saying.REJECTED, "no? such host")


def test_other_output_is_talk_and_kept_within_bounds() -> None:
    heard, _ = answer(ORDER, Ended(1, b"x" * 10_000, b"y" * 1_000), 99.0)
    assert all(len(each.excerpt) == EXCERPT_MAX for each in heard)
    assert all(len(each.reason) == REASON_MAX for each in heard)


# --- real programs ------------------------------------------------------------------------------


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def make(inbox: Inbox) -> Iterator[Callable[..., CommandRuntime]]:
    made: list[CommandRuntime] = []

    def make_one(code: str, timeout_s: float = 30.0) -> CommandRuntime:
        means = Means(OsFS(), Clock(), inbox.post)
        runtime = CommandRuntime(means, (PYTHON, "-c", code), timeout_s)
        made.append(runtime)
        runtime.start(None)
        return runtime

    yield make_one
    for runtime in made:
        runtime.stop()


def heard_in(inbox: Inbox) -> list[Heard]:
    return [
        each for event in inbox.events if isinstance(event, RuntimeHeard) for each in event.heard
    ]


def details(inbox: Inbox) -> list[str]:
    return [event.state.detail for event in inbox.events if isinstance(event, RuntimeTurned)]


def wait_gone(pid: int) -> None:
    until = time.monotonic() + DEADLINE_S
    pause = time.monotonic
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            if stat.read().rpartition(")")[2].split()[0] == "Z":
                return
    raise AssertionError(f"{pid} is still there after {pause()} s")


def test_a_program_is_given_the_order_as_json(
    make: Callable[..., CommandRuntime], inbox: Inbox, tmp_path: Path
) -> None:
    copy = tmp_path / "order.json"
    runtime = make(f"import sys; open({str(copy)!r}, 'w').write(sys.stdin.read())")
    runtime.tell(Order(7, (CHANGED, GONE), again=True))
    inbox.wait(lambda _: heard_in(inbox))
    assert json.loads(copy.read_text()) == {
        "apiVersion": "syncagent/v1",
        "what": "again",
        "revision": 7,
        "items": [
            {
                "tree": "synapse",
                "path": "api/Old.xml",
                "kind": "api",
                "name": "Old",
                "digest": str(CHANGED.digest),
                "updated": True,
            },
            {
                "tree": "synapse",
                "path": "api/Gone.xml",
                "kind": "api",
                "name": "Gone",
                "digest": None,
                "updated": True,
            },
        ],
    }


def test_orders_are_carried_out_one_at_a_time_and_in_order(
    make: Callable[..., CommandRuntime], inbox: Inbox, tmp_path: Path
) -> None:
    lock = tmp_path / "lock"
    runtime = make(
        f"import os, sys; os.mkdir({str(lock)!r}); sys.stdin.read(); os.rmdir({str(lock)!r})"
    )
    for item in (NEW, CHANGED, NEW, CHANGED):
        runtime.tell(Order(1, (item,)))
    inbox.wait(lambda _: len(heard_in(inbox)) == 4)
    assert [each.name for each in heard_in(inbox)] == ["New", "Old", "New", "Old"]


def test_a_program_that_takes_too_long_is_killed_with_its_children(
    make: Callable[..., CommandRuntime], inbox: Inbox, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    child = f"import os, time; open({str(pids)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    runtime = make(code, timeout_s=2.0)
    runtime.tell(ORDER)
    inbox.wait(lambda _: "killed" in details(inbox)[-1])
    assert heard_in(inbox) == []
    wait_gone(int(pids.read_text()))


def test_a_stop_does_not_wait_for_a_program_that_runs(
    make: Callable[..., CommandRuntime], inbox: Inbox, tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    code = f"import os, time; open({str(pids)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    runtime = make(code)
    runtime.tell(ORDER)
    until = time.monotonic() + DEADLINE_S
    while not (pids.exists() and pids.read_text()):
        assert time.monotonic() < until
    runtime.stop()
    wait_gone(int(pids.read_text()))
    assert heard_in(inbox) == []


def test_a_program_that_is_not_there_is_said_and_the_next_order_is_tried(inbox: Inbox) -> None:
    runtime = CommandRuntime(Means(OsFS(), Clock(), inbox.post), ("/no/such/program",), 5.0)
    runtime.start(None)
    runtime.tell(ORDER)
    inbox.wait(lambda _: "can't be started" in details(inbox)[-1])
    assert heard_in(inbox) == []
    runtime.stop()


def test_a_program_that_works_again_clears_the_state(
    make: Callable[..., CommandRuntime], inbox: Inbox, tmp_path: Path
) -> None:
    flag = tmp_path / "broken"
    flag.touch()
    runtime = make(
        f"import os, sys; sys.stdin.read(); sys.exit(3 if os.path.exists({str(flag)!r}) else 0)"
    )
    runtime.tell(ORDER)
    inbox.wait(lambda _: "code 3" in details(inbox)[-1])
    flag.unlink()
    runtime.verify(ORDER)
    inbox.wait(lambda _: heard_in(inbox))
    inbox.wait(lambda _: "code 3" not in details(inbox)[-1])
    phases = {e.state.phase for e in inbox.events if isinstance(e, RuntimeTurned)}
    assert phases == {Phase.READY}


def test_output_without_end_is_dropped_beyond_a_bound() -> None:
    code = "import sys\nfor _ in range(80): sys.stdout.write('x' * 65536)"
    ended = run_program(OsFS(), (PYTHON, "-c", code), b"", 60.0, lambda: False)
    assert ended.code == 0
    assert len(ended.out) == OUTPUT_BYTES_MAX


def test_a_program_that_reads_nothing_is_no_trouble() -> None:
    ended = run_program(OsFS(), (PYTHON, "-c", "pass"), b"x" * 1_000_000, 60.0, lambda: False)
    assert ended == Ended(0, b"", b"")


def test_a_program_that_closes_its_output_early_is_waited_for() -> None:
    code = "import os, sys; os.close(1); os.close(2); sys.stdin.read(); os._exit(1)"
    ended = run_program(OsFS(), (PYTHON, "-c", code), b"order", 60.0, lambda: False)
    assert ended.code == 1


def test_a_child_that_keeps_the_output_open_is_ended_with_the_program() -> None:
    child = "import time; time.sleep(600)"
    code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {child!r}]); print(p.pid)"
    ended = run_program(OsFS(), (PYTHON, "-c", code), b"", 60.0, lambda: False)
    assert ended.code == 0
    wait_gone(int(ended.out))
