"""Frames: whole messages whatever the pieces, and an error for good on anything else."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.errors import ProtocolError
from syncagent.core.wire.frames import PREFACE, FrameReader, frame

LIMITS = {1: 100, 2: 10}


def reader() -> FrameReader:
    return FrameReader(lambda first: LIMITS.get(first, 5))


@settings(deadline=None, max_examples=100)
@given(st.lists(st.binary(max_size=99).map(lambda rest: b"\1" + rest), max_size=6), st.data())
def test_messages_come_whole_and_in_order_whatever_the_pieces(
    messages: list[bytes], data: st.DataObject
) -> None:
    stream = PREFACE + b"".join(map(frame, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=20)))
    end = reader()
    got = []
    for start, stop in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += end.feed(stream[start:stop])
    assert got == messages
    assert not end.within


def test_an_end_inside_a_frame_or_the_preface_is_known() -> None:
    end = reader()
    assert end.within
    end.feed(PREFACE + frame(b"\1abc")[:-1])
    assert end.within
    end.feed(b"c")
    assert not end.within


@pytest.mark.parametrize(
    "noise",
    [
        b"HTTP/1.1 400 Bad Request\r\n",
        b"Welcome to gw-2, last login never\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"syncagent\n\x1a\n",
        b"\0",
    ],
)
def test_what_is_no_agent_is_told_apart_by_its_first_bytes(noise: bytes) -> None:
    with pytest.raises(ProtocolError, match="does not speak syncagent's protocol; it says") as told:
        reader().feed(noise)
    assert "login shell" in told.value.hint


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ((101).to_bytes(4, "big") + b"\1", "a frame of 101 bytes; type 1 has at most 100"),
        (b"\xff\xff\xff\xff\1", "a frame of 4294967295 bytes; type 1"),
        ((11).to_bytes(4, "big") + b"\2", "type 2 has at most 10"),
        ((6).to_bytes(4, "big") + b"\x7f", "type 127 has at most 5"),
        (b"\0\0\0\0", "a frame of no bytes"),
    ],
)
def test_a_frame_over_its_limit_is_refused_at_its_header(header: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        reader().feed(PREFACE + header)


def test_after_an_error_nothing_is_read_any_more() -> None:
    end = reader()
    with pytest.raises(ProtocolError) as first:
        end.feed(PREFACE + b"\xff\xff\xff\xff\1")
    with pytest.raises(ProtocolError) as second:
        end.feed(frame(b"\1fine"))
    assert second.value is first.value


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60), st.booleans())
def test_noise_gives_messages_within_limits_or_a_protocol_error(
    noise: bytes, greeted: bool
) -> None:
    end = reader()
    try:
        got = end.feed((PREFACE if greeted else b"") + noise)
    except ProtocolError:
        return
    assert all(len(message) <= 100 for message in got)
