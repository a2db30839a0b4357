"""What a runtime makes of a file's bytes: as much as decides which of the model's rules applies."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from xml.etree.ElementTree import canonicalize
from xml.parsers import expat

ROOTS = {
    "api": "api",
    "sequences": "sequence",
    "endpoints": "endpoint",
    "local-entries": "localEntry",
    "proxy-services": "proxy",
    "templates": "template",
    "tasks": "task",
    "event-sources": "eventSource",
    "priority-executors": "priorityExecutor",
    "message-stores": "messageStore",
    "message-processors": "messageProcessor",
    "inbound-endpoints": "inboundEndpoint",
    "imports": "import",
}
_PLAN_NAME = re.compile(rb"@Plan:name\(\s*['\"]([^'\"]+)['\"]\s*\)", re.IGNORECASE)


class Fault(StrEnum):
    """What is wrong with bytes; what a runtime does depends on which it is."""

    NONE = ""
    NO_XML = "no-xml"
    """the reader fails before the root element"""
    BREAKS = "breaks"
    """the reader fails after it: the tree is built late, by whoever walks through it"""
    REFUSED = "refused"
    """well-formed, and not what the runtime can make an artifact of"""


@dataclass(frozen=True)
class Read:
    """What one file says. `context` holds an API's context and version."""

    name: str = ""
    context: str = ""
    fault: Fault = Fault.NONE
    reason: str = ""


def judge(folder: str, content: bytes) -> Read:
    """Return what the bytes of a file in this folder say to the runtime."""
    roots: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = lambda name, attributes: roots.append((name, attributes))
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        fault = Fault.BREAKS if roots else Fault.NO_XML
        return Read(fault=fault, reason=f"com.ctc.wstx.exc.WstxParsingException: {error}")
    (element, attributes) = roots[0]
    return _of_root(folder, element.rpartition("}")[2], attributes)


def _of_root(folder: str, root: str, attributes: dict[str, str]) -> Read:
    name = attributes.get("key" if folder == "local-entries" else "name", "")
    if folder == "imports":
        name = f"{{{attributes.get('package', '')}}}{name}"
    if root != ROOTS.get(folder, root):
        return Read(name, fault=Fault.REFUSED, reason=f"<{root}> is no {ROOTS[folder]}")
    if not name:
        title = "an API" if folder == "api" else f"a {ROOTS.get(folder, folder)}"
        reason = f"Attribute 'name' is required for {title} definition"
        return Read(fault=Fault.REFUSED, reason=reason)
    if folder != "api":
        return Read(name)
    context = attributes.get("context", "")
    if not context.startswith("/"):
        reason = "API context must begin with '/' character"
        return Read(name, context, Fault.REFUSED, reason)
    return Read(name, f"{context} {attributes.get('version', '')}".strip())


def judge_plan(content: bytes) -> Read:
    """Return what a Siddhi plan says: its name, which the deployer demands."""
    found = _PLAN_NAME.search(content)
    if found is None:
        return Read(fault=Fault.REFUSED, reason="the plan has no name")
    return Read(found[1].decode())


def written_back(content: bytes) -> bytes:
    """Return what the runtime writes when it restores this: the same, in other bytes."""
    try:
        text = canonicalize(content.decode())
    except (ValueError, SyntaxError):
        return content + b"\n"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()
