"""What mediators, endpoints and conditions must say; each refusal is one of a real Synapse too.

That they agree, file by file, is `tests/e2e/test_synapse_agreement.py`.
"""

import pytest

from syncagent.core.artifact import Kind
from syncagent.core.verdict import Examined
from syncagent.validation.expressions import regex_fault, xpath_fault
from syncagent.validation.validator import ArtifactValidator

NS = "http://ws.apache.org/ns/synapse"


def examine(kind: Kind, folder: str, text: str) -> Examined:
    return ArtifactValidator().examine(kind, f"{folder}/A.xml", text.encode())


def codes(verdict: Examined) -> list[str]:
    return [problem.code for problem in verdict.problems]


def in_sequence(mediators: str) -> Examined:
    text = f'<sequence xmlns="{NS}" name="A">\n{mediators}\n</sequence>'
    return examine(Kind.SEQUENCE, "sequences", text)


def endpoint(body: str) -> Examined:
    return examine(Kind.ENDPOINT, "endpoints", f'<endpoint xmlns="{NS}" name="A">{body}</endpoint>')


ROUTE = "<conditionalRouter><conditionalRoute>{}<target/></conditionalRoute></conditionalRouter>"
REWRITE = "<rewrite><rewriterule>{}</rewriterule></rewrite>"
FAULT = "<makefault {}><code value='a:b'/><reason value='r'/></makefault>"
PAYLOAD = "<payloadFactory><format><a xmlns=''/></format><args>{}</args></payloadFactory>"
ENRICH = "<enrich><source {}/><target type='body'/></enrich>"
DATABASE = (
    "<dbreport><connection><pool>{}<url>u</url><user>u</user><password/></pool></connection>"
    "<statement>{}</statement></dbreport>"
)
VALIDATE = "<validate><schema key='s'/><on-fail><drop/></on-fail></validate>"


@pytest.mark.parametrize(
    ("mediator", "code"),
    [
        ("<property value='v'/>", "no-attribute"),
        ("<property name='p'/>", "bad-mediator"),
        ("<property name='p' value='v' scope='nowhere'/>", "bad-value"),
        ("<property name='p' value='1' type='integer'/>", "bad-value"),
        ("<property name='p' value='x' type='INTEGER'/>", "bad-value"),
        ("<property name='p' value='x' pattern='('/>", "bad-expression"),
        ("<property name='p' value='x' group='1'/>", "bad-value"),
        ("<property name='p' value='x' pattern='x' group='-1'/>", "bad-value"),
        ("<property name='p' expression=''/>", "bad-expression"),
        ("<property name='p' expression='//a['/>", "bad-expression"),
        ("<log category='LOUD'/>", "bad-value"),
        ("<log><property value='v'/></log>", "no-attribute"),
        ("<log><property name='p'/></log>", "bad-mediator"),
        ("<log><property name='p' expression='f('/></log>", "bad-expression"),
        ("<header value='v'/>", "no-attribute"),
        ("<header name='To'/>", "bad-mediator"),
        ("<header name='To' value='v' scope='nowhere'/>", "bad-value"),
        ("<header name='n:To' value='v'/>", "bad-value"),
        ("<header name='To' expression='a b'/>", "bad-expression"),
        ("<filter><drop/></filter>", "no-attribute"),
        ("<filter source='//a'><drop/></filter>", "no-attribute"),
        ("<filter xpath=''><drop/></filter>", "bad-expression"),
        ("<filter source='//a' regex='a('><drop/></filter>", "bad-expression"),
        ("<switch/>", "no-attribute"),
        ("<switch source='//a'><case/></switch>", "no-attribute"),
        ("<switch source='//a'><case regex='[a'/></switch>", "bad-expression"),
        ("<iterate><target/></iterate>", "no-attribute"),
        ("<iterate expression='//a'/>", "no-target"),
        ("<iterate expression='//a' attachPath='/b'><target/></iterate>", "bad-mediator"),
        ("<aggregate><completeCondition timeout='soon'/></aggregate>", "no-number"),
        (
            "<aggregate><completeCondition><messageCount min='x'/></completeCondition></aggregate>",
            "no-number",
        ),
        ("<aggregate><onComplete expression=''/></aggregate>", "bad-expression"),
        ("<enrich><source xpath='a'/></enrich>", "bad-mediator"),
        (ENRICH.format(""), "no-attribute"),
        (ENRICH.format("xpath='a b'"), "bad-expression"),
        (ENRICH.format("type='property'"), "no-attribute"),
        (ENRICH.format("type='inline'"), "bad-mediator"),
        ("<enrich><source type='body'/><target type='x'/></enrich>", "bad-value"),
        ("<payloadFactory/>", "bad-mediator"),
        ("<payloadFactory><format/></payloadFactory>", "bad-mediator"),
        (PAYLOAD.format("<arg/>"), "bad-mediator"),
        (PAYLOAD.format("<arg expression=''/>"), "bad-expression"),
        (FAULT.format("version='soap13'"), "bad-value"),
        ("<makefault><reason value='r'/></makefault>", "bad-mediator"),
        ("<makefault><code value='a:b'/></makefault>", "bad-mediator"),
        ("<makefault><code/><reason value='r'/></makefault>", "no-attribute"),
        (VALIDATE.replace("key='s'", ""), "no-attribute"),
        (VALIDATE.replace("<schema key='s'/>", ""), "bad-mediator"),
        (VALIDATE.replace("<drop/>", ""), "bad-mediator"),
        ("<throttle/>", "no-attribute"),
        ("<throttle id='t'><policy key=''/></throttle>", "no-attribute"),
        ("<sequence/>", "no-attribute"),
        ("<sequence key=''/>", "no-attribute"),
        ("<call-template/>", "no-attribute"),
        ("<call-template target='t'><with-param name='p'/></call-template>", "no-attribute"),
        ("<xslt/>", "no-attribute"),
        ("<xslt key=''/>", "no-attribute"),
        ("<xslt key='k'><resource key='r'/></xslt>", "no-attribute"),
        ("<xquery/>", "no-attribute"),
        ("<xquery key='k' target='a b'/>", "bad-expression"),
        ("<xquery key='k'><variable name='v' type='x'/></xquery>", "bad-value"),
        ("<callout><source xpath='a b'/></callout>", "bad-expression"),
        ("<dblookup/>", "bad-mediator"),
        (DATABASE.format("", "<sql>s</sql>"), "bad-mediator"),
        (DATABASE.format("<driver/>", "<sql>s</sql>"), "bad-mediator"),
        (DATABASE.format("<driver>d</driver>", ""), "bad-mediator"),
        (DATABASE.format("<driver>d</driver>", "<sql>s</sql><parameter/>"), "bad-value"),
        (
            DATABASE.format(
                "<driver>d</driver>", "<sql>s</sql><parameter type='CHAR' expression=''/>"
            ),
            "bad-expression",
        ),
        ("<xslt key='k' source='a b'/>", "bad-expression"),
        ("<xquery key='k'><variable name='v' expression='f('/></xquery>", "bad-expression"),
        ("<script language='js' function='f'/>", "no-attribute"),
        (FAULT.format("response='maybe'"), "bad-value"),
        (FAULT.format("><detail expression=''/"), "bad-expression"),
        ("<class/>", "no-attribute"),
        ("<script/>", "no-attribute"),
        ("<store/>", "no-attribute"),
        ("<spring/>", "no-attribute"),
        ("<transaction/>", "no-attribute"),
        ("<send><endpoint/></send>", "no-body"),
        ("<conditionalRouter continueAfter='maybe'/>", "bad-value"),
        ("<conditionalRouter><conditionalRoute/></conditionalRouter>", "bad-mediator"),
        (ROUTE.format("<condition/>"), "bad-mediator"),
        (ROUTE.format("<condition><or/></condition>"), "bad-mediator"),
        (ROUTE.format("<condition><not/></condition>"), "bad-mediator"),
        (ROUTE.format("<condition><maybe/></condition>"), "bad-mediator"),
        (ROUTE.format("<condition><match source='h'/></condition>"), "no-attribute"),
        (ROUTE.format("<condition><match regex='r'/></condition>"), "no-attribute"),
        (ROUTE.format("<condition><match source='h' regex='('/></condition>"), "bad-expression"),
        (
            ROUTE.format("<condition><equal source='h' value='v' type='t'/></condition>"),
            "bad-value",
        ),
        (
            ROUTE.format("<condition><equal source='p' value='v' type='url'/></condition>"),
            "bad-value",
        ),
        (REWRITE.format("<action type='turn' value='v'/>"), "bad-value"),
        (REWRITE.format("<action fragment='tail' value='v'/>"), "bad-value"),
        (REWRITE.format("<action type='replace' value='v'/>"), "no-attribute"),
        (REWRITE.format("<action/>"), "no-attribute"),
        (REWRITE.format("<action xpath=''/>"), "bad-expression"),
        ("<log xmlns=''/>", "no-namespace"),
    ],
)
def test_a_mediator_that_the_runtime_cannot_build_is_refused_with_its_line(
    mediator: str, code: str
) -> None:
    verdict = in_sequence(mediator)
    assert codes(verdict) == [code]
    assert verdict.problems[0].line == 2


@pytest.mark.parametrize(
    "mediator",
    [
        "<property name='p' action='remove'/>",
        "<property name='p'><a xmlns=''/></property>",
        "<property name='p' value='' scope='operation'/>",
        "<property name='p' expression='json-eval($.a[?(@.b)])'/>",
        "<property name='p' expression='${payload.a}'/>",
        "<property name='p' expression='for $a in //b return $a'/>",
        "<property name='p' value='x' pattern='a++' group='0'/>",
        "<log level='full'/>",
        "<header><w:Security xmlns:w='urn:w'/></header>",
        "<header name='w:Security' xmlns:w='urn:w' action='remove'/>",
        "<header name='X-Any' value='v' scope='transport'/>",
        "<filter source='//a' regex='.*'><then><drop/></then></filter>",
        "<iterate expression='//a' preservePayload='true' attachPath='/b'><target/></iterate>",
        (
            "<aggregate><completeCondition timeout='5'><messageCount min='{1}' max='-1'/>"
            "</completeCondition><onComplete expression='//a'><drop/></onComplete></aggregate>"
        ),
        "<enrich><source type='inline'>text</source><target type='variable'/></enrich>",
        "<payloadFactory media-type='json'><format>{}</format></payloadFactory>",
        "<payloadFactory template-type='freemarker'><format>${a}</format></payloadFactory>",
        "<payloadFactory><format key='k'/></payloadFactory>",
        PAYLOAD.format("<arg evaluator='json' expression='$.a'/>"),
        FAULT.format(""),
        "<makefault version='pox'/>",
        VALIDATE,
        "<call-template target='t'><with-param name='p' value=''/></call-template>",
        "<callout serviceURL='u'><source type='envelope'/></callout>",
        "<dblookup><connection><pool><dsName>d</dsName></pool></connection></dblookup>",
        DATABASE.format("<driver>d</driver>", "<sql>s</sql>"),
        DATABASE.format("<driver key='k'/>", "<sql>s</sql>"),
        ROUTE.format(
            "<condition><and><match source='h' regex='r'/><not><equal type='url' value='v'/></not>"
            "</and></condition>"
        ),
        REWRITE.format("<condition/><action type='remove' fragment='path'/><action value='v'/>"),
        "<salesforce.query of='a connector'/>",
        "<ours xmlns='urn:ours'/>",
    ],
)
def test_a_mediator_that_some_runtime_builds_passes(mediator: str) -> None:
    assert codes(in_sequence(mediator)) == []


def test_a_mediator_that_nobody_knows_is_a_warning_after_all_errors() -> None:
    verdict = in_sequence("<lgo/>")
    assert verdict.valid
    assert codes(verdict) == ["unknown-mediator"]
    assert verdict.problems[0].line == 2
    assert codes(in_sequence("<lgo/><xslt/>")) == ["no-attribute", "unknown-mediator"]


def test_what_an_endpoint_by_default_holds_is_no_mediator() -> None:
    assert codes(endpoint("<default><enableAddressing/><anything/></default>")) == []


@pytest.mark.parametrize("wrong", ["<property/>", "<log category='x'/>", "<endpoint/>", "<xslt/>"])
def test_payload_that_looks_like_a_mediator_is_none(wrong: str) -> None:
    payload = f"<payloadFactory><format><sequence>{wrong}</sequence></format></payloadFactory>"
    assert codes(in_sequence(payload)) == []
    assert codes(in_sequence(f"<respond>{wrong}</respond>")) == [
        *["no-body" for _ in range(wrong == "<endpoint/>")]
    ]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("<failover/>", "no-members"),
        ("<recipientlist/>", "no-members"),
        ("<recipientlist><endpoints/></recipientlist>", "no-attribute"),
        ("<recipientlist><endpoints value='a' max-cache='x'/></recipientlist>", "no-attribute"),
        ("<default/><property name='p' value='v' scope='nowhere'/>", "bad-value"),
        ("<loadbalance><endpoint key='a'/><endpoint key='a'/></loadbalance>", "member-twice"),
        ("<failover><endpoint/></failover>", "no-body"),
        ("<default><timeout><duration>soon</duration></timeout></default>", "no-number"),
        ("<default><timeout><responseAction/></timeout></default>", "bad-action"),
        (
            "<default><suspendOnFailure><progressionFactor/></suspendOnFailure></default>",
            "no-number",
        ),
        (
            "<default><markForSuspension><errorCodes>1, x</errorCodes></markForSuspension></default>",
            "no-number",
        ),
    ],
)
def test_an_endpoint_that_the_runtime_cannot_build_is_refused(body: str, code: str) -> None:
    assert codes(endpoint(body)) == [code]


@pytest.mark.parametrize(
    "body",
    [
        "<failover><endpoint key='a'/><endpoint key='b'/></failover>",
        "<loadbalance><member hostName='h' httpPort='1'/></loadbalance>",
        "<recipientlist><endpoints value='{//a}' max-cache='9'/></recipientlist>",
        "<recipientlist><endpoint key='a'/></recipientlist>",
        "<default/><property name='p' value='v' scope='axis2'/>",
        (
            "<default><timeout><duration> {$ctx:a} </duration>"
            "<responseAction> Fault </responseAction></timeout></default>"
        ),
        (
            "<default><suspendOnFailure><errorCodes/><progressionFactor>1.5f</progressionFactor>"
            "</suspendOnFailure></default>"
        ),
        "<default><markForSuspension><errorCodes>1, 2 3</errorCodes></markForSuspension></default>",
    ],
)
def test_an_endpoint_that_the_runtime_builds_passes(body: str) -> None:
    assert codes(endpoint(body)) == []


@pytest.mark.parametrize(
    ("kind", "folder", "text", "code"),
    [
        (Kind.TASK, "tasks", "<task xmlns='NS' name='A'/>", "no-class"),
        (
            Kind.TASK,
            "tasks",
            "<task xmlns='NS' name='A' class='c'><trigger interval='x'/></task>",
            "no-number",
        ),
        (
            Kind.TASK,
            "tasks",
            "<task xmlns='NS' name='A' class='c'><trigger cron='* *'/></task>",
            "bad-cron",
        ),
        (Kind.EVENT_SOURCE, "event-sources", "<eventSource xmlns='NS' name='A'/>", "no-manager"),
        (
            Kind.EVENT_SOURCE,
            "event-sources",
            "<eventSource xmlns='NS' name='A'><subscriptionManager/></eventSource>",
            "no-class",
        ),
        (
            Kind.PRIORITY_EXECUTOR,
            "priority-executors",
            (
                "<priorityExecutor xmlns='NS' name='A'><queues><queue priority='-1'/></queues>"
                "</priorityExecutor>"
            ),
            "no-number",
        ),
        (
            Kind.PRIORITY_EXECUTOR,
            "priority-executors",
            "<priorityExecutor xmlns='NS' name='A'><queues/><threads max='-1'/></priorityExecutor>",
            "no-number",
        ),
        (Kind.ENDPOINT, "endpoints", "<endpoint xmlns='NS' name='A' key=''/>", "no-body"),
        (
            Kind.PROXY_SERVICE,
            "proxy-services",
            "<proxy xmlns='NS' name='A'><target endpoint='e'/><parameter/></proxy>",
            "no-name",
        ),
        (
            Kind.PROXY_SERVICE,
            "proxy-services",
            "<proxy xmlns='NS' name='A'><target endpoint='e'/><policy key=''/></proxy>",
            "no-key",
        ),
        (
            Kind.API,
            "api",
            "<api xmlns='NS' name='A' context='/a'><resource methods='GET GET'/></api>",
            "bad-methods",
        ),
        (
            Kind.API,
            "api",
            "<api xmlns='NS' name='A' context='/a'><resource protocol='ftp'/></api>",
            "bad-transport",
        ),
        (
            Kind.ENDPOINT,
            "endpoints",
            "<endpoint xmlns='NS' name='A' template='t'><parameter name='p'/></endpoint>",
            "no-attribute",
        ),
        (
            Kind.API,
            "api",
            (
                "<api xmlns='NS' name='A' context='/a'><resource methods='GET' uri-template='/x'/>"
                "<resource methods='GET' uri-template='/x'/></api>"
            ),
            "two-resources",
        ),
        (
            Kind.API,
            "api",
            "<api xmlns='NS' name='A' context='/a'><resource uri-template=''/><resource/></api>",
            "two-default-resources",
        ),
    ],
)
def test_what_the_builder_of_a_kind_throws_at_is_refused(
    kind: Kind, folder: str, text: str, code: str
) -> None:
    assert codes(examine(kind, folder, text.replace("NS", NS))) == [code]


def test_the_subscription_manager_in_memory_must_know_its_topic() -> None:
    manager = "org.apache.synapse.eventing.managers.DefaultInMemorySubscriptionManager"
    text = (
        f'<eventSource xmlns="{NS}" name="A"><subscriptionManager class="{manager}">'
        '<property name="topicHeaderName" value="t"/></subscriptionManager></eventSource>'
    )
    assert codes(examine(Kind.EVENT_SOURCE, "event-sources", text)) == ["no-property"]


def test_the_endpoint_of_a_template_is_built_only_when_it_is_used() -> None:
    text = f'<template xmlns="{NS}" name="A"><endpoint/></template>'
    assert codes(examine(Kind.TEMPLATE, "templates", text)) == []


@pytest.mark.parametrize(
    "text",
    ["//a[@b='(']", "get-property('transport', 'X')", "$trp:Content-Type", "count(//a) > 1", "."],
)
def test_xpath_passes(text: str) -> None:
    assert xpath_fault(text) is None


@pytest.mark.parametrize("text", ["", " ", "f(", "a b", "//a[", "concat('a', 'b'"])
def test_what_is_no_xpath_does_not(text: str) -> None:
    assert xpath_fault(text) is not None


def test_a_very_long_expression_is_left_to_the_runtime() -> None:
    assert xpath_fault("(" * 5_000) is None
    assert regex_fault("(" * 5_000) is None


@pytest.mark.parametrize("text", [r"\Q(\E", "(?<name>a)", "[a&&[b]]", "a*+", r"\p{L}+", "*"])
def test_a_pattern_that_only_java_reads_passes(text: str) -> None:
    assert regex_fault(text) is None
