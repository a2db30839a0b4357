"""What mediators must say, so that the builder of the sequence they are in takes it.

One pass over the elements that have a rule. A rule counts where its element is a mediator: as a child
of what holds mediators, and not inside a payload, which may be any XML. Each rule is one at which the
builders of Apache Synapse 3.0.1 throw, and at which WSO2's throw too as far as they were read; where
only one of them throws, or where a later runtime knows more values, the artifact passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.verdict import Problem
from syncagent.validation.conditions import CONDITION_RULES
from syncagent.validation.content import CONTENT_RULES
from syncagent.validation.endpoints import ENDPOINT_RULES
from syncagent.validation.faults import NS
from syncagent.validation.flow import FLOW_RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lxml.etree import _Element as Element

_HOLDERS = frozenset(
    NS + name
    for name in (
        *("sequence", "inSequence", "outSequence", "faultSequence", "in", "out", "filter", "then"),
        *("else", "case", "default", "onComplete", "onAccept", "onReject", "on-fail", "onCacheHit"),
    )
)
"""Elements whose children are mediators."""

_PAYLOADS = frozenset(
    NS + name
    for name in ("format", "source", "detail", "header", "property", "localEntry", "publishWSDL")
)
"""Elements that may hold any XML, as data."""


def mediator_problems(root: Element) -> Iterator[Problem]:
    """Yield why a builder would throw at an element below `root`, each with its line."""
    for element in root.iter(f"{NS}*"):
        tag = str(element.tag)
        rule = _MEDIATORS.get(tag)
        if rule is None:
            general = _ANYWHERE.get(tag)
            problem = None if general is None or element is root else general(element)
            if problem is not None and not _is_payload(element):
                yield problem
            continue
        parent = element.getparent()
        if parent is None or parent.tag not in _HOLDERS:
            continue
        fault = rule(element)
        if fault is not None and not _is_payload(element):
            code, reason = fault if isinstance(fault, tuple) else ("bad-mediator", fault)
            yield Problem(code, reason, element.sourceline or 1)
    yield from _strangers(root)


def _strangers(root: Element) -> Iterator[Problem]:
    """Yield the mediators that are in no namespace: nobody makes those."""
    for element in root.iter("{}*"):
        parent = element.getparent()
        if parent is not None and parent.tag in _HOLDERS and not _is_payload(element):
            reason = f"<{element.tag!s}> is in no namespace, so it is no mediator"
            yield Problem("no-namespace", reason, element.sourceline or 1)


def _is_payload(element: Element) -> bool:
    """Tell whether an element is part of what a mediator carries."""
    return any(above.tag in _PAYLOADS for above in element.iterancestors())


_MEDIATORS = {**CONTENT_RULES, **FLOW_RULES}
_ANYWHERE = {**ENDPOINT_RULES, **CONDITION_RULES}
