"""Pauses grow, stay below the ceiling and never vanish."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.backoff import Backoff


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_a_pause_lies_between_a_tenth_and_the_whole_of_its_ceiling(
    failures: int, chance: float
) -> None:
    ceiling = min(60.0, 2.0 ** min(failures - 1, 32))
    assert 0.1 * ceiling <= Backoff(1.0, 60.0).pause_s(failures, chance) < ceiling


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 50), st.floats(0, 1, exclude_max=True))
def test_by_equal_chance_a_later_pause_is_not_shorter(failures: int, chance: float) -> None:
    backoff = Backoff(0.5, 300.0)
    assert backoff.pause_s(failures, chance) <= backoff.pause_s(failures + 1, chance)


def test_the_first_attempt_does_not_wait() -> None:
    with pytest.raises(AssertionError, match="first attempt"):
        Backoff().pause_s(0, 0.5)
