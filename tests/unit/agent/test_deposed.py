"""What a manager had on disk and never sent is declared, proposed or kept as a conflict; never lost."""

from __future__ import annotations

import json

from syncagent.agent import effects as fx
from syncagent.agent.node import undelivered
from syncagent.core.change import Change
from syncagent.core.intent import Keep
from syncagent.core.lease import Candidate
from syncagent.core.revision import RevisionId
from syncagent.core.settings import Limits, Writers
from syncagent.core.wire.messages import Blobs, Commit, ManifestPart, Offer, Prepared, Propose, Want
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import ME, PEER, Bench, at, entry, revision, rows, sequence
from tests.fakes.leases import MemoryStore, MemoryTable

A, B = "sequences/a.xml", "sequences/b.xml"
C, D = "sequences/c.xml", "sequences/d.xml"
FILES = {A: sequence("a"), B: sequence("b")}
EDITED = sequence("a", text="edited")
NEW = sequence("c")


def returned(edits: dict[str, bytes], **given: object) -> tuple[Bench, MemoryTable]:
    """A node that led until it was killed, and starts again while another holds the lease."""
    table = MemoryTable(epoch=1)
    other = MemoryStore(table)
    assert other.try_acquire(Candidate("c", PEER, "p1"), other.observe(), 1)
    store = MemoryStore(table)
    bench = Bench({**FILES, **edits}, standing=FILES, manager=ME, store=store, **given)  # type: ignore[arg-type]
    return bench.start(), table


def kept(bench: Bench) -> list[tuple[str, Keep, bytes]]:
    return [(k.path.path, k.reason, bench.disk.kept_bytes(k.id)) for k in bench.disk.kept()]


def test_nothing_is_put_back_while_it_may_still_lead_again() -> None:
    bench, _ = returned({A: EDITED})
    bench.pass_(5)
    assert bench.files[A] == EDITED


def test_what_it_never_declared_is_declared_if_it_is_elected_again() -> None:
    bench, _ = returned({A: EDITED})
    bench.pass_(30)
    assert bench.state.leads
    assert bench.state.base.get(at(A)) == entry(EDITED)
    assert bench.files[A] == EDITED


def test_what_it_never_declared_is_kept_as_a_conflict_when_another_leads() -> None:
    bench, _ = returned({A: EDITED})
    bench.managed(epoch=2)
    bench.pass_(2)
    assert bench.files == FILES
    assert kept(bench) == [(A, Keep.CONFLICT, EDITED)]


def test_later_drift_is_drift_again() -> None:
    bench, _ = returned({A: EDITED})
    bench.managed(epoch=2)
    bench.pass_(2)
    bench.put(B, sequence("b", text="later"))
    bench.pass_(2)
    assert [reason for _, reason, _ in kept(bench)] == [Keep.DRIFT, Keep.CONFLICT]


def test_the_drift_of_a_node_that_came_back_without_edits_is_drift() -> None:
    bench, _ = returned({})
    bench.managed(epoch=2)
    bench.pass_(2)
    bench.put(B, sequence("b", text="later"))
    bench.pass_(2)
    assert [reason for _, reason, _ in kept(bench)] == [Keep.DRIFT]


def test_where_any_node_may_write_it_is_proposed_to_the_new_manager() -> None:
    bench, _ = returned({A: EDITED}, writers=Writers.ANY)
    link, _ = bench.managed(epoch=2)
    bench.pass_(2)
    (proposal,) = bench.said(Propose, link)
    assert proposal.changes == (Change(at(A), entry(FILES[A]), entry(EDITED)),)
    assert bench.files[A] == EDITED


def test_what_it_declared_and_never_sent_is_a_conflict_when_the_other_line_comes() -> None:
    bench, _ = returned({A: EDITED})
    bench.pass_(30)
    assert bench.state.standing.revision[:2] == (3, 2)
    first = RevisionId(1, 1, rows(FILES).digest)
    theirs = sequence("b", text="theirs")
    change = Change(at(B), entry(FILES[B]), entry(theirs))
    others = revision(first, rows(FILES), [change], epoch=4)
    link, token = bench.managed(epoch=4)
    bench.hear(link, Offer(token, others.id, first, PEER, "", (), None))
    whole = tuple(rows(FILES).after(others.changes))
    bench.hear(link, ManifestPart(others.id, whole, last=True))
    bench.hear(link, Blobs(*compress_batch([(entry(theirs), theirs)])))
    bench.hear(link, Commit(token, others.id))
    bench.rest()
    assert bench.files == {A: FILES[A], B: theirs}
    assert (A, Keep.CONFLICT, EDITED) in kept(bench)


def deposed(theirs: dict[str, bytes], writers: Writers) -> tuple[Bench, int]:
    """A node that declared A, and told nobody, now follows a line in which others wrote."""
    bench, _ = returned({A: EDITED}, writers=writers)
    bench.pass_(30)
    assert bench.state.standing.revision[:2] == (3, 2)
    return bench, follow(bench, theirs)


def follow(bench: Bench, theirs: dict[str, bytes], epoch: int = 4, beyond: int = 0) -> int:
    """Take what a line that parted at the first revision has come to since; return the link.

    It has two revisions, and `beyond` more of which nothing is left.
    """
    first = RevisionId(1, 1, rows(FILES).digest)
    begun = revision(first, rows(FILES), [Change(at(C), None, entry(NEW))], epoch=epoch)
    manifest = rows(FILES).after(begun.changes)
    before = begun.id._replace(number=begun.id.number + beyond)
    changes = [
        Change(at(path), manifest.get(at(path)), entry(content)) for path, content in theirs.items()
    ]
    newest = revision(before, manifest, changes, epoch=epoch)
    link, token = bench.managed(epoch=epoch)
    bench.hear(link, Offer(token, newest.id, before, PEER, "", (), None))
    whole = tuple(manifest.after(changes))
    bench.hear(link, ManifestPart(newest.id, whole, last=True))
    blobs = [(entry(content), content) for content in (NEW, *theirs.values())]
    bench.hear(link, Blobs(*compress_batch(blobs)))
    bench.hear(link, Commit(token, newest.id))
    bench.rest()
    assert bench.state.standing.revision == newest.id
    return link


THEIRS = sequence("b", text="theirs")


def test_where_any_node_may_write_what_was_never_sent_is_proposed_on_the_other_line() -> None:
    bench, link = deposed({B: THEIRS}, Writers.ANY)
    assert bench.files == {A: EDITED, B: THEIRS, C: NEW}
    assert A not in [path for path, _, _ in kept(bench)]
    bench.pass_(2)
    (proposal,) = bench.said(Propose, link)
    assert proposal.changes == (Change(at(A), entry(FILES[A]), entry(EDITED)),)


def test_a_node_that_was_not_restarted_proposes_it_however_far_the_other_line_has_gone() -> None:
    bench, _ = returned({A: EDITED}, writers=Writers.ANY)
    bench.pass_(30)
    link = follow(bench, {B: THEIRS}, beyond=20)
    assert bench.files == {A: EDITED, B: THEIRS, C: NEW}
    bench.pass_(2)
    assert [p.changes for p in bench.said(Propose, link)] == [
        (Change(at(A), entry(FILES[A]), entry(EDITED)),)
    ]


def test_what_the_other_line_may_have_had_is_kept_and_not_proposed() -> None:
    """It may have put back just what was there before, and that would be undone."""
    bench, _ = returned({A: EDITED}, writers=Writers.ANY)
    bench.pass_(30)
    bench.join(bench.history, bench.guard)
    bench.start()
    link = follow(bench, {B: THEIRS}, epoch=9, beyond=20)
    assert bench.files == {A: FILES[A], B: THEIRS, C: NEW}
    assert (A, EDITED) in [(path, content) for path, _, content in kept(bench)]
    bench.pass_(2)
    assert bench.said(Propose, link) == []


def test_what_the_new_manager_has_caught_up_with_is_not_this_node_s_alone() -> None:
    bench, _ = returned({A: EDITED}, writers=Writers.ANY)
    bench.pass_(30)
    link, _ = bench.managed(epoch=4)
    assert bench.state.alone == bench.state.standing.revision
    bench.hear(link, Want(bench.state.standing.revision, manifest=True))
    assert bench.state.alone is None


def test_what_both_lines_changed_is_a_conflict_also_where_any_node_may_write() -> None:
    also = sequence("a", text="also theirs")
    bench, link = deposed({A: also}, Writers.ANY)
    assert bench.files == {A: also, B: FILES[B], C: NEW}
    assert kept(bench) == [(A, Keep.CONFLICT, EDITED)]
    bench.pass_(2)
    assert bench.said(Propose, link) == []


def test_where_only_managers_write_it_is_kept_on_whatever_line_comes() -> None:
    bench, link = deposed({B: THEIRS}, Writers.MANAGER)
    assert bench.files == {A: FILES[A], B: THEIRS, C: NEW}
    assert (A, EDITED) in [(path, content) for path, _, content in kept(bench)]
    bench.pass_(2)
    assert bench.said(Propose, link) == []


def test_what_both_lines_made_the_same_is_neither_proposed_nor_kept() -> None:
    bench, link = deposed({A: EDITED}, Writers.ANY)
    bench.pass_(2)
    assert (kept(bench), bench.said(Propose, link)) == ([], [])


def test_several_revisions_that_nobody_has_are_proposed_as_one() -> None:
    bench, _ = returned({A: sequence("a", text="first")}, writers=Writers.ANY)
    bench.pass_(30)
    bench.put(A, EDITED)
    bench.put(D, sequence("d"))
    bench.pass_(5)
    assert bench.state.standing.revision[:2] == (3, 3)
    link = follow(bench, {B: THEIRS})
    assert bench.files == {A: EDITED, B: THEIRS, C: NEW, D: sequence("d")}
    bench.pass_(5)
    (proposal,) = bench.said(Propose, link)
    assert set(proposal.changes) == {
        Change(at(A), entry(FILES[A]), entry(EDITED)),
        Change(at(D), None, entry(sequence("d"))),
    }


def test_too_much_to_note_is_kept_and_not_proposed_where_any_node_may_write() -> None:
    many = {f"sequences/{n}.xml": sequence(f"s{n}") for n in range(undelivered.ROWS_MAX + 1)}
    unguarded = Limits(delete_files=1000, delete_share=1.0)
    bench, _ = returned(many, writers=Writers.ANY, limits=unguarded)
    bench.pass_(30)
    assert bench.state.standing.revision[:2] == (3, 2)
    follow(bench, {B: THEIRS})
    assert bench.files == {**FILES, B: THEIRS, C: NEW}
    assert {(path, content) for path, _, content in kept(bench)} >= set(many.items())
    bench.pass_(2)
    assert bench.said(Propose) == []


def test_what_was_sent_is_noted_no_more() -> None:
    bench, _ = returned({A: EDITED}, writers=Writers.ANY)
    bench.pass_(30)
    assert noted(bench) == {A}
    link = bench.follow(standing=RevisionId(1, 1, rows(FILES).digest))
    bench.pass_(5)
    assert noted(bench) == {A}
    bench.hear(link, Prepared(bench.state.standing.revision))
    assert bench.said(Commit, link)
    bench.put(B, THEIRS)
    bench.pass_(5)
    assert noted(bench) == {B}


def test_what_was_declared_before_another_led_is_not_noted_again() -> None:
    bench, table = returned({A: EDITED}, writers=Writers.ANY)
    bench.pass_(30)
    assert noted(bench) == {A}
    other = MemoryStore(table)
    assert other.try_acquire(Candidate("c", PEER, "p2", promoted=True), other.observe(), 3)
    bench.pass_(15)
    assert not bench.state.leads
    bench.pass_(60)
    assert bench.state.leads
    bench.put(B, THEIRS)
    bench.pass_(5)
    assert noted(bench) == {B}


def noted(bench: Bench) -> set[str]:
    note = json.loads(bench.state.standing.notes.get(undelivered.NOTE, '{"before": []}'))
    return {path for _tree, path, _digest, _size in note["before"]}


def test_a_lease_that_is_lost_while_a_revision_goes_to_disk_leaves_it_unsent() -> None:
    table = MemoryTable()
    store = MemoryStore(table)
    bench = Bench(FILES, store=store).start()
    link = bench.link()
    bench.admit(link)
    bench.pass_(1)
    bench.said(Offer)
    standing = bench.state.standing.revision
    bench.put(A, EDITED)
    while not any(isinstance(effect, fx.Declare) for effect in bench.hands):
        bench.at += 0.05
        bench.tick()
        for effect in [e for e in bench.hands if not isinstance(e, fx.Declare)]:
            bench.hands.remove(effect)
            result = bench.do(effect)
            if result is not None:
                bench.handle(result)
    bench.said(Offer)
    bench.at += 13
    bench.tick()
    assert not bench.state.leads
    while bench.step():
        pass
    assert bench.state.standing.revision.number == standing.number + 1, "the ledger has it"
    assert (bench.said(Offer), bench.said(Commit)) == ([], [])
    assert bench.files[A] == EDITED
