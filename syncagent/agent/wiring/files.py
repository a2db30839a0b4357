"""What this node's files say while no agent runs, in the words that the agent would use.

A node is put together whose history and disk are only read; it looks at its trees, is asked, and is
thrown away. It leads nobody and knows nothing of its peers: what only a running agent knows (what
is held, what is refused) is not answered.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING, cast

from syncagent.agent.effects import Fetch, Reply
from syncagent.agent.hands.eye import look_over
from syncagent.agent.hands.fetching import Fetching
from syncagent.agent.hands.memory import Memory
from syncagent.agent.node.node import Node
from syncagent.agent.node.state import State
from syncagent.agent.results import Asked
from syncagent.agent.wiring.clock import SystemClock
from syncagent.agent.wiring.runtime import dialect_of
from syncagent.core.errors import RefusedError, StateError, UnreachableError
from syncagent.core.snapshot import Condition
from syncagent.disk.only_looking import OnlyLooking
from syncagent.fsio import OsFS
from syncagent.history.guard import FileGuard
from syncagent.history.node_history import NodeHistory
from syncagent.ports import Instant
from syncagent.settings.gateway import with_new_trees
from syncagent.validation.validator import ArtifactValidator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from syncagent.core.desk import JSON
    from syncagent.core.settings import Settings
    from syncagent.ports import Disk

_SCANNING = frozenset({"artifacts", "describe", "diff"})
"""Verbs that need to know what is in the trees now."""
_VERBS = _SCANNING | {"revisions", "kept", "events"}
_NO_AGENT = "no agent runs here"
_START_IT = "start it: syncagent run"


def ask_files(settings: Settings, verb: str, arguments: Mapping[str, JSON]) -> JSON:
    """Answer as an agent on this node's files would, changing none of them.

    Raises UnreachableError for what files don't tell, StateError if there are none or they are
    damaged, DiskError, and what the agent would raise.
    """
    if verb not in _VERBS:
        raise UnreachableError(
            f"{_NO_AGENT}, and what is {verb} is in no file: a running agent knows", hint=_START_IT
        )
    if not (Path(settings.state_dir) / "ledger").is_file():
        raise StateError(
            f"{settings.state_dir} holds no state of an agent",
            hint="start the agent (syncagent run) or name the right settings with --config",
        )
    return _Onlooker(with_new_trees(settings)).ask(verb, arguments)


class _Onlooker:
    """A node that only looks."""

    def __init__(self, settings: Settings) -> None:
        fs = OsFS()
        self._settings = settings
        self._clock = SystemClock()
        self._history = NodeHistory(fs, settings.state_dir, wall=self._clock.wall)
        standing = self._history.look()
        looking = OnlyLooking(fs, settings, self._clock, standing.identities)
        # It has all of the port that the node's hands for reading call.
        self._disk = cast("Disk", looking)
        self._state = State(
            settings=settings,
            incarnation="",
            standing=standing,
            guard=FileGuard(fs, settings.state_dir, settings.cluster).state(),
            chance=random.Random(),  # noqa: S311 - jitter, no secret
            has_blob=self._history.has,
            wall=self._clock.wall,
        )
        for peer in self._state.peers.values():
            peer.down_reason = _NO_AGENT
        self._node = Node(self._state)

    def ask(self, verb: str, arguments: Mapping[str, JSON]) -> JSON:
        """Look as far as need be, ask, and do what the answer needs."""
        kinds = self._settings.tree_kinds
        fetching = Fetching(self._disk, self._history, self._clock, kinds, _trust_nobody)
        if verb in _SCANNING and arguments.get("to") is None:
            self._scan()
        now = self._clock.now()
        self._node.handle(Asked(1, verb, dict(arguments), 0.0), now)
        try:
            while effects := self._node.drain():
                for effect in effects:
                    if isinstance(effect, Reply):
                        if effect.error is not None:
                            raise effect.error
                        return cast("JSON", effect.result)
                    if isinstance(effect, Fetch):
                        self._node.handle(fetching.do(effect), now)
        finally:
            self._history.close()
        raise AssertionError(f"nobody answered {verb}")

    def _scan(self) -> None:
        """Look at all trees; what is gone is asked for twice, as the agent does."""
        settings = self._settings
        validator = ArtifactValidator(settings.limits.file_bytes, dialect_of(settings))
        memory = Memory(validator, settings.tree_kinds)
        now = self._clock.now()
        for tree in self._settings.tree_names:
            again = self._node.observing.views[tree].confirm_s
            for started in (now, Instant(now + 2 * again)):
                seen = look_over(self._disk, tree, memory, started, lambda _digest: True)
                if seen.snapshot.condition is not Condition.GOOD:
                    raise StateError(
                        f"tree {tree} can't be looked at: {seen.snapshot.reason}",
                        hint="mount or restore the folder; nothing was changed",
                    )
                self._node.handle(seen, started)
                self._node.drain()


def _trust_nobody(_name: str, _key: str | None) -> JSON:
    raise RefusedError(_NO_AGENT)
