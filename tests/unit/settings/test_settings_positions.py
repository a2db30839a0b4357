"""The scanner finds what tomllib finds, and on the right line."""

import json
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.settings.positions import Way, lines_of


def ways(value: object, way: Way = ()) -> set[Way]:
    """Every way into a parsed document."""
    found = {way} if way else set()
    if isinstance(value, dict):
        for key, item in value.items():
            found |= ways(item, (*way, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found |= ways(item, (*way, index))
    return found


HARD = '''\
# a comment with [brackets] and "quotes"
top.dotted . key = 1
"quoted key" = 'lit # eral'

[x]
multi = """
 not = "a key"
 escaped \\""" still ""\\"
"""
literal = \'\'\'
[not a table]
''two quotes before the end\'\'\'\'\'
when = 1979-05-27 07:32:00 # a value with a blank
list = [ # comment ]
  1, [2, "]"],
  {a.b = "}", c = [3]},
]
empty = []
none = {}
[[p]]
name = "a"
[p.sub]
k = 1
[[p]]
[[p.inner]]
u = 2
[[p.inner]]
u = 3
[ x . "y.z" ]
ünicode = 1
'''


def test_every_way_into_a_hard_document_has_its_line() -> None:
    lines = lines_of(HARD.replace("ünicode", '"ünicode"'))
    document = tomllib.loads(HARD.replace("ünicode", '"ünicode"'))
    assert set(lines) == ways(document)
    text = HARD.splitlines()
    assert text[lines["x", "literal"] - 1].startswith("literal")
    assert text[lines["x", "when"] - 1].startswith("when")
    assert text[lines["x", "list", 2, "a", "b"] - 1].strip().startswith("{a.b")
    assert text[lines["p", 1, "inner", 1, "u"] - 1] == "u = 3"
    assert text[lines["p", 1] - 1] == "[[p]]"
    assert lines["x", "y.z", "ünicode"] == len(text)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_line_ends_as_the_system_that_wrote_it_ends_lines(ending: str) -> None:
    text = ending.join(["[a]", "b = 1", 's = """', "x", '"""', "c = 2", ""])
    tomllib.loads(text)
    assert lines_of(text)["a", "c"] == 6


texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12)
keys = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=5) | texts
scalars = st.integers(-9, 9) | st.booleans() | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def written(value: object) -> str:
    """One value in TOML, on one line or over several where that is allowed."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(key)} = {written(v)}" for key, v in value.items()) + "}"
    if isinstance(value, list):
        return "[\n" + "".join(f"  {written(item)}, # ]\n" for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and "'" not in value:
        return f"'''\n{value}'''"
    return quoted(value) if isinstance(value, str) else str(value)


@settings(deadline=None, max_examples=150)
@given(st.dictionaries(keys, st.dictionaries(keys, values, max_size=4), max_size=4))
def test_the_scanner_finds_exactly_the_keys_that_tomllib_finds(
    document: dict[str, dict[str, object]],
) -> None:
    text = ""
    expected: dict[Way, int] = {}
    for name, table in document.items():
        expected[name,] = text.count("\n") + 1
        text += f"[{quoted(name)}]\n"
        for key, value in table.items():
            expected[name, key] = text.count("\n") + 1
            text += f"{quoted(key)} = {written(value)}\n"
    parsed = tomllib.loads(text)
    assert parsed == document
    found = lines_of(text)
    assert set(found) == ways(parsed)
    assert {way: found[way] for way in expected} == expected
