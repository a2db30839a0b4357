"""Exemptions: where a node holds something else than its revision says, and that is right.

A node's own rows are a pure function of revision and node: the rows of the trees that it lists,
with its exemptions laid over them. So what is exempt is neither drift, nor a change to declare,
nor out of sync, in every part of the agent, and ends in one place. An exemption is about one
version: it ends by itself as soon as the revision has another one (or none) at that path.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.change import Change
from syncagent.core.digest import Digest, digest_of, parse_digest
from syncagent.core.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from syncagent.core.manifest import Manifest


class Because(StrEnum):
    """Why a node does not hold what its revision says."""

    WITHHELD = "withheld"
    """the manager offers it later: its canary has not answered, or the group is held"""
    PORTION = "portion"
    """this node takes it up later: its runtime can take so many at once, or in this order"""
    REJECTED = "rejected"
    """the local runtime did not take it, and what is there now is the runtime's own doing"""
    REFUSED = "refused"
    """this node's own validation refuses it, or what it needs, and took the rest of the revision"""
    UNDEPLOYED = "undeployed"
    """a person took it away from this node for a while"""


@dataclass(frozen=True, slots=True)
class Exemption:
    """One path where this node holds `here` (None: nothing) while the revision says `wanted`.

    `until` is the wall time (s) at which it ends by itself, 0.0 for never; `detail` is for people.
    """

    path: ArtifactPath
    because: Because
    wanted: Digest | None
    here: Entry | None
    until: float = 0.0
    detail: str = ""


Exemptions = dict[ArtifactPath, Exemption]
"""By path; one path has one."""

NOTE = "exempt"
"""The ledger's note for those of the node's own making: what its runtime or a person did."""
WITHHELD_NOTE = "withheld"
"""The ledger's note for those that the rollout makes and ends, with what the manager withheld."""


def lasting(exemptions: Iterable[Exemption], manifest: Manifest) -> Exemptions:
    """Return the exemptions that still are about what `manifest` says."""
    return {
        exemption.path: exemption
        for exemption in exemptions
        if _digest(manifest.get(exemption.path)) == exemption.wanted
    }


def overlay(manifest: Manifest, exemptions: Mapping[ArtifactPath, Exemption]) -> Manifest:
    """Return `manifest` (one node's rows) as the node should hold it, given its exemptions."""
    changes = [
        Change(path, before, exemption.here)
        for path, exemption in exemptions.items()
        if (before := manifest.get(path)) != exemption.here and _digest(before) == exemption.wanted
    ]
    return manifest.after(changes) if changes else manifest


def _digest(entry: Entry | None) -> Digest | None:
    return entry.digest if entry else None


NONE_WITHHELD = digest_of(b"")
"""The digest of no paths."""


def paths_digest(paths: Iterable[ArtifactPath]) -> Digest:
    """Return the digest that names a set of paths, whatever their order.

    >>> paths_digest(()) == NONE_WITHHELD
    True
    """
    rows = sorted(f"{path.tree}\0{path.path}" for path in paths)
    return digest_of("\n".join(rows).encode("utf-8", "surrogatepass"))


def to_note(exemptions: Mapping[ArtifactPath, Exemption]) -> str:
    """Return the text of the ledger's note; empty if there are none."""
    rows = [
        [
            *exemption.path,
            exemption.because,
            exemption.wanted,
            list(exemption.here) if exemption.here else None,
            exemption.until,
            exemption.detail,
        ]
        for _, exemption in sorted(exemptions.items())
    ]
    return json.dumps(rows, separators=(",", ":")) if rows else ""


def withheld_to_note(offered: Digest, exemptions: Mapping[ArtifactPath, Exemption]) -> str:
    """Return the text of the ledger's note for what is withheld; empty if nothing is.

    `offered` names the paths as the manager withheld them: a node has only some of them.
    """
    if offered == NONE_WITHHELD and not exemptions:
        return ""
    return f"{offered} {to_note(exemptions)}"


def withheld_from_note(text: str) -> tuple[Digest, Exemptions]:
    """Return what `withheld_to_note` wrote down. Raises ValueError on any other text."""
    if not text:
        return NONE_WITHHELD, {}
    offered, _, rows = text.partition(" ")
    return parse_digest(offered), from_note(rows)


def from_note(text: str) -> Exemptions:
    """Return what `to_note` wrote down. Raises ValueError on any other text."""
    found: Exemptions = {}
    for row in json.loads(text or "[]"):
        tree, name, because, wanted, here, until, detail = row
        path = ArtifactPath(TreeName(tree), name)
        entry = Entry(Digest(here[0]), here[1]) if here else None
        found[path] = Exemption(path, Because(because), wanted, entry, until, detail)
    return found
