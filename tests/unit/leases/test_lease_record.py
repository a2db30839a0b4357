"""How a lease reads in stores that keep text, and what is none."""

from __future__ import annotations

import json

import pytest

from syncagent.core.artifact import NodeName
from syncagent.core.lease import StoreUnavailable
from syncagent.core.revision import Token
from syncagent.leases.record import Record, decode, decode_epoch

TOKEN = Token("apim", 7, NodeName("gw-1"), "start-1")
RECORD = Record(TOKEN, 15.0)
FIELDS = {
    "cluster": "apim",
    "epoch": 7,
    "holder": "gw-1",
    "incarnation": "start-1",
    "lease_s": 15.0,
}


def test_a_lease_reads_as_it_was_written() -> None:
    assert decode(RECORD.encode(), "apim") == RECORD
    assert json.loads(RECORD.encode()) == FIELDS


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"rubbish",
        b"\xff",
        b"[]",
        b"7",
        b"[" * 100_000,
        *(
            json.dumps({**FIELDS, **change}).encode()
            for change in (
                {"cluster": "other"},
                {"epoch": 0},
                {"epoch": "7"},
                {"epoch": True},
                {"holder": None},
                {"lease_s": 0},
                {"lease_s": "15"},
                {"lease_s": True},
                {"lease_s": float("inf")},
                {"lease_s": float("nan")},
            )
        ),
        json.dumps({"cluster": "apim", "epoch": 7}).encode(),
    ],
)
def test_what_is_no_lease_of_this_cluster_is_nobodys(content: bytes) -> None:
    assert decode(content, "apim") is None


def test_an_epoch_is_a_decimal_number() -> None:
    assert decode_epoch(b"41", "the key") == 41


@pytest.mark.parametrize("content", [b"", b"-1", b"1.5", b"seven", b"9" * 19, "\u0663".encode()])
def test_an_epoch_that_is_no_number_is_never_guessed(content: bytes) -> None:
    with pytest.raises(StoreUnavailable, match="the key does not hold an epoch") as caught:
        decode_epoch(content, "the key")
    assert "write the highest epoch" in caught.value.hint
