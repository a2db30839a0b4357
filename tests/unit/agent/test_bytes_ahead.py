"""Bytes of a small offer come before it, unasked; nothing hangs on whether they do."""

from syncagent.agent import effects as fx
from syncagent.agent.node.gathering import AHEAD_BYTES_MAX
from syncagent.core.digest import digest_of
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.wire.messages import Blobs, Commit, Offer, Prepared, Want
from syncagent.core.wire.packing import compress_batch, split_batch
from tests.fakes.agent_bench import PEER, Bench, adds, entry, revision, rows, sequence

OLD = {f"sequences/{name}.xml": sequence(name) for name in "ab"}
ADDED = {"sequences/d.xml": sequence("d"), "sequences/e.xml": sequence("e")}


def batch(*contents: bytes) -> Blobs:
    return Blobs(*compress_batch([(entry(content), content) for content in contents]))


def worker() -> Bench:
    return Bench(OLD, manager=PEER, standing=OLD).start()


def leading() -> tuple[Bench, int]:
    bench = Bench(OLD).lead().pass_(3)
    bench.state.read_lately = bench.memory.content
    link = bench.follow()
    bench.sent.clear()
    return bench, link


def test_a_worker_that_has_the_bytes_asks_for_nothing_and_prepares_in_one_step() -> None:
    bench = worker()
    link, token = bench.managed()
    new = revision(bench.state.standing.revision, rows(OLD), adds(ADDED), epoch=2)
    bench.hear(link, batch(*ADDED.values()))
    done: list[fx.Effect] = []
    carry_out = bench.do
    bench.do = lambda effect: done.append(effect) or carry_out(effect)  # type: ignore[method-assign,func-returns-value]
    bench.offer(link, token, new)
    assert bench.said(Want) == []
    assert bench.said(Prepared) == [Prepared(new.id)]
    assert not any(isinstance(effect, fx.Seal) for effect in done)
    bench.hear(link, Commit(token, new.id))
    assert bench.files == OLD | ADDED


def test_what_did_not_come_ahead_is_asked_for() -> None:
    bench = worker()
    link, token = bench.managed()
    new = revision(bench.state.standing.revision, rows(OLD), adds(ADDED), epoch=2)
    bench.hear(link, batch(ADDED["sequences/d.xml"]))
    bench.offer(link, token, new)
    (want,) = bench.said(Want)
    assert want.blobs == (digest_of(ADDED["sequences/e.xml"]),)
    bench.hear(link, batch(ADDED["sequences/e.xml"]))
    assert bench.said(Prepared) == [Prepared(new.id)]


def test_bytes_that_another_connection_brought_count_for_nothing() -> None:
    bench = worker()
    other = bench.link(dialled=False)
    link, token = bench.managed()
    bench.hear(other, batch(*ADDED.values()))
    new = revision(bench.state.standing.revision, rows(OLD), adds(ADDED), epoch=2)
    bench.offer(link, token, new)
    assert len(bench.said(Want)[0].blobs) == 2


def test_more_than_a_little_is_not_kept_for_an_offer_that_may_never_come() -> None:
    bench = worker()
    link, token = bench.managed()
    large = {"sequences/d.xml": sequence("d", text="x" * AHEAD_BYTES_MAX)}
    bench.hear(link, batch(*large.values()))
    new = revision(bench.state.standing.revision, rows(OLD), adds(large), epoch=2)
    bench.offer(link, token, new)
    assert len(bench.said(Want)) == 1


def test_a_manager_sends_the_bytes_of_a_small_revision_before_its_offer() -> None:
    bench, link = leading()
    bench.put("sequences/d.xml", ADDED["sequences/d.xml"])
    bench.pass_(2)
    kinds = [type(m) for to, m in bench.sent if to == link and isinstance(m, Blobs | Offer)]
    assert kinds == [Blobs, Offer]
    (ahead,) = bench.said(Blobs)
    assert split_batch(ahead.entries, ahead.frame) == [ADDED["sequences/d.xml"]]


def test_a_manager_sends_a_large_revision_only_when_asked() -> None:
    bench, _ = leading()
    bench.put("sequences/d.xml", sequence("d", text="x" * AHEAD_BYTES_MAX))
    bench.pass_(2)
    assert bench.said(Blobs) == []
    assert len(bench.said(Offer)) == 1


def test_a_worker_that_does_not_stand_on_the_parent_gets_no_bytes_ahead() -> None:
    bench = Bench(OLD).lead().pass_(3)
    bench.state.read_lately = bench.memory.content
    bench.follow(standing=REVISION_ZERO)
    bench.sent.clear()
    bench.put("sequences/d.xml", ADDED["sequences/d.xml"])
    bench.pass_(2)
    assert bench.said(Blobs) == []
