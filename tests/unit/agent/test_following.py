"""A worker: it admits a token, takes offers, prepares, commits on the manager's word."""

from dataclasses import replace
from itertools import pairwise

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.node.job import Stage, Why
from syncagent.core.artifact import NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import StateError
from syncagent.core.events import Received
from syncagent.core.intent import Keep
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import EMPTY, Manifest
from syncagent.core.revision import Revision
from syncagent.core.safety import HoldReason, set_digest
from syncagent.core.settings import Drift, TreeSettings, Writers
from syncagent.core.snapshot import Condition
from syncagent.core.wire.messages import (
    Admit,
    Admitted,
    Blobs,
    Commit,
    Declined,
    Delta,
    Done,
    Failed,
    Fenced,
    ManifestPart,
    Missing,
    Offer,
    Prepared,
    Propose,
    Survey,
    Surveyed,
    Want,
)
from syncagent.core.wire.packing import compress_batch, make_delta
from tests.fakes.agent_bench import PEER, THIRD, Bench, T, adds, at, entry, revision, rows, sequence

OLD = {f"sequences/{name}.xml": sequence(name) for name in "abc"}
NEW = OLD | {"sequences/a.xml": sequence("a", text="2"), "sequences/d.xml": sequence("d")}


def changes(before: dict[str, bytes], after: dict[str, bytes]) -> tuple[Change, ...]:
    paths = sorted(p for p in {*before, *after} if before.get(p) != after.get(p))
    return tuple(
        Change(
            at(path),
            entry(before[path]) if path in before else None,
            entry(after[path]) if path in after else None,
        )
        for path in paths
    )


def batch(*contents: bytes) -> Blobs:
    return Blobs(*compress_batch([(entry(content), content) for content in contents]))


def bench_on(files: dict[str, bytes], **given: object) -> Bench:
    """A worker that stands on these files, revision 1 of gw-2."""
    return Bench(files, manager=PEER, standing=files, **given).start()


def following(bench: Bench, after: dict[str, bytes], **given: object) -> Revision:
    """Return the revision that makes these files of the ones on which the node stands."""
    state = bench.state
    base = {path.path: bench.history.blob(e.digest) or b"" for path, e in state.standing.manifest}
    made = revision(state.standing.revision, rows(base), changes(base, after), epoch=2)
    return replace(made, **given)  # type: ignore[arg-type]


def test_a_survey_tells_what_was_admitted_and_where_the_node_stands() -> None:
    bench = bench_on(OLD)
    link = bench.link(dialled=False)
    bench.hear(link, Survey())
    state = bench.state
    assert bench.said(Surveyed) == [
        Surveyed(state.guard.highest, state.standing.revision, rows(OLD).digest, (T,))
    ]


def test_a_token_is_admitted_before_anything_else() -> None:
    bench = bench_on(OLD)
    link = bench.link(dialled=False)
    bench.handle(Received(link, Admit(bench.token(2))))
    assert bench.said(Admitted) == []
    assert bench.hands[-1] == fx.AdmitToken(bench.token(2), link)
    bench.rest()
    assert bench.said(Admitted)[0].token == bench.token(2)
    assert (bench.guard.state().epoch, bench.state.manager_link) == (2, link)


@pytest.mark.parametrize("epoch", [1, 0x7FFFFFFF])
def test_a_token_that_the_guard_does_not_admit_is_fenced(epoch: int) -> None:
    bench = bench_on(OLD)
    link = bench.link(THIRD, dialled=False)
    bench.hear(link, Admit(replace(bench.token(epoch, THIRD), incarnation="x")))
    (fenced,) = bench.said(Fenced)
    assert fenced.highest == bench.guard.state().highest
    assert bench.state.manager_link is None


def test_a_guard_that_is_lost_fails_closed_and_says_so() -> None:
    bench = bench_on(OLD)

    def lost(_what: str) -> None:
        raise StateError("the guard's file is gone")

    bench.guard.fail = lost
    link = bench.link(dialled=False)
    bench.hear(link, Admit(bench.token(2)))
    assert bench.said(Fenced)[0].highest is None
    assert "guard" in bench.state.alarms


def test_an_offer_under_a_token_that_was_not_admitted_is_fenced() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed(2)
    bench.offer(link, replace(token, epoch=3), following(bench, NEW))
    assert bench.said(Fenced)[0].highest == token
    assert bench.node.advancing.job is None
    bench.hear(link, Commit(replace(token, epoch=1), following(bench, NEW).id))
    assert bench.said(Fenced)[0].highest == token


def test_what_is_lacking_is_asked_for_then_prepared_then_committed() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new)
    (want,) = bench.said(Want)
    assert set(want.blobs) == {digest_of(NEW["sequences/a.xml"]), digest_of(NEW["sequences/d.xml"])}
    assert dict(zip(want.blobs, want.bases, strict=True))[
        digest_of(NEW["sequences/a.xml"])
    ] == digest_of(OLD["sequences/a.xml"]), "an updated file may come as a delta"
    bench.hear(link, batch(NEW["sequences/a.xml"], NEW["sequences/d.xml"]))
    assert bench.said(Prepared) == [Prepared(new.id)]
    assert bench.files == OLD, "nothing is live before the word"
    bench.hear(link, Commit(token, new.id))
    assert bench.said(Done) == [Done(new.id, rows(NEW).digest)]
    assert bench.files == NEW
    assert bench.history.standing().revision == new.id
    assert bench.history.revisions(1)[0][0] == new


def test_a_word_that_comes_early_counts_when_all_is_staged() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new)
    bench.hear(link, Commit(token, new.id))
    assert bench.files == OLD
    bench.hear(link, batch(NEW["sequences/a.xml"], NEW["sequences/d.xml"]))
    assert bench.files == NEW
    assert bench.said(Prepared) == []


def test_a_word_for_what_is_live_already_is_answered() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    bench.hear(link, Commit(token, bench.state.standing.revision))
    assert bench.said(Done) == [Done(bench.state.standing.revision, rows(OLD).digest)]
    bench.hear(link, Commit(token, following(bench, NEW).id))
    assert bench.said(Done) == [], "a word for what was never offered is not"


def test_a_delta_is_applied_to_the_bytes_that_are_here() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    after = OLD | {"sequences/a.xml": sequence("a", text="2")}
    new = following(bench, after)
    bench.offer(link, token, new)
    old, content = OLD["sequences/a.xml"], after["sequences/a.xml"]
    bench.hear(link, Delta(entry(content), digest_of(old), make_delta(old, content)))
    bench.hear(link, Commit(token, new.id))
    assert bench.files == after


def test_interrupted_after_any_effect_and_offered_again_the_end_is_the_same() -> None:
    """The connection is cut after the n-th effect, for every n: a new one leads to the same end."""
    for cut_after in range(40):
        bench = bench_on(OLD)
        link, token = bench.managed()
        new = following(bench, NEW)
        done = 0
        script = [
            Offer(token, new.id, new.parent, new.author, "", (), new.changes),
            batch(NEW["sequences/a.xml"], NEW["sequences/d.xml"]),
            Commit(token, new.id),
        ]
        for message in script:
            bench.handle(Received(link, message))
            while done < cut_after and bench.step():
                done += 1
            if done >= cut_after:
                break
        whole = done < cut_after
        bench.cut(link)
        bench.rest()
        assert bench.files in (OLD, NEW)
        again = bench.link(dialled=False)
        bench.hear(again, Admit(token))
        bench.offer(again, token, new)
        for want in bench.said(Want, again):
            bench.hear(again, batch(*(c for c in NEW.values() if digest_of(c) in want.blobs)))
        bench.hear(again, Commit(token, new.id))
        assert bench.files == NEW, cut_after
        assert bench.said(Done, again)[-1] == Done(new.id, rows(NEW).digest)
        assert bench.history.standing().manifest == rows(NEW)
        if whole:
            return
    raise AssertionError("the script never ended")


def test_an_offer_without_changes_is_met_by_the_manifest() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new, whole=True)
    assert bench.said(Want) == [Want(new.id, manifest=True)]
    all_rows = tuple(rows(NEW))
    bench.hear(link, ManifestPart(new.id, all_rows[:2], last=False))
    bench.hear(link, ManifestPart(bench.state.standing.revision, all_rows[:1], last=True))
    bench.hear(link, ManifestPart(new.id, all_rows[2:], last=True))
    bench.hear(link, batch(NEW["sequences/a.xml"], NEW["sequences/d.xml"]))
    bench.hear(link, Commit(token, new.id))
    assert bench.files == NEW


def test_changes_that_do_not_lead_to_the_revision_are_not_believed() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.hear(link, Offer(token, new.id, new.parent, new.author, "", (), new.changes[:1]))
    assert bench.said(Want) == [Want(new.id, manifest=True)]


def test_a_manifest_that_is_not_the_revision_s_is_declined() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new, whole=True)
    bench.hear(link, ManifestPart(new.id, tuple(rows(OLD)), last=True))
    (declined,) = bench.said(Declined)
    assert declined.code == "manifest"
    assert bench.node.advancing.job is None


def test_a_manager_that_has_lost_the_bytes_is_told_so() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new)
    bench.hear(link, Missing(new.id, (digest_of(NEW["sequences/a.xml"]),)))
    (declined,) = bench.said(Declined)
    assert (declined.code, bench.node.advancing.job) == ("failed", None)


def test_bytes_that_are_not_what_was_asked_for_are_refused() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new)
    wrong = batch(NEW["sequences/a.xml"])
    bench.hear(link, Blobs((entry(NEW["sequences/d.xml"]),), wrong.frame))
    (declined,) = bench.said(Declined)
    assert (declined.code, bench.files) == ("disk", OLD)


def test_what_validation_refuses_is_kept_and_never_live() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    bad = b"<sequence name='d'"
    new = following(bench, OLD | {"sequences/d.xml": bad})
    bench.offer(link, token, new)
    bench.hear(link, batch(bad))
    assert not bench.said(Declined)
    bench.hear(link, Commit(token, new.id))
    (done,) = bench.said(Done)
    assert done.revision == new.id
    assert bench.files == OLD
    assert [(kept.reason, kept.digest) for kept in bench.disk.kept()] == [
        (Keep.REFUSED, digest_of(bad))
    ]


def test_a_name_that_two_files_would_claim_is_refused() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    twin = sequence("a", text="twin")
    new = following(bench, OLD | {"sequences/z.xml": twin})
    bench.offer(link, token, new)
    bench.hear(link, batch(twin))
    (declined,) = bench.said(Declined)
    assert declined.refused[0].problem.code == "duplicate-name"
    assert len(bench.node.observing.index) == len(OLD), "the check leaves no trace"


def test_a_rename_is_no_duplicate() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    after = {p: c for p, c in OLD.items() if p != "sequences/a.xml"} | {
        "sequences/z.xml": OLD["sequences/a.xml"]
    }
    new = following(bench, after)
    bench.offer(link, token, new)
    bench.hear(link, Commit(token, new.id))
    assert bench.files == after


def test_other_trees_of_the_cluster_are_remembered_and_not_wanted() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    other = Change(at("p.siddhiql", TreeName("elsewhere")), None, entry(b"plan"))
    parent = bench.state.standing
    new = revision(parent.revision, parent.manifest, [other], epoch=2)
    bench.offer(link, token, new)
    assert bench.said(Want) == []
    bench.hear(link, Commit(token, new.id))
    assert bench.said(Done) == [Done(new.id, rows(OLD).digest)]
    assert bench.state.standing.manifest.get(other.path) == entry(b"plan")


# --- holds ----------------------------------------------------------------------------------------

MANY = {f"sequences/{n:03}.xml": sequence(f"s{n}") for n in range(60)}


def test_many_deletions_wait_here_too_and_one_approval_lets_them_go() -> None:
    bench = bench_on(MANY)
    link, token = bench.managed()
    new = following(bench, dict(list(MANY.items())[:5]))
    bench.offer(link, token, new)
    (declined,) = bench.said(Declined)
    assert declined.code == "held"
    hold = bench.state.holds[declined.hold]
    assert hold.reason is HoldReason.DELETIONS
    bench.offer(link, token, new)
    assert bench.said(Declined)[0].hold == hold.id, "asked again, it says so again"
    bench.answer("approve", id=hold.id)
    assert bench.said(Prepared) == [Prepared(new.id)]
    bench.hear(link, Commit(token, new.id))
    assert len(bench.files) == 5
    assert bench.state.approved == set(), "an approval is used up"


@pytest.mark.parametrize("on_parent", [True, False])
def test_a_release_counts_where_its_parent_is_stood_on(on_parent: bool) -> None:
    bench = bench_on(MANY)
    link, token = bench.managed()
    new = following(bench, dict(list(MANY.items())[:5]))
    parent = new.parent if on_parent else new.parent._replace(digest=EMPTY.digest)
    new = replace(new, released=(set_digest(new.changes),), parent=parent)
    bench.offer(link, token, new)
    if not on_parent:
        bench.hear(link, ManifestPart(new.id, tuple(rows(dict(list(MANY.items())[:5]))), last=True))
    assert bool(bench.said(Prepared)) is on_parent
    assert bool(bench.state.holds) is not on_parent


@pytest.mark.parametrize("how", ["released", "in part", "whole manifest", "not released"])
def test_released_updates_are_released_at_a_node_with_fewer_trees(how: str) -> None:
    files = {f"{n}.txt": b"%d" % n for n in range(501)}
    bench = Bench(files, manager=PEER, standing=files)
    there = at("p", TreeName("elsewhere"))
    stood = bench.history.standing()
    before = revision(stood.revision, stood.manifest, [Change(there, None, entry(b"old"))])
    bench.history.stand(StandingChange(before.id, before.changes))
    bench.join(bench.history, bench.guard)
    bench.start()
    parent = bench.state.standing
    link, token = bench.managed()
    own = [Change(at(p), entry(c), entry(b"new" + c)) for p, c in sorted(files.items())]
    updates = [*own, Change(there, entry(b"old"), entry(b"new"))]
    released = {"not released": (), "in part": (set_digest(own[:-1]),)}
    new = revision(parent.revision, parent.manifest, updates, epoch=2)
    new = replace(new, released=released.get(how, (set_digest(updates),)))
    bench.offer(link, token, new, whole=how == "whole manifest")
    if how == "whole manifest":
        assert bench.said(Want)
        manifest = parent.manifest.after(new.changes)
        bench.hear(link, ManifestPart(new.id, tuple(manifest), last=True))
    passes = how in {"released", "whole manifest"}
    assert bool(bench.said(Want)) is passes
    assert [hold.reason for hold in bench.state.holds.values()] == [HoldReason.UPDATES] * (
        not passes
    )


def test_a_filled_node_that_meets_the_cluster_is_held() -> None:
    bench = Bench({"sequences/own.xml": sequence("own")} | OLD, manager=PEER).start()
    link, token = bench.managed()
    new = revision(bench.state.standing.revision, Manifest(), adds(OLD), epoch=2)
    bench.offer(link, token, new)
    (declined,) = bench.said(Declined)
    hold = bench.state.holds[declined.hold]
    assert hold.reason is HoldReason.FIRST_CONTACT
    assert "add 0, update 0, delete 1" in hold.text
    bench.answer("approve", id=hold.id)
    bench.hear(link, Commit(token, new.id))
    assert bench.files == OLD
    assert [kept.reason for kept in bench.disk.kept()] == [Keep.DRIFT]


def test_a_node_whose_trees_are_equal_already_only_learns_where_it_stands() -> None:
    bench = Bench(OLD, manager=PEER).start()
    before = dict(bench.disk.trees[T])
    link, token = bench.managed()
    new = revision(bench.state.standing.revision, Manifest(), adds(OLD), epoch=2)
    bench.offer(link, token, new)
    bench.hear(link, Commit(token, new.id))
    assert bench.disk.trees[T] == before, "nothing was touched"
    assert bench.state.standing.revision == new.id
    assert all(bench.history.has(digest_of(content)) for content in OLD.values()), "backfilled"


def test_an_empty_node_fills_itself() -> None:
    bench = Bench(manager=PEER).start()
    link, token = bench.managed()
    new = revision(bench.state.standing.revision, Manifest(), adds(OLD), epoch=2)
    bench.offer(link, token, new)
    bench.hear(link, batch(*OLD.values()))
    bench.hear(link, Commit(token, new.id))
    assert bench.files == OLD


def test_a_node_that_only_observes_says_what_it_would_do() -> None:
    bench = bench_on(OLD, apply=False)
    link, token = bench.managed()
    bench.offer(link, token, following(bench, NEW))
    (declined,) = bench.said(Declined)
    assert (declined.code, "2 changes" in declined.reason) == ("observing", True)
    assert bench.files == OLD


def test_a_tree_that_can_t_be_read_makes_an_offer_wait() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    bench.disk.conditions[T] = Condition.MISSING
    bench.hints.miss(T)
    bench.pass_(2)
    new = following(bench, NEW)
    bench.offer(link, token, new)
    assert [declined.code for declined in bench.said(Declined)] == ["tree"]
    del bench.disk.conditions[T]
    bench.pass_(6)
    assert bench.said(Want, link)
    assert bench.node.advancing.job is not None


# --- commits that fail ----------------------------------------------------------------------------


def prepared(bench: Bench) -> tuple[int, Revision]:
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new)
    bench.hear(link, batch(NEW["sequences/a.xml"], NEW["sequences/d.xml"]))
    bench.sent.clear()
    return link, new


def test_a_disk_that_is_full_while_staging_changes_nothing() -> None:
    bench = bench_on(OLD)
    link, token = bench.managed()
    new = following(bench, NEW)
    bench.offer(link, token, new)
    bench.disk.failing = "ENOSPC"
    bench.hear(link, batch(NEW["sequences/a.xml"], NEW["sequences/d.xml"]))
    assert [declined.code for declined in bench.said(Declined)] == ["disk"]
    assert ("disk" in bench.state.alarms, bench.files) == (True, OLD)
    bench.offer(link, token, new)
    bench.hear(link, Commit(token, new.id))
    assert (bench.files, "disk" in bench.state.alarms) == (NEW, False)


def test_a_commit_that_the_disk_refuses_at_first_is_dropped() -> None:
    bench = bench_on(OLD)
    link, new = prepared(bench)
    bench.disk.failing = "EROFS"
    assert bench.state.guard.highest is not None
    bench.hear(link, Commit(bench.state.guard.highest, new.id))
    assert bench.said(Failed)[0].revision == new.id
    assert (bench.files, bench.node.advancing.job) == (OLD, None)


def test_a_commit_that_fails_half_way_is_finished_later() -> None:
    bench = bench_on(OLD)
    link, new = prepared(bench)

    def stop(point: str) -> None:
        if point == "step 1":
            raise StateError("the disk went away")

    bench.disk.crash_at = stop
    bench.hear(link, Commit(bench.state.guard.highest, new.id))
    assert bench.node.advancing.job is not None
    assert bench.node.advancing.job.phase is Stage.STUCK
    bench.offer(link, bench.state.guard.highest, new)  # type: ignore[arg-type]
    assert bench.node.advancing.job.phase is Stage.STUCK, "nothing else is begun meanwhile"
    bench.pass_(31)
    assert bench.node.advancing.job.phase is Stage.STUCK
    bench.disk.crash_at = lambda _point: None
    bench.pass_(31)
    assert (bench.files, bench.node.advancing.job) == (NEW, None)
    assert bench.said(Done)[0].revision == new.id


def test_a_token_that_was_overtaken_before_the_commit_fences_it() -> None:
    bench = bench_on(OLD)
    link, new = prepared(bench)
    token = bench.state.guard.highest
    bench.handle(Received(link, Commit(token, new.id)))  # type: ignore[arg-type]
    bench.guard.admit(bench.token(9, THIRD))
    bench.rest()
    assert bench.said(Fenced)[0].highest == bench.token(9, THIRD)
    assert (bench.files, bench.node.advancing.job) == (OLD, None)


def test_an_offer_that_comes_during_a_commit_is_taken_after_it() -> None:
    bench = bench_on(OLD)
    link, new = prepared(bench)
    token = bench.state.guard.highest
    assert token is not None
    bench.handle(Received(link, Commit(token, new.id)))
    later = revision(new.id, rows(NEW), changes(NEW, OLD), epoch=2)
    bench.handle(
        Received(link, Offer(token, later.id, later.parent, later.author, "", (), later.changes))
    )
    bench.rest()
    assert bench.said(Prepared) == [Prepared(later.id)]


def came_back(bench: Bench, author: NodeName, content: bytes) -> Revision:
    """Have a revision without c made live here, where c was gone at first and is back by then."""
    link, token = bench.managed()
    bench.remove("sequences/c.xml")
    bench.pass_(5.0)
    less = {path: content for path, content in OLD.items() if path != "sequences/c.xml"}
    of = following(bench, less, author=author)
    bench.offer(link, token, of)
    assert bench.said(Prepared, link)[-1].revision == of.id
    bench.put("sequences/c.xml", content)
    bench.pass_(5.0)
    bench.hear(link, Commit(token, of.id))
    assert bench.said(Done, link)[-1].revision == of.id
    return of


def test_what_a_revision_takes_away_goes_if_it_is_back_before_the_word_comes() -> None:
    bench = bench_on(OLD, writers=Writers.ANY)
    came_back(bench, THIRD, OLD["sequences/c.xml"])
    assert "sequences/c.xml" not in bench.files
    assert not bench.node.observing.differing()
    assert [kept.reason for kept in bench.disk.kept()] == [Keep.DELETED]


@pytest.mark.parametrize("mine", [True, False], ids=["taken back", "something else"])
def test_an_edit_that_comes_before_the_word_is_one_after_the_revision(mine: bool) -> None:
    bench = bench_on(OLD, writers=Writers.ANY)
    content = OLD["sequences/c.xml"] if mine else sequence("c", text="anew")
    of = came_back(bench, bench.state.me if mine else THIRD, content)
    assert bench.files["sequences/c.xml"] == content
    bench.pass_(5.0)
    said = bench.said(Propose)[-1]
    assert said.base == of.id
    assert said.changes == (Change(at("sequences/c.xml"), None, entry(content)),)


def test_a_newer_offer_takes_the_place_of_one_that_is_not_committed() -> None:
    bench = bench_on(OLD)
    link, new = prepared(bench)
    token = bench.state.guard.highest
    assert token is not None
    other = following(bench, OLD | {"sequences/e.xml": sequence("e")})
    bench.offer(link, token, other)
    bench.hear(link, Commit(token, new.id))
    assert bench.files == OLD, "the superseded one is not committed any more"
    bench.hear(link, batch(sequence("e")))
    bench.hear(link, Commit(token, other.id))
    assert "sequences/e.xml" in bench.files


def test_an_offer_of_where_the_node_stands_calls_the_other_back() -> None:
    bench = bench_on(OLD)
    link, _ = prepared(bench)
    token = bench.state.guard.highest
    assert token is not None
    here = bench.state.standing.revision
    bench.hear(link, Offer(token, here, here, PEER, "", (), None))
    assert bench.said(Done) == [Done(here, rows(OLD).digest)]
    assert bench.node.advancing.job is None


# --- drift ----------------------------------------------------------------------------------------


def test_drift_is_put_back_and_the_bytes_are_kept() -> None:
    bench = bench_on(OLD)
    bench.put("sequences/a.xml", sequence("a", text="by hand"))
    bench.remove("sequences/b.xml")
    bench.put("sequences/x.xml", sequence("x"))
    bench.pass_(4)
    assert bench.files == OLD
    assert {(kept.reason, kept.path.path) for kept in bench.disk.kept()} == {
        (Keep.DRIFT, "sequences/a.xml"),
        (Keep.DRIFT, "sequences/x.xml"),
    }
    assert bench.state.standing.revision.number == 1


def test_drift_is_left_where_the_settings_say_so() -> None:
    bench = Bench(OLD, manager=PEER, standing=OLD)
    tree = replace(bench.settings.trees[0], drift=Drift.REPORT)
    assert isinstance(tree, TreeSettings)
    bench.state.settings = replace(bench.settings, trees=(tree,))
    bench.start()
    edited = OLD | {"sequences/a.xml": sequence("a", text="by hand")}
    bench.put("sequences/a.xml", edited["sequences/a.xml"])
    bench.pass_(5)
    assert bench.files == edited
    link, token = bench.managed()
    after = OLD | {"sequences/b.xml": sequence("b", text="2")}
    new = following(bench, after)
    bench.offer(link, token, new)
    bench.hear(link, batch(after["sequences/b.xml"]))
    bench.hear(link, Commit(token, new.id))
    assert bench.files == edited | after | {"sequences/a.xml": edited["sequences/a.xml"]}


def test_the_same_path_again_and_again_is_not_fought_at_full_speed() -> None:
    bench = bench_on(OLD)
    reverted = []
    for round_ in range(60):
        bench.put("sequences/a.xml", sequence("a", text=str(round_)))
        bench.pass_(2)
        if bench.files == OLD:
            reverted.append(bench.at)
    assert 3 <= len(reverted) <= 12
    pauses = [later - sooner for sooner, later in pairwise(reverted)]
    assert pauses[-1] > pauses[0]
    bench.pass_(700)
    assert bench.files == OLD
    bench.pass_(700)
    bench.put("sequences/a.xml", sequence("a", text="once more"))
    bench.pass_(2)
    assert bench.files == OLD, "after ten quiet minutes it is reverted at once again"


def test_a_repair_whose_bytes_are_lost_asks_the_manager_for_them() -> None:
    bench = bench_on(OLD)
    link, _ = bench.managed()
    digest = digest_of(OLD["sequences/a.xml"])
    del bench.history._durable[digest]
    bench.put("sequences/a.xml", sequence("a", text="by hand"))
    bench.pass_(2)
    assert bench.said(Want)[-1].blobs == (digest,)
    bench.hear(link, batch(OLD["sequences/a.xml"]))
    bench.pass_(2)
    assert bench.files == OLD


def test_a_repair_whose_bytes_nobody_has_says_so_and_waits() -> None:
    bench = bench_on(OLD)
    del bench.history._durable[digest_of(OLD["sequences/a.xml"])]
    bench.put("sequences/a.xml", sequence("a", text="by hand"))
    bench.pass_(2)
    assert bench.events("job-failed")[0]["why"] == Why.REPAIR
    assert bench.node.advancing.job is None


def test_results_of_jobs_that_are_over_mean_nothing() -> None:
    bench = bench_on(OLD)
    before = bench.history.standing()
    intent_free = rs.CommitFailed(99, "late", stuck=True)
    for late in (
        rs.Staged(99, (), {}),
        rs.Sealed(99),
        rs.StageFailed(99, "late"),
        intent_free,
        rs.CommitFenced(99, None, "late"),
    ):
        bench.handle(late)
    link, _ = bench.managed()
    bench.hear(link, Missing(before.revision, ()))
    bench.hear(link, ManifestPart(before.revision, (), last=True))
    bench.hear(link, batch(b"x"))
    assert (bench.history.standing(), bench.state.alarms.keys() & {"disk"}) == (before, set())
