"""Tables: aligned, within the width where that can be, and never with a cut name."""

from __future__ import annotations

import unicodedata

from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.cli.reading import text
from syncagent.cli.table import Column, Style, render

COLUMNS = (
    Column("NAME", lambda row: text(row, "name")),
    Column("STATE", lambda row: text(row, "state")),
    Column("SEEN", lambda row: text(row, "seen"), spare=1),
    Column("WATCH", lambda row: text(row, "watch"), spare=2),
    Column("REASON", lambda row: text(row, "reason")),
)

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs")), min_size=1)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": NAMES,
            "state": st.sampled_from(["Synced", "OutOfSync"]),
            "seen": st.just("2h ago"),
            "watch": st.just("inotify"),
            "reason": st.lists(st.sampled_from(["no", "route", "to", "host"])).map(" ".join),
        }
    ),
    max_size=4,
)


def shown(line: str) -> int:
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in {"W", "F"})
        for c in line
    )


@settings(deadline=None, max_examples=60)
@given(ROWS, st.one_of(st.none(), st.integers(1, 200)))
def test_no_name_is_cut_and_no_reason_loses_a_word(rows: list[dict[str, str]], width: int) -> None:
    printed = render(COLUMNS, rows, Style(width))
    for row in rows:
        assert row["name"] in printed
    words = printed.split()
    for word in ("no", "route", "to", "host"):
        named = sum(row["name"] == word for row in rows)
        assert words.count(word) == named + sum(row["reason"].split().count(word) for row in rows)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(categories=("L", "N")), min_size=1), min_size=1))
def test_the_second_column_starts_at_the_same_place_in_every_line(names: list[str]) -> None:
    rows = [{"name": name, "state": ">"} for name in names]
    lines = render(COLUMNS[:2], rows, Style()).splitlines()
    starts = {
        shown(line[: line.rindex(mark)])
        for line, mark in zip(lines, "S" + ">" * len(rows), strict=True)
    }
    assert len(starts) == 1


def test_columns_that_can_be_spared_go_one_rank_at_a_time() -> None:
    row = {"name": "gw-1", "state": "Synced", "seen": "2h ago", "watch": "inotify", "reason": ""}
    headings = [
        render(COLUMNS, [row], Style(width)).splitlines()[0].split() for width in (200, 30, 20)
    ]
    assert headings == [
        ["NAME", "STATE", "SEEN", "WATCH", "REASON"],
        ["NAME", "STATE", "SEEN", "REASON"],
        ["NAME", "STATE", "REASON"],
    ]


def test_a_long_reason_is_wrapped_below_itself() -> None:
    row = {"name": "gw-1", "state": "Held", "reason": "212 of 215 files are missing here"}
    columns = (COLUMNS[0], COLUMNS[1], COLUMNS[4])
    assert render(columns, [row], Style(width=36)) == (
        "NAME  STATE  REASON\ngw-1  Held   212 of 215 files are\n             missing here\n"
    )


def test_a_reason_that_has_no_room_beside_its_row_stands_below_it() -> None:
    row = {
        "name": "synapse:sequences/long.xml",
        "state": "Held",
        "reason": "212 of 215 are missing",
    }
    columns = (COLUMNS[0], COLUMNS[1], COLUMNS[4])
    assert render(columns, [row], Style(width=40)) == (
        "NAME                        STATE  REASON\n"
        "synapse:sequences/long.xml  Held\n"
        "    212 of 215 are missing\n"
    )


def test_a_colour_stands_with_its_word_and_moves_nothing() -> None:
    row = {"name": "gw-1", "state": "Synced", "reason": "fine"}
    columns = (COLUMNS[0], COLUMNS[1], COLUMNS[4])
    coloured = render(columns, [row], Style(colour=True))
    assert "\x1b[32mSynced\x1b[0m" in coloured
    plain = coloured.replace("\x1b[32m", "").replace("\x1b[0m", "")
    assert plain == render(columns, [row], Style())
