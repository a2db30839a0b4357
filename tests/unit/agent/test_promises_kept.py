"""Nobody waits for ever for a word that was lost on the way."""

from syncagent.agent.node.job import Stage
from syncagent.agent.node.state import Role
from syncagent.core.change import Change
from syncagent.core.errors import BusyError, StateError
from syncagent.core.revision import REVISION_ZERO, RevisionId
from syncagent.core.wire.messages import (
    Admitted,
    Commit,
    Declined,
    Offer,
    Report,
    Surveyed,
)
from tests.fakes.agent_bench import PEER, Bench, adds, at, entry, revision, sequence

FILES = {f"sequences/{name}.xml": sequence(name) for name in "abc"}
MORE = {"sequences/d.xml": sequence("d")}


def _refuse(point: str) -> None:
    if point == "intent-durable":
        raise StateError("the disk is full")


def _standing() -> Bench:
    """Return a worker that stands on revision 1 of `PEER`."""
    return Bench(FILES, standing=FILES, manager=PEER).start()


def test_a_commit_of_what_is_not_prepared_any_more_is_declined() -> None:
    bench = _standing()
    link, token = bench.managed()
    second = revision(
        bench.state.standing.revision, bench.state.standing.manifest, adds(MORE), epoch=2
    )
    bench.hear(link, Commit(token, second.id))
    (answer,) = bench.said(Declined, link)
    assert answer.revision == second.id


def test_a_promotion_that_comes_to_nothing_gives_its_offer_back() -> None:
    bench = _standing()
    link, token = bench.managed()
    second = revision(
        bench.state.standing.revision, bench.state.standing.manifest, adds(MORE), epoch=2
    )
    bench.offer(link, token, second)
    assert bench.node.advancing.job is not None
    request = bench.ask("promote")
    bench.pass_(6)
    assert isinstance(bench.replies[request].error, BusyError)
    assert bench.node.advancing.job is None
    assert [answer.revision for answer in bench.said(Declined, link)] == [second.id]


def test_a_node_that_is_stuck_in_a_commit_catches_up_after_it() -> None:
    bench = _standing()
    link, token = bench.managed()
    gone = revision(
        bench.state.standing.revision,
        bench.state.standing.manifest,
        [Change(at("sequences/a.xml"), entry(FILES["sequences/a.xml"]), None)],
        epoch=2,
    )
    bench.disk.crash_at = _refuse
    bench.offer(link, token, gone)
    bench.hear(link, Commit(token, gone.id))
    job = bench.node.advancing.job
    assert job is not None
    assert job.phase is Stage.STUCK
    bench.ask("promote", force=True)
    out = bench.link(PEER)
    newer = RevisionId(2, 5, gone.id.digest)
    bench.hear(out, Surveyed(token, newer, gone.id.digest, bench.settings.tree_names))
    assert bench.state.token is not None
    bench.hear(out, Admitted(bench.state.token, newer, gone.id.digest, bench.settings.tree_names))
    assert bench.state.role is Role.CATCHING_UP


def test_a_worker_that_reports_and_does_not_answer_is_dialled_anew() -> None:
    bench = Bench(FILES).lead()
    bench.pass_(3)
    link = bench.follow(PEER, standing=REVISION_ZERO)
    assert bench.said(Offer, link)
    for _ in range(13):
        bench.pass_(10)
        bench.hear(link, Report('{"progress": null}'))
    assert [number for number, _ in bench.hung_up] == [link]


def test_a_worker_that_is_at_work_is_waited_for() -> None:
    bench = Bench(FILES).lead()
    bench.pass_(3)
    link = bench.follow(PEER, standing=REVISION_ZERO)
    for _ in range(60):
        bench.pass_(10)
        bench.hear(link, Report('{"progress": {"phase": "blobs"}}'))
    assert not bench.hung_up
