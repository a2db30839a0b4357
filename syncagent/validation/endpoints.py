"""What an `<endpoint>` must say, wherever it stands: alone, in a mediator, in another endpoint.

The rules are those of `builders`. A value with `{`, `}` or `$` is filled in later, by an expression or by a
template, and is left to the runtime.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from syncagent.core.verdict import Problem
from syncagent.validation.references import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lxml.etree import _Element as Element

_NS = f"{{{NAMESPACE}}}"
_BODIES = tuple(
    _NS + name
    for name in (
        *("address", "wsdl", "default", "http", "loadbalance", "dynamicLoadbalance", "failover"),
        *("serviceDynamicLoadbalance", "recipientlist", "class"),
    )
)
_MEMBERS = (f"{_NS}endpoint", f"{_NS}member")
_LATER = re.compile(r"[${}]")
_INTEGER = re.compile(r"\s*+[+-]?[0-9]{1,19}\s*+\Z")
_ACTIONS = frozenset({"discard", "fault"})


_SCOPES = frozenset({"default", "axis2", "axis2-client", "transport", "operation", "registry"})


def endpoint_problem(endpoint: Element) -> Problem | None:
    """Tell why an endpoint's builder throws: it says nothing of what it is.

    That of a template is built only when it is used.
    """
    has = endpoint.get
    if has("key") is not None or has("key-expression") is not None:
        return None
    if has("template") is not None:
        return _filled_in(endpoint)
    if next(endpoint.iterchildren(*_BODIES), None) is not None:
        return _properties(endpoint)
    parent = endpoint.getparent()
    if parent is not None and parent.tag == f"{_NS}template":
        return None
    return Problem("no-body", "<endpoint> says nothing of what it is", endpoint.sourceline or 1)


def _filled_in(endpoint: Element) -> Problem | None:
    """What a template is filled in with has names and values."""
    for parameter in endpoint.iterchildren(f"{_NS}parameter"):
        if parameter.get("name") is None or parameter.get("value") is None:
            reason = "<parameter> of a template has no name or no value"
            return Problem("no-attribute", reason, parameter.sourceline or 1)
    return None


def _properties(endpoint: Element) -> Problem | None:
    """What an endpoint sets, it sets in a scope."""
    for entry in endpoint.iterchildren(f"{_NS}property"):
        scope = entry.get("scope")
        if scope is not None and scope not in _SCOPES:
            reason = f"the scope {scope!r} of a property is none"
            return Problem("bad-value", reason, entry.sourceline or 1)
    return None


def _recipients(group: Element) -> Problem | None:
    """A list of recipients has some, or tells where they are computed."""
    some = next(group.iterchildren(*_MEMBERS, f"{_NS}endpoints"), None)
    line = group.sourceline or 1
    if some is None:
        return Problem("no-members", "<recipientlist> has no endpoints", line)
    computed = group.find(f"{_NS}endpoints")
    if computed is None:
        return None
    size = computed.get("max-cache")
    if computed.get("value") is None or (size is not None and not _INTEGER.match(size)):
        reason = "<endpoints> has no value, or a max-cache that is no number"
        return Problem("no-attribute", reason, line)
    return None


def _members(group: Element) -> Problem | None:
    """A group has members, and none of them twice."""
    keys = [member.get("key") for member in group.iterchildren(*_MEMBERS)]
    line = group.sourceline or 1
    if not keys:
        name = str(group.tag).removeprefix(_NS)
        return Problem("no-members", f"<{name}> has no endpoints", line)
    named = [key for key in keys if key]
    if len(set(named)) < len(named):
        return Problem("member-twice", "the same endpoint is named twice in one group", line)
    return None


def _integer(element: Element) -> Problem | None:
    text = element.text or ""
    if _INTEGER.match(text) or _LATER.search(text):
        return None
    return _no_number(element, text)


def _float(element: Element) -> Problem | None:
    text = element.text or ""
    try:
        float(text.strip().rstrip("fFdD"))
    except ValueError:
        return None if _LATER.search(text) else _no_number(element, text)
    return None


def _no_number(element: Element, text: str) -> Problem:
    name = str(element.tag).removeprefix(_NS)
    return Problem("no-number", f"<{name}> holds {text!r}, no number", element.sourceline or 1)


def _action(element: Element) -> Problem | None:
    text = element.text or ""
    if text.strip().lower() in _ACTIONS or _LATER.search(text):
        return None
    reason = f"<responseAction> is {text!r}, neither discard nor fault"
    return Problem("bad-action", reason, element.sourceline or 1)


def _codes(element: Element) -> Problem | None:
    text = element.text or ""
    if _LATER.search(text) or all(
        _INTEGER.match(code) for code in re.findall(r"[^, ]+", text.strip())
    ):
        return None
    return _no_number(element, text)


_INSIDE: Mapping[str, tuple[tuple[str, Callable[[Element], Problem | None]], ...]] = {
    f"{_NS}timeout": ((f"{_NS}duration", _integer), (f"{_NS}responseAction", _action)),
    f"{_NS}markForSuspension": (
        (f"{_NS}errorCodes", _codes),
        (f"{_NS}retriesBeforeSuspension", _integer),
        (f"{_NS}retryDelay", _integer),
    ),
    f"{_NS}suspendOnFailure": (
        (f"{_NS}errorCodes", _codes),
        (f"{_NS}initialDuration", _integer),
        (f"{_NS}progressionFactor", _float),
        (f"{_NS}maximumDuration", _integer),
    ),
}


def _settings(element: Element) -> Problem | None:
    """What an endpoint does when it is slow or down is said in numbers."""
    for name, check in _INSIDE[str(element.tag)]:
        child = element.find(name)
        if child is not None:
            problem = check(child)
            if problem is not None:
                return problem
    return None


ENDPOINT_RULES: Mapping[str, Callable[[Element], Problem | None]] = {
    f"{_NS}endpoint": endpoint_problem,
    f"{_NS}loadbalance": _members,
    f"{_NS}failover": _members,
    f"{_NS}recipientlist": _recipients,
    f"{_NS}suspendDurationOnFailure": _integer,
    **dict.fromkeys(_INSIDE, _settings),
}
"""By tag: the rule for each such element below an artifact's root."""
