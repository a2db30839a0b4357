"""Log entries: heads of every layout, lines that belong to them, time zones, and odd bytes."""

from __future__ import annotations

import calendar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import TreeKind, TreeName
from syncagent.core.runtime import Heard, Saying
from syncagent.core.settings import TreeSettings
from syncagent.runtime.entries import (
    ENTRY_CHARS_MAX,
    LINES_TELLING,
    layout_fault,
    parse,
    split,
    time_of,
    zone_of,
)
from syncagent.runtime.names import Names
from syncagent.runtime.patterns import APACHE_3, CARBON_3, LAYOUTS, Dialect
from syncagent.runtime.reader import Reader

AT = calendar.timegm((2026, 11, 21, 14, 22, 39)) + 0.493
FILE = "/s/api/a.xml"
NAMES = Names([TreeSettings(TreeName("synapse"), TreeKind.SYNAPSE, "/s")], lambda path: path)


def test_a_head_is_taken_apart() -> None:
    raw = b"2026-11-21 14:22:39,493 [10.0.0.1-gw-1] [Timer-0] ERROR APIDeployer no good\n\tat x\n"
    entry = parse(raw, APACHE_3.layouts)
    assert (entry.thread, entry.level, entry.logger) == ("Timer-0", "ERROR", "APIDeployer")
    assert (entry.text, entry.more, entry.at) == ("no good", "\tat x", AT)
    raw = b"TID: [3] [app] [2026-11-21 14:22:39,493]  WARN {a.b.C} - no good"
    entry = parse(raw, CARBON_3.layouts)
    assert (entry.tenant, entry.level, entry.logger, entry.text) == (
        "3",
        "WARN",
        "a.b.C",
        "no good",
    )


def test_lines_without_a_head_belong_to_the_entry_before() -> None:
    log = (
        b"rest of an earlier one\n"
        b"2026-11-21 14:22:39,493 [-] [T] ERROR X first\n\tat a\nCaused by: b\n\n"
        b"2026-11-21 14:22:39,494 [-] [T]  INFO X second\n"
    )
    parts = list(split(log, headless=False))
    assert len(parts) == 3
    assert b"Caused by: b" in parts[1]


def test_a_time_that_does_not_exist_is_none() -> None:
    assert parse(b"2026-11-21 14:22:39 [x] y", APACHE_3.layouts).at == 0.0


@pytest.mark.parametrize("stamp", ["2024-13-01", "2024-00-01", "0000-01-01", "0001-01-01"])
def test_what_only_looks_like_a_time_is_none(stamp: str) -> None:
    assert time_of(f"{stamp} 10:00:00,000") == 0.0


@pytest.mark.parametrize("hours", [-9.5, -5.0, 0.0, 1.0, 5.75, 14.0])
def test_the_zone_is_what_the_last_line_lacks_to_the_files_time(hours: float) -> None:
    tail = (
        b"x\n2026-11-21 14:22:30,000 [-] [T] INFO X y\n2026-11-21 14:22:39,493 [-] [T] INFO X z\n"
    )
    assert zone_of(tail, AT - hours * 3600 + 1.5) == -hours * 3600


def test_a_tail_without_a_time_tells_no_zone() -> None:
    assert zone_of(b"no head at all\n", AT) is None


def test_an_entry_is_bounded() -> None:
    raw = b"2026-11-21 14:22:39,493 [-] [T] ERROR X y\n" + b"z" * (3 * ENTRY_CHARS_MAX)
    assert len(parse(raw, APACHE_3.layouts).whole) <= ENTRY_CHARS_MAX


def test_windows_line_ends_do_not_matter() -> None:
    reader = Reader(APACHE_3, NAMES)
    line = f"2026-11-21 14:22:39,493 [-] [T]  INFO X API named 'N' has been deployed from file : {FILE}"
    (said,) = reader.take(f"{line}\r\n".encode(), 0.0)
    assert isinstance(said, Heard)
    assert said.path is not None
    assert said.path.path == "api/a.xml"


def test_bytes_that_are_no_text_do_not_hide_their_neighbours() -> None:
    reader = Reader(APACHE_3, NAMES)
    line = f"2026-11-21 14:22:39,493 [-] [T]  INFO X API named 'N' has been deployed from file : {FILE}\n"
    said = reader.take(b"\xff\xfe\x00 has been \n" + line.encode() + b"\xc3\x28 has been\n", 0.0)
    assert [each.saying for each in said if isinstance(each, Heard)] == [Saying.DEPLOYED]


@pytest.mark.parametrize(
    "line",
    ["{}", "14:22:39 | INFO | {}", "<14>esb: {}", "[INFO] 2026-11-21 14:22:39,493 APIDeployer: {}"],
)
@pytest.mark.parametrize("dialect", [APACHE_3, CARBON_3])
def test_a_log_in_a_layout_of_its_own_is_read_where_the_message_ends_the_line(
    dialect: Dialect, line: str
) -> None:
    reader = Reader(dialect, NAMES)
    texts = (
        "API named 'N' has been undeployed",
        f"API named 'N' has been deployed from file : {FILE}",
        f"API deployment from the file : {FILE} : Failed.\norg.x.SynapseException: bad\n\tat x.y(Z)",
        "talk",
    )
    log = "".join(f"{line.format(text)}\n" for text in texts)
    said = [*reader.take(log.encode(), 0.0), *reader.flush(1.0), *reader.flush(2.0)]
    assert [each.saying for each in said if isinstance(each, Heard)] == [
        Saying.UNDEPLOYED,
        Saying.DEPLOYED,
        Saying.REJECTED,
    ]
    assert [each.reason for each in said if isinstance(each, Heard)] == ["", "", "bad"]


def test_a_log_of_json_lines_is_left_out_rather_than_read_wrongly() -> None:
    reader = Reader(CARBON_3, NAMES)
    line = (
        f'{{"message": "API named \'N\' has been deployed from file : {FILE}", "level": "INFO"}}\n'
    )
    assert reader.take(line.encode(), 0.0) == []


@given(st.lists(st.binary(max_size=60), max_size=30), st.integers(1, 7))
@settings(deadline=None, max_examples=80)
def test_no_bytes_raise_anything(lines: list[bytes], portion: int) -> None:
    reader = Reader(APACHE_3, NAMES)
    heads = [b"2026-11-21 14:22:39,493 [-] [Timer-0] ERROR X has been " + each for each in lines]
    mixed = [part + b"\n" for pair in zip(lines, heads, strict=True) for part in pair]
    for position in range(0, len(mixed), portion):
        reader.take(b"".join(mixed[position : position + portion]), float(position))
    reader.flush(1e6)
    reader.flush(2e6)


JSON_LINE = (
    b'{"instant":{"epochSecond":1700000000,"nanoOfSecond":1},"thread":"main","level":"INFO",'
    b'"loggerName":"org.apache.synapse.deployers.APIDeployer","message":"API named \'a\' has been'
    b' deployed from file : /s/api/a.xml","endOfBatch":false}\n'
)
OWN_LINE = b"22 Nov 2026 14:00:00 INFO API named 'a' has been deployed from file : /s/api/a.xml\n"
KNOWN_LINE = b"TID: [-1234] [] [2026-11-21 14:22:39,493]  INFO {a.B} - hello\n"


def test_a_log_that_is_json_is_said_to_be() -> None:
    assert "JSON" in (layout_fault(JSON_LINE, LAYOUTS) or "")
    assert "JSON" in (layout_fault(b'"part of a line"}\n' + 3 * JSON_LINE, LAYOUTS) or "")


def test_a_layout_of_its_own_is_said_after_enough_lines() -> None:
    assert layout_fault(b"", LAYOUTS) == ""
    assert layout_fault(OWN_LINE * (LINES_TELLING - 1), LAYOUTS) == ""
    assert "not known" in (layout_fault(OWN_LINE * LINES_TELLING, LAYOUTS) or "")


def test_one_line_of_a_known_layout_is_enough() -> None:
    assert layout_fault(OWN_LINE * 100 + KNOWN_LINE, LAYOUTS) is None
    assert layout_fault(b"cut off\n" + KNOWN_LINE + b"\tat a.B.c(D.java:1)\n", LAYOUTS) is None


def test_a_reader_says_what_is_wrong_with_a_layout_until_a_line_is_understood() -> None:
    reader = Reader(CARBON_3, NAMES)
    assert reader.layout == ""
    for _ in range(LINES_TELLING):
        reader.take(OWN_LINE, 0.0)
    assert "not known" in reader.layout
    reader.take(KNOWN_LINE, 0.0)
    assert reader.layout == ""
    reader.take(JSON_LINE * 50, 0.0)
    assert reader.layout == "", "what callers send is logged too"
