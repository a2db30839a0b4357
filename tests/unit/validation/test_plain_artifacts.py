"""What is plain in an artifact's bytes is no problem in its tree, and names the same artifacts."""

import itertools
import re
from pathlib import Path

import pytest

from syncagent.core.artifact import Kind
from syncagent.core.dialect import Dialect
from syncagent.core.verdict import Problem, Reference
from syncagent.validation.document import parse
from syncagent.validation.expressions import regex_fault, xpath_fault
from syncagent.validation.inside import look_inside
from syncagent.validation.plain import EXPRESSION, PATTERN, note_plain
from syncagent.validation.validator import SAMPLES, ArtifactValidator
from tests.e2e.synapse_mutants import Artifact, mutants_of

CORPUS = Path(__file__).resolve().parents[2] / "data/corpus"
NAMESPACE = "http://ws.apache.org/ns/synapse"


def artifacts() -> list[Artifact]:
    """Return the artifacts of the corpus that hold mediators or endpoints, each once."""
    found = {}
    for path in sorted(CORPUS.rglob("*.xml")):
        if path.parent.name in {"api", "endpoints", "proxy-services", "sequences", "templates"}:
            content = path.read_bytes()
            found[content] = Artifact(f"{path.parent.name}/{path.name}", content)
    return [
        artifact for artifact in found.values() if not isinstance(parse(artifact.content), Problem)
    ]


def plain(content: bytes) -> tuple[Reference, ...] | None:
    """Return the names used if all is plain below the root; None if something is not."""
    root = parse(content)
    assert not isinstance(root, Problem)
    names: dict[Reference, None] = {}
    return tuple(names) if note_plain(content, root, names) else None


def walked(content: bytes) -> tuple[tuple[Reference, ...], list[Problem]]:
    """Return what the walk through the tree finds, of which the root names nothing."""
    root = parse(content)
    assert not isinstance(root, Problem)
    for attribute in ("key", "onError", "template"):
        root.attrib.pop(attribute, None)
    return look_inside(root, b"", Dialect.WSO2, mediators=True)


def inside(body: str) -> bytes:
    """Return a sequence that holds this."""
    return f'<sequence xmlns="{NAMESPACE}" name="s">{body}</sequence>'.encode()


def test_nothing_that_is_plain_in_a_real_artifact_is_a_problem() -> None:
    contents = [artifact.content for artifact in artifacts()]
    found = {content: plain(content) for content in contents}
    assert [c for c, names in found.items() if names is not None and walked(c) != (names, [])] == []
    assert sum(names is not None for names in found.values()) > len(contents) // 2


def test_nothing_that_is_plain_in_a_mutant_is_a_problem() -> None:
    wrong, count = [], 0
    for mutant in itertools.islice(mutants_of(artifacts()[::3]), 3_000):
        names = plain(mutant.content)
        count += names is not None
        if names is not None and walked(mutant.content) != (names, []):
            wrong.append(mutant)
    assert wrong == []
    assert count > 100, "too few were plain to show anything"


def test_an_expression_that_is_plain_is_refused_by_no_compiler() -> None:
    pieces = ["$", "$ctx:a", "/", "//", "a", "ns:b", "@", "*", ".", "..", "text()", "f(", "'x'"]
    pieces += [",", ")", "json-eval(", "$.", "${", "}", "1", "1.5", " ", "-", "div", "node", "[1]"]
    written = re.compile(f'{EXPRESSION}"')
    texts = ["".join(some) for size in (1, 2, 3) for some in itertools.product(pieces, repeat=size)]
    fine = [text for text in texts if written.fullmatch(f'{text}"')]
    assert [text for text in fine if xpath_fault(text) is not None] == []
    assert {"$ctx:a", "//a", "f('x')", "$.a", "f(..)"} <= set(fine)


def test_a_pattern_that_is_plain_holds_nothing_that_could_be_left_open() -> None:
    every = "".join(map(chr, range(0x250)))
    assert regex_fault("".join(re.findall(PATTERN, every))) is None


@pytest.mark.parametrize(
    "body",
    [
        '<log level="full"/><send/><respond></respond><drop/>',
        '<property value="1" scope="axis2" name="a"/><property name="b" expression="$ctx:c"/>',
        '<filter regex=".*" source="get-property(\'a\')"><then><call/></then><else/></filter>',
        '<!-- a > b - c --><send><endpoint name="x"><default/></endpoint></send>',
        (
            '<payloadFactory media-type="json"><format>{"a": $1}</format>'
            '<args><arg value="1"/></args></payloadFactory>'
        ),
        '<ns:a xmlns:ns="urn:x" b="c"><ns:d/></ns:a>',
        '<property name="a" scope="axis2" action="remove"/>',
        '<log><!-- x --><property name="a" value="b"/></log>',
        '<payloadFactory><format><ns:a xmlns:ns="urn:x"/></format></payloadFactory>',
        '<makefault version="soap11"><code value="a"/><reason value="b"/><role/></makefault>',
        '<enrich><source clone="true" type="body"/><target property="a" type="property"/></enrich>',
    ],
)
def test_common_ways_to_write_a_mediator_are_plain(body: str) -> None:
    assert plain(inside(body)) == ()
    assert walked(inside(body)) == ((), [])


@pytest.mark.parametrize(
    "body",
    [
        '<log><property name="a" action="remove"/></log>',
        '<property name="a"/>',
        "<bogus/>",
        '<a:b xmlns:a="http://ws.apache.org/ns/synapse"/>',
        '<a:b xmlns:a="http://ws.apache&#46;org/ns/synapse"/>',
        '<log xmlns=""/>',
        '<send xmlns = "urn:other"/>',
        "<![CDATA[<log/>]]>",
        "<?pi <log/>?>",
        '<filter xpath="f("/>',
        '<filter source="$ctx:a" regex="&#40;"/>',
        "<payloadFactory><format>a</format></payloadFactory>",
        '<makefault><code value="a"/></makefault>',
        '<log><property name=""  value="a"/></log>',
        "<timeout><duration>soon</duration></timeout>",
        "<initialDuration>1</initialDuration>",
        '<args><code value="1"/></args>',
        '<sequence key=""/>',
    ],
)
def test_what_is_wrong_rare_or_not_what_it_looks_like_is_not_plain(body: str) -> None:
    assert plain(inside(body)) is None


def test_what_is_in_a_comment_is_neither_wrong_nor_a_name() -> None:
    assert plain(inside('<!-- <bogus/> <sequence key="a"/> --><sequence key="b"/>')) == (
        Reference(Kind.SEQUENCE, "b"),
    )


def test_names_are_collected_in_their_order_and_once() -> None:
    body = (
        '<sequence key="b"/><send receive="c"><endpoint key="e"/></send><sequence key="b"/>'
        '<store messageStore="m"/><sequence key="{$ctx:x}"/>'
    )
    names = (
        Reference(Kind.SEQUENCE, "b"),
        Reference(Kind.SEQUENCE, "c"),
        Reference(Kind.ENDPOINT, "e"),
        Reference(Kind.MESSAGE_STORE, "m"),
    )
    assert plain(inside(body)) == names
    assert walked(inside(body)) == (names, [])


def test_documents_in_two_bytes_per_character_or_another_namespace_are_not_taken_for_plain() -> (
    None
):
    text = inside("<log/>").decode()
    assert plain(text.encode("utf-16")) is None
    assert plain(b'<?xml version="1.0" encoding="ISO-8859-1"?>' + text.encode()) == ()
    assert plain(text.replace(NAMESPACE, "urn:x").encode()) is None
    assert plain(text.replace(f' xmlns="{NAMESPACE}"', "").encode()) is None


def test_what_a_validator_warms_itself_with_is_judged_as_most_artifacts_are() -> None:
    # Else the first real artifact would still wait for the patterns to be made.
    for kind, path, content in SAMPLES:
        assert ArtifactValidator().examine(kind, path, content).valid
    xml = [content for kind, _, content in SAMPLES if kind is not Kind.PLAN]
    assert [plain(content) is not None for content in xml] == [True]
    ArtifactValidator().warm()
    ArtifactValidator(size_max_bytes=1).warm()
