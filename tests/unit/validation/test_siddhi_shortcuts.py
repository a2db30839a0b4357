"""The short ways through a plan end where the long ones do: tokens in one step, known statements."""

import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import syncagent
from syncagent.validation.siddhi_meaning import meaning_problem
from syncagent.validation.siddhi_reader import Reading, read_plan
from syncagent.validation.siddhi_statements import nothing_wrong
from syncagent.validation.siddhi_tokens import spelled, tokens_of
from tests.contract.siddhi_judge import FEATURES, PLANS, statements
from tests.contract.siddhi_mutants import mutants, sources

PIECES = st.sampled_from(
    [
        *("'", '"', "`", "/*", "*/", "--", "\n", "\r", " ", "\f", "a", "define", "Define", "ä"),
        *("1", "007", ".", "1.5", "e5", "f", "L", "{", "}", "-", ">", "=", "!", "<", "@", "#", ";"),
        *("`x`", "'q'", "$", "//", "\N{MUSICAL SYMBOL G CLEF}", "\ufeff"),
    ]
)


def plain(text: str) -> bool:
    """Tell whether the long way finds nothing wrong with a plan's text."""
    tokens = tokens_of(text)
    reading = read_plan(tokens.kinds)
    return isinstance(reading, Reading) and meaning_problem(tokens, reading) is None


@settings(deadline=None)
@given(st.lists(PIECES, max_size=25).map("".join))
def test_a_text_split_at_once_has_the_tokens_that_it_has_one_by_one(text: str) -> None:
    tokens = tokens_of(text)
    kinds, starts, ends, open_comment = spelled(text)
    words = [text[start:end] for start, end in zip(starts, ends, strict=True)]
    assert (tokens.kinds, tokens.words, tokens.open_comment) == (kinds, words, open_comment)


def test_the_tokens_of_real_plans_and_of_mutants_are_the_same_both_ways() -> None:
    texts = [text for _, text in sources()] + [mutant.text for mutant in mutants(220, seed=9)]
    for text in texts:
        kinds, starts, ends, _ = spelled(text)
        words = [text[start:end] for start, end in zip(starts, ends, strict=True)]
        assert (tokens_of(text).kinds, tokens_of(text).words) == (kinds, words)


def test_what_passes_on_the_short_way_passes_on_the_long_one() -> None:
    texts = [mutant.text for mutant in mutants(660, seed=5)]
    texts += [plan for plan, _ in statements()]
    short = [text for text in texts if nothing_wrong(tokens_of(text))]
    assert [text for text in short if not plain(text)] == []
    assert len(short) > len(texts) // 10, "too few took it to show anything"


def test_nearly_all_plans_of_the_corpus_take_the_short_way() -> None:
    plans = [path.read_text(encoding="utf-8-sig") for path in PLANS]
    short = [plan for plan in plans if nothing_wrong(tokens_of(plan))]
    assert len(short) > len(plans) * 0.9


def test_partitions_and_function_bodies_take_the_long_way() -> None:
    assert not nothing_wrong(tokens_of(FEATURES.read_text()))


def test_a_statement_that_was_read_before_is_judged_by_its_own_words() -> None:
    define = "define stream A (x int, y int); "
    assert nothing_wrong(tokens_of(define))
    assert not nothing_wrong(tokens_of("define stream A (x int, x int); "))
    assert not nothing_wrong(tokens_of(define + define))
    assert nothing_wrong(tokens_of(define + "define stream B (x int, y int); "))
    query = "@info(name = 'q') from A[x > 1] select x, y insert into B; "
    assert nothing_wrong(tokens_of(define + query))
    assert not nothing_wrong(tokens_of(query + define))
    assert not nothing_wrong(tokens_of(query + query))
    assert nothing_wrong(tokens_of(query + query.replace("'q'", "'r'")))
    assert not nothing_wrong(tokens_of(query.replace("x, y", "y, y")))
    assert not nothing_wrong(tokens_of(query.replace("1", "99999999999")))
    assert not nothing_wrong(tokens_of(define + "; " + query))


def test_annotations_may_be_named_as_statements_begin() -> None:
    define = "@x(define = 'stream') @define(from = 'b') define table {} (x int)"
    assert nothing_wrong(tokens_of(f"{define.format('A')}; {define.format('B')}"))
    assert not nothing_wrong(tokens_of(f"{define.format('A')}; {define.format('A')}"))
    assert not nothing_wrong(tokens_of(f"{define.format('A')}; @Plan:a('b') {define.format('B')}"))


def test_no_group_is_possessive() -> None:
    """Python before 3.11.5 goes on in the middle of a turn that failed; atomic groups are sound."""
    sources = Path(syncagent.__file__).parent.rglob("*.py")
    found = [
        path.name for path in sources if re.search(r"\)(?:[*+?]|\{[0-9,]+\})\+", path.read_text())
    ]
    assert not found
