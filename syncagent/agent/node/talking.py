"""Messages from peers, each handed to the part of the node that it concerns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Hangup, Send
from syncagent.agent.node.leftout import told_in
from syncagent.core.wire import messages as msg

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.answering import Answering
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.peer import Peer
    from syncagent.core.artifact import NodeName
    from syncagent.core.events import Received


class Talking:
    """Sorts messages: what a manager says, what a worker says, what either may say."""

    def __init__(self, node: Parts, answering: Answering) -> None:
        self._node = node
        working, advancing = node.working, node.advancing
        self._to_worker: dict[type, object] = {
            msg.Admit: lambda link, message, _now: working.admit(link, message),
            msg.Offer: working.offer,
            msg.Commit: working.commit,
        }
        self._to_manager: dict[type, object] = {
            msg.Surveyed: self._surveyed,
            msg.Admitted: self._admitted,
            msg.Fenced: node.electing.fenced_by,
            msg.Prepared: node.leading.prepared,
            msg.Declined: node.leading.declined,
            msg.Done: node.leading.done,
            msg.Failed: node.leading.failed,
        }
        self._to_either: dict[type, object] = {
            msg.Survey: lambda link, _message, _now: working.survey(link),
            msg.Want: self._want,
            msg.ManifestPart: advancing.manifest_part,
            msg.Blobs: self._blobs,
            msg.Delta: self._blobs,
            msg.Missing: self._missing,
            msg.Propose: node.proposing.proposed,
            msg.Proposed: self._proposed,
            msg.Hint: node.hinting.heard,
            msg.Report: self._report,
            msg.View: self._view,
            msg.Ask: answering.asked_by_peer,
            msg.Answered: answering.answered_by_peer,
            msg.Ping: lambda link, m, _now: node.state.do(Send(link, msg.Pong(m.number))),
            msg.Pong: lambda _link, _m, _now: None,
            msg.Bye: lambda link, m, _now: node.state.do(Hangup(link, m.reason)),
        }

    def received(self, event: Received, now: float) -> None:
        """Take one message."""
        state = self._node.state
        name = state.links.get(event.link)
        if name is None:
            return
        peer = state.peers[name]
        peer.seen_at = now
        kind = type(event.message)
        if kind in self._to_manager:
            # Only on the connection over which this node leads; a late answer has no meaning.
            if peer.link == event.link:
                _call(self._to_manager[kind], peer, event.message, now)
        elif kind in self._to_worker:
            self._commanded(name, event, now)
        elif kind in self._to_either:
            _call(self._to_either[kind], event.link, event.message, now)
        else:
            state.do(Hangup(event.link, f"unexpected {kind.__name__}"))

    def _commanded(self, sender: NodeName, event: Received, now: float) -> None:
        """Take a manager's word. Every worker knows the token: only its holder may speak by it."""
        message = event.message
        assert isinstance(message, msg.Admit | msg.Offer | msg.Commit), "what a worker is told"
        if message.token.holder != sender:
            state = self._node.state
            state.event("impostor", peer=sender, holder=message.token.holder)
            state.do(Hangup(event.link, f"{sender} speaks as {message.token.holder}"))
            return
        _call(self._to_worker[type(message)], event.link, message, now)

    def _surveyed(self, peer: Peer, message: msg.Surveyed, now: float) -> None:
        self._node.electing.surveyed(peer, message, now)
        self._node.leading.surveyed(peer, now)

    def _admitted(self, peer: Peer, message: msg.Admitted, now: float) -> None:
        """A node that comes late, or again, is offered at once what it lacks."""
        self._node.electing.succeeding.admitted(peer, message, now)
        self._node.leading.push(now)

    def _want(self, link: int, message: msg.Want, _now: float) -> None:
        if link == self._node.state.manager_link:
            # It catches up with this node, and goes on from here.
            self._node.declaring.undelivered.sent()
        self._node.leading.want(link, message)

    def _blobs(self, link: int, message: msg.Blobs | msg.Delta, _now: float) -> None:
        if self._node.advancing.blobs(link, message) or self._node.proposing.blobs(link, message):
            return
        if link == self._node.state.manager_link and not self._node.state.leads:
            self._node.advancing.ahead(link, message)
        else:
            self._node.leading.blobs(link, message)

    def _missing(self, link: int, message: msg.Missing, now: float) -> None:
        self._node.advancing.missing(link, message.revision, now)
        self._node.proposing.missing(link, now)

    def _proposed(self, link: int, message: msg.Proposed, _now: float) -> None:
        state = self._node.state
        if link != state.manager_link:
            return
        refused = told_in(message.reason, message.lost)
        for path in self._node.declaring.answered(message.lost, refused, taken=bool(message.taken)):
            reason = refused.get(path, message.reason)
            state.event("proposal-lost", path=str(path), reason=reason)
        if message.taken:
            state.event("proposal-taken", count=len(message.taken))

    def _report(self, link: int, message: msg.Report, now: float) -> None:
        peer = self._node.state.peer_of(link)
        if peer is not None:
            self._node.reporting.reported(peer, message.body, now)
            self._node.leading.reported(peer, now)

    def _view(self, link: int, message: msg.View, now: float) -> None:
        if link == self._node.state.manager_link:
            self._node.reporting.viewed(message.body, now)


def _call(handler: object, who: object, message: object, now: float) -> None:
    """Call a handler of the tables: each takes its own message type, which the key has checked."""
    call: Callable[[object, object, float], None] = handler  # type: ignore[assignment]
    call(who, message, now)
