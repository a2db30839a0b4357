"""New settings for a running node: who is dialled and known, and what runs by the new limits."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from syncagent.agent import effects as fx
from syncagent.agent.node.node import Node
from syncagent.agent.node.state import Role, State
from syncagent.agent.results import Reloaded
from syncagent.core.artifact import NodeName, TreeKind, TreeName
from syncagent.core.events import DialFailed, Hinted, HintKind, LinkDown, LinkUp, Received
from syncagent.core.guard import GuardState
from syncagent.core.ledger import Standing
from syncagent.core.revision import Token
from syncagent.core.settings import (
    Drift,
    ElectionSettings,
    Limits,
    PeerSettings,
    Settings,
    TreeSettings,
)
from syncagent.core.wire.messages import Ping

ME, GW_2, GW_3 = NodeName("gw-1"), NodeName("gw-2"), NodeName("gw-3")
TREE = TreeSettings(TreeName("synapse"), TreeKind.SYNAPSE, "/t")
SETTINGS = Settings(
    cluster="c",
    node=ME,
    state_dir="/s",
    trees=(TREE,),
    peers=(PeerSettings(GW_2, "gw-2:1", "key 2"),),
    election=ElectionSettings(manager=ME),
)


def node_of(settings: Settings = SETTINGS, *, role: Role = Role.LEADING) -> Node:
    state = State(
        settings=settings,
        incarnation="i1",
        standing=Standing(),
        guard=GuardState("c"),
        chance=random.Random(1),
        has_blob=lambda _digest: False,
        wall=lambda: 0.0,
    )
    state.role = role
    state.token = Token("c", 1, ME, "i1") if role is Role.LEADING else None
    return Node(state)


def dials(node: Node) -> list[NodeName]:
    return [effect.peer for effect in node.drain() if isinstance(effect, fx.Dial)]


def hangups(node: Node) -> list[int]:
    return [effect.link for effect in node.drain() if isinstance(effect, fx.Hangup)]


def test_a_new_peer_is_known_and_dialled_at_once() -> None:
    node = node_of()
    node.tick(1.0)
    assert dials(node) == [GW_2]
    more = (*SETTINGS.peers, PeerSettings(GW_3, "gw-3:1", "key 3"))
    node.handle(Reloaded(replace(SETTINGS, peers=more)), 2.0)
    assert set(node.state.peers) == {GW_2, GW_3}
    assert dials(node) == [GW_3]


def test_a_peer_that_is_taken_out_is_hung_up_and_forgotten() -> None:
    node = node_of()
    node.tick(1.0)
    node.handle(LinkUp(7, GW_2, dialled=True, version=2, incarnation="p"), 2.0)
    node.handle(LinkUp(8, GW_2, dialled=False, version=2, incarnation="p"), 2.0)
    node.drain()
    node.handle(Reloaded(replace(SETTINGS, peers=())), 3.0)
    assert hangups(node) == [7, 8]
    assert (node.state.peers, node.state.links) == ({}, {})
    node.handle(Received(7, Ping(1)), 3.1)
    node.handle(LinkDown(7, GW_2, "closed"), 3.2)
    node.handle(DialFailed(GW_2, "late"), 3.3)
    assert dials(node) == []
    assert node.state.peers == {}, "what was on its way does not bring it back"
    assert [row["name"] for row in node.reporting.status(4.0)["nodes"]] == [ME]


def test_the_manager_that_is_taken_out_is_the_manager_no_more() -> None:
    node = node_of(role=Role.WORKER)
    node.handle(LinkUp(7, GW_2, dialled=False, version=2, incarnation="p"), 2.0)
    node.state.manager_link = 7
    node.handle(Reloaded(replace(SETTINGS, peers=())), 3.0)
    assert node.state.manager_link is None


def test_a_new_address_or_key_is_tried_at_once_and_an_old_one_left_alone() -> None:
    node = node_of()
    node.tick(1.0)
    node.handle(DialFailed(GW_2, "no route"), 2.0)
    node.handle(DialFailed(GW_2, "no route"), 3.0)
    node.drain()
    assert node.state.peers[GW_2].dial_at > 3.0
    node.handle(Reloaded(replace(SETTINGS, limits=Limits(updates=9))), 3.0)
    assert dials(node) == [], "nothing about the peer has changed"
    other = PeerSettings(GW_2, "gw-2:2", "key 2")
    node.handle(Reloaded(replace(SETTINGS, peers=(other,))), 3.0)
    assert dials(node) == [GW_2]


def test_a_peer_without_an_address_is_neither_dialled_nor_waited_for() -> None:
    trusted = replace(SETTINGS, peers=(*SETTINGS.peers, PeerSettings(GW_3, "", "key 3")))
    node = node_of(trusted, role=Role.WORKER)
    node.start(1.0)
    assert dials(node) == [GW_2]
    candidacy = node.electing.candidacy
    assert candidacy is not None
    assert candidacy.waiting == {GW_2}
    node.handle(LinkUp(9, GW_3, dialled=False, version=2, incarnation="p"), 1.5)
    node.handle(LinkDown(9, GW_3, "gone"), 2.0)
    node.tick(500.0)
    assert GW_3 not in dials(node)
    named = replace(trusted, peers=(*SETTINGS.peers, PeerSettings(GW_3, "gw-3:1", "key 3")))
    node.state.role = Role.LEADING
    node.state.token = Token("c", 1, ME, "i1")
    node.handle(Reloaded(named), 501.0)
    assert GW_3 in dials(node)


def test_the_last_peer_of_a_survey_that_is_taken_out_ends_it() -> None:
    node = node_of(role=Role.WORKER)
    node.start(1.0)
    node.drain()
    node.handle(Reloaded(replace(SETTINGS, peers=())), 1.5)
    assert [e for e in node.drain() if isinstance(e, fx.Acquire)]


def test_quiet_times_that_run_already_are_the_new_ones() -> None:
    slow = replace(SETTINGS, limits=Limits(settle_written_s=9.0, settle_cap_s=60.0))
    node = node_of(slow)
    node.handle(Hinted(TREE.name, "api/a.xml", HintKind.WRITTEN), 1.0)
    before = node.observing.next_at(1.0)
    node.handle(Reloaded(SETTINGS), 1.0)
    assert node.observing._settling.next_at() == pytest.approx(1.1)
    assert before <= 10.0


def test_reconnects_limits_and_drift_are_those_of_the_new_settings() -> None:
    node = node_of()
    limits = Limits(reconnect_first_s=500.0, reconnect_max_s=500.0, updates=1)
    new = replace(SETTINGS, limits=limits, trees=(replace(TREE, drift=Drift.REPORT),))
    node.tick(1.0)
    node.handle(Reloaded(new), 2.0)
    assert node.state.rules.limits.updates == 1
    assert node.state.settings.trees[0].drift is Drift.REPORT
    many = []
    for _ in range(20):
        node.handle(DialFailed(GW_2, "no"), 3.0)
        many.append(node.state.peers[GW_2].dial_at)
    assert max(many) > 60.0, "the pauses are drawn from the new range"
