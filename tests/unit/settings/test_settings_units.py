"""Lengths of time, sizes and shares: both ways, and what is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core import units


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10**14))
def test_a_formatted_duration_is_parsed_to_the_same_milliseconds(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    text = units.format_duration(seconds)
    if len(text.rstrip("dhms")) <= 9:
        assert units.parse_duration(text) == seconds


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**50 - 1))
def test_a_formatted_size_is_parsed_to_the_same_bytes(size: int) -> None:
    if size < 10**15:
        assert units.parse_size(units.format_size(size)) == size


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 10_000))
def test_a_formatted_share_is_parsed_to_the_same_share(hundredths: int) -> None:
    share = hundredths / 10_000
    assert units.parse_share(units.format_share(share)) == share


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("30s", 30),
        ("1.5s", 1.5),
        ("5m", 300),
        ("2h", 7200),
        ("30d", 2592000),
        ("0s", 0),
        ("0.001s", 0.001),
        ("1.5m", 90),
        (" 5m ", 300),
    ],
)
def test_a_duration_means(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "5", "s", "-5s", "5 s", "1e3s", "5M", "5min", "0.5ms", "1.2345s", "٣s", "9" * 10 + "s"],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="length of time"):
        units.parse_duration(text)


def test_a_bare_number_is_answered_with_the_same_number_and_a_unit() -> None:
    with pytest.raises(ValueError, match='write "15s"'):
        units.parse_duration("15")


@pytest.mark.parametrize("text", ["", "5", "5MB", "5 MiB", "1.5GiB", "-1B", "5mib"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size"):
        units.parse_size(text)


@pytest.mark.parametrize("text", ["", "25", "101%", "100.01%", "-1%", "0.25", "1.234%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="share"):
        units.parse_share(text)
