"""What is compiled of a regular expression, and what need not be."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.validation.expressions import regex_fault

NEVER_CLOSED = re.compile(r"missing \)|unbalanced|unterminated (?:char|sub)")
NO_BRACKET = st.text(st.sampled_from("ab1 .*+?{}|\\^$],-:#<>=P!"), max_size=12)


def complaint(text: str) -> str:
    """Return what `re` says of a pattern, nothing if it takes it."""
    try:
        re.compile(text)
    except (re.error, OverflowError) as error:
        return str(error)
    return ""


@settings(deadline=None, max_examples=500)
@given(NO_BRACKET)
def test_what_opens_nothing_can_leave_nothing_open(text: str) -> None:
    assert regex_fault(text) is None
    assert not NEVER_CLOSED.search(complaint(text))


def test_what_is_opened_has_to_be_closed() -> None:
    for text in ("a(b", "[ab", "a)b", "(?:a"):
        assert regex_fault(text) is not None
