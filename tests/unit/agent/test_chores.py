"""What is done now and then, and what is done when bytes are not where they should be."""

import pytest

from syncagent.agent import effects as fx
from syncagent.agent.node import gathering
from syncagent.agent.node.housekeeping import FADE_S, FADING, SAVE_S, TIDY_S
from syncagent.core.artifact import TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import DiskError
from syncagent.core.intent import Keep
from syncagent.core.ledger import StandingChange
from syncagent.core.settings import Limits, Writers
from syncagent.core.wire.messages import (
    Blobs,
    Commit,
    Declined,
    Done,
    Missing,
    Offer,
    Prepared,
    Propose,
    Proposed,
    Want,
)
from syncagent.core.wire.packing import compress_batch
from syncagent.validation.validator import ArtifactValidator
from tests.fakes.agent_bench import (
    PEER,
    THIRD,
    Bench,
    adds,
    at,
    entry,
    revision,
    rows,
    sequence,
)

FILES = {f"sequences/{name}.xml": sequence(name) for name in "ab"}
ELSEWHERE = TreeName("elsewhere")


def batch(*contents: bytes) -> Blobs:
    return Blobs(*compress_batch([(entry(content), content) for content in contents]))


def chores(bench: Bench, kind: type) -> int:
    return len([effect for effect in bench.others if isinstance(effect, kind)])


# --- chores ---------------------------------------------------------------------------------------


def test_the_scan_cache_is_saved_and_new_trees_looked_for_now_and_then() -> None:
    bench = Bench(FILES, gateway_home="/opt/wso2am").lead().pass_(5 * SAVE_S)
    assert 4 <= chores(bench, fx.SaveCache) <= 7
    assert 2 <= chores(bench, fx.Discover) <= 7
    plain = Bench(FILES).lead().pass_(5 * SAVE_S)
    assert chores(plain, fx.Discover) == 0


def test_quarantine_and_history_are_tidied_by_their_limits() -> None:
    limits = Limits(quarantine_s=1_000.0)
    bench = Bench(FILES, limits=limits).lead().pass_(3)
    bench.disk.keep(at("x"), b"old", Keep.DRIFT, "")
    bench.pass_(TIDY_S + 400)
    assert bench.disk.kept() == ()
    assert bench.history.has(digest_of(FILES["sequences/a.xml"]))


def test_an_alarm_about_one_failure_fades_and_one_that_comes_again_does_not() -> None:
    bench = Bench(FILES).lead().pass_(3)
    about = min(FADING)
    bench.state.alarm(about, "EIO")
    bench.state.alarm("somewhere else", "it stays")
    bench.pass_(FADE_S - 5)
    bench.state.alarm(about, "EIO again")
    bench.pass_(FADE_S - 5)
    assert about in bench.state.alarms
    bench.pass_(15)
    assert about not in bench.state.alarms
    assert "somewhere else" in bench.state.alarms


def test_small_facts_that_were_not_durable_are_noted_again() -> None:
    bench = Bench(FILES).lead().pass_(3)

    def full(_what: str) -> None:
        raise DiskError("no space left", errno_name="ENOSPC")

    bench.history.fail = full
    bench.state.approve(digest_of(b"a set"))
    bench.pass_(3)
    assert bench.state.alarms["ledger"] == "no space left"
    bench.history.fail = lambda _what: None
    bench.pass_(8)
    assert "ledger" not in bench.state.alarms
    assert digest_of(b"a set") in bench.history.standing().notes["approved"]


# --- bytes ----------------------------------------------------------------------------------------


def following(files: dict[str, bytes]) -> tuple[Bench, int]:
    bench = Bench(files, manager=PEER, standing=files).start()
    link, _ = bench.managed()
    bench.sent.clear()
    return bench, link


def test_a_blob_that_is_lost_from_the_history_is_asked_for() -> None:
    bench, link = following(FILES)
    token = bench.state.guard.highest
    assert token is not None
    again = {"copy.txt": FILES["sequences/a.xml"]}
    made = revision(bench.state.standing.revision, rows(FILES), adds(again), epoch=2)
    digest = digest_of(again["copy.txt"])
    blob = bench.history.blob
    bench.history.blob = lambda wanted: None if wanted == digest else blob(wanted)  # type: ignore[method-assign]
    bench.offer(link, token, made)
    assert bench.said(Want)[0].blobs == (digest,)
    assert bench.events("blob-lost") == [{"count": 1}]
    bench.hear(link, batch(again["copy.txt"]))
    assert bench.said(Prepared) == [Prepared(made.id)]


def test_no_more_than_a_window_of_bytes_is_asked_for_at_a_time() -> None:
    bench, link = following(FILES)
    bench.memory._validator = ArtifactValidator(gathering.WINDOW_BYTES)
    token = bench.state.guard.highest
    assert token is not None
    share = gathering.WINDOW_BYTES // 3
    contents = [bytes([number]) * share for number in range(6)]
    many = {f"big{number}.bin": content for number, content in enumerate(contents)}
    made = revision(bench.state.standing.revision, rows(FILES), adds(many), epoch=2)
    bench.offer(link, token, made)
    asked: list[str] = []
    for _ in range(6):
        for want in bench.said(Want):
            asked.extend(want.blobs)
        on_its_way = [
            c for c in contents if digest_of(c) in asked and not bench.history.has(digest_of(c))
        ]
        assert len(on_its_way) <= 4
        if on_its_way:
            bench.hear(link, batch(on_its_way[0]))
    assert sorted(asked) == sorted(digest_of(content) for content in contents), "each once"
    assert bench.said(Prepared) == [Prepared(made.id)]


def test_bytes_of_a_tree_that_the_manager_does_not_list_come_from_who_has_them() -> None:
    bench = Bench(FILES, writers=Writers.ANY).lead().pass_(3)
    standing = bench.state.standing
    plan = Change(at("p.txt", ELSEWHERE), None, entry(b"plan"))
    known = revision(standing.revision, standing.manifest, [plan], epoch=1)
    own = Bench(FILES, standing=FILES)
    own.history.stand(StandingChange(known.id, manifest=standing.manifest.after([plan])))
    own.join(own.history, own.guard)
    own.lead().pass_(3)
    asker, holder = own.follow(PEER), own.follow(THIRD)
    here = own.state.standing.revision
    own.sent.clear()
    own.hear(asker, Want(here, manifest=False, blobs=(digest_of(b"plan"),)))
    assert own.said(Missing, asker)
    assert own.said(Want, holder)[0].blobs == (digest_of(b"plan"),)
    own.hear(holder, batch(b"plan"))
    assert own.history.has(digest_of(b"plan"))


# --- what stands in the way -----------------------------------------------------------------------


@pytest.mark.parametrize("place", ["sequences/0.xml", "sequences/z.xml"])
def test_a_stray_file_that_has_a_name_of_the_revision_gives_way_and_is_kept(place: str) -> None:
    bench = Bench(FILES, manager=PEER, standing=FILES, writers=Writers.ANY).start()
    link, _ = bench.managed()
    stray = sequence("c", text="mine")
    bench.put(place, stray)
    bench.pass_(2)
    token = bench.state.guard.highest
    assert token is not None
    new = {"sequences/c.xml": sequence("c")}
    made = revision(bench.state.standing.revision, rows(FILES), adds(new), epoch=2)
    bench.offer(link, token, made)
    bench.hear(link, batch(*new.values()))
    bench.hear(link, Commit(token, made.id))
    assert bench.files == FILES | new
    assert [(kept.reason, kept.digest) for kept in bench.disk.kept()] == [
        (Keep.CONFLICT, digest_of(stray))
    ]
    assert bench.said(Done)[-1].revision == made.id


def test_a_proposal_that_was_overtaken_is_sorted_again() -> None:
    bench = Bench(FILES, writers=Writers.ANY).lead().pass_(3)
    link = bench.follow()
    theirs = sequence("c", text="theirs")
    base = bench.state.standing.revision
    bench.hear(link, Propose(1, base, adds({"sequences/c.xml": theirs})))
    bench.put("sequences/c.xml", sequence("c"))
    bench.pass_(1)
    bench.hear(link, batch(theirs))
    bench.pass_(2)
    (answer,) = bench.said(Proposed)
    assert answer.lost == (at("sequences/c.xml"),)
    assert bench.files["sequences/c.xml"] == sequence("c")


def test_who_declines_again_for_the_same_reason_is_noted_once() -> None:
    bench = Bench(FILES).lead().pass_(3)
    link = bench.follow()
    bench.put("sequences/c.xml", sequence("c"))
    bench.pass_(2)
    (offer,) = bench.said(Offer)
    for _ in range(3):
        bench.hear(link, Declined(offer.revision, "held", "60 deletions"))
        bench.pass_(1)
    assert len(bench.events("declined")) == 1
