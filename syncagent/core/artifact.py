"""What an artifact is: a file of a tree, with a kind, and a path that every node can hold.

A path on the wire or in a manifest is relative, `/`-separated, NFC, and portable; anything else
is refused with the reason (facts: which names break which node were measured, see README
"Names that are refused").
"""

from __future__ import annotations

import re
import unicodedata
from enum import StrEnum
from typing import NamedTuple, NewType

TreeName = NewType("TreeName", str)
"""Name of a watched folder, the same on all nodes: `synapse`, `siddhi`, `tenant-1`, ..."""

NodeName = NewType("NodeName", str)
"""Name of an agent in its cluster."""

PART_BYTES_MAX = 255
PATH_BYTES_MAX = 3_900
_FORBIDDEN = frozenset('<>:"\\|?*')
_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", *(f"{d}{n}" for d in ("COM", "LPT") for n in range(1, 10))]
)
_ORDINARY = re.compile(
    r"""(?: (?! (?:CON|PRN|AUX|NUL|COM[1-9]|LPT[1-9]) (?:[./]|\Z) )
            [A-Z0-9_@+=,.-]{0,254} [A-Z0-9_@+=,-] (?: / (?!\Z) | \Z )
        )+""",
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
"""Most paths, found fine in one go; a path that does not match may still be fine."""


class ArtifactPath(NamedTuple):
    """Where an artifact is: tree and path relative to the tree's root."""

    tree: TreeName
    path: str

    def __str__(self) -> str:
        return f"{self.tree}:{self.path}"


class TreeKind(StrEnum):
    """What a tree holds, and so how its files are validated and ordered."""

    SYNAPSE = "synapse"
    SIDDHI = "siddhi"
    GENERIC = "generic"


class Kind(StrEnum):
    """Kind of an artifact: its folder's name in the singular, or `plan`, `root`, `file`."""

    IMPORT = "import"
    LOCAL_ENTRY = "local-entry"
    ENDPOINT = "endpoint"
    TEMPLATE = "template"
    SEQUENCE = "sequence"
    MESSAGE_STORE = "message-store"
    MESSAGE_PROCESSOR = "message-processor"
    TASK = "task"
    EVENT_SOURCE = "event-source"
    PRIORITY_EXECUTOR = "priority-executor"
    PROXY_SERVICE = "proxy-service"
    INBOUND_ENDPOINT = "inbound-endpoint"
    API = "api"
    PLAN = "plan"
    ROOT = "root"
    FILE = "file"


FOLDERS: dict[str, Kind] = {
    "imports": Kind.IMPORT,
    "local-entries": Kind.LOCAL_ENTRY,
    "endpoints": Kind.ENDPOINT,
    "templates": Kind.TEMPLATE,
    "sequences": Kind.SEQUENCE,
    "message-stores": Kind.MESSAGE_STORE,
    "message-processors": Kind.MESSAGE_PROCESSOR,
    "tasks": Kind.TASK,
    "event-sources": Kind.EVENT_SOURCE,
    "priority-executors": Kind.PRIORITY_EXECUTOR,
    "proxy-services": Kind.PROXY_SERVICE,
    "inbound-endpoints": Kind.INBOUND_ENDPOINT,
    "api": Kind.API,
}
"""Folder of a Synapse tree to the kind of what is in it (MultiXMLConfigurationBuilder)."""

SHARED_KEY_SPACE = frozenset({Kind.SEQUENCE, Kind.ENDPOINT, Kind.TEMPLATE, Kind.LOCAL_ENTRY})
"""Kinds whose names share one key space in the runtime (SynapseConfiguration.localRegistry)."""


def kind_of(tree_kind: TreeKind, path: str) -> Kind:
    """Return the kind of the artifact at `path`.

    The runtime looks at the suffix case-sensitively and without a dot (`endsWith("xml")` at
    start), so a name that merely ends in `xml` counts as an artifact here too.

    >>> kind_of(TreeKind.SYNAPSE, "api/Pizza.xml"), kind_of(TreeKind.SYNAPSE, "api/a/notes.txt")
    (<Kind.API: 'api'>, <Kind.FILE: 'file'>)
    """
    if tree_kind is TreeKind.SIDDHI:
        return Kind.PLAN if path.endswith(".siddhiql") else Kind.FILE
    if tree_kind is TreeKind.GENERIC or not path.endswith("xml"):
        return Kind.FILE
    folder, slash, _ = path.partition("/")
    return FOLDERS.get(folder, Kind.FILE) if slash else Kind.ROOT


def stem_of(path: str) -> str:
    """Return the file's name without folder and suffix.

    >>> stem_of("api/admin--Pizza_v1.0.0.xml")
    'admin--Pizza_v1.0.0'
    """
    base = path.rpartition("/")[2]
    return base.rpartition(".")[0] or base


def tenant_of(tree: TreeName) -> str:
    """Return the tenant id that a tree's name carries, empty for the super tenant.

    >>> tenant_of(TreeName("tenant-3-siddhi")), tenant_of(TreeName("synapse"))
    ('3', '')
    """
    if not tree.startswith("tenant-"):
        return ""
    return tree.removeprefix("tenant-").removesuffix("-siddhi")


def path_fault(path: str) -> str | None:
    """Tell why `path` can't be the path of an artifact, or None if it can.

    >>> path_fault("api/../x.xml")
    "the part '..' leads out of the tree"
    >>> path_fault("api/Pizza.xml") is None
    True
    """
    if len(path) <= PATH_BYTES_MAX and _ORDINARY.fullmatch(path):
        return None
    return _fault_of_unusual(path)


def _fault_of_unusual(path: str) -> str | None:
    """Tell what is wrong with a path that is not plainly fine; None if it is fine after all."""
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "the name is not valid UTF-8"
    if not path or size > PATH_BYTES_MAX:
        return f"the path has {size} bytes; 1 to {PATH_BYTES_MAX} are allowed"
    if path.startswith("/"):
        return "the path is absolute"
    if not path.isascii() and unicodedata.normalize("NFC", path) != path:
        return "the name is not in Unicode normal form C"
    for part in path.split("/"):
        fault = _part_fault(part)
        if fault is not None:
            return fault
    return None


def _part_fault(part: str) -> str | None:
    """Tell why one name between slashes is refused; None if it is fine."""
    if part in {"", ".", ".."}:
        return (
            f"the part {part!r} leads out of the tree" if part == ".." else f"empty part {part!r}"
        )
    if len(part.encode()) > PART_BYTES_MAX:
        return f"the name {part[:20]!r}... has more than {PART_BYTES_MAX} bytes"
    return _character_fault(part)


def _character_fault(part: str) -> str | None:
    """Tell which character or word in a name not every node can hold; None if all can."""
    if not part.isprintable():
        return f"the name {part!r} holds a control or unprintable character"
    clash = _FORBIDDEN.intersection(part)
    if clash:
        return f"the name {part!r} holds {''.join(sorted(clash))!r}"
    if part[-1] in ". ":
        return f"the name {part!r} ends in a dot or space"
    if part.partition(".")[0].upper() in _DEVICES:
        return f"the name {part!r} is a device name on some systems"
    return None


def fold_name(path: str) -> str:
    """Return what two paths share that a case-insensitive file system would take for one."""
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path.casefold())
