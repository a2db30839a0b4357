"""One pass over what is inside an artifact: the names it uses, and the mediators it holds.

A mediator's rule counts where its element is a mediator: as a child of what holds mediators, and not
inside a payload, which may be any XML. Where an element stands is looked at only once its rule has
found something: that is rare, and climbing costs more than the rule. Each dialect has a table of its
own, made at the start, so that one costs no more for what the other refuses. Most artifacts need no
pass: what is `plain` in their bytes is no problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.dialect import Dialect
from syncagent.core.verdict import Problem, Severity
from syncagent.validation.apache import (
    APACHE_ELEMENT_RULES,
    APACHE_MEDIATOR_RULES,
    connector_fault,
)
from syncagent.validation.faults import either
from syncagent.validation.mediators import ELEMENT_RULES, MEDIATOR_RULES
from syncagent.validation.names import APACHE_MEDIATORS, FAMILIAR, HOLDERS, NS, PAYLOADS
from syncagent.validation.plain import note_plain
from syncagent.validation.references import USES, note_uses

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from lxml.etree import _Element as Element

    from syncagent.core.verdict import Reference
    from syncagent.validation.faults import Rule
    from syncagent.validation.references import Use

    Row = tuple[tuple[Use, ...], Rule | None, bool]
    """What names what in such an element, its rule, and whether that counts for mediators only."""

_ALL = f"{NS}*"
"""One wildcard is much cheaper for the parser's library than a list of names."""


def _rows(elements: Mapping[str, Rule], mediators: Mapping[str, Rule]) -> dict[object, Row]:
    return {
        **{tag: (uses, None, False) for tag, uses in USES.items()},
        **{tag: (USES.get(tag, ()), rule, False) for tag, rule in elements.items()},
        **{tag: (USES.get(tag, ()), rule, True) for tag, rule in mediators.items()},
    }


def _and(rules: Mapping[str, Rule], more: Mapping[str, Rule]) -> dict[str, Rule]:
    """Return both: where there are two for a tag, the first that finds something."""
    return {
        **rules,
        **{tag: either(rules[tag], rule) if tag in rules else rule for tag, rule in more.items()},
    }


_ROWS: Mapping[Dialect, dict[object, Row]] = {
    Dialect.WSO2: _rows(ELEMENT_RULES, MEDIATOR_RULES),
    Dialect.APACHE: _rows(
        _and(ELEMENT_RULES, APACHE_ELEMENT_RULES), _and(MEDIATOR_RULES, APACHE_MEDIATOR_RULES)
    ),
}
"""What is looked at, by dialect and tag."""


def look_inside(
    root: Element, content: bytes, dialect: Dialect, *, mediators: bool
) -> tuple[tuple[Reference, ...], list[Problem]]:
    """Return the names used, each once, in document order; and what builders would throw at.

    `content` is what `root` was read from. Without `mediators` nothing inside is built by the
    artifact's own builder: no rule counts.
    """
    if not mediators:
        return tuple(_names(root.iter(*USES) if len(root) else [root])), []
    if dialect is Dialect.WSO2:
        names = _names([root])
        if note_plain(content, root, names):
            return tuple(names), []
    return _walk(root, dialect)


def _names(elements: Iterable[Element]) -> dict[Reference, None]:
    names: dict[Reference, None] = {}
    for element in elements:
        note_uses(USES.get(str(element.tag), ()), element.get, names)
    return names


def _walk(root: Element, dialect: Dialect) -> tuple[tuple[Reference, ...], list[Problem]]:
    """Look at every element of the language in turn."""
    names: dict[Reference, None] = {}
    problems: list[Problem] = []
    strangers: list[Problem] = []
    rows = _ROWS[dialect]
    for element in root.iter(_ALL):
        row = rows.get(element.tag)
        if row is None:
            if element.tag not in FAMILIAR:
                strangers.extend(_unknown(element, root, dialect))
            continue
        uses, rule, is_mediator = row
        if uses:
            note_uses(uses, element.get, names)
        fault = None if rule is None else rule(element)
        if fault is not None and _counts(element, root, is_mediator=is_mediator):
            problems.append(_problem(element, fault))
    unknown = sorted(strangers, key=lambda problem: problem.severity is not Severity.ERROR)
    return tuple(names), [*problems, *_strangers(root), *unknown]


def _problem(element: Element, fault: str | tuple[str, str]) -> Problem:
    code, reason = fault if isinstance(fault, tuple) else ("bad-mediator", fault)
    return Problem(code, reason, element.sourceline or 1)


def _unknown(element: Element, root: Element, dialect: Dialect) -> Iterator[Problem]:
    """Warn of a mediator that no runtime brings; an extension may. Connectors' have a dot."""
    name = str(element.tag).removeprefix(NS)
    parent = element.getparent()
    if parent is None:
        return
    if "." in name:
        # Apache Synapse takes what is before the dot for the mediator.
        known = dialect is Dialect.WSO2 or NS + name.partition(".")[0] in APACHE_MEDIATORS
        if not known and _counts(element, root, is_mediator=True):
            yield _problem(element, connector_fault(name))
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
    if element is root or parent is None or (is_mediator and parent.tag not in HOLDERS):
        return False
    return all(above.tag not in PAYLOADS for above in element.iterancestors())
