"""Mediators that decide where a message goes, and those that hold others: what each must say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.validation.expressions import regex_fault
from syncagent.validation.faults import Fault, child_of, first, keyed, missing, number, xpath
from syncagent.validation.names import NS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lxml.etree import _Element as Element

_NEEDS: Mapping[str, tuple[str, ...]] = {
    "bean": ("var",),
    "class": ("name",),
    "ejb": ("beanstalk",),
    "enqueue": ("sequence",),
    "pojoCommand": ("name",),
    "spring": ("bean",),
    "store": ("messageStore",),
    "transaction": ("action",),
}
"""Attributes without which a mediator is nothing."""


def _filter(element: Element) -> Fault:
    if element.get("xpath") is not None:
        return xpath(element, "xpath")
    source, regex = element.get("source"), element.get("regex")
    if not source or not regex:
        return "no-attribute", "<filter> has neither an xpath nor source and regex"
    fault = regex_fault(regex)
    return ("bad-expression", fault) if fault is not None else xpath(element, "source")


def _switch(element: Element) -> Fault:
    fault = missing(element, "source") or xpath(element, "source")
    for case in () if fault else element.iterchildren(f"{NS}case"):
        regex = case.get("regex")
        if regex is None:
            return "no-attribute", "<case> has no regex attribute"
        unclosed = regex_fault(regex)
        if unclosed is not None:
            return "bad-expression", unclosed
    return fault


def _iterate(element: Element) -> Fault:
    if element.get("attachPath") is not None and element.get("preservePayload") != "true":
        return "<iterate> has an attachPath but does not preserve the payload"
    if child_of(element, f"{NS}target") is None:
        return "no-target", "<iterate> has no <target>"
    return (
        missing(element, "expression")
        or xpath(element, "expression")
        or xpath(element, "attachPath")
    )


def _aggregate(element: Element) -> Fault:
    condition = child_of(element, f"{NS}completeCondition")
    if condition is not None:
        timeout = condition.get("timeout")
        if timeout is not None and not number(timeout):
            return "no-number", f"the timeout {timeout!r} of an <aggregate> is no number"
        count = child_of(condition, f"{NS}messageCount")
        for bound in () if count is None else (count.get("min"), count.get("max")):
            if bound is not None and not number(bound):
                return "no-number", f"the message count {bound!r} of an <aggregate> is no number"
    for name in ("correlateOn", "onComplete"):
        child = child_of(element, NS + name)
        fault = None if child is None else xpath(child, "expression")
        if fault is not None:
            return fault
    return None


def _script(element: Element) -> Fault:
    if element.get("function") is not None and element.get("key") is None:
        return "no-attribute", "<script> has a function but no key attribute"
    return missing(element, "language")


def _throttle(element: Element) -> Fault:
    if not element.get("id"):
        return "no-attribute", "<throttle> has no id attribute"
    policy = child_of(element, f"{NS}policy")
    if policy is not None and policy.get("key") == "":
        return "no-attribute", "<policy> of a <throttle> has an empty key attribute"
    return None


def _validate(element: Element) -> Fault:
    schemas = list(element.iterchildren(f"{NS}schema"))
    if not schemas:
        return "<validate> has no <schema>"
    failing = element.find(f"{NS}on-fail")
    if failing is None or next(failing.iterchildren("*"), None) is None:
        return "<validate> has no <on-fail>, or an empty one"
    return first(keyed, schemas) or xpath(element, "source")


def _sequence(element: Element) -> Fault:
    if element.get("key") or (element.get("key") is None and element.get("name") is not None):
        return None
    return "no-attribute", "<sequence> in a sequence has no key attribute"


def _call_template(element: Element) -> Fault:
    for parameter in element.iterchildren(f"{NS}with-param"):
        fault = missing(parameter, "value")
        if fault is not None:
            return fault
    return missing(element, "target")


def _needing(attributes: tuple[str, ...]) -> Callable[[Element], Fault]:
    return lambda element: missing(element, *attributes)


FLOW_RULES: Mapping[str, Callable[[Element], Fault]] = {
    **{f"{NS}{name}": _needing(attributes) for name, attributes in _NEEDS.items()},
    f"{NS}aggregate": _aggregate,
    f"{NS}call-template": _call_template,
    f"{NS}filter": _filter,
    f"{NS}iterate": _iterate,
    f"{NS}script": _script,
    f"{NS}sequence": _sequence,
    f"{NS}switch": _switch,
    f"{NS}throttle": _throttle,
    f"{NS}validate": _validate,
}
"""By tag: the rule for each such element that is a mediator."""
