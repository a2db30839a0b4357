"""What a Synapse runtime says in its log, by product; verbatim, as sources and real logs have it.

Sources, by the marks that the model's rules carry too: [S] apache/synapse, `D/` its
`modules/core/src/main/java/org/apache/synapse/deployers/`; [A] axis-axis2-java-core v1.7.9; [W]
wso2/wso2-synapse; [X] wso2/wso2-axis2; [K] wso2/carbon-kernel 4.9.x; [C] wso2/carbon-mediation; [E]
wso2/carbon-event-processing; [L] the logs of a real Apache Synapse 3.0.1 in `tests/data/logs`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from syncagent.core.artifact import FOLDERS, SHARED_KEY_SPACE

if TYPE_CHECKING:
    from syncagent.core.artifact import Kind


class Refused(StrEnum):
    """What becomes of a deployer that meets a well-formed update which the runtime refuses."""

    DIES = "dies"
    """its thread ends: nothing is deployed until a restart ([L] refused-update-*)"""
    DROPS = "drops"
    """only the scheduler catches it: the rest of that scan is dropped ([X], API-M 2.1 and 2.6)"""
    RESTORES = "restores"
    """the old version is written back (API-M 3.2 and later)"""


@dataclass(frozen=True)
class Dialect:
    """In what the products differ. Seconds; `mtime_ns` is the step in which mtimes are seen."""

    name: str
    label: str
    scan_s: float
    on_grid: bool
    """scans begin every `scan_s` from the start ([L]); else so long after the last one ended ([K])"""
    newer_only: bool
    """an older or equal mtime is no change ([A] WSInfoList:232); else any other is ([X] :255)"""
    by_name: bool
    """files of a folder in the order of their names ([X] DeploymentEngine:862); else as listed"""
    skips_hidden: bool
    moves_back: bool
    """refused files are moved to `.back`; not where the property workerNode is set ([W] :515)"""
    refused: Refused
    strict: bool
    """an undeploy of what is not deployed ends the undeploys of that scan ([S], [A] unDeploy)"""
    marks_loaded: bool
    """what was loaded at the start counts as restored until the first scan ([C] APIServiceComponent)"""
    folders: tuple[str, ...]
    """the order in which folders are scanned: that of a hash of their paths"""
    load_s: float = 0.2
    start_s: float = 1.0
    pause_s: float = 2.0
    mtime_ns: int = 1_000_000
    persist_s: float = 5.0
    """how long what the console saved may wait to be written ([C] MediationPersistenceManager)"""


_LATE = ("message-processors", "inbound-endpoints")
SYNAPSE = Dialect(
    name="synapse",
    label="Apache Synapse 3.0.1",
    scan_s=10.0,
    on_grid=True,
    newer_only=True,
    by_name=False,
    skips_hidden=False,
    moves_back=True,
    refused=Refused.DIES,
    strict=True,
    marks_loaded=False,
    folders=(
        *("priority-executors", "event-sources", "templates", "endpoints", "local-entries"),
        *("message-stores", "api", "tasks", "imports", "sequences", "proxy-services", *_LATE),
    ),
)
CARBON = Dialect(
    name="carbon",
    label="WSO2 API Manager 3.2.0",
    scan_s=15.0,
    on_grid=False,
    newer_only=False,
    by_name=True,
    skips_hidden=True,
    moves_back=False,
    refused=Refused.RESTORES,
    strict=False,
    marks_loaded=True,
    folders=(
        *("api", "sequences", "endpoints", "local-entries", "proxy-services", "tasks"),
        *("event-sources", "templates", "priority-executors", "message-stores", "imports", *_LATE),
    ),
    load_s=20.0,
    start_s=40.0,
    mtime_ns=1_000_000_000,  # Java 8 may drop what is below a second
)
CARBON_2 = replace(CARBON, name="carbon-2", label="WSO2 API Manager 2.6.0", refused=Refused.DROPS)

NEVER_KILLS = frozenset({"proxy-services", "priority-executors", "imports"})
"""Kinds of which a refused update leaves the deployer of Apache Synapse alive ([L])."""
PAUSES = frozenset(
    {
        *("api", "sequences", "endpoints", "inbound-endpoints", "imports", "message-stores"),
        *("message-processors", "priority-executors"),
    }
)
"""Kinds of which each update keeps the scan waiting ([S] D/AbstractSynapseArtifactDeployer:394-405)."""


@dataclass(frozen=True)
class Words:
    """How one kind is spoken of: `{n}` is the artifact's name, `{f}` its file."""

    title: str
    deployer: str
    updated: str
    failed: str
    deployed: str = ""
    undeployed: str = ""

    @property
    def has_been(self) -> str:
        """The line of a new artifact."""
        return self.deployed or f"{self.title} named '{{n}}' has been deployed from file : {{f}}"

    @property
    def is_gone(self) -> str:
        """The line of one that was taken away."""
        return self.undeployed or f"{self.title} named '{{n}}' has been undeployed"


def _words(title: str, deployer: str, updated: str = "", failed: str = "", **more: str) -> Words:
    return Words(
        title,
        deployer,
        updated or f"{title}: {{n}} has been updated from the file: {{f}}",
        failed or f"{title} Deployment from the file : {{f}} : Failed.",
        **more,
    )


WORDS = {
    "api": _words("API", "APIDeployer", failed="API deployment from the file : {f} : Failed."),
    "sequences": _words("Sequence", "SequenceDeployer"),
    "endpoints": _words("Endpoint", "EndpointDeployer"),
    # Not a slip here: it says `Endpoint` of a local entry ([L] changes.log).
    "local-entries": _words(
        "LocalEntry", "LocalEntryDeployer", "Endpoint: {n} has been updated from the file: {f}"
    ),
    "proxy-services": _words(
        "ProxyService",
        "ProxyServiceDeployer",
        "ProxyService named '{n}' has been updated from file : {f}",
    ),
    "templates": _words("Template", "TemplateDeployer"),
    "tasks": _words("StartupTask", "TaskDeployer"),
    "event-sources": _words("EventSource", "EventSourceDeployer"),
    "priority-executors": _words("PriorityExecutor", "PriorityExecutorDeployer"),
    "message-stores": _words(
        "Message Store",
        "MessageStoreDeployer",
        "MessageStore: {n} has been updated from the file: {f}",
    ),
    "message-processors": _words("Message Processor", "MessageProcessorDeployer"),
    "inbound-endpoints": _words("Inbound Endpoint", "InboundEndpointDeployer"),
    "imports": _words(
        "Synapse Library Import",
        "ImportDeployer",
        # The quote is not closed in the source either.
        deployed="Synapse Library Import named '{n} has been deployed from file : {f}",
    ),
}
ABSTRACT = "AbstractSynapseArtifactDeployer"
OBSERVED = {
    "api": "API",
    "sequences": "Sequence",
    "endpoints": "Endpoint",
    "local-entries": "Local entry",
    "proxy-services": "Proxy service",
    "templates": "Template",
    "tasks": "Startup",
    "event-sources": "Event source",
    "priority-executors": "Priority executor",
    "inbound-endpoints": "Inbound Endpoint",
}
"""What is announced beside the deployer's own line ([W] config/AbstractSynapseObserver)."""
UPDATES_OBSERVED = frozenset({"api", "inbound-endpoints"})
_PACKAGES = {
    "StartupFinalizerServiceComponent": "org.wso2.carbon.core.internal.",
    "CarbonCoreActivator": "org.wso2.carbon.core.internal.",
    "DeploymentEngine": "org.apache.axis2.deployment.",
    "CarbonDeploymentSchedulerTask": "org.wso2.carbon.core.deployment.",
    "MultiXMLConfigurationBuilder": "org.apache.synapse.config.xml.",
    "API": "org.apache.synapse.rest.",
    "EventProcessorDeployer": "org.wso2.carbon.event.processor.core.",
    "DependencyTracker": "org.wso2.carbon.mediation.dependency.mgt.",
}


def key_space(folder: str) -> str:
    """Return what names of this folder's artifacts are unique in ([S] config/SynapseConfiguration)."""
    kind: Kind | None = FOLDERS.get(folder)
    return "registry" if kind in SHARED_KEY_SPACE else folder


@dataclass(frozen=True)
class Line:
    """One entry of the log: level, class of the logger, text (with what follows it)."""

    level: str
    logger: str
    text: str
    thread: str = "Timer-0"


def in_log(dialect: Dialect, at: float, line: Line, tenant: str = "-1234") -> str:
    """Return an entry as the log has it, without its last newline; `at` is wall time (s), in UTC."""
    stamp = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")
    when = f"{stamp},{int(at * 1000) % 1000:03d}"
    if dialect.name == "synapse":
        return f"{when} [-] [{line.thread}] {line.level:>5} {line.logger} {line.text}"
    logger = _PACKAGES.get(line.logger, "org.apache.synapse.deployers.") + line.logger
    if dialect.name == "carbon-2":
        # `TID: [%T] [%S] [%d] %P%5p {%c} - %x %m {%c}%n` (product-apim v2.6.0 log4j.properties).
        first, newline, rest = line.text.partition("\n")
        head = f"TID: [{tenant}] [AM] [{when}] {line.level:>5} {{{logger}}} -  "
        return f"{head}{first} {{{logger}}}{newline}{rest}"
    # `TID: [%tenantId] [%appName] [%d] %5p {%c} - %m%ex%n` (product-apim v3.2.0 log4j2.properties:20).
    return f"TID: [{tenant}] [] [{when}] {line.level:>5} {{{logger}}} - {line.text}"
