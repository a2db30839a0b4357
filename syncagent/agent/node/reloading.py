"""New settings for a node that runs: peers come and go, limits and drift are what they are now.

Most parts read `State.settings` when they need a value and see the new one by themselves; here is
what has to be told: connections, and quiet times that run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.node.peer import Peer

if TYPE_CHECKING:
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.results import Reloaded
    from syncagent.core.artifact import NodeName
    from syncagent.core.settings import PeerSettings, Settings


class Reloading:
    """Takes new settings. Trees, and all that names this node, are the same in them as before."""

    def __init__(self, node: Parts) -> None:
        self._node = node

    def reloaded(self, result: Reloaded, now: float) -> None:
        """Work by `result.settings` from now on."""
        state = self._node.state
        before = state.settings
        state.settings = result.settings
        self._peers(before, result.settings, now)
        if before.limits != result.settings.limits:
            self._node.observing.settings_changed(now)
            self._node.advancing.reconsider(now)
        state.event("settings-taken", peers=len(state.peers))

    def _peers(self, before: Settings, after: Settings, now: float) -> None:
        old, new = _by_name(before), _by_name(after)
        for name in [n for n, p in self._node.state.peers.items() if n not in new and not p.share]:
            self._node.connecting.forget(name, now)
            self._node.state.alarm(f"projection {name}", None)
        for name, peer in new.items():
            if old.get(name) != peer or name not in self._node.state.peers:
                self._changed(name, peer, now)

    def _changed(self, name: NodeName, settings: PeerSettings, now: float) -> None:
        """A peer is new, or has another address or key: try it at once."""
        peer = self._node.state.peers.setdefault(name, Peer(name))
        peer.dialable = bool(settings.address)
        peer.failures = 0
        peer.expect(now)
        self._node.connecting.tick(now)


def _by_name(settings: Settings) -> dict[NodeName, PeerSettings]:
    return {peer.name: peer for peer in settings.peers if peer.name != settings.node}
