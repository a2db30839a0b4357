"""What one node asks another on a person's behalf, and what a manager knows of its workers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from syncagent.agent import rows
from syncagent.agent.effects import Reply, Send
from syncagent.agent.results import Asked
from syncagent.core.artifact import ArtifactPath, TreeName, kind_of
from syncagent.core.errors import ExitCode, RefusedError, SyncagentError, UnreachableError
from syncagent.core.wire.messages import Answered, Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncagent.agent.parts import Parts
    from syncagent.agent.state import Peer
    from syncagent.core.desk import JSON

PEER_VERBS = frozenset({"approve", "reject"})
"""What a manager may ask of a worker on a person's behalf."""
PEER_REQUESTS = 1 << 40
"""Requests that came from a peer are numbered from here: the doors number theirs below."""


class _ElsewhereError(SyncagentError):
    """An error that another node answered with; it keeps that node's exit code."""

    def __init__(self, message: str, *, hint: str, exit_code: ExitCode) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code  # type: ignore[misc]


class Asking:
    """Requests on their way to other nodes, and those that came from them."""

    def __init__(self, node: Parts) -> None:
        self._node = node
        self._out: dict[int, tuple[int, int]] = {}
        self._in: dict[int, tuple[int, int]] = {}

    # --- from here to there -----------------------------------------------------------------

    def ask(self, peer: Peer, asked: Asked) -> None:
        """Have another node answer a request. Raises UnreachableError."""
        if peer.link is None:
            raise UnreachableError(f"{peer.name} is not connected: {peer.down_reason}")
        number = self._node.state.number()
        self._out[number] = (asked.request, peer.link)
        self._node.state.do(
            Send(peer.link, Ask(number, asked.verb, json.dumps(dict(asked.arguments))))
        )

    def answered(self, link: int, message: Answered) -> None:
        """Take an answer, and pass it on to who asked here."""
        request, asked_on = self._out.get(message.id, (0, -1))
        if asked_on != link:
            return
        del self._out[message.id]
        body = rows.object_of(message.body)
        self._node.state.do(Reply(request, body.get("result"), _failure(body)))

    # --- from there to here -----------------------------------------------------------------

    def asked(
        self, link: int, message: Ask, now: float, handle: Callable[[Asked, float], None]
    ) -> None:
        """Take a request from the manager; nobody else may ask."""
        if link != self._node.state.manager_link or message.verb not in PEER_VERBS:
            body = {
                "error": {"message": "not allowed", "hint": "", "exit_code": int(ExitCode.REJECTED)}
            }
            self._node.state.do(Send(link, Answered(message.id, json.dumps(body))))
            return
        request = PEER_REQUESTS + self._node.state.number()
        self._in[request] = (link, message.id)
        handle(Asked(request, message.verb, rows.object_of(message.body), 30.0), now)

    def reply(self, reply: Reply) -> bool:
        """Send a reply to the peer that asked; return whether one did."""
        link, number = self._in.pop(reply.request, (0, 0))
        if not link:
            return False
        body: dict[str, object] = {"result": reply.result}
        error = reply.error
        if error is not None:
            code = error.exit_code if isinstance(error, SyncagentError) else ExitCode.ERROR
            hint = error.hint if isinstance(error, SyncagentError) else ""
            body = {"error": {"message": str(error), "hint": hint, "exit_code": int(code)}}
        self._node.state.do(Send(link, Answered(number, json.dumps(body))))
        return True

    # --- what is known of workers -----------------------------------------------------------

    def holder(self, hold_id: str) -> Peer | None:
        """Return the worker that reported a hold of this id."""
        for peer in self._node.state.peers.values():
            if any(row.get("id") == hold_id for row in rows.listed(peer.report, "held")):
                return peer
        return None

    def node_changes(self, name: str) -> dict[str, JSON]:
        """Return how a node differs from the revision, as it reported. Raises RefusedError."""
        node = self._node
        if name == node.state.me:
            changes: list[JSON] = list(
                rows.local_changes(node.state, node.observing, node.advancing.wanted)
            )
            return {
                "from": f"revision {node.state.standing.revision.number}",
                "to": name,
                "changes": changes,
            }
        peer = next((p for p in node.state.peers.values() if p.name == name), None)
        if peer is None:
            known = ", ".join(sorted({node.state.me, *node.state.peers}))
            raise RefusedError(f"no node or revision {name!r}", hint=f"nodes: {known}")
        changes = [self._change(row) for row in rows.listed(peer.report, "differing")]
        number = node.state.standing.revision.number
        return {"from": f"revision {number}", "to": name, "changes": changes}

    def _change(self, row: dict[str, JSON]) -> dict[str, JSON]:
        path = ArtifactPath(TreeName(str(row.get("tree"))), str(row.get("path")))
        entry = self._node.state.base.get(path)
        view = self._node.observing.views.get(path.tree)
        digest = row.get("digest")
        word = "add" if entry is None else ("delete" if digest is None else "update")
        return {
            "tree": path.tree,
            "path": path.path,
            "kind": str(kind_of(view.kind, path.path)) if view else "file",
            "change": word,
            "before": entry.digest if entry else None,
            "after": digest,
        }


def _failure(body: Mapping[str, object]) -> SyncagentError | None:
    """Return the error in a peer's answer, None if it has a result; nonsense is an error too."""
    error = body.get("error")
    if "result" in body and error is None:
        return None
    words = error if isinstance(error, dict) else {}
    known = [code for code in ExitCode if code == words.get("exit_code")]
    return _ElsewhereError(
        str(words.get("message", "the other node's answer can't be read")),
        hint=str(words.get("hint", "")),
        exit_code=known[0] if known else ExitCode.ERROR,
    )
