"""Two ends greet each other and agree on a version, or both know why not."""

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import NodeName
from syncagent.core.errors import ProtocolError, RefusedError
from syncagent.core.wire.codec import encode
from syncagent.core.wire.frames import PREFACE, frame
from syncagent.core.wire.handshake import Conversation, agree
from syncagent.core.wire.messages import Bye, Hello, Ping, Pong, Survey

ONE = NodeName("gw-1")
TWO = NodeName("gw-2")
HELLO_1 = Hello((2, 1), "apim", ONE, "i1", "syncagent 0.2")
HELLO_2 = Hello((2, 1), "apim", TWO, "i2", "syncagent 0.2")


def pair(one: Hello = HELLO_1, two: Hello = HELLO_2) -> tuple[Conversation, Conversation]:
    return Conversation(one, TWO), Conversation(two, ONE)


def test_two_ends_greet_and_talk() -> None:
    one, two = pair()
    assert two.hear(one.open()) == []
    assert one.hear(two.open()) == []
    assert two.hear(one.say(Survey()) + one.say(Ping(3))) == [Survey(), Ping(3)]
    assert one.hear(two.say(Pong(3))) == [Pong(3)]
    assert (one.version, two.version) == (2, 2)
    assert (one.hello, two.hello) == (HELLO_2, HELLO_1)


@pytest.mark.parametrize(
    ("mine", "theirs", "agreed"),
    [((2, 1), (2, 1), 2), ((2, 1), (1,), 1), ((2, 1), (3, 2), 2), ((4, 3), (3, 2), 3)],
)
def test_the_highest_version_that_both_speak_is_taken(
    mine: tuple[int, ...], theirs: tuple[int, ...], agreed: int
) -> None:
    one, two = replace(HELLO_1, versions=mine), replace(HELLO_2, versions=theirs)
    assert agree(one, two, TWO) == agree(two, one, ONE) == agreed


def test_an_agent_that_is_too_old_is_told_both_versions_and_what_to_do() -> None:
    old = replace(HELLO_2, versions=(4, 3), product="syncagent 0.1")
    new = replace(HELLO_1, versions=(6, 5))
    for me, other in ((new, old), (old, new)):
        with pytest.raises(RefusedError, match=r"speaks protocol . and ., gw-.*speaks") as told:
            agree(me, other, other.node)
        assert "4 and 3" in str(told.value)
        assert "6 and 5" in str(told.value)
        assert told.value.hint.startswith("upgrade gw-2")


@pytest.mark.parametrize(
    ("hello", "words"),
    [
        (
            replace(HELLO_2, node=NodeName("gw-3")),
            "key is that of gw-2, but it says that it is gw-3",
        ),
        (replace(HELLO_2, node=ONE), "which is this node's name"),
        (replace(HELLO_2, cluster="test"), "belongs to cluster 'test', this node to 'apim'"),
    ],
)
def test_a_hello_that_does_not_fit_is_refused_with_what_to_do(hello: Hello, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as told:
        Conversation(HELLO_1, TWO).hear(Conversation(hello, ONE).open())
    assert told.value.hint


def test_the_refused_end_is_told_why() -> None:
    one, two = pair(two=replace(HELLO_2, cluster="test"))
    with pytest.raises(RefusedError) as mine:
        one.hear(two.open())
    goodbye = one.say(Bye(str(mine.value)))
    with pytest.raises(
        RefusedError, match="gw-1 refuses this node: gw-2 belongs to cluster 'test'"
    ):
        two.hear(goodbye)


def test_nothing_but_a_goodbye_is_said_before_a_version_is_agreed() -> None:
    one, _ = pair()
    with pytest.raises(ProtocolError, match="Survey before a version was agreed"):
        one.say(Survey())
    assert one.say(Bye("no"))


def test_the_first_message_must_be_a_hello_and_there_is_one() -> None:
    one, two = pair()
    with pytest.raises(ProtocolError, match="Ping before a hello"):
        one.hear(PREFACE + frame(encode(Ping(1), 2)))
    one, two = pair()
    one.hear(two.open())
    with pytest.raises(ProtocolError, match="a second hello"):
        one.hear(frame(encode(HELLO_2, 2)))


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=100), st.integers(0, 40))
def test_noise_at_any_point_of_the_greeting_breaks_only_the_protocol(noise: bytes, at: int) -> None:
    one, two = pair()
    with suppress(RefusedError):
        assert one.hear(two.open()[:at] + noise) == []
