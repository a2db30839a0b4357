"""By hand: `redeploy` and `undeploy` of one artifact, here, on another node, or on all.

A node does it for itself; a manager has the others do it, and says of each what came of it. An
undeploy is an exemption (`exempting`) with an end, a redeploy ends it, or has the runtime look at
the file again. An undeploy is answered when the file is gone, not when that is wished for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.agent.effects import Reply, Touch
from syncagent.agent.node import rows
from syncagent.agent.node.describing import find
from syncagent.core.artifact import ArtifactPath, TreeName
from syncagent.core.errors import (
    BusyError,
    RefusedError,
    SettingsError,
    SyncagentError,
    UnreachableError,
)
from syncagent.core.exempt import Because

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.asking import Answer, Asking
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.results import Asked
    from syncagent.core.desk import JSON

ANSWER_S = 20.0
"""How long a node may take until an artifact has gone or is back."""
FOR_S = 3600.0
"""How long an undeploy lasts where the request does not say."""
FOR_MAX_S = 30 * 86_400.0
"""How long it may last: what is meant for good is a deletion on the manager."""

UNASKED = "no runtime is asked here; the file's time has moved on"
TOUCHED_THERE = "no runtime is asked here; the manager touches the file"
CAME_BACK = "its file is back"


@dataclass(slots=True)
class Direction:
    """A request under way. `waiting` are the nodes that have not answered."""

    asked: Asked
    row: dict[str, JSON]
    path: ArtifactPath
    deadline: float
    until: float
    """Wall time at which an undeploy ends."""
    alone: bool
    """One node was named: its error is the answer."""
    waiting: set[str] = field(default_factory=set)
    nodes: list[dict[str, JSON]] = field(default_factory=list)
    there: Callable[[], bool] | None = None
    """Tells whether this node's own part has come true."""
    reason: str = ""
    error: SyncagentError | None = None

    @property
    def undeploys(self) -> bool:
        """Whether it takes the artifact away."""
        return self.asked.verb == "undeploy"


class Directing:
    """Carries out a person's direction on the nodes that it is meant for."""

    def __init__(self, node: Parts, asking: Asking) -> None:
        self._node = node
        self._asking = asking
        self._open: list[Direction] = []

    def direct(self, asked: Asked, now: float) -> None:
        """Take a request. Raises SyncagentError where it can't be begun anywhere."""
        node, state = self._node, self._node.state
        if state.in_place:
            self._check_common(asked)
        row = find(node, str(asked.arguments.get("artifact", "")))
        path = ArtifactPath(TreeName(str(row["tree"])), str(row["path"]))
        here, peers, alone = self._targets(asked, path)
        length_s = _length_s(asked)
        deadline, until = now + ANSWER_S, round(state.wall() + length_s)
        direction = Direction(asked, row, path, deadline, until, alone)
        if here:
            self._check(path)
            direction.waiting.add(state.me)
            self._begin(direction, now)
        for peer in peers:
            direction.waiting.add(peer.name)
            self._ask(direction, peer, length_s)
        self._open.append(direction)
        self.tick(now)

    # --- where ------------------------------------------------------------------------------

    def _targets(self, asked: Asked, path: ArtifactPath) -> tuple[bool, list[Peer], bool]:
        """Return whether it is for this node, for which others, and whether one was named."""
        state, name = self._node.state, asked.arguments.get("node")
        if name == state.me or self._asking.peer_behind(asked.request) is not None:
            return True, [], True
        if name is None:
            if not state.leads:
                here = "" if state.in_place else f"or here: --node {state.me}"
                raise self._not_manager(asked, "on every node", here)
            nodes = [peer for peer in state.peers.values() if not peer.share]
            able = [p for p in nodes if not p.trees or path.tree in p.trees]
            return path.tree in state.settings.tree_names, able, False
        nodes = [peer for peer in state.peers.values() if not peer.share]
        peer = next((p for p in nodes if p.name == name), None)
        if peer is None:
            known = ", ".join(sorted({state.me, *(peer.name for peer in nodes)}))
            raise SettingsError(f"no node {name!r}", hint=f"nodes: {known}")
        if not state.leads:
            raise self._not_manager(asked, f"on {name}", f"or on {name} itself")
        if peer.link is None:
            raise UnreachableError(f"{name} is not connected: {peer.why_down}")
        return False, [peer], True

    def _not_manager(self, asked: Asked, where: str, otherwise: str) -> BusyError:
        state = self._node.state
        holder = state.guard.highest.holder if state.guard.highest else "the manager"
        what = asked.arguments.get("artifact")
        at = f" --node {asked.arguments['node']}" if asked.arguments.get("node") else ""
        return BusyError(
            f"{state.me} is not the manager, which alone can {asked.verb} {where}",
            hint="; ".join(
                filter(None, (f"on {holder}: syncagent {asked.verb} {what}{at}", otherwise))
            ),
        )

    def _check_common(self, asked: Asked) -> None:
        """Raise RefusedError where one file can't be for one node: all runtimes deploy the same."""
        verb, what = asked.verb, asked.arguments.get("artifact")
        common = "all runtimes deploy from the same folder"
        if verb == "undeploy":
            raise RefusedError(
                f"{common} (in-place): what is there is deployed by each of them",
                hint="delete the file to have it gone everywhere: its bytes are kept, and syncagent"
                " restore brings them back",
            )
        if asked.arguments.get("node") is not None:
            raise RefusedError(
                f"{common} (in-place): a touch for one of them redeploys {what} on every node",
                hint=f"syncagent redeploy {what}, without --node, does that; or restart the runtime there",
            )

    def _check(self, path: ArtifactPath) -> None:
        """Raise RefusedError if this node can't touch the artifact."""
        state = self._node.state
        if not state.settings.apply:
            raise RefusedError(
                f"{state.me} only observes: it writes nothing", hint="[node] apply in its settings"
            )
        if state.rows.get(path) is None:
            raise RefusedError(
                f"{path} is in no revision yet", hint="syncagent get refused says why"
            )

    # --- here -------------------------------------------------------------------------------

    def _begin(self, direction: Direction, now: float) -> None:
        if direction.undeploys:
            self._undeploy(direction, now)
        else:
            self._redeploy(direction, now)

    def _undeploy(self, direction: Direction, now: float) -> None:
        state, path, until = self._node.state, direction.path, direction.until
        # The name goes with it: what is not there can't be read, and people ask for it by name.
        detail = f"{direction.row['kind']}/{direction.row['name']}"
        direction.there = lambda: (
            (exemption := state.exempt.get(path)) is not None
            and exemption.because is Because.UNDEPLOYED
            and exemption.until >= until
        )
        self._node.exempting.undeploy([path], until, detail, now)
        state.event("undeployed", path=str(path), until=rows.when(until))

    def _redeploy(self, direction: Direction, now: float) -> None:
        node, state, path = self._node, self._node.state, direction.path
        exemption = state.exempt.get(path)
        entry = state.base.get(path)
        direction.there = lambda: True
        if exemption is not None and exemption.because is Because.UNDEPLOYED:
            direction.reason = CAME_BACK
            direction.there = lambda: path not in state.exempt
            node.exempting.lift([path], now)
        elif node.deploying.about.answers:
            if exemption is not None:
                direction.reason = CAME_BACK
            node.deploying.redeploy([path], now)
        else:
            direction.reason = UNASKED if state.keeps else TOUCHED_THERE
            if entry is not None and state.writes:
                state.do(Touch(((path, entry.digest),), state.fence))
        state.event("redeployed", path=str(path))

    # --- elsewhere --------------------------------------------------------------------------

    def _ask(self, direction: Direction, peer: Peer, length_s: float) -> None:
        if peer.link is None or not peer.admitted:
            why = peer.why_down if peer.link is None else "it is joining"
            self._take(direction, peer.name, why, None)
            return
        arguments = {"artifact": str(direction.path), "for_s": length_s}

        def take(answer: Answer, now: float) -> None:
            direction.error = answer.error
            why = str(answer.error) if answer.error is not None else ""
            self._take(direction, peer.name, why, answer.result)
            self.tick(now)

        self._asking.inquire(peer.link, direction.asked.verb, arguments, take)

    def _take(self, direction: Direction, name: str, why: str, result: object) -> None:
        """Write down what a node answered, if it is still waited for."""
        if name not in direction.waiting:
            return
        direction.waiting.discard(name)
        answer = result if isinstance(result, dict) else {}
        (row, *_) = [*rows.listed(answer, "nodes"), {}]
        reason = why or str(row.get("reason") or "")
        direction.nodes.append({"node": name, "done": row.get("done") is True, "reason": reason})

    # --- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Answer what has come true, or has taken too long."""
        me = self._node.state.me
        for direction in list(self._open):
            if direction.there is not None and me in direction.waiting and direction.there():
                direction.waiting.discard(me)
                done: dict[str, JSON] = {"node": me, "done": True, "reason": direction.reason}
                direction.nodes.append(done)
            if direction.waiting and now >= direction.deadline:
                self._late(direction)
            if not direction.waiting:
                self._open.remove(direction)
                self._reply(direction)

    def next_at(self) -> float | None:
        """Return when somebody has taken too long."""
        return min((direction.deadline for direction in self._open), default=None)

    def _late(self, direction: Direction) -> None:
        """Give up on who has not answered; what was begun goes on."""
        me, job = self._node.state.me, self._node.advancing.job
        for name in sorted(direction.waiting):
            why = f"no answer within {ANSWER_S:.0f} s; it may still be done"
            if name == me:
                why = f"not yet: {(job.reason if job else '') or 'something else is under way'}"
            self._take(direction, name, why, None)

    def _reply(self, direction: Direction) -> None:
        if direction.alone and direction.error is not None:
            self._node.state.do(Reply(direction.asked.request, None, direction.error))
            return
        answer: dict[str, JSON] = {
            name: direction.row.get(name) for name in ("tree", "path", "kind", "name")
        }
        if direction.undeploys:
            answer["until"] = rows.when(direction.until)
        ordered = sorted(direction.nodes, key=lambda row: str(row["node"]))
        answer["nodes"] = list(ordered)
        self._node.state.do(Reply(direction.asked.request, answer))


def _length_s(asked: Asked) -> float:
    """Return how long an undeploy shall last (s). Raises SettingsError."""
    value = asked.arguments.get("for_s", FOR_S)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= FOR_MAX_S:
        raise SettingsError(
            f"an undeploy can't last {value!r} s", hint=f"up to {FOR_MAX_S / 86_400:.0f} days"
        )
    return float(value)
