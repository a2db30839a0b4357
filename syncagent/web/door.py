"""The TCP door: what the agent says over the network, and to whom.

Open to everybody who can reach it are a node's role, health and state, all of them from what the
loop published, so that no stranger makes the loop work and no busy loop keeps a load balancer
waiting:

    GET /manager   200 only while this node is the manager and its runtime is ready
    GET /worker    200 while it serves as a worker
    GET /readyz    200 once all that should be here is here and the runtime is up
    GET /healthz   200 while the agent's loop turns
    GET /status    what `syncagent status -o json` prints; `Age` says of how many seconds ago. What a
                   lease store said when it could not be asked is left out without the token
    GET /metrics   the same in numbers, for Prometheus

Each is HEAD too. Where the answer is no it is 503, with the reason. Everything else that the
control socket knows (`POST /v1/VERB`: lists, the contents of artifacts, every action) takes the
bearer token, and is refused with 403 where no token is configured. Questions to the loop may take
all but two of the server's threads.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

from syncagent.core import health
from syncagent.core.metrics import exposition
from syncagent.web.app import ControlApp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from syncagent.core.desk import JSON, Desk
    from syncagent.core.health import Board, Finding
    from syncagent.web.secrets import Token

JSON_TYPE = "application/json"
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_GOOD, _BAD = "200 OK", "503 Service Unavailable"
_BUSY_S = "1"


class Answer:
    """One answer, before it is sent."""

    def __init__(
        self, status: str, body: bytes, kind: str = JSON_TYPE, *headers: tuple[str, str]
    ) -> None:
        self.status = status
        self.body = body
        self.headers = [
            ("Content-Type", kind),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            *headers,
        ]


class DoorApp:
    """The WSGI callable. `token` may change at any time."""

    def __init__(self, desk: Desk, board: Board, *, asking_max: int) -> None:
        self.token: Token | None = None
        self._board = board
        self._control = ControlApp(desk, slow_max=max(1, asking_max - 1))
        self._asking = threading.BoundedSemaphore(asking_max)
        self._routes: dict[str, Callable[[], Answer]] = {
            "/manager": self._manager,
            "/worker": self._worker,
            "/readyz": self._ready,
            "/healthz": self._alive,
            "/metrics": self._metrics,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if path.startswith("/v1/"):
            return self._verb(environ, start_response)
        known = self._opens(environ)
        answer = self._answer(path, environ["REQUEST_METHOD"], known=known)
        start_response(answer.status, answer.headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [answer.body]

    def _answer(self, path: str, method: str, *, known: bool) -> Answer:
        routes = self._routes | {"/status": lambda: self._status(known=known)}
        route = routes.get(path)
        if route is None:
            return _no("404 Not Found", f"there is no {path[:80]!r} here", " ".join(routes))
        if method not in {"GET", "HEAD"}:
            refused = _no("405 Method Not Allowed", f"{path} takes GET only")
            refused.headers.append(("Allow", "GET, HEAD"))
            return refused
        return route()

    # --- for everybody ----------------------------------------------------------------------

    def _manager(self) -> Answer:
        # The elector first: what it believes may only end between the two.
        pulse, belief = self._board.pulse(), self._board.belief()
        return self._found(health.manager(pulse, belief, self._board.now()))

    def _worker(self) -> Answer:
        return self._found(health.worker(self._board.pulse(), self._board.now()))

    def _ready(self) -> Answer:
        return self._found(health.ready(self._board.pulse(), self._board.now()))

    def _alive(self) -> Answer:
        return self._found(health.alive(self._board.pulse(), self._board.now()))

    def _found(self, finding: Finding) -> Answer:
        pulse = self._board.pulse()
        told: dict[str, JSON] = {"ok": finding.good, "reason": finding.reason}
        if pulse is not None:
            told |= {"node": pulse.node, "role": pulse.role, "revision": pulse.revision}
        return Answer(_GOOD if finding.good else _BAD, _json(told))

    def _status(self, *, known: bool) -> Answer:
        """`known`: who asks has the token."""
        published = self._board.status()
        if published is None:
            return _no(_BAD, health.AWAY)
        status, at = published
        age_s = max(0, round(self._board.now() - at))
        told = status if known else health.for_everybody(status)
        return Answer(_GOOD, _json(told), JSON_TYPE, ("Age", str(age_s)))

    def _metrics(self) -> Answer:
        board = self._board
        known = board.status()
        status = known[0] if known is not None else None
        text = exposition(board.pulse(), board.belief(), status, board.now())
        return Answer(_GOOD, text.encode(), METRICS_TYPE)

    # --- for who has the token --------------------------------------------------------------

    def _verb(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal = self._refusal(environ)
        if refusal is None and not self._asking.acquire(blocking=False):
            refusal = _no(_BAD, "too many questions wait for the agent already")
            refusal.headers.append(("Retry-After", _BUSY_S))
        if refusal is not None:
            start_response(refusal.status, refusal.headers)
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [refusal.body]
        try:
            answer = self._control(environ, start_response)
        finally:
            self._asking.release()
        return [] if environ["REQUEST_METHOD"] == "HEAD" else answer

    def _opens(self, environ: WSGIEnvironment) -> bool:
        """Tell whether a request carries the token."""
        return self.token is not None and self.token.opens(environ.get("HTTP_AUTHORIZATION", ""))

    def _refusal(self, environ: WSGIEnvironment) -> Answer | None:
        if self.token is None:
            return _no(
                "403 Forbidden",
                "no token is configured, so nothing can be asked or done over the network",
                "set [http] token_file, or ask on the node itself: syncagent",
            )
        if self._opens(environ):
            return None
        refused = _no("401 Unauthorized", "this takes the bearer token")
        refused.headers.append(("WWW-Authenticate", 'Bearer realm="syncagent"'))
        return refused


def _no(status: str, message: str, hint: str = "") -> Answer:
    error: dict[str, JSON] = {"message": message, "hint": hint}
    return Answer(status, _json({"ok": False, "error": error}))


def _json(value: JSON) -> bytes:
    return json.dumps(value).encode() + b"\n"
