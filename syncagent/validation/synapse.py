"""What a Synapse artifact of each kind must declare, so that the runtime's builder takes it.

On Apache Synapse one refused update ends hot deployment until a restart, so these rules follow
what the builders check on bytes alone: root element, name, context, version, mandatory children.
What needs other artifacts (duplicates, references) is `core.crosscheck`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from syncagent.core.artifact import Kind, stem_of
from syncagent.core.dialect import Dialect
from syncagent.core.verdict import Facts, Problem, Reference, Severity
from syncagent.validation.apache import apache_problems
from syncagent.validation.builders import WITH_MEDIATORS, builder_problems
from syncagent.validation.inside import look_inside
from syncagent.validation.references import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lxml.etree import _Element as Element

ROOTS: Mapping[Kind, str] = {
    Kind.IMPORT: "import",
    Kind.LOCAL_ENTRY: "localEntry",
    Kind.ENDPOINT: "endpoint",
    Kind.TEMPLATE: "template",
    Kind.SEQUENCE: "sequence",
    Kind.MESSAGE_STORE: "messageStore",
    Kind.MESSAGE_PROCESSOR: "messageProcessor",
    Kind.TASK: "task",
    Kind.EVENT_SOURCE: "eventSource",
    Kind.PRIORITY_EXECUTOR: "priorityExecutor",
    Kind.PROXY_SERVICE: "proxy",
    Kind.INBOUND_ENDPOINT: "inboundEndpoint",
    Kind.API: "api",
}
"""Root element (local name) of the artifacts of a kind."""

ROOT_FILES: Mapping[str, str] = {
    "synapse.xml": "definitions",
    "registry.xml": "registry",
    "task-manager.xml": "taskManager",
}
"""Root element of the files that lie beside the kinds' folders."""

_KIND_OF_TAG = {f"{{{NAMESPACE}}}{name}": kind for kind, name in ROOTS.items()}

_ATTRIBUTES_ONLY = frozenset({Kind.LOCAL_ENTRY, Kind.INBOUND_ENDPOINT})
"""Kinds whose builder looks neither at the root's namespace nor for children in it.

API Manager ships inbound endpoints without a namespace.
"""

NAMESPACE_FREE = _ATTRIBUTES_ONLY | {
    Kind.API,
    Kind.ENDPOINT,
    Kind.IMPORT,
    Kind.MESSAGE_STORE,
    Kind.MESSAGE_PROCESSOR,
}
"""Kinds whose builder does not look at the root's namespace, but at that of the children.

Seen on the builders of Apache Synapse 3.0.1. The others are found by their qualified name.
"""

_UNSAFE_IN_FILE_NAMES = re.compile(r"[/?*|:<> ]")
"""What the runtime replaces by `_` when it names a file; not the backslash."""


def examine_synapse(
    kind: Kind, path: str, root: Element, content: bytes, dialect: Dialect
) -> tuple[Facts, tuple[Problem, ...]]:
    """Judge an artifact of `kind`, parsed from `content`; facts are as full as the bytes allow."""
    wrong = _root_problem(kind, path, root)
    if wrong is not None:
        return Facts(), (wrong,)
    if kind is Kind.ROOT:
        return Facts(defines=_defined_in(root)), _root_file_warnings(path)
    name, nameless = _name_of(kind, root)
    if nameless is not None:
        return Facts(), (nameless,)
    context, version = _place_of(root) if kind is Kind.API else (None, None)
    references, inside = look_inside(root, content, dialect, mediators=kind in WITH_MEDIATORS)
    own = [*builder_problems(kind, root)]
    if dialect is Dialect.APACHE:
        own += apache_problems(kind, root)
    problems = (*own, *inside, *_warnings(kind, path, root))
    return Facts(name, context, version, references), problems


def _root_problem(kind: Kind, path: str, root: Element) -> Problem | None:
    """Tell whether the root element is not the one that this place asks for."""
    wanted = ROOT_FILES.get(path) if kind is Kind.ROOT else ROOTS[kind]
    namespace, local = _split(str(root.tag))
    if wanted is None:
        return None
    line = root.sourceline or 1
    if local != wanted:
        return Problem("wrong-root", f"the root element is <{local}>, not <{wanted}>", line)
    if namespace == NAMESPACE or (not namespace and kind in NAMESPACE_FREE):
        return None
    return Problem(
        "wrong-namespace",
        f"<{local}> is in {f'the namespace {namespace}' if namespace else 'no namespace'},"
        f" not in {NAMESPACE}",
        line,
    )


def local_name(element: Element) -> str:
    """Return an element's name without its namespace."""
    return _split(str(element.tag))[1]


def _split(tag: str) -> tuple[str, str]:
    """Return namespace (empty for none) and local name of an element's tag."""
    if tag[:1] != "{":
        return "", tag
    namespace, _, local = tag[1:].partition("}")
    return namespace, local


def _name_of(kind: Kind, root: Element) -> tuple[str, Problem | None]:
    """Return the name that the runtime will know the artifact by, or the problem with it."""
    attribute = "key" if kind is Kind.LOCAL_ENTRY else "name"
    name = root.get(attribute)
    local = local_name(root)
    if not name or not name.strip():
        state = "has no" if name is None else "has an empty"
        return "", Problem(
            "no-name", f"<{local}> {state} {attribute} attribute", root.sourceline or 1
        )
    if kind is not Kind.IMPORT:
        return name, None
    package = root.get("package")
    if not package:
        return "", Problem("no-package", "<import> has no package attribute", root.sourceline or 1)
    return f"{{{package}}}{name}", None


def _place_of(api: Element) -> tuple[str | None, str]:
    """Return the context and version that must be unique, as the runtime compares them."""
    context = api.get("context")
    version = (api.get("version") or "") if (api.get("version-type") or "").strip() else ""
    return (context.rstrip("/") or "/") if context else None, version


def _defined_in(definitions: Element) -> tuple[Reference, ...]:
    """Return the artifacts that a root file defines itself: `synapse.xml` may hold any."""
    found = []
    for child in definitions.iterchildren(*_KIND_OF_TAG):
        kind = _KIND_OF_TAG[str(child.tag)]
        name = child.get("key" if kind is Kind.LOCAL_ENTRY else "name")
        if name:
            found.append(Reference(kind, name))
    return tuple(found)


def _root_file_warnings(path: str) -> tuple[Problem, ...]:
    if path in ROOT_FILES:
        return ()
    reason = f"the runtime does not read {path} here: it belongs in the folder of its kind"
    return (Problem("unknown-root-file", reason, 0, Severity.WARNING),)


def file_name_of(name: str) -> str:
    """Return the file name that the runtime writes for an artifact's name.

    >>> file_name_of("admin--Pizza:v1.0.0")
    'admin--Pizza_v1.0.0.xml'
    """
    return _UNSAFE_IN_FILE_NAMES.sub("_", name) + ".xml"


def _warnings(kind: Kind, path: str, root: Element) -> tuple[Problem, ...]:
    """Warn of what the runtime takes but will not treat as its author thinks."""
    name = root.get("key" if kind is Kind.LOCAL_ENTRY else "name") or ""
    base = path.rpartition("/")[2]
    found = []
    if root.tag == ROOTS[kind] and kind not in _ATTRIBUTES_ONLY:
        reason = f"<{root.tag}> is in no namespace: the runtime skips children that are in none"
        found.append(Problem("no-namespace", reason, root.sourceline or 1, Severity.WARNING))
    if kind is not Kind.IMPORT and base != file_name_of(name):
        reason = f"the file of {name!r} would be {file_name_of(name)} if the runtime wrote it"
        found.append(Problem("file-name", reason, 0, Severity.WARNING))
    if base.startswith("."):
        reason = f"the name {base} is hidden: some runtimes deploy it, others never do"
        found.append(Problem("hidden-name", reason, 0, Severity.WARNING))
    if not base.endswith(".xml"):
        reason = (
            f"{stem_of(base)} ends in xml without a dot: deployed at start, never while running"
        )
        found.append(Problem("suffix", reason, 0, Severity.WARNING))
    return tuple(found)
