"""Batches to be judged and verdicts on them, as bytes between the agent and its validating process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syncagent.core.artifact import Kind
from syncagent.core.digest import digest_of
from syncagent.core.entry import Entry
from syncagent.core.errors import ProtocolError
from syncagent.core.verdict import Examined, Facts, Problem, Reference, Severity
from syncagent.core.wire.packing import compress_batch, pack
from syncagent.core.wire.verdicts import (
    Docket,
    Exhibit,
    pack_docket,
    pack_verdicts,
    unpack_docket,
    unpack_verdicts,
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
REFERENCES = st.lists(st.builds(Reference, st.sampled_from([None, *Kind]), TEXT), max_size=3).map(
    tuple
)
FACTS = st.builds(Facts, TEXT, st.none() | TEXT, st.none() | TEXT, REFERENCES, REFERENCES)
PROBLEMS = st.lists(
    st.builds(Problem, TEXT, TEXT, st.integers(0, 2**31), st.sampled_from(Severity)), max_size=3
).map(tuple)


@given(st.lists(st.builds(Examined, FACTS, PROBLEMS), max_size=4))
def test_verdicts_come_back_as_they_were(verdicts: list[Examined]) -> None:
    assert unpack_verdicts(pack_verdicts(verdicts), len(verdicts)) == tuple(verdicts)


def test_a_docket_comes_back_as_it_was() -> None:
    content = b"<sequence/>"
    entries, frame = compress_batch([(Entry(digest_of(content), len(content)), content)])
    docket = Docket(entries, frame, (Exhibit(0, Kind.SEQUENCE, "sequences/a.xml"),))
    assert unpack_docket(pack_docket(docket)) == docket


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        pack([]),
        pack([["a", None, None, [], []]]),
        pack([[1, None, None, [], [], []]]),
        pack([["a", None, None, [["kettle", "k"]], [], []]]),
        pack([["a", None, None, [], [], [["code", "reason", -1, "error"]]]]),
        pack([["a", None, None, [], [], [["code", "reason", 1, "bad"]]]]),
    ],
)
def test_what_is_no_verdict_is_not_believed(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        unpack_verdicts(answer, 1)
