"""What one node asks another on a person's behalf, and what a manager knows of its workers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from syncagent.agent.effects import Reply, Send
from syncagent.agent.node import lately, rows
from syncagent.agent.node.hearsay import hearsay
from syncagent.agent.results import Asked
from syncagent.core.artifact import ArtifactPath, TreeName, kind_of
from syncagent.core.errors import (
    BusyError,
    ExitCode,
    SettingsError,
    SyncagentError,
    UnreachableError,
)
from syncagent.core.wire.messages import Answered, Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.peer import Peer
    from syncagent.core.artifact import NodeName
    from syncagent.core.desk import JSON

PEER_VERBS = frozenset(
    [
        "approve",
        "reject",
        "reconcile",
        "quarantine",
        "conflicts",
        "restore",
        "redeploy",
        "undeploy",
        "take-over",
        "wake",
    ]
)
"""What a manager may ask of a worker on a person's behalf."""
WORKER_VERBS = frozenset({"adopt", "describe", "switchover"})
"""What a worker may ask of its manager on a person's behalf."""
PEER_TIMEOUT_S = 30.0
"""How long a peer waits for an answer that names no time itself."""
PEER_REQUESTS = 1 << 40
"""Requests that came from a peer are numbered from here: the doors number theirs below."""


class _ElsewhereError(SyncagentError):
    """An error that another node answered with; it keeps that node's exit code."""

    def __init__(self, message: str, *, hint: str, exit_code: ExitCode) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Answer:
    """What another node answered: a JSON value, or why there is none."""

    result: object
    error: SyncagentError | None = None


class Asking:
    """Requests on their way to other nodes, and those that came from them."""

    def __init__(self, node: Parts) -> None:
        self._node = node
        self._out: dict[int, tuple[int, Callable[[Answer, float], None]]] = {}
        self._in: dict[int, tuple[int, int]] = {}

    # --- from here to there -----------------------------------------------------------------

    def ask(self, peer: Peer, asked: Asked) -> None:
        """Have another node answer a request. Raises UnreachableError."""
        if peer.link is None:
            raise UnreachableError(f"{peer.name} is not connected: {peer.why_down}")

        def then(answer: Answer, _now: float) -> None:
            self._node.state.do(Reply(asked.request, answer.result, answer.error))

        self.inquire(peer.link, asked.verb, asked.arguments, then)

    def inquire(
        self,
        link: int,
        verb: str,
        arguments: Mapping[str, object],
        then: Callable[[Answer, float], None],
    ) -> None:
        """Ask over a connection; `then` takes the answer, or that the connection broke."""
        number = self._node.state.number()
        self._out[number] = (link, then)
        self._node.state.do(Send(link, Ask(number, verb, json.dumps(dict(arguments)))))

    def answered(self, link: int, message: Answered, now: float) -> None:
        """Take an answer, and pass it on to who asked here."""
        asked_on, then = self._out.get(message.id, (-1, None))
        if then is None or asked_on != link:
            return
        del self._out[message.id]
        body = hearsay(message.body)
        then(Answer(body.get("result"), _failure(body)), now)

    def link_down(self, link: int, now: float) -> None:
        """Nobody answers over a broken connection any more: who waits is told."""
        lost = [number for number, (asked_on, _) in self._out.items() if asked_on == link]
        error = UnreachableError(
            "the connection broke before the answer came: it may have been done or not",
            hint="syncagent status, then look before you try again",
        )
        for number in lost:
            _, then = self._out.pop(number)
            then(Answer(None, error), now)
        self._in = {request: asker for request, asker in self._in.items() if asker[0] != link}

    # --- from there to here -----------------------------------------------------------------

    def asked(
        self, link: int, message: Ask, now: float, handle: Callable[[Asked, float], None]
    ) -> None:
        """Take a request from the manager, or from a worker of this manager; else refuse it."""
        if not self._allowed(link, message.verb):
            refusal = {
                "error": {"message": "not allowed", "hint": "", "exit_code": int(ExitCode.REJECTED)}
            }
            self._node.state.do(Send(link, Answered(message.id, json.dumps(refusal))))
            return
        request = PEER_REQUESTS + self._node.state.number()
        self._in[request] = (link, message.id)
        body = hearsay(message.body)
        handle(Asked(request, message.verb, body, PEER_TIMEOUT_S), now)

    def _allowed(self, link: int, verb: str) -> bool:
        state = self._node.state
        if verb in WORKER_VERBS:
            peer = state.peer_of(link)
            return state.leads and peer is not None and peer.link == link and peer.admitted
        return link == state.manager_link and verb in PEER_VERBS

    def peer_behind(self, request: int) -> tuple[int, NodeName] | None:
        """Return the connection and the name of who asked; None if a person asked here."""
        link, _ = self._in.get(request, (0, 0))
        name = self._node.state.links.get(link)
        return (link, name) if name is not None else None

    def reply(self, reply: Reply) -> bool:
        """Send a reply to the peer that asked, if it is still there; return whether one did."""
        link, number = self._in.pop(reply.request, (0, 0))
        if not link:
            return reply.request >= PEER_REQUESTS
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
        """Return the worker that reported a hold of this id, or did before it started anew."""
        for peer in self._node.state.peers.values():
            if any(row.get("id") == hold_id for row in lately.held(peer)):
                return peer
        return None

    def node_changes(self, name: str) -> dict[str, JSON]:
        """Return how a node differs from the revision, as it reported.

        Raises SettingsError if there is no such node, BusyError if only the manager knows,
        UnreachableError if the node is away.
        """
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
            raise SettingsError(f"no node or revision {name!r}", hint=f"nodes: {known}")
        self._may_know(peer)
        changes = [self._change(row) for row in rows.listed(peer.report, "differing")]
        number = node.state.standing.revision.number
        return {"from": f"revision {number}", "to": name, "changes": changes}

    def _may_know(self, peer: Peer) -> None:
        """Raise BusyError or UnreachableError where nothing is known of how a peer differs."""
        state = self._node.state
        if not state.leads:
            holder = state.guard.highest.holder if state.guard.highest else "the manager"
            raise BusyError(
                f"only the manager knows how {peer.name} differs, and {state.me} is not it",
                hint=f"on {holder}: syncagent diff {peer.name}; on {peer.name}: syncagent diff",
            )
        if peer.link is None:
            number = peer.standing.number if peer.standing else None
            raise UnreachableError(
                f"{peer.name} is offline, how it differs is not known: {peer.why_down}",
                hint=f"it stood on revision {number}: syncagent diff {number}" if number else "",
            )

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
