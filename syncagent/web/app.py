"""The WSGI application of the control socket: one route per verb, JSON in, JSON out.

`POST /v1/VERB` with a JSON object is answered 200 with `{"ok": true, "result": ...}`, or with
`{"ok": false, "error": {"message", "hint", "exit_code"}}` when the agent said no. The HTTP status
speaks of the transport alone: 400 not JSON, 404 no such verb, 405 not POST, 413 too long, 500 a
defect (waitress answers and logs it); all but the last carry the same error object.

The application knows no agent: it has a `Desk`. Slow verbs may take all but two of the server's
threads, so that `status` is answered while others wait.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.core.desk import SLOW_VERBS, VERBS
from syncagent.core.errors import BusyError, ExitCode, SettingsError, SyncagentError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from wsgiref.types import StartResponse, WSGIEnvironment

    from syncagent.core.desk import JSON, Desk

BODY_BYTES_MAX = 1024 * 1024
"""Largest question; the longest real one is a path (under 4 KiB)."""

PROMPT_S = 30.0
"""How long the loop may take for a verb that is answered at once."""

TIMEOUT_S_MAX = 24 * 3600.0
"""Longest wait that may be asked for."""


class _TransportError(SyncagentError):
    """A request that never reached the desk; `status` is the HTTP status line."""

    exit_code = ExitCode.USAGE

    def __init__(self, status: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class _Question:
    """One parsed request."""

    verb: str
    arguments: Mapping[str, JSON]
    timeout_s: float


class ControlApp:
    """The WSGI callable. At most `slow_max` slow verbs are under way at once."""

    def __init__(self, desk: Desk, *, slow_max: int) -> None:
        assert slow_max > 0, "somebody must be able to wait"
        self._desk = desk
        self._slow_slots = threading.BoundedSemaphore(slow_max)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        status, body = self._answer(environ)
        start_response(
            status,
            [
                ("Content-Type", "application/json"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
            ],
        )
        return [body]

    def _answer(self, environ: WSGIEnvironment) -> tuple[str, bytes]:
        """Return the status line and the body for one request."""
        try:
            result = self._ask(_parse(environ))
        except _TransportError as fault:
            return fault.status, _error_body(fault)
        except SyncagentError as error:
            return "200 OK", _error_body(error)
        return "200 OK", json.dumps({"ok": True, "result": result}).encode()

    def _ask(self, question: _Question) -> JSON:
        """Put the question to the desk, within the limits on waiting."""
        if question.verb not in SLOW_VERBS:
            return self._desk.ask(question.verb, question.arguments, question.timeout_s)
        if not self._slow_slots.acquire(blocking=False):
            raise BusyError(
                "too many commands are waiting for the agent already",
                hint="let one of the running `syncagent wait` or `reconcile` end",
            )
        try:
            return self._desk.ask(question.verb, question.arguments, question.timeout_s)
        finally:
            self._slow_slots.release()


def _parse(environ: WSGIEnvironment) -> _Question:
    """Check the request from the outside in. Raises _TransportError."""
    path = environ.get("PATH_INFO", "")
    version, _, verb = path.lstrip("/").partition("/")
    if version != "v1" or verb not in VERBS:
        raise _TransportError(
            "404 Not Found",
            f"the agent knows no {path!r}",
            hint="the running agent may be older than this command: compare `syncagent version`",
        )
    if environ["REQUEST_METHOD"] != "POST":
        raise _TransportError("405 Method Not Allowed", f"{path} takes POST only")
    arguments = _read_arguments(environ)
    return _Question(verb, arguments, _timeout_of(verb, arguments))


def _read_arguments(environ: WSGIEnvironment) -> Mapping[str, JSON]:
    """Read the body: a JSON object within the size limit, or nothing. Raises _TransportError."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    if length > BODY_BYTES_MAX:
        raise _TransportError(
            "413 Content Too Large",
            f"the question has {length} bytes; {BODY_BYTES_MAX} are allowed",
        )
    body = environ["wsgi.input"].read(length)
    if not body:
        return {}
    try:
        arguments = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _TransportError("400 Bad Request", f"the question is not JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise _TransportError("400 Bad Request", "the question is JSON, but not an object")
    return arguments


def _timeout_of(verb: str, arguments: Mapping[str, JSON]) -> float:
    """Return how long the desk may take, in seconds. Raises _TransportError."""
    if verb not in SLOW_VERBS:
        return PROMPT_S
    asked = arguments.get("timeout_s", PROMPT_S)
    if isinstance(asked, bool) or not isinstance(asked, int | float):
        raise _TransportError("400 Bad Request", "timeout_s is not a number")
    if not 0 <= asked <= TIMEOUT_S_MAX:
        raise _TransportError("400 Bad Request", f"timeout_s: 0 to {TIMEOUT_S_MAX:g} are allowed")
    return float(asked)


def _error_body(error: SyncagentError) -> bytes:
    """Return the error object as bytes."""
    described: dict[str, JSON] = {
        "message": str(error),
        "hint": error.hint,
        "exit_code": int(error.exit_code),
    }
    if isinstance(error, SettingsError):
        described["mistakes"] = list(error.mistakes)
    return json.dumps({"ok": False, "error": described}).encode()
