"""`writers = "any"`: a worker's valid change becomes the next revision, by way of the manager."""

import pytest

from syncagent.agent import effects as fx
from syncagent.agent import results as rs
from syncagent.agent.node.proposing import HELD_S, QUEUE_MAX
from syncagent.core.artifact import TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.events import Hinted, HintKind, Received
from syncagent.core.safety import HoldReason, set_digest
from syncagent.core.settings import Writers
from syncagent.core.snapshot import Condition
from syncagent.core.wire.messages import (
    Admit,
    Blobs,
    Commit,
    Offer,
    Propose,
    Proposed,
    Want,
)
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import (
    ME,
    PEER,
    Bench,
    T,
    adds,
    at,
    entry,
    revision,
    rows,
    sequence,
)

FILES = {f"sequences/{name}.xml": sequence(name) for name in "abc"}
NEW = {"sequences/d.xml": sequence("d")}


def batch(*contents: bytes) -> Blobs:
    return Blobs(*compress_batch([(entry(content), content) for content in contents]))


def managing(files: dict[str, bytes] | None = None) -> tuple[Bench, int]:
    bench = Bench(FILES if files is None else files, writers=Writers.ANY).lead().pass_(3)
    link = bench.follow()
    bench.sent.clear()
    return bench, link


def propose(bench: Bench, link: int, *changes: Change, number: int = 7) -> None:
    bench.hear(link, Propose(number, bench.state.standing.revision, changes))


# --- the manager ----------------------------------------------------------------------------------


def test_a_proposal_becomes_live_here_and_the_next_revision() -> None:
    bench, link = managing()
    propose(bench, link, *adds(NEW))
    assert bench.said(Want)[0].blobs == (digest_of(NEW["sequences/d.xml"]),)
    bench.hear(link, batch(*NEW.values()))
    assert bench.files == FILES | NEW
    assert bench.said(Proposed) == [Proposed(7, (at("sequences/d.xml"),), ())]
    (record, _), *_ = bench.history.revisions(1)
    assert (record.author, record.note) == (PEER, "proposal of gw-2")
    assert record.id == bench.state.standing.revision
    assert [offer.revision for offer in bench.said(Offer)] == [record.id]


def test_bytes_that_are_here_already_need_not_come() -> None:
    bench, link = managing()
    propose(bench, link, Change(at("copy.txt"), None, entry(FILES["sequences/a.xml"])))
    assert bench.said(Want) == []
    assert bench.said(Proposed)[0].taken == (at("copy.txt"),)


def test_a_deletion_needs_no_bytes() -> None:
    bench, link = managing()
    propose(bench, link, Change(at("sequences/a.xml"), entry(FILES["sequences/a.xml"]), None))
    assert "sequences/a.xml" not in bench.files
    assert [kept.path.path for kept in bench.disk.kept()] == ["sequences/a.xml"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            Change(at("sequences/a.xml"), entry(b"other"), entry(b"mine")), id="of other bytes"
        ),
        pytest.param(Change(at("sequences/a.xml"), None, entry(b"mine")), id="not new here"),
    ],
)
def test_what_does_not_meet_what_it_expects_is_lost(change: Change) -> None:
    bench, link = managing()
    propose(bench, link, change)
    assert bench.said(Proposed) == [Proposed(7, (), (change.path,))]
    assert bench.state.standing.revision.number == 1


def test_what_is_of_a_tree_that_the_manager_does_not_list_is_refused_and_the_rest_taken() -> None:
    bench, link = managing()
    elsewhere = Change(at("x", TreeName("elsewhere")), None, entry(b"x"))
    propose(bench, link, elsewhere, Change(at("copy.txt"), None, entry(FILES["sequences/a.xml"])))
    reason = "elsewhere:x: gw-1 does not list the tree elsewhere"
    assert bench.said(Proposed) == [Proposed(7, (at("copy.txt"),), (elsewhere.path,), reason)]


def test_what_is_so_already_needs_nothing() -> None:
    bench, link = managing()
    path = at("sequences/a.xml")
    propose(bench, link, Change(path, entry(b"older"), entry(FILES[path.path])))
    assert bench.said(Proposed) == [Proposed(7, (), ())]


def test_what_the_manager_is_editing_itself_is_lost() -> None:
    bench, link = managing()
    bench.put("sequences/d.xml", sequence("d", "not-there-yet"))
    bench.pass_(1)
    propose(bench, link, *adds(NEW))
    assert bench.said(Proposed)[0].lost == (at("sequences/d.xml"),)


def test_what_the_manager_refuses_of_its_own_may_be_mended_by_others() -> None:
    bench, link = managing()
    path = at("sequences/a.xml")
    bench.put(path.path, b"<sequence name='a'")
    bench.pass_(1)
    mended = sequence("a", text="mended")
    propose(bench, link, Change(path, entry(FILES[path.path]), entry(mended)))
    bench.hear(link, batch(mended))
    assert bench.said(Proposed)[0].taken == (path,)
    assert bench.files[path.path] == mended


def test_what_validation_refuses_is_lost_with_the_reason() -> None:
    bench, link = managing()
    bad = b"<sequence name='d'"
    propose(bench, link, *adds({"sequences/d.xml": bad}))
    bench.hear(link, batch(bad))
    (answer,) = bench.said(Proposed)
    assert answer.lost == (at("sequences/d.xml"),)
    assert "sequences/d.xml" in answer.reason
    assert bench.files == FILES


def test_bytes_that_are_wrong_lose_the_proposal() -> None:
    bench, link = managing()
    propose(bench, link, *adds(NEW))
    bench.hear(link, Blobs((entry(NEW["sequences/d.xml"]),), batch(b"other").frame))
    assert bench.said(Proposed)[0].lost == (at("sequences/d.xml"),)
    assert not bench.node.proposing.busy


def test_many_deletions_are_held_here_whatever_the_proposer_says_of_them() -> None:
    files = {f"sequences/{n:03}.xml": sequence(f"s{n}") for n in range(60)}
    gone = tuple(Change(at(p), entry(c), None) for p, c in sorted(files.items())[5:])
    bench, link = managing(files)
    propose(bench, link, *gone)
    (answer,) = bench.said(Proposed)
    assert (answer.taken, len(answer.lost)) == ((), 55)
    assert "syncagent approve" in answer.reason
    released = (set_digest(gone),)
    (hold,) = bench.state.holds.values()
    assert (hold.node, hold.set_digest) == (PEER, released[0])
    request = bench.ask("approve", id=hold.id)
    assert bench.replies[request].error is None
    bench.hear(link, Propose(9, bench.state.standing.revision, gone))
    (answer,) = bench.said(Proposed)
    assert (len(answer.taken), answer.lost) == (55, ())
    assert bench.history.revisions(1)[0][0].released == released


def test_a_held_proposal_is_listed_for_as_long_as_it_comes() -> None:
    files = {f"sequences/{n:03}.xml": sequence(f"s{n}") for n in range(60)}
    gone = tuple(Change(at(p), entry(c), None) for p, c in sorted(files.items())[5:])
    bench, link = managing(files)
    propose(bench, link, *gone)
    bench.pass_(HELD_S - 1)
    assert bench.state.holds
    bench.pass_(2)
    assert not bench.state.holds


def test_one_proposal_at_a_time_and_the_next_meets_the_new_state() -> None:
    bench, link = managing()
    path = at("sequences/a.xml")
    first, second = sequence("a", text="1st"), sequence("a", text="2nd")
    old = entry(FILES[path.path])
    propose(bench, link, Change(path, old, entry(first)), number=1)
    propose(bench, link, Change(path, old, entry(second)), number=2)
    bench.hear(link, batch(first))
    assert bench.said(Proposed) == [Proposed(1, (path,), ()), Proposed(2, (), (path,))]
    assert bench.files[path.path] == first


def test_a_queue_that_is_full_takes_no_more() -> None:
    bench, link = managing()
    propose(bench, link, *adds(NEW), number=1)
    (wish,) = adds({"e.txt": b"e"})
    for request in range(1, QUEUE_MAX + 1):
        bench.node.proposing.adopt(request, (link, PEER), wish, "restored", bench.now())
    propose(bench, link, *adds({"f.txt": b"f"}), number=2)
    (answer,) = bench.said(Proposed)
    assert (answer.proposal, answer.reason) == (2, "too many proposals wait")


def test_what_a_worker_proposes_anew_takes_the_place_of_what_waits_of_it() -> None:
    bench, link = managing()
    bench.disk.conditions[T] = Condition.REPLACED
    bench.handle(Hinted(T, "sequences/a.xml", HintKind.WRITTEN))
    bench.pass_(1)
    for number in range(2 * QUEUE_MAX):
        propose(bench, link, *adds(NEW), number=number)
    assert bench.said(Proposed) == []
    del bench.disk.conditions[T]
    bench.pass_(6)
    bench.hear(link, batch(*NEW.values()))
    assert [answer.proposal for answer in bench.said(Proposed)] == [2 * QUEUE_MAX - 1]
    assert bench.files == FILES | NEW


def test_a_proposer_that_goes_comes_again_when_it_is_back() -> None:
    bench, link = managing()
    propose(bench, link, *adds(NEW), number=1)
    propose(bench, link, *adds({"e.txt": b"e"}), number=2)
    bench.cut(link)
    assert not bench.node.proposing.busy
    assert bench.said(Proposed) == []


def test_bytes_of_nobody_s_proposal_are_not_kept() -> None:
    bench, link = managing()
    bench.handle(Received(link, batch(b"x")))
    assert [e for e in bench.hands if isinstance(e, fx.KeepBlobs)] == []
    bench.handle(rs.BlobsKept(99, ()))
    assert not bench.history.has(digest_of(b"x"))


def test_a_worker_takes_no_proposals() -> None:
    bench = Bench(FILES, manager=PEER, writers=Writers.ANY).start()
    link, _ = bench.managed()
    propose(bench, link, *adds(NEW))
    assert bench.said(Proposed)[0].reason == "this node is not the manager"


def test_where_only_the_manager_writes_nobody_proposes() -> None:
    bench = Bench(FILES).lead().pass_(3)
    link = bench.follow()
    propose(bench, link, *adds(NEW))
    assert "only the manager's" in bench.said(Proposed)[0].reason


def test_a_manager_that_steps_down_gives_proposals_back() -> None:
    bench, link = managing()
    propose(bench, link, *adds(NEW), number=1)
    propose(bench, link, *adds({"e.txt": b"e"}), number=2)
    other = bench.link(dialled=False)
    bench.hear(other, Admit(bench.token(9)))
    answers = bench.said(Proposed)
    assert {answer.proposal for answer in answers} == {1, 2}
    assert all(answer.reason == "this node is not the manager any more" for answer in answers)


def test_the_first_proposal_needs_no_approval_where_only_refused_files_are() -> None:
    bench, link = managing({"sequences/x.xml": b"<bad"})
    assert bench.state.standing.revision.number == 0
    propose(bench, link, *adds(NEW))
    bench.hear(link, batch(*NEW.values()))
    assert bench.state.standing.manifest == rows(NEW)
    assert bench.files == NEW | {"sequences/x.xml": b"<bad"}


# --- the worker -----------------------------------------------------------------------------------


def working() -> tuple[Bench, int]:
    bench = Bench(FILES, manager=PEER, standing=FILES, writers=Writers.ANY).start()
    link, _ = bench.managed()
    return bench, link


def test_a_worker_s_own_change_is_proposed_and_not_reverted() -> None:
    bench, link = working()
    bench.put("sequences/d.xml", NEW["sequences/d.xml"])
    bench.pass_(2)
    (message,) = bench.said(Propose, link)
    assert (message.base, message.changes) == (bench.state.standing.revision, adds(NEW))
    assert bench.files == FILES | NEW
    bench.hear(link, Want(message.base, manifest=False, blobs=(digest_of(NEW["sequences/d.xml"]),)))
    assert [blobs.entries for blobs in bench.said(Blobs)] == [(entry(NEW["sequences/d.xml"]),)]


def test_once_it_is_a_revision_nothing_is_left_to_do() -> None:
    bench, link = working()
    bench.put("sequences/d.xml", NEW["sequences/d.xml"])
    bench.pass_(2)
    before = dict(bench.disk.trees[T])
    token = bench.state.guard.highest
    assert token is not None
    made = revision(bench.state.standing.revision, rows(FILES), adds(NEW), epoch=2)
    bench.offer(link, token, made)
    bench.hear(link, Commit(token, made.id))
    assert bench.disk.trees[T] == before, "the bytes are right: not even touched"
    bench.sent.clear()
    bench.pass_(15)
    assert bench.said(Propose) == []


def test_a_proposal_without_an_answer_is_made_again_later() -> None:
    bench, link = working()
    bench.put("sequences/d.xml", NEW["sequences/d.xml"])
    bench.pass_(8)
    assert len(bench.said(Propose, link)) == 1
    bench.pass_(5)
    assert len(bench.said(Propose, link)) == 1
    bench.cut(link)
    bench.pass_(30)
    assert bench.said(Propose) == []
    assert bench.files == FILES | NEW, "also while there is no manager nothing is reverted"


def test_what_was_lost_is_not_proposed_again_at_once_and_what_was_taken_is_not_waited_for() -> None:
    bench, link = working()
    bench.put("sequences/d.xml", NEW["sequences/d.xml"])
    bench.pass_(2)
    (message,) = bench.said(Propose, link)
    bench.hear(link, Proposed(message.proposal, (), (at("sequences/d.xml"),), "held there"))
    bench.pass_(2)
    assert bench.said(Propose, link) == []
    assert bench.events("proposal-lost") == [
        {"path": "synapse:sequences/d.xml", "reason": "held there"}
    ]
    bench.hear(link, Proposed(message.proposal, (at("sequences/d.xml"),), ()))
    assert bench.events("proposal-taken") == [{"count": 1}]


def test_many_deletions_wait_at_the_worker_until_they_are_released() -> None:
    files = {f"sequences/{n:03}.xml": sequence(f"s{n}") for n in range(60)}
    bench = Bench(files, manager=PEER, standing=files, writers=Writers.ANY).start()
    link, _ = bench.managed()
    for path in list(files)[5:]:
        bench.remove(path)
    bench.pass_(4)
    (hold,) = bench.state.holds.values()
    assert hold.reason is HoldReason.DELETIONS
    assert bench.said(Propose) == []
    bench.answer("approve", id=hold.id)
    bench.pass_(2)
    (message,) = bench.said(Propose, link)
    assert len(message.changes) == 55


def test_what_looked_gone_while_nobody_led_is_held_when_a_part_of_it_is_back() -> None:
    bench, link = working()
    bench.cut(link)
    for path in FILES:
        bench.remove(path)
    bench.pass_(5)
    (hold,) = bench.state.holds.values()
    assert hold.reason in {HoldReason.TREE_EMPTIED, HoldReason.FOLDER_VANISHED}
    bench.put("sequences/a.xml", FILES["sequences/a.xml"])
    bench.pass_(2)
    link, _ = bench.managed(3)
    bench.pass_(2)
    gone = [c.path for m in bench.said(Propose, link) for c in m.changes if c.after is None]
    assert gone == []
    assert len(bench.state.holds) == 1


def test_an_edit_that_the_manager_s_revision_displaces_is_kept_as_a_conflict() -> None:
    bench, link = working()
    bench.put("sequences/a.xml", sequence("a", text="mine"))
    bench.pass_(2)
    token = bench.state.guard.highest
    assert token is not None
    theirs = sequence("a", text="theirs")
    path = at("sequences/a.xml")
    change = Change(path, entry(FILES[path.path]), entry(theirs))
    made = revision(bench.state.standing.revision, rows(FILES), [change], epoch=2)
    bench.offer(link, token, made)
    bench.hear(link, batch(theirs))
    bench.hear(link, Commit(token, made.id))
    assert bench.files[path.path] == theirs
    assert [(kept.reason, kept.digest) for kept in bench.disk.kept()] == [
        ("conflict", digest_of(sequence("a", text="mine")))
    ]
    assert bench.state.me == ME
