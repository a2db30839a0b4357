"""What runtimes write into their logs, as data: a `Dialect` per product and version.

Every text here stands verbatim in the products' sources (`org.apache.synapse.deployers`,
`MultiXMLConfigurationBuilder`, Carbon's `EventProcessorDeployer`), misspellings included, and those of
Apache Synapse 3.0.1 were seen on a running one. A pattern is searched in an entry's message. Its groups:

- `file`: the artifact's absolute path as the runtime resolved it
- `base`: a file's name without its folder (what is loaded at a start); `word` says which folder
- `word`, `name`: the kind as the runtime calls it, and the artifact's name
- `reason`: why

`saying` None: the line is known, and says nothing about a file. `at_start`: what it says while the
runtime starts, if that is something else. `aside`: the runtime says it of its configuration, whatever
changed that: it counts only where its log names time and tenant, and at a start it tells nothing. A log
that uses other words needs another dialect here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property

from syncagent.core.artifact import Kind
from syncagent.core.runtime import Saying

_DATE = r"(?P<at>\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d[,.]\d{3})(?:[+-]\d{4})?"

LAYOUT_APACHE = re.compile(
    rf"{_DATE} (?:\[(?P<host>[^\]]*)\] )?\[(?P<thread>[^\]]*)\] +(?P<level>[A-Z]+) +"
    r"(?P<logger>\S+) (?P<text>.*)"
)
"""log4j.properties of the distribution: `%d{ISO8601} [%X{ip}-%X{host}] [%t] %5p %c{1} %m%n`."""
LAYOUT_CARBON = re.compile(
    rf"(?:TID: ?\[(?P<tenant>[^\]]*)\] (?:\[[^\]]*\] )*)?\[{_DATE}\] +(?P<level>[A-Z]+) +"
    r"\{(?P<logger>[^}]*)\} +-(?P<text>.*)"
)
"""3.x, 4.x: `TID: [%tenantId] [%appName] [%d] %5p {%c} - %m%ex%n`; the Micro Integrator has no TID."""
LAYOUT_CARBON_2 = re.compile(
    rf"TID: ?\[(?P<tenant>[^\]]*)\] (?:\[[^\]]*\] )*\[{_DATE}\] +(?P<level>[A-Z]+) +"
    r"\{(?P<logger>[^}]*)\} +-(?P<text>.*) \{(?P=logger)\}"
)
"""2.x: `TID: [%T] [%S] [%d] %P%5p {%c} - %x %m {%c}%n`: the logger stands at the end again."""

LAYOUTS = (LAYOUT_APACHE, LAYOUT_CARBON, LAYOUT_CARBON_2)

WORDS = {
    "API": Kind.API,
    "Sequence": Kind.SEQUENCE,
    "Endpoint": Kind.ENDPOINT,
    "LocalEntry": Kind.LOCAL_ENTRY,
    "Local Entry": Kind.LOCAL_ENTRY,
    "Local entry": Kind.LOCAL_ENTRY,
    "ProxyService": Kind.PROXY_SERVICE,
    "Proxy service": Kind.PROXY_SERVICE,
    "Proxy Service": Kind.PROXY_SERVICE,
    "Template": Kind.TEMPLATE,
    "Endpoint Template": Kind.TEMPLATE,
    "StartupTask": Kind.TASK,
    "Task": Kind.TASK,
    "Startup": Kind.TASK,
    "EventSource": Kind.EVENT_SOURCE,
    "Event Source": Kind.EVENT_SOURCE,
    "Event source": Kind.EVENT_SOURCE,
    "PriorityExecutor": Kind.PRIORITY_EXECUTOR,
    "Executor": Kind.PRIORITY_EXECUTOR,
    "Priority executor": Kind.PRIORITY_EXECUTOR,
    "Inbound Endpoint": Kind.INBOUND_ENDPOINT,
    "InboundEndpoint": Kind.INBOUND_ENDPOINT,
    "Message Store": Kind.MESSAGE_STORE,
    "MessageStore": Kind.MESSAGE_STORE,
    "Message Processor": Kind.MESSAGE_PROCESSOR,
    "MessageProcessor": Kind.MESSAGE_PROCESSOR,
    "Synapse Library Import": Kind.IMPORT,
    "Import": Kind.IMPORT,
    "Synapse Import": Kind.IMPORT,
}
"""What the runtime calls a kind, in any of its messages."""

_NAME = "(?P<name>.{1,512}?)"
"""Bounded, because it may be looked for from every place of a line that somebody else has filled."""
_WORD = "(?P<word>" + "|".join(sorted(map(re.escape, WORDS), key=len, reverse=True)) + ")"


@dataclass(frozen=True, slots=True)
class Pattern:
    """One message. `kind` where the text implies it."""

    saying: Saying | None
    text: re.Pattern[str]
    kind: Kind | None = None
    at_start: Saying | None = None
    aside: bool = False


def _says(
    saying: Saying | None,
    text: str,
    kind: Kind | None = None,
    at_start: Saying | None = None,
) -> Pattern:
    return Pattern(saying, re.compile(text), kind, at_start)


SYNAPSE = (
    _says(
        Saying.DEPLOYED,
        rf"^{_WORD} named '{_NAME}'? has been deployed from file : (?P<file>.+)$",
    ),
    _says(
        Saying.UPDATED,
        rf"^{_WORD} named '{_NAME}'? has been updated? from file : (?P<file>.+)$",
    ),
    _says(Saying.UPDATED, rf"^{_WORD}: {_NAME} has been updated from the file: (?P<file>.+)$"),
    _says(Saying.UNDEPLOYED, rf"^{_WORD}(?:: | named '?){_NAME}'? has been undeployed$"),
    _says(Saying.RESTORED, rf"^{_WORD} named '{_NAME}'? has been restored$"),
    _says(
        Saying.BACKED_UP,
        r"^The (?:updated )?file has been backed up into : (?P<file>.+?)(?:\.\d+)?\.back$",
    ),
    _says(None, r"^The (?:updated )?file has been backed up into : NO_BACKUP_ON_WORKER\.INFO$"),
    _says(Saying.RESTORED, r"^Restoring the (?:existing )?artifact into the file : (?P<file>.+)$"),
    _says(
        Saying.REJECTED,
        r"^(?:Update|Deployment) of the Synapse Artifact from file : (?P<file>.+?) : Failed",
    ),
    _says(
        Saying.REJECTED,
        r"^Deployment of synapse artifact failed\. Error (?:parsing|reading) (?P<file>.+?) : (?P<reason>.*)$",
    ),
    _says(Saying.REJECTED, rf"^{_WORD} [Dd]eployment from the file : (?P<file>.+?) : Failed"),
    _says(Saying.REJECTED, rf"^Error while updating the {_WORD} from the file: (?P<file>.+)$"),
    _says(Saying.REJECTED, r"^Unable to undeploy the artifact from file : (?P<file>.+)$"),
    _says(
        Saying.LOST_TRACK,
        r"^Artifact representing the filename (?P<file>.+) is not deployed on Synapse$",
    ),
    _says(
        Saying.REJECTED,
        rf"^{_WORD} hot deployment from file: (?P<file>.+?) failed - Continue in (?:\w+ )*fail-safe mode",
    ),
    _says(
        Saying.REJECTED,
        rf"^{_WORD} configuration cannot be built from: (?P<base>.+?) - Continue in (?:\w+ )*fail-safe mode",
    ),
    _says(
        Saying.REJECTED,
        rf"^Error while building {_WORD} configuration from file : (?P<base>.+?) - Continue in (?:\w+ )*fail-safe mode",
    ),
    _says(
        Saying.REJECTED,
        rf"^{_WORD} configuration(?:: {_NAME})? cannot be built - Continue in (?:\w+ )*fail-safe mode",
    ),
    _says(
        Saying.REJECTED,
        rf"^The proxy service {_NAME} cannot be deployed - Continue in (?:\w+ )*fail-safe mode",
        Kind.PROXY_SERVICE,
    ),
    _says(
        None,
        r"^(?:\{[^}]*\} *)?Initializing API: (?P<name>.+)$",
        Kind.API,
        at_start=Saying.DEPLOYED,
    ),
)
"""The deployers and the start-up of any Synapse."""

_CONFIGURED = "the Synapse configuration successfully"
OBSERVED = (
    Pattern(
        Saying.SAVED,
        re.compile(rf"^{_WORD} : {_NAME} was (?:added to|updated from) {_CONFIGURED}$"),
        aside=True,
    ),
    Pattern(
        Saying.DROPPED,
        re.compile(rf"^{_WORD} : {_NAME} was +removed (?:from|to) {_CONFIGURED}$"),
        aside=True,
    ),
    _says(None, rf"^{_WORD} : .+ was .*{_CONFIGURED} - "),
    _says(None, r"^Error while running deployment scheduler"),
)
"""`AbstractSynapseObserver` of WSO2 (two spaces before "removed", of a sequence), beside the deployer's own
line, and alone for what the console and the admin services did. What follows " - " is an archive's
name: it has no file here. The last one means that the rest of that scan was dropped, without a word
which files that were."""

PLANS = (
    _says(
        Saying.DEPLOYED,
        r"^Execution plan is deployed successfully and in active state +: +(?P<name>.+)$",
        Kind.PLAN,
    ),
    _says(
        Saying.UNDEPLOYED, r"^Execution Plan was undeployed successfully : (?P<base>.+)$", Kind.PLAN
    ),
    _says(
        Saying.REJECTED,
        r"^Execution plan is not deployed and in inactive state : (?P<base>.+)$",
        Kind.PLAN,
    ),
    _says(Saying.REJECTED, r"^Can't deploy the execution plan: (?P<base>.+)$", Kind.PLAN),
)
"""Siddhi plans on a Carbon runtime. An update is an undeploy and a deploy."""


@dataclass(frozen=True)
class Dialect:
    """How one family of runtimes writes.

    `hints` are byte strings of which at least one is in every line that matters here: what holds
    none of them is passed over unread. `deployer` matches the threads that hot deployment may run
    on, None where the log does not tell or their death would not be silent.
    """

    name: str
    layouts: tuple[re.Pattern[str], ...]
    patterns: tuple[Pattern, ...]
    starts: re.Pattern[str]
    ready: re.Pattern[str]
    stops: re.Pattern[str]
    hints: tuple[bytes, ...]
    start_words: tuple[bytes, ...]
    deployer: re.Pattern[str] | None = None

    @cached_property
    def loose(self) -> Dialect:
        """The same for a log in a layout of its own, where a message begins anywhere in its line."""
        return replace(
            self,
            patterns=tuple(replace(each, text=_unanchored(each.text)) for each in self.patterns),
            starts=_unanchored(self.starts),
            ready=_unanchored(self.ready),
            stops=_unanchored(self.stops),
        )


def _unanchored(text: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.]){text.pattern.removeprefix('^')}")


_HINTS = (b" has been ", b"rtifact", b": Failed", b"fail-safe mode", b"Error while updating the ")

APACHE_3 = Dialect(
    "Apache Synapse 3",
    (LAYOUT_APACHE, LAYOUT_CARBON),
    SYNAPSE,
    starts=re.compile(r"^Starting Apache Synapse"),
    ready=re.compile(r"^(?:Server ready for processing\.\.\.|Apache Synapse started successfully)"),
    stops=re.compile(
        r"^(?:Error starting Apache Synapse|Shutting down Apache Synapse|Apache Synapse shutdown complete)"
    ),
    hints=(
        *_HINTS,
        b"Apache Synapse",
        b"Server ready for processing",
        b"[Timer-",
        b"Initializing API: ",
    ),
    start_words=(b"Starting Apache Synapse",),
    deployer=re.compile(r"Timer-\d+"),
)
"""Apache Synapse 2.1 to 3.0: hot deployment runs on a `java.util.Timer`, which one error ends."""

CARBON_3 = Dialect(
    "WSO2 Carbon 4.5+",
    (LAYOUT_CARBON, LAYOUT_APACHE),
    (*SYNAPSE, *OBSERVED, *PLANS),
    starts=re.compile(r"^Starting WSO2 (?:Carbon|Micro Integrator)"),
    ready=re.compile(r"^WSO2 (?:Carbon|Micro Integrator) started in [\d.]+ sec"),
    # "Gracefully shutting down WSO2 API Manager..."; where it is missing the process's end tells.
    stops=re.compile(r"^(?:Gracefully s|S)hutting down WSO2 "),
    hints=(
        *_HINTS,
        b"WSO2 ",
        b"ecution ",
        b"Initializing API: ",
        b" the Synapse configuration successfully",
    ),
    start_words=(b"Starting WSO2 Carbon", b"Starting WSO2 Micro Integrator"),
)
"""API Manager 3.x and 4.x, EI 6.4+ and 7, Micro Integrator."""

CARBON_2 = Dialect(
    "WSO2 Carbon 4.4",
    (LAYOUT_CARBON_2, LAYOUT_CARBON, LAYOUT_APACHE),
    CARBON_3.patterns,
    CARBON_3.starts,
    CARBON_3.ready,
    CARBON_3.stops,
    CARBON_3.hints,
    CARBON_3.start_words,
)
"""API Manager 1.x and 2.x, ESB 4.x and 5.0, EI 6.0 to 6.3."""

_FIRST_3 = (3, 0)


def dialect_for(*, carbon: bool, product: str, version: str) -> Dialect:
    """Return the dialect of a product; the newest of its family where the version is not known."""
    if not carbon:
        return APACHE_3
    found = re.match(r"(\d+)\.(\d+)", version)
    numbers = (int(found[1]), int(found[2])) if found else None
    if product == "API Manager":
        return CARBON_2 if numbers and numbers < _FIRST_3 else CARBON_3
    if product == "Enterprise Integrator":
        return CARBON_2 if numbers and numbers < (6, 4) else CARBON_3
    return CARBON_3
