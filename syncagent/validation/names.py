"""The names of the Synapse language, as data: which are mediators, what holds them, whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.validation.references import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterable

NS = f"{{{NAMESPACE}}}"


def _tags(*names: str) -> frozenset[str]:
    return frozenset(NS + name for name in names)


HOLDERS = _tags(
    *("sequence", "inSequence", "outSequence", "faultSequence", "in", "out", "filter", "then"),
    *("else", "case", "default", "onComplete", "onAccept", "onReject", "on-fail", "onCacheHit"),
)
"""Elements whose children are mediators."""

PAYLOADS = _tags("format", "source", "detail", "header", "property", "localEntry", "publishWSDL")
"""Elements that may hold any XML, as data."""

APACHE_MEDIATORS = _tags(
    # Those of Apache Synapse 3.0.1's core,
    *("aggregate", "annotatedCommand", "bean", "cache", "call-template", "callout", "class"),
    *("clone", "conditionalRouter", "dblookup", "dbreport", "drop", "ejb", "enqueue", "enrich"),
    *("eventPublisher", "filter", "header", "in", "iterate", "log", "loopback", "makefault"),
    *("out", "payloadFactory", "pojoCommand", "property", "respond", "rewrite", "rules"),
    *("sampler", "send", "sequence", "store", "switch", "template", "transaction", "validate"),
    # and those of its extensions.
    *("xslt", "script", "spring", "throttle", "xquery"),
)
"""What its `MediatorFactoryFinder` finds without another jar."""

WSO2_MEDIATORS = _tags(
    *("agent", "bam", "builder", "call", "comment", "connect", "dataServiceCall", "datamapper"),
    *("detach", "entitlementService", "eval", "event", "fastXSLT", "foreach", "jsontransform"),
    *("ntlm", "oauthService", "propertyGroup", "publishEvent", "RMSequence", "router", "rule"),
    *("ruleset", "scatter-gather", "session", "smooks", "throwError", "urlrewrite", "variable"),
)
"""What WSO2's products have beside those."""

BETWEEN = _tags(
    *("endpoint", "target", "inSequence", "outSequence", "faultSequence", "onComplete"),
    *("onAccept", "onReject", "on-fail", "onCacheHit", "case", "format", "args", "with-param"),
)
"""What stands between mediators, and never as one."""

_OFTEN = _tags(
    *("then", "else", "default", "description", "api", "proxy", "resource", "arg", "source"),
    *("action", "address", "timeout", "duration", "parameter", "schema", "code", "reason", "http"),
    *("suspendOnFailure", "markForSuspension", "errorCodes", "progressionFactor", "publishWSDL"),
)
"""What is often met elsewhere, so that nobody looks where it stands."""

FAMILIAR: frozenset[object] = APACHE_MEDIATORS | WSO2_MEDIATORS | BETWEEN | _OFTEN
"""Elements that are no surprise wherever they stand."""


def local_names(tags: Iterable[object]) -> list[str]:
    """Return the tags without their namespace, sorted."""
    return sorted(str(tag).removeprefix(NS) for tag in tags)
