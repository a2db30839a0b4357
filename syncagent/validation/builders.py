"""What the runtime's builders demand of an artifact beside its name, as far as its bytes tell.

Each rule is one at which the builder of Apache Synapse 3.0.1 was seen to throw (the template's, and
WSO2's `transports`, were read), and which no real artifact of over 2,000 breaks. Rules that hang on a version of the runtime (which mediators, endpoints and HTTP
methods there are) are left to the runtime.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from syncagent.core.artifact import Kind
from syncagent.core.verdict import Problem
from syncagent.validation.endpoints import endpoint_fault
from syncagent.validation.references import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lxml.etree import _Element as Element

_NS = f"{{{NAMESPACE}}}"
_VERSION_TYPES = frozenset({"", "url", "context"})
_MANAGER_IN_MEMORY = "org.apache.synapse.eventing.managers.DefaultInMemorySubscriptionManager"
_TRANSPORTS = frozenset({"", "http", "https"})
_NATURAL = re.compile(r"[+]?[0-9]{1,9}\Z")
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}\Z")
_CRON_FIELDS = frozenset({6, 7})
_METHOD = re.compile(r"[A-Z]+\Z")


def builder_problems(kind: Kind, root: Element) -> Iterator[Problem]:
    """Yield why the builder of `kind` would refuse the artifact, each with its line."""
    check = _CHECKS.get(kind)
    if check is not None:
        yield from check(root)


def _at(element: Element, code: str, reason: str) -> Problem:
    return Problem(code, reason, element.sourceline or 1)


def _api(api: Element) -> Iterator[Problem]:
    """An API has a context, a version only with its type, and resources."""
    context = api.get("context")
    if not context:
        yield _at(api, "no-context", "<api> has no context attribute")
    elif not context.startswith("/"):
        yield _at(api, "bad-context", f"the context {context!r} does not begin with '/'")
    yield from _version(api)
    yield from _door(api)
    yield from _resources(api)
    for handlers in api.iterchildren(f"{_NS}handlers"):
        for handler in handlers.iterchildren(f"{_NS}handler"):
            if not handler.get("class"):
                yield _at(handler, "no-class", "<handler> has no class attribute")


def _version(api: Element) -> Iterator[Problem]:
    """A version comes with how it is told from others."""
    version_type = api.get("version-type") or ""
    if api.get("version") and not version_type:
        yield _at(api, "bad-version", "<api> has a version but no version-type")
    if version_type.strip() not in _VERSION_TYPES:
        reason = f"the version-type {version_type!r} is neither 'url' nor 'context'"
        yield _at(api, "bad-version", reason)


def _door(api: Element) -> Iterator[Problem]:
    """Port and transport of an API, where it names them."""
    port = api.get("port")
    if port and not re.fullmatch(r"[+-]?[0-9]{1,9}", port):
        yield _at(api, "bad-port", f"the port {port!r} is not a number")
    transport = api.get("transport") or api.get("transports") or ""
    if transport not in _TRANSPORTS:
        yield _at(api, "bad-transport", f"the transport {transport!r} is neither http nor https")


def _resources(api: Element) -> Iterator[Problem]:
    """An API has resources, and one of them at most takes what no other takes."""
    resources = [*api.iterchildren(f"{_NS}resource")]
    if not resources:
        yield _at(api, "no-resource", "<api> has no <resource>")
    defaults = [
        resource
        for resource in resources
        if not resource.get("uri-template") and not resource.get("url-mapping")
    ]
    if len(defaults) > 1:
        reason = "a second <resource> without uri-template and url-mapping"
        yield _at(defaults[1], "two-default-resources", reason)
    yield from _methods(resources)


def _methods(resources: list[Element]) -> Iterator[Problem]:
    """No two resources take the same methods at the same path."""
    taken = set()
    for resource in resources:
        if resource.get("protocol", "") not in _TRANSPORTS:
            yield _at(resource, "bad-transport", "the protocol is neither http nor https")
        methods = resource.get("methods") or ""
        words = _words(methods)
        if words is None:
            yield _at(resource, "bad-methods", f"the methods {methods!r} are no list of methods")
        path = resource.get("url-mapping") or resource.get("uri-template")
        key = (path, words)
        if path and key in taken:
            reason = f"a second <resource> takes {methods or 'what is said'} at {path}"
            yield _at(resource, "two-resources", reason)
        taken.add(key)


@lru_cache(maxsize=256)
def _words(methods: str) -> frozenset[str] | None:
    """Return the methods in a list; None if it is none. An empty list stands for all of them."""
    words = methods.strip().split(" ") if methods else []
    alone = frozenset(words)
    return alone if len(alone) == len(words) and all(map(_METHOD.match, words)) else None


def _endpoint(endpoint: Element) -> Iterator[Problem]:
    """An endpoint says what it is by a child element, or stands for another one."""
    if endpoint.get("key") == "":
        yield _at(endpoint, "no-body", "<endpoint> stands for another, but its key is empty")
    fault = endpoint_fault(endpoint)
    if isinstance(fault, tuple):
        yield _at(endpoint, *fault)


def _event_source(source: Element) -> Iterator[Problem]:
    """An event source names the class that keeps its subscriptions."""
    manager = source.find(f"{_NS}subscriptionManager")
    if manager is None:
        yield _at(source, "no-manager", "<eventSource> has no <subscriptionManager>")
        return
    if not manager.get("class"):
        yield _at(manager, "no-class", "<subscriptionManager> has no class attribute")
    elif manager.get("class") == _MANAGER_IN_MEMORY:
        said = {entry.get("name") for entry in manager.iterchildren(f"{_NS}property")}
        for name in ("topicHeaderName", "topicHeaderNS"):
            if name not in said:
                yield _at(manager, "no-property", f"<subscriptionManager> has no property {name}")


def _message_processor(processor: Element) -> Iterator[Problem]:
    for attribute, code in (("class", "no-class"), ("messageStore", "no-store")):
        if not processor.get(attribute):
            yield _at(processor, code, f"<messageProcessor> has no {attribute} attribute")


def _priority_executor(executor: Element) -> Iterator[Problem]:
    """A priority executor has queues, each with a size and a priority, and threads by number."""
    queues = executor.find(f"{_NS}queues")
    if queues is None:
        yield _at(executor, "no-queues", "<priorityExecutor> has no <queues>")
        return
    for queue in queues.iterchildren(f"{_NS}queue"):
        yield from _numbers(queue, {"size": _NATURAL, "priority": _INTEGER}, needed=True)
    for threads in executor.iterchildren(f"{_NS}threads"):
        yield from _numbers(threads, dict.fromkeys(("max", "core", "keep-alive"), _NATURAL))


def _numbers(
    element: Element, attributes: Mapping[str, re.Pattern[str]], *, needed: bool = False
) -> Iterator[Problem]:
    """Yield the attributes that are no numbers of their sort, or are `needed` and missing."""
    for attribute, sort in attributes.items():
        value = element.get(attribute)
        if (needed or value is not None) and not sort.match(value or ""):
            name = str(element.tag).removeprefix(_NS)
            yield _at(element, "no-number", f"{attribute} of <{name}> is {value!r}, no number")


def _proxy(proxy: Element) -> Iterator[Problem]:
    """A proxy service has a target, and the target a way in."""
    target = proxy.find(f"{_NS}target")
    if target is None:
        yield _at(proxy, "no-target", "<proxy> has no <target>")
        return
    for policy in proxy.iterchildren(f"{_NS}policy"):
        if policy.get("key") == "":
            yield _at(policy, "no-key", "<policy> has an empty key attribute")
    for parameter in proxy.iterchildren(f"{_NS}parameter"):
        if parameter.get("name") is None:
            yield _at(parameter, "no-name", "<parameter> has no name attribute")
    for way in ("inSequence", "endpoint"):
        if target.get(way) is not None or target.find(_NS + way) is not None:
            return
    yield _at(target, "no-target", "<target> has neither an inSequence nor an endpoint")


def _task(task: Element) -> Iterator[Problem]:
    """A task names its class; with one that has none, Apache Synapse does not even start."""
    if not task.get("class"):
        yield _at(task, "no-class", "<task> has no class attribute")
    for trigger in task.iterchildren(f"{_NS}trigger"):
        yield from _numbers(trigger, {"count": _INTEGER, "interval": _NATURAL})
        cron = trigger.get("cron")
        if cron is not None and len(cron.split()) not in _CRON_FIELDS:
            yield _at(trigger, "bad-cron", f"{cron!r} has not the six or seven fields of a time")


def _template(template: Element) -> Iterator[Problem]:
    """A template has a body: without one its deployer knows no name for it."""
    if all(template.find(_NS + body) is None for body in ("sequence", "endpoint")):
        reason = "<template> has neither a <sequence> nor an <endpoint>"
        yield _at(template, "no-body", reason)


_CHECKS: Mapping[Kind, Callable[[Element], Iterator[Problem]]] = {
    Kind.API: _api,
    Kind.ENDPOINT: _endpoint,
    Kind.EVENT_SOURCE: _event_source,
    Kind.MESSAGE_PROCESSOR: _message_processor,
    Kind.PRIORITY_EXECUTOR: _priority_executor,
    Kind.PROXY_SERVICE: _proxy,
    Kind.TASK: _task,
    Kind.TEMPLATE: _template,
}

WITH_MEDIATORS = frozenset(
    {Kind.API, Kind.ENDPOINT, Kind.PROXY_SERVICE, Kind.SEQUENCE, Kind.TEMPLATE}
)
