"""Trees that are a mount of all nodes: a worker stands on revisions and never writes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.node.job import Stage
from syncagent.core import exempt
from syncagent.core.artifact import Kind
from syncagent.core.digest import digest_of
from syncagent.core.errors import BusyError, RefusedError
from syncagent.core.events import Hinted, HintKind, RuntimeHeard
from syncagent.core.intent import Keep
from syncagent.core.ledger import StandingChange
from syncagent.core.outcome import Deployment
from syncagent.core.runtime import Heard, Saying
from syncagent.core.settings import (
    PeerSettings,
    RolloutSettings,
    SharedForm,
    SharedSettings,
    Writers,
)
from syncagent.core.snapshot import Condition
from syncagent.core.trials import NOTE as TRIALS
from syncagent.core.wire.messages import (
    Answered,
    Ask,
    Blobs,
    Commit,
    Declined,
    Done,
    ManifestPart,
    Missing,
    Offer,
    Prepared,
    Propose,
    Surveyed,
    View,
    Want,
)
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import (
    ME,
    PEER,
    THIRD,
    Bench,
    Files,
    T,
    adds,
    at,
    entry,
    rows,
    sequence,
)
from tests.fakes.agent_bench import revision as revision_of
from tests.fakes.runtime_words import CARBON
from tests.unit.agent.test_following import changes, following

if TYPE_CHECKING:
    from syncagent.core.revision import Token

A, B, C = "sequences/a.xml", "sequences/b.xml", "sequences/c.xml"
OLD = {A: sequence("a"), B: sequence("b")}
NEW = {**OLD, A: sequence("a", text="2"), C: sequence("c")}
SHARED: dict[str, object] = {
    "mode": "shared",
    "shared": SharedSettings(SharedForm.IN_PLACE),
    "writers": Writers.ANY,
}


def worker(files: Files | None = None, **given: object) -> Bench:
    """A worker that stands on revision 1 of gw-2."""
    return Bench(
        OLD if files is None else files, manager=PEER, standing=OLD, **SHARED, **given
    ).start()  # type: ignore[arg-type]


def manager(files: Files | None = None, **given: object) -> tuple[Bench, int]:
    """A manager with one worker."""
    bench = Bench(OLD if files is None else files, **SHARED, **given).lead().pass_(3)  # type: ignore[arg-type]
    link = bench.follow()
    bench.hear(link, Done(bench.state.standing.revision, bench.state.base.digest))
    bench.sent.clear()
    return bench, link


def batch(*contents: bytes) -> Blobs:
    return Blobs(*compress_batch([(entry(content), content) for content in contents]))


def state_of(bench: Bench) -> object:
    status = bench.answer("status")
    assert isinstance(status, dict)
    return next(row["state"] for row in status["nodes"] if row["name"] == ME)


# --- a worker ---------------------------------------------------------------------------------


def test_what_a_worker_does_not_see_yet_it_reads_into_its_history_and_writes_nothing() -> None:
    bench = worker()
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new)
    (want,) = bench.said(Want)
    assert set(want.blobs) == {digest_of(NEW[A]), digest_of(NEW[C])}
    bench.hear(link, batch(NEW[A], NEW[C]))
    assert bench.said(Prepared) == [Prepared(new.id)]
    bench.hear(link, Commit(token, new.id))
    assert bench.said(Done) == [Done(new.id, rows(NEW).digest)]
    assert bench.files == OLD
    assert bench.history.blob(digest_of(NEW[C])) == NEW[C]
    assert bench.history.standing().revision == new.id
    bench.pass_(90.0)
    assert (bench.files, state_of(bench)) == (OLD, "OutOfSync")
    for path in (A, C):
        bench.put(path, NEW[path])
    bench.pass_(3.0)
    assert state_of(bench) == "Synced"


def test_what_a_worker_sees_already_is_read_from_the_mount() -> None:
    bench = worker()
    link, token = bench.managed()
    for path in (A, C):
        bench.put(path, NEW[path])
    bench.pass_(3.0)
    new = following(bench, NEW)
    bench.offer(link, token, new)
    bench.hear(link, Commit(token, new.id))
    assert bench.said(Want) == []
    assert state_of(bench) == "Synced"
    assert bench.history.blob(digest_of(NEW[C])) == NEW[C]


def test_what_the_manager_has_no_more_does_not_keep_a_worker_from_its_revision() -> None:
    bench = worker()
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new)
    (want,) = bench.said(Want)
    bench.hear(link, Missing(new.id, want.blobs))
    bench.hear(link, Commit(token, new.id))
    assert bench.state.standing.revision == new.id
    assert bench.said(Declined) == []


def test_bytes_that_are_not_what_was_asked_for_end_the_offer() -> None:
    bench = worker()
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new)
    good = batch(NEW[A], NEW[C])
    bench.hear(link, Blobs(good.entries, batch(NEW[A], b"other").frame))
    (declined,) = bench.said(Declined)
    assert declined.code == "failed"
    assert bench.state.standing.revision != new.id


def test_a_manifest_is_enough_where_the_changes_are_not_known() -> None:
    bench = worker()
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new, whole=True)
    (want,) = bench.said(Want)
    assert want.manifest


def test_a_worker_neither_reverts_nor_proposes_what_it_sees() -> None:
    bench = worker()
    link, _ = bench.managed()
    bench.put(A, NEW[A])
    bench.remove(B)
    bench.pass_(120.0)
    assert bench.files == {A: NEW[A]}
    assert bench.said(Propose, link) == []
    assert bench.disk.kept() == ()
    assert state_of(bench) == "OutOfSync"


def test_what_is_not_valid_is_listed_on_every_node_and_kept_by_the_manager_alone() -> None:
    bench = worker()
    bench.managed()
    bench.put(A, b"<broken")
    bench.pass_(3.0)
    assert [row["path"] for row in bench.answer("refused")] == [A]  # type: ignore[attr-defined]
    assert bench.disk.kept() == ()
    leader, _ = manager()
    leader.put(A, b"<broken")
    leader.pass_(3.0)
    assert [kept.path for kept in leader.disk.kept()] == [at(A)]


def test_what_only_this_node_would_refuse_is_live_all_the_same_and_said() -> None:
    bench = worker()
    link, token = bench.managed()
    bad = b'<sequence xmlns="http://ws.apache.org/ns/synapse"/>'
    bench.put(C, bad)
    bench.pass_(3.0)
    new = following(bench, {**OLD, C: bad})
    bench.offer(link, token, new)
    bench.hear(link, Commit(token, new.id))
    assert bench.state.standing.revision == new.id
    (row,) = bench.answer("refused")  # type: ignore[misc]
    assert (row["path"], row["code"]) == (C, "refused-here")
    assert "live all the same" in row["reason"]
    bench.put(C, NEW[C])
    bench.pass_(3.0)
    assert bench.answer("refused") == []


def test_other_files_are_no_first_contact_and_no_limit_holds_a_worker() -> None:
    many = {f"sequences/s{n}.xml": sequence(f"s{n}") for n in range(80)}
    bench = Bench(many, manager=PEER, **SHARED).start()  # type: ignore[arg-type]
    link, token = bench.managed()
    zero = bench.state.standing
    first = revision_of(zero.revision, zero.manifest, adds(OLD), epoch=2)
    bench.offer(link, token, first)
    bench.hear(link, batch(*OLD.values()))
    bench.hear(link, Commit(token, first.id))
    assert bench.state.standing.revision == first.id
    gone = revision_of(first.id, rows(OLD), changes(OLD, {}), epoch=2)
    bench.offer(link, token, gone)
    bench.hear(link, Commit(token, gone.id))
    assert bench.state.standing.revision == gone.id
    assert not bench.state.holds
    assert bench.files == many


def test_a_mount_that_is_away_keeps_nobody_from_a_revision() -> None:
    bench = worker()
    link, token = bench.managed()
    bench.disk.conditions[T] = Condition.MISSING
    bench.pass_(90.0)
    new = following(bench, NEW)
    bench.offer(link, token, new)
    bench.hear(link, batch(NEW[A], NEW[C]))
    bench.hear(link, Commit(token, new.id))
    assert bench.state.standing.revision == new.id
    assert state_of(bench) == "Held"


def test_a_workers_quarantine_is_the_managers_to_tidy() -> None:
    bench = worker()
    bench.managed()
    bench.pass_(400.0)
    assert [e for e in bench.hands if isinstance(e, fx.Tidy)] == []
    bench.disk.keep(at(A), b"x", Keep.DRIFT, "")
    bench.do(fx.Tidy((), None, 0))
    assert len(bench.disk.kept()) == 1


# --- the manager ------------------------------------------------------------------------------


def test_a_change_is_offered_to_all_at_once_without_a_canary() -> None:
    names = (PEER, THIRD)
    peers = tuple(PeerSettings(name, f"{name}:1", "") for name in names)
    given: dict[str, object] = {**SHARED, "peers": peers}
    bench = Bench(OLD, rollout=RolloutSettings(canary="manager"), **given).beside(CARBON)  # type: ignore[arg-type]
    bench.lead().pass_(3)
    links = [bench.follow(name) for name in names]
    bench.sent.clear()
    bench.put(A, NEW[A])
    bench.pass_(3.0)
    number = bench.state.standing.revision.number
    for link in links:
        (offer,) = bench.said(Offer, link)
        assert (offer.revision.number, offer.withheld) == (number, ())
        bench.hear(link, Prepared(offer.revision))
    assert [bool(bench.said(Commit, link)) for link in links] == [True, True]


def test_what_a_runtime_wrote_back_becomes_the_next_revision() -> None:
    bench = Bench(OLD, **SHARED).beside(CARBON).lead().pass_(60.0)  # type: ignore[arg-type]
    assert bench.gateway is not None
    bench.gateway.refuses = lambda path, content: "no" if content == NEW[A] else ""
    bench.put(A, NEW[A])
    bench.pass_(120.0)
    assert not bench.state.exempt
    there = bench.state.standing.manifest.get(at(A))
    here = bench.disk.content(at(A))
    assert (there.digest if there else None) == (digest_of(here) if here is not None else None)
    assert here != NEW[A], "the runtime has written, or moved it away"
    assert not bench.state.holds


def test_what_was_exempt_or_on_trial_in_a_mode_before_counts_no_more() -> None:
    noted = exempt.Exemption(at(A), exempt.Because.UNDEPLOYED, digest_of(OLD[A]), None, 9e12, "")
    bench = Bench(OLD, manager=PEER, standing=OLD, **SHARED)  # type: ignore[arg-type]
    trial = json.dumps([["synapse", A, "g", None, [digest_of(OLD[A]), 1], 1, False, "", ""]])
    notes = {exempt.NOTE: exempt.to_note({at(A): noted}), TRIALS: trial}
    bench.history.stand(StandingChange(notes=notes))
    bench.join(bench.history, bench.guard)
    bench.start()
    assert (bench.state.exempt, bench.state.base) == ({}, rows(OLD))
    assert not bench.node.trying.trials
    bench.pass_(60.0)
    assert bench.files == OLD


def test_what_was_seen_in_a_cache_is_not_declared() -> None:
    bench, _ = manager()
    standing = bench.state.standing.revision
    bench.put(A, NEW[A])
    bench.pass_(3.0)
    assert bench.state.standing.revision.number == standing.number + 1
    # The history has the bytes from before: only the mount says that they are not there.
    result = bench.do(
        fx.Declare(
            bench.state.token,  # type: ignore[arg-type]
            revision_of(
                bench.state.standing.revision,
                bench.state.standing.manifest,
                changes({A: NEW[A]}, {A: OLD[A]}),
            ),
            ((at(A), entry(OLD[A])),),
            read=True,
        )
    )
    assert isinstance(result, rs.DeclareFailed)
    assert result.changed == (at(A),)


def test_a_new_manager_looks_at_all_before_it_declares() -> None:
    bench = worker()
    bench.managed()
    bench.disk.put(at(A), NEW[A])
    bench.ask("promote", force=True)
    bench.pass_(12.0)
    assert bench.state.leads
    assert bench.state.standing.manifest.get(at(A)) == entry(NEW[A])
    assert bench.files == {**OLD, A: NEW[A]}


def test_a_new_manager_catches_up_without_writing() -> None:
    bench = Bench(OLD, standing=OLD, **SHARED).start()  # type: ignore[arg-type]
    link = bench.link()
    newest = following(bench, NEW)
    old = bench.state.guard.highest
    bench.hear(link, Surveyed(old, newest.id, rows(NEW).digest, (T,)))
    bench.admit(link, newest.id, rows(NEW).digest)
    bench.hear(link, ManifestPart(newest.id, tuple(rows(NEW)), last=True))
    bench.hear(link, batch(NEW[A], NEW[C]))
    bench.pass_(1.0)
    assert bench.state.leads
    assert bench.files == OLD
    assert bench.state.standing.revision.number > newest.id.number, "what is there is declared"
    assert bench.state.standing.manifest.get(at(A)) == entry(OLD[A])


# --- by hand ----------------------------------------------------------------------------------


def test_one_touch_by_the_manager_redeploys_everywhere() -> None:
    bench, link = manager()
    before = bench.disk.trees[T][A][1]
    request = bench.ask("redeploy", artifact="sequence/a")
    assert bench.disk.trees[T][A][1] > before
    (asked,) = bench.said(Ask, link)
    row = {"node": PEER, "done": True, "reason": "it waits for its runtime"}
    bench.hear(link, _answer(asked, {"nodes": [row]}))
    assert bench.replies[request].error is None


def test_a_worker_that_is_asked_by_its_manager_only_waits_for_its_runtime() -> None:
    bench = Bench(OLD, manager=PEER, standing=OLD, **SHARED).beside(CARBON).start()  # type: ignore[arg-type]
    link, _ = bench.managed()
    bench.pass_(60.0)
    before = dict(bench.disk.trees[T])
    wish = json.dumps({"artifact": f"synapse:{A}", "for_s": 60.0})
    bench.hear(link, Ask(1, "redeploy", wish))
    assert bench.node.deploying.outcome(at(A), digest_of(OLD[A])).state is Deployment.PENDING
    bench.pass_(300.0)
    assert bench.disk.trees[T] == before
    said = bench.node.deploying.outcome(at(A), digest_of(OLD[A]))
    assert said.state is Deployment.UNKNOWN
    assert "only the manager touches" in said.reason


def test_a_worker_without_a_runtime_touches_nothing_either() -> None:
    bench = worker()
    link, _ = bench.managed()
    before = dict(bench.disk.trees[T])
    bench.hear(link, Ask(1, "redeploy", json.dumps({"artifact": f"synapse:{A}", "for_s": 60.0})))
    assert bench.disk.trees[T] == before


@pytest.mark.parametrize("node", [ME, PEER])
def test_no_artifact_is_redeployed_on_one_node(node: str) -> None:
    bench, _ = manager()
    with pytest.raises(RefusedError, match="redeploys sequence/a on every node") as error:
        bench.answer("redeploy", artifact="sequence/a", node=node)
    assert "without --node" in error.value.hint


def test_nothing_is_undeployed_while_its_file_is_there() -> None:
    bench, _ = manager()
    with pytest.raises(RefusedError, match="same folder") as error:
        bench.answer("undeploy", artifact="sequence/a")
    assert "delete the file" in error.value.hint
    assert bench.files == OLD


def test_a_worker_sends_people_to_the_manager() -> None:
    bench = worker()
    bench.managed()
    with pytest.raises(BusyError) as error:
        bench.answer("redeploy", artifact="sequence/a")
    assert error.value.hint == f"on {PEER}: syncagent redeploy sequence/a"
    bench.disk.keep(at(A), OLD[A], Keep.DRIFT, "")
    bench.remove(A)
    bench.pass_(5.0)
    with pytest.raises(BusyError, match="alone writes") as error:
        bench.answer("restore", what=f"synapse:{A}")
    assert error.value.hint == f"on {PEER}: syncagent restore synapse:{A}"
    assert bench.files == {B: OLD[B]}


def test_the_manager_restores_onto_the_mount() -> None:
    bench, _ = manager()
    kept = bench.disk.keep(at(A), OLD[A], Keep.DRIFT, "")
    bench.remove(A)
    bench.pass_(5.0)
    assert A not in bench.files
    bench.answer("restore", what=kept.id)
    assert bench.files == OLD


# --- who may write ----------------------------------------------------------------------------


def test_a_commit_is_not_made_when_the_lease_has_run_out() -> None:
    bench, link = manager()
    bench.committer.lasts = lambda _token: False
    bench.hear(link, _adopt(bench, NEW[C]))
    bench.hear(link, batch(NEW[C]))
    bench.pass_(5.0)
    assert bench.files == OLD
    assert bench.state.standing.manifest.get(at(C)) is None


def test_a_commit_that_stuck_is_left_to_the_next_manager() -> None:
    bench, link = manager()
    bench.disk.breaking = True
    bench.hear(link, _adopt(bench, NEW[C]))
    bench.hear(link, batch(NEW[C]))
    job = bench.node.advancing.job
    assert job is not None
    assert job.phase is Stage.STUCK
    bench.committer.lasts = lambda _token: False
    bench.pass_(40.0)
    assert bench.node.advancing.job is None
    assert bench.files == OLD
    bench.committer.lasts = lambda _token: True
    bench.hear(link, _adopt(bench, NEW[C]))
    bench.hear(link, batch(NEW[C]))
    bench.pass_(5.0)
    assert bench.files == {**OLD, C: NEW[C]}


def test_a_touch_is_under_the_lease_too() -> None:
    bench, _ = manager()
    before = dict(bench.disk.trees[T])
    bench.committer.lasts = lambda _token: False
    bench.ask("redeploy", artifact="sequence/a")
    assert bench.disk.trees[T] == before


def test_a_status_says_which_promises_are_not_kept() -> None:
    status = worker().answer("status")
    assert isinstance(status, dict)
    assert (status["mode"], status["form"], status["not_kept"]) == ("shared", "in-place", [1, 2, 3])
    shadow = Bench(OLD, mode="shared", writers=Writers.ANY).start().answer("status")
    assert isinstance(shadow, dict)
    assert (shadow["form"], shadow["not_kept"]) == ("shadow", [])


def _adopt(bench: Bench, content: bytes) -> Ask:
    wish = {
        "tree": T,
        "path": C,
        "before": None,
        "after": [digest_of(content), len(content)],
        "what": "k1",
    }
    return Ask(9, "adopt", json.dumps(wish))


def _answer(asked: Ask, result: object) -> Answered:
    return Answered(asked.id, json.dumps({"result": result}))


def test_a_worker_says_it_also_where_it_shows_what_its_manager_knows() -> None:
    bench = worker()
    link, _ = bench.managed()
    told = {"mode": "shared", "not_kept": [1], "nodes": [], "held": []}
    bench.hear(link, View(json.dumps(told)))
    status = bench.answer("status")
    assert isinstance(status, dict)
    assert (status["form"], status["not_kept"]) == ("in-place", [1, 2, 3])


# --- what runtimes do -------------------------------------------------------------------------


def beside_runtime() -> tuple[Bench, int, Token]:
    """A worker whose runtime has loaded what is on the mount."""
    bench = Bench(OLD, manager=PEER, standing=OLD, **SHARED).beside(CARBON).start()  # type: ignore[arg-type]
    link, token = bench.managed()
    bench.pass_(60.0)
    return bench, link, token


def stands(bench: Bench, link: int, token: Token, files: Files) -> None:
    """Have the worker stand on these files."""
    new = following(bench, files)
    bench.offer(link, token, new)
    bench.hear(link, batch(*(content for content in files.values() if content != b"")))
    bench.hear(link, Commit(token, new.id))
    assert bench.state.standing.revision == new.id


@pytest.mark.parametrize("first", ["mount", "revision"])
def test_a_worker_tells_what_its_own_runtime_did(first: str) -> None:
    bench, link, token = beside_runtime()
    after = {**OLD, A: NEW[A]}
    if first == "mount":
        bench.put(A, NEW[A])
        bench.pass_(20.0)
    stands(bench, link, token, after)
    if first == "revision":
        bench.put(A, NEW[A])
    bench.pass_(60.0)
    assert bench.node.deploying.outcome(at(A), digest_of(NEW[A])).state is Deployment.DEPLOYED


def test_what_has_not_come_yet_was_not_there_when_the_runtime_started() -> None:
    bench, link, token = beside_runtime()
    assert bench.gateway is not None
    stands(bench, link, token, {**OLD, A: NEW[A]})
    bench.gateway.kill()
    bench.pass_(1.0)
    bench.gateway.boot()
    bench.pass_(60.0)
    new = digest_of(NEW[A])
    assert bench.node.deploying.outcome(at(A), new).state is Deployment.UNKNOWN
    bench.put(A, NEW[A])
    bench.pass_(60.0)
    assert bench.node.deploying.outcome(at(A), new).state is Deployment.DEPLOYED


def test_of_what_has_not_come_yet_the_former_answer_counts_no_more() -> None:
    bench, link, token = beside_runtime()
    bench.put(A, NEW[A])
    bench.pass_(1.0)
    stands(bench, link, token, {**OLD, A: NEW[A]})
    bench.pass_(60.0)
    assert bench.node.deploying.outcomes[at(A)].state is Deployment.DEPLOYED
    bench.put(C, NEW[C])
    bench.pass_(1.0)
    third = sequence("a", text="3")
    stands(bench, link, token, {**NEW, A: third})
    assert at(A) not in bench.node.deploying.outcomes
    bench.put(A, third)
    bench.pass_(60.0)
    assert bench.node.deploying.outcome(at(A), digest_of(third)).state is Deployment.DEPLOYED


def test_what_a_later_revision_takes_back_is_not_waited_for() -> None:
    bench, link, token = beside_runtime()
    stands(bench, link, token, {**OLD, A: NEW[A], C: NEW[C]})
    stands(bench, link, token, OLD)
    bench.put(A, NEW[A])
    bench.pass_(5.0)
    assert bench.node.deploying.outcome(at(A), digest_of(NEW[A])).state is Deployment.UNKNOWN


def test_what_was_said_in_the_second_of_a_rounded_mtime_is_no_answer() -> None:
    bench, link, token = beside_runtime()
    assert bench.gateway is not None
    bench.gateway.mute = True
    second = float(int(bench.wall()))
    bench.disk.put(at(A), NEW[A])
    bench.disk.trees[T][A] = (NEW[A], int(second) * 10**9)
    bench.handle(Hinted(T, A, HintKind.WRITTEN))
    bench.pass_(1.0)
    stands(bench, link, token, {**OLD, A: NEW[A]})
    said = Heard(Saying.UPDATED, at(A), Kind.SEQUENCE, "a", "", "of what was there before", second)
    bench.handle(RuntimeHeard((said,), "m"))
    new = digest_of(NEW[A])
    assert bench.node.deploying.outcome(at(A), new).state is Deployment.PENDING


def test_a_worker_tells_in_its_runtimes_words_what_that_refused() -> None:
    bench, link, token = beside_runtime()
    assert bench.gateway is not None
    bench.gateway.refuses = lambda _path, content: "no such class" if content == NEW[C] else ""
    stands(bench, link, token, {**OLD, C: NEW[C]})
    bench.put(C, NEW[C])
    bench.pass_(60.0)
    said = bench.node.deploying.outcome(at(C), digest_of(NEW[C]))
    assert said.state is Deployment.REJECTED
    assert "no such class" in said.reason
    assert not bench.state.exempt
    assert bench.disk.kept() == ()


def test_the_one_quarantine_is_listed_once() -> None:
    bench, link = manager()
    kept = bench.disk.keep(at(A), NEW[A], Keep.DRIFT, "")
    answer = bench.answer("kept", what="quarantine")
    assert isinstance(answer, dict)
    assert [row["id"] for row in answer["entries"]] == [kept.id]
    assert answer["missing"] == []
    assert bench.said(Ask, link) == []
