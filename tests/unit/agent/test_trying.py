"""The manager's runtime tries a change first; a refusal anywhere stops its group everywhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from syncagent.agent.effects import Declare
from syncagent.agent.node.patience import SILENT_S
from syncagent.agent.node.refusals import HELD_NOTE
from syncagent.agent.results import DeclareFailed
from syncagent.core.artifact import NodeName, TreeName
from syncagent.core.change import Change
from syncagent.core.events import Received, RuntimeTurned
from syncagent.core.exempt import NONE_WITHHELD, paths_digest
from syncagent.core.ledger import StandingChange
from syncagent.core.revision import REVISION_ZERO, RevisionId
from syncagent.core.runtime import Phase, RuntimeState
from syncagent.core.safety import HoldReason
from syncagent.core.settings import PeerSettings, RolloutSettings
from syncagent.core.trials import NOTE, Trial, to_note
from syncagent.core.wire.messages import (
    Admitted,
    Blobs,
    Commit,
    Declined,
    Done,
    Offer,
    Prepared,
    Report,
    View,
    Want,
)
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import (
    ME,
    PEER,
    THIRD,
    XMLNS,
    Bench,
    T,
    at,
    entry,
    revision,
    rows,
    sequence,
)
from tests.fakes.runtime_words import CARBON, SYNAPSE, Dialect
from tests.unit.agent.test_deploying import _aged

if TYPE_CHECKING:
    from tests.fakes.runtime import FakeGateway

A, B, S = "api/a.xml", "api/b.xml", "sequences/s.xml"


def api(name: str, uses: str = "", text: str = "") -> bytes:
    inner = f'<sequence key="{uses}"/>' if uses else ""
    return (
        f'<api xmlns="{XMLNS}" name="{name}" context="/{name}"><resource methods="GET"><inSequence>'
        f"{inner}<!--{text}--></inSequence></resource></api>"
    ).encode()


OLD = {A: api("a", "s"), B: api("b"), S: sequence("s")}


class Cluster:
    """A manager with a runtime, and one worker of which a test says what it answers."""

    def __init__(
        self,
        *,
        answers: bool = True,
        peers: int = 1,
        dialect: Dialect = CARBON,
        **rollout: object,
    ) -> None:
        names = (PEER, THIRD, NodeName("gw-4"), NodeName("gw-5"))[:peers]
        bench = Bench(
            OLD,
            standing=OLD,
            rollout=RolloutSettings(**rollout),  # type: ignore[arg-type]
            peers=tuple(PeerSettings(name, f"{name}:1", "") for name in names),
        )
        self.bench = _aged(bench).beside(dialect).lead()
        self.answers, self.phase = answers, "ready"
        self.links = {name: self.bench.follow(name) for name in names}
        for name in names:
            self.report(name)
        self.bench.said(Offer)

    @property
    def gateway(self) -> FakeGateway:
        assert self.bench.gateway is not None
        return self.bench.gateway

    def edit(self, **content: bytes) -> None:
        for name, data in content.items():
            self.bench.put({"a": A, "b": B, "s": S}[name], data)
        self.bench.pass_(1.0)

    def report(self, peer: NodeName = PEER, *, pending: int = 0, **refused: bytes) -> None:
        known = self.bench.state.peers[peer]
        body = {
            "row": {
                "name": peer,
                "state": "Synced",
                "revision": known.standing.number if known.standing else 0,
                "pending": pending,
            },
            "runtime": {"answers": self.answers, "phase": self.phase},
            "withheld": known.withheld,
            "portions": 0,
            "outcomes": [
                {
                    "tree": "synapse",
                    "path": {"a": A, "b": B, "s": S}[name],
                    "digest": entry(content).digest,
                    "state": "Rejected",
                    "reason": "it has no such class",
                }
                for name, content in refused.items()
            ],
        }
        self.bench.hear(self.links[peer], Report(json.dumps(body)))

    def take(self, peer: NodeName = PEER) -> Offer:
        """Have the worker take what it is offered."""
        link = self.links[peer]
        (offer,) = self.bench.said(Offer, link)
        self.bench.hear(link, Prepared(offer.revision))
        assert self.bench.said(Commit, link)
        self.done(offer, peer)
        return offer

    def done(self, offer: Offer, peer: NodeName = PEER) -> None:
        digest = self.bench.state.rows.digest
        named = paths_digest(offer.withheld)
        self.bench.hear(self.links[peer], Done(offer.revision, digest, named))
        self.report(peer)

    def holds(self) -> list[str]:
        return [
            hold.id for hold in self.bench.state.holds.values() if hold.reason is HoldReason.NACKED
        ]


def test_a_change_waits_for_the_manager_s_own_runtime() -> None:
    cluster = Cluster(dialect=SYNAPSE)
    cluster.edit(b=api("b", text="new"))
    assert cluster.bench.state.standing.revision.number == 2
    assert not cluster.bench.said(Offer), "its runtime has not looked yet"
    cluster.bench.pass_(20.0)
    offer = cluster.take()
    assert offer.revision.number == 2
    assert offer.withheld == ()
    assert not cluster.bench.node.trying.trials, "every runtime has answered"


def test_without_a_canary_a_change_goes_out_at_once() -> None:
    cluster = Cluster(canary="none")
    cluster.edit(b=api("b", text="new"))
    assert cluster.take().revision.number == 2


def test_what_the_manager_s_runtime_refuses_is_held_and_the_rest_goes_on() -> None:
    cluster = Cluster()
    bad = api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no such class" if content == bad else ""
    cluster.edit(b=bad, s=sequence("s", text="new"))
    cluster.bench.pass_(60.0)
    (offer,) = cluster.bench.said(Offer)
    assert offer.withheld == (at(B),)
    (hold,) = cluster.holds()
    text = cluster.bench.state.holds[hold].text
    assert "api/b" in text
    assert "no such class" in text


def test_a_refusal_stops_all_that_changed_in_its_group() -> None:
    cluster = Cluster()
    bad = api("a", "s", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.edit(a=bad, s=sequence("s", text="new"), b=api("b", text="new"))
    cluster.bench.pass_(100.0)
    offers = cluster.bench.said(Offer)
    assert offers[-1].withheld == (at(A), at(S))


def test_a_refusal_at_a_worker_stops_the_group_at_the_others() -> None:
    cluster = Cluster(peers=4, dialect=SYNAPSE, max_unavailable=0.25)
    new = api("b", text="new")
    cluster.edit(b=new)
    cluster.bench.pass_(20.0)
    names = list(cluster.links)
    for name in names:
        (offer,) = cluster.bench.said(Offer, cluster.links[name])
        cluster.bench.hear(cluster.links[name], Prepared(offer.revision))
    committed = [name for name in names if cluster.bench.said(Commit, cluster.links[name])]
    assert len(committed) == 1, "a quarter of four, one after the other"
    cluster.bench.hear(
        cluster.links[committed[0]],
        Done(offer.revision, cluster.bench.state.rows.digest, NONE_WITHHELD),
    )
    cluster.report(committed[0], b=new)
    assert cluster.holds()
    for name in names:
        if name not in committed:
            again = cluster.bench.said(Offer, cluster.links[name])
            assert [offer.withheld for offer in again] == [(at(B),)]
            assert not cluster.bench.said(Commit, cluster.links[name])


def test_the_next_wave_goes_when_the_one_before_has_acked() -> None:
    cluster = Cluster(peers=4, dialect=SYNAPSE, max_unavailable=0.5)
    cluster.edit(b=api("b", text="new"))
    cluster.bench.pass_(20.0)
    offers = {name: cluster.bench.said(Offer, link)[0] for name, link in cluster.links.items()}
    for name, offer in offers.items():
        cluster.bench.hear(cluster.links[name], Prepared(offer.revision))
    told = [name for name, link in cluster.links.items() if cluster.bench.said(Commit, link)]
    assert told == [PEER, THIRD]
    digest = cluster.bench.state.rows.digest
    cluster.bench.hear(cluster.links[PEER], Done(offers[PEER].revision, digest, NONE_WITHHELD))
    cluster.report(PEER, pending=1)
    assert not cluster.bench.said(Commit), "committed is not acked"
    cluster.report(PEER, pending=0)
    (commit,) = cluster.bench.said(Commit)
    assert commit.revision.number == 2


def test_who_lacks_only_what_is_withheld_takes_no_place_in_a_wave() -> None:
    cluster = Cluster(peers=3)
    bench, bad, late = cluster.bench, api("b", text="bad"), NodeName("gw-4")
    bench.cut(cluster.links[late], late)
    cluster.edit(b=bad)
    bench.pass_(60.0)
    (offer,) = bench.said(Offer, cluster.links[PEER])
    bench.hear(cluster.links[PEER], Declined(offer.revision, "disk", "it is full"))
    (offer,) = bench.said(Offer, cluster.links[THIRD])
    bench.hear(cluster.links[THIRD], Prepared(offer.revision))
    digest = bench.state.rows.digest
    bench.hear(cluster.links[THIRD], Done(offer.revision, digest, NONE_WITHHELD))
    cluster.report(THIRD, b=bad)
    assert cluster.holds()
    assert bench.node.leading.waits_for_canary(bench.state.peers[PEER])
    bench.said(Offer)
    cluster.links[late] = bench.follow(late, standing=REVISION_ZERO)
    cluster.report(late)
    (offer,) = bench.said(Offer, cluster.links[late])
    bench.hear(cluster.links[late], Prepared(offer.revision))
    assert bench.said(Commit, cluster.links[late])


def test_a_worker_whose_runtime_is_down_keeps_nobody_waiting() -> None:
    cluster = Cluster(peers=4, dialect=SYNAPSE, max_unavailable=0.25)
    cluster.phase = "down"
    cluster.report(PEER, pending=1)
    cluster.edit(b=api("b", text="new"))
    cluster.bench.pass_(20.0)
    for name, link in cluster.links.items():
        (offer,) = cluster.bench.said(Offer, link)
        cluster.bench.hear(link, Prepared(offer.revision))
        assert bool(cluster.bench.said(Commit, link)) is (name in {PEER, THIRD}), name
    digest = cluster.bench.state.rows.digest
    cluster.bench.hear(cluster.links[PEER], Done(offer.revision, digest, NONE_WITHHELD))
    cluster.report(PEER, pending=2)
    cluster.phase = "ready"
    cluster.bench.hear(cluster.links[THIRD], Done(offer.revision, digest, NONE_WITHHELD))
    cluster.report(THIRD)
    assert len(cluster.bench.said(Commit)) == 1


def test_a_person_lets_a_refused_group_pass() -> None:
    cluster = Cluster()
    bad = api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.edit(b=bad)
    cluster.bench.pass_(60.0)
    (hold,) = cluster.holds()
    cluster.bench.said(Offer)
    cluster.bench.answer("approve", id=hold)
    cluster.bench.pass_(1.0)
    assert cluster.take().withheld == ()
    assert not cluster.holds()


def test_a_person_has_the_group_put_back_everywhere_by_a_new_revision() -> None:
    cluster = Cluster()
    bad = api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.edit(b=bad)
    cluster.bench.pass_(60.0)
    (hold,) = cluster.holds()
    cluster.bench.answer("reject", id=hold)
    cluster.bench.pass_(20.0)
    state = cluster.bench.state
    assert state.standing.revision.number == 3
    assert cluster.bench.files[B] == OLD[B]
    assert not cluster.holds()
    assert any("Publisher" in alarm for alarm in state.alarms.values())
    assert cluster.take().revision.number == 3
    cluster.edit(b=api("b", text="good"))
    cluster.bench.pass_(5.0)
    assert not any("Publisher" in alarm for alarm in state.alarms.values())


def test_on_reject_rollback_goes_back_without_a_person() -> None:
    cluster = Cluster(on_reject="rollback")
    bad = api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.edit(b=bad)
    cluster.bench.pass_(60.0)
    assert cluster.bench.state.standing.revision.number == 3
    assert cluster.bench.files[B] == OLD[B]


def test_what_was_refused_waits_while_its_next_version_is_on_its_way_to_disk() -> None:
    cluster = Cluster(dialect=SYNAPSE)
    bench, bad = cluster.bench, api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.edit(b=bad)
    bench.pass_(60.0)
    assert cluster.holds()
    bench.put(B, api("b", text="better"))
    while not any(isinstance(effect, Declare) for effect in bench.hands):
        if not bench.step():
            bench.at += 0.1
            bench.tick()
    bench.cut(cluster.links[PEER])
    first = bench.history.revisions(9)[-1][0].id
    link = bench.link(PEER)
    assert bench.state.token is not None
    bench.handle(Received(link, Admitted(bench.state.token, first, rows(OLD).digest, (T,))))
    for offer in bench.said(Offer, link):
        assert at(B) in offer.withheld
    (declare,) = [effect for effect in bench.hands if isinstance(effect, Declare)]
    bench.hands.remove(declare)
    bench.handle(DeclareFailed(declare.revision.id, "the disk is full"))
    for offer in bench.said(Offer, link):
        assert at(B) in offer.withheld


def test_a_rollback_that_can_not_be_is_told_and_tried_again_in_peace() -> None:
    cluster = Cluster(dialect=SYNAPSE, on_reject="rollback")
    bench, bad = cluster.bench, api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    lost = {entry(OLD[B]).digest}
    has = bench.history.has
    bench.state.has_blob = lambda digest: digest not in lost and has(digest)
    cluster.edit(b=bad)
    bench.pass_(60.0)
    assert 3 <= len(bench.events("rollback")) <= 7
    assert any("could not be put back" in text for text in bench.state.alarms.values())
    assert cluster.holds(), "a person may decide"
    lost.clear()
    bench.pass_(15.0)
    assert bench.files[B] == OLD[B]
    assert not cluster.holds()
    assert not any("could not be put back" in text for text in bench.state.alarms.values())


def test_a_worker_that_only_observes_keeps_nothing_on_trial_for_ever() -> None:
    cluster = Cluster(dialect=SYNAPSE)
    link = cluster.links[PEER]
    for number in range(4):
        cluster.edit(b=api("b", text=str(number)))
        cluster.bench.pass_(30.0)
        (offer,) = cluster.bench.said(Offer, link)
        cluster.bench.hear(link, Declined(offer.revision, "observing", "apply = false"))
    cluster.bench.pass_(2.0)
    assert not cluster.bench.node.trying.trials


def test_on_reject_continue_goes_on() -> None:
    cluster = Cluster(on_reject="continue")
    bad = api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.edit(b=bad)
    cluster.bench.pass_(60.0)
    assert cluster.take().withheld == ()


def test_a_mended_file_ends_the_hold() -> None:
    cluster = Cluster()
    bad = api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.edit(b=bad)
    cluster.bench.pass_(60.0)
    assert cluster.holds()
    cluster.edit(b=api("b", text="good"))
    cluster.bench.pass_(60.0)
    assert not cluster.holds()
    assert cluster.bench.said(Offer)[-1].withheld == ()


def test_a_refused_group_is_held_over_a_restart_of_the_manager() -> None:
    cluster = Cluster()
    bad = api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.edit(b=bad)
    cluster.bench.pass_(60.0)
    (hold,) = cluster.holds()
    cluster.bench.join(cluster.bench.history, cluster.bench.guard)
    cluster.bench.lead()
    assert cluster.holds() == [hold]


def test_what_goes_on_untried_is_one_event_however_much_it_is() -> None:
    cluster = Cluster()
    cluster.gateway.mute = True
    for path, content in ((A, api("a", "s", "new")), (B, api("b", text="new"))):
        cluster.bench.put(path, content)
    cluster.bench.pass_(300.0)
    (told,) = cluster.bench.events("untried")
    assert str(told["path"]).endswith("api/a.xml and 1 others")


def test_what_is_changed_while_the_canary_is_started_anew_waits_for_it() -> None:
    cluster = Cluster(dialect=SYNAPSE)
    bad = api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.bench.pass_(5.0)
    cluster.gateway.kill()
    cluster.bench.pass_(1.0)
    cluster.edit(b=bad)
    assert not cluster.bench.said(Offer)
    cluster.gateway.ready()
    cluster.bench.pass_(60.0)
    assert cluster.holds()
    assert not cluster.bench.said(Offer)


@pytest.mark.parametrize("heard", [False, True])
def test_what_a_new_agent_declares_before_it_has_heard_of_its_runtime_waits(heard: bool) -> None:
    bench, new = Cluster(dialect=SYNAPSE).bench, entry(api("b", text="new"))
    bench.join(bench.history, bench.guard)
    if heard:
        bench.handle(RuntimeTurned(RuntimeState(Phase.DOWN)))
    assert not bench.node.trying.has_canary
    bench.node.trying.declaring((Change(at(B), bench.state.base.get(at(B)), new),), 2)
    assert bool(bench.node.trying.trials) is not heard


def test_a_gateway_that_waits_for_its_tree_before_it_starts_is_no_canary_yet() -> None:
    cluster = Cluster(dialect=SYNAPSE)
    cluster.gateway.kill()
    cluster.bench.pass_(61.0)
    cluster.edit(b=api("b", text="new"))
    assert cluster.bench.said(Offer)


def test_a_canary_that_goes_away_does_not_stop_the_cluster_for_ever() -> None:
    cluster = Cluster()
    cluster.edit(b=api("b", text="new"))
    cluster.gateway.kill()
    cluster.bench.pass_(30.0)
    assert not cluster.bench.said(Offer)
    cluster.bench.pass_(60.0)
    assert cluster.take().revision.number == 2
    assert cluster.bench.events("untried")


@pytest.mark.parametrize("answers", [True, False])
def test_a_runtime_that_says_nothing_delays_a_change_until_its_deadline(answers: bool) -> None:
    cluster = Cluster(answers=answers)
    cluster.gateway.mute = True
    cluster.edit(b=api("b", text="new"))
    cluster.bench.pass_(30.0)
    assert not cluster.bench.said(Offer)
    cluster.bench.pass_(200.0)
    assert cluster.take().withheld == ()


def test_what_kills_the_deployer_of_the_canary_goes_no_further() -> None:
    cluster = Cluster(dialect=SYNAPSE)
    bad = api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.edit(b=bad)
    cluster.bench.pass_(300.0)
    assert not cluster.bench.said(Offer)
    (hold,) = cluster.holds()
    assert "died" in cluster.bench.state.holds[hold].text
    cluster.gateway.kill()
    cluster.gateway.ready()
    cluster.bench.pass_(60.0)
    (hold,) = cluster.holds()
    assert "refused api/b" in cluster.bench.state.holds[hold].text, "its start said so"
    assert not cluster.bench.said(Offer)


def test_nobody_is_woken_for_what_is_held_while_the_canary_is_away() -> None:
    cluster = Cluster()
    bad = api("b", text="bad")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.edit(b=bad)
    cluster.bench.pass_(60.0)
    assert cluster.holds()
    cluster.gateway.kill()
    cluster.bench.pass_(120.0)
    assert cluster.holds()
    assert cluster.bench.wake_at > cluster.bench.at


def test_a_canary_that_died_is_decided_on_once_whatever_it_had_not_taken_up() -> None:
    cluster = Cluster(dialect=SYNAPSE)
    bad, good = api("a", "s", text="bad"), api("b", text="new")
    cluster.gateway.refuses = lambda _path, content: "no" if content == bad else ""
    cluster.edit(a=bad, b=good)
    cluster.bench.pass_(300.0)
    (hold,) = cluster.holds()
    known = cluster.bench.state.holds[hold]
    assert set(known.paths) == {at(A), at(B)}
    assert "1 other group: one may be what killed it" in known.text
    assert "nobody else gets them (2 artifacts) meanwhile" in known.text
    cluster.bench.answer("approve", id=hold)
    cluster.bench.pass_(5.0)
    assert not cluster.holds()
    assert cluster.take().withheld == ()


def test_what_was_undeployed_on_the_manager_before_it_was_tried_waits_until_it_is_back() -> None:
    cluster = Cluster(dialect=SYNAPSE)
    cluster.edit(b=api("b", text="new"))
    cluster.bench.ask("undeploy", artifact="api/b", node=ME, for_s=600.0)
    cluster.bench.pass_(500.0)
    assert not cluster.bench.said(Offer)
    assert not cluster.bench.events("untried")
    cluster.bench.pass_(150.0)
    assert cluster.take().withheld == ()


def test_a_worker_whose_runtime_never_answers_does_not_stop_the_next_wave_for_ever() -> None:
    cluster = Cluster(peers=4, canary="none", max_unavailable=0.25)
    cluster.edit(b=api("b", text="new"))
    first = cluster.take(PEER)
    cluster.report(PEER, pending=1)
    offers = {
        name: cluster.bench.said(Offer, cluster.links[name]) for name in list(cluster.links)[1:]
    }
    for name, (offer,) in offers.items():
        assert offer.revision == first.revision
        cluster.bench.hear(cluster.links[name], Prepared(offer.revision))
    cluster.bench.pass_(SILENT_S - 60.0)
    assert not cluster.bench.said(Commit)
    cluster.bench.pass_(180.0)
    assert len(cluster.bench.said(Commit)) == 1
    assert [event["peer"] for event in cluster.bench.events("unanswered")] == [PEER]


def withheld_from_a_worker() -> tuple[Bench, int, bytes]:
    """Return a worker beside a Synapse to which a new version of `B` is withheld; its link, those bytes."""
    bench = Bench(OLD, manager=PEER, standing=OLD).beside(SYNAPSE).start()
    link, token = bench.managed()
    new = api("b", text="new")
    changes = (Change(at(B), entry(OLD[B]), entry(new)),)
    of = revision(bench.state.standing.revision, rows(OLD), changes, epoch=2)
    bench.hear(link, Offer(token, of.id, of.parent, PEER, "edit", (), of.changes, (at(B),)))
    (prepared,) = bench.said(Prepared, link)
    bench.hear(link, Commit(token, prepared.revision))
    return bench, link, new


def test_what_was_withheld_from_a_worker_that_leads_now_is_tried_by_its_own_runtime() -> None:
    bench, link, new = withheld_from_a_worker()
    bench.history.stand(StandingChange(), [(entry(new), new)])
    assert bench.files == OLD
    bench.cut(link)
    bench.ask("promote", force=True)
    bench.pass_(7.0)
    assert bench.state.leads
    assert bench.files == {**OLD, B: new}
    assert at(B) in bench.node.trying.withheld
    bench.pass_(20.0)
    assert not bench.node.trying.withheld


@pytest.mark.parametrize("verb", ["approve", "reject"])
def test_what_killed_the_canary_is_not_tried_on_the_next_manager_too(verb: str) -> None:
    bench, link, new = withheld_from_a_worker()
    held = {
        "id": "n-1",
        "node": PEER,
        "kind": "nacked",
        "paths": [str(at(B)), "synapse:api/gone.xml"],
        "cause": "it died: quietly",
        "refused_by": PEER,
    }
    bench.hear(link, View(json.dumps({"held": [held]})))
    bench.history.stand(StandingChange(), [(entry(new), new)])
    bench.cut(link)
    bench.ask("promote", force=True)
    bench.pass_(30.0)
    assert bench.state.leads
    assert bench.files == OLD
    assert at(B) in bench.node.trying.withheld
    ((ident, hold),) = bench.state.holds.items()
    assert hold.text.startswith("the runtime of gw-2 refused api/b: it died: quietly. Mend it")
    bench.answer(verb, id=ident)
    bench.pass_(60.0)
    assert bench.files == {**OLD, B: new if verb == "approve" else OLD[B]}
    assert not bench.state.holds
    assert not bench.state.withheld


def test_what_the_last_manager_held_is_still_held_by_one_that_was_restarted_before_it_led() -> None:
    bench, link, new = withheld_from_a_worker()
    held = {
        "id": "n-1",
        "node": PEER,
        "kind": "nacked",
        "paths": [str(at(B))],
        "cause": "it died: quietly",
        "refused_by": PEER,
    }
    other = {**held, "id": "f-1", "kind": "first-contact"}
    bench.hear(link, View(json.dumps({"held": [held, other]})))
    assert "n-1" in bench.history.standing().notes[HELD_NOTE]
    assert "f-1" not in bench.history.standing().notes[HELD_NOTE]
    bench.history.stand(StandingChange(), [(entry(new), new)])
    bench.cut(link)
    bench.join(bench.history, bench.guard)
    bench.start()
    bench.ask("promote", force=True)
    bench.pass_(30.0)
    assert bench.state.leads
    assert bench.files == OLD
    (hold,) = bench.state.holds.values()
    assert hold.text.startswith("the runtime of gw-2 refused api/b: it died: quietly. Mend it")


def test_what_the_manager_holds_no_more_is_not_remembered_as_held() -> None:
    bench, link, _ = withheld_from_a_worker()
    held = {"id": "n-1", "node": PEER, "kind": "nacked", "paths": [str(at(B))], "cause": "no"}
    bench.hear(link, View(json.dumps({"held": [held]})))
    bench.hear(link, View(json.dumps({"held": []})))
    assert HELD_NOTE not in bench.history.standing().notes


def test_bytes_that_only_the_last_manager_has_are_asked_for_and_the_cluster_goes_on() -> None:
    bench, link, new = withheld_from_a_worker()
    bench.cut(link)
    bench.ask("promote", force=True)
    bench.pass_(7.0)
    assert bench.state.leads
    assert bench.files == OLD
    assert any("no node" in alarm for alarm in bench.state.alarms.values())
    bench.put(A, api("a", "s", text="meanwhile"))
    bench.pass_(2.0)
    assert bench.state.standing.revision.number == 3, "others are not stopped by it"
    back = bench.follow()
    bench.said(Want)
    bench.hear(back, Done(bench.state.standing.revision, bench.state.rows.digest))
    bench.pass_(31.0)
    want = bench.said(Want, back)[-1]
    assert want.blobs == (entry(new).digest,)
    bench.hear(back, Blobs(*compress_batch([(entry(new), new)])))
    bench.pass_(2.0)
    assert bench.files[B] == new
    assert not any("no node" in alarm for alarm in bench.state.alarms.values())


def test_what_was_on_trial_in_a_tree_that_is_not_listed_any_more_is_forgotten() -> None:
    bench = Bench(OLD, standing=OLD).beside(SYNAPSE)
    path = at(B, TreeName("tenant-7"))
    tried = Trial(path, "g", None, entry(b"x"), 1, nacked_by=PEER, reason="no")
    standing, change = bench.state.standing, Change(path, None, tried.after)
    of = revision(standing.revision, standing.manifest, (change,))
    notes = {NOTE: to_note({path: tried})}
    bench.history.stand(StandingChange(revision=of.id, changes=of.changes, notes=notes))
    bench.join(bench.history, bench.guard)
    bench.lead()
    assert bench.state.leads
    assert not bench.state.holds


def test_what_another_manager_has_mended_meanwhile_is_held_no_more() -> None:
    cluster = Cluster(dialect=SYNAPSE)
    bench, mended = cluster.bench, api("b", text="mended")
    cluster.gateway.refuses = lambda _path, content: "no" if b"bad" in content else ""
    cluster.edit(b=api("b", text="bad"))
    bench.pass_(60.0)
    assert cluster.holds()
    link, token = bench.managed(epoch=9)
    standing = bench.state.standing
    change = Change(at(B), standing.manifest.get(at(B)), entry(mended))
    of = revision(standing.revision, standing.manifest, (change,), epoch=9)
    bench.hear(link, Offer(token, of.id, of.parent, PEER, "edit", (), of.changes))
    (want,) = bench.said(Want, link)
    assert want.blobs == (entry(mended).digest,)
    bench.hear(link, Blobs(*compress_batch([(entry(mended), mended)])))
    (prepared,) = bench.said(Prepared, link)
    bench.hear(link, Commit(token, prepared.revision))
    bench.cut(link)
    bench.ask("promote", force=True)
    bench.pass_(60.0)
    assert bench.state.leads
    assert bench.files[B] == mended
    assert not cluster.holds(), "to reject it would put an older version over the mended one"
    assert not bench.node.trying.withheld


def test_a_worker_on_another_line_is_led_back_whatever_waits_for_the_canary() -> None:
    cluster = Cluster(dialect=SYNAPSE)
    cluster.gateway.mute = True
    cluster.edit(b=api("b", text="new"))
    bench = cluster.bench
    assert bench.state.standing.revision.number == 2
    astray = RevisionId(1, 2, entry(b"somebody else's").digest)
    bench.cut(cluster.links[PEER])
    link = bench.follow(PEER, standing=astray)
    (offer,) = bench.said(Offer, link)
    assert offer.revision == bench.state.standing.revision
    assert offer.withheld == (at(B),)
