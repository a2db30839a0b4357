"""The control socket: what goes in at one end comes out at the other, errors too."""

from __future__ import annotations

import json
import os
import socket
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from syncagent.core.errors import (
    BusyError,
    DeadlineError,
    DiskError,
    HeldError,
    RefusedError,
    SettingsError,
    StateError,
    SyncagentError,
    UnreachableError,
)
from syncagent.web import client
from syncagent.web.app import BODY_BYTES_MAX
from syncagent.web.server import PROMPT_THREADS, THREADS, ControlServer
from tests.fakes.desk import FakeDesk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk({"status": {"state": "Synced"}})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


@pytest.fixture
def server(path: Path, desk: FakeDesk) -> Iterator[ControlServer]:
    server = ControlServer(path, desk)
    server.start()
    yield server
    for gate in desk.gates.values():
        gate.set()
    server.stop()


def until(happened: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(1000):
        if happened():
            return
        pause.wait(0.01)
    pytest.fail("it did not happen within 10 s")


def raw(path: Path, request: bytes) -> tuple[int, dict[str, object]]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def post(
    path: Path, where: str, body: bytes, method: str = "POST"
) -> tuple[int, dict[str, object]]:
    head = f"{method} {where} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n"
    return raw(path, head.encode() + body)


def message(answer: dict[str, object]) -> str:
    assert answer["ok"] is False
    error = answer["error"]
    assert isinstance(error, dict)
    assert error["exit_code"] == 2
    return str(error["message"])


def test_a_question_reaches_the_desk_and_the_answer_comes_back(
    path: Path, desk: FakeDesk, server: ControlServer
) -> None:
    desk.answers["describe"] = {"name": "Pizzéria", "nodes": [None, 1, 2.5, True]}
    answer = client.ask(path, "describe", {"artifact": "api/Pizzéria"}, 5)
    assert answer == {"name": "Pizzéria", "nodes": [None, 1, 2.5, True]}
    assert desk.asked == [("describe", {"artifact": "api/Pizzéria"}, 30.0)]


@pytest.mark.parametrize(
    "kind",
    [SyncagentError, HeldError, RefusedError, BusyError, DeadlineError, UnreachableError],
)
def test_an_error_arrives_as_its_class_with_message_and_hint(
    path: Path, desk: FakeDesk, server: ControlServer, kind: type[SyncagentError]
) -> None:
    desk.answers["status"] = kind("it went wrong", hint="try again")
    with pytest.raises(kind, match=r"^it went wrong$") as caught:
        client.ask(path, "status", {}, 5)
    assert type(caught.value) is kind
    assert caught.value.hint == "try again"


def test_every_mistake_in_the_settings_arrives(
    path: Path, desk: FakeDesk, server: ControlServer
) -> None:
    desk.answers["status"] = SettingsError("wrong", mistakes=("line 1: a", "line 2: b"))
    with pytest.raises(SettingsError) as caught:
        client.ask(path, "status", {}, 5)
    assert caught.value.mistakes == ("line 1: a", "line 2: b")


@pytest.mark.parametrize("kind", [StateError, DiskError])
def test_an_error_of_exit_code_1_arrives_with_that_code(
    path: Path, desk: FakeDesk, server: ControlServer, kind: type[SyncagentError]
) -> None:
    desk.answers["status"] = kind("broken")
    with pytest.raises(SyncagentError, match="broken") as caught:
        client.ask(path, "status", {}, 5)
    assert caught.value.exit_code == 1


def test_a_slow_verb_carries_its_own_deadline(
    path: Path, desk: FakeDesk, server: ControlServer
) -> None:
    desk.gates["wait"] = threading.Event()
    with pytest.raises(DeadlineError, match=r"not done within 0\.05 s"):
        client.ask(path, "wait", {"synced": True, "timeout_s": 0.05}, 0.05)


def test_status_is_answered_while_slow_verbs_fill_their_threads(
    path: Path, desk: FakeDesk, server: ControlServer
) -> None:
    desk.gates["wait"] = threading.Event()
    desk.answers["wait"] = {"revision": 1}
    answers: list[object] = []

    def wait() -> None:
        answers.append(client.ask(path, "wait", {"timeout_s": 60}, 60))

    waiting = [threading.Thread(target=wait) for _ in range(THREADS - PROMPT_THREADS)]
    for thread in waiting:
        thread.start()
    until(lambda: len(desk.asked) == len(waiting))
    with pytest.raises(BusyError, match="too many commands are waiting"):
        client.ask(path, "reconcile", {"timeout_s": 60}, 60)
    assert client.ask(path, "status", {}, 5) == {"state": "Synced"}
    desk.gates["wait"].set()
    for thread in waiting:
        thread.join(10)
    assert answers == [{"revision": 1}] * len(waiting)


def test_nobody_listening_is_unreachable_with_the_next_command(path: Path) -> None:
    with pytest.raises(UnreachableError, match="no agent listens") as caught:
        client.ask(path, "status", {}, 1)
    assert caught.value.hint == "start it: syncagent run"


def test_a_stale_socket_is_unreachable_and_a_new_server_takes_its_place(
    path: Path, desk: FakeDesk
) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with pytest.raises(UnreachableError, match="no agent listens"):
        client.ask(path, "status", {}, 1)
    (path.with_name("control.sock.new")).touch()  # and a start that was cut off
    server = ControlServer(path, desk)
    server.start()
    try:
        assert client.ask(path, "status", {}, 5) == {"state": "Synced"}
    finally:
        server.stop()


def test_the_socket_is_open_to_its_owner_only_whatever_the_umask(
    path: Path, desk: FakeDesk
) -> None:
    before = os.umask(0)
    try:
        server = ControlServer(path, desk)
        server.start()
    finally:
        os.umask(before)
    try:
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    finally:
        server.stop()


def test_a_stopped_server_leaves_no_socket_and_no_thread(path: Path, desk: FakeDesk) -> None:
    before = set(threading.enumerate())
    server = ControlServer(path, desk)
    server.start()
    assert client.ask(path, "status", {}, 5) == {"state": "Synced"}
    server.stop()
    assert not path.exists()
    assert [t for t in threading.enumerate() if t not in before and t.is_alive()] == []
    server.stop()


@pytest.mark.parametrize("size", [10, 5_000_000])
def test_who_is_answered_while_the_server_stops_gets_the_whole_answer(
    path: Path, desk: FakeDesk, size: int
) -> None:
    gate = desk.gates["wait"] = threading.Event()
    desk.answers["wait"] = "x" * size
    server = ControlServer(path, desk)
    server.start()
    answers: list[object] = []
    asker = threading.Thread(
        target=lambda: answers.append(client.ask(path, "wait", {"timeout_s": 60}, 60))
    )
    asker.start()
    until(lambda: bool(desk.asked))
    stopper = threading.Thread(target=server.stop)
    stopper.start()
    until(lambda: not path.exists())
    gate.set()
    stopper.join(10)
    asker.join(10)
    assert answers == ["x" * size]


def test_a_question_that_is_stuck_does_not_keep_the_server_from_stopping(
    path: Path, desk: FakeDesk
) -> None:
    gate = desk.gates["status"] = threading.Event()
    server = ControlServer(path, desk)
    server.start()
    with socket.socket(socket.AF_UNIX) as asker:
        asker.connect(str(path))
        asker.sendall(b"POST /v1/status HTTP/1.0\r\n\r\n")
        until(lambda: bool(desk.asked))
        server.stop()
        assert "control-close" in {thread.name for thread in threading.enumerate()}
        gate.set()
        until(lambda: "control-close" not in {thread.name for thread in threading.enumerate()})


def test_a_server_that_was_replaced_leaves_its_successors_socket(
    path: Path, desk: FakeDesk
) -> None:
    first, second = ControlServer(path, desk), ControlServer(path, desk)
    first.start()
    second.start()
    first.stop()
    try:
        assert client.ask(path, "status", {}, 5) == {"state": "Synced"}
    finally:
        second.stop()


def test_a_path_longer_than_the_kernel_takes_works_at_both_ends(
    tmp_path: Path, desk: FakeDesk
) -> None:
    folder = tmp_path / ("long-" * 20) / ("longer-" * 20)
    folder.mkdir(parents=True)
    path = folder / "control.sock"
    assert len(str(path)) > 108
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    server = ControlServer(path, desk)
    server.start()
    try:
        assert client.ask(path, "status", {}, 5) == {"state": "Synced"}
        assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    finally:
        server.stop()
    assert not path.exists()
    assert len(list(Path("/proc/self/fd").iterdir())) == open_before


def test_a_folder_that_cannot_take_a_socket_is_said_so(tmp_path: Path, desk: FakeDesk) -> None:
    with pytest.raises(StateError, match=r"control\.sock can't be made: No such file"):
        ControlServer(tmp_path / "absent" / "control.sock", desk).start()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"{", "not JSON", id="cut short"),
        pytest.param(b"\xff\xfe", "not JSON", id="not text"),
        pytest.param(b"[1]", "not an object", id="a list"),
        pytest.param(b"[" * 100_000, "not JSON", id="nested too deep"),
    ],
)
def test_a_body_that_is_no_json_object_is_a_clear_400(
    path: Path, desk: FakeDesk, server: ControlServer, body: bytes, words: str
) -> None:
    status, answer = post(path, "/v1/status", body)
    assert status == 400
    assert words in message(answer)
    assert desk.asked == []


@pytest.mark.parametrize("timeout", ['"soon"', "true", "-1", "1e9", "NaN", "1" + "0" * 400])
def test_a_deadline_that_is_none_is_a_clear_400(
    path: Path, desk: FakeDesk, server: ControlServer, timeout: str
) -> None:
    status, answer = post(path, "/v1/wait", b'{"timeout_s": %s}' % timeout.encode())
    assert (status, "timeout_s" in message(answer)) == (400, True)
    assert desk.asked == []


def test_a_question_over_1_mib_is_refused_unread(
    path: Path, desk: FakeDesk, server: ControlServer
) -> None:
    status, answer = post(path, "/v1/status", b" " * (BODY_BYTES_MAX + 1))
    assert status == 413
    assert "1048577 bytes" in message(answer)
    assert desk.asked == []


def test_a_question_of_exactly_1_mib_passes(path: Path, server: ControlServer) -> None:
    status, answer = post(path, "/v1/status", b"{}" + b" " * (BODY_BYTES_MAX - 2))
    assert (status, answer["ok"]) == (200, True)


@pytest.mark.parametrize("where", ["/", "/v1/", "/v1/shutdown", "/v2/status", "/v1/status/x"])
def test_what_is_no_verb_is_404(
    path: Path, desk: FakeDesk, server: ControlServer, where: str
) -> None:
    status, answer = post(path, where, b"{}")
    assert status == 404
    assert "knows no" in message(answer)
    assert desk.asked == []


def test_only_post_asks(path: Path, desk: FakeDesk, server: ControlServer) -> None:
    status, answer = post(path, "/v1/status", b"", method="GET")
    assert (status, "POST only" in message(answer)) == (405, True)
    assert desk.asked == []


def test_an_answer_that_makes_no_sense_is_refused(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                question = b""
                while not question.endswith(b"{}"):
                    question += connection.recv(65536)
                connection.sendall(b"HTTP/1.0 200 OK\r\n\r\n<html>")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(RefusedError, match="makes no sense"):
            client.ask(path, "status", {}, 5)
        thread.join(10)


class BrokenDesk:
    def ask(self, verb: str, arguments: object, timeout_s: float) -> None:
        raise ZeroDivisionError("a defect")


def test_a_defect_in_the_agent_is_said_so_and_logged(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = ControlServer(path, BrokenDesk())
    server.start()
    try:
        with pytest.raises(SyncagentError, match="the agent failed on status") as caught:
            client.ask(path, "status", {}, 5)
    finally:
        server.stop()
    assert caught.value.exit_code == 1
    assert "ZeroDivisionError: a defect" in caplog.text


def test_an_agent_that_breaks_off_is_unreachable(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(UnreachableError, match="broke off"):
            client.ask(path, "status", {}, 5)
        thread.join(10)
