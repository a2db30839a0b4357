"""What a person is told on a node that is not the one to ask."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from syncagent.agent.node.rows import hold_row, kept_row
from syncagent.core.digest import digest_of
from syncagent.core.errors import BusyError, RefusedError, SettingsError, UnreachableError
from syncagent.core.intent import Keep, Kept
from syncagent.core.safety import HoldReason, tree_hold
from syncagent.core.settings import Drift, PeerSettings
from syncagent.core.wire.messages import Report, View
from tests.fakes.agent_bench import PEER, THIRD, Bench, T, at, sequence

HELD = {"id": "d-1", "node": PEER, "tree": "synapse", "reason": "too many"}
REFUSED = {"id": "synapse:sequences/x.xml", "node": THIRD, "path": "sequences/x.xml"}


def worker() -> Bench:
    """A worker whose manager's view holds something of each kind."""
    peers = (PeerSettings(PEER, "gw-2:1", ""), PeerSettings(THIRD, "gw-3:1", ""))
    files = {"sequences/a.xml": sequence("a")}
    bench = Bench(files, manager=PEER, standing=files, peers=peers).start()
    link, _ = bench.managed()
    nodes = [{"name": name, "state": "Synced", "role": "worker"} for name in ("gw-1", "gw-3")]
    view = {"revision": 1, "nodes": nodes, "held": [HELD], "alarms": [], "refused": [REFUSED]}
    bench.hear(link, View(json.dumps(view)))
    return bench


def test_a_hold_of_the_manager_is_decided_there() -> None:
    bench = worker()
    for verb in ("approve", "reject"):
        with pytest.raises(BusyError, match="d-1 is held on gw-2, not on gw-1") as told:
            bench.answer(verb, id="d-1")
        assert "gw-2" in told.value.hint
    with pytest.raises(RefusedError, match="no hold 'd-2'"):
        bench.answer("approve", id="d-2")


def test_what_others_refuse_is_listed_on_every_node_until_the_manager_goes() -> None:
    bench = worker()
    assert bench.answer("refused") == [REFUSED]
    status = bench.answer("status")
    assert isinstance(status, dict)
    assert "refused" not in status, "it has a list of its own"
    assert status["held"] == [HELD]
    bench.cut(bench.state.manager_link or 0)
    assert bench.answer("refused") == []


def test_how_another_node_differs_is_asked_of_the_manager() -> None:
    bench = worker()
    with pytest.raises(BusyError, match="only the manager knows how gw-3 differs") as told:
        bench.answer("diff", **{"from": "gw-3"})
    assert "on gw-2: syncagent diff gw-3" in told.value.hint
    with pytest.raises(SettingsError, match="no node or revision 'gw-9'"):
        bench.answer("diff", **{"from": "gw-9"})
    found = bench.answer("describe", artifact="sequence/a")
    assert isinstance(found, dict)
    assert found["nodes"][2]["reason"] == "only the manager knows: ask gw-2"


def test_a_node_that_is_away_is_not_said_to_be_equal() -> None:
    bench = Bench({"sequences/a.xml": sequence("a")}).lead()
    link = bench.follow()
    bench.cut(link)
    with pytest.raises(UnreachableError, match="gw-2 is offline, how it differs is not known"):
        bench.answer("diff", **{"from": "gw-2"})


def test_a_peer_that_cant_be_dialled_says_so_in_its_row() -> None:
    peers = (PeerSettings(PEER, "gw-2:1", ""), PeerSettings(THIRD, "", "key"))
    bench = Bench({"sequences/a.xml": sequence("a")}, peers=peers).lead()
    assert THIRD not in bench.dialled
    status = bench.answer("status")
    assert isinstance(status, dict)
    (row,) = [row for row in status["nodes"] if row["name"] == THIRD]
    assert (row["state"], "no address" in row["reason"]) == ("Offline", True)


def test_what_peers_reported_is_forgotten_with_the_managership() -> None:
    bench = Bench({"sequences/a.xml": sequence("a")}).lead()
    link = bench.follow()
    bench.hear(link, Report(json.dumps({"row": {"state": "Synced", "artifacts": 1}})))
    bench.managed(9)
    status = bench.answer("status")
    assert isinstance(status, dict)
    (row,) = [row for row in status["nodes"] if row["name"] == PEER]
    assert row["state"] != "Synced", "nobody here knows that any more"


def test_a_worker_describes_the_others_by_the_managers_view() -> None:
    bench = worker()
    nodes = [
        {"name": "gw-2", "state": "Synced", "revision": 1},
        {"name": "gw-3", "state": "OutOfSync", "revision": 1},
    ]
    view = {"revision": 1, "nodes": nodes, "held": [], "alarms": []}
    bench.hear(bench.state.manager_link or 0, View(json.dumps(view)))
    found = bench.answer("describe", artifact="sequence/a")
    assert isinstance(found, dict)
    digests = {row["node"]: row["digest"] for row in found["nodes"]}
    assert digests == {"gw-1": found["digest"], "gw-2": found["digest"], "gw-3": None}


def test_what_is_refused_here_is_said_to_be_in_no_revision_there() -> None:
    bench = Bench({"sequences/a.xml": sequence("a"), "sequences/bad.xml": b"<sequence"}).lead()
    bench.follow(standing=bench.state.standing.revision)
    found = bench.answer("describe", artifact="sequence/bad")
    assert isinstance(found, dict)
    assert found["nodes"][0]["state"] == "Refused"
    assert found["nodes"][1]["reason"] == "revision 1 does not have it"


def test_drift_that_is_left_alone_is_reported_at_once() -> None:
    bench = worker()
    bench.state.settings = replace(
        bench.settings, trees=tuple(replace(t, drift=Drift.REPORT) for t in bench.settings.trees)
    )
    bench.pass_(1.0)
    bench.said(Report)
    bench.put("sequences/a.xml", sequence("a", text="by hand"))
    bench.pass_(2.0)
    last = bench.said(Report)[-1]
    assert json.loads(last.body)["row"]["state"] == "OutOfSync"


@pytest.mark.parametrize(
    ("reason", "detail", "said"),
    [
        (
            Keep.DELETED,
            "displaced by transaction 3",
            "deleted: a revision, or an undeploy, took it away",
        ),
        (
            Keep.DRIFT,
            "displaced by transaction 3",
            "drift: changed here without a revision, and put back",
        ),
        (Keep.REFUSED, "line 3: no name", "refused: line 3: no name"),
        (
            Keep.CONFLICT,
            "",
            "conflict: other bytes were here than expected when a revision came",
        ),
    ],
)
def test_quarantine_says_why_in_words_for_people(reason: Keep, detail: str, said: str) -> None:
    kept = Kept("k1", at("sequences/a.xml"), reason, digest_of(b""), 0, 0, detail)
    assert kept_row(kept, "")["reason"] == said


def test_a_tree_that_is_held_names_no_artifacts() -> None:
    hold = tree_hold(HoldReason.ROOT_MISSING, T, PEER, "gone", approvable=False)
    assert hold_row(hold, 0.0)["path"] == ""
