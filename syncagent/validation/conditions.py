"""What the routing and the rewriting mediators must say: routes, conditions, actions on a URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.validation.expressions import regex_fault, xpath_fault
from syncagent.validation.faults import Fault, child_of, first
from syncagent.validation.names import NS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lxml.etree import _Element as Element

_BOOLEANS = frozenset({"true", "false"})
_ACTIONS = frozenset({"append", "prepend", "replace", "remove", "set"})
_FRAGMENTS = frozenset({"protocol", "host", "port", "path", "query", "ref", "user", "full"})
_PARTS = frozenset({"and", "or", "not", "equal", "match", "exist", "contains"})
_KINDS = frozenset({"header", "param", "url", "soap", "property"})
_TWO = 2


def _boolean(element: Element, attribute: str) -> Fault:
    value = element.get(attribute)
    if value is None or value.strip().lower() in _BOOLEANS:
        return None
    return ("bad-value", f"{attribute} is {value!r}, neither true nor false")


def _router(router: Element) -> Fault:
    return _boolean(router, "continueAfter")


def _route(route: Element) -> Fault:
    for name in ("condition", "target"):
        if child_of(route, NS + name) is None:
            return ("bad-mediator", f"<conditionalRoute> has no <{name}>")
    return _boolean(route, "breakRoute")


def _condition(condition: Element) -> Fault:
    """A condition is one expression of tests, and every test says what it looks at."""
    test = next(condition.iterchildren("*"), None)
    if test is not None:
        return _test(test)
    parent = condition.getparent()
    if parent is not None and parent.tag == f"{NS}conditionalRoute":
        return ("bad-mediator", "<condition> of a route is empty")
    return None


def _test(test: Element) -> Fault:
    name = str(test.tag).removeprefix(NS)
    if name not in _PARTS:
        return ("bad-mediator", f"<{name}> is no test of a <condition>")
    if name in {"and", "or", "not"}:
        parts = list(test.iterchildren("*"))
        if len(parts) < (1 if name == "not" else _TWO):
            return ("bad-mediator", f"<{name}> has too few tests in it")
        return first(_test, parts)
    kind = test.get("type")
    if kind is not None and kind not in _KINDS:
        return ("bad-value", f"a test of type {kind!r} is none")
    needed = {"equal": "value", "match": "regex"}.get(name)
    if needed is not None and test.get(needed) is None:
        return ("no-attribute", f"<{name}> has no {needed} attribute")
    return _tested(test, name, kind)


def _tested(test: Element, name: str, kind: str | None) -> Fault:
    """What is tested has a name; of a URL it is a part, or the whole."""
    source = test.get("source")
    if kind != "url" and source is None:
        return ("no-attribute", f"<{name}> has no source attribute")
    if kind == "url" and source is not None and source not in _FRAGMENTS:
        return ("bad-value", f"{source!r} is no part of a URL")
    unclosed = regex_fault(test.get("regex") or "")
    return None if unclosed is None else ("bad-expression", unclosed)


def _rewrite(rule: Element) -> Fault:
    """Each action of a rewriting rule says what it does, to which part, and with what."""
    return first(_action, rule.iterchildren(f"{NS}action"))


def _action(action: Element) -> Fault:
    kind = action.get("type", "set")
    fragment = action.get("fragment", "full")
    if kind not in _ACTIONS:
        return ("bad-value", f"the type {kind!r} of a rewriting action is none")
    if fragment not in _FRAGMENTS:
        return ("bad-value", f"{fragment!r} is no part of a URL")
    if kind == "replace" and action.get("regex") is None:
        return ("no-attribute", "<action> that replaces has no regex attribute")
    if kind == "remove" or action.get("value") is not None:
        return None
    xpath = action.get("xpath")
    if xpath is None:
        return ("no-attribute", "<action> has neither value nor xpath")
    fault = xpath_fault(xpath)
    return None if fault is None else ("bad-expression", fault)


CONDITION_RULES: Mapping[str, Callable[[Element], Fault]] = {
    f"{NS}conditionalRouter": _router,
    f"{NS}conditionalRoute": _route,
    f"{NS}condition": _condition,
    f"{NS}rewriterule": _rewrite,
}
"""By tag: the rule for each such element below an artifact's root."""
