"""`writers = "any"`: what the manager refuses of a proposal does not keep the rest of it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.change import Change
from syncagent.core.settings import Writers
from syncagent.core.wire.messages import Blobs, Propose, Proposed
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import PEER, Bench, Files, adds, at, entry, sequence

if TYPE_CHECKING:
    from syncagent.core.artifact import ArtifactPath

FILES = {f"sequences/{name}.xml": sequence(name) for name in "abc"}
BAD = b"<sequence name='bad'"


def managing() -> tuple[Bench, int]:
    bench = Bench(FILES, writers=Writers.ANY).lead().pass_(3)
    link = bench.follow()
    bench.sent.clear()
    return bench, link


def put(path: str, content: bytes) -> Change:
    """Return the change of a file that the manager has, or has not."""
    before = FILES.get(path)
    return Change(at(path), entry(before) if before is not None else None, entry(content))


def drop(path: str) -> Change:
    return Change(at(path), entry(FILES[path]), None)


def proposed(bench: Bench, link: int, contents: Files, *changes: Change) -> Proposed:
    """Propose changes, send all bytes, return the answer."""
    bench.hear(link, Propose(7, bench.state.standing.revision, changes))
    batch = compress_batch([(entry(content), content) for content in contents.values()])
    bench.hear(link, Blobs(*batch))
    bench.pass_(1.0)
    (answer,) = bench.said(Proposed)
    return answer


def test_what_is_refused_is_told_and_the_rest_becomes_the_revision() -> None:
    bench, link = managing()
    new = {"sequences/bad.xml": BAD, "sequences/good.xml": sequence("good")}
    answer = proposed(bench, link, new, *adds(new))
    assert answer.lost == (at("sequences/bad.xml"),)
    assert "sequences/bad.xml" in answer.reason
    assert answer.taken == (at("sequences/good.xml"),)
    assert bench.files == FILES | {"sequences/good.xml": sequence("good")}
    (record, _), *_ = bench.history.revisions(1)
    assert [change.path for change in record.changes] == [at("sequences/good.xml")]


def test_each_refusal_is_told_with_its_own_reason() -> None:
    bench, link = managing()
    twice = sequence("a", text="again")
    new = {"sequences/bad.xml": BAD, "sequences/x.xml": twice, "sequences/y.xml": sequence("y")}
    answer = proposed(bench, link, new, *adds(new))
    assert answer.taken == (at("sequences/y.xml"),)
    assert answer.lost == (at("sequences/bad.xml"), at("sequences/x.xml"))
    assert "sequences/bad.xml: " in answer.reason
    assert "the sequence name 'a' is that of sequences/a.xml already" in answer.reason


def test_who_uses_what_is_refused_waits_with_it() -> None:
    bench, link = managing()
    # Two claim the name; the caller of it, and the caller's caller, would meet nothing.
    new = {
        "sequences/callee.xml": b"<sequence xmlns='urn:x' name='callee'/>",
        "sequences/caller.xml": sequence("caller", "callee"),
        "sequences/outer.xml": sequence("outer", "caller"),
        "sequences/other.xml": sequence("other", "a"),
    }
    answer = proposed(bench, link, new, *adds(new))
    assert answer.taken == (at("sequences/other.xml"),)
    assert [path.path for path in answer.lost] == [
        "sequences/callee.xml",
        "sequences/caller.xml",
        "sequences/outer.xml",
    ]


def test_half_of_a_rename_is_no_deletion() -> None:
    bench, link = managing()
    moved = {"sequences/z.xml": b"<sequence xmlns='urn:x' name='a'/>"}
    edited = sequence("b", text="edited")
    changes = (drop("sequences/a.xml"), put("sequences/b.xml", edited), *adds(moved))
    answer = proposed(bench, link, moved | {"sequences/b.xml": edited}, *changes)
    assert answer.lost == (at("sequences/a.xml"), at("sequences/z.xml"))
    assert "what is refused may be its new name" in answer.reason
    assert answer.taken == (at("sequences/b.xml"),)
    assert "sequences/a.xml" in bench.files


def test_a_deletion_of_another_name_does_not_wait() -> None:
    bench, link = managing()
    new = {"sequences/z.xml": sequence("c", text="again")}
    changes = (drop("sequences/a.xml"), *adds(new))
    answer = proposed(bench, link, new, *changes)
    assert answer.lost == (at("sequences/z.xml"),)
    assert answer.taken == (at("sequences/a.xml"),)


def test_a_file_that_the_manager_refuses_has_no_right_to_a_name() -> None:
    bench, link = managing()
    bench.put("sequences/Refused.xml", sequence("a", text="a second one"))
    bench.pass_(3)
    assert list(bench.state.refused) == [at("sequences/Refused.xml")]
    edited, other = sequence("a", text="edited"), sequence("b", text="edited")
    new = {"sequences/a.xml": edited, "sequences/b.xml": other}
    answer = proposed(bench, link, new, *(put(path, content) for path, content in new.items()))
    assert answer.lost == ()
    assert bench.files["sequences/a.xml"] == edited
    bench.pass_(3)
    assert list(bench.state.refused) == [at("sequences/Refused.xml")], "it is refused as before"


def test_a_name_moves_to_another_file_though_the_manager_refuses_a_third() -> None:
    bench, link = managing()
    bench.put("sequences/Refused.xml", sequence("a", text="a second one"))
    bench.pass_(3)
    moved = {"sequences/z.xml": sequence("a")}
    answer = proposed(bench, link, moved, drop("sequences/a.xml"), *adds(moved))
    assert answer.lost == ()
    bench.pass_(5)
    assert bench.files.keys() >= {"sequences/z.xml", "sequences/Refused.xml"}
    assert list(bench.state.refused) == [at("sequences/Refused.xml")]
    assert at("sequences/z.xml") in bench.state.base


# --- the worker -----------------------------------------------------------------------------------

A, B = at("sequences/a.xml"), at("sequences/b.xml")
WHY = "the sequence name 'x' is that of sequences/x.xml already; they share their names"


def proposing() -> tuple[Bench, int]:
    """A worker that has proposed two changes of its own."""
    bench = Bench(FILES, manager=PEER, standing=FILES, writers=Writers.ANY).start()
    link, _ = bench.managed()
    for path in (A, B):
        bench.put(path.path, sequence(path.path[10:11], text="edited"))
    bench.pass_(1)
    return bench, link


def answer(bench: Bench, link: int, lost: tuple[ArtifactPath, ...], reason: str) -> None:
    propose = bench.said(Propose, link)[-1]
    bench.hear(link, Proposed(propose.proposal, (), lost, reason))


def refused_here(bench: Bench) -> dict[str, str]:
    found = bench.answer("refused")
    assert isinstance(found, list)
    return {row["path"]: row["reason"] for row in found}


def test_what_the_manager_refuses_is_listed_where_it_was_written() -> None:
    bench, link = proposing()
    answer(bench, link, (A, B), f"many; {A}: {WHY}; {B}: no name")
    bench.pass_(1)
    assert refused_here(bench) == {
        A.path: f"gw-2, the manager, refuses it: {WHY}",
        B.path: "gw-2, the manager, refuses it: no name",
    }
    status = bench.answer("status")
    assert isinstance(status, dict)
    (row,) = [row for row in status["nodes"] if row["name"] == "gw-1"]
    assert (row["state"], row["refused"]) == ("Synced", 2)


def test_it_is_said_once_and_proposed_again_until_it_is_taken() -> None:
    bench, link = proposing()
    for _ in range(3):
        answer(bench, link, (A,), f"{A}: {WHY}")
        bench.pass_(11)
    assert len(bench.events("proposal-lost")) == 1
    propose = bench.said(Propose, link)[-1]
    bench.hear(link, Proposed(propose.proposal, (A,), ()))
    bench.pass_(1)
    assert refused_here(bench) == {}


def test_other_bytes_are_not_refused_yet() -> None:
    bench, link = proposing()
    answer(bench, link, (A,), f"{A}: {WHY}")
    bench.pass_(1)
    assert list(refused_here(bench)) == [A.path]
    bench.put(A.path, sequence("a", text="mended"))
    bench.pass_(1)
    assert refused_here(bench) == {}


def test_what_is_lost_to_other_bytes_is_not_refused() -> None:
    bench, link = proposing()
    answer(bench, link, (A,), "")
    bench.pass_(1)
    assert refused_here(bench) == {}


def test_a_worker_that_leads_judges_by_itself() -> None:
    bench, link = proposing()
    answer(bench, link, (A,), f"{A}: {WHY}")
    bench.pass_(1)
    bench.cut(link)
    bench.ask("promote", force=True)
    bench.pass_(20)
    assert bench.state.leads
    assert refused_here(bench) == {}
    assert bench.state.standing.revision.number == 2
