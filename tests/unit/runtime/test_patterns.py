"""What each line of each product means: every message of the deployers, verbatim, in each layout."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from syncagent.core.artifact import ArtifactPath, Kind, TreeKind, TreeName
from syncagent.core.runtime import Heard, Saying
from syncagent.core.settings import TreeSettings
from syncagent.runtime.names import Names
from syncagent.runtime.patterns import APACHE_3, CARBON_2, CARBON_3, Dialect, dialect_for
from syncagent.runtime.reader import Reader, Turn, Turning

SYNAPSE, PLANS = TreeName("synapse"), TreeName("siddhi")
SERVER = "/opt/wso2am-3.1.0/repository/deployment/server"
ROOT = f"{SERVER}/synapse-configs/default"
TREES = (
    TreeSettings(SYNAPSE, TreeKind.SYNAPSE, ROOT),
    TreeSettings(PLANS, TreeKind.SIDDHI, f"{SERVER}/executionplans"),
    TreeSettings(
        TreeName("tenant-1"),
        TreeKind.SYNAPSE,
        "/opt/wso2am-3.1.0/repository/tenants/1/synapse-configs/default",
    ),
)


def names() -> Names:
    return Names(TREES, lambda path: path)


def apache(level: str, logger: str, text: str) -> str:
    return f"2026-11-21 14:22:39,493 [-] [Timer-0] {level:>5} {logger} {text}\n"


def carbon_3(level: str, logger: str, text: str) -> str:
    full = f"org.apache.synapse.deployers.{logger}"
    return f"TID: [-1234] [] [2020-05-04 14:22:39,493] {level:>5} {{{full}}} - {text}\n"


def carbon_2(level: str, logger: str, text: str) -> str:
    full = f"org.apache.synapse.deployers.{logger}"
    return (
        f"TID: [-1234] [] [2018-05-04 14:22:39,493]  {level:>5} {{{full}}} -  {text} {{{full}}}\n"
    )


def micro_integrator(level: str, logger: str, text: str) -> str:
    return f"[2021-05-04 14:22:39,493] {level:>5} {{{logger}}} - {text}\n"


Layout = Callable[[str, str, str], str]
LAYOUTS = (
    (APACHE_3, apache),
    (CARBON_3, carbon_3),
    (CARBON_2, carbon_2),
    (CARBON_3, micro_integrator),
)


def heard(dialect: Dialect, line: str) -> list[Heard | Turn]:
    reader = Reader(dialect, names())
    return [*reader.take(line.encode(), 0.0), *reader.flush(1.0)]


def at(path: str) -> ArtifactPath:
    return ArtifactPath(SYNAPSE, path)


# level, message ({F} is the file of `path`), saying, path, kind, name
ROWS = (
    ("INFO", "API named 'N' has been deployed from file : {F}", Saying.DEPLOYED, "api/a.xml"),
    ("INFO", "API: N has been updated from the file: {F}", Saying.UPDATED, "api/a.xml"),
    (
        "INFO",
        "Sequence named 'N' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "sequences/s.xml",
    ),
    ("INFO", "Sequence: N has been updated from the file: {F}", Saying.UPDATED, "sequences/s.xml"),
    (
        "INFO",
        "Endpoint named 'N' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "endpoints/e.xml",
    ),
    ("INFO", "Endpoint: N has been updated from the file: {F}", Saying.UPDATED, "endpoints/e.xml"),
    (
        "INFO",
        "LocalEntry named 'K' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "local-entries/l.xml",
    ),
    # The runtime itself says Endpoint of a local entry: the file's folder is believed.
    (
        "INFO",
        "Endpoint: K has been updated from the file: {F}",
        Saying.UPDATED,
        "local-entries/l.xml",
    ),
    (
        "INFO",
        "ProxyService named 'N' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "proxy-services/p.xml",
    ),
    (
        "INFO",
        "ProxyService named 'N' has been updated from file : {F}",
        Saying.UPDATED,
        "proxy-services/p.xml",
    ),
    (
        "INFO",
        "ProxyService named 'N' has been update from file : {F}",
        Saying.UPDATED,
        "proxy-services/p.xml",
    ),
    (
        "INFO",
        "EventSource named 'v' has been update from file : {F}",
        Saying.UPDATED,
        "event-sources/v.xml",
    ),
    (
        "INFO",
        "Template named 'N' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "templates/t.xml",
    ),
    (
        "INFO",
        "Endpoint Template named 'N' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "templates/t.xml",
    ),
    (
        "INFO",
        "StartupTask named 'N' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "tasks/t.xml",
    ),
    ("INFO", "StartupTask: k has been updated from the file: {F}", Saying.UPDATED, "tasks/t.xml"),
    (
        "INFO",
        "EventSource named 'N' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "event-sources/v.xml",
    ),
    (
        "INFO",
        "PriorityExecutor named 'N' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "priority-executors/x.xml",
    ),
    (
        "INFO",
        "PriorityExecutor: x has been updated from the file: {F}",
        Saying.UPDATED,
        "priority-executors/x.xml",
    ),
    (
        "INFO",
        "Inbound Endpoint named 'N' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "inbound-endpoints/i.xml",
    ),
    (
        "INFO",
        "Message Store named 'N' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "message-stores/m.xml",
    ),
    (
        "INFO",
        "MessageStore: N has been updated from the file: {F}",
        Saying.UPDATED,
        "message-stores/m.xml",
    ),
    (
        "INFO",
        "Message Processor named 'N' has been deployed from file : {F}",
        Saying.DEPLOYED,
        "message-processors/m.xml",
    ),
    (
        "INFO",
        "Synapse Library Import named '{p}n has been deployed from file : {F}",
        Saying.DEPLOYED,
        "imports/i.xml",
    ),
    (
        "ERROR",
        "Update of the Synapse Artifact from file : {F} : Failed!",
        Saying.REJECTED,
        "api/a.xml",
    ),
    (
        "ERROR",
        "Deployment of the Synapse Artifact from file : {F} : Failed!",
        Saying.REJECTED,
        "api/a.xml",
    ),
    (
        "ERROR",
        "Deployment of synapse artifact failed. Error parsing {F} : com.x.WstxEOFException: Unexpected EOF",
        Saying.REJECTED,
        "api/a.xml",
    ),
    (
        "ERROR",
        "Deployment of synapse artifact failed. Error reading {F} : cannot",
        Saying.REJECTED,
        "api/a.xml",
    ),
    (
        "ERROR",
        "Unable to undeploy the artifact from file : {F}",
        Saying.REJECTED,
        "sequences/main.xml",
    ),
    ("ERROR", "API deployment from the file : {F} : Failed.", Saying.REJECTED, "api/a.xml"),
    (
        "ERROR",
        "Sequence Deployment from the file : {F} : Failed.",
        Saying.REJECTED,
        "sequences/s.xml",
    ),
    (
        "ERROR",
        "Error while updating the Synapse Import from the file: {F}",
        Saying.REJECTED,
        "imports/i.xml",
    ),
    (
        "WARN",
        "Proxy service hot deployment from file: {F} failed - Continue in fail-safe mode",
        Saying.REJECTED,
        "proxy-services/p.xml",
    ),
    (
        "ERROR",
        "Artifact representing the filename {F} is not deployed on Synapse",
        Saying.LOST_TRACK,
        "api/a.xml",
    ),
    (
        "INFO",
        "The updated file has been backed up into : {F}.back",
        Saying.BACKED_UP,
        "api/a.xml",
    ),
    ("INFO", "The file has been backed up into : {F}.back", Saying.BACKED_UP, "api/a.xml"),
    ("INFO", "The file has been backed up into : {F}.12.back", Saying.BACKED_UP, "api/a.xml"),
    (
        "INFO",
        "Restoring the existing artifact into the file : {F}",
        Saying.RESTORED,
        "api/a.xml",
    ),
    (
        "INFO",
        "Restoring the artifact into the file : {F}",
        Saying.RESTORED,
        "sequences/fault.xml",
    ),
    (
        "WARN",
        "API configuration cannot be built from: a.xml - Continue in fail-safe mode",
        Saying.REJECTED,
        "api/a.xml",
    ),
    (
        "WARN",
        "Error while building API configuration from file : a.xml - Continue in fail-safe mode",
        Saying.REJECTED,
        "api/a.xml",
    ),
    (
        "WARN",
        "Error while building Endpoint configuration from file : e.xml - Continue in fail-safe mode",
        Saying.REJECTED,
        "endpoints/e.xml",
    ),
)


@pytest.mark.parametrize(("dialect", "layout"), LAYOUTS, ids=["apache", "3.x", "2.x", "mi"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1][:50])
def test_a_line_that_names_a_file_is_about_that_artifact(
    dialect: Dialect, layout: Layout, row: tuple[str, str, Saying, str]
) -> None:
    level, text, saying, path = row
    line = layout(level, "APIDeployer", text.replace("{F}", f"{ROOT}/{path}"))
    (said,) = heard(dialect, line)
    assert isinstance(said, Heard)
    assert (said.saying, said.path) == (saying, at(path))
    assert text.partition(" {F}")[0] in said.excerpt
    assert said.at > 0


BY_NAME = (
    ("INFO", "API: OLD has been undeployed", Saying.UNDEPLOYED, Kind.API, "OLD"),
    ("INFO", "API named 'N' has been undeployed", Saying.UNDEPLOYED, Kind.API, "N"),
    ("INFO", "API named 'N' has been restored", Saying.RESTORED, Kind.API, "N"),
    ("INFO", "Sequence named 'N' has been undeployed", Saying.UNDEPLOYED, Kind.SEQUENCE, "N"),
    ("INFO", "Endpoint named 'N' has been undeployed", Saying.UNDEPLOYED, Kind.ENDPOINT, "N"),
    ("INFO", "LocalEntry named 'K' has been undeployed", Saying.UNDEPLOYED, Kind.LOCAL_ENTRY, "K"),
    (
        "INFO",
        "ProxyService named 'p' has been undeployed",
        Saying.UNDEPLOYED,
        Kind.PROXY_SERVICE,
        "p",
    ),
    ("INFO", "StartupTask named 'k' has been undeployed", Saying.UNDEPLOYED, Kind.TASK, "k"),
    (
        "INFO",
        "EventSource named 'v' has been undeployed",
        Saying.UNDEPLOYED,
        Kind.EVENT_SOURCE,
        "v",
    ),
    (
        "INFO",
        "PriorityExecutor named 'x' has been undeployed",
        Saying.UNDEPLOYED,
        Kind.PRIORITY_EXECUTOR,
        "x",
    ),
    (
        "INFO",
        "MessageStore named 'm' has been undeployed",
        Saying.UNDEPLOYED,
        Kind.MESSAGE_STORE,
        "m",
    ),
    (
        "WARN",
        "Sequence configuration: s cannot be built - Continue in fail-safe mode",
        Saying.REJECTED,
        Kind.SEQUENCE,
        "s",
    ),
    # All that this start-up failure says: some API did not load.
    (
        "WARN",
        "API configuration cannot be built - Continue in fail-safe mode",
        Saying.REJECTED,
        Kind.API,
        "",
    ),
    (
        "WARN",
        "The proxy service bp cannot be deployed - Continue in Proxy Service fail-safe mode.",
        Saying.REJECTED,
        Kind.PROXY_SERVICE,
        "bp",
    ),
)


@pytest.mark.parametrize(("dialect", "layout"), LAYOUTS, ids=["apache", "3.x", "2.x", "mi"])
@pytest.mark.parametrize("row", BY_NAME, ids=lambda row: row[1][:40])
def test_a_line_without_a_file_is_about_a_kind_and_a_name(
    dialect: Dialect, layout: Layout, row: tuple[str, str, Saying, Kind, str]
) -> None:
    level, text, saying, kind, name = row
    (said,) = heard(dialect, layout(level, "APIDeployer", text))
    assert isinstance(said, Heard)
    assert (said.saying, said.path, said.kind, said.name) == (saying, None, kind, name)


@pytest.mark.parametrize(
    "row",
    [
        (
            "Execution plan is deployed successfully and in active state  : carbon.super_sub_Gold",
            Saying.DEPLOYED,
            None,
            "carbon.super_sub_Gold",
        ),
        (
            "Execution Plan was undeployed successfully : carbon.super_sub_Gold.siddhiql",
            Saying.UNDEPLOYED,
            "carbon.super_sub_Gold.siddhiql",
            "",
        ),
        (
            "Execution plan is not deployed and in inactive state : a.siddhiql",
            Saying.REJECTED,
            "a.siddhiql",
            "",
        ),
        ("Can't deploy the execution plan: a.siddhiql", Saying.REJECTED, "a.siddhiql", ""),
    ],
)
@pytest.mark.parametrize(
    ("dialect", "layout"), [(CARBON_3, carbon_3), (CARBON_2, carbon_2)], ids=["3.x", "2.x"]
)
def test_a_line_about_a_plan_is_about_the_plan_tree(
    dialect: Dialect, layout: Layout, row: tuple[str, Saying, str | None, str]
) -> None:
    text, saying, path, name = row
    level = "ERROR" if saying is Saying.REJECTED else "INFO"
    (said,) = heard(dialect, layout(level, "EventProcessorDeployer", text))
    assert isinstance(said, Heard)
    wanted = ArtifactPath(PLANS, path) if path else None
    assert (said.saying, said.path, said.kind, said.name) == (saying, wanted, Kind.PLAN, name)


@pytest.mark.parametrize(
    "text",
    [
        "The file has been backed up into : NO_BACKUP_ON_WORKER.INFO",
        "API : N was added to the Synapse configuration successfully - SomeCompositeApplication",
        "Initializing API: N",
        "Destroying API: N",
        "Error while running deployment scheduler.. ",
        f"API named 'N' has been deployed from file : {SERVER}/axis2services/api/a.xml",
        "the parcel has been deployed to its customer",
        "API: N has been",
    ],
)
@pytest.mark.parametrize(("dialect", "layout"), LAYOUTS, ids=["apache", "3.x", "2.x", "mi"])
def test_a_line_that_says_nothing_about_an_artifact_of_ours_is_left_out(
    dialect: Dialect, layout: Layout, text: str
) -> None:
    assert heard(dialect, layout("INFO", "APIDeployer", text)) == []


@pytest.mark.parametrize(
    ("text", "saying", "kind"),
    [
        ("API : N was added to {}", Saying.SAVED, Kind.API),
        ("API : N was updated from {}", Saying.SAVED, Kind.API),
        ("API : N was removed from {}", Saying.DROPPED, Kind.API),
        ("Sequence : N was added to {}", Saying.SAVED, Kind.SEQUENCE),
        ("Sequence : N was  removed from {}", Saying.DROPPED, Kind.SEQUENCE),
        ("Template : N was added to {}", Saying.SAVED, Kind.TEMPLATE),
        ("Template : N was removed to {}", Saying.DROPPED, Kind.TEMPLATE),
        ("Local entry : N was added to {}", Saying.SAVED, Kind.LOCAL_ENTRY),
        ("Local entry : N was removed from {}", Saying.DROPPED, Kind.LOCAL_ENTRY),
        ("Endpoint : N was added to {}", Saying.SAVED, Kind.ENDPOINT),
        ("Endpoint : N was removed from {}", Saying.DROPPED, Kind.ENDPOINT),
        ("Proxy service : N was added to {}", Saying.SAVED, Kind.PROXY_SERVICE),
        ("Proxy service : N was removed from {}", Saying.DROPPED, Kind.PROXY_SERVICE),
        ("Startup : N was added to {}", Saying.SAVED, Kind.TASK),
        ("Startup : N was removed from {}", Saying.DROPPED, Kind.TASK),
        ("Event source : N was added to {}", Saying.SAVED, Kind.EVENT_SOURCE),
        ("Priority executor : N was added to {}", Saying.SAVED, Kind.PRIORITY_EXECUTOR),
        ("Inbound Endpoint : N was updated from {}", Saying.SAVED, Kind.INBOUND_ENDPOINT),
    ],
)
@pytest.mark.parametrize(
    ("dialect", "layout"), [(CARBON_3, carbon_3), (CARBON_2, carbon_2)], ids=["3.x", "2.x"]
)
def test_what_is_said_of_the_configuration_names_kind_and_tree(
    dialect: Dialect, layout: Layout, text: str, saying: Saying, kind: Kind
) -> None:
    words = text.format("the Synapse configuration successfully")
    line = layout("INFO", "DependencyTracker", words)
    (said,) = heard(dialect, line)
    assert isinstance(said, Heard)
    assert (said.saying, said.path, said.kind, said.name) == (saying, None, kind, "N")
    assert (said.tree, said.excerpt) == (SYNAPSE, line.rstrip("\n"))
    (said,) = heard(dialect, line.replace("[-1234]", "[1]"))
    assert isinstance(said, Heard)
    assert said.tree == TreeName("tenant-1")
    assert heard(dialect, line.replace("[-1234]", "[7]")) == [], "a tenant that is not ours"


def test_a_start_says_of_all_that_it_loads_that_it_was_added() -> None:
    added = carbon_3("INFO", "X", "API : N was added to the Synapse configuration successfully")
    starts = carbon_3("INFO", "Core", "Starting WSO2 Carbon...")
    ready = carbon_3("INFO", "Core", "WSO2 Carbon started in 41 sec")
    said = heard(CARBON_3, starts + added + ready + added)
    assert [each.what if isinstance(each, Turn) else each.saying for each in said] == [
        Turning.STARTS,
        Turning.READY,
        Saying.SAVED,
    ]


def test_in_a_log_without_a_known_layout_nothing_tells_when_and_whose_it_was_saved() -> None:
    assert (
        heard(CARBON_3, "12:00 API : N was added to the Synapse configuration successfully\n") == []
    )


def test_what_is_saved_meanwhile_does_not_end_a_failure() -> None:
    file = f"{ROOT}/api/a.xml"
    lines = [
        carbon_3("ERROR", "Y", f"Update of the Synapse Artifact from file : {file} : Failed!"),
        carbon_3("INFO", "X", "API : N was updated from the Synapse configuration successfully"),
        carbon_3("INFO", "Y", f"Restoring the existing artifact into the file : {file}"),
    ]
    said = [each.saying for each in heard(CARBON_3, "".join(lines)) if isinstance(each, Heard)]
    assert sorted(said) == [Saying.REJECTED, Saying.RESTORED, Saying.SAVED]


@pytest.mark.parametrize(
    ("dialect", "line", "what"),
    [
        (APACHE_3, apache("INFO", "SynapseServer", "Starting Apache Synapse..."), Turning.STARTS),
        (
            APACHE_3,
            apache("INFO", "ServerManager", "Server ready for processing..."),
            Turning.READY,
        ),
        (
            APACHE_3,
            apache("INFO", "SynapseServer", "Apache Synapse started successfully"),
            Turning.READY,
        ),
        (
            APACHE_3,
            apache("INFO", "SynapseServer", "Shutting down Apache Synapse..."),
            Turning.STOPS,
        ),
        (
            APACHE_3,
            apache(
                "ERROR",
                "SynapseServer",
                "Error starting Apache Synapse, trying a clean shutdown...",
            ),
            Turning.STOPS,
        ),
        (CARBON_3, carbon_3("INFO", "Core", "Starting WSO2 Carbon..."), Turning.STARTS),
        (CARBON_3, carbon_3("INFO", "Core", "WSO2 Carbon started in 41 sec"), Turning.READY),
        (CARBON_2, carbon_2("INFO", "Core", "WSO2 Carbon started in 41 sec"), Turning.READY),
        (
            CARBON_3,
            carbon_3("INFO", "Core", "Gracefully shutting down WSO2 API Manager..."),
            Turning.STOPS,
        ),
        (
            CARBON_3,
            micro_integrator("INFO", "Core", "WSO2 Micro Integrator started in 5.41 seconds"),
            Turning.READY,
        ),
    ],
)
def test_a_start_its_end_and_ready_are_turns(dialect: Dialect, line: str, what: Turning) -> None:
    (said,) = heard(dialect, line)
    assert isinstance(said, Turn)
    assert said.what is what


def test_a_file_that_failed_at_the_start_of_a_tenant_is_the_tenants() -> None:
    line = carbon_3(
        "WARN", "X", "API configuration cannot be built from: a.xml - Continue in fail-safe mode"
    )
    (said,) = heard(CARBON_3, line.replace("[-1234]", "[1]"))
    assert isinstance(said, Heard)
    assert said.path == ArtifactPath(TreeName("tenant-1"), "api/a.xml")
    (said,) = heard(CARBON_3, line.replace("[-1234]", "[7]"))
    assert isinstance(said, Heard)
    assert (said.path, said.kind, said.name) == (None, Kind.API, "a.xml")


@pytest.mark.parametrize(
    ("product", "version", "carbon", "dialect"),
    [
        ("Apache Synapse", "3.0.1", False, APACHE_3),
        ("Apache Synapse", "", False, APACHE_3),
        ("API Manager", "2.6.0", True, CARBON_2),
        ("API Manager", "3.2.0", True, CARBON_3),
        ("API Manager", "4.0.0", True, CARBON_3),
        ("API Manager", "", True, CARBON_3),
        ("Enterprise Integrator", "6.1.1", True, CARBON_2),
        ("Enterprise Integrator", "6.6.0", True, CARBON_3),
        ("Micro Integrator", "1.2.0", True, CARBON_3),
        ("Carbon", "", True, CARBON_3),
    ],
)
def test_product_and_version_choose_the_dialect(
    product: str, version: str, carbon: bool, dialect: Dialect
) -> None:
    assert dialect_for(carbon=carbon, product=product, version=version) is dialect
