"""How what a runtime did is told: in a node's row, in its report to the manager, of one artifact.

A report lists what is not Deployed, the worst first and so many at most. So an artifact that is on
no list counts as Deployed only where the list is whole and the node's runtime answers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.node import rows
from syncagent.core.outcome import Deployment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from syncagent.agent.node.deploying import Deploying
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.desk import JSON
    from syncagent.core.outcome import Outcome

OUTCOMES_MAX = 500
"""Outcomes that a report lists; more are only counted."""
EXCERPTS_MAX = 50
"""How many of them carry the runtime's own words: each may be some lines of a log."""

REJECTED_BY_RUNTIME = "rejected-by-runtime"
"""The code, among those of what is refused, of what a runtime did not take."""

COUNTS = ("deployed", "pending", "rejected", "unknown", "restart_required", "dormant")
"""The fields of a node's row that together are all of its artifacts."""

_STATES = (
    Deployment.DEPLOYED,
    Deployment.PENDING,
    Deployment.REJECTED,
    Deployment.UNKNOWN,
    Deployment.RESTART_REQUIRED,
    Deployment.DORMANT,
)


def runtime_counts(deploying: Deploying) -> dict[str, JSON]:
    """Return what a node's row says of its runtime."""
    counts = deploying.counts()
    found: dict[str, JSON] = {
        name: counts[state] for name, state in zip(COUNTS, _STATES, strict=True)
    }
    found["runtime"] = runtime_row(deploying) if deploying.about.answers else None
    return found


def runtime_row(deploying: Deploying) -> dict[str, JSON]:
    """Return which runtime it is and what it is doing."""
    about, runtime = deploying.about, deploying.runtime
    return {
        "kind": about.kind,
        "label": about.label,
        "phase": str(runtime.phase),
        "detail": runtime.detail,
        "answers": about.answers,
        "scan_s": about.scan_s,
        "pause_s": about.pause_s,
    }


def outcomes_report(deploying: Deploying) -> dict[str, JSON]:
    """Return what a node's report says of its runtime."""
    listed = deploying.not_deployed(OUTCOMES_MAX) if deploying.about.answers else []
    counts = deploying.counts()
    return {
        "runtime": runtime_row(deploying),
        "outcomes": [
            outcome_row(outcome, excerpt=number < EXCERPTS_MAX)
            for number, outcome in enumerate(listed)
        ],
        "owed": deploying.owed(),
        "outcomes_total": sum(counts.values()) - counts[Deployment.DEPLOYED],
    }


def outcome_row(outcome: Outcome, *, excerpt: bool = True) -> dict[str, JSON]:
    """Return the row of one outcome."""
    return {
        "tree": outcome.path.tree,
        "path": outcome.path.path,
        "digest": outcome.digest,
        "state": str(outcome.state),
        "reason": outcome.reason,
        "excerpt": outcome.excerpt if excerpt else "",
        "revision": outcome.revision,
        "at": rows.when(outcome.at) if outcome.at else None,
    }


class Recap:
    """Says in one event what the runtime made of a revision, when it has answered for all of it."""

    def __init__(self, deploying: Deploying) -> None:
        self._deploying = deploying
        self._waited = False

    def tick(self) -> None:
        """See whether the runtime has answered for everything just now."""
        waiting = self._deploying.waiting()
        if self._waited and not waiting:
            state = self._deploying.state
            number = state.standing.revision.number
            told = [o.state for o in self._deploying.outcomes.values() if o.revision == number]
            state.event(
                "answered",
                revision=number,
                deployed=told.count(Deployment.DEPLOYED),
                rejected=told.count(Deployment.REJECTED),
                unknown=told.count(Deployment.UNKNOWN),
            )
        self._waited = waiting


def rejected_rows(node: str, outcomes: Iterable[Mapping[str, JSON]]) -> list[dict[str, JSON]]:
    """Return what a node's runtime rejected, in the rows of `get refused`."""
    return [
        {
            "id": f"{row.get('tree')}:{row.get('path')}",
            "tree": row.get("tree"),
            "path": row.get("path"),
            "reason": f"rejected by the runtime: {row.get('reason') or 'it did not say why'}",
            "at": row.get("at"),
            "node": node,
            "code": REJECTED_BY_RUNTIME,
            "line": None,
        }
        for row in outcomes
        if row.get("state") == Deployment.REJECTED
    ]


def said_by_peer(
    report: Mapping[str, object], path: ArtifactPath, digest: str | None
) -> tuple[str, str, str] | None:
    """Return state, reason and excerpt of what a peer's runtime did with an artifact.

    `digest` is what the peer holds; what it rejected may be something else. None if its runtime
    does not answer, or its report is too long to say.
    """
    runtime = report.get("runtime")
    if not isinstance(runtime, dict) or not runtime.get("answers"):
        return None
    listed = rows.listed(report, "outcomes")
    for row in listed:
        if (row.get("tree"), row.get("path")) == (path.tree, path.path):
            about_it = row.get("state") == Deployment.REJECTED or row.get("digest") == digest
            words = (row.get("state"), row.get("reason"), row.get("excerpt"))
            state, reason, excerpt = (str(word or "") for word in words)
            return (state, reason, excerpt) if about_it else None
    # What comes in portions is not there yet: that it is on no list says nothing.
    whole = report.get("outcomes_total") == len(listed) and not report.get("portions")
    return (str(Deployment.DEPLOYED), "", "") if whole and digest is not None else None
