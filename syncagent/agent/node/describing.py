"""`describe`: one artifact on all nodes, with what it needs and what is wrong with it.

A node speaks for itself, and the manager for its workers, by what they reported. So a worker asks
its manager about the others; where that does not answer, it says what it knows of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.agent.effects import Reply
from syncagent.agent.node import rows
from syncagent.agent.node.deployed import said_by_peer
from syncagent.core.artifact import ArtifactPath, TreeName, stem_of
from syncagent.core.errors import RefusedError, SyncagentError
from syncagent.core.exempt import NONE_WITHHELD
from syncagent.core.groups import groups
from syncagent.core.outcome import Deployment
from syncagent.core.snapshot import Seen

if TYPE_CHECKING:
    from syncagent.agent.node.asking import Answer, Asking
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.results import Asked
    from syncagent.core.desk import JSON
    from syncagent.core.entry import Entry

CANDIDATES_MAX = 10
NO_RUNTIME = "the bytes are there; no runtime answers for them"
"""Promise 7: without an answer of the runtime nothing is claimed."""
OTHER_BYTES = "other bytes than the revision's are there"
_TRIED = "another runtime tries it first"
MANAGER_S = 3.0
"""How long a worker's manager may take to say what it knows of the others."""


class Describing:
    """Answers `describe`; on a worker with what its manager knows of the others."""

    def __init__(self, node: Parts, asking: Asking) -> None:
        self._node = node
        self._asking = asking
        self._open: dict[int, tuple[float, dict[str, JSON] | SyncagentError]] = {}

    def describe(self, asked: Asked, now: float) -> None:
        """Take a request. Raises RefusedError if nobody here or there knows the artifact."""
        state, link = self._node.state, self._node.state.manager_link
        known: dict[str, JSON] | SyncagentError
        what = str(asked.arguments.get("artifact", ""))
        try:
            known = describe(self._node, what)
            what = f"{known['tree']}:{known['path']}"
        except RefusedError as error:
            known = error
        request = asked.request
        if state.leads or link is None or self._asking.peer_behind(request) is not None:
            self._reply(request, known)
            return
        self._open[request] = (now + MANAGER_S, known)

        def take(answer: Answer, _now: float) -> None:
            if request in self._open:
                self._reply(request, _joined(self._open.pop(request)[1], answer, state.me))

        self._asking.inquire(link, "describe", {"artifact": what}, take)

    def tick(self, now: float) -> None:
        """Answer without the manager where it takes too long."""
        for request, (until, known) in list(self._open.items()):
            if now >= until:
                del self._open[request]
                self._reply(request, known)

    def next_at(self) -> float | None:
        """Return when the manager has taken too long."""
        return min((until for until, _ in self._open.values()), default=None)

    def _reply(self, request: int, found: dict[str, JSON] | SyncagentError) -> None:
        if isinstance(found, SyncagentError):
            self._node.state.do(Reply(request, None, found))
        else:
            self._node.state.do(Reply(request, found))


def _joined(
    known: dict[str, JSON] | SyncagentError, answer: Answer, me: str
) -> dict[str, JSON] | SyncagentError:
    """Return what is known here with the manager's words about the other nodes."""
    theirs = answer.result
    if answer.error is not None or not isinstance(theirs, dict):
        return known
    if isinstance(known, SyncagentError):
        return theirs
    others = [row for row in rows.listed(theirs, "nodes") if row.get("node") != me]
    own = [row for row in rows.listed(known, "nodes") if row.get("node") == me]
    return {**known, "nodes": [*own, *others]}


def describe(node: Parts, what: str) -> dict[str, JSON]:
    """Return everything about the artifact that `what` names: `[TREE:]KIND/NAME` or a path.

    Raises RefusedError if nothing or more than one artifact answers to it.
    """
    row = find(node, what)
    path = _path(row)
    state = node.state
    entry = state.base.get(path)
    examined = node.observing.examined(path)
    return {
        **row,
        "size": entry.size if entry else None,
        "revision": state.standing.revision.number,
        "nodes": [_own(node, path), *(_theirs(node, peer, path) for peer in state.peers.values())],
        "references": [
            f"{reference.kind or 'any'}/{reference.key}"
            for reference in (examined.facts.references if examined else ())
        ],
        "group": _group(node, path),
        "problems": _problems(node, path),
        "events": [],
    }


def _group(node: Parts, path: ArtifactPath) -> dict[str, JSON] | None:
    """Return what belongs together with an artifact, its head first; None if its bytes are not known."""
    known = node.observing.artifacts({path.tree})
    if path not in known:
        return None
    by_path = groups(known)
    head = by_path[path]
    together = (there for there, group in by_path.items() if group == head)
    members: list[JSON] = [
        {
            "path": there.path,
            "kind": str(known[there][0]),
            "name": known[there][1].name or stem_of(there.path),
        }
        for there in sorted(together, key=lambda there: (str(there) != head, there))
    ]
    return {"head": head, "members": members}


def find(node: Parts, what: str) -> dict[str, JSON]:
    """Return the row of the artifact that `what` names: see `describe`. Raises RefusedError."""
    tree, colon, rest = what.partition(":")
    if not colon or tree not in node.observing.views:
        tree, rest = "", what
    found = [
        row
        for row in rows.artifact_rows(node.state, node.observing, node.deploying.here)
        if (not tree or row["tree"] == tree)
        and rest in {f"{row['kind']}/{row['name']}", str(row["path"])}
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise RefusedError(
            f"no artifact {what!r} is known", hint="syncagent get artifacts lists KIND and NAME"
        )
    names = ", ".join(f"{row['tree']}:{row['path']}" for row in found[:CANDIDATES_MAX])
    raise RefusedError(
        f"{what!r} names {len(found)} artifacts: {names}", hint="name one by TREE:path"
    )


def _path(row: dict[str, JSON]) -> ArtifactPath:
    tree, path = str(row["tree"]), str(row["path"])
    return ArtifactPath(TreeName(tree), path)


def _own(node: Parts, path: ArtifactPath) -> dict[str, JSON]:
    seen = node.observing.views[path.tree].files.get(path.path)
    digest = seen.entry.digest if isinstance(seen, Seen) else None
    entry = node.state.base.get(path)
    refused = node.state.refused.get(path)
    same = digest == (entry.digest if entry else None)
    row: dict[str, JSON] = {
        "node": node.state.me,
        "digest": digest,
        "state": "Unknown",
        "reason": NO_RUNTIME if same else OTHER_BYTES,
        "excerpt": "",
    }
    said = node.deploying.here(path) if node.deploying.about.answers else None
    until = _undeployed(rows.undeployed_rows(node.state, node.observing), path)
    if until:
        row["reason"] = until
    elif refused:
        row |= {"state": "Refused", "reason": refused.problem.reason}
    elif said is not None and (same or said.state is Deployment.REJECTED):
        row |= {"state": str(said.state), "reason": said.reason, "excerpt": said.excerpt}
    return row


def _undeployed(found: list[dict[str, JSON]], path: ArtifactPath) -> str:
    """Say until when an artifact is on a list of what is undeployed; empty if it is not."""
    for row in found:
        if (row.get("tree"), row.get("path")) == (path.tree, path.path):
            return f"undeployed until {row.get('until')}"
    return ""


def _away(node: Parts, peer: Peer) -> list[dict[str, JSON]]:
    """Return what is undeployed on a peer, as it told, or as the manager's view says."""
    told: object = peer.report.get("row")
    if not node.state.leads:
        seen = rows.listed(node.state.view, "nodes")
        told = next((row for row in seen if row.get("name") == peer.name), None)
    return rows.listed(told, "undeployed") if isinstance(told, dict) else []


def _theirs(node: Parts, peer: Peer, path: ArtifactPath) -> dict[str, JSON]:
    """Return what a peer holds, and what its runtime made of it, as far as is known here."""
    row: dict[str, JSON] = {"node": peer.name, "digest": None, "state": "Unknown", "reason": ""}
    other = _otherwise(node, peer, path)
    if other is not None:
        return row | other
    held = _held_by(node, peer, path)
    refused = _refused(node, peer, path)
    if refused is not None:
        here = held.entry if isinstance(held, _Held) else None
        return row | refused | {"digest": here.digest if here else None}
    if isinstance(held, str):
        return row | {"reason": held}
    if held.entry is None:
        number = peer.standing.number if peer.standing else node.state.standing.revision.number
        return row | {"reason": held.why or f"revision {number} does not have it"}
    row["digest"] = held.entry.digest
    if not _is_told(node, peer):
        return row | {"reason": held.why or "its report is on its way"}
    state, reason, excerpt = said_by_peer(peer.report, path, held.entry.digest) or (
        "Unknown",
        _why_unsaid(node, peer),
        "",
    )
    why = "; ".join(part for part in (reason, held.why) if part)
    return row | {"state": state, "reason": why, "excerpt": excerpt}


def _refused(node: Parts, peer: Peer, path: ArtifactPath) -> dict[str, JSON] | None:
    """Return a peer's refusal of the newest bytes: true of it whatever it has been given since."""
    newest = node.state.rows.get(path)
    for row in rows.listed(peer.report, "outcomes"):
        if (row.get("tree"), row.get("path")) != (path.tree, path.path):
            continue
        # What the revision has not, and the runtime of that node keeps, is all that is told of it.
        if newest is None or (row.get("state"), row.get("digest")) == (
            Deployment.REJECTED,
            newest.digest,
        ):
            return {key: row.get(key) or "" for key in ("state", "reason", "excerpt")}
    return None


def _otherwise(node: Parts, peer: Peer, path: ArtifactPath) -> dict[str, JSON] | None:
    """Return what is told of a peer that does not hold what its revision says; None if it does."""
    until = _undeployed(_away(node, peer), path)
    if until:
        return {"reason": until}
    for row in rows.listed(peer.report, "differing"):
        if (row.get("tree"), row.get("path")) == (path.tree, path.path):
            return {"digest": row.get("digest"), "state": "OutOfSync"}
    if peer.trees and path.tree not in peer.trees:
        return {"reason": "this node does not list the tree"}
    return None


@dataclass(frozen=True, slots=True)
class _Held:
    """What a peer holds of an artifact; `why` says so where it is not the newest version."""

    entry: Entry | None
    why: str = ""


def _held_by(node: Parts, peer: Peer, path: ArtifactPath) -> _Held | str:
    """Return what a peer holds, or why that is not known."""
    state, trying = node.state, node.trying
    entry = state.rows.get(path)
    if not state.leads:
        known = _stands_here(node, peer) and path not in state.withheld
        return _Held(entry) if known else _why(node, peer)
    waits = node.leading.waits_for_canary(peer)
    if peer.standing != state.standing.revision and not waits:
        return _why(node, peer)
    trial = trying.trials.get(path)
    if trial is None or not (waits or peer.withheld != NONE_WITHHELD):
        return _Held(entry)
    if path in trying.withheld:
        return _Held(trial.before, f"the newest version waits: {trial.reason or _TRIED}")
    return "the newest version is on its way"


def _is_told(node: Parts, peer: Peer) -> bool:
    """Tell whether a peer's report is of after its last commit; a worker has none to judge by."""
    if not node.state.leads:
        return True
    row, standing = peer.report.get("row"), peer.standing
    number = standing.number if standing else 0
    here = isinstance(row, dict) and row.get("revision") == number
    return here and peer.report.get("withheld", peer.withheld) == peer.withheld


def _why_unsaid(node: Parts, peer: Peer) -> str:
    """Say why nothing is known of what a peer's runtime did with what it holds."""
    if not node.state.leads:
        return "the manager did not say what its runtime did with it"
    if peer.report.get("portions"):
        return "it takes up what is new in portions, and not all has come"
    runtime = peer.report.get("runtime")
    answers = isinstance(runtime, dict) and runtime.get("answers")
    return "its list of what is not deployed is too long to say" if answers else NO_RUNTIME


def _stands_here(node: Parts, peer: Peer) -> bool:
    """Tell whether the manager's view says that a peer has this node's revision and no other bytes."""
    state = node.state
    number = state.standing.revision.number
    return state.manager_link is not None and any(
        (row.get("name"), row.get("revision"), row.get("state")) == (peer.name, number, "Synced")
        for row in rows.listed(state.view, "nodes")
    )


def _why(node: Parts, peer: Peer) -> str:
    """Say why nothing is known of what a peer holds."""
    state = node.state
    if not state.leads:
        holder = state.guard.highest.holder if state.guard.highest else "the manager"
        return f"only the manager knows: ask {holder}"
    if peer.link is None:
        return peer.why_down
    return peer.reason or f"it stands on revision {peer.standing.number if peer.standing else 0}"


def _problems(node: Parts, path: ArtifactPath) -> list[JSON]:
    examined = node.observing.examined(path)
    found = [*(examined.problems if examined else ()), *node.observing.index.problems(path)]
    refused = node.state.refused.get(path)
    if refused is not None and refused.problem not in found:
        found.insert(0, refused.problem)
    return [
        {
            "code": problem.code,
            "line": problem.line,
            "severity": str(problem.severity),
            "reason": problem.reason,
        }
        for problem in found
    ]
