"""How etcd is spoken to: its v3 API as JSON over HTTP, at one of several endpoints, within a time.

One endpoint is asked until it fails, then the next. A question that certainly was not sent (nobody
listens there) goes to the next endpoint at once; one whose fate is unknown is not asked again here.

A member that lags behind the others may answer from the past. Every answer tells how far its
member is (raft's term, the store's revision): one from before what was already seen is refused, and
the next endpoint is asked from then on. If no endpoint that answers is that far any more, it is the
store that went back, as when it is restored from a backup; then its word counts again.

urllib3 and no client of etcd: those for this API know one endpoint, follow the environment's proxies
and certificates, and pass on what requests raises; the one on gRPC is not maintained.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError

from syncagent.core.errors import SettingsError
from syncagent.core.lease import StoreUnavailable
from syncagent.leases.tls import tls_context

Body = Mapping[str, object]

ANSWER_BYTES_MAX: Final = 1 << 20
"""Our answers have less than 2 kB."""
SILENT_TIMES: Final = 2
"""Who was asked so often, while others are behind, and had no answer, does not speak against them."""
_OK: Final = 200
_UNAUTHORIZED: Final = 401
_UNAVAILABLE: Final = 503
_REFUSED: Final = {_UNAUTHORIZED, 403}
_NUMBER: Final = re.compile(r"-?[0-9]{1,20}")
_REASON_LENGTH: Final = 200


@dataclass(frozen=True, slots=True)
class EtcdPlace:
    """Where etcd is and who we are there.

    `endpoints` as `https://host:2379`. `authority`, `certificate` and `key` are PEM files; without
    `authority` the system's are trusted. `user` is for a store with users: etcd does not take them
    from certificates on this API.
    """

    endpoints: tuple[str, ...]
    prefix: str = "/syncagent"
    authority: str = ""
    certificate: str = ""
    key: str = ""
    user: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        assert self.endpoints, "somebody has to be asked"


class Gateway:
    """Asks etcd. One thread at a time. Raises SettingsError if the certificates can't be used."""

    def __init__(self, place: EtcdPlace) -> None:
        self._place = place
        self._at = 0
        self._pool = self._connect()
        self._newest = Newest(len(place.endpoints))
        self._ticket = ""

    def ask(self, path: str, question: Body, until: float) -> Body:
        """Return etcd's answer; raises StoreUnavailable. `until` is an instant of `time.monotonic`."""
        answer = self._ask_somebody(path, question, until)
        inside = within(answer, "result") or answer
        if not self._newest.is_new(self._at, within(inside, "header"), path):
            behind = self._place.endpoints[self._at]
            self._move_on()
            raise StoreUnavailable(f"etcd at {behind} is behind what was already seen")
        return inside

    def close(self) -> None:
        """Let go of the connection."""
        self._pool.close()

    def _ask_somebody(self, path: str, question: Body, until: float) -> Body:
        refusals = []
        for left in range(len(self._place.endpoints), 0, -1):
            try:
                return self._ask_here(path, question, until, left)
            except (NewConnectionError, ConnectTimeoutError) as error:
                refusals.append(f"{self._place.endpoints[self._at]}: {_short(error)}")
                self._move_on()
            except (HTTPError, OSError) as error:
                told = f"etcd at {self._place.endpoints[self._at]}: {_short(error)}"
                self._move_on()
                raise StoreUnavailable(told) from error
        raise StoreUnavailable(f"no etcd answers ({'; '.join(refusals)})")

    def _ask_here(self, path: str, question: Body, until: float, left: int) -> Body:
        """Ask the present endpoint; `left` endpoints have to share the time until `until`."""
        if self._place.user and not self._ticket:
            self._log_in(until, left)
        status, answer = self._post(path, question, until, left)
        if status == _UNAUTHORIZED and self._place.user:
            # Tickets run out when they are not used, and when etcd starts.
            self._log_in(until, left)
            status, answer = self._post(path, question, until, left)
        if status != _OK or "error" in answer:
            self._refuse(status, answer)
        return answer

    def _log_in(self, until: float, left: int) -> None:
        self._ticket = ""
        who = {"name": self._place.user, "password": self._place.password}
        status, answer = self._post("auth/authenticate", who, until, left)
        if status != _OK:
            self._refuse(status, answer)
        self._ticket = text(answer, "token")

    def _post(self, path: str, question: Body, until: float, left: int) -> tuple[int, Body]:
        left_s = until - time.monotonic()
        if left_s <= 0:
            raise StoreUnavailable(f"etcd at {self._place.endpoints[self._at]} is too slow")
        headers = {"Content-Type": "application/json"}
        if self._ticket:
            headers["Authorization"] = self._ticket
        response = self._pool.urlopen(
            "POST",
            f"/v3/{path}",
            body=json.dumps(question),
            headers=headers,
            retries=False,
            redirect=False,
            timeout=urllib3.Timeout(connect=left_s / left, read=left_s),
            preload_content=False,
        )
        content = response.read(ANSWER_BYTES_MAX)
        response.release_conn()
        return response.status, self._read(content)

    def _read(self, content: bytes) -> Body:
        here = self._place.endpoints[self._at]
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as error:
            self._move_on()
            raise StoreUnavailable(f"{here} does not speak like etcd: {error}") from error
        if not isinstance(answer, dict):
            self._move_on()
            raise StoreUnavailable(f"{here} does not speak like etcd")
        return answer

    def _refuse(self, status: int, answer: Body) -> None:
        here = self._place.endpoints[self._at]
        self._move_on()
        error = answer.get("error")
        reason = text(within(answer, "error"), "message") if isinstance(error, dict) else error
        told = str(reason)[:_REASON_LENGTH]
        raise StoreUnavailable(f"etcd at {here} answers {status}: {told}", hint=_hint(status, told))

    def _move_on(self) -> None:
        """Ask the next endpoint from now on, with files read anew: certificates are renewed."""
        self._pool.close()
        self._newest.silent(self._at)
        self._at = (self._at + 1) % len(self._place.endpoints)
        # A ticket is good at all members, but not where the store was made anew.
        self._ticket = ""
        try:
            self._pool = self._connect()
        except SettingsError as error:
            raise StoreUnavailable(str(error), hint=error.hint) from error

    def _connect(self) -> urllib3.HTTPConnectionPool:
        url = urllib3.util.parse_url(self._place.endpoints[self._at])
        host, port = url.host or "localhost", url.port or 2379
        if url.scheme != "https":
            return urllib3.HTTPConnectionPool(host, port, maxsize=1)
        return urllib3.HTTPSConnectionPool(
            host, port, maxsize=1, ssl_context=tls_context("etcd", self._place)
        )


class Newest:
    """How far the store was, of all that was seen; and who is behind that since, or says nothing."""

    def __init__(self, endpoints: int) -> None:
        self._endpoints = endpoints
        self._cluster = ""
        self._term = 0
        self._revision = 0
        self._behind: set[int] = set()
        self._silent: Counter[int] = Counter()

    def is_new(self, endpoint: int, header: Body, path: str) -> bool:
        """Tell whether an answer with this header is from now, as far as can be known."""
        cluster, term = text(header, "cluster_id"), number(header, "raft_term")
        # A member passes a keep-alive on to the leader, and tells its own revision from before.
        revision = self._revision if path == "lease/keepalive" else number(header, "revision")
        behind = term < self._term or revision < self._revision
        if behind and cluster == self._cluster:
            self._behind.add(endpoint)
            silent = {each for each, times in self._silent.items() if times >= SILENT_TIMES}
            if len(self._behind | silent) < self._endpoints:
                return False
        self._cluster, self._term, self._revision = cluster, term, revision
        self._behind.clear()
        self._silent.clear()
        return True

    def silent(self, endpoint: int) -> None:
        """An endpoint was left: if there is a doubt by now, it did not end it."""
        if self._behind:
            self._silent[endpoint] += 1


def text(answer: Body, name: str) -> str:
    """Return a text of etcd's answer; empty if it is left out, as etcd does with what is empty."""
    found = answer.get(name, "")
    return found if isinstance(found, str) else ""


def number(answer: Body, name: str) -> int:
    """Return a number of etcd's answer, which writes 64 bits as text; 0 if it is left out."""
    found = answer.get(name, "0")
    return int(found) if isinstance(found, str) and _NUMBER.fullmatch(found) else 0


def within(answer: Body, name: str) -> Body:
    """Return a part of etcd's answer; empty if it is left out."""
    found = answer.get(name)
    return found if isinstance(found, dict) else {}


def parts(answer: Body, name: str) -> tuple[Body, ...]:
    """Return the parts in a list of etcd's answer."""
    found = answer.get(name)
    return (
        tuple(part for part in found if isinstance(part, dict)) if isinstance(found, list) else ()
    )


def encode(content: str | bytes) -> str:
    """Return bytes as etcd's JSON has them."""
    raw = content.encode() if isinstance(content, str) else content
    return base64.b64encode(raw).decode("ascii")


def decode(content: str) -> bytes:
    """Read bytes from etcd's JSON. Raises StoreUnavailable."""
    try:
        return base64.b64decode(content, validate=True)
    except ValueError as error:
        raise StoreUnavailable(f"etcd's answer can't be read: {error}") from error


def _hint(status: int, reason: str) -> str:
    if status in _REFUSED:
        return "check election.user and password_file, and what that user may read and write"
    if status == _UNAVAILABLE and not reason.startswith("etcdserver"):
        # It is not etcd that answers but its JSON API, a client of it: it was not let in itself.
        return "etcd's own certificate, if it has one, has to allow client authentication too"
    return ""


def _short(error: Exception) -> str:
    return str(error).rpartition(": ")[2][:_REASON_LENGTH]
