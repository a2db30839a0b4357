"""A file system that does not answer: one tree waits, the others go on, nothing is concluded."""

import json

from syncagent.agent import effects as fx
from syncagent.agent.node import rows
from syncagent.agent.node.stalling import SCANS_MAX, STALL_S
from syncagent.core.change import Change
from syncagent.core.safety import HoldReason
from syncagent.core.settings import PeerSettings, Writers
from syncagent.core.snapshot import Condition
from syncagent.core.wire.messages import Blobs, Declined, Prepared, Propose, Proposed, View, Want
from syncagent.core.wire.packing import compress_batch
from tests.fakes.agent_bench import ME, PEER, PLANS, THIRD, Bench, T, at, entry, revision, sequence

FILES = {f"sequences/{name}.xml": sequence(name) for name in "abc"}
PLAN = b"@Plan:name('P')\ndefine stream S (a int);\n"
PATH = "P.siddhiql"


class Hanging(Bench):
    """A node of which some trees' looks are not carried out until a test lets them be."""

    def __init__(self, **given: object) -> None:
        self.hung: set[str] = set()
        self.held_back: list[fx.Effect] = []
        super().__init__(FILES, trees=(T, PLANS), **given)  # type: ignore[arg-type]

    def step(self) -> bool:
        """Keep back what would hang."""
        if self.hands:
            first = self.hands[0]
            if isinstance(first, fx.Look | fx.Scan | fx.StartWatch) and first.tree in self.hung:
                self.held_back.append(self.hands.pop(0))
                return True
        return super().step()

    def hang(self, tree: str = T) -> None:
        """From the next scan on the tree does not answer."""
        self.hung.add(tree)
        self.ask("reconcile", timeout_s=1.0)

    def answer_at_last(self, tree: str = T) -> None:
        """Let what hung come back, in its order."""
        self.hung.discard(tree)
        waiting, self.held_back = self.held_back, []
        self.hands = [*waiting, *self.hands]
        self.rest()

    def condition(self) -> Condition | None:
        return self.node.observing.views[T].condition

    def scans_out(self) -> int:
        return sum(effect == fx.Scan(T) for effect in self.held_back)


def leading(**given: object) -> Hanging:
    bench = Hanging(standing=FILES, **given)
    bench.lead().pass_(3)
    assert bench.state.holds == {}
    return bench


def test_a_look_that_is_not_back_in_time_makes_the_tree_stalled() -> None:
    bench = leading()
    bench.hang()
    bench.pass_(STALL_S - 0.5)
    assert bench.condition() is Condition.GOOD
    bench.pass_(1.0)
    assert bench.condition() is Condition.STALLED
    (hold,) = bench.state.holds.values()
    assert (hold.reason, hold.tree, hold.approvable) == (HoldReason.UNREADABLE, T, False)
    for words in ("/synapse does not answer since 2023-", "UTC", "Nothing was deleted", "server"):
        assert words in hold.text
    row = bench.node.reporting.own_row(bench.at)
    assert (row["state"], row["reason"]) == ("Held", hold.text)
    assert bench.disk.shunned.keys() == {T}


def test_nothing_more_is_asked_of_a_tree_that_hangs() -> None:
    bench = leading()
    bench.hang()
    bench.pass_(600.0)
    assert bench.scans_out() == 1
    assert [type(effect) for effect in bench.held_back] == [fx.Scan]
    assert bench.disk.shunned.keys() == {T}


def test_the_other_tree_of_a_manager_goes_on() -> None:
    bench = leading()
    bench.hang()
    bench.pass_(STALL_S + 1)
    bench.disk.put(at("sequences/a.xml"), sequence("a", text="unseen"))
    before = bench.state.standing.revision.number
    bench.put(PATH, PLAN, PLANS)
    bench.pass_(2.0)
    assert bench.state.standing.revision.number == before + 1
    assert bench.state.base.get(at(PATH, PLANS)) == entry(PLAN)
    assert bench.state.base.get(at("sequences/a.xml")) == entry(FILES["sequences/a.xml"])


def test_what_comes_back_late_is_thrown_away_and_a_fresh_scan_decides() -> None:
    bench = leading()
    bench.hang()
    bench.pass_(STALL_S + 1)
    old = bench.held_back.pop()
    assert old == fx.Scan(T)
    late = bench.do(old)
    assert late is not None
    bench.disk.put(at("sequences/a.xml"), sequence("a", text="new"))
    bench.hung.discard(T)
    bench.handle(late)
    assert bench.condition() is Condition.STALLED, "not believed yet"
    bench.tick()
    assert bench.hands == [fx.Scan(T)]
    bench.pass_(3.0)
    assert bench.condition() is Condition.GOOD
    assert (bench.state.holds, bench.disk.shunned) == ({}, {})
    assert bench.state.base.get(at("sequences/a.xml")) == entry(sequence("a", text="new"))


def test_an_empty_folder_that_a_hang_leaves_behind_deletes_nothing() -> None:
    bench = leading()
    bench.hang()
    bench.pass_(STALL_S + 1)
    was = dict(bench.disk.trees[T])
    bench.disk.trees[T].clear()
    bench.answer_at_last()
    bench.pass_(30.0)
    assert bench.state.base.tree(T).keys() == FILES.keys()
    assert {hold.reason for hold in bench.state.holds.values()} == {HoldReason.TREE_EMPTIED}
    bench.disk.trees[T].update(was)
    bench.pass_(70.0)
    assert bench.state.holds == {}


def test_a_deadline_is_a_multiple_of_the_scan_before() -> None:
    bench = leading()
    view = bench.node.observing.views[T]
    view.scan_s = 2.0
    bench.hang()
    bench.pass_(2.0 * SCANS_MAX - 1)
    assert bench.condition() is Condition.GOOD
    bench.pass_(2.0)
    assert bench.condition() is Condition.STALLED


def test_a_tree_that_is_only_slow_at_first_is_believed_in_the_end() -> None:
    """A first scan that takes 30 s is taken for a hang; the second one gets twice the time."""
    bench = Hanging(standing=FILES)
    bench.hung.add(T)
    bench.start()
    bench.pass_(30.0)
    assert bench.condition() is Condition.STALLED
    for effect in [bench.held_back.pop(0) for _ in range(len(bench.held_back))]:
        result = bench.do(effect)
        assert result is not None
        bench.handle(result)
    bench.tick()
    bench.rest()
    assert bench.held_back == [fx.Scan(T)], "again, and with more patience"
    bench.pass_(35.0)
    bench.answer_at_last()
    assert bench.condition() is Condition.GOOD, "it was in time"


def test_while_the_node_itself_was_not_awake_nothing_is_overdue() -> None:
    bench = leading()
    bench.hang()
    bench.at += 3600.0
    bench.tick()
    assert bench.condition() is Condition.GOOD
    bench.answer_at_last()
    assert bench.condition() is Condition.GOOD
    assert bench.state.holds == {}


def test_a_polled_tree_is_asked_whether_it_is_there() -> None:
    bench = leading()
    bench.node.observing.views[T].watch = "poll 2 s (fuse)"
    bench.node.observing.views[T].scan_s = 5.0
    bench.hung.add(T)
    bench.pass_(2.1)
    assert bench.held_back == [fx.Look(T, ())]
    bench.pass_(STALL_S)
    assert bench.condition() is Condition.STALLED


def test_questions_that_wait_are_answered_while_a_tree_hangs() -> None:
    bench = Hanging(standing=FILES, manager=PEER)
    bench.start()
    bench.managed()
    bench.pass_(3)
    bench.hung.add(T)
    request = bench.ask("reconcile", timeout_s=300.0)
    bench.pass_(STALL_S + 2)
    reply = bench.replies[request]
    assert reply.error is None
    assert isinstance(reply.result, dict)
    assert reply.result["held"], "it says what stands in the way"


def following() -> tuple[Hanging, int, object]:
    bench = Hanging(standing=FILES, manager=PEER)
    bench.start()
    link, token = bench.managed()
    bench.pass_(3)
    bench.hang()
    bench.pass_(STALL_S + 1)
    assert bench.condition() is Condition.STALLED
    return bench, link, token


def test_a_worker_declines_what_concerns_the_tree_and_takes_what_does_not() -> None:
    bench, link, token = following()
    base, standing = bench.state.standing.manifest, bench.state.standing.revision
    a = at("sequences/a.xml")
    here = revision(
        standing, base, [Change(a, base.get(a), entry(sequence("a", text="2")))], epoch=2
    )
    bench.offer(link, token, here)  # type: ignore[arg-type]
    (declined,) = bench.said(Declined, link)
    assert (declined.code, declined.revision) == ("tree", here.id)
    assert "does not answer since" in declined.reason
    there = revision(standing, base, [Change(at(PATH, PLANS), None, entry(PLAN))], epoch=2)
    bench.offer(link, token, there)  # type: ignore[arg-type]
    (want,) = bench.said(Want, link)
    assert want.blobs == (entry(PLAN).digest,)
    bench.hear(link, Blobs(*compress_batch([(entry(PLAN), PLAN)])))
    assert [prepared.revision for prepared in bench.said(Prepared, link)] == [there.id]
    assert dict(bench.disk.trees[T]).keys() == FILES.keys()


def test_drift_in_the_other_tree_of_a_worker_is_mended() -> None:
    bench, _link, _token = following()
    bench.put("stray.txt", b"", PLANS)
    bench.pass_(5.0)
    assert bench.disk.trees[PLANS] == {}


def test_a_worker_takes_what_it_declined_when_the_tree_answers() -> None:
    bench, link, token = following()
    base, standing = bench.state.standing.manifest, bench.state.standing.revision
    a = at("sequences/a.xml")
    away = revision(standing, base, [Change(a, base.get(a), None)], epoch=2)
    bench.offer(link, token, away)  # type: ignore[arg-type]
    assert bench.said(Declined, link)
    bench.answer_at_last()
    assert [prepared.revision for prepared in bench.said(Prepared, link)] == [away.id]


def test_a_tree_that_did_not_answer_before_the_start_is_held_from_the_start() -> None:
    bench = Hanging(standing=FILES)
    bench.hung.add(T)
    bench.disk.shun(T, "/synapse does not answer since ...")
    bench.node.observing.silent(T, "/synapse does not answer since ...")
    bench.start()
    (hold,) = bench.state.holds.values()
    assert "does not answer since ..." in hold.text
    bench.pass_(STALL_S + 5)
    assert list(bench.state.holds.values()) == [hold]
    bench.answer_at_last()
    bench.pass_(2.0)
    assert (bench.state.holds, bench.disk.shunned) == ({}, {})


def test_a_proposal_for_the_other_tree_passes_one_that_has_to_wait() -> None:
    peers = (PeerSettings(PEER, "gw-2:1", ""), PeerSettings(THIRD, "gw-3:1", ""))
    bench = leading(writers=Writers.ANY, peers=peers)
    link, other = bench.follow(PEER), bench.follow(THIRD)
    bench.hang()
    bench.pass_(STALL_S + 1)
    base, standing = bench.state.standing.manifest, bench.state.standing.revision
    a, new = at("sequences/a.xml"), at(PATH, PLANS)
    bench.hear(link, Propose(1, standing, (Change(a, base.get(a), None),)))
    bench.hear(other, Propose(2, standing, (Change(new, None, entry(PLAN)),)))
    bench.hear(other, Blobs(*compress_batch([(entry(PLAN), PLAN)])))
    assert bench.said(Proposed, link) == []
    assert [answer.proposal for answer in bench.said(Proposed, other)] == [2]
    assert bench.state.base.get(new) == entry(PLAN)
    assert bench.state.base.get(a) is not None
    bench.answer_at_last()
    bench.pass_(3.0)
    assert [answer.proposal for answer in bench.said(Proposed, link)] == [1]
    assert bench.state.base.get(a) is None


def test_a_worker_shows_its_own_holds_as_they_are_now() -> None:
    """The manager's view of it may be of before it was restarted, or of before the tree answered."""
    bench, link, _token = following()
    (row,) = rows.listed(bench.node.reporting.status(bench.at), "held")
    old = {**row, "id": "u-0", "reason": "of before"}
    bench.hear(link, View(json.dumps({"nodes": [], "held": [old, {**old, "node": PEER}]})))
    shown = rows.listed(bench.node.reporting.status(bench.at), "held")
    assert [(each["node"], each["id"]) for each in shown] == [(ME, row["id"]), (PEER, "u-0")]


def test_while_a_tree_hangs_nobody_goes_through_the_gateways_folders() -> None:
    bench = leading(gateway_home="/opt/gateway")
    bench.hang()
    bench.pass_(STALL_S + 1)
    bench.others.clear()
    bench.pass_(300.0)
    assert fx.Discover() not in bench.others
    bench.answer_at_last()
    bench.pass_(61.0)
    assert fx.Discover() in bench.others
