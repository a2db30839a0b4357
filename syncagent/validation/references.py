"""The names that an artifact uses: which attribute of which element names what.

Only what can be resolved from files is returned: keys that are computed per message (`{...}`),
registry resources and URLs are not names of artifacts. Elements of other namespaces are payload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import Kind
from syncagent.core.verdict import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lxml.etree import _Element as Element

NAMESPACE = "http://ws.apache.org/ns/synapse"

BUILT_IN = frozenset({"main", "fault", "anon"})
"""Sequences that need no file: two the runtime makes itself, `anon` stands for one in line."""

_SEQUENCE = ("sequence", Kind.SEQUENCE)
_IN_OUT_FAULT = (
    ("inSequence", Kind.SEQUENCE),
    ("outSequence", Kind.SEQUENCE),
    ("faultSequence", Kind.SEQUENCE),
)
_ENTRY_KEY = (("key", Kind.LOCAL_ENTRY),)
_ACCEPT_REJECT = (("onAccept", Kind.SEQUENCE), ("onReject", Kind.SEQUENCE))

_USES: Mapping[str, tuple[tuple[str, Kind], ...]] = {
    "sequence": (("key", Kind.SEQUENCE), ("onError", Kind.SEQUENCE)),
    "endpoint": (("key", Kind.ENDPOINT), ("template", Kind.TEMPLATE)),
    "target": (*_IN_OUT_FAULT, _SEQUENCE, ("endpoint", Kind.ENDPOINT)),
    "resource": (*_IN_OUT_FAULT, *_ENTRY_KEY),
    "inboundEndpoint": (_SEQUENCE, ("onError", Kind.SEQUENCE)),
    "call-template": (("target", Kind.TEMPLATE), ("onError", Kind.SEQUENCE)),
    "send": (("receive", Kind.SEQUENCE),),
    "onComplete": (_SEQUENCE,),
    "onCacheHit": (_SEQUENCE,),
    "then": (_SEQUENCE,),
    "else": (_SEQUENCE,),
    "foreach": (_SEQUENCE,),
    "enqueue": (_SEQUENCE, ("executor", Kind.PRIORITY_EXECUTOR)),
    "throttle": _ACCEPT_REJECT,
    "entitlementService": _ACCEPT_REJECT,
    "store": (("messageStore", Kind.MESSAGE_STORE), _SEQUENCE),
    "messageProcessor": (("messageStore", Kind.MESSAGE_STORE), ("targetEndpoint", Kind.ENDPOINT)),
    "xslt": _ENTRY_KEY,
    "fastXSLT": _ENTRY_KEY,
    "xquery": _ENTRY_KEY,
    "variable": _ENTRY_KEY,
    "schema": _ENTRY_KEY,
    "format": _ENTRY_KEY,
    "script": _ENTRY_KEY,
    "policy": _ENTRY_KEY,
    "publishWSDL": _ENTRY_KEY,
    "enableSec": (("policy", Kind.LOCAL_ENTRY),),
    "enableRM": (("policy", Kind.LOCAL_ENTRY),),
}
_RULES = {f"{{{NAMESPACE}}}{name}": rules for name, rules in _USES.items()}
_ALL = f"{{{NAMESPACE}}}*"
_ELSEWHERE = ("{", "$", "gov:", "conf:", "resources:", "synapse.lang.")


def references_of(root: Element) -> tuple[Reference, ...]:
    """Return what `root` and everything below it refers to, each once, in document order."""
    found: dict[Reference, None] = {}
    # One wildcard is much cheaper for the parser's library than a list of names.
    for element in root.iter(_ALL):
        for attribute, kind in _RULES.get(str(element.tag), ()):
            key = element.get(attribute)
            if key is not None and _is_name(key):
                found[Reference(kind, key)] = None
    return tuple(found)


def _is_name(key: str) -> bool:
    """Tell whether `key` must be the name of an artifact in the same tree."""
    return bool(key) and "/" not in key and key not in BUILT_IN and not key.startswith(_ELSEWHERE)
