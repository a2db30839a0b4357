"""One pass over what is inside an artifact: the names it uses, and the mediators it holds.

A mediator's rule counts where its element is a mediator: as a child of what holds mediators, and not
inside a payload, which may be any XML. Where an element stands is looked at only once its rule has
found something: that is rare, and climbing costs more than the rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.verdict import Problem, Reference, Severity
from syncagent.validation.mediators import ELEMENT_RULES, MEDIATOR_RULES
from syncagent.validation.references import NAMESPACE, USES, is_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lxml.etree import _Element as Element

    from syncagent.validation.faults import Fault
    from syncagent.validation.references import Use

NS = f"{{{NAMESPACE}}}"
_ALL = f"{NS}*"
"""One wildcard is much cheaper for the parser's library than a list of names."""

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

_FAMILIAR: frozenset[object] = frozenset(
    NS + name
    for name in (
        # Mediators of Apache Synapse 3.0.1 that have no rule here,
        *("annotatedCommand", "cache", "clone", "drop", "eventPublisher", "in", "loopback", "out"),
        *("respond", "rewrite", "rules", "sampler", "send", "template"),
        # and of WSO2's products,
        *("agent", "bam", "builder", "call", "comment", "connect", "dataServiceCall", "datamapper"),
        *("detach", "entitlementService", "eval", "event", "fastXSLT", "foreach", "jsontransform"),
        *("ntlm", "oauthService", "propertyGroup", "publishEvent", "RMSequence", "router", "rule"),
        *("ruleset", "scatter-gather", "session", "smooks", "throwError", "urlrewrite", "variable"),
        # what stands between mediators,
        *("then", "else", "case", "default", "description", "endpoint", "target", "inSequence"),
        *("outSequence", "faultSequence", "onComplete", "onAccept", "onReject", "on-fail"),
        # and what is often met elsewhere, so that nobody looks where it stands.
        *("api", "proxy", "resource", "format", "args", "arg", "source", "action", "address"),
        *("timeout", "duration", "parameter", "schema", "code", "reason", "with-param", "http"),
        *(
            "suspendOnFailure",
            "markForSuspension",
            "errorCodes",
            "progressionFactor",
            "publishWSDL",
        ),
    )
)

_ROWS: dict[object, tuple[tuple[Use, ...], Callable[[Element], Fault] | None, bool]] = {
    **{tag: (uses, None, False) for tag, uses in USES.items()},
    **{tag: (USES.get(tag, ()), rule, False) for tag, rule in ELEMENT_RULES.items()},
    **{tag: (USES.get(tag, ()), rule, True) for tag, rule in MEDIATOR_RULES.items()},
}
"""By tag: what names what, the rule, and whether it counts for mediators only."""


def look_inside(root: Element, *, mediators: bool) -> tuple[tuple[Reference, ...], list[Problem]]:
    """Return the names used, each once, in document order; and what builders would throw at.

    Without `mediators` nothing inside is built by the artifact's own builder: no rule counts.
    """
    names: dict[Reference, None] = {}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for element in root.iter(_ALL):
        row = _ROWS.get(element.tag)
        if row is None:
            if element.tag not in _FAMILIAR:
                warnings.extend(_unknown(element, root))
            continue
        uses, rule, is_mediator = row
        for attribute, kind in uses:
            key = element.get(attribute)
            if key is not None and is_name(key):
                names[Reference(kind, key)] = None
        fault = None if rule is None else rule(element)
        if fault is not None and _counts(element, root, is_mediator=is_mediator):
            problems.append(_problem(element, fault))
    if not mediators:
        return tuple(names), []
    return tuple(names), [*problems, *_strangers(root), *warnings]


def _problem(element: Element, fault: str | tuple[str, str]) -> Problem:
    code, reason = fault if isinstance(fault, tuple) else ("bad-mediator", fault)
    return Problem(code, reason, element.sourceline or 1)


def _unknown(element: Element, root: Element) -> Iterator[Problem]:
    """Warn of a mediator that no runtime brings; an extension may. Connectors' have a dot."""
    name = str(element.tag).removeprefix(NS)
    parent = element.getparent()
    if "." in name or parent is None:
        return
    if parent.tag == f"{NS}default" and _tag_above(parent) != f"{NS}switch":
        return  # of an endpoint
    if _counts(element, root, is_mediator=True):
        reason = f"no runtime knows a mediator <{name}>, unless an extension brings it"
        line = element.sourceline or 1
        yield Problem("unknown-mediator", reason, line, Severity.WARNING)


def _tag_above(element: Element) -> object:
    parent = element.getparent()
    return None if parent is None else parent.tag


def _strangers(root: Element) -> Iterator[Problem]:
    """Yield the mediators that are in no namespace: nobody makes those."""
    for element in root.iter("{}*"):
        if _counts(element, root, is_mediator=True):
            reason = f"<{element.tag!s}> is in no namespace, so it is no mediator"
            yield Problem("no-namespace", reason, element.sourceline or 1)


def _counts(element: Element, root: Element, *, is_mediator: bool) -> bool:
    """Tell whether an element is built: it is no part of what a mediator carries."""
    parent = element.getparent()
    if element is root or parent is None or (is_mediator and parent.tag not in _HOLDERS):
        return False
    return all(above.tag not in _PAYLOADS for above in element.iterancestors())
