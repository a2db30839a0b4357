"""`describe`: one artifact on all nodes, with what it needs and what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.node import rows
from syncagent.agent.node.deployed import said_by_peer
from syncagent.core.artifact import ArtifactPath, TreeName, kind_of, stem_of
from syncagent.core.errors import RefusedError
from syncagent.core.groups import groups
from syncagent.core.outcome import Deployment
from syncagent.core.snapshot import Seen

if TYPE_CHECKING:
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.state import Peer
    from syncagent.core.desk import JSON

CANDIDATES_MAX = 10
NO_RUNTIME = "the bytes are there; no runtime answers for them"
"""Promise 7: without an answer of the runtime nothing is claimed."""
OTHER_BYTES = "other bytes than the revision's are there"


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
    view = node.observing.views[path.tree]
    known = {
        ArtifactPath(view.name, there): (kind_of(view.kind, there), examined.facts)
        for there, examined in view.examined.items()
    }
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
    """Return what a peer holds: its revision's digest, unless its report says otherwise."""
    until = _undeployed(_away(node, peer), path)
    if until:
        return {"node": peer.name, "digest": None, "state": "Unknown", "reason": until}
    for row in rows.listed(peer.report, "differing"):
        if (row.get("tree"), row.get("path")) == (path.tree, path.path):
            return {
                "node": peer.name,
                "digest": row.get("digest"),
                "state": "OutOfSync",
                "reason": "",
            }
    entry = node.state.base.get(path)
    if _stands_here(node, peer) and entry is None:
        number = node.state.standing.revision.number
        reason = f"revision {number} does not have it"
        return {"node": peer.name, "digest": None, "state": "Unknown", "reason": reason}
    if _stands_here(node, peer) and entry is not None:
        listed = not peer.trees or path.tree in peer.trees
        digest = entry.digest if listed else None
        said = said_by_peer(peer.report, path, digest)
        without = NO_RUNTIME if listed else "this node does not list the tree"
        outcome, reason, excerpt = said or ("Unknown", without, "")
        return {
            "node": peer.name,
            "digest": digest,
            "state": outcome,
            "reason": reason,
            "excerpt": excerpt,
        }
    return {"node": peer.name, "digest": None, "state": "Unknown", "reason": _why(node, peer)}


def _stands_here(node: Parts, peer: Peer) -> bool:
    """Tell whether a peer has this node's revision and no other bytes, as far as is known here.

    A worker takes the word of the manager's view.
    """
    state = node.state
    if state.leads:
        return peer.standing == state.standing.revision
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
