"""Which tokens a node admits."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import NodeName
from syncagent.core.guard import EPOCH_JUMP_MAX, Admission, GuardState, judge, refusal
from syncagent.core.revision import Token, incarnation_of


def token(epoch: int, holder: str = "a", incarnation: str = "1", cluster: str = "c") -> Token:
    return Token(cluster, epoch, NodeName(holder), incarnation)


NEW = GuardState("c")
AT_5 = GuardState("c", token(5))


@pytest.mark.parametrize(
    ("state", "asked", "expected", "word"),
    [
        pytest.param(NEW, token(1), Admission.HIGHER, "admitted", id="the first"),
        pytest.param(NEW, token(9), Admission.HIGHER, "admitted", id="epochs may be skipped"),
        pytest.param(AT_5, token(5), Admission.SAME, "admitted", id="the same again"),
        pytest.param(AT_5, token(6, "b"), Admission.HIGHER, "admitted", id="a successor"),
        pytest.param(AT_5, token(4), Admission.FENCED, "epoch 4 is over", id="a deposed manager"),
        pytest.param(AT_5, token(5, "b"), Admission.TIED, "held by a", id="another of one epoch"),
        pytest.param(AT_5, token(5, "a", "2"), Admission.TIED, "earlier start", id="restarted"),
        pytest.param(AT_5, token(9, cluster="x"), Admission.FOREIGN, "'x'", id="another cluster"),
        pytest.param(AT_5, token(5 + EPOCH_JUMP_MAX), Admission.HIGHER, "admitted", id="a jump"),
        pytest.param(AT_5, token(6 + EPOCH_JUMP_MAX), Admission.ABSURD, "above 5", id="too far"),
    ],
)
def test_a_token_is_judged_by_the_highest_one(
    state: GuardState, asked: Token, expected: Admission, word: str
) -> None:
    admission = judge(state, asked)
    assert admission is expected
    assert admission.admitted is (word == "admitted")
    assert word in refusal(state, asked, admission)


FIRST, COPY, RENEWED = "key1.state1.x", "key1.state2.y", "key2.state2.z"
LED = GuardState("c", token(5, "a", FIRST))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        pytest.param(token(6, "a", "key1.state1.later"), Admission.HIGHER, id="it was restarted"),
        pytest.param(token(5, "a", FIRST), Admission.SAME, id="it is the same"),
        pytest.param(token(6, "a", COPY), Admission.TWIN, id="a copy with a state of its own"),
        pytest.param(token(5, "a", COPY), Admission.TWIN, id="a copy of the same epoch"),
        pytest.param(token(4, "a", COPY), Admission.TWIN, id="a copy that is behind"),
        pytest.param(token(6, "b", COPY), Admission.HIGHER, id="a copy with its own name"),
        pytest.param(token(6, "a", RENEWED), Admission.HIGHER, id="a new key was trusted"),
        pytest.param(token(6, "a", "of-an-older-version"), Admission.HIGHER, id="it does not say"),
    ],
)
def test_a_copy_of_who_led_last_is_told_from_its_restart(asked: Token, expected: Admission) -> None:
    assert judge(LED, asked) is expected
    assert judge(LED, asked, forced=True) is expected
    if expected is Admission.TWIN:
        assert "another node named a" in refusal(LED, asked, expected)


def test_an_incarnation_says_which_key_and_state_it_is_of() -> None:
    assert incarnation_of("key1", "state1", "x") == FIRST


def test_a_tie_with_nobody_names_nobody() -> None:
    assert "nobody" in refusal(NEW, token(1), Admission.TIED)


def test_a_person_may_allow_the_jump_and_nothing_else() -> None:
    assert judge(AT_5, token(6 + EPOCH_JUMP_MAX), forced=True) is Admission.HIGHER
    for lower in (token(4), token(5, "b"), token(9, cluster="x")):
        assert not judge(AT_5, lower, forced=True).admitted


def test_epoch_zero_has_no_token() -> None:
    assert (NEW.epoch, AT_5.epoch) == (0, 5)
    with pytest.raises(AssertionError):
        token(0)


TOKENS = st.builds(
    token, st.integers(1, 4), st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"])
)


@settings(deadline=None, max_examples=200)
@given(TOKENS, TOKENS)
def test_of_two_tokens_at_most_one_outlives_the_other(one: Token, two: Token) -> None:
    forth = judge(GuardState("c", one), two).admitted
    back = judge(GuardState("c", two), one).admitted
    assert (forth and back) == (one == two)
    assert (forth or back) == (one == two or one.epoch != two.epoch)


@settings(deadline=None, max_examples=100)
@given(st.lists(TOKENS, max_size=8))
def test_what_was_admitted_never_falls(tokens: list[Token]) -> None:
    state, epochs = NEW, [0]
    for asked in tokens:
        if judge(state, asked).admitted:
            state = GuardState("c", asked)
        epochs.append(state.epoch)
    assert epochs == sorted(epochs)
