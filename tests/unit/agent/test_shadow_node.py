"""The share as a peer: when it is reached, what it gets, what it never does; and as a source."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from syncagent.agent import results as rs
from syncagent.agent.node.rows import listed
from syncagent.agent.share_effects import ReadShare
from syncagent.core.digest import digest_of
from syncagent.core.errors import SettingsError
from syncagent.core.events import DialFailed
from syncagent.core.settings import SHARE, Settings, SharedSettings, Writers
from syncagent.core.wire.messages import (
    Admit,
    Blobs,
    Commit,
    ManifestPart,
    Offer,
    Prepared,
    Propose,
    Proposed,
    Survey,
    Want,
)
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import PEER, Bench, adds, entry, revision, rows, sequence

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.agent.effects import Effect
    from syncagent.agent.results import Result
    from syncagent.core.artifact import NodeName
    from syncagent.core.revision import Revision

OLD = {f"sequences/{name}.xml": sequence(name) for name in "ab"}
ADDED = {"sequences/d.xml": sequence("d"), "sequences/e.xml": sequence("e")}
SHADOW: Mapping[str, object] = {
    "mode": "shared",
    "shared": SharedSettings(),
    "writers": Writers.ANY,
}


class ShadowBench(Bench):
    """A node of a cluster in the form `shadow`; `share` is what its share has, by digest."""

    def __init__(self, *args: object, **given: object) -> None:
        self.share: dict[str, bytes] = {}
        self.reads: list[ReadShare] = []
        super().__init__(*args, **SHADOW, **given)  # type: ignore[arg-type]

    def do(self, effect: Effect) -> Result | None:
        if not isinstance(effect, ReadShare):
            return super().do(effect)
        self.reads.append(effect)
        found = [(e, self.share[e.digest]) for _, e in effect.wanted if e.digest in self.share]
        blobs = (Blobs(*compress_batch(found)),) if found else ()
        return rs.ShareRead(effect.txid, blobs)

    def share_row(self) -> Mapping[str, object]:
        status = self.node.reporting.status(self.at)
        return next(row for row in listed(status, "nodes") if row["name"] == SHARE)


def made_by(author: NodeName, bench: Bench) -> Revision:
    """Return the revision that adds `ADDED`, as proposed by `author`."""
    new = revision(bench.state.standing.revision, rows(OLD), adds(ADDED), epoch=2)
    return replace(new, author=author)


def leading() -> ShadowBench:
    """Return a node that leads: neither its peer nor the share could be reached."""
    bench = ShadowBench(OLD).start()
    bench.handle(DialFailed(PEER, "refused"))
    bench.rest()
    bench.handle(DialFailed(SHARE, "it is not mounted"))
    bench.rest()
    assert bench.state.leads
    return bench


def test_the_share_is_dialled_under_a_token_and_met_before_this_node_leads() -> None:
    bench = ShadowBench(OLD).start()
    assert bench.dialled == [PEER]
    bench.handle(DialFailed(PEER, "refused"))
    bench.rest()
    assert bench.state.token is not None
    assert bench.dialled == [PEER, SHARE]
    assert not bench.state.leads
    link = bench.link(SHARE)
    assert bench.said(Survey, link) == []
    assert bench.said(Admit, link) == [Admit(bench.state.token)]
    bench.admit(link)
    assert bench.state.leads


def test_a_share_that_does_not_come_up_keeps_nobody_from_leading() -> None:
    bench = leading()
    row = bench.share_row()
    assert (row["role"], row["state"], row["reason"]) == ("share", "Offline", "it is not mounted")
    assert row["eligible"] is None


def test_a_worker_never_dials_the_share() -> None:
    bench = ShadowBench(OLD, manager=PEER, standing=OLD).start()
    bench.managed()
    bench.pass_(60.0)
    assert SHARE not in bench.dialled


def test_the_share_gets_no_redeploy_and_no_leadership() -> None:
    bench = leading()
    link = bench.follow(SHARE)
    assert bench.state.peers[SHARE].link == link
    with pytest.raises(SettingsError, match="no node 'share'"):
        bench.answer("switchover", node=str(SHARE))
    with pytest.raises(SettingsError, match="no node 'share'"):
        bench.answer("redeploy", artifact="sequence/a", node=str(SHARE))
    assert bench.node.answering.handing._best() is None


def test_new_settings_leave_the_share_where_it_is() -> None:
    bench = leading()
    bench.follow(SHARE)
    before = bench.state.settings
    bench.handle(rs.Reloaded(Settings(**{f: getattr(before, f) for f in before.__slots__})))
    assert SHARE in bench.state.peers
    assert bench.hung_up == []


def test_what_the_share_has_is_not_asked_of_the_manager() -> None:
    bench = ShadowBench(OLD, manager=PEER, standing=OLD).start()
    link, token = bench.managed()
    new = made_by(SHARE, bench)
    bench.share = {digest_of(content): content for content in ADDED.values()}
    bench.offer(link, token, new)
    assert bench.said(Want) == []
    assert bench.said(Prepared) == [Prepared(new.id)]
    bench.hear(link, Commit(token, new.id))
    assert bench.files == OLD | ADDED
    (told,) = bench.events("share-read")
    assert (told["found"], told["left"], told["reason"]) == (2, 0, "")


def test_what_the_share_lacks_is_asked_of_the_manager_once_the_share_was_looked_at() -> None:
    bench = ShadowBench(OLD, manager=PEER, standing=OLD).start()
    link, token = bench.managed()
    new = made_by(SHARE, bench)
    d, e = ADDED.values()
    bench.share = {digest_of(d): d}
    bench.offer(link, token, new)
    (want,) = bench.said(Want)
    assert want.blobs == (digest_of(e),)
    bench.hear(link, Blobs(*compress_batch([(entry(e), e)])))
    assert bench.said(Prepared) == [Prepared(new.id)]
    assert len(bench.reads) == 1


def test_what_the_share_says_of_a_job_that_was_given_up_counts_for_nothing() -> None:
    bench = ShadowBench(OLD, manager=PEER, standing=OLD).start()
    link, token = bench.managed()
    new = made_by(SHARE, bench)
    bench.offer(link, token, new)
    (want,) = bench.said(Want)
    bench.handle(rs.ShareRead(bench.reads[0].txid - 1))
    bench.handle(rs.ShareRead(bench.reads[0].txid))
    bench.rest()
    assert bench.said(Want) == []
    assert len(want.blobs) == 2


def test_what_a_node_has_just_made_is_not_looked_for_on_the_share() -> None:
    bench = ShadowBench(OLD, manager=PEER, standing=OLD).start()
    link, token = bench.managed()
    bench.offer(link, token, made_by(PEER, bench))
    assert bench.reads == []
    assert len(bench.said(Want)) == 1


def test_who_has_missed_revisions_looks_for_them_on_the_share() -> None:
    bench = ShadowBench(OLD, manager=PEER, standing=OLD).start()
    link, token = bench.managed()
    new = made_by(PEER, bench)
    bench.share = {digest_of(content): content for content in ADDED.values()}
    bench.offer(link, token, new, whole=True)
    rows_of = rows(OLD | ADDED)
    bench.hear(link, ManifestPart(new.id, tuple(rows_of), last=True))
    assert len(bench.reads) == 1
    assert bench.said(Prepared) == [Prepared(new.id)]


def test_bytes_that_come_ahead_need_no_look_at_the_share() -> None:
    bench = ShadowBench(OLD, manager=PEER, standing=OLD).start()
    link, token = bench.managed()
    new = made_by(SHARE, bench)
    bench.hear(link, Blobs(*compress_batch([(entry(c), c) for c in ADDED.values()])))
    bench.offer(link, token, new)
    assert bench.reads == []
    assert bench.said(Prepared) == [Prepared(new.id)]


def test_what_waits_for_a_canary_is_offered_to_the_share_as_a_whole() -> None:
    bench = leading()
    bench.follow(SHARE)
    bench.put("sequences/new.xml", sequence("new"))
    bench.pass_(1.0)
    offer = bench.said(Offer)[-1]
    assert offer.withheld == ()
    assert bench.node.leading._withheld_from(bench.state.peers[SHARE]) == frozenset()


def test_what_is_proposed_to_who_is_about_to_lead_is_taken_when_it_leads() -> None:
    bench = ShadowBench(OLD, standing=OLD).start()
    bench.handle(DialFailed(PEER, "refused"))
    bench.rest()
    link = bench.link(SHARE)
    assert not bench.state.leads
    bench.hear(link, Propose(3, bench.state.standing.revision, adds(ADDED)))
    assert bench.said(Proposed) == []
    bench.admit(link)
    assert bench.state.leads
    assert set(bench.said(Want)[0].blobs) == {digest_of(c) for c in ADDED.values()}


def test_what_was_proposed_to_who_does_not_lead_after_all_is_given_back() -> None:
    bench = ShadowBench(OLD, standing=OLD).start()
    bench.handle(DialFailed(PEER, "refused"))
    bench.rest()
    link = bench.link(SHARE)
    bench.hear(link, Propose(3, bench.state.standing.revision, adds(ADDED)))
    bench.hear(bench.link(dialled=False), Admit(bench.token(9)))
    assert [answer.proposal for answer in bench.said(Proposed)] == [3]
