"""The hand that answers people from disk and history, and that writes events down."""

from __future__ import annotations

import difflib
import json
import logging
from typing import TYPE_CHECKING

from syncagent.agent.node.rows import kept_row, when
from syncagent.agent.results import Fetched
from syncagent.core.artifact import ArtifactPath, TreeName, kind_of, path_fault
from syncagent.core.diff import diff
from syncagent.core.digest import digest_of, parse_digest
from syncagent.core.errors import DiskError, RefusedError, SyncagentError
from syncagent.core.intent import Keep
from syncagent.core.ledger import StandingChange
from syncagent.core.manifest import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from syncagent.agent.effects import Fetch, Report
    from syncagent.core.artifact import TreeKind
    from syncagent.core.change import Change
    from syncagent.core.desk import JSON
    from syncagent.core.intent import Kept
    from syncagent.core.manifest import Manifest
    from syncagent.core.revision import Revision, RevisionId
    from syncagent.ports import Clock, Disk, History

LOG = logging.getLogger("syncagent")
WARN = frozenset(
    {"alarm", "held", "refused", "declined", "commit-failed", "fenced", "stranger", "drift"}
)
TEXT_BYTES_MAX = 200_000
"""Larger artifacts are shown as changed, without their lines."""
REVISIONS_MAX = 10_000
"""How far back a deleted artifact is looked for; what is older was forgotten long ago."""
TEXTS_MAX = 200
COUNT_MAX = 2**63 - 1
"""The largest number that the records count to (SQLite's integers have 64 bits)."""


class Fetching:
    """Carries out Fetch and Report. `trust` pins a stranger's key and returns its fingerprint."""

    def __init__(
        self,
        disk: Disk,
        history: History,
        clock: Clock,
        kinds: Mapping[TreeName, TreeKind],
        trust: Callable[[str, str | None], JSON],
    ) -> None:
        self._disk = disk
        self._history = history
        self._clock = clock
        self._kinds = dict(kinds)
        self._trust = trust
        self._table: dict[str, Callable[[dict[str, JSON]], object]] = {
            "quarantine": self._quarantine,
            "conflicts": self._conflicts,
            "revisions": self._revisions,
            "events": self._events,
            "texts": self._texts,
            "diff": self._diff,
            "kept": self._kept,
            "keys_trust": self._keys_trust,
        }

    def report(self, effect: Report) -> None:
        """Write an event down, and log it: one line, words and numbers only."""
        try:
            at = self._clock.wall() if effect.at is None else effect.at
            self._history.event(at, effect.what, effect.fields)
        except DiskError as error:
            # A full disk is when people need the log most: it goes on without the record.
            LOG.warning("the next line is only in this log: %s", error)
        level = logging.WARNING if effect.what in WARN else logging.INFO
        words = " ".join(f"{name}={json.dumps(value)}" for name, value in effect.fields.items())
        known = {"what": effect.what, "fields": effect.fields}
        LOG.log(level, "%s %s", effect.what, words, extra=known)

    def do(self, effect: Fetch) -> Fetched:
        """Bring what is asked for; a SyncagentError becomes the answer."""
        try:
            value = self._table[effect.what](json.loads(effect.argument))
        except SyncagentError as error:
            return Fetched(effect.request, None, error)
        return Fetched(effect.request, value)

    # --- lists ------------------------------------------------------------------------------

    def _quarantine(self, arguments: dict[str, JSON]) -> list[JSON]:
        return [kept_row(kept, "") for kept in _newest(self._disk.kept(), arguments)]

    def _conflicts(self, arguments: dict[str, JSON]) -> list[JSON]:
        found = [kept for kept in self._disk.kept() if kept.reason is Keep.CONFLICT]
        return [kept_row(kept, "") for kept in _newest(found, arguments)]

    def _revisions(self, arguments: dict[str, JSON]) -> list[JSON]:
        """List the revisions that led here, and where this node caught up without them."""
        limit = _count(arguments.get("limit"), 50)
        found: list[JSON] = []
        # Where the last one listed came from: the next one, unless it is not remembered.
        expected = self._history.standing().revision
        for revision, at in self._history.revisions(limit):
            if revision.id.number < expected.number:
                found.append(_caught_up(revision.id.number, expected))
            if revision.id.number <= expected.number:
                # Else a deposed manager's, which led nowhere.
                expected = revision.parent
            found.append(_revision_row(revision, at))
        if not found and expected.number:
            found.append(_caught_up(0, expected))
        return found[:limit]

    def _events(self, arguments: dict[str, JSON]) -> list[JSON]:
        after, limit = _count(arguments.get("after"), 0), _count(arguments.get("limit"), 100)
        return [
            {"id": number, "at": when(at), "what": what, "fields": dict(fields)}
            for number, at, what, fields in self._history.events(after, limit)
        ]

    # --- differences ------------------------------------------------------------------------

    def _texts(self, known: dict[str, JSON]) -> dict[str, JSON]:
        """Add the lines that differ to a list of changes."""
        changes = known.get("changes")
        assert isinstance(changes, list), "made by the loop"
        for row in changes[:TEXTS_MAX]:
            assert isinstance(row, dict), "made by the loop"
            path = ArtifactPath(TreeName(str(row["tree"])), str(row["path"]))
            text = self._text(path, row.get("before"), row.get("after"))
            if text is not None:
                row["text"] = text
        return known

    def _diff(self, arguments: dict[str, JSON]) -> dict[str, JSON]:
        standing = self._history.standing()
        first = self._manifest(arguments.get("from"), standing.revision.number, standing.manifest)
        second = self._manifest(arguments.get("to"), standing.revision.number, standing.manifest)
        changes: list[JSON] = [self._row(change) for change in diff(first, second)]
        known: dict[str, JSON] = {
            "from": _label(arguments.get("from"), standing.revision.number),
            "to": _label(arguments.get("to"), standing.revision.number),
            "changes": changes,
        }
        return self._texts(known)

    def _manifest(self, number: JSON, current: int, manifest: Manifest) -> Manifest:
        if number is None or str(number) == str(current):
            return manifest
        found = self._history.manifest_of(_count(number, -1))
        if found is None:
            hint = "syncagent get revisions"
            raise RefusedError(f"revision {number} is not remembered here", hint=hint)
        return found

    def _row(self, change: Change) -> dict[str, JSON]:
        kind = self._kinds.get(change.path.tree)
        return {
            "tree": change.path.tree,
            "path": change.path.path,
            "kind": str(kind_of(kind, change.path.path)) if kind else "file",
            "change": change.word,
            "before": change.before.digest if change.before else None,
            "after": change.after.digest if change.after else None,
        }

    def _text(self, path: ArtifactPath, before: JSON, after: JSON) -> list[JSON] | None:
        old, new = self._lines(path, before), self._lines(path, after)
        if old is None or new is None:
            return None
        name = str(path)
        return list(
            difflib.unified_diff(old, new, f"{name} (before)", f"{name} (after)", lineterm="")
        )

    def _lines(self, path: ArtifactPath, digest: JSON) -> list[str] | None:
        """Return an artifact's lines; none for one that is absent, None if they can't be had."""
        if digest is None:
            return []
        try:
            wanted = parse_digest(str(digest))
        except ValueError:
            # A peer says so of what it can't read itself.
            return None
        content = self._history.blob(wanted)
        if content is None and path.tree in self._kinds and path_fault(path.path) is None:
            content = self._disk.read(path, wanted)
        if content is None or len(content) > TEXT_BYTES_MAX:
            return None
        return content.decode("utf-8", "replace").splitlines()

    # --- doing ------------------------------------------------------------------------------

    def _kept(self, arguments: dict[str, JSON]) -> dict[str, JSON]:
        """Return quarantined bytes' place and digest; the bytes are in the history then."""
        what = str(arguments.get("what"))
        deleted = self._deleted(what)
        if deleted is not None:
            return deleted
        found = [
            kept
            for kept in self._disk.kept()
            if kept.id == what or what in {str(kept.path), kept.path.path}
        ]
        if not found:
            hint = "syncagent get quarantine lists what this node kept"
            raise RefusedError(f"nothing is kept under {what!r}", hint=hint)
        kept = found[0]
        content = self._disk.kept_bytes(kept.id)
        entry = Entry(digest_of(content), len(content))
        if not self._history.has(entry.digest):
            self._history.stand(StandingChange(), [(entry, content)])
        return {
            "id": kept.id,
            "tree": kept.path.tree,
            "path": kept.path.path,
            "digest": entry.digest,
            "size": entry.size,
        }

    def _deleted(self, what: str) -> dict[str, JSON] | None:
        """Return the last bytes of a path that a revision deleted; None if it is there, or never was.

        The node whose deletion it was has nothing of it in quarantine: its history has.
        """
        present = self._history.standing().manifest
        for revision, _at in self._history.revisions(REVISIONS_MAX):
            for change in revision.changes:
                if change.after is not None or change.before is None:
                    continue
                named = what in {str(change.path), change.path.path}
                if named and change.path not in present and self._history.has(change.before.digest):
                    return {
                        "id": f"revision {revision.parent.number}",
                        "tree": change.path.tree,
                        "path": change.path.path,
                        "digest": change.before.digest,
                        "size": change.before.size,
                    }
        return None

    def _keys_trust(self, arguments: dict[str, JSON]) -> JSON:
        key = arguments.get("key")
        return self._trust(str(arguments.get("name")), str(key) if key else None)


def _revision_row(revision: Revision, at: float) -> dict[str, JSON]:
    words = [change.word for change in revision.changes]
    return {
        "number": revision.id.number,
        "epoch": revision.id.epoch,
        "digest": revision.id.digest,
        "author": revision.author,
        "note": revision.note,
        "at": when(at),
        "added": words.count("add"),
        "updated": words.count("update"),
        "deleted": words.count("delete"),
    }


def _caught_up(before: int, to: RevisionId) -> dict[str, JSON]:
    """Return the row of a revision of which only the manifest came, after number `before`."""
    came = "came as a whole: what it changed"
    if to.number - before > 1:
        came = f"caught up from {before} to {to.number}: what each of them changed"
    return {
        "number": to.number,
        "epoch": to.epoch,
        "digest": to.digest,
        "author": "",
        "note": f"{came} is not remembered here",
        "at": None,
        "added": None,
        "updated": None,
        "deleted": None,
    }


def _label(number: JSON, current: int) -> str:
    return f"revision {current if number is None else number}"


def _newest(rows: Sequence[Kept], arguments: Mapping[str, JSON]) -> Sequence[Kept]:
    """Return as many of the rows, which come newest first, as a request asks for."""
    return rows[: _count(arguments.get("limit"), len(rows))]


def _count(value: JSON, default: int) -> int:
    """Return a whole number out of a request, `default` if it has none that counts anything."""
    try:
        number = int(str(value))
    except ValueError:
        return default
    return number if 0 <= number <= COUNT_MAX else default
