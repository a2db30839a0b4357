"""Beside an Apache Synapse what only WSO2's Synapse knows is refused, with line and word.

That the real one refuses it too, and takes what is taken here, is `tests/e2e/test_synapse_agreement.py`.
"""

from pathlib import Path

import pytest

from syncagent.core.artifact import FOLDERS, Kind
from syncagent.core.dialect import Dialect
from syncagent.core.verdict import Examined, Problem, Severity
from syncagent.validation.names import APACHE_MEDIATORS, WSO2_MEDIATORS, local_names
from syncagent.validation.validator import ArtifactValidator

NS = "http://ws.apache.org/ns/synapse"
CORPUS = Path(__file__).resolve().parents[2] / "data" / "corpus"
RELEASES = sorted((CORPUS / "apim-releases").iterdir())
FOLDER_OF = {kind: folder for folder, kind in FOLDERS.items()}
WORDS = "Apache Synapse does not know "


def examine(dialect: Dialect, kind: Kind, text: str) -> Examined:
    validator = ArtifactValidator(dialect=dialect)
    return validator.examine(kind, f"{FOLDER_OF[kind]}/A.xml", text.encode())


def errors(verdict: Examined) -> list[Problem]:
    return [problem for problem in verdict.problems if problem.severity is Severity.ERROR]


def sequence(mediators: str) -> str:
    return f'<sequence xmlns="{NS}" name="A">\n{mediators}\n</sequence>'


def api(attributes: str = "", resource: str = "") -> str:
    return (
        f'<api xmlns="{NS}" name="A" context="/a" {attributes}>\n<resource {resource}>'
        "<inSequence/></resource></api>"
    )


def endpoint(body: str, attributes: str = "") -> str:
    return f'<endpoint xmlns="{NS}" name="A" {attributes}>\n{body}</endpoint>'


PAYLOAD = "<payloadFactory {}><format>{}</format><args>{}</args></payloadFactory>"
FAULT = "<makefault {}><code xmlns:f='{}' value='f:{}'/><reason value='r'/>{}</makefault>"
ENRICH = "<enrich><source {}/><target {}/></enrich>"
ITERATE = "<iterate {}><target/></iterate>"
AGGREGATE = (
    "<aggregate><completeCondition {}><messageCount {}/></completeCondition>"
    "<onComplete {}><drop/></onComplete></aggregate>"
)
FORWARDED = "<send><endpoint>{}</endpoint></send>"
SOAP_11 = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
CALL = "<call-template target='t'><with-param name='p' {}/></call-template>"

DIALECT = [
    ("<property name='p' value='v' scope='operation'/>", "'operation'"),
    ("<property name='p' value='v' type='JSON'/>", "'JSON'"),
    ("<property name='p' expression='json-eval($.a)'/>", "json-eval"),
    ("<property name='p' expression='${payload.a}'/>", "${payload.a}"),
    ("<property name='p' expression='if (a) then b else c'/>", "if (a)"),
    ("<log><property name='p' expression='$.a'/></log>", "$.a"),
    ("<log><property name='p' value=''/></log>", "neither value nor expression"),
    ("<log><property name='p' value='v' scope='registry'/></log>", "'registry'"),
    ("<header name='To' value='v' scope='default'/>", "'default'"),
    ("<header name='To' expression='json-eval($.a)'/>", "json-eval"),
    (PAYLOAD.format("media-type='json'", '{"a": $1}', ""), "<format>"),
    (PAYLOAD.format("media-type='text'", "a", ""), "<format>"),
    (PAYLOAD.format("", "<a/>", "<arg expression='$.a' evaluator='json'/>"), "$.a"),
    (FAULT.format("", SOAP_11, "Server", ""), "'f:Server'"),
    (FAULT.format("version='soap12'", SOAP_12, "Server", ""), "'f:Server'"),
    (FAULT.format("version='soap11'", SOAP_11, "Server", "<node>n</node>"), "<node>"),
    (ENRICH.format("type='body'", "type='key' xpath='a'"), "'key'"),
    (ENRICH.format("xpath='json-eval($.a)'", "type='body'"), "json-eval"),
    (ENRICH.format("type='body'", "xpath='$.a'"), "$.a"),
    ("<callout><source type='envelope'/></callout>", "<source>"),
    (AGGREGATE.format("", "min='{$ctx:n}'", "expression='a'"), "{$ctx:n}"),
    (AGGREGATE.format("timeout='{$ctx:n}'", "", "expression='a'"), "{$ctx:n}"),
    (AGGREGATE.format("", "", "expression='json-eval($.a)'"), "json-eval"),
    ("<filter xpath='json-eval($.a)'><then/></filter>", "json-eval"),
    ("<filter source='json-eval($.a)' regex='a'><then/></filter>", "json-eval"),
    ("<filter xpath='a'><else/></filter>", "<else>"),
    ("<switch source='json-eval($.a)'/>", "json-eval"),
    (ITERATE.format("expression='$.a'"), "$.a"),
    (CALL.format("value=''"), "empty value"),
    (CALL.format("value='{json-eval($.a)}'"), "json-eval"),
    ("<send receive='{json-eval($.a)}'/>", "json-eval"),
    ("<sequence key='{json-eval($.a)}'/>", "json-eval"),
    (FORWARDED.format("<http uri-template='http://h'/>"), "<http>"),
    ("<send><endpoint template='t'/></send>", "template"),
    ("<send><endpoint key-expression='json-eval($.a)'/></send>", "json-eval"),
    (
        FORWARDED.format("<default/><property name='p' value='v' scope='registry'/>"),
        "'registry'",
    ),
    (
        FORWARDED.format("<default><timeout><duration>{a}</duration></timeout></default>"),
        "<duration>",
    ),
    ("<endpoint key='e'/>", "a mediator <endpoint>"),
    ("<with-param name='p' value='v'/>", "a mediator <with-param>"),
    ("<file.read><path>p</path></file.read>", "<file.read>"),
]


@pytest.mark.parametrize(("mediator", "word"), DIALECT)
def test_what_only_wso2_knows_is_refused_beside_apache_alone(mediator: str, word: str) -> None:
    assert errors(examine(Dialect.WSO2, Kind.SEQUENCE, sequence(mediator))) == []
    (found, *_) = errors(examine(Dialect.APACHE, Kind.SEQUENCE, sequence(mediator)))
    assert (found.code, found.line) == ("dialect", 2)
    assert found.reason.startswith(WORDS)
    assert word in found.reason


@pytest.mark.parametrize("name", local_names(WSO2_MEDIATORS))
def test_a_mediator_of_wso2_s_is_refused_by_its_name(name: str) -> None:
    (found,) = errors(examine(Dialect.APACHE, Kind.SEQUENCE, sequence(f"<{name}/>")))
    assert found.reason == f"{WORDS}<{name}>, a mediator of WSO2's"
    assert errors(examine(Dialect.WSO2, Kind.SEQUENCE, sequence(f"<{name}/>"))) == []


@pytest.mark.parametrize("dialect", list(Dialect))
def test_a_mediator_that_nobody_knows_passes_with_a_warning(dialect: Dialect) -> None:
    verdict = examine(dialect, Kind.SEQUENCE, sequence("<bogus/>"))
    assert verdict.valid
    assert [problem.code for problem in verdict.problems] == ["unknown-mediator"]


@pytest.mark.parametrize("name", local_names(APACHE_MEDIATORS))
def test_no_mediator_of_apache_s_is_taken_for_wso2_s(name: str) -> None:
    reasons = [
        e.reason for e in errors(examine(Dialect.APACHE, Kind.SEQUENCE, sequence(f"<{name}/>")))
    ]
    assert [reason for reason in reasons if f"know <{name}>" in reason] == []


@pytest.mark.parametrize(
    "mediator",
    [
        "<log.x/>",
        "<property name='p' value='v' scope='axis2'/>",
        "<property name='p' expression='$ctx:a' type='JSON'/>",
        "<property name='p' value='v' expression='json-eval($.a)'/>",
        "<property name='p'><call/></property>",
        "<header name='To' scope='transport' value='v'/>",
        PAYLOAD.format("", "<call/>", "<arg expression='//a'/>"),
        FAULT.format("version='soap12'", SOAP_12, "Sender", "<node>n</node>"),
        FAULT.format("version='soap11'", SOAP_11, "Server", ""),
        AGGREGATE.format("timeout='10'", "min='1' max='-1'", "expression='a'"),
        CALL.format("value='{{$.a}}'"),
        CALL.format("value='{$ctx:a}'"),
        "<callout><source key='k'/><target xpath='a'/></callout>",
        ENRICH.format("type='body'", "type='property' property='p'"),
        FORWARDED.format("<address uri='http://h'/><http/>"),
        FORWARDED.format("<default><timeout><duration>5</duration></timeout></default>"),
        "<send><endpoint template='t' name='n' uri='http://h'/></send>",
        "<filter xpath='a'><then/><else/></filter>",
    ],
)
def test_what_apache_knows_too_passes(mediator: str) -> None:
    assert errors(examine(Dialect.APACHE, Kind.SEQUENCE, sequence(mediator))) == []


@pytest.mark.parametrize(
    ("kind", "text", "word", "line"),
    [
        (Kind.API, api("version='1' version-type='context'"), "'context'", 1),
        (Kind.API, api(resource="methods='GET PATCH'"), "PATCH", 2),
        (Kind.ENDPOINT, endpoint("<http uri-template='http://h'/>"), "<http>", 1),
        (Kind.ENDPOINT, endpoint("", "template='t'"), "no uri", 1),
        (Kind.INBOUND_ENDPOINT, '<inboundEndpoint name="A"/>', "<inboundEndpoint>", 1),
    ],
)
def test_whole_artifacts_of_wso2_s_are_refused_beside_apache_alone(
    kind: Kind, text: str, word: str, line: int
) -> None:
    assert errors(examine(Dialect.WSO2, kind, text)) == []
    (found,) = errors(examine(Dialect.APACHE, kind, text))
    assert (found.code, found.line) == ("dialect", line)
    assert found.reason.startswith(WORDS)
    assert word in found.reason


def test_an_endpoint_template_is_text_until_it_is_used() -> None:
    text = (
        f'<template xmlns="{NS}" name="A"><endpoint name="$name"><failover><endpoint>'
        "<http uri-template='$uri'><timeout><duration>$d</duration></timeout></http>"
        "</endpoint></failover></endpoint></template>"
    )
    assert errors(examine(Dialect.APACHE, Kind.TEMPLATE, text)) == []


def test_a_sequence_template_is_built_at_once() -> None:
    text = f'<template xmlns="{NS}" name="A"><sequence><call/></sequence></template>'
    (found,) = errors(examine(Dialect.APACHE, Kind.TEMPLATE, text))
    assert "<call>" in found.reason


def test_what_is_wrong_for_all_is_said_first() -> None:
    text = sequence("<call/>\n<property value='v' scope='operation'/>")
    found = errors(examine(Dialect.APACHE, Kind.SEQUENCE, text))
    assert [problem.code for problem in found] == ["dialect", "no-attribute"]


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_a_released_tree_has_no_error_and_no_word_of_dialects_beside_wso2(release: Path) -> None:
    tree = release / "synapse-configs" / "default"
    problems = [
        problem
        for file in sorted(tree.glob("*/*.xml"))
        for problem in ArtifactValidator()
        .examine(FOLDERS[file.parent.name], f"{file.parent.name}/{file.name}", file.read_bytes())
        .problems
    ]
    assert [p for p in problems if p.severity is Severity.ERROR or WORDS in p.reason] == []
