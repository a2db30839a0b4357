"""A peer proves its name by its key; what it then says may be nonsense, and stops nobody."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.node.hearsay import NUMBER_MAX, TEXT_CHARS_MAX, hearsay
from syncagent.core.settings import PeerSettings, RolloutSettings
from syncagent.core.wire.codec import encode
from syncagent.core.wire.messages import Answered, Ask, Report, View
from tests.fakes.agent_bench import ME, PEER, XMLNS, Bench, entry, sequence
from tests.fakes.runtime_words import SYNAPSE

if TYPE_CHECKING:
    from collections.abc import Iterator

A, S = "api/a.xml", "sequences/s.xml"


def api(text: str) -> bytes:
    return (
        f'<api xmlns="{XMLNS}" name="a" context="/a"><resource methods="GET"><inSequence>'
        f"<!--{text}--></inSequence></resource></api>"
    ).encode()


OLD = {A: api("old"), S: sequence("s")}
NONSENSE: tuple[object, ...] = (
    *(None, True, -5, 10**400, float("nan"), float("inf"), "x", "\ud800\x1b[31m"),
    *(NUMBER_MAX, -NUMBER_MAX),
    *([], [[]], [None], {}, {"a": {}}, {"row": {"row": {"row": {}}}}),
    [{"tree": [], "path": {}, "id": [], "state": [], "node": {}, "name": [[]]}],
)
Place = tuple[str | int, ...]


def report(number: int, refused: bytes) -> dict[str, object]:
    """Return a worker's report that has something in each of its parts."""
    runtime = {"kind": "synapse", "label": "", "phase": "ready", "answers": True, "scan_s": 1.0}
    where = {"tree": "synapse", "path": A}
    return {
        "row": {
            "name": PEER,
            "state": "Synced",
            "revision": number,
            "reason": "",
            "seen_s": 0.0,
            "artifacts": 2,
            "deployed": 1,
            "pending": 0,
            "rejected": 1,
            "unknown": 0,
            "runtime": runtime,
            "undeployed": [{**where, "kind": "api", "name": "a", "until": "", "left_s": 1.0}],
        },
        "held": [{**where, "id": "d-1", "reason": "", "kind": "deletions", "paths": [A]}],
        "refused": [{**where, "id": "x", "reason": "", "node": PEER, "code": "x", "line": 1}],
        "differing": [{**where, "digest": "x"}],
        "alarms": ["x"],
        "twins": [{"name": "x", "address": "y"}],
        "progress": {"name": PEER, "phase": "x", "files_done": 1, "files_total": 2},
        "withheld": "x",
        "portions": 0,
        "runtime": runtime,
        "outcomes": [
            {**where, "digest": entry(refused).digest, "state": "Rejected", "reason": "no"}
        ],
        "outcomes_total": 1,
    }


def places(value: object, here: Place = ()) -> Iterator[Place]:
    yield here
    if isinstance(value, dict):
        for name, each in value.items():
            yield from places(each, (*here, name))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from places(each, (*here, index))


def spoilt(value: object, place: Place, nonsense: object) -> object:
    """Return `value` with something else at one place."""
    if not place:
        return nonsense
    first, *rest = place
    if isinstance(value, dict):
        return {**value, first: spoilt(value[first], tuple(rest), nonsense)}
    assert isinstance(value, list)
    return [
        spoilt(each, tuple(rest), nonsense) if index == first else each
        for index, each in enumerate(value)
    ]


def ask_everything(bench: Bench) -> None:
    """Have all that reports and views are read for."""
    for verb, arguments in (
        ("status", {}),
        ("refused", {}),
        ("held", {}),
        ("describe", {"artifact": "api/a"}),
        ("progress", {}),
        ("diff", {"from": PEER}),
        ("approve", {"id": "d-9"}),
        ("wait", {"deployed": True}),
        ("wait", {"synced": True}),
        ("wait", {"ready": True}),
        ("reconcile", {"dry_run": True}),
    ):
        request = bench.ask(verb, timeout_s=0.01, **arguments)
        bench.at += 0.02
        bench.rest()
        reply = bench.replies.get(request)
        json.dumps(reply.result if reply is not None else None, allow_nan=False)
    for _, message in bench.sent:
        encode(message, 2)
    for event in bench.reports:
        json.dumps(event.fields, ensure_ascii=False).encode()
    bench.sent.clear()
    bench.reports.clear()


@pytest.mark.parametrize("trials", [True, False])
def test_no_report_of_a_worker_stops_its_manager(trials: bool) -> None:
    bench = Bench(
        OLD,
        standing=OLD,
        peers=(PeerSettings(PEER, "gw-2:1", ""),),
        rollout=RolloutSettings(canary="manager" if trials else "none"),
    ).beside(SYNAPSE)
    link = bench.lead().follow(PEER)
    new = api("new")
    bench.put(A, new)
    bench.pass_(1.0)
    told = report(bench.state.standing.revision.number, new)
    for place in places(told):
        for nonsense in NONSENSE:
            bench.hear(link, Report(json.dumps(spoilt(told, place, nonsense))))
            bench.pass_(0.3)
        ask_everything(bench)
    assert bench.state.leads


def test_no_view_of_a_manager_stops_its_worker() -> None:
    bench = Bench(OLD, manager=PEER, standing=OLD).start()
    link, _ = bench.managed()
    row = {"name": ME, "state": "Synced", "revision": 1, "seen_s": 0.0, "undeployed": []}
    view = {
        "manager": PEER,
        "revision": 1,
        "state": "Synced",
        "nodes": [row, {**row, "name": PEER, "undeployed": [{"tree": "synapse", "path": A}]}],
        "held": [{"id": "d-1", "node": PEER}],
        "alarms": ["x"],
        "refused": [{"tree": "synapse", "path": A, "node": PEER, "code": "x"}],
    }
    for place in places(view):
        for nonsense in NONSENSE:
            bench.hear(link, View(json.dumps(spoilt(view, place, nonsense))))
            bench.pass_(0.3)
            for message in bench.said(Ask):
                bench.hear(link, Answered(message.id, json.dumps({"result": nonsense})))
        ask_everything(bench)


def test_what_a_peer_says_can_be_shown_on_a_terminal() -> None:
    said = hearsay(json.dumps({"reason": "\x1b]0;x\x07\ud800 no\nnext", "long": "x" * 10_000}))
    assert said["reason"] == "\\x1b]0;x\\x07\\ud800 no\nnext"
    assert len(str(said["long"])) == TEXT_CHARS_MAX


def test_numbers_that_no_reader_of_json_takes_are_none() -> None:
    body = '{"a": 1e999, "b": NaN, "c": 1' + "0" * 400 + ', "d": 7, "e": 0.5, "f": true}'
    found = {"a": None, "b": None, "c": None, "d": 7, "e": 0.5, "f": True}
    assert hearsay(body) == found


def test_what_is_nested_without_end_is_cut_off() -> None:
    assert hearsay('{"row":' * 200 + "1" + "}" * 200)
    assert hearsay('{"row":' * 100_000) == {}
    assert hearsay("[]") == {}
