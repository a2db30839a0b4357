"""Bytes of a ledger record: whatever is read that is not one is refused in one way."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import digest_of
from syncagent.core.errors import ProtocolError
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Entry, Manifest
from syncagent.core.revision import RevisionId
from syncagent.core.wire.packing import pack
from syncagent.core.wire.standing import decode_change, encode_change

TREE = TreeName("synapse")
ONE = Entry(digest_of(b"one"), 3)
SAMPLE = StandingChange(
    revision=RevisionId(3, 9, Manifest({TREE: {"api/a.xml": ONE}}).digest),
    changes=(Change(ArtifactPath(TREE, "api/a.xml"), None, ONE),),
    manifest=Manifest({TREE: {"api/a.xml": ONE}}),
    txid=4,
    identities={TREE: "fs-1"},
    notes={"pause": "{}"},
)

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**31), 2**31)
    | st.binary(max_size=20)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(0, 9) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


def test_a_record_with_everything_comes_back_equal() -> None:
    assert decode_change(encode_change(SAMPLE)) == SAMPLE


def test_an_empty_record_is_small() -> None:
    assert encode_change(StandingChange()) == b"\x90"
    assert decode_change(b"\x90") == StandingChange()


def test_a_field_of_a_later_version_is_skipped() -> None:
    assert decode_change(pack([[3, 7], [99, {"new": True}]])) == StandingChange(txid=7)


@settings(deadline=None, max_examples=300)
@given(value=VALUES)
def test_other_values_are_refused(value: object) -> None:
    with suppress(ProtocolError):
        assert isinstance(decode_change(pack(value)), StandingChange)


@settings(deadline=None, max_examples=300)
@given(field=st.integers(0, 5), value=VALUES)
def test_other_values_in_a_field_are_refused(field: int, value: object) -> None:
    with suppress(ProtocolError):
        assert isinstance(decode_change(pack([[field, value]])), StandingChange)


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_flipped_bits_are_refused_or_give_a_record(data: st.DataObject) -> None:
    content = bytearray(encode_change(SAMPLE))
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(ProtocolError):
        assert isinstance(decode_change(bytes(content)), StandingChange)


@pytest.mark.parametrize("cut", range(1, 40, 5))
def test_a_record_that_was_cut_short_is_refused(cut: int) -> None:
    with pytest.raises(ProtocolError):
        decode_change(encode_change(SAMPLE)[:-cut])
