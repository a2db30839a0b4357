"""What is made of etcd's answers, also of those that a healthy etcd never gives."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.lease import Candidate, LeadershipLost, StoreUnavailable, Timing
from syncagent.core.revision import Token
from syncagent.leases.etcd import EtcdStore
from syncagent.leases.etcd_gateway import ANSWER_BYTES_MAX, EtcdPlace, Newest
from syncagent.leases.record import Record
from tests.servers.process import reached

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

Answer = tuple[int, bytes]

TIMING = Timing(lease_s=15.0, renew_s=5.0, operation_s=5.0, margin_s=3.0)
TOKEN = Token("apim", 7, NodeName("gw-1"), "start-1")
HEADER = {"cluster_id": "1", "member_id": "1", "revision": "9", "raft_term": "2"}
JOIN_S = 10.0


class Scripted:
    """An etcd that gives one prepared answer after the other, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[tuple[str, dict[str, object], str]] = []
        scripted = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                scripted.asked.append((self.path, body, self.headers.get("Authorization", "")))
                status, content = scripted.answers.pop(0)
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(JOIN_S)

    def will(self, *answers: dict[str, object] | Answer) -> None:
        for answer in answers:
            told = answer if isinstance(answer, tuple) else (200, json.dumps(answer).encode())
            self.answers.append(told)


@pytest.fixture
def etcd() -> Iterator[Scripted]:
    with Scripted() as scripted:
        yield scripted


def connect(*etcds: Scripted, **more: str) -> EtcdStore:
    return EtcdStore(EtcdPlace(tuple(each.url for each in etcds), **more), "apim", TIMING)


def keys(record: bytes = b"", epoch: bytes = b"", **header: str) -> dict[str, object]:
    """The answer to a look at both keys."""
    found = []
    for content, lease in ((record, "77"), (epoch, "0")):
        value = base64.b64encode(content).decode()
        kvs = [{"value": value, "mod_revision": "5", "lease": lease}] if content else []
        found.append({"response_range": {"kvs": kvs}})
    return {"header": {**HEADER, **header}, "responses": found}


HELD = keys(Record(TOKEN, 15.0).encode(), b"7")


def test_what_the_keys_hold_is_seen(etcd: Scripted) -> None:
    etcd.will(HELD)
    view = connect(etcd).observe()
    assert (view.token, view.last_epoch, view.lease_s) == (TOKEN, 7, 15.0)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, b"not JSON"), "Expecting value"),
        ((200, b"[]"), "does not speak like etcd"),
        ((200, b"{"), "Expecting property"),
        ((200, b'"' + b"x" * (ANSWER_BYTES_MAX + 10)), "Unterminated"),
        ((200, b'{"header": {}}'), "can't be read"),
        ((503, b'{"error": "etcdserver: no leader", "code": 14}'), "answers 503: etcdserver: no leader"),
        ((200, b'{"error": {"message": "etcdserver: no leader"}}'), "answers 200: etcdserver: no leader"),
        ((403, b'{"error": "etcdserver: permission denied"}'), "answers 403"),
        ((307, b"{}"), "answers 307"),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_unknown(etcd: Scripted, answer: Answer, told: str) -> None:
    etcd.will(answer)
    with pytest.raises(StoreUnavailable, match=told):
        connect(etcd).observe()


def test_a_value_that_is_not_base64_is_unknown(etcd: Scripted) -> None:
    broken = keys(b"x")
    responses = broken["responses"]
    assert isinstance(responses, list)
    responses[0]["response_range"]["kvs"][0]["value"] = "%%%"
    etcd.will(broken)
    with pytest.raises(StoreUnavailable, match="can't be read"):
        connect(etcd).observe()


@pytest.mark.parametrize("kept", [{}, {"TTL": "0"}, {"TTL": "-1"}])
def test_a_keep_alive_without_time_left_is_surely_lost(
    etcd: Scripted, kept: dict[str, object]
) -> None:
    etcd.will(HELD, {"result": {"header": HEADER, **kept}})
    with pytest.raises(LeadershipLost, match="run out"):
        connect(etcd).renew(TOKEN)


def test_a_key_that_went_while_its_lease_was_kept_alive_is_surely_lost(etcd: Scripted) -> None:
    etcd.will(HELD, {"result": {"header": HEADER, "TTL": "15"}}, keys(b"", b"7"))
    with pytest.raises(LeadershipLost, match="is free"):
        connect(etcd).renew(TOKEN)


def test_a_lease_that_is_renewed_for_less_than_it_has_to_last_does_not_count(
    etcd: Scripted,
) -> None:
    etcd.will(HELD, {"result": {"header": HEADER, "TTL": "14"}}, HELD)
    with pytest.raises(StoreUnavailable, match="renews for 14 s only"):
        connect(etcd).renew(TOKEN)


def test_a_lease_that_is_granted_for_less_than_it_has_to_last_is_not_taken(
    etcd: Scripted,
) -> None:
    etcd.will(keys(), {"header": HEADER, "ID": "77", "TTL": "14"})
    store = connect(etcd)
    with pytest.raises(StoreUnavailable, match="grants leases of 14 s only"):
        store.try_acquire(Candidate("apim", NodeName("gw-1"), "start-1"), store.observe(), 0)


def test_a_lost_race_takes_nothing_even_if_tidying_up_fails(etcd: Scripted) -> None:
    granted = {"header": HEADER, "ID": "77", "TTL": "15"}
    etcd.will(keys(), granted, {"header": HEADER}, (500, b'{"error": "x"}'))
    store = connect(etcd)
    assert store.try_acquire(Candidate("apim", NodeName("gw-1"), "1"), store.observe(), 0) is None


def test_a_ticket_is_got_once_and_again_when_it_is_refused(etcd: Scripted) -> None:
    refused = (401, b'{"error": "etcdserver: invalid auth token"}')
    first, second = ({"header": HEADER, "token": name} for name in ("one", "two"))
    etcd.will(first, HELD, HELD, refused, second, HELD)
    store = connect(etcd, user="agent", password="secret")
    for _ in range(3):
        assert store.observe().token == TOKEN
    tickets = [ticket for _, _, ticket in etcd.asked]
    assert tickets == ["", "one", "one", "one", "", "two"]
    assert "secret" not in repr(store)


def test_a_member_that_lags_is_refused_and_another_one_is_asked(etcd: Scripted) -> None:
    with Scripted() as other:
        etcd.will(keys(revision="8"), keys(b"", b"6", revision="5"))
        other.will(HELD)
        store = connect(etcd, other)
        store.observe()
        with pytest.raises(StoreUnavailable, match="behind"):
            store.observe()
        assert store.observe().token == TOKEN


def test_a_keep_alive_may_tell_an_older_revision(etcd: Scripted) -> None:
    older = {**HEADER, "revision": "1"}
    etcd.will(HELD, {"result": {"header": older, "TTL": "15"}}, HELD)
    connect(etcd).renew(TOKEN)


OVERDUE = keys(Record(TOKEN, 0.001).encode(), b"7")


def left(seconds: int) -> dict[str, object]:
    """The answer to how long a lease has left."""
    return {"header": HEADER, "ID": "77", "TTL": str(seconds), "grantedTTL": "15"}


def watched(etcd: Scripted) -> EtcdStore:
    """A store that has seen the holder's key for as long as the holder's lease is."""
    etcd.will(OVERDUE)
    store = connect(etcd)
    seen = store.observe()
    reached(
        lambda: time.monotonic() > store._seen_since + seen.lease_s, "the lease's length is over"
    )
    etcd.asked.clear()
    return store


def test_a_lease_that_etcd_counts_as_run_out_and_does_not_end_is_ended(etcd: Scripted) -> None:
    store = watched(etcd)
    etcd.will(OVERDUE, left(-2), OVERDUE, {"header": HEADER}, keys(b"", b"7"))
    view = store.observe()
    assert (view.token, view.last_epoch) == (None, 7)
    assert [(path, body.get("ID")) for path, body, _ in etcd.asked] == [
        ("/v3/kv/txn", None),
        ("/v3/lease/timetolive", "77"),
        ("/v3/kv/txn", None),
        ("/v3/lease/revoke", "77"),
        ("/v3/kv/txn", None),
    ]


@pytest.mark.parametrize("seconds", [9, 0])
def test_a_lease_that_has_not_run_out_is_left_alone(etcd: Scripted, seconds: int) -> None:
    store = watched(etcd)
    etcd.will(OVERDUE, left(seconds))
    assert store.observe().token == TOKEN


@pytest.mark.parametrize("change", [{"raft_term": "3"}, {"member_id": "2"}])
def test_who_may_not_lead_etcd_any_more_is_not_believed(
    etcd: Scripted, change: dict[str, str]
) -> None:
    store = watched(etcd)
    later = {**OVERDUE, "header": {**HEADER, **change}}
    etcd.will(OVERDUE, left(-2), later)
    assert store.observe().token == TOKEN


def test_a_lease_that_was_given_back_meanwhile_is_not_ended(etcd: Scripted) -> None:
    store = watched(etcd)
    etcd.will(OVERDUE, left(-2), keys(b"", b"7"))
    assert store.observe().token == TOKEN, "as it was seen; the next look tells"


def header(term: int, revision: int, cluster: str = "1") -> dict[str, object]:
    return {"cluster_id": cluster, "raft_term": str(term), "revision": str(revision)}


LOOK = "kv/txn"


def test_a_store_that_went_back_everywhere_counts_again() -> None:
    newest = Newest(3)
    assert newest.is_new(0, header(5, 90), LOOK)
    assert not newest.is_new(0, header(2, 3), LOOK)
    assert not newest.is_new(1, header(2, 3), LOOK)
    assert not newest.is_new(1, header(2, 3), LOOK), "the same member twice is one member"
    assert newest.is_new(2, header(2, 3), LOOK)
    assert newest.is_new(0, header(2, 4), LOOK)


def test_a_store_that_went_back_counts_again_while_an_endpoint_is_down() -> None:
    newest = Newest(3)
    assert newest.is_new(0, header(5, 90), LOOK)
    newest.silent(0)
    assert not newest.is_new(1, header(2, 3), LOOK)
    assert not newest.is_new(2, header(2, 3), LOOK), "the first failed before there was a doubt"
    newest.silent(0)
    assert not newest.is_new(1, header(2, 3), LOOK), "once is no sign"
    newest.silent(0)
    assert newest.is_new(1, header(2, 3), LOOK)


def test_an_endpoint_that_fails_once_and_is_up_to_date_is_believed() -> None:
    newest = Newest(3)
    assert newest.is_new(0, header(5, 90), LOOK)
    assert not newest.is_new(1, header(2, 3), LOOK)
    newest.silent(0)
    newest.silent(0)
    assert newest.is_new(0, header(5, 90), LOOK)
    assert not newest.is_new(1, header(2, 3), LOOK)
    assert not newest.is_new(2, header(2, 3), LOOK), "what was silent before is over"


def test_a_restored_store_elects_though_an_endpoint_is_down(etcd: Scripted) -> None:
    with Scripted() as other:
        other.will(keys(revision="90"))
        newer = EtcdPlace(("http://127.0.0.1:1", other.url, etcd.url))
        store = EtcdStore(newer, "apim", TIMING)
        store.observe()
        restored = keys(revision="8")
        other.will(restored, restored, restored)
        etcd.will(restored, restored, restored)
        for _ in range(4):
            with pytest.raises(StoreUnavailable, match="behind"):
                store.observe()
        assert store.observe().token is None


def test_one_that_is_up_to_date_ends_the_doubt() -> None:
    newest = Newest(2)
    assert newest.is_new(0, header(5, 90), LOOK)
    assert not newest.is_new(1, header(5, 80), LOOK)
    assert newest.is_new(0, header(5, 91), LOOK)
    assert not newest.is_new(1, header(5, 90), LOOK)


def test_another_cluster_begins_anew() -> None:
    newest = Newest(2)
    assert newest.is_new(0, header(5, 90), LOOK)
    assert newest.is_new(1, header(1, 1, "2"), LOOK)


def test_a_lower_term_is_behind_for_a_keep_alive_too() -> None:
    newest = Newest(2)
    assert newest.is_new(0, header(5, 90), LOOK)
    assert newest.is_new(1, header(5, 10), "lease/keepalive")
    assert not newest.is_new(1, header(4, 95), "lease/keepalive")
    assert not newest.is_new(1, header(5, 89), LOOK), "a keep-alive takes nothing back"
