"""What each kind of Synapse artifact must declare."""

import pytest

from syncagent.core.artifact import FOLDERS, Kind
from syncagent.core.verdict import Examined, Facts, Reference, Severity
from syncagent.validation.synapse import ROOTS, file_name_of
from syncagent.validation.validator import ArtifactValidator

NS = "http://ws.apache.org/ns/synapse"
API = f'<api xmlns="{NS}" name="A" context="/a"><resource methods="GET"/></api>'
GOOD = {
    Kind.API: API,
    Kind.LOCAL_ENTRY: f'<localEntry xmlns="{NS}" key="A">text</localEntry>',
    Kind.TEMPLATE: f'<template xmlns="{NS}" name="A"><sequence/></template>',
    Kind.ENDPOINT: f'<endpoint xmlns="{NS}" name="A"><default/></endpoint>',
    Kind.PROXY_SERVICE: f'<proxy xmlns="{NS}" name="A"><target><inSequence/></target></proxy>',
    Kind.TASK: f'<task xmlns="{NS}" name="A" class="c"/>',
    Kind.EVENT_SOURCE: (
        f'<eventSource xmlns="{NS}" name="A"><subscriptionManager class="c"/></eventSource>'
    ),
    Kind.PRIORITY_EXECUTOR: f'<priorityExecutor xmlns="{NS}" name="A"><queues/></priorityExecutor>',
    Kind.MESSAGE_PROCESSOR: f'<messageProcessor xmlns="{NS}" name="A" class="c" messageStore="m"/>',
    Kind.IMPORT: f'<import xmlns="{NS}" name="A" package="org.x" status="enabled"/>',
}
BELOW = ("resource", "sequence", "default", "target", "inSequence", "queues", "subscriptionManager")
FOLDER_OF = {kind: folder for folder, kind in FOLDERS.items()}


def good(kind: Kind) -> str:
    return GOOD.get(kind, f'<{ROOTS.get(kind)} xmlns="{NS}" name="A"/>')


def examine(kind: Kind, text: str, base: str = "A.xml") -> Examined:
    return ArtifactValidator().examine(kind, f"{FOLDER_OF[kind]}/{base}", text.encode())


def codes(verdict: Examined) -> list[str]:
    return [problem.code for problem in verdict.problems]


ALL = sorted(ROOTS)


@pytest.mark.parametrize("kind", ALL)
def test_the_smallest_artifact_of_a_kind_is_valid(kind: Kind) -> None:
    assert codes(examine(kind, good(kind), file_name_of("A"))) == []


@pytest.mark.parametrize("kind", ALL)
def test_another_kinds_root_element_is_refused(kind: Kind) -> None:
    other = Kind.SEQUENCE if kind is not Kind.SEQUENCE else Kind.ENDPOINT
    verdict = examine(kind, "\n\n" + good(other))
    assert codes(verdict) == ["wrong-root"]
    assert verdict.problems[0].line == 3


@pytest.mark.parametrize("kind", ALL)
def test_a_foreign_namespace_is_refused(kind: Kind) -> None:
    assert codes(examine(kind, good(kind).replace(NS, "urn:other"))) == ["wrong-namespace"]


@pytest.mark.parametrize("kind", ALL)
def test_a_prefix_for_the_namespace_is_as_good_as_none(kind: Kind) -> None:
    root = ROOTS[kind]
    text = good(kind).replace(f'xmlns="{NS}"', f'xmlns:syn="{NS}"')
    for name in {root, *BELOW}:
        text = text.replace(f"<{name}", f"<syn:{name}").replace(f"</{name}", f"</syn:{name}")
    assert codes(examine(kind, text)) == []


@pytest.mark.parametrize("kind", [Kind.LOCAL_ENTRY, Kind.INBOUND_ENDPOINT])
def test_kinds_whose_builder_reads_attributes_only_need_no_namespace(kind: Kind) -> None:
    assert codes(examine(kind, good(kind).replace(f' xmlns="{NS}"', ""))) == []


@pytest.mark.parametrize("kind", [Kind.IMPORT, Kind.MESSAGE_STORE, Kind.MESSAGE_PROCESSOR])
def test_a_root_without_namespace_that_the_builder_takes_is_a_warning(kind: Kind) -> None:
    verdict = examine(kind, good(kind).replace(f' xmlns="{NS}"', ""))
    assert verdict.valid
    assert codes(verdict) == ["no-namespace"]


@pytest.mark.parametrize(("kind", "code"), [(Kind.API, "no-resource"), (Kind.ENDPOINT, "no-body")])
def test_children_without_the_namespace_are_not_there(kind: Kind, code: str) -> None:
    verdict = examine(kind, good(kind).replace(f' xmlns="{NS}"', ""))
    assert codes(verdict) == [code, "no-namespace"]


@pytest.mark.parametrize(
    "kind",
    [
        Kind.SEQUENCE,
        Kind.TEMPLATE,
        Kind.TASK,
        Kind.PROXY_SERVICE,
        Kind.EVENT_SOURCE,
        Kind.PRIORITY_EXECUTOR,
    ],
)
def test_kinds_that_the_runtime_finds_by_qualified_name_need_the_namespace(kind: Kind) -> None:
    assert codes(examine(kind, good(kind).replace(f' xmlns="{NS}"', ""))) == ["wrong-namespace"]


@pytest.mark.parametrize(
    ("kind", "text", "code"),
    [
        (Kind.ENDPOINT, "<endpoint xmlns='NS' name='A'/>", "no-body"),
        (Kind.ENDPOINT, "<endpoint xmlns='NS' name='A'><x xmlns=''/></endpoint>", "no-body"),
        (Kind.PROXY_SERVICE, "<proxy xmlns='NS' name='A'/>", "no-target"),
        (Kind.PROXY_SERVICE, "<proxy xmlns='NS' name='A'><target/></proxy>", "no-target"),
        (Kind.PRIORITY_EXECUTOR, "<priorityExecutor xmlns='NS' name='A'/>", "no-queues"),
        (Kind.MESSAGE_PROCESSOR, "<messageProcessor xmlns='NS' name='A' class='c'/>", "no-store"),
        (
            Kind.MESSAGE_PROCESSOR,
            "<messageProcessor xmlns='NS' name='A' messageStore='m'/>",
            "no-class",
        ),
    ],
)
def test_what_the_builders_throw_at_is_refused(kind: Kind, text: str, code: str) -> None:
    assert codes(examine(kind, text.replace("NS", NS))) == [code]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.ENDPOINT, "<endpoint xmlns='NS' name='A' key='b'/>"),
        (Kind.ENDPOINT, "<endpoint xmlns='NS' name='A' template='t' uri='u'/>"),
        (Kind.PROXY_SERVICE, "<proxy xmlns='NS' name='A'><target endpoint='e'/></proxy>"),
        (Kind.PROXY_SERVICE, "<proxy xmlns='NS' name='A'><target inSequence='s'/></proxy>"),
        (
            Kind.PROXY_SERVICE,
            "<proxy xmlns='NS' name='A'><target><endpoint key='e'/></target></proxy>",
        ),
    ],
)
def test_what_stands_for_a_body_is_enough(kind: Kind, text: str) -> None:
    assert codes(examine(kind, text.replace("NS", NS))) == []


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_missing_or_empty_name_is_refused(kind: Kind, value: str | None) -> None:
    attribute = "key" if kind is Kind.LOCAL_ENTRY else "name"
    new = "" if value is None else f'{attribute}="{value}"'
    verdict = examine(kind, "\n" + good(kind).replace(f'{attribute}="A"', new))
    assert codes(verdict) == ["no-name"]
    assert verdict.problems[0].line == 2


def test_a_local_entry_is_known_by_its_key_not_by_a_name() -> None:
    text = f'<localEntry xmlns="{NS}" name="A"/>'
    assert codes(examine(Kind.LOCAL_ENTRY, text)) == ["no-name"]


def test_an_import_is_known_by_package_and_name() -> None:
    assert examine(Kind.IMPORT, GOOD[Kind.IMPORT], "x.xml").facts.name == "{org.x}A"


def test_an_import_without_a_package_is_refused() -> None:
    text = GOOD[Kind.IMPORT].replace('package="org.x"', "")
    assert codes(examine(Kind.IMPORT, text)) == ["no-package"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        pytest.param(' context="/a"', "", "no-context", id="no context"),
        pytest.param("/a", "", "no-context", id="empty context"),
        pytest.param("/a", "a", "bad-context", id="context without slash"),
        pytest.param("/a", " /a", "bad-context", id="context that begins with a space"),
        pytest.param(" name=", ' version="1" name=', "bad-version", id="version without type"),
        pytest.param(
            " name=", ' version-type="path" name=', "bad-version", id="unknown version type"
        ),
        pytest.param(" name=", ' port="http" name=', "bad-port", id="port that is no number"),
        pytest.param(" name=", ' transport="ftp" name=', "bad-transport", id="unknown transport"),
        pytest.param(
            "<resource", "<resource/><resource", "two-default-resources", id="two defaults"
        ),
        pytest.param(
            "<resource",
            "<handlers><handler/></handlers><resource",
            "no-class",
            id="handler without class",
        ),
        pytest.param('<resource methods="GET"/>', "", "no-resource", id="no resource"),
        pytest.param("<resource", '<resource xmlns=""', "no-resource", id="resource elsewhere"),
    ],
)
def test_an_api_that_its_builder_would_throw_at_is_refused(old: str, new: str, code: str) -> None:
    verdict = examine(Kind.API, API.replace(old, new, 1))
    assert not verdict.valid
    assert codes(verdict) == [code]


def test_all_mistakes_of_an_api_are_named_at_once() -> None:
    text = f'<api xmlns="{NS}" name="A" context="a" version="1"/>'
    assert codes(examine(Kind.API, text)) == ["bad-context", "bad-version", "no-resource"]


@pytest.mark.parametrize(
    ("attributes", "context", "version"),
    [
        pytest.param('context="/a"', "/a", "", id="no version"),
        pytest.param('context="/a/"', "/a", "", id="trailing slashes do not count"),
        pytest.param('context="/"', "/", "", id="the root context"),
        pytest.param('context="/a" version="1" version-type="url"', "/a", "1", id="url"),
        pytest.param(
            'context="/a/1" version="1" version-type="context"', "/a/1", "1", id="context"
        ),
        pytest.param('context="/a" version="" version-type=""', "/a", "", id="empty version"),
    ],
)
def test_an_apis_place_is_its_context_and_version(
    attributes: str, context: str, version: str
) -> None:
    facts = examine(Kind.API, API.replace('context="/a"', attributes)).facts
    assert (facts.context, facts.version) == (context, version)


def test_a_template_needs_a_body() -> None:
    text = f'<template xmlns="{NS}" name="A"><parameter name="p"/></template>'
    assert codes(examine(Kind.TEMPLATE, text)) == ["no-body"]
    assert codes(examine(Kind.TEMPLATE, GOOD[Kind.TEMPLATE].replace("sequence", "endpoint"))) == []


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("admin--Pizza:v1.0.0", "admin--Pizza_v1.0.0.xml"),
        ("a/b?c*d|e<f>g h", "a_b_c_d_e_f_g_h.xml"),
        ("a\\b", "a\\b.xml"),
    ],
)
def test_the_runtimes_file_names(name: str, base: str) -> None:
    assert file_name_of(name) == base


def test_a_file_name_that_is_not_the_artifacts_is_a_warning_only() -> None:
    text = API.replace('name="A"', 'name="_WSO2AMTokenAPI_"')
    verdict = examine(Kind.API, text, "_TokenAPI_.xml")
    assert verdict.valid
    assert codes(verdict) == ["file-name"]
    assert "_WSO2AMTokenAPI_.xml" in verdict.problems[0].reason


def test_a_hidden_artifact_is_judged_and_warned_of() -> None:
    verdict = examine(Kind.API, API, ".A.xml")
    assert verdict.valid
    assert "hidden-name" in codes(verdict)
    assert "wrong-root" in codes(examine(Kind.API, good(Kind.SEQUENCE), ".A.xml"))


def test_a_name_that_ends_in_xml_without_a_dot_is_warned_of() -> None:
    verdict = examine(Kind.API, API, "Axml")
    assert verdict.valid
    assert "suffix" in codes(verdict)


def test_errors_come_before_warnings() -> None:
    verdict = examine(Kind.API, API.replace('context="/a"', 'context="a"'), ".other.xml")
    severities = [problem.severity for problem in verdict.problems]
    assert severities == [Severity.ERROR, Severity.WARNING, Severity.WARNING]


@pytest.mark.parametrize(
    ("base", "root"),
    [
        ("synapse.xml", "definitions"),
        ("registry.xml", "registry"),
        ("task-manager.xml", "taskManager"),
    ],
)
def test_root_files_have_their_own_root_elements(base: str, root: str) -> None:
    validator = ArtifactValidator()
    right = validator.examine(Kind.ROOT, base, f'<{root} xmlns="{NS}"/>'.encode())
    assert right.problems == ()
    wrong = validator.examine(Kind.ROOT, base, f'<api xmlns="{NS}"/>'.encode())
    assert codes(wrong) == ["wrong-root"]
    bare = validator.examine(Kind.ROOT, base, f"<{root}/>".encode())
    assert codes(bare) == ["wrong-namespace"]


def test_an_unknown_root_file_is_a_warning() -> None:
    verdict = ArtifactValidator().examine(Kind.ROOT, "other.xml", b"<x/>")
    assert verdict.valid
    assert codes(verdict) == ["unknown-root-file"]


def test_what_synapse_xml_defines_is_a_fact() -> None:
    text = (
        f'<definitions xmlns="{NS}"><sequence name="s"/><localEntry key="k">x</localEntry>'
        '<sequence/><registry provider="x"/></definitions>'
    )
    facts = ArtifactValidator().examine(Kind.ROOT, "synapse.xml", text.encode()).facts
    assert facts == Facts(defines=(Reference(Kind.SEQUENCE, "s"), Reference(Kind.LOCAL_ENTRY, "k")))


USES = [
    ('<sequence key="x"/>', Kind.SEQUENCE),
    ('<sequence onError="x"/>', Kind.SEQUENCE),
    ('<send receive="x"/>', Kind.SEQUENCE),
    ('<send><endpoint key="x"/></send>', Kind.ENDPOINT),
    ('<endpoint name="e" template="x" uri="u"/>', Kind.TEMPLATE),
    ('<call-template target="x"/>', Kind.TEMPLATE),
    ('<iterate expression="//a"><target sequence="x"/></iterate>', Kind.SEQUENCE),
    ('<clone><target endpoint="x"/></clone>', Kind.ENDPOINT),
    ('<filter xpath="//a"><then sequence="x"/></filter>', Kind.SEQUENCE),
    ('<cache><onCacheHit sequence="x"/></cache>', Kind.SEQUENCE),
    ('<xslt key="x"/>', Kind.LOCAL_ENTRY),
    ('<validate><schema key="x"/></validate>', Kind.LOCAL_ENTRY),
    ('<payloadFactory><format key="x"/></payloadFactory>', Kind.LOCAL_ENTRY),
    ('<throttle onReject="x"/>', Kind.SEQUENCE),
    ('<throttle><policy key="x"/></throttle>', Kind.LOCAL_ENTRY),
    ('<store messageStore="x"/>', Kind.MESSAGE_STORE),
    ('<enqueue executor="x"/>', Kind.PRIORITY_EXECUTOR),
]


@pytest.mark.parametrize(("mediator", "kind"), USES)
def test_a_mediators_reference_is_a_fact(mediator: str, kind: Kind) -> None:
    text = f'<sequence xmlns="{NS}" name="A">{mediator}</sequence>'
    assert examine(Kind.SEQUENCE, text).facts.references == (Reference(kind, "x"),)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        pytest.param(
            Kind.API,
            f'<api xmlns="{NS}" name="A" context="/a"><resource inSequence="i" outSequence="o"'
            ' faultSequence="f"/></api>',
            [(Kind.SEQUENCE, "i"), (Kind.SEQUENCE, "o"), (Kind.SEQUENCE, "f")],
            id="api",
        ),
        pytest.param(
            Kind.PROXY_SERVICE,
            f'<proxy xmlns="{NS}" name="A"><target inSequence="i" endpoint="e"/>'
            '<publishWSDL key="w"/><policy key="p"/></proxy>',
            [
                (Kind.SEQUENCE, "i"),
                (Kind.ENDPOINT, "e"),
                (Kind.LOCAL_ENTRY, "w"),
                (Kind.LOCAL_ENTRY, "p"),
            ],
            id="proxy",
        ),
        pytest.param(
            Kind.INBOUND_ENDPOINT,
            f'<inboundEndpoint xmlns="{NS}" name="A" sequence="s" onError="e"/>',
            [(Kind.SEQUENCE, "s"), (Kind.SEQUENCE, "e")],
            id="inbound endpoint",
        ),
        pytest.param(
            Kind.MESSAGE_PROCESSOR,
            f'<messageProcessor xmlns="{NS}" name="A" messageStore="m" targetEndpoint="e"/>',
            [(Kind.MESSAGE_STORE, "m"), (Kind.ENDPOINT, "e")],
            id="message processor",
        ),
        pytest.param(
            Kind.SEQUENCE,
            f'<sequence xmlns="{NS}" name="A" onError="e"><sequence key="s"/><sequence key="s"/></sequence>',
            [(Kind.SEQUENCE, "e"), (Kind.SEQUENCE, "s")],
            id="each once",
        ),
    ],
)
def test_a_kinds_own_references_are_facts(
    kind: Kind, text: str, expected: list[tuple[Kind, str]]
) -> None:
    found = examine(kind, text).facts.references
    assert [(reference.kind, reference.key) for reference in found] == expected


@pytest.mark.parametrize(
    "key",
    [
        "{get-property('x')}",
        "$ctx:x",
        "gov:seq/x",
        "conf:x",
        "resources:x",
        "a/b.xslt",
        "main",
        "fault",
        "",
    ],
)
def test_a_key_that_no_file_of_the_tree_answers_is_no_reference(key: str) -> None:
    text = f'<sequence xmlns="{NS}" name="A"><sequence key="{key}"/></sequence>'
    assert examine(Kind.SEQUENCE, text).facts.references == ()


def test_payload_in_another_namespace_refers_to_nothing() -> None:
    text = f'<sequence xmlns="{NS}" name="A"><x><sequence xmlns="" key="k"/></x></sequence>'
    assert examine(Kind.SEQUENCE, text).facts.references == ()


def test_commented_out_references_refer_to_nothing() -> None:
    text = f'<sequence xmlns="{NS}" name="A"><!-- <sequence key="k"/> --></sequence>'
    assert examine(Kind.SEQUENCE, text).facts.references == ()
