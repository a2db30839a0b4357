"""`reconcile` and `wait`: answered when the world is as asked for, or at the deadline.

Both first have everything scanned that was on disk when they were called, here and on every worker
that can be reached, twice where absence has to be confirmed. `reconcile` ends when what came of it
is live, or waits for a person; `wait` ends when nothing is left to be done, here (`ready`), on all
nodes that can be reached (`synced`), and by their runtimes too (`deployed`). A dry run changes
nothing while it lasts: this node neither declares nor mends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from syncagent.agent.effects import Reply
from syncagent.agent.node import rows
from syncagent.agent.node.job import Stage
from syncagent.agent.node.rounds import Round, Rounds
from syncagent.agent.node.runtimes import Runtimes
from syncagent.agent.node.state import Role
from syncagent.core.errors import BusyError, DeadlineError, HeldError
from syncagent.core.safety import HoldReason
from syncagent.core.settings import Drift, Writers

if TYPE_CHECKING:
    from syncagent.agent.node.asking import Asking
    from syncagent.agent.node.parts import Parts
    from syncagent.agent.node.peer import Peer
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.desk import JSON

BECOMING = frozenset({Role.SURVEYING, Role.ADMITTING, Role.CATCHING_UP})
"""Roles in which nothing can be said yet about the cluster."""
CHECK_S = 0.02
"""How often a request is looked at while it waits; it costs a few microseconds."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a `wait` is for; several: all of them. `revision` is the least that counts."""

    synced: bool = True
    deployed: bool = False
    ready: bool = False
    revision: int | None = None

    @property
    def only_here(self) -> bool:
        """Whether no other node has to be as asked for."""
        return self.ready and not (self.synced or self.deployed)


_HERE = Wish(synced=False, ready=True)
_ANSWERS = frozenset({HoldReason.NACKED})
"""What is held because a runtime refused it is an answer of that runtime."""


@dataclass(slots=True)
class Waiter:
    """One request that waits. `since`: scans that began earlier do not count."""

    request: int
    verb: str
    since: float
    until: float
    dry_run: bool = False
    wish: Wish = field(default_factory=Wish)
    start_revision: int = 0
    made_before: int = 0
    """`State.made_count` when it was asked, 0 for all since the start of the process."""
    round: Round = field(default_factory=lambda: Round(dry_run=False, timeout_s=0.0))


class Waiting:
    """Keeps the requests that are answered later."""

    def __init__(self, node: Parts, asking: Asking) -> None:
        self._node = node
        self._rounds = Rounds(node, asking)
        self._runtimes = Runtimes(node)
        self._waiters: dict[int, Waiter] = {}
        self.one_round = False
        """This process lives for one reconcile: all that it does belongs to the answer."""

    @property
    def active(self) -> bool:
        """True while somebody waits."""
        return bool(self._waiters)

    @property
    def dry(self) -> bool:
        """True while somebody wants to see what would be done: then nothing is."""
        return any(waiter.dry_run for waiter in self._waiters.values())

    def reconcile(self, request: int, now: float, *, dry_run: bool, timeout_s: float) -> None:
        """Have everything scanned, and answer when it is live everywhere."""
        waiter = Waiter(request, "reconcile", now, now + timeout_s, dry_run=dry_run)
        waiter.made_before = 0 if self.one_round else self._node.state.made_count
        waiter.round = Round(dry_run=dry_run, timeout_s=timeout_s)
        self._begin(waiter, now)
        self._node.observing.want_scans(now)

    def wait(self, request: int, now: float, *, wish: Wish, timeout_s: float) -> None:
        """Answer when it is as wished."""
        waiter = Waiter(request, "wait", now, now + timeout_s, wish=wish)
        waiter.round = Round(dry_run=False, timeout_s=timeout_s)
        self._begin(waiter, now)
        self._node.observing.want_scans(now)

    def why_not_here(self, now: float) -> str:
        """Say what keeps this node's trees from what can be learned; empty if nothing does.

        What a runtime refused is not waited for.
        """
        node = self._node
        if not node.observing.begun or not node.observing.quiet:
            return "the trees are being looked at"
        if node.state.role in BECOMING:
            return f"becoming manager ({node.state.role})"
        if self._idle() and self._whole(_ANSWERS) and self._has_newest(_HERE):
            return ""
        hold = next(
            (h for h in node.state.holds.values() if h.reason is not HoldReason.NACKED), None
        )
        return hold.text if hold else node.reporting.why_not_synced(now) or self._still(_HERE, 0.0)

    @property
    def has_whole(self) -> bool:
        """Whether a whole revision is here, be it the newest or not."""
        return (
            self._node.state.standing.revision.number > 0 and self._idle() and self._whole(_ANSWERS)
        )

    def _begin(self, waiter: Waiter, now: float) -> None:
        waiter.start_revision = self._node.state.standing.revision.number
        self._waiters[waiter.request] = waiter
        self.tick(now)

    def tick(self, now: float) -> None:
        """Answer who can be answered."""
        for waiter in list(self._waiters.values()):
            if self._over(waiter, now):
                self._answer(waiter, now)
            elif now >= waiter.until:
                self._late(waiter, now)

    def next_at(self, now: float) -> float | None:
        """Return when to look again."""
        return now + CHECK_S if self._waiters else None

    # --- is it so ---------------------------------------------------------------------------

    def _over(self, waiter: Waiter, now: float) -> bool:
        node = self._node
        # First, so that the workers scan beside this node and not after it.
        workers_done = waiter.wish.only_here or self._rounds.over(waiter.round)
        if not node.observing.scans_begun(waiter.since) or not node.observing.quiet:
            return False
        if node.state.role in BECOMING and not self._stopped():
            return False
        if not workers_done:
            return False
        return waiter.dry_run or (self._idle() and self._reached(waiter, now))

    def _idle(self) -> bool:
        """True if nothing is on its way here that would end by itself."""
        node = self._node
        job = node.advancing.job
        settled = job is None or job.phase in {Stage.HELD, Stage.TREES, Stage.STUCK}
        return settled and not node.declaring.busy and not node.proposing.busy

    def _reached(self, waiter: Waiter, now: float) -> bool:
        if waiter.verb == "wait":
            return self._as_wished(waiter.wish, now)
        return not self._open() or self._stopped()

    def _stopped(self) -> bool:
        """True if what is open waits for a person or for something outside."""
        state = self._node.state
        return bool(state.holds or state.alarms or not state.settings.apply)

    def _open(self) -> list[ArtifactPath]:
        """Return local differences that should still become something: not what only is reported."""
        state = self._node.state
        settings = state.settings
        left = {tree.name for tree in settings.trees if tree.drift is Drift.REPORT}
        if state.leads or settings.writers is Writers.ANY:
            left = set()
        return [
            path
            for path in self._node.observing.differing()
            if path not in state.refused and path.tree not in left
        ]

    def _as_wished(self, wish: Wish, now: float) -> bool:
        state = self._node.state
        number = state.standing.revision.number
        if wish.revision is not None and number < wish.revision:
            return False
        answers = _ANSWERS if wish.deployed else frozenset()
        if not self._whole(answers) or not self._has_newest(wish):
            return False
        if wish.only_here:
            return True
        return self._in_sync(wish) and (not wish.deployed or self._runtimes.answered(now))

    def _whole(self, answers: frozenset[HoldReason] = frozenset()) -> bool:
        """Tell whether this node's trees are what its revision says, and nobody has to decide.

        What is held for one of `answers` is decided.
        """
        node = self._node
        held = any(hold.reason not in answers for hold in node.state.holds.values())
        return not self._open() and node.observing.ready and not held

    def _has_newest(self, wish: Wish) -> bool:
        """Tell whether this node stands on the newest revision that can be learned.

        What waits for a canary is not to be had: a gateway may start without it, and a refusal is
        an answer.
        """
        state = self._node.state
        if state.leads:
            return True
        seen = state.view.get("revision")
        number = state.standing.revision.number
        if state.manager_link is None or not isinstance(seen, int):
            return False
        own = [row for row in rows.listed(state.view, "nodes") if row.get("name") == state.me]
        waits = any(row.get("waits_for_canary") and row.get("revision") == number for row in own)
        without = wish.only_here or (wish.deployed and bool(self._runtimes.rejected()))
        return number >= seen or (waits and without)

    def _in_sync(self, wish: Wish) -> bool:
        """Tell whether the workers that this node leads, if any, stand on the newest revision."""
        leading, newest = self._node.leading, self._node.leading.newest()
        if not self._node.state.leads or newest.number == 0:
            return True
        return all(
            peer.unreachable
            or (peer.standing == newest and _says_synced(peer, newest.number))
            or (wish.deployed and leading.keeps_back(peer))
            for peer in self._node.state.peers.values()
        )

    # --- the answer -------------------------------------------------------------------------

    def _answer(self, waiter: Waiter, now: float) -> None:
        del self._waiters[waiter.request]
        state = self._node.state
        if waiter.verb == "wait":
            state.do(Reply(waiter.request, self._told(waiter, now)))
            return
        state.do(Reply(waiter.request, self.outcome(waiter, now)))

    def _told(self, waiter: Waiter, now: float) -> dict[str, JSON]:
        """Return what a `wait` that has come true answers."""
        wish = waiter.wish
        told: dict[str, JSON] = {"revision": self._node.state.standing.revision.number}
        if not wish.deployed:
            return {**told, "state": "Ready" if wish.only_here else "Synced"}
        rejected = self._runtimes.rejected_since(waiter.since)
        told["state"] = "Rejected" if rejected else "Deployed"
        return {**told, "rejected": list(rejected), "warnings": list(self._runtimes.warnings(now))}

    def outcome(self, waiter: Waiter, now: float) -> dict[str, JSON]:
        """Return what a reconcile found or did."""
        node = self._node
        status = node.reporting.status(now)
        nodes: list[JSON] = [
            {name: row.get(name) for name in ("name", "state", "reason", "revision")}
            for row in rows.listed(status, "nodes")
        ]
        return {
            "revision": node.state.standing.revision.number,
            "from_revision": waiter.start_revision,
            "changes": list(self._changes(waiter)),
            "nodes": nodes,
            "held": status["held"],
            "refused": list(rows.own_refused(node.state)),
        }

    def _changes(self, waiter: Waiter) -> list[dict[str, JSON]]:
        """Return what was done since the question, or for a dry run what would be."""
        node = self._node
        theirs = waiter.round.changes()
        if waiter.dry_run:
            return [*rows.open_changes(node.state, node.observing), *theirs]
        made = rows.made_rows(node.state, node.observing, waiter.made_before)
        # What a worker did because of a revision is that revision's: only its own repairs count.
        known = {(row["tree"], row["path"]) for row in made}
        return [*made, *(r for r in theirs if (r.get("tree"), r.get("path")) not in known)]

    def _late(self, waiter: Waiter, now: float) -> None:
        del self._waiters[waiter.request]
        state = self._node.state
        if waiter.wish.only_here and self._last_good(waiter.wish):
            why = self._node.reporting.why_not_synced(now)
            number = state.standing.revision.number
            warning = (
                f"no manager answered within {waiter.until - waiter.since:.0f} s ({why}): "
                f"revision {number}, the last good one here, may not be the newest"
            )
            result = {"revision": number, "state": "Ready", "warnings": [warning]}
            state.do(Reply(waiter.request, result))
            return
        hold = next(iter(state.holds.values()), None)
        error: Exception
        if hold is not None:
            error = HeldError(hold.text, hint=f"syncagent approve {hold.id}")
        else:
            reason = self._node.reporting.why_not_synced(now) or self._still(waiter.wish, now)
            error = DeadlineError(f"not reached in time: {reason}", hint="syncagent status")
        state.do(Reply(waiter.request, None, error))

    def _last_good(self, wish: Wish) -> bool:
        """Tell whether nobody can say what is newest, and a whole revision is here."""
        state = self._node.state
        alone = not state.leads and state.manager_link is None
        number = state.standing.revision.number
        least = max(1, wish.revision or 0)
        return alone and number >= least and self._idle() and self._whole()

    def _still(self, wish: Wish, now: float) -> str:
        """Say what is missing where everything that is known is in sync."""
        number = self._node.state.standing.revision.number
        if wish.revision is not None and number < wish.revision:
            return f"this node stands on revision {number}, not {wish.revision}"
        newest = self._node.state.view.get("revision")
        if not self._node.state.leads and isinstance(newest, int) and newest > number:
            return f"this node stands on revision {number}, the manager on {newest}"
        if wish.deployed and (pending := self._runtimes.pending(now)):
            return pending
        return "files are still changing or being looked at"

    def stepped_down(self, reason: str) -> None:
        """A reconcile can't be finished by a node that leads no more."""
        for waiter in [w for w in self._waiters.values() if w.verb == "reconcile"]:
            del self._waiters[waiter.request]
            error = BusyError(f"this node is not the manager any more: {reason}")
            self._node.state.do(Reply(waiter.request, None, error))


def _says_synced(peer: Peer, number: int) -> bool:
    """Tell whether a worker's own newest report is of revision `number` and leaves nothing to do.

    Without it `status` would still show what was before, right after `wait` has ended.
    """
    row = peer.report.get("row")
    if not isinstance(row, dict):
        return False
    return row.get("state") in {"Synced", None} and row.get("revision") == number
