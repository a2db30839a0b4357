"""Digests: how they are written, how they travel."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.digest import (
    digest_of,
    digest_of_parts,
    from_number,
    from_raw,
    number_of,
    parse_digest,
    to_raw,
)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=40), max_size=5))
def test_a_digest_survives_every_way_of_writing_it(parts: list[bytes]) -> None:
    whole = b"".join(parts)
    digest = digest_of(whole)
    assert digest_of(memoryview(whole)) == digest
    assert digest_of_parts(parts) == digest
    assert from_number(number_of(whole)) == digest
    assert from_raw(to_raw(digest)) == digest
    assert parse_digest(digest) == digest
    assert len(to_raw(digest)) == 16


@pytest.mark.parametrize("length", [0, 15, 17])
def test_raw_digests_have_sixteen_bytes(length: int) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        from_raw(b"x" * length)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("unknown", id="a word"),
        pytest.param("a" * 37, id="right length, no prefix"),
        pytest.param("xxh3:" + "a" * 31, id="a digit short"),
        pytest.param("xxh3:" + "a" * 33, id="a digit long"),
        pytest.param("xxh3:" + "g" * 32, id="no hex digits"),
        pytest.param("xxh3:" + "A" * 32, id="capitals"),
        pytest.param("xxh3:0x" + "a" * 30, id="a prefix that int() takes"),
        pytest.param("xxh3:" + "a" * 15 + "_" + "a" * 16, id="an underscore that int() takes"),
        pytest.param("xxh3: " + "a" * 31, id="a space that int() takes"),
        pytest.param("xxh3:-" + "1" * 31, id="a sign that int() takes"),
        pytest.param("xxh3:" + "\u0661" * 32, id="digits of another script that int() takes"),
    ],
)
def test_what_is_not_written_like_a_digest_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a digest"):
        parse_digest(text)
