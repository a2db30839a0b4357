"""What an `<endpoint>` must say, wherever it stands: alone, in a mediator, in another endpoint.

The rules are those of `builders`. A value with `{`, `}` or `$` is filled in later, by an expression or by a
template, and is left to the runtime.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from syncagent.validation.faults import Fault, child_of
from syncagent.validation.names import NS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lxml.etree import _Element as Element

_BODIES: frozenset[object] = frozenset(
    NS + name
    for name in (
        *("address", "wsdl", "default", "http", "loadbalance", "dynamicLoadbalance", "failover"),
        *("serviceDynamicLoadbalance", "recipientlist", "class"),
    )
)
_MEMBERS = (f"{NS}endpoint", f"{NS}member")
_LATER = re.compile(r"[${}]")
_INTEGER = re.compile(r"\s*+[+-]?[0-9]{1,19}\s*+\Z")
_ACTIONS = frozenset({"discard", "fault"})


_SCOPES = frozenset({"default", "axis2", "axis2-client", "transport", "operation", "registry"})


def endpoint_fault(endpoint: Element) -> Fault:
    """Tell why an endpoint's builder throws: it says nothing of what it is.

    That of a template is built only when it is used.
    """
    has = endpoint.get
    if has("key") is not None or has("key-expression") is not None:
        return None
    if has("template") is not None:
        return _filled_in(endpoint)
    if any(child.tag in _BODIES for child in endpoint.iterchildren()):
        return _properties(endpoint)
    parent = endpoint.getparent()
    if parent is not None and parent.tag == f"{NS}template":
        return None
    return "no-body", "<endpoint> says nothing of what it is"


def _filled_in(endpoint: Element) -> Fault:
    """What a template is filled in with has names and values."""
    for parameter in endpoint.iterchildren(f"{NS}parameter"):
        if parameter.get("name") is None or parameter.get("value") is None:
            reason = "<parameter> of a template has no name or no value"
            return "no-attribute", reason
    return None


def _properties(endpoint: Element) -> Fault:
    """What an endpoint sets, it sets in a scope."""
    for entry in endpoint.iterchildren(f"{NS}property"):
        scope = entry.get("scope")
        if scope is not None and scope not in _SCOPES:
            reason = f"the scope {scope!r} of a property is none"
            return "bad-value", reason
    return None


def _recipients(group: Element) -> Fault:
    """A list of recipients has some, or tells where they are computed."""
    some = next(group.iterchildren(*_MEMBERS, f"{NS}endpoints"), None)
    if some is None:
        return "no-members", "<recipientlist> has no endpoints"
    computed = child_of(group, f"{NS}endpoints")
    if computed is None:
        return None
    size = computed.get("max-cache")
    if computed.get("value") is None or (size is not None and not _INTEGER.match(size)):
        reason = "<endpoints> has no value, or a max-cache that is no number"
        return "no-attribute", reason
    return None


def _members(group: Element) -> Fault:
    """A group has members, and none of them twice."""
    keys = [member.get("key") for member in group.iterchildren(*_MEMBERS)]
    if not keys:
        name = str(group.tag).removeprefix(NS)
        return "no-members", f"<{name}> has no endpoints"
    named = [key for key in keys if key]
    if len(set(named)) < len(named):
        return "member-twice", "the same endpoint is named twice in one group"
    return None


def _integer(element: Element) -> Fault:
    text = element.text or ""
    if _INTEGER.match(text) or _LATER.search(text):
        return None
    return _no_number(element, text)


def _float(element: Element) -> Fault:
    text = element.text or ""
    try:
        float(text.strip().rstrip("fFdD"))
    except ValueError:
        return None if _LATER.search(text) else _no_number(element, text)
    return None


def _no_number(element: Element, text: str) -> Fault:
    name = str(element.tag).removeprefix(NS)
    return "no-number", f"<{name}> holds {text!r}, no number"


def _action(element: Element) -> Fault:
    text = element.text or ""
    if text.strip().lower() in _ACTIONS or _LATER.search(text):
        return None
    reason = f"<responseAction> is {text!r}, neither discard nor fault"
    return "bad-action", reason


def _codes(element: Element) -> Fault:
    text = element.text or ""
    if _LATER.search(text) or all(
        _INTEGER.match(code) for code in re.findall(r"[^, ]+", text.strip())
    ):
        return None
    return _no_number(element, text)


_INSIDE: Mapping[str, tuple[tuple[str, Callable[[Element], Fault]], ...]] = {
    f"{NS}timeout": ((f"{NS}duration", _integer), (f"{NS}responseAction", _action)),
    f"{NS}markForSuspension": (
        (f"{NS}errorCodes", _codes),
        (f"{NS}retriesBeforeSuspension", _integer),
        (f"{NS}retryDelay", _integer),
    ),
    f"{NS}suspendOnFailure": (
        (f"{NS}errorCodes", _codes),
        (f"{NS}initialDuration", _integer),
        (f"{NS}progressionFactor", _float),
        (f"{NS}maximumDuration", _integer),
    ),
}


def _settings(element: Element) -> Fault:
    """What an endpoint does when it is slow or down is said in numbers."""
    for name, check in _INSIDE[str(element.tag)]:
        child = child_of(element, name)
        if child is not None:
            problem = check(child)
            if problem is not None:
                return problem
    return None


ENDPOINT_RULES: Mapping[str, Callable[[Element], Fault]] = {
    f"{NS}endpoint": endpoint_fault,
    f"{NS}loadbalance": _members,
    f"{NS}failover": _members,
    f"{NS}recipientlist": _recipients,
    f"{NS}suspendDurationOnFailure": _integer,
    **dict.fromkeys(_INSIDE, _settings),
}
"""By tag: the rule for each such element below an artifact's root."""
