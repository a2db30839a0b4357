"""What WSO2's Synapse reads and Apache Synapse 3.0.1 does not: rules beside an Apache Synapse only.

An update that Apache Synapse refuses ends its hot deployment, so what it would refuse for want of a word
is refused here, with the line and the word. Each rule is a place at which its factories throw, read in
their sources and seen on a real one (`tests/e2e/test_synapse_agreement.py`); `validation.mediators` has
the rules that hold everywhere. Here too a mediator of a name that nobody knows passes with a warning: a
jar may bring it. That a jar could bring one of WSO2's names is not reckoned with.

Most rules are tables: which attributes are XPath 1.0 and nothing else, which are computed if they are in
braces, which values there are. What an endpoint template holds is built only when it is used.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from syncagent.core.artifact import Kind
from syncagent.core.verdict import Problem
from syncagent.validation.expressions import is_xpath
from syncagent.validation.faults import Fault, child_of, either, first
from syncagent.validation.names import BETWEEN, HOLDERS, NS, WSO2_MEDIATORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lxml.etree import _Element as Element

    from syncagent.validation.faults import Rule

_SCOPES = frozenset({"default", "axis2", "axis2-client", "transport"})
_HEADER_SCOPES = frozenset({"soap", "transport"})
_TYPES = frozenset({"STRING", "BOOLEAN", "INTEGER", "LONG", "SHORT", "FLOAT", "DOUBLE", "OM"})
_METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "OPTIONS"})
_TARGETS = frozenset({"custom", "envelope", "body", "property", "inline"})
_SOAP_12 = "http://www.w3.org/2003/05/soap-envelope"
_CODES = frozenset(
    {"DataEncodingUnknown", "MustUnderstand", "Receiver", "Sender", "VersionMismatch"}
)
_BODIES: frozenset[object] = frozenset(
    NS + name
    for name in (
        *("address", "wsdl", "default", "loadbalance", "dynamicLoadbalance", "failover"),
        *("serviceDynamicLoadbalance", "recipientlist", "class"),
    )
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z")
_LATER = re.compile(r"[${}]")
_ESCAPED_MIN = 4
"""So long is the shortest text in double braces: those are taken as they stand."""


def _unknown(what: str) -> tuple[str, str]:
    return "dialect", f"Apache Synapse does not know {what}"


def _name(element: Element) -> str:
    return str(element.tag).removeprefix(NS)


# --- expressions ----------------------------------------------------------------------------------


def _xpath(text: str) -> Fault:
    if is_xpath(text):
        return None
    return _unknown(f'the language of the expression "{text}": it reads XPath 1.0 alone')


def _computed(element: Element, attribute: str) -> Fault:
    """A value that may be computed: in braces it is XPath; an empty one makes its reader stumble."""
    text = element.get(attribute)
    if text is None:
        return None
    if not text:
        return _unknown(f"an empty {attribute} of <{_name(element)}>")
    if text[0] != "{" or text[-1] != "}":
        return None
    if len(text) >= _ESCAPED_MIN and text[1] == "{" and text[-2] == "}":
        return None
    return _xpath(text[1:-1])


_Reads = tuple[tuple[str, ...], str, str]
"""The way down to an element, its attribute, and the one beside which that is not read."""

_EXPRESSIONS: Mapping[str, tuple[_Reads, ...]] = {
    "aggregate": ((("correlateOn",), "expression", ""), (("onComplete",), "expression", "")),
    "callout": ((("source",), "xpath", ""), (("target",), "xpath", "")),
    "dblookup": ((("statement", "parameter"), "expression", "value"),),
    "dbreport": ((("statement", "parameter"), "expression", "value"),),
    "filter": (((), "xpath", ""), ((), "source", "xpath")),
    "header": (((), "expression", "value"),),
    "iterate": (((), "expression", ""), ((), "attachPath", "")),
    "makefault": (
        (("code",), "expression", "value"),
        (("reason",), "expression", "value"),
        (("detail",), "expression", ""),
    ),
    "payloadFactory": ((("args", "*"), "expression", "value"),),
    "rewriterule": ((("action",), "xpath", "value"),),
    "switch": (((), "source", ""),),
    "validate": (((), "source", ""),),
    "xquery": (((), "target", ""), (("variable",), "expression", "value")),
    "xslt": (((), "source", ""),),
}
"""By element: what its factory compiles as XPath."""

_COMPUTED: Mapping[str, tuple[_Reads, ...]] = {
    "call-template": ((("with-param",), "value", ""),),
    "ejb": (((), "sessionId", ""), (("args", "arg"), "value", "")),
    "recipientlist": ((("endpoints",), "value", ""),),
    "script": (((), "key", ""),),
    "send": (((), "receive", ""),),
    "sequence": (((), "key", ""),),
    "validate": ((("schema",), "key", ""),),
    "xslt": (((), "key", ""),),
}
"""By element: what may be computed."""


def _down(element: Element, way: tuple[str, ...]) -> Iterator[Element]:
    if not way:
        yield element
        return
    tag = "*" if way[0] == "*" else NS + way[0]
    for child in element.iterchildren(tag):
        yield from _down(child, way[1:])


def _expressions(element: Element, reads: tuple[_Reads, ...]) -> Fault:
    for way, attribute, beside in reads:
        for place in _down(element, way):
            text = place.get(attribute)
            if text and (not beside or place.get(beside) is None):
                fault = _xpath(text)
                if fault is not None:
                    return fault
    return None


def _values(element: Element, reads: tuple[_Reads, ...]) -> Fault:
    for way, attribute, _ in reads:
        fault = first(lambda place, name=attribute: _computed(place, name), _down(element, way))  # type: ignore[misc]
        if fault is not None:
            return fault
    return None


# --- mediators ------------------------------------------------------------------------------------


def _property(element: Element) -> Fault:
    scope, kind, value = element.get("scope"), element.get("type"), element.get("value")
    if scope is not None and scope not in _SCOPES:
        return _unknown(f"the scope {scope!r} of a property")
    if value is not None:
        if kind is not None and kind not in _TYPES:
            return _unknown(f"the type {kind!r} of a property")
        return None
    text = element.get("expression")
    if not text or next(element.iterchildren("*"), None) is not None:
        return None
    return _xpath(text)


def _properties(element: Element) -> Fault:
    return first(_entry, element.iterchildren(f"{NS}property"))


def _entry(entry: Element) -> Fault:
    """A property of a log, a transformation or an endpoint."""
    scope, value, text = entry.get("scope"), entry.get("value"), entry.get("expression")
    if scope is not None and scope not in _SCOPES:
        return _unknown(f"the scope {scope!r} of a property")
    if value is None and text is not None:
        return _xpath(text)
    if not (value or "").strip() or not (entry.get("name") or "").strip():
        return _unknown("a property here that has no name, or neither value nor expression")
    return None


def _header(element: Element) -> Fault:
    scope = element.get("scope")
    if element.get("name") is None or scope is None or scope.lower() in _HEADER_SCOPES:
        return None
    return _unknown(f"the scope {scope!r} of a header")


def _payload(element: Element) -> Fault:
    shape = child_of(element, f"{NS}format")
    if shape is None or next(shape.iterchildren("*"), None) is not None:
        return None
    return _unknown("a <format> that holds no XML element")


def _make_fault(element: Element) -> Fault:
    if element.get("version") == "soap11":
        if child_of(element, f"{NS}node") is not None:
            return _unknown("a <node> in a fault of SOAP 1.1")
        return None
    code = child_of(element, f"{NS}code")
    text = None if code is None else code.get("value")
    if code is None or text is None:
        return None
    prefix, colon, name = text.rpartition(":")
    if name in _CODES and code.nsmap.get(prefix if colon else None) == _SOAP_12:
        return None
    return _unknown(f"the fault code {text!r} of SOAP 1.2")


def _enrich(element: Element) -> Fault:
    for name in ("source", "target"):
        child = child_of(element, NS + name)
        if child is None:
            continue
        kind = child.get("type", "custom")
        if name == "target" and kind not in _TARGETS:
            return _unknown(f"the type {kind!r} of an enrichment's target")
        text = child.get("xpath") if kind == "custom" else None
        fault = _xpath(text) if text else None
        if fault is not None:
            return fault
    return None


def _callout(element: Element) -> Fault:
    for name in ("source", "target"):
        child = child_of(element, NS + name)
        if child is not None and child.get("xpath") is None and child.get("key") is None:
            return _unknown(f"a <{name}> of <callout> without xpath and key")
    return None


def _aggregate(element: Element) -> Fault:
    condition = child_of(element, f"{NS}completeCondition")
    if condition is None:
        return None
    count = child_of(condition, f"{NS}messageCount")
    said = [condition.get("timeout")]
    said += [] if count is None else [count.get("min"), count.get("max")]
    for text in said:
        if text is not None and not _INTEGER.match(text):
            return _unknown(f"numbers that are computed: {text!r} of an <aggregate>")
    return None


def _else(element: Element) -> Fault:
    parent = element.getparent()
    if parent is None or child_of(parent, f"{NS}then") is not None:
        return None
    return _unknown("an <else> without a <then>")


# --- endpoints ------------------------------------------------------------------------------------


def _endpoint(endpoint: Element) -> Fault:
    parent = endpoint.getparent()
    if parent is not None and parent.tag in HOLDERS:
        return _unknown("a mediator <endpoint>")
    has = endpoint.get
    if has("key") is not None:
        return None
    if has("key-expression") is not None:
        return _xpath(has("key-expression", ""))
    fault: Fault = None
    if has("template") is not None:
        if has("name") is None or has("uri") is None:
            fault = _unknown("an <endpoint> of a template that has no name or no uri")
    elif any(child.tag in _BODIES for child in endpoint.iterchildren()):
        fault = _properties(endpoint)
    elif child_of(endpoint, f"{NS}http") is not None:
        fault = _unknown("<http> in an <endpoint>")
    return None if fault is None or _of_template(endpoint) else fault


def _numbers(element: Element) -> Fault:
    """What an endpoint does when it is slow or down is said in numbers, and no later."""
    for child in (element, *element.iterchildren("*")):
        if _LATER.search(child.text or "") and not _of_template(element):
            return _unknown(f"numbers that are computed: <{_name(child)}> holds {child.text!r}")
    return None


def _of_template(element: Element) -> bool:
    """Tell whether an element is part of an endpoint template: that is text until it is used."""
    above = [element, *element.iterancestors()]
    return above[-1].tag == f"{NS}template" and above[-2].tag == f"{NS}endpoint"


# --- the tables -----------------------------------------------------------------------------------


def _reading(
    check: Callable[[Element, tuple[_Reads, ...]], Fault], reads: tuple[_Reads, ...]
) -> Rule:
    return lambda element: check(element, reads)


def _never(tag: str) -> Rule:
    fault = _unknown(f"<{tag.removeprefix(NS)}>, a mediator of WSO2's")
    return lambda _element: fault


def _misplaced(tag: str) -> Rule:
    fault = _unknown(f"a mediator <{tag.removeprefix(NS)}>")
    return lambda _element: fault


def _made() -> dict[str, Rule]:
    rules: dict[str, Rule] = {
        "aggregate": _aggregate,
        "callout": _callout,
        "else": _else,
        "enrich": _enrich,
        "header": _header,
        "log": _properties,
        "makefault": _make_fault,
        "payloadFactory": _payload,
        "property": _property,
        "xslt": _properties,
        "endpoint": _endpoint,
        **dict.fromkeys(("timeout", "markForSuspension", "suspendOnFailure"), _numbers),
        "suspendDurationOnFailure": _numbers,
    }
    for check, table in ((_expressions, _EXPRESSIONS), (_values, _COMPUTED)):
        for name, reads in table.items():
            rule = _reading(check, reads)
            rules[name] = either(rules[name], rule) if name in rules else rule
    return {NS + name: rule for name, rule in rules.items()}


_ANYWHERE = frozenset(
    NS + name
    for name in (
        *("endpoint", "timeout", "markForSuspension", "suspendOnFailure"),
        *("suspendDurationOnFailure", "recipientlist", "rewriterule"),
    )
)
_MADE = _made()

APACHE_ELEMENT_RULES: Mapping[str, Rule] = {
    tag: rule for tag, rule in _MADE.items() if tag in _ANYWHERE
}
"""By tag: the rule for each such element, wherever it stands."""

APACHE_MEDIATOR_RULES: Mapping[str, Rule] = {
    **{tag: _misplaced(tag) for tag in BETWEEN - _ANYWHERE},
    **{tag: _never(tag) for tag in WSO2_MEDIATORS},
    **{tag: rule for tag, rule in _MADE.items() if tag not in _ANYWHERE},
}
"""By tag: the rule for each such element that is a mediator, or stands where one does."""


def connector_fault(name: str) -> tuple[str, str]:
    """Return why an operation of a connector, whose name has a dot, is refused."""
    return _unknown(f"<{name}>: it has no connectors")


# --- whole artifacts ------------------------------------------------------------------------------


def apache_problems(kind: Kind, root: Element) -> Iterator[Problem]:
    """Yield what Apache Synapse does not know of an artifact's own elements, each with its line."""
    if kind is Kind.INBOUND_ENDPOINT:
        yield _at(root, _unknown("<inboundEndpoint>: it has no inbound endpoints"))
    elif kind is Kind.ENDPOINT:
        fault = _endpoint(root)
        if isinstance(fault, tuple):
            yield _at(root, fault)
    elif kind is Kind.API:
        yield from _api(root)


def _at(element: Element, fault: tuple[str, str]) -> Problem:
    return Problem(*fault, element.sourceline or 1)


def _api(api: Element) -> Iterator[Problem]:
    if (api.get("version-type") or "").strip() == "context":
        yield _at(api, _unknown("the version-type 'context'"))
    for resource in api.iterchildren(f"{NS}resource"):
        for method in (resource.get("methods") or "").split():
            if method not in _METHODS:
                yield _at(resource, _unknown(f"the method {method} of a <resource>"))
