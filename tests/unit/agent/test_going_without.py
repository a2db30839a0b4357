"""A node that refuses one artifact of a revision, because its runtime or agent is another, takes the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.node.goingwithout import LEFT_MAX
from syncagent.core.change import Change
from syncagent.core.exempt import Because
from syncagent.core.wire.messages import Blobs, Commit, Declined, Done, Offer, Prepared, Want
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import PEER, XMLNS, Bench, at, entry, revision, sequence

if TYPE_CHECKING:
    from syncagent.core.revision import Revision, Token

S, A, B, OWN = "sequences/s.xml", "api/a.xml", "api/b.xml", "sequences/own.xml"


def api(name: str, uses: str, text: str = "") -> bytes:
    return (
        f'<api xmlns="{XMLNS}" name="{name}" context="/{name}"><resource methods="GET"><inSequence>'
        f'<sequence key="{uses}"/><!--{text}--></inSequence></resource></api>'
    ).encode()


OLD = {S: sequence("s"), A: api("a", "own"), B: api("b", "s"), OWN: sequence("own")}
BAD = b"<api what this node can't read"


def taken(files: dict[str, bytes | None]) -> Bench:
    """Return a worker that was brought a revision with these changes."""
    bench = Bench(OLD, manager=PEER, standing=OLD).start()
    link, token = bench.managed()
    bring(bench, link, token, files)
    (prepared,) = bench.said(Prepared, link)
    bench.hear(link, Commit(token, prepared.revision))
    assert [done.revision for done in bench.said(Done, link)] == [prepared.revision]
    return bench


def bring(bench: Bench, link: int, token: Token, files: dict[str, bytes | None]) -> Revision:
    standing = bench.state.standing
    changes = [
        Change(at(p), standing.manifest.get(at(p)), entry(c) if c is not None else None)
        for p, c in sorted(files.items())
    ]
    of = revision(standing.revision, standing.manifest, changes, epoch=2)
    bench.hear(link, Offer(token, of.id, of.parent, PEER, "edit", (), of.changes))
    for want in bench.said(Want, link):
        contents = [(entry(c), c) for c in files.values() if c and entry(c).digest in want.blobs]
        bench.hear(link, Blobs(*compress_batch(contents)))
    return of


def test_what_is_refused_here_stays_as_it_was_and_the_rest_is_taken() -> None:
    bench = taken({A: BAD, S: sequence("s", text="new")})
    assert bench.files == {**OLD, S: sequence("s", text="new")}
    exemption = bench.state.exempt[at(A)]
    assert (exemption.because, exemption.here) == (Because.REFUSED, entry(OLD[A]))
    assert not bench.node.observing.differing()


def test_status_and_the_lists_say_what_a_node_goes_without() -> None:
    bench = taken({A: BAD})
    row = bench.node.reporting.own_row(bench.at)
    assert (row["state"], row["refused"]) == ("OutOfSync", 1)
    assert "goes without 1 of it: synapse:api/a.xml: not taken here" in str(row["reason"])
    (listed,) = bench.node.reporting.own_report(bench.at)["refused"]  # type: ignore[misc, union-attr]
    assert (listed["path"], listed["code"]) == (A, "refused-here")  # type: ignore[index, call-overload]


def test_who_uses_what_is_refused_here_waits_with_it() -> None:
    late = {"sequences/new.xml": b"<sequence what", B: api("b", "new"), A: api("a", "own", "new")}
    bench = taken(dict(late))
    assert bench.files == {**OLD, A: late[A]}
    assert bench.state.exempt.keys() == {at("sequences/new.xml"), at(B)}


def test_what_the_version_that_stays_needs_is_not_taken_away() -> None:
    bench = taken({A: BAD, OWN: None, S: sequence("s", text="new")})
    assert bench.files == {**OLD, S: sequence("s", text="new")}
    assert bench.state.exempt.keys() == {at(A), at(OWN)}


def test_the_next_version_is_judged_for_itself() -> None:
    bench = taken({A: BAD})
    link, token = next(iter(bench.state.links)), bench.state.guard.highest
    assert token is not None
    of = bring(bench, link, token, {A: api("a", "own", "good")})
    bench.hear(link, Commit(token, of.id))
    assert bench.files == {**OLD, A: api("a", "own", "good")}
    assert not bench.state.exempt
    assert bench.node.reporting.own_row(bench.at)["state"] == "Synced"


def test_a_restart_tries_once_more_and_stays_where_it_was() -> None:
    bench = taken({A: BAD})
    bench.join(bench.history, bench.guard)
    bench.start().pass_(10.0)
    assert bench.files == OLD
    assert bench.state.exempt.keys() == {at(A)}
    assert bench.events("refused")[-1]["path"] == f"synapse:{A}"


def test_of_a_revision_that_is_not_understood_nothing_is_taken() -> None:
    bench = Bench(OLD, manager=PEER, standing=OLD).start()
    link, token = bench.managed()
    many: dict[str, bytes | None] = {f"api/{n}.xml": b"<api %d" % n for n in range(LEFT_MAX + 1)}
    bring(bench, link, token, {**many, S: sequence("s", text="new")})
    (declined,) = bench.said(Declined)
    assert declined.code == "refused"
    assert bench.files == OLD
    assert not bench.state.exempt


def test_what_a_node_has_and_would_refuse_now_is_not_put_back_once_it_is_gone() -> None:
    own = "api/c.xml"
    bench = Bench(OLD, manager=PEER, standing={**OLD, own: BAD}).start()
    bench.pass_(5.0)
    assert bench.files == OLD
    exemption = bench.state.exempt[at(own)]
    assert (exemption.because, exemption.here) == (Because.REFUSED, None)
    assert not bench.node.observing.differing()
    bench.put(own, api("c", "s", "by hand"))
    bench.pass_(5.0)
    assert bench.files == OLD
