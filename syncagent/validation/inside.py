"""One pass over what is inside an artifact: the names it uses, and the mediators it holds.

A mediator's rule counts where its element is a mediator: as a child of what holds mediators, and not
inside a payload, which may be any XML. Where an element stands is looked at only once its rule has
found something: that is rare, and climbing costs more than the rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.verdict import Problem, Reference
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

_ROWS: dict[object, tuple[tuple[Use, ...], Callable[[Element], Fault] | None, bool]] = {
    **{tag: (uses, None, False) for tag, uses in USES.items()},
    **{tag: (USES.get(tag, ()), rule, False) for tag, rule in ELEMENT_RULES.items()},
    **{tag: (USES.get(tag, ()), rule, True) for tag, rule in MEDIATOR_RULES.items()},
}
"""By tag: what names what, the rule, and whether it counts for mediators only."""


def look_inside(root: Element, *, mediators: bool) -> tuple[tuple[Reference, ...], list[Problem]]:
    """Return the names used, each once, in document order; and why builders would throw.

    Without `mediators` nothing inside is built by the artifact's own builder: no rule counts.
    """
    names: dict[Reference, None] = {}
    problems: list[Problem] = []
    for element in root.iter(_ALL):
        row = _ROWS.get(element.tag)
        if row is None:
            continue
        uses, rule, is_mediator = row
        for attribute, kind in uses:
            key = element.get(attribute)
            if key is not None and is_name(key):
                names[Reference(kind, key)] = None
        if rule is None or not mediators:
            continue
        fault = rule(element)
        if fault is not None and _counts(element, root, is_mediator=is_mediator):
            code, reason = fault if isinstance(fault, tuple) else ("bad-mediator", fault)
            problems.append(Problem(code, reason, element.sourceline or 1))
    if mediators:
        problems.extend(_strangers(root))
    return tuple(names), problems


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
