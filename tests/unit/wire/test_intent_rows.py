"""Intents and kept bytes as rows: what was written is read, and nothing else is taken for it."""

from __future__ import annotations

import pytest

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.digest import digest_of
from syncagent.core.errors import ProtocolError
from syncagent.core.intent import Intent, Keep, Kept, Step, Written
from syncagent.core.manifest import Entry
from syncagent.core.revision import REVISION_ZERO
from syncagent.core.wire.intents import (
    kept_of,
    kept_row,
    pack_written,
    step_of,
    step_row,
    str_of,
    unpack_written,
)
from syncagent.core.wire.packing import pack, unpack

PATH = ArtifactPath(TreeName("synapse"), "api/A.xml")
PUT = Step(PATH, None, Entry(digest_of(b"a"), 1))
DELETE = Step(PATH, digest_of(b"a"), None, Keep.DELETED)
KEPT = Kept("k1-0123456789abcdef", PATH, Keep.DRIFT, digest_of(b"a"), 1, 7, "by hand")


@pytest.mark.parametrize("step", [PUT, DELETE])
def test_a_step_is_read_as_it_was_written(step: Step) -> None:
    assert step_of(step_row(step)) == step
    written = Written(
        Intent(1, REVISION_ZERO, (step,)), frozenset({PATH.tree}), frozenset({(PATH.tree, "api")})
    )
    assert unpack_written(pack_written(written)) == written


def test_what_is_kept_is_read_as_it_was_written() -> None:
    assert kept_of(kept_row(KEPT)) == KEPT


@pytest.mark.parametrize("at", range(6))
def test_a_step_of_another_kind_is_refused(at: int) -> None:
    row = step_row(PUT)
    row[at] = "\N{SNOWMAN}" if at != 1 else 1
    if at == 0:
        row[at] = 1
    with pytest.raises(ProtocolError):
        step_of(row)


def test_kept_bytes_for_another_reason_are_refused() -> None:
    row = kept_row(KEPT)
    row[3] = "whim"
    with pytest.raises(ProtocolError, match="whim"):
        kept_of(row)


def test_an_intent_over_a_tree_that_it_does_not_name_is_refused() -> None:
    record = unpack(pack_written(Written(Intent(1, REVISION_ZERO, (PUT,)))), limit=1 << 20)
    assert isinstance(record, list)
    record[6][0][0] = 5
    with pytest.raises(ProtocolError):
        unpack_written(pack(record))


def test_text_is_text() -> None:
    assert str_of("a") == "a"
    with pytest.raises(ProtocolError, match="text was expected"):
        str_of(b"a")
