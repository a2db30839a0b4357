"""Making one side's trees equal to the other side's, once, while no agent runs.

For the first meeting of a share and a node: a person has said which side is right. What the losing
side had is displaced as in every commit, one durable step over all trees, and kept in quarantine.
Nothing unvalidated is carried: what is invalid stays where it is, and the other side keeps what it
has there. What could not be read on either side is left alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from syncagent.core.artifact import ArtifactPath, kind_of
from syncagent.core.errors import DiskError
from syncagent.core.intent import Intent, Keep, Step
from syncagent.core.order import order_steps
from syncagent.core.snapshot import Seen
from syncagent.core.wire.standing import encode_change

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from syncagent.core.artifact import Kind, TreeKind, TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.ledger import StandingChange
    from syncagent.core.manifest import Entry
    from syncagent.core.revision import RevisionId
    from syncagent.core.snapshot import Snapshot
    from syncagent.ports import Disk, Validator


class Row(NamedTuple):
    """One artifact that the two sides have different bytes of; None: that side has none."""

    path: ArtifactPath
    here: Entry | None
    there: Entry | None


@dataclass(frozen=True, slots=True)
class Gap:
    """How two sides of one tree differ, and how many artifacts each of them has."""

    tree: TreeName
    rows: tuple[Row, ...]
    here: int
    there: int

    def count(self, *, here: bool, there: bool) -> int:
        """Return how many of the differing artifacts are on just these sides."""
        return sum(
            (row.here is not None, row.there is not None) == (here, there) for row in self.rows
        )


@dataclass(slots=True)
class Carried:
    """What was done: artifacts written and taken away, kept in quarantine, and refused."""

    written: int = 0
    removed: int = 0
    kept: int = 0
    refused: list[tuple[ArtifactPath, str]] = field(default_factory=list)


def gap_between(here: Snapshot, there: Snapshot) -> Gap:
    """Compare what two scans of one tree saw. Both must be good."""
    rows = []
    for path in sorted(here.files.keys() | there.files.keys()):
        one, other = here.files.get(path), there.files.get(path)
        ours = one.entry if isinstance(one, Seen) else None
        theirs = other.entry if isinstance(other, Seen) else None
        unread = (one is not None and ours is None) or (other is not None and theirs is None)
        if ours != theirs and not unread:
            rows.append(Row(ArtifactPath(here.tree, path), ours, theirs))
    return Gap(here.tree, tuple(rows), len(here.files), len(there.files))


class Carrier:
    """Carries from `source` to `target`, which nobody else writes to by a commit meanwhile."""

    def __init__(
        self,
        source: Disk,
        target: Disk,
        validator: Validator,
        kinds: Mapping[TreeName, TreeKind],
    ) -> None:
        self._source = source
        self._target = target
        self._validator = validator
        self._kinds = kinds
        self._names: dict[tuple[ArtifactPath, Digest], str] = {}

    def carry(
        self, rows: Iterable[Row], stands: RevisionId, change: StandingChange, *, to_here: bool
    ) -> Carried:
        """Make the target have what the source has of `rows`; `to_here`: the target is `here`.

        `change` enters the commit into the target's ledger, if it has one; its txid is the
        commit's. Raises DiskError (nothing was changed), StateError (`recover` finishes it).
        """
        done = Carried()
        try:
            steps = list(self._staged(rows, change.txid, done, to_here=to_here))
            if any(step.after is not None for step in steps):
                self._target.seal(change.txid)
        except DiskError:
            self._target.discard(change.txid)
            raise
        if steps:
            ordered = order_steps(
                steps, self._kind, lambda path, digest: self._names.get((path, digest))
            )
            intent = Intent(change.txid, stands, ordered, encode_change(change))
            done.kept = len(self._target.commit(intent).kept)
        done.written = sum(step.after is not None for step in steps)
        done.removed = len(steps) - done.written
        return done

    def _staged(
        self, rows: Iterable[Row], txid: int, done: Carried, *, to_here: bool
    ) -> Iterable[Step]:
        """Yield the steps; what they put is staged by then."""
        for row in rows:
            found, wanted = (row.here, row.there) if to_here else (row.there, row.here)
            if wanted is None:
                assert found is not None, "a row differs"
                self._examine(self._target, row.path, found)
                yield Step(row.path, found.digest, None, Keep.CONFLICT)
                continue
            content, wrong = self._examine(self._source, row.path, wanted)
            if content is None:
                raise DiskError(f"{row.path} changed while it was read", hint="try again")
            if wrong:
                done.refused.append((row.path, wrong))
                continue
            keep = Keep.CONFLICT if found else None
            step = Step(row.path, found.digest if found else None, wanted, keep)
            self._target.stage(txid, [(step, content)])
            yield step

    def _examine(self, disk: Disk, path: ArtifactPath, entry: Entry) -> tuple[bytes | None, str]:
        """Return the bytes and why they are invalid; remember the name that they declare."""
        content = disk.read(path, entry.digest)
        if content is None:
            return None, ""
        examined = self._validator.examine(self._kind(path), path.path, content)
        self._names[path, entry.digest] = examined.facts.name
        return content, "" if examined.valid else examined.problems[0].reason

    def _kind(self, path: ArtifactPath) -> Kind:
        return kind_of(self._kinds[path.tree], path.path)
