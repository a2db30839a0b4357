"""What a mediator's rule finds, and what rules share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from syncagent.validation.expressions import xpath_fault
from syncagent.validation.names import NS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from lxml.etree import _Element as Element

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}\Z")
_LATER = re.compile(r"[${}]")

Fault = str | tuple[str, str] | None
"""What a rule found: a reason, or a code and a reason."""

if TYPE_CHECKING:
    Rule = Callable[[Element], Fault]


def either(one: Rule, other: Rule) -> Rule:
    """Return the rule that finds what the one finds, else what the other does."""
    return lambda element: one(element) or other(element)


def first(rule: Callable[[Element], Fault], elements: Iterable[Element]) -> Fault:
    """Return what the rule finds first."""
    for element in elements:
        fault = rule(element)
        if fault is not None:
            return fault
    return None


def child_of(element: Element, tag: str) -> Element | None:
    """Return the first child of that tag; much cheaper than a path for the parser's library."""
    return next(element.iterchildren(tag), None)


def missing(element: Element, *attributes: str) -> Fault:
    """Name the first attribute that is not there."""
    for attribute in attributes:
        if element.get(attribute) is None:
            name = str(element.tag).removeprefix(NS)
            return "no-attribute", f"<{name}> has no {attribute} attribute"
    return None


def keyed(element: Element) -> Fault:
    """It has a key, and the key is something."""
    if element.get("key"):
        return None
    return "no-attribute", f"<{str(element.tag).removeprefix(NS)}> has no key attribute"


def xpath(element: Element, attribute: str) -> Fault:
    """An expression, if there is one, is XPath."""
    text = element.get(attribute)
    fault = None if text is None else xpath_fault(text)
    return None if fault is None else ("bad-expression", fault)


def says(element: Element) -> bool:
    """Tell whether something is said by value, by expression or by a child element."""
    return (
        element.get("value") is not None
        or element.get("expression") is not None
        or next(element.iterchildren("*"), None) is not None
    )


def number(text: str) -> bool:
    """Tell whether a text is a whole number, or is computed later."""
    return bool(_INTEGER.match(text) or _LATER.search(text))
