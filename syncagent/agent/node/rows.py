"""Rows for people and programs: the JSON values that `status`, `get` and `describe` show. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from syncagent.agent.node.goingwithout import left_out
from syncagent.core.artifact import kind_of, stem_of
from syncagent.core.diff import diff
from syncagent.core.errors import RefusedError
from syncagent.core.exempt import Because
from syncagent.core.intent import Keep
from syncagent.core.plan import Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.desk import JSON
    from syncagent.core.entry import Entry
    from syncagent.core.intent import Kept
    from syncagent.core.manifest import Manifest
    from syncagent.core.outcome import Outcome
    from syncagent.core.safety import Hold
    from syncagent.core.verdict import Refused

DIFFERING_MAX = 500
"""Rows of differing artifacts that a node reports; more are only counted."""

DISPLACED = "displaced by transaction "
"""What `disk` writes down where it knows no more than which commit took the bytes away."""

_KEPT = {
    Keep.DELETED: "a revision, or an undeploy, took it away",
    Keep.DRIFT: "changed here without a revision, and put back",
    Keep.CONFLICT: "other bytes were here than expected when a revision came",
    Keep.REFUSED: "not valid, and gone from where it was written",
    Keep.REJECTED: "the runtime did not take it",
}

STATE_ORDER = ("Held", "Degraded", "OutOfSync", "Syncing", "Offline", "Unknown", "Paused", "Synced")
"""States from the one that needs a person most to the one that needs nobody."""


def when(at: float) -> str:
    """Return wall time `at` as RFC 3339 text in UTC."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def hold_row(hold: Hold, at: float) -> dict[str, JSON]:
    """Return the row of a hold."""
    return {
        "id": hold.id,
        "tree": hold.tree,
        "path": _held_path(hold),
        "reason": hold.text,
        "at": when(at),
        "node": hold.node,
        "kind": hold.reason,
        "paths": [str(path) for path in hold.paths[:DIFFERING_MAX]],
        "approvable": hold.approvable,
        "set": hold.set_digest,
        **({"cause": hold.cause, "refused_by": hold.refused_by} if hold.refused_by else {}),
    }


def _held_path(hold: Hold) -> str:
    """Return the one path that is held, or how many are; nothing where the tree itself is held."""
    if len(hold.paths) > 1:
        return f"{len(hold.paths)} artifacts"
    return hold.paths[0].path if hold.paths else ""


def refused_row(row: Refused, node: str, at: float) -> dict[str, JSON]:
    """Return the row of a refused artifact; the id is its place."""
    line = f"line {row.problem.line}: " if row.problem.line else ""
    return {
        "id": str(row.path),
        "tree": row.path.tree,
        "path": row.path.path,
        "reason": line + row.problem.reason,
        "at": when(at),
        "node": node,
        "code": row.problem.code,
        "line": row.problem.line,
    }


def kept_row(kept: Kept, node: str) -> dict[str, JSON]:
    """Return the row of quarantined bytes."""
    return {
        "id": kept.id,
        "tree": kept.path.tree,
        "path": kept.path.path,
        "reason": f"{kept.reason}: {_why_kept(kept)}",
        "at": when(kept.at),
        "node": node,
        "digest": kept.digest,
        "size": kept.size,
    }


def _why_kept(kept: Kept) -> str:
    """Say why bytes were kept: in the words of who refused them, else what became of them."""
    if kept.detail and not kept.detail.startswith(DISPLACED):
        return kept.detail
    return _KEPT[kept.reason]


def artifact_rows(
    state: State, observing: Observing, said: Callable[[ArtifactPath], Outcome | None]
) -> list[dict[str, JSON]]:
    """Return one row per artifact of this node: what should be here, and what is refused.

    `said` tells what the runtime made of an artifact. What is kept away from here for a while is
    listed too, without a digest.
    """
    known = state.base
    away = [path for path in state.exempt if path not in known and path in state.rows]
    only_refused = [path for path in state.refused if path not in known and path not in away]
    rows = [artifact_row(state, observing, path, entry.digest, said(path)) for path, entry in known]
    rows += [artifact_row(state, observing, path, None, said(path)) for path in sorted(away)]
    rows += [artifact_row(state, observing, path, None, None) for path in sorted(only_refused)]
    return rows


def artifact_row(
    state: State,
    observing: Observing,
    path: ArtifactPath,
    digest: str | None,
    outcome: Outcome | None,
) -> dict[str, JSON]:
    """Return the row of one artifact. Without a runtime that answers its state is `Unknown`."""
    view = observing.views.get(path.tree)
    kind = kind_of(view.kind, path.path) if view else "file"
    examined = view.examined.get(path.path) if view else None
    row: dict[str, JSON] = {
        "tree": path.tree,
        "path": path.path,
        "kind": str(kind),
        "name": (examined.facts.name if examined else "") or stem_of(path.path),
        "digest": digest,
        "state": str(outcome.state) if outcome is not None else "Unknown",
    }
    if outcome is not None and outcome.reason:
        row["reason"] = outcome.reason
    exemption = state.exempt.get(path)
    if exemption is not None and exemption.because is Because.UNDEPLOYED:
        # The name was written down when its bytes could still be read.
        row["name"] = exemption.detail.partition("/")[2] or row["name"]
        row["state"], row["reason"] = "Unknown", f"undeployed until {when(exemption.until)}"
    if exemption is not None and exemption.because is Because.REFUSED:
        row["state"], row["reason"] = "Refused", exemption.detail
    refused = state.refused.get(path)
    if refused is not None:
        row["state"] = "Refused"
        row["reason"] = refused.problem.reason
    return row


def undeployed_rows(state: State, observing: Observing) -> list[dict[str, JSON]]:
    """Return what a person took away from this node, and until when."""
    found: list[dict[str, JSON]] = []
    for path, exemption in sorted(state.exempt.items()):
        if exemption.because is Because.UNDEPLOYED:
            row = artifact_row(state, observing, path, None, None)
            left_s = max(0.0, round(exemption.until - state.wall(), 1))
            found.append(
                {
                    **{name: row[name] for name in ("tree", "path", "kind", "name")},
                    "until": when(exemption.until),
                    "left_s": left_s,
                }
            )
    return found


def differing(
    state: State, observing: Observing, wanted: Manifest | None
) -> tuple[ArtifactPath, ...]:
    """Return the paths where disk is not as `wanted` says, or as base where nothing is wanted."""
    if wanted is None:
        return observing.differing()
    moved = {change.path for change in diff(state.base, wanted)}
    return tuple(
        path
        for path in sorted(moved.union(observing.differing()))
        if observing.observed(path) != _digest(wanted.get(path))
    )


def differing_rows(
    state: State, observing: Observing, wanted: Manifest | None
) -> list[dict[str, JSON]]:
    """Return what is on disk where it should be otherwise, the first `DIFFERING_MAX` of it."""
    rows: list[dict[str, JSON]] = []
    for path in differing(state, observing, wanted)[:DIFFERING_MAX]:
        seen = observing.observed(path)
        digest = "unknown" if isinstance(seen, Unknown) else seen
        rows.append({"tree": path.tree, "path": path.path, "digest": digest})
    return rows


def own_holds(state: State) -> list[dict[str, JSON]]:
    """Return the rows of this node's own holds."""
    return [hold_row(hold, state.since(hold.id)) for hold in state.holds.values()]


def own_refused(state: State) -> list[dict[str, JSON]]:
    """Return the rows of what this node refuses."""
    refused = [*state.refused.values(), *left_out(state)]
    return [refused_row(row, state.me, state.since(str(row.path))) for row in refused]


def local_changes(
    state: State, observing: Observing, wanted: Manifest | None
) -> list[dict[str, JSON]]:
    """Return this node's differences from the revision that it should have."""
    manifest = state.base if wanted is None else wanted
    return [_change_row(manifest, observing, path) for path in differing(state, observing, wanted)]


def open_changes(state: State, observing: Observing) -> list[dict[str, JSON]]:
    """Return the differences that are still to become something: all but what is refused."""
    return [
        _change_row(state.base, observing, path)
        for path in observing.differing()
        if path not in state.refused
    ]


def _change_row(wanted: Manifest, observing: Observing, path: ArtifactPath) -> dict[str, JSON]:
    before = wanted.get(path)
    seen = observing.observed(path)
    word = "add" if before is None else ("delete" if seen is None else "update")
    after = seen if isinstance(seen, str) else None
    return _row(observing, path, word, _digest(before), after)


def made_rows(state: State, observing: Observing, since: int) -> list[dict[str, JSON]]:
    """Return what this node declared or committed since `State.made_count` was `since`."""
    return [
        _row(observing, change.path, change.word, _digest(change.before), _digest(change.after))
        for change in state.made_since(since)
    ]


def _digest(entry: Entry | None) -> str | None:
    return entry.digest if entry is not None else None


def _row(
    observing: Observing, path: ArtifactPath, word: str, before: str | None, after: str | None
) -> dict[str, JSON]:
    view = observing.views.get(path.tree)
    return {
        "tree": path.tree,
        "path": path.path,
        "kind": str(kind_of(view.kind, path.path)) if view else "file",
        "change": word,
        "before": before,
        "after": after,
    }


def worst(states: Sequence[JSON]) -> str:
    """Return the state of a cluster from those of its nodes."""
    for state in STATE_ORDER:
        if state in states:
            return "OutOfSync" if state == "Offline" else state
    return "Unknown"


def listed(report: Mapping[str, object], name: str) -> list[dict[str, JSON]]:
    """Return a list of rows out of a peer's report; empty if it has none (or nonsense)."""
    rows = report.get(name)
    if not isinstance(rows, list):
        return []
    return [row for row in rows if isinstance(row, dict)]


def not_restored(path: ArtifactPath, reason: str) -> RefusedError:
    """Return the error that says why `path` was not restored; a reason may name it already."""
    why = reason.removeprefix(f"{path}: ")
    return RefusedError(
        f"{path} is not restored: {why}", hint="its bytes stay in quarantine; nothing has changed"
    )


def refresh(row: dict[str, JSON], fresh: Mapping[str, JSON]) -> None:
    """Put this node's own row in place of the manager's, but for what only the manager knows."""
    waits = row.get("waits_for_canary") and row.get("revision") == fresh.get("revision")
    theirs = {name: row.get(name) for name in ("state", "reason", "waits_for_canary")}
    row.update(fresh)
    if waits and fresh.get("state") == "Synced":
        row.update(theirs)


def older(report: object, row: Mapping[str, JSON]) -> bool:
    """Tell whether a peer's own row is of before the revision that it is known to stand on."""
    return isinstance(report, dict) and report.get("revision") != row["revision"]
