"""Enrolling again: who is asked, what is taken over, and when a person has to say so."""

import random
from dataclasses import dataclass, field

import pytest

from syncagent.agent.enrolling import Inquiry, Known, token_to_take, warnings
from syncagent.core.artifact import NodeName
from syncagent.core.errors import StateError, SyncagentError, UnreachableError
from syncagent.core.events import LinkDown, Received
from syncagent.core.guard import EPOCH_JUMP_MAX, GuardState
from syncagent.core.manifest import EMPTY
from syncagent.core.revision import REVISION_ZERO, Token
from syncagent.core.settings import PeerSettings
from syncagent.core.wire.messages import Survey, Surveyed
from tests.fakes.network import FakeNetwork

ME, GW_2, GW_3 = NodeName("gw-1"), NodeName("gw-2"), NodeName("gw-3")


def token(epoch: int, holder: str = "gw-2") -> Token:
    return Token("apim", epoch, NodeName(holder), "i1")


def surveyed(highest: Token | None) -> Surveyed:
    return Surveyed(highest, REVISION_ZERO, EMPTY.digest, ())


def peer(name: NodeName, address: str = "somewhere:1") -> PeerSettings:
    return PeerSettings(name, address, "")


@dataclass
class World:
    """Nodes that answer a survey with what `admitted` says; one that is not there is unreachable."""

    admitted: dict[NodeName, Token | None]
    now: float = 0.0
    events: list[object] = field(default_factory=list)

    def ask(self, *peers: PeerSettings, until: float = 60.0) -> Inquiry:
        network = FakeNetwork(random.Random(1), lambda: self.now)
        for name, highest in self.admitted.items():
            self._answer(network, name, highest)
        links = network.join(ME, self.events.append)
        inquiry = Inquiry(peers, links)
        inquiry.start()
        while not inquiry.over and (due := network.next_due()) is not None and due <= until:
            self.now, act = network.pop()
            act()
            while self.events:
                inquiry.take(self.events.pop(0))
        inquiry.give_up()
        return inquiry

    @staticmethod
    def _answer(network: FakeNetwork, name: NodeName, highest: Token | None) -> None:
        def post(event: object) -> None:
            if isinstance(event, Received) and isinstance(event.message, Survey):
                links.send(event.link, surveyed(highest))  # type: ignore[arg-type]

        links = network.join(name, post)


def test_every_peer_is_asked_and_the_highest_token_is_taken() -> None:
    inquiry = World({GW_2: token(4), GW_3: token(7, "gw-3")}).ask(peer(GW_2), peer(GW_3))
    assert {name: a.highest for name, a in inquiry.answers.items()} == {
        GW_2: token(4),
        GW_3: token(7, "gw-3"),
    }
    assert inquiry.silent == {}
    assert token_to_take(inquiry, Known(None, 7), forced=False) == token(7, "gw-3")


def test_a_peer_that_is_away_is_named_and_not_waited_for() -> None:
    inquiry = World({GW_2: token(4)}).ask(peer(GW_2), peer(GW_3))
    assert set(inquiry.answers) == {GW_2}
    assert set(inquiry.silent) == {GW_3}
    assert inquiry.over


def test_a_peer_without_an_address_is_not_dialled() -> None:
    inquiry = World({GW_2: token(4), GW_3: token(9)}).ask(peer(GW_2), peer(GW_3, ""))
    assert set(inquiry.answers) == {GW_2}
    assert inquiry.silent == {GW_3: "it has no address in the settings"}


def test_a_peer_that_does_not_answer_in_time_is_silent() -> None:
    inquiry = World({GW_2: token(4)}).ask(peer(GW_2), until=-1.0)
    assert inquiry.answers == {}
    assert inquiry.silent == {GW_2: "it did not answer in time"}


def test_a_link_that_is_not_the_inquirys_says_nothing() -> None:
    inquiry = World({}).ask()
    inquiry.take(Received(99, surveyed(token(9))))
    inquiry.take(LinkDown(99, GW_2, "gone"))
    assert (inquiry.answers, inquiry.silent) == ({}, {})


def inquiry_of(*tokens: Token | None) -> Inquiry:
    found = World({}).ask()
    found.answers = {NodeName(f"p{n}"): surveyed(each) for n, each in enumerate(tokens)}
    return found


def guard(epoch: int) -> GuardState:
    return GuardState("apim", token(epoch) if epoch else None)


@pytest.mark.parametrize(
    ("answers", "known", "kind", "words"),
    [
        pytest.param((), Known(None, 0), UnreachableError, "no peer answered", id="nobody"),
        pytest.param((), Known(guard(3), 3), UnreachableError, "no peer answered", id="readable"),
        pytest.param((token(4),), Known(None, 5), StateError, "revision of epoch 5", id="too-low"),
        pytest.param((None,), Known(None, 5), StateError, "revision of epoch 5", id="epoch-0"),
        pytest.param(
            (token(EPOCH_JUMP_MAX + 6),), Known(None, 5), StateError, "hostile", id="absurd"
        ),
    ],
)
def test_what_cant_be_believed_needs_a_persons_word(
    answers: tuple[Token | None, ...], known: Known, kind: type[SyncagentError], words: str
) -> None:
    inquiry = inquiry_of(*answers)
    with pytest.raises(kind, match=words) as caught:
        token_to_take(inquiry, known, forced=False)
    assert "--re-enrol --force" in caught.value.hint
    taken = token_to_take(inquiry, known, forced=True)
    assert taken == max(answers, key=lambda t: t.epoch if t else 0, default=None)
    assert warnings(inquiry, known, taken), "what was forced is said"


@pytest.mark.parametrize(
    ("answers", "known", "taken"),
    [
        pytest.param((token(4), None), Known(None, 4), token(4), id="guard-lost"),
        pytest.param((token(4),), Known(guard(6), 6), token(4), id="the-guard-never-lowers"),
        pytest.param((None, None), Known(None, 0), None, id="a-cluster-without-epochs"),
    ],
)
def test_what_can_be_believed_is_taken_without_a_warning(
    answers: tuple[Token | None, ...], known: Known, taken: Token | None
) -> None:
    inquiry = inquiry_of(*answers)
    assert token_to_take(inquiry, known, forced=False) == taken
    assert warnings(inquiry, known, taken) == []
