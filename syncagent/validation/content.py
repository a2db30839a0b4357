"""Mediators that look at a message's content, or change it: what each must say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from syncagent.validation.expressions import regex_fault
from syncagent.validation.faults import Fault, child_of, first, keyed, missing, says, xpath
from syncagent.validation.names import NS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lxml.etree import _Element as Element

_SCOPES = frozenset(
    {
        *("default", "axis2", "axis2-client", "transport", "operation", "registry", "system"),
        *("analytics", "trace", "func", "env", "file"),
    }
)
_TYPES = frozenset(
    {"STRING", "BOOLEAN", "INTEGER", "LONG", "SHORT", "FLOAT", "DOUBLE", "OM", "JSON", "XML"}
)
_WHOLE = frozenset({"INTEGER", "LONG", "SHORT"})
_CATEGORIES = frozenset({"INFO", "TRACE", "DEBUG", "WARN", "ERROR", "FATAL"})
_BOOLEANS = frozenset({"true", "false"})
_JDBC_TYPE = re.compile(r"[A-Z_]+\Z")
_HEADER_SCOPES = frozenset({"default", "transport", "soap"})
_FAULT_VERSIONS = frozenset({"soap11", "soap12", "pox"})
_VARIABLES = frozenset(
    {
        *("INT", "INTEGER", "BOOLEAN", "BYTE", "DOUBLE", "SHORT", "LONG", "FLOAT", "STRING"),
        *("DOCUMENT", "DOCUMENT_ELEMENT", "ELEMENT"),
    }
)
_TARGETS = frozenset({"custom", "envelope", "body", "property", "key", "variable"})
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z")


def _property(element: Element) -> Fault:
    if element.get("name") is None:
        return "no-attribute", "<property> has no name attribute"
    if not says(element) and element.get("action") != "remove":
        return "<property> is set to nothing: it has neither value, expression nor child"
    scope = element.get("scope")
    if scope is not None and scope not in _SCOPES:
        return "bad-value", f"the scope {scope!r} of a property is none"
    value = element.get("value")
    fault = _typed(element.get("type"), value) or _part(element)
    if fault is not None or value is not None:
        return fault
    return xpath(element, "expression")


def _part(element: Element) -> Fault:
    """A part of a value is taken by a pattern, and by the number of a group in it."""
    pattern, group = element.get("pattern"), element.get("group")
    unclosed = None if pattern is None else regex_fault(pattern)
    if unclosed is not None:
        return "bad-expression", unclosed
    if group is not None and (pattern is None or not re.fullmatch(r"[+]?[0-9]{1,9}", group)):
        return "bad-value", f"the group {group!r} of a property is none of a pattern"
    return None


def _typed(kind: str | None, value: str | None) -> Fault:
    """A type is one, and a value that is there already is of it."""
    if kind is None or value is None:
        return None
    if kind not in _TYPES:
        return "bad-value", f"the type {kind!r} of a property is none"
    if kind in _WHOLE and not _INTEGER.match(value):
        return "bad-value", f"the value {value!r} is no {kind}"
    return None


def _log(element: Element) -> Fault:
    category = element.get("category")
    if category is not None and category.strip().upper() not in _CATEGORIES:
        return "bad-value", f"the log category {category!r} is none"
    for entry in element.iterchildren(f"{NS}property"):
        if not entry.get("name"):
            return "no-attribute", "<property> of a <log> has no name attribute"
        if not says(entry):
            return "<property> of a <log> has neither value nor expression"
        fault = None if entry.get("value") is not None else xpath(entry, "expression")
        if fault is not None:
            return fault
    return None


def _header(element: Element) -> Fault:
    name = element.get("name")
    embedded = next(element.iterchildren("*"), None) is not None
    if name is None:
        return None if embedded else ("no-attribute", "<header> has no name attribute")
    scope = element.get("scope")
    if scope is not None and scope not in _HEADER_SCOPES:
        return "bad-value", f"the scope {scope!r} of a header is none"
    prefix, colon, _ = name.partition(":")
    if colon and scope != "transport" and prefix not in element.nsmap:
        return "bad-value", f"the prefix {prefix!r} of a header's name stands for no namespace"
    if element.get("action") != "remove" and not embedded and not says(element):
        return "<header> is set to nothing: it has neither value nor expression"
    return None if element.get("value") is not None else xpath(element, "expression")


def _enrich(element: Element) -> Fault:
    for name in ("source", "target"):
        child = child_of(element, NS + name)
        if child is None:
            return f"<enrich> has no <{name}>"
        kind = child.get("type")
        if name == "target" and kind is not None and kind not in _TARGETS:
            return "bad-value", f"the type {kind!r} of an enrichment's target is none"
        fault = _enriched(child, "custom" if kind is None else kind)
        if fault is not None:
            return fault
    return None


def _enriched(child: Element, kind: str) -> Fault:
    """Each type of source and target says where it is."""
    if kind == "custom":
        return missing(child, "xpath") or xpath(child, "xpath")
    if kind == "property":
        return missing(child, "property")
    if kind == "inline" and child.get("key") is None:
        empty = next(child.iterchildren("*"), None) is None and not child.text
        return "an inline source of <enrich> holds nothing" if empty else None
    return None


def _payload_factory(element: Element) -> Fault:
    shape = child_of(element, f"{NS}format")
    if shape is None:
        return "<payloadFactory> has no <format>"
    if (
        shape.get("key") is None
        and element.get("media-type", "xml") == "xml"
        and element.get("template-type") is None
        and next(shape.iterchildren("*"), None) is None
    ):
        return "the <format> of an XML payload holds no element"
    arguments = child_of(element, f"{NS}args")
    if arguments is None:
        return None
    return first(_argument, arguments.iterchildren("*"))


def _argument(argument: Element) -> Fault:
    if argument.get("value") is not None:
        return None
    if argument.get("expression") is None:
        return "an argument of <payloadFactory> has neither value nor expression"
    return None if argument.get("evaluator") == "json" else xpath(argument, "expression")


def _make_fault(element: Element) -> Fault:
    version = element.get("version")
    if version is not None and version not in _FAULT_VERSIONS:
        return "bad-value", f"the version {version!r} of a fault is none"
    if element.get("response", "true") not in _BOOLEANS:
        return "bad-value", "response of <makefault> is neither true nor false"
    detail = child_of(element, f"{NS}detail")
    return _said(element, version) or (None if detail is None else xpath(detail, "expression"))


def _said(element: Element, version: str | None) -> Fault:
    """A fault has a code and a reason, unless it is plain XML."""
    for name in ("code", "reason"):
        child = child_of(element, NS + name)
        if child is None:
            if version != "pox":
                return f"<makefault> has no <{name}>"
        elif child.get("value") is None:
            fault = missing(child, "expression") or xpath(child, "expression")
            if fault is not None:
                return fault
    return None


def _callout(element: Element) -> Fault:
    for name in ("source", "target"):
        child = child_of(element, NS + name)
        fault = None if child is None else xpath(child, "xpath")
        if fault is not None:
            return fault
    return None


def _xquery(element: Element) -> Fault:
    for variable in element.iterchildren(f"{NS}variable"):
        kind = variable.get("type")
        if kind and kind.strip() not in _VARIABLES:
            return "bad-value", f"the type {kind!r} of a variable is none"
        fault = xpath(variable, "expression") if variable.get("expression") else None
        if fault is not None:
            return fault
    return keyed(element) or (xpath(element, "target") if element.get("target") else None)


def _xslt(element: Element) -> Fault:
    for resource in element.iterchildren(f"{NS}resource"):
        fault = missing(resource, "location", "key")
        if fault is not None:
            return fault
    return keyed(element) or xpath(element, "source")


def _database(element: Element) -> Fault:
    pool = element.find(f"{NS}connection/{NS}pool")
    if pool is None:
        return f"<{str(element.tag).removeprefix(NS)}> has no <connection> with a <pool>"
    if child_of(pool, f"{NS}dsName") is None:
        for name in ("driver", "url", "user", "password"):
            child = child_of(pool, NS + name)
            if child is None or not (child.text or child.attrib or name == "password"):
                return f"<pool> has neither a <dsName> nor a <{name}>"
    return first(_statement, element.iterchildren(f"{NS}statement"))


def _statement(statement: Element) -> Fault:
    if child_of(statement, f"{NS}sql") is None:
        return "<statement> has no <sql>"
    for parameter in statement.iterchildren(f"{NS}parameter"):
        if not _JDBC_TYPE.match(parameter.get("type") or ""):
            return "bad-value", f"the type {parameter.get('type')!r} of a parameter is none"
        fault = None if parameter.get("value") is not None else xpath(parameter, "expression")
        if fault is not None:
            return fault
    return None


CONTENT_RULES: Mapping[str, Callable[[Element], Fault]] = {
    f"{NS}callout": _callout,
    f"{NS}dblookup": _database,
    f"{NS}dbreport": _database,
    f"{NS}enrich": _enrich,
    f"{NS}header": _header,
    f"{NS}log": _log,
    f"{NS}makefault": _make_fault,
    f"{NS}payloadFactory": _payload_factory,
    f"{NS}property": _property,
    f"{NS}xquery": _xquery,
    f"{NS}xslt": _xslt,
}
"""By tag: the rule for each such element that is a mediator."""
