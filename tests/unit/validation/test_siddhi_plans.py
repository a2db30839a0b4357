"""Plans: one name, balanced text, whole statements."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syncagent.core.artifact import Kind
from syncagent.core.verdict import Examined
from syncagent.validation.validator import ArtifactValidator
from tests.contract.siddhi_judge import statements

PLAN = """/* it's a plan */
@Plan:name('P')
-- it's a comment
@Plan:description("say 'hello' )")
define stream Src (a string, b int);

@info(name = 'q1')
from Src[b > 1 and a == "x;y"]#window.time(1 min)
select a, b
insert into Out;
"""


def examine(text: str | bytes, path: str = "P.siddhiql") -> Examined:
    content = text if isinstance(text, bytes) else text.encode()
    return ArtifactValidator().examine(Kind.PLAN, path, content)


def refusal(text: str | bytes) -> tuple[str, int]:
    verdict = examine(text)
    assert not verdict.valid, text
    return verdict.problems[0].code, verdict.problems[0].line


def test_a_plan_is_known_by_its_name() -> None:
    verdict = examine(PLAN)
    assert verdict.problems == ()
    assert verdict.facts.name == "P"


@pytest.mark.parametrize(
    "annotation",
    [
        "@Plan:name('P')",
        '@Plan:name("P")',
        "@plan:Name ( 'P' )",
        "@Plan : name('P')",
    ],
)
def test_the_name_may_be_written_in_all_these_ways(annotation: str) -> None:
    assert examine(PLAN.replace("@Plan:name('P')", annotation)).facts.name == "P"


def test_a_plan_without_a_name_is_refused() -> None:
    assert refusal(PLAN.replace("@Plan:name('P')", "")) == ("no-name", 1)


@pytest.mark.parametrize(
    "text", ["-- @Plan:name('P')", "/* @Plan:name('P') */", "@Plan:names('P')"]
)
def test_a_name_in_a_comment_is_none(text: str) -> None:
    assert refusal(PLAN.replace("@Plan:name('P')", text))[0] == "no-name"


def test_a_name_inside_text_is_none() -> None:
    text = PLAN.replace("@Plan:name('P')", "").replace('"x;y"', "\"@Plan:name('P')\"")
    assert refusal(text)[0] == "no-name"


def test_two_plans_in_one_file_are_refused_at_the_second() -> None:
    assert refusal(PLAN + "\n" + PLAN) == ("several-names", 13)


@pytest.mark.parametrize("empty", ["''", '"  "'])
def test_an_empty_name_is_refused(empty: str) -> None:
    assert refusal(PLAN.replace("'P'", empty)) == ("no-name", 2)


def test_a_file_name_that_is_not_the_plans_is_a_warning() -> None:
    verdict = examine(PLAN, "folder/Q.siddhiql")
    assert verdict.valid
    assert [problem.code for problem in verdict.problems] == ["file-name"]
    assert "P.siddhiql" in verdict.problems[0].reason


@pytest.mark.parametrize("content", [b"", b"  \n"])
def test_an_empty_plan_is_refused(content: bytes) -> None:
    assert refusal(content) == ("empty", 0)


def test_a_plan_that_says_nothing_is_a_warning_because_the_runtime_takes_it() -> None:
    verdict = examine("@Plan:name('P')\n-- nothing")
    assert verdict.valid
    assert [problem.code for problem in verdict.problems] == ["no-statement"]


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        pytest.param("b int);", "b int;", "unbalanced", 5, id="round bracket open"),
        pytest.param("Src (a", "Src a", "statement", 5, id="round bracket too many"),
        pytest.param('"x;y"]', '"x;y"', "statement", 8, id="square bracket open"),
        pytest.param("(1 min)", "(1 min]", "unbalanced", 8, id="wrong bracket"),
        pytest.param("'q1'", "'q1", "unbalanced", 7, id="single quote open"),
        pytest.param('"x;y"', '"x;y', "unbalanced", 8, id="double quote open"),
        pytest.param('"x;y"', '"""x;y', "unbalanced", 8, id="triple quote open"),
        pytest.param("/* it's a plan */", "/* it's a plan", "no-name", 1, id="comment open"),
        pytest.param("define stream", "stream", "statement", 5, id="no such statement"),
        pytest.param("@info", "<xml/> @info", "statement", 7, id="not the language"),
        pytest.param("@info", "@lan:info", "statement", 7, id="no such annotation"),
        pytest.param("(1 min)", "(1 min;", "unbalanced", 8, id="semicolon in brackets"),
        pytest.param("insert into Out", "delete Out", "unfinished", 10, id="delete without on"),
        pytest.param("b int);", "b int);;", "statement", 5, id="two semicolons"),
        pytest.param("int);", "int,);", "statement", 5, id="comma too many"),
        pytest.param("string,", "text,", "statement", 5, id="no such type"),
        pytest.param(" (a string, b int)", "", "unfinished", 5, id="stream without attributes"),
        pytest.param("b int)", "b int) { }", "statement", 5, id="body of no function"),
        pytest.param("'q1'", "'a\"b'", "unbalanced", 7, id="double quote in single quotes"),
        pytest.param("'q1'", "'a\tb'", "unbalanced", 7, id="tab in text"),
        pytest.param("into Out;", "into", "unfinished", 10, id="no target"),
        pytest.param("into Out", "in", "statement", 10, id="no into"),
        pytest.param(
            "into Out;", "into Out; @info(name='x')", "unfinished", 10, id="lone annotation"
        ),
        pytest.param(
            "from", "@Plan:trace('x') from", "statement", 8, id="plan annotation too late"
        ),
    ],
)
def test_a_broken_plan_is_refused_with_its_line(old: str, new: str, code: str, line: int) -> None:
    assert refusal(PLAN.replace(old, new, 1)) == (code, line)


def test_a_plan_cut_off_in_a_statement_is_refused() -> None:
    at = PLAN.index("insert into")
    assert refusal(PLAN[:at])[0] == "unfinished"


@pytest.mark.parametrize(
    "end", ["insert into Out", "insert into Out -- done\n", "insert into Out ;  "]
)
def test_the_last_statement_needs_no_semicolon(end: str) -> None:
    assert examine(PLAN.replace("insert into Out;\n", end)).valid


def test_a_partition_holds_statements() -> None:
    text = """@Plan:name('P')
define stream S (a string);
partition with (a of S)
begin
  @info(name = 'x') from S select a insert into #T;
  from #T select a insert into U;
end;
from U select a insert into V;
"""
    assert examine(text).valid
    assert refusal(text.replace("end;", ""))[0] == "unfinished"
    assert examine(text.replace("into U;\nend;", "into U end;")).valid


def test_a_functions_body_may_hold_anything_balanced() -> None:
    text = """@Plan:name('P')
define function f[javascript] return string { var a = "}"; if (a) { return "x;"; } };
define stream S (a string);
"""
    assert examine(text).valid


@pytest.mark.parametrize(
    "body", ["{ while (i--) { x; } }", "{ // it's\n return 1; }", '{ return "}"; }', "{ }"]
)
def test_a_functions_body_is_another_language(body: str) -> None:
    text = PLAN.replace("define stream", f"define function f[js] return int {body};\ndefine stream")
    assert examine(text).valid
    assert refusal(text.replace(body, body[:-1] + "\n"))[0] == "unbalanced"


def test_an_annotation_may_have_no_brackets() -> None:
    assert examine(PLAN.replace("@info(name = 'q1')", "@async")).valid
    assert refusal(PLAN + "@info(name = 'x'")[0] == "unbalanced"


def test_bytes_that_are_no_utf_8_are_refused_with_their_line() -> None:
    assert refusal(PLAN.encode().replace(b"'q1'", b"'\xff'")) == ("encoding", 7)


def test_a_binary_file_is_refused() -> None:
    assert refusal(PLAN.encode().replace(b"'q1'", b"'\x00'")) == ("binary", 7)


def test_a_byte_order_mark_passes() -> None:
    assert examine(b"\xef\xbb\xbf" + PLAN.encode()).valid


@settings(deadline=None, max_examples=150)
@given(st.text(alphabet="@Plan:name('P')\"[]{};-/*\n definefromx", max_size=200))
def test_no_text_makes_the_reader_raise(text: str) -> None:
    verdict = examine(text)
    assert verdict.valid == (not any(p.severity == "error" for p in verdict.problems))


def test_very_many_names_are_refused_without_counting_lines_for_each() -> None:
    text = "@Plan:name('P')\n" * 20_000 + PLAN
    assert refusal(text) == ("several-names", 2)


@pytest.mark.parametrize(("plan", "taken"), statements(), ids=lambda value: str(value)[18:])
def test_a_statement_is_judged_as_by_the_compiler(plan: str, taken: bool) -> None:
    verdict = examine(plan, "plan.siddhiql")
    assert verdict.valid == taken, verdict.problems


@pytest.mark.parametrize(
    ("plan", "reason", "line"),
    [
        pytest.param(
            "from Src\nwhere b > 1", "'where' does not fit here", 2, id="more fits than can be told"
        ),
        pytest.param(
            "define stream S (a int\n", "'(' is never closed", 1, id="the bracket, not the end"
        ),
        pytest.param(
            "define stream S\n(a text)",
            "'text' does not fit here",
            2,
            id="a type that there is not",
        ),
        pytest.param(
            "define stream S (a int, a long)", "the attribute 'a' is there twice", 1, id="twice"
        ),
        pytest.param(
            "from S select a, b as c,\nT.a insert into U",
            "the output attribute 'a' is there twice",
            2,
            id="selected twice",
        ),
        pytest.param(
            "define stream\n'S' (a int)",
            "\"'S'\" does not fit here; expected: a name",
            2,
            id="name",
        ),
        pytest.param(
            "from S[a >\n3000000000] select a insert into T",
            "3000000000 is too large a number",
            2,
            id="number",
        ),
        pytest.param(
            "define function f[js] return int {\n", "{ begins a function's body", 1, id="body"
        ),
    ],
)
def test_a_refusal_says_what_is_wrong_and_where(plan: str, reason: str, line: int) -> None:
    problem = examine(f"@Plan:name('P') {plan}").problems[0]
    assert (problem.reason[: len(reason)], problem.line) == (reason, line)


@pytest.mark.parametrize(("depth", "valid"), [(49, True), (50, False)])
@pytest.mark.parametrize("opening", ["(", "f(", "not f("])
def test_brackets_nest_fifty_deep(opening: str, depth: int, valid: bool) -> None:
    deep = f"from S[\n{opening * depth}a{')' * depth}] select a insert into T"
    verdict = examine(f"@Plan:name('P') {deep}")
    assert verdict.valid == valid
    if not valid:
        assert (verdict.problems[0].code, verdict.problems[0].line) == ("nested", 2)


def test_a_plan_that_takes_too_long_to_read_is_refused() -> None:
    plan = "@Plan:name('P') from S select " + "a + " * 100_000 + "a as b insert into T"
    assert refusal(plan) == ("too-large", 0)


def test_queries_in_queries_without_end_are_refused() -> None:
    assert refusal("@Plan:name('P') " + "from " * 10_000)[0] == "nested"


def test_a_stray_character_is_a_warning_where_the_runtime_takes_it() -> None:
    verdict = examine("@Plan:name('P')\n~ define stream S (a int)")
    assert verdict.valid
    assert [(problem.code, problem.line) for problem in verdict.problems] == [("stray", 2)]
    assert refusal("@Plan:name('P')\ndefine stream ~S (a int)") == ("statement", 2)


def test_a_comment_that_does_not_end_is_a_warning_because_the_runtime_takes_it() -> None:
    verdict = examine(PLAN + "\n/* and from here on\nnothing;")
    assert verdict.valid
    assert [(problem.code, problem.line) for problem in verdict.problems] == [("open-comment", 12)]


SIGNS = ["from", "S", "select", "a", "as", "insert", "into", "define", "stream", "(", ")", "int"]
SIGNS += ["[", "]", "#", "window", ".", ",", ";", "->", "=", "1", "'x'", "and", "not", "every", "@"]


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(SIGNS), max_size=60))
def test_no_row_of_words_makes_the_reader_raise(words: list[str]) -> None:
    plan = "@Plan:name('P') " + " ".join(words)
    verdict = examine(plan)
    assert verdict.valid or verdict.problems[0].line == 1
    assert examine(plan + "\n-- a remark").valid == verdict.valid
