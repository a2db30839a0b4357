"""What the runtime's builders demand of an artifact beside its name, as far as its bytes tell.

Each rule is one at which the builder of Apache Synapse 3.0.1 was seen to throw (the template's, and
WSO2's `transports`, were read), and which no real artifact of over 2,000 breaks. Rules that hang on a version of the runtime (which mediators, endpoints and HTTP
methods there are) are left to the runtime.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from syncagent.core.artifact import Kind
from syncagent.core.verdict import Problem
from syncagent.validation.references import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from lxml.etree import _Element as Element

_NS = f"{{{NAMESPACE}}}"
_VERSION_TYPES = frozenset({"", "url", "context"})
_TRANSPORTS = frozenset({"", "http", "https"})


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
    for handler in api.iterfind(f"{_NS}handlers/{_NS}handler"):
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
    resources = api.findall(f"{_NS}resource")
    if not resources:
        yield _at(api, "no-resource", "<api> has no <resource>")
    defaults = [
        resource
        for resource in resources
        if resource.get("uri-template") is None and resource.get("url-mapping") is None
    ]
    if len(defaults) > 1:
        reason = "a second <resource> without uri-template and url-mapping"
        yield _at(defaults[1], "two-default-resources", reason)


def _endpoint(endpoint: Element) -> Iterator[Problem]:
    """An endpoint says what it is by a child element, or stands for another one."""
    if endpoint.get("key") or endpoint.get("template") or endpoint.get("key-expression"):
        return
    if next(endpoint.iterchildren(f"{_NS}*"), None) is None:
        yield _at(endpoint, "no-body", "<endpoint> says nothing of what it is")


def _message_processor(processor: Element) -> Iterator[Problem]:
    for attribute, code in (("class", "no-class"), ("messageStore", "no-store")):
        if not processor.get(attribute):
            yield _at(processor, code, f"<messageProcessor> has no {attribute} attribute")


def _priority_executor(executor: Element) -> Iterator[Problem]:
    if executor.find(f"{_NS}queues") is None:
        yield _at(executor, "no-queues", "<priorityExecutor> has no <queues>")


def _proxy(proxy: Element) -> Iterator[Problem]:
    """A proxy service has a target, and the target a way in."""
    target = proxy.find(f"{_NS}target")
    if target is None:
        yield _at(proxy, "no-target", "<proxy> has no <target>")
        return
    for way in ("inSequence", "endpoint"):
        if target.get(way) is not None or target.find(_NS + way) is not None:
            return
    yield _at(target, "no-target", "<target> has neither an inSequence nor an endpoint")


def _template(template: Element) -> Iterator[Problem]:
    """A template has a body: without one its deployer knows no name for it."""
    if all(template.find(_NS + body) is None for body in ("sequence", "endpoint")):
        reason = "<template> has neither a <sequence> nor an <endpoint>"
        yield _at(template, "no-body", reason)


_CHECKS: Mapping[Kind, Callable[[Element], Iterator[Problem]]] = {
    Kind.API: _api,
    Kind.ENDPOINT: _endpoint,
    Kind.MESSAGE_PROCESSOR: _message_processor,
    Kind.PRIORITY_EXECUTOR: _priority_executor,
    Kind.PROXY_SERVICE: _proxy,
    Kind.TEMPLATE: _template,
}
