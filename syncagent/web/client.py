"""The other end of the control socket: what the command line asks through.

Imports only what a short question needs; one connection carries one question.
"""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING

from syncagent.core.errors import (
    BusyError,
    DeadlineError,
    ExitCode,
    HeldError,
    NoAgentError,
    ProtocolError,
    RefusedError,
    SettingsError,
    SyncagentError,
    UnreachableError,
)
from syncagent.web.address import socket_address

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from syncagent.core.desk import JSON

GRACE_S = 10.0
"""How much longer than the agent's own deadline this end waits for the answer."""

ANSWER_BYTES_MAX = 256 * 1024 * 1024
"""Largest answer: 100,000 artifacts of a tree in a few trees, with reasons."""

_BY_EXIT_CODE: dict[int, type[SyncagentError]] = {
    ExitCode.USAGE: SettingsError,
    ExitCode.HELD: HeldError,
    ExitCode.REJECTED: RefusedError,
    ExitCode.BUSY: BusyError,
    ExitCode.TIMEOUT: DeadlineError,
    ExitCode.UNREACHABLE: UnreachableError,
}


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, *, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect; raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        with socket_address(self._path) as address:
            self.sock.connect(address)


def ask(path: Path, verb: str, arguments: Mapping[str, JSON], timeout_s: float) -> JSON:
    """Ask the agent that listens at `path`; `timeout_s` is how long it may take.

    Raises what the agent raised, as the class of its exit code; NoAgentError if nobody
    listens; DeadlineError if no answer comes; ProtocolError if the answer makes no sense.
    """
    connection = _UnixConnection(path, timeout_s=timeout_s + GRACE_S)
    try:
        connection.request(
            "POST", f"/v1/{verb}", json.dumps(arguments), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        body = response.read(ANSWER_BYTES_MAX + 1)
    except TimeoutError as error:
        raise DeadlineError(
            f"the agent took the question but gave no answer in {timeout_s + GRACE_S:g} s",
            hint="is it stopped or starved? see its log; `syncagent status` asks again",
        ) from error
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
        raise NoAgentError(f"no agent listens at {path}", hint="start it: syncagent run") from error
    except PermissionError as error:
        raise SyncagentError(
            f"the control socket {path} is not open to this user",
            hint="run this as the user that the agent runs as",
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise UnreachableError(
            f"the agent at {path} broke off: {str(error) or type(error).__name__}",
            hint="has it just stopped? see its log",
        ) from error
    finally:
        connection.close()
    if response.status >= http.client.INTERNAL_SERVER_ERROR:
        raise SyncagentError(
            f"the agent failed on {verb} ({response.status} {response.reason})",
            hint="its log says more; please report it, it is a defect",
        )
    return _result(body)


def _result(body: bytes) -> JSON:
    """Return the result in an answer, or raise the error in it."""
    if len(body) > ANSWER_BYTES_MAX:
        raise ProtocolError(f"the agent's answer is longer than {ANSWER_BYTES_MAX} bytes")
    try:
        answer = json.loads(body)
        if answer["ok"]:
            result: JSON = answer["result"]
            return result
        error = answer["error"]
        message, hint, exit_code = str(error["message"]), str(error["hint"]), error["exit_code"]
        mistakes = tuple(str(mistake) for mistake in error.get("mistakes", ()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProtocolError(
            f"the agent's answer makes no sense: {body[:80]!r}",
            hint="does an agent of another version run? compare `syncagent version`",
        ) from error
    kind = _BY_EXIT_CODE.get(exit_code, SyncagentError)
    if kind is SettingsError:
        raise SettingsError(message, mistakes=mistakes, hint=hint)
    raise kind(message, hint=hint)
