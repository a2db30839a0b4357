"""From the lease to leading: whom a new manager waits for, and when it lets another try."""

from __future__ import annotations

from dataclasses import replace

from syncagent.agent.node.job import Stage
from syncagent.agent.node.state import Role
from syncagent.core.events import DialFailed
from syncagent.core.lease import Candidate
from syncagent.core.ledger import StandingChange
from syncagent.core.revision import RevisionId
from syncagent.core.settings import ElectionSettings, PeerSettings
from syncagent.core.wire.messages import Admit, Blobs, ManifestPart, Missing, Want
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import (
    ME,
    PEER,
    PLANS,
    THIRD,
    Bench,
    T,
    adds,
    entry,
    revision,
    rows,
    sequence,
)
from tests.fakes.leases import MemoryStore, MemoryTable

FILES = {f"sequences/{name}.xml": sequence(name) for name in "ab"}
MORE = {"sequences/c.xml": sequence("c")}
PEERS = (PeerSettings(PEER, "10.0.0.2:7421", ""), PeerSettings(THIRD, "10.0.0.3:7421", ""))
FIRST = RevisionId(1, 1, rows(FILES).digest)
NEWER = revision(FIRST, rows(FILES), adds(MORE), epoch=1)


def elected(**given: object) -> Bench:
    """A node that stands on revision 1 and has just won; two others may know more."""
    given = {"peers": PEERS, "manager": PEER, "standing": FILES, **given}
    bench = Bench(FILES, store=MemoryStore(MemoryTable(epoch=1)), **given)  # type: ignore[arg-type]
    bench.start()
    assert bench.state.role is Role.ADMITTING
    return bench


def table_of(bench: Bench) -> MemoryTable:
    assert isinstance(bench.store, MemoryStore)
    return bench.store.table


def brings(bench: Bench, link: int) -> None:
    """Let a peer serve the newer revision."""
    bench.hear(link, ManifestPart(NEWER.id, tuple(rows({**FILES, **MORE})), last=True))
    content = MORE["sequences/c.xml"]
    bench.hear(link, Blobs(*compress_batch([(entry(content), content)])))


def test_the_newest_revision_is_taken_over_before_it_leads() -> None:
    bench = elected()
    link = bench.link()
    bench.handle(DialFailed(THIRD, "refused"))
    bench.admit(link, NEWER.id)
    assert bench.state.role is Role.CATCHING_UP
    assert [want.revision for want in bench.said(Want, link)] == [NEWER.id]
    brings(bench, link)
    assert bench.state.leads
    assert bench.files == {**FILES, **MORE}


def test_of_two_that_know_it_the_one_that_is_connected_is_asked() -> None:
    bench = elected()
    first, second = bench.link(PEER), bench.link(THIRD)
    bench.admit(first, NEWER.id)
    bench.cut(first, PEER)
    bench.admit(second, NEWER.id)
    assert bench.said(Want, second)
    brings(bench, second)
    assert bench.state.leads


def gone_with_the_newest(bench: Bench) -> None:
    """Let the only node that knows the newest revision go after it has said so."""
    first, second = bench.link(PEER), bench.link(THIRD)
    bench.admit(first, NEWER.id)
    bench.said(Want)
    bench.cut(first, PEER)
    bench.admit(second, FIRST)


def test_who_alone_knows_the_newest_and_is_away_is_waited_for() -> None:
    bench = elected()
    gone_with_the_newest(bench)
    bench.pass_(20)
    assert bench.state.role is Role.CATCHING_UP
    assert "gw-2 knows of revision 2 and is not connected" in bench.state.alarms["catch-up"]
    assert PEER in bench.dialled[2:], "it is tried again and again"
    back = bench.link(PEER)
    assert bench.said(Admit, back)
    bench.admit(back, NEWER.id)
    bench.pass_(6)
    brings(bench, back)
    assert bench.state.leads


def test_after_thirty_seconds_another_candidate_has_its_turn() -> None:
    bench = elected()
    gone_with_the_newest(bench)
    bench.pass_(31)
    assert (bench.state.role, table_of(bench).token) == (Role.WORKER, None)
    assert "gw-2 knows of revision 2" in bench.state.waits_for
    bench.pass_(5)
    assert table_of(bench).token is None, "for ten seconds"


def test_when_nobody_else_could_either_it_goes_on_without() -> None:
    bench = elected()
    gone_with_the_newest(bench)
    bench.pass_(31)
    bench.pass_(11)
    assert bench.state.role is Role.ADMITTING
    # What is away says the same again, and is gone again before it is asked.
    gone_with_the_newest(bench)
    bench.pass_(6)
    assert bench.state.leads
    assert bench.events("passed-over") == [{"peer": PEER, "revision": 2}]
    assert bench.state.standing.revision == FIRST


def test_a_person_s_force_needs_no_second_turn() -> None:
    table = MemoryTable(epoch=1)
    other = MemoryStore(table)
    assert other.try_acquire(Candidate("c", PEER, "p1"), other.observe(), 1)
    bench = Bench(FILES, store=MemoryStore(table), peers=PEERS, manager=PEER, standing=FILES)
    bench.start()
    request = bench.ask("promote", force=True)
    gone_with_the_newest(bench)
    bench.pass_(40)
    assert bench.state.leads
    assert bench.replies[request].result == {"epoch": 3, "manager": ME}


def test_a_catch_up_that_fails_for_thirty_seconds_gives_another_the_turn() -> None:
    bench = elected()
    link = bench.link()
    bench.handle(DialFailed(THIRD, "refused"))
    bench.admit(link, NEWER.id)
    while not bench.events("passed-on"):
        if bench.said(Want, link):
            bench.pass_(2)
            bench.hear(link, Missing(NEWER.id, ()))
        bench.pass_(1)
        assert bench.at < 1_050, "for ever"
    assert bench.at > 1_030
    assert table_of(bench).token is None
    (event,) = bench.events("passed-on")
    assert "cannot catch up to revision" in str(event["reason"])


def test_a_catch_up_that_a_person_has_to_allow_gives_another_the_turn() -> None:
    bench = elected()
    link = bench.link()
    bench.handle(DialFailed(THIRD, "refused"))
    emptied = revision(
        FIRST, rows(FILES), [replace(c, before=c.after, after=None) for c in adds(FILES)], epoch=1
    )
    bench.admit(link, emptied.id)
    bench.hear(link, ManifestPart(emptied.id, (), last=True))
    assert bench.node.advancing.job is not None
    assert bench.node.advancing.job.phase is Stage.HELD
    bench.pass_(31)
    assert table_of(bench).token is None
    assert bench.files == FILES


def test_a_lease_that_is_lost_while_it_catches_up_ends_that() -> None:
    bench = elected()
    link = bench.link()
    bench.handle(DialFailed(THIRD, "refused"))
    bench.admit(link, NEWER.id)
    other = MemoryStore(table_of(bench))
    assert other.try_acquire(Candidate("c", THIRD, "p1"), other.observe(), 0)
    bench.pass_(6)
    assert (bench.state.role, bench.node.advancing.job) == (Role.WORKER, None)
    assert (link, "no longer manager") in bench.hung_up


def test_a_lease_that_is_lost_while_its_own_commit_is_under_way_lets_it_end() -> None:
    bench = elected()
    link = bench.link()
    bench.handle(DialFailed(THIRD, "refused"))
    bench.admit(link, NEWER.id)
    bench.hear(link, ManifestPart(NEWER.id, tuple(rows({**FILES, **MORE})), last=True))
    content = MORE["sequences/c.xml"]
    bench.node.advancing.blobs(link, Blobs(*compress_batch([(entry(content), content)])))
    bench._drain()
    while bench.node.advancing.job is None or bench.node.advancing.job.interruptible:
        assert bench.step()
    bench.at += 13
    bench.tick()
    assert bench.state.role is Role.WORKER
    assert bench.node.advancing.job is not None
    while bench.step():
        pass
    assert bench.node.advancing.job is None
    assert bench.state.standing.revision == NEWER.id
    assert bench.files == {**FILES, **MORE}


# --- who can't, and who goes first ----------------------------------------------------------------


def test_who_does_not_list_a_tree_of_the_revision_does_not_stand() -> None:
    bench = Bench(FILES, store=MemoryStore(MemoryTable()), standing=FILES, manager=PEER)
    plans = {"p.siddhiql": b"@Plan:name('p')\ndefine stream S (a int);\n"}
    whole = revision(FIRST, rows(FILES), adds(plans, PLANS), epoch=1)
    bench.history.stand(StandingChange(whole.id, changes=whole.changes))
    bench.join(bench.history, bench.guard)
    bench.start()
    bench.pass_(30)
    assert bench.state.role is Role.WORKER
    assert bench.state.waits_for == "gw-1 does not list siddhi: it has nothing to serve there"


def test_who_learns_only_now_of_a_tree_that_it_does_not_list_lets_others_lead() -> None:
    bench = elected()
    link = bench.link()
    bench.handle(DialFailed(THIRD, "refused"))
    plans = {"p.siddhiql": b"@Plan:name('p')\ndefine stream S (a int);\n"}
    whole = revision(FIRST, rows(FILES), adds(plans, PLANS), epoch=1)
    bench.admit(link, whole.id)
    bench.hear(link, ManifestPart(whole.id, tuple(rows(FILES).after(whole.changes)), last=True))
    bench.rest()
    assert (bench.state.role, table_of(bench).token) == (Role.WORKER, None)
    bench.pass_(60)
    assert bench.state.role is Role.WORKER


def test_who_may_not_be_elected_says_so() -> None:
    given = ElectionSettings("sql", eligible=(PEER,))
    bench = Bench(FILES, store=MemoryStore(MemoryTable()), election=given).start()
    bench.pass_(60)
    assert bench.state.role is Role.WORKER
    assert bench.state.waits_for == "the settings of gw-1 do not let it be elected"


def test_who_only_observes_says_so() -> None:
    bench = Bench(FILES, store=MemoryStore(MemoryTable()), apply=False).start()
    assert bench.state.waits_for == "gw-1 only observes (apply = false)"


def test_who_has_nothing_leaves_the_first_lease_to_others_for_a_while() -> None:
    bench = Bench({}, store=MemoryStore(MemoryTable())).start()
    bench.pass_(19)
    assert bench.state.role is Role.WORKER
    assert bench.state.waits_for.startswith("it has neither a revision nor an artifact")
    bench.pass_(2)
    assert bench.state.role is Role.ADMITTING


def test_artifacts_that_appear_end_its_reserve() -> None:
    bench = Bench({}, store=MemoryStore(MemoryTable())).start()
    bench.put("sequences/a.xml", sequence("a"))
    bench.pass_(2)
    assert bench.state.role is Role.ADMITTING
    assert bench.settings.tree_names == (T,)
