"""The names that an artifact uses: which attribute of which element names what.

Only what can be resolved from files is returned: keys that are computed per message (`{...}`),
registry resources and URLs are not names of artifacts. Elements of other namespaces are payload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.core.artifact import Kind
from syncagent.core.verdict import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

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

Use = tuple[str, Kind]
"""An attribute, and the kind of what it names."""

_USES: Mapping[str, tuple[Use, ...]] = {
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
USES: Mapping[str, tuple[Use, ...]] = {
    f"{{{NAMESPACE}}}{name}": uses for name, uses in _USES.items()
}
"""By tag: which attribute names an artifact of which kind."""

_ELSEWHERE = ("{", "$", "gov:", "conf:", "resources:", "synapse.lang.")


def is_name(key: str) -> bool:
    """Tell whether `key` must be the name of an artifact in the same tree."""
    return bool(key) and "/" not in key and key not in BUILT_IN and not key.startswith(_ELSEWHERE)


def note_uses(
    uses: Iterable[Use], attribute: Callable[[str], str | None], names: dict[Reference, None]
) -> None:
    """Add to `names` what an element names; `attribute` returns one of its attributes."""
    for name, kind in uses:
        key = attribute(name)
        if key is not None and is_name(key):
            names[Reference(kind, key)] = None
