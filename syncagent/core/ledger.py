"""Where a node stands: what its ledger says was committed. The values; the file is `history`'s."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.core.manifest import EMPTY, Manifest
from syncagent.core.revision import REVISION_ZERO, RevisionId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.artifact import TreeName
    from syncagent.core.change import Change


@dataclass(frozen=True, slots=True)
class Standing:
    """The state that survives: the revision this node stands on and what it remembers beside it.

    `manifest` is the whole revision, all trees of the cluster; the node's own rows are its
    projection. `txid` is that of the last commit that is known to be done. `identities` are the
    trusted roots (see `Disk.identities`). `notes` are small durable facts by name, as JSON text:
    holds that were approved or rejected, a pause, what is refused.
    """

    revision: RevisionId = REVISION_ZERO
    manifest: Manifest = EMPTY
    txid: int = 0
    identities: Mapping[TreeName, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)

    def after(self, change: StandingChange) -> Standing:
        """Return the standing once `change` is appended."""
        manifest = self.manifest
        revision = self.revision
        if change.revision is not None:
            revision = change.revision
            manifest = (
                change.manifest if change.manifest is not None else manifest.after(change.changes)
            )
            assert manifest.digest == revision.digest, "a revision's digest is its manifest's"
        return Standing(
            revision=revision,
            manifest=manifest,
            txid=max(self.txid, change.txid),
            identities={**self.identities, **change.identities},
            notes={name: text for name, text in {**self.notes, **change.notes}.items() if text},
        )


@dataclass(frozen=True, slots=True)
class StandingChange:
    """One record of the ledger. Everything is optional; an empty note removes the note.

    `changes` lead from the manifest before to `revision`; `manifest`, if given, replaces it whole.
    """

    revision: RevisionId | None = None
    changes: tuple[Change, ...] = ()
    manifest: Manifest | None = None
    txid: int = 0
    identities: Mapping[TreeName, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
