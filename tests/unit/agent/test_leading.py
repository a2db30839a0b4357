"""The manager: its valid changes become revisions, and every worker is kept on the newest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.node.leading import ANSWER_S, DECLINED_AGAIN_S, SURVEY_EVERY_S
from syncagent.agent.node.peer import Phase
from syncagent.agent.node.state import Role
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError, RefusedError
from syncagent.core.events import Hinted, HintKind, Received
from syncagent.core.intent import Keep
from syncagent.core.manifest import Manifest
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.safety import HoldReason
from syncagent.core.snapshot import Condition
from syncagent.core.wire.messages import (
    Admit,
    Answered,
    Ask,
    Commit,
    Declined,
    Done,
    Failed,
    ManifestPart,
    Missing,
    Offer,
    Prepared,
    Survey,
    Surveyed,
    Want,
)
from tests.fakes.agent_bench import PEER, Bench, T, at, rows, sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.core.revision import RevisionId

ROOT = b"<definitions xmlns='http://ws.apache.org/ns/synapse'/>"
FILES = {f"sequences/{name}.xml": sequence(name) for name in "abc"} | {"synapse.xml": ROOT}


def leading(files: dict[str, bytes] | None = None) -> tuple[Bench, int]:
    """A manager with revision 1, and a worker that stands on it."""
    bench = Bench(FILES if files is None else files).lead().pass_(3)
    link = bench.follow()
    bench.sent.clear()
    return bench, link


def declared(bench: Bench) -> Offer:
    """Return the offer of the newest revision."""
    bench.pass_(2)
    return bench.said(Offer)[-1]


# --- declaring ------------------------------------------------------------------------------------


def test_what_the_manager_s_trees_hold_is_the_first_revision() -> None:
    bench = Bench(FILES).lead().pass_(3)
    state = bench.state
    assert (state.standing.revision.number, state.standing.manifest) == (1, rows(FILES))
    assert all(bench.history.has(digest_of(content)) for content in FILES.values())
    (revision, _), *_ = bench.history.revisions(5)
    assert (revision.parent, revision.author, revision.note) == (REVISION_ZERO, "gw-1", "edit")


def test_an_edit_and_an_addition_of_one_moment_are_one_revision() -> None:
    bench, link = leading()
    bench.put("sequences/a.xml", sequence("a", text="2"))
    bench.put("sequences/d.xml", sequence("d"))
    bench.pass_(2)
    (offer,) = bench.said(Offer, link)
    assert [change.word for change in offer.changes or ()] == ["update", "add"]


def test_a_deletion_is_declared_when_it_is_believed() -> None:
    bench, _ = leading()
    bench.remove("sequences/b.xml")
    bench.pass_(0.5)
    assert bench.state.standing.revision.number == 1
    bench.pass_(3)
    assert bench.state.standing.manifest == rows(bench.files)
    assert bench.state.standing.revision.number == 2


def test_an_invalid_artifact_keeps_its_last_good_version_in_the_revision() -> None:
    bench, _ = leading()
    bad = b"<sequence name='a'"
    bench.put("sequences/a.xml", bad)
    bench.put("sequences/d.xml", sequence("d"))
    bench.pass_(2)
    path = at("sequences/a.xml")
    assert bench.state.refused[path].problem.line > 0
    assert bench.state.standing.manifest.get(path) == rows(FILES).get(path)
    assert bench.state.standing.manifest.get(at("sequences/d.xml")) is not None
    assert [(k.reason, k.digest) for k in bench.disk.kept()] == [(Keep.REFUSED, digest_of(bad))]
    assert len(bench.events("refused")) == 1, "said once, not at each look"
    bench.put("sequences/a.xml", sequence("a", text="mended"))
    bench.pass_(2)
    assert bench.state.refused == {}


def test_a_new_artifact_waits_for_what_it_refers_to() -> None:
    bench, _ = leading()
    bench.put("sequences/d.xml", sequence("d", "later"))
    bench.pass_(5)
    assert bench.state.standing.revision.number == 1
    bench.put("sequences/later.xml", sequence("later"))
    bench.pass_(1)
    assert bench.state.standing.revision.number == 2, "they travel together"


def test_a_reference_that_never_comes_is_not_waited_for_for_ever() -> None:
    bench, _ = leading()
    bench.put("sequences/d.xml", sequence("d", "never"))
    bench.pass_(14)
    assert bench.state.standing.revision.number == 1
    bench.pass_(3)
    assert bench.state.standing.revision.number == 2


def test_a_known_artifact_does_not_wait_for_its_references() -> None:
    bench, _ = leading()
    bench.put("sequences/a.xml", sequence("a", "never"))
    bench.pass_(1)
    assert bench.state.standing.revision.number == 2


def test_a_name_that_is_taken_is_refused_when_it_is_no_rename() -> None:
    bench, _ = leading()
    bench.put("sequences/z.xml", sequence("a", text="twin"))
    bench.pass_(3)
    assert bench.state.refused[at("sequences/z.xml")].problem.code == "duplicate-name"


def test_a_rename_is_one_revision() -> None:
    bench, _ = leading()
    bench.put("sequences/z.xml", FILES["sequences/a.xml"])
    bench.remove("sequences/a.xml")
    bench.pass_(4)
    assert bench.state.refused == {}
    assert bench.state.standing.manifest == rows(bench.files)
    assert bench.state.standing.revision.number == 2


def test_deletions_are_held_and_what_was_shown_is_released() -> None:
    files = {f"sequences/{n:03}.xml": sequence(f"s{n}") for n in range(60)}
    bench, link = leading(files)
    for path in list(files)[5:]:
        bench.disk.remove(at(path))
        bench.handle(Hinted(T, path, HintKind.DELETED))
    bench.put("sequences/new.xml", sequence("new"))
    bench.pass_(4)
    (hold,) = bench.state.holds.values()
    assert (hold.reason, len(hold.paths)) == (HoldReason.DELETIONS, 55)
    assert bench.said(Offer, link)[-1].changes is not None
    assert len(bench.state.standing.manifest) == 61
    assert bench.answer("approve", id=hold.id) == {
        "id": hold.id,
        "released": 55,
        "nodes": ["gw-1"],
    }
    offer = declared(bench)
    assert offer.released == (hold.set_digest,)
    assert (len(bench.state.standing.manifest), bench.state.holds) == (6, {})
    assert (bench.state.approved, bench.history.standing().notes.get("approved")) == (set(), None)


def test_deletions_that_are_rejected_are_put_back() -> None:
    files = {f"sequences/{n:03}.xml": sequence(f"s{n}") for n in range(60)}
    bench, _ = leading(files)
    for path in list(files)[5:]:
        bench.remove(path)
    bench.pass_(4)
    (hold,) = bench.state.holds.values()
    bench.answer("reject", id=hold.id)
    bench.pass_(3)
    assert (bench.files, bench.state.holds) == (files, {})
    assert bench.state.standing.revision.number == 1


@pytest.mark.parametrize(
    ("condition", "words"),
    [(Condition.MISSING, "ends by itself"), (Condition.REPLACED, "only be approved or left")],
)
def test_only_sets_of_changes_can_be_rejected(condition: Condition, words: str) -> None:
    bench, _ = leading()
    bench.disk.conditions[T] = condition
    bench.hints.miss(T)
    bench.pass_(2)
    (hold,) = bench.state.holds.values()
    with pytest.raises(RefusedError, match=words):
        bench.answer("reject", id=hold.id)


def test_files_that_change_while_they_are_declared_are_looked_at_again() -> None:
    bench, _ = leading()
    while not bench.hands or not isinstance(bench.hands[0], fx.Declare):
        if not bench.step():
            if at("sequences/d.xml").path not in bench.disk.trees[T]:
                bench.put("sequences/d.xml", sequence("d"))
            bench.at += 0.05
            bench.tick()
    bench.disk.put(at("sequences/d.xml"), sequence("d", text="2"))
    bench.memory._contents.clear()
    bench.pass_(7)
    assert bench.state.standing.manifest == rows(bench.files)
    assert "declare" not in bench.state.alarms


def test_a_full_disk_is_an_alarm_until_the_revision_is_durable() -> None:
    bench, _ = leading()

    def full(_what: str) -> None:
        raise DiskError("no space left", errno_name="ENOSPC")

    bench.history.fail = full
    bench.put("sequences/d.xml", sequence("d"))
    bench.pass_(4)
    assert bench.state.alarms["declare"] == "no space left"
    assert bench.state.standing.revision.number == 1
    bench.history.fail = lambda _what: None
    bench.pass_(7)
    assert bench.state.standing.revision.number == 2
    assert "declare" not in bench.state.alarms


def test_a_record_of_another_revision_means_nothing() -> None:
    bench, _ = leading()
    bench.handle(rs.DeclareFailed(REVISION_ZERO, "late"))
    assert "declare" not in bench.state.alarms


def test_a_manager_that_only_observes_declares_nothing() -> None:
    bench = Bench(FILES, apply=False).lead().pass_(5)
    assert bench.state.standing.revision.number == 0


def test_many_new_files_are_packed_in_batches() -> None:
    files = {f"sequences/{n:03}.xml": sequence(f"s{n}") for n in range(40)}
    bench = Bench(files).lead().pass_(3)
    assert all(bench.history.has(digest_of(content)) for content in files.values())


def test_the_same_bytes_at_two_places_are_one_blob() -> None:
    bench, _ = leading()
    bench.put("notes.txt", b"same")
    bench.put("other.txt", b"same")
    bench.put("empty.txt", b"")
    bench.pass_(2)
    assert bench.history.blob(digest_of(b"same")) == b"same"
    assert bench.state.standing.manifest == rows(bench.files)


# --- offering -------------------------------------------------------------------------------------


def test_a_worker_that_has_the_parent_gets_the_changes() -> None:
    bench, link = leading()
    bench.put("sequences/d.xml", sequence("d"))
    offer = declared(bench)
    assert offer.changes is not None
    assert [change.path.path for change in offer.changes] == ["sequences/d.xml"]
    assert bench.state.peers[PEER].phase is Phase.OFFERED
    bench.hear(link, Prepared(offer.revision))
    assert bench.said(Commit) == [Commit(offer.token, offer.revision)]
    bench.hear(link, Prepared(offer.revision))
    assert bench.said(Commit) == [], "told once"
    bench.hear(link, Done(offer.revision, bench.state.base.digest))
    assert bench.state.peers[PEER].phase is Phase.DONE


def test_a_worker_that_stands_elsewhere_asks_for_the_manifest() -> None:
    bench = Bench(FILES).lead().pass_(3)
    link = bench.follow(standing=REVISION_ZERO)
    assert bench.state.peers[PEER].phase is Phase.OFFERED
    bench.put("sequences/d.xml", sequence("d"))
    offer = declared(bench)
    assert offer.changes is None
    bench.hear(link, Want(offer.revision, manifest=True))
    parts = bench.said(ManifestPart)
    assert Manifest.of(row for part in parts for row in part.rows) == bench.state.standing.manifest
    assert [part.last for part in parts] == [True]


def test_nobody_commits_before_the_revision_is_durable_here() -> None:
    bench, link = leading()
    bench.put("sequences/d.xml", sequence("d"))
    while not any(isinstance(effect, fx.Declare) for effect in bench.hands):
        bench.at += 0.05
        bench.tick()
        while bench.hands and not isinstance(bench.hands[0], fx.Declare):
            bench.step()
    (offer,) = bench.said(Offer, link)
    bench.handle(Received(link, Prepared(offer.revision)))
    assert bench.said(Commit) == []
    bench.handle(
        Received(link, Want(offer.revision, manifest=True, blobs=(digest_of(sequence("d")),)))
    )
    serve = bench.hands[-1]
    assert isinstance(serve, fx.Serve)
    assert serve.manifest is not None
    assert serve.manifest.digest == offer.revision.digest, "it can be served early"
    bench.rest()
    assert bench.said(Commit) == [Commit(offer.token, offer.revision)]


@pytest.mark.parametrize(
    "answer",
    [Prepared, lambda revision: Declined(revision, "tree", "its root is another")],
    ids=["prepared", "waits for a tree"],
)
def test_an_early_offer_that_comes_to_nothing_is_called_back(
    answer: Callable[[RevisionId], Prepared | Declined],
) -> None:
    bench, link = leading()
    bench.put("sequences/d.xml", sequence("d"))
    while not any(isinstance(effect, fx.Declare) for effect in bench.hands):
        bench.at += 0.05
        bench.tick()
        while bench.hands and not isinstance(bench.hands[0], fx.Declare):
            bench.step()
    (offer,) = bench.said(Offer, link)
    bench.hands.clear()
    bench.hear(link, answer(offer.revision))
    bench.disk.remove(at("sequences/d.xml"))
    bench.handle(rs.Looked(T, {"sequences/d.xml": None}, {}))
    bench.handle(rs.DeclareFailed(offer.revision, "changed", (at("sequences/d.xml"),)))
    (back,) = bench.said(Offer, link)
    assert back.revision == bench.state.standing.revision
    bench.hear(link, Done(back.revision, bench.state.base.digest))
    request = bench.ask("reconcile")
    bench.pass_(3)
    (ask,) = bench.said(Ask, link)
    bench.hear(link, Answered(ask.id, '{"result": {}}'))
    bench.pass_(1)
    assert bench.replies[request].error is None


def test_a_large_revision_is_offered_only_when_it_is_durable() -> None:
    bench, link = leading()
    for n in range(70):
        bench.disk.put(at(f"sequences/n{n}.xml"), sequence(f"n{n}"))
    bench.hints.miss(T)
    while not any(isinstance(effect, fx.Declare) for effect in bench.hands):
        bench.at += 0.05
        bench.tick()
        while bench.hands and not isinstance(bench.hands[0], fx.Declare):
            bench.step()
    assert bench.said(Offer, link) == []
    bench.rest()
    assert len(bench.said(Offer, link)) == 1


def test_what_is_not_known_here_is_missing() -> None:
    bench, link = leading()
    other = bench.state.standing.revision._replace(number=77)
    bench.hear(link, Want(other, manifest=True))
    assert bench.said(Missing) == [Missing(other, ())]


def test_who_declines_is_asked_again_after_a_while() -> None:
    bench, link = leading()
    bench.put("sequences/d.xml", sequence("d"))
    offer = declared(bench)
    bench.hear(link, Declined(offer.revision, "held", "60 deletions", "d-1"))
    assert bench.state.peers[PEER].reason == "60 deletions"
    bench.pass_(DECLINED_AGAIN_S - 3)
    assert bench.said(Offer) == []
    bench.pass_(5)
    assert [o.revision for o in bench.said(Offer)] == [offer.revision]


def test_a_commit_that_failed_there_is_offered_again_later() -> None:
    bench, link = leading()
    bench.put("sequences/d.xml", sequence("d"))
    offer = declared(bench)
    bench.hear(link, Prepared(offer.revision))
    bench.hear(link, Failed(offer.revision, "EROFS"))
    assert bench.events("commit-failed") == [{"peer": PEER, "reason": "EROFS"}]
    bench.pass_(DECLINED_AGAIN_S + 1)
    assert [o.revision for o in bench.said(Offer)] == [offer.revision]


def test_answers_about_something_else_mean_nothing() -> None:
    bench, link = leading()
    bench.put("sequences/d.xml", sequence("d"))
    declared(bench)
    other = REVISION_ZERO
    bench.hear(link, Prepared(other))
    bench.hear(link, Declined(other, "held", "x"))
    bench.hear(link, Failed(other, "x"))
    assert bench.state.peers[PEER].phase is Phase.OFFERED


def test_who_is_silent_about_an_offer_is_dialled_anew() -> None:
    bench, link = leading()
    bench.put("sequences/d.xml", sequence("d"))
    declared(bench)
    bench.pass_(ANSWER_S + 5)
    assert (link, f"no answer for {ANSWER_S:.0f} s") in bench.hung_up


def test_workers_are_compared_now_and_then() -> None:
    bench, link = leading()
    bench.hear(link, Done(bench.state.standing.revision, bench.state.base.digest))
    bench.pass_(SURVEY_EVERY_S + 2)
    assert bench.said(Survey, link)
    here = bench.state.standing.revision
    bench.hear(link, Surveyed(bench.state.token, here, Manifest().digest, (T,)))
    assert f"projection {PEER}" in bench.state.alarms, "other rows under the same name"
    bench.hear(link, Surveyed(bench.state.token, here, bench.state.base.digest, (T,)))
    assert f"projection {PEER}" not in bench.state.alarms
    bench.hear(link, Surveyed(bench.state.token, REVISION_ZERO, Manifest().digest, (T,)))
    assert [offer.revision for offer in bench.said(Offer)] == [here], "it fell back: offered again"


def test_a_worker_that_answers_while_a_newer_revision_is_there_gets_that() -> None:
    bench, link = leading()
    bench.put("sequences/d.xml", sequence("d"))
    first = declared(bench)
    bench.hear(link, Prepared(first.revision))
    bench.put("sequences/e.xml", sequence("e"))
    bench.pass_(2)
    assert bench.said(Offer) == [], "it is committing"
    bench.hear(link, Done(first.revision, bench.state.base.digest))
    (second,) = bench.said(Offer)
    assert second.changes is not None
    assert second.revision == bench.state.standing.revision


def test_who_comes_back_is_admitted_and_offered() -> None:
    bench, link = leading()
    bench.cut(link)
    assert bench.state.peers[PEER].link is None
    bench.put("sequences/d.xml", sequence("d"))
    bench.pass_(3)
    assert PEER in bench.dialled
    again = bench.link()
    assert bench.said(Admit, again) == [Admit(bench.state.token)]  # type: ignore[arg-type]
    old = bench.history.revisions(2)[1][0].id
    bench.admit(again, old, rows(FILES).digest)
    assert bench.said(Offer, again)[0].changes is not None


def test_interrupted_after_any_effect_the_same_revision_comes_of_it() -> None:
    """Effects are lost with the process after the n-th, for every n; a new process goes on."""
    edited = FILES | {"sequences/a.xml": sequence("a", text="2"), "sequences/d.xml": sequence("d")}
    for lost_after in range(60):
        bench = Bench(FILES).lead().pass_(3)
        for path in ("sequences/a.xml", "sequences/d.xml"):
            bench.put(path, edited[path])
        done = 0
        until = bench.at + 3
        while bench.at < until and done < lost_after:
            while done < lost_after and bench.step():
                done += 1
            bench.at += 0.1
            bench.tick()
        again = Bench(edited)
        again.join(bench.history.crash(), bench.guard.crash())
        again.lead().pass_(4)
        assert again.state.standing.manifest == rows(edited)
        assert again.state.standing.revision.number == 2
        if done < lost_after:
            return
    raise AssertionError("it never ended")


def test_stepping_down_drops_what_was_held_and_refused_for_revisions() -> None:
    bench, _ = leading()
    for path in FILES:
        bench.remove(path)
    bench.put("sequences/x.xml", b"<bad")
    bench.pass_(5)
    assert bench.state.holds
    assert bench.state.refused
    link = bench.link(dialled=False)
    bench.hear(link, Admit(bench.token(9)))
    bench.pass_(5)
    assert (bench.state.role, bench.state.holds, bench.state.refused) == (Role.WORKER, {}, {})
    assert bench.files == FILES, "a worker puts back what drifted"
    assert replace(bench.token(9)) == bench.state.guard.highest


def test_who_declined_and_admits_no_newer_token_is_not_asked_without_end() -> None:
    bench = Bench({"sequences/s.xml": sequence("s")}).lead()
    link = bench.follow(standing=REVISION_ZERO)
    bench.hear(link, Declined(bench.state.standing.revision, "failed", "a reason"))
    peer = bench.state.peers[PEER]
    assert peer.phase is Phase.DECLINED
    peer.admitted = False  # as a newer token of this node's own makes it
    bench.at += 2 * DECLINED_AGAIN_S
    bench.rest()
    assert (peer.phase, peer.link) == (Phase.DECLINED, link)
    assert bench.wake_at > bench.at


def test_who_declined_what_was_never_made_durable_is_not_waited_for() -> None:
    bench = Bench().lead()
    link = bench.follow()

    def full(_what: str) -> None:
        raise DiskError("no space left")

    bench.history.fail = full
    bench.put("sequences/a.xml", sequence("a"))
    bench.pass_(1.0)
    (offer, *_) = bench.said(Offer, link)
    bench.hear(link, Declined(offer.revision, "failed", "no space left"))
    bench.pass_(31.0)
    assert bench.state.standing.revision.number == 0
    assert bench.wake_at > bench.at
