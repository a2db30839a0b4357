"""The truth for people: this node's row, the manager's view of all, and how both travel."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from syncagent.agent.effects import Send
from syncagent.agent.node import lately, rows, twins
from syncagent.agent.node.deployed import (
    COUNTS,
    OUTCOMES_MAX,
    Recap,
    outcome_row,
    outcomes_report,
    rejected_rows,
    runtime_counts,
)
from syncagent.agent.node.goingwithout import left_out
from syncagent.agent.node.hearsay import hearsay
from syncagent.agent.node.job import Stage
from syncagent.agent.node.leadership import leader_row, why_no_manager
from syncagent.agent.node.peer import Phase
from syncagent.agent.node.refusals import remember_held
from syncagent.agent.node.sharing import mode_fields
from syncagent.agent.node.state import Role
from syncagent.core.artifact import TreeName
from syncagent.core.desk import API_VERSION
from syncagent.core.exempt import Because
from syncagent.core.wire.messages import Report, View

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.deploying import Deploying
    from syncagent.agent.node.leading import Leading
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.pausing import Pausing
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.results import KeptFile, Trouble
    from syncagent.core.desk import JSON
    from syncagent.core.events import StrangerRefused

EVERY_S = 10.0
SOON_S = 0.25
"""A change is reported this long after it, so that a burst is one report."""
STRANGERS_MAX = 50
_STANDING = ("eligible", "unfit", "ready", "priority")
"""What a node says of whether it can lead."""


class Reporting:
    """Builds and exchanges what `status` shows."""

    def __init__(
        self,
        observing: Observing,
        advancing: Advancing,
        leading: Leading,
        deploying: Deploying,
        pausing: Pausing,
    ) -> None:
        self._state = deploying.state
        self._observing = observing
        self._advancing = advancing
        self._leading = leading
        self._deploying = deploying
        self._recap = Recap(deploying)
        self._sent_at = -EVERY_S
        self._due_at: float | None = None
        self._behind: dict[str, float] = {}
        self.pausing = pausing
        self.is_ready: Callable[[], bool] = lambda: True
        """Whether the local runtime is ready, or there is none that could say so."""
        self.strangers: dict[str, tuple[StrangerRefused, float]] = {}

    # --- what arrives -----------------------------------------------------------------------

    def stranger(self, event: StrangerRefused, now: float) -> None:
        """Remember who was refused, for `keys trust`."""
        if len(self.strangers) >= STRANGERS_MAX and event.key not in self.strangers:
            self.strangers.pop(next(iter(self.strangers)))
        known = event.key in self.strangers
        self.strangers[event.key] = (event, self._state.wall())
        if not known:
            fields = {"name": event.name, "address": event.address, "reason": event.reason}
            self._state.event("stranger", **fields)

    def _twins(self) -> list[JSON]:
        return twins.refused(self.strangers.values(), self._state.wall())

    def trouble(self, event: Trouble, now: float) -> None:
        """A hand met something unforeseen: show it."""
        self._state.alarm(event.where, event.reason)

    def kept(self, event: KeptFile, now: float) -> None:
        """Bytes went into quarantine."""
        kept = event.kept
        self._state.event("kept", id=kept.id, path=str(kept.path), reason=kept.reason)

    def reported(self, peer: Peer, body: str, now: float) -> None:
        """A worker's report."""
        lately.remember(peer)
        peer.report, peer.reported_at = hearsay(body), now
        self.pausing.heard(peer.report.get("pause"), now)
        self._state.changed = True

    def viewed(self, body: str, now: float) -> None:
        """The manager's view, and with it what the others refuse."""
        view = dict(hearsay(body))
        refused = rows.listed(view, "refused")
        view.pop("refused", None)
        self.pausing.heard(view.pop("pause", None), now)
        self._state.view, self._state.view_at = view, now
        remember_held(self._state)
        for peer in self._state.peers.values():
            peer.report = {"refused": [row for row in refused if row.get("node") == peer.name]}

    def refused(self) -> list[dict[str, JSON]]:
        """Return what is refused on any node, and what its runtime rejected."""
        deploying = self._deploying
        said = deploying.not_deployed(OUTCOMES_MAX) if deploying.about.answers else []
        own = [outcome_row(outcome) for outcome in said]
        found = [*rows.own_refused(self._state), *rejected_rows(self._state.me, own)]
        for peer in self._state.peers.values():
            found.extend(rows.listed(peer.report, "refused"))
            found.extend(rejected_rows(peer.name, rows.listed(peer.report, "outcomes")))
        return found

    # --- when it travels --------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Send a report or the view when something changed, and every few seconds."""
        lately.forget(self._state)
        self._recap.tick()
        if self._state.changed and self._due_at is None:
            self._due_at = max(now, self._sent_at + SOON_S)
        due = now >= self._sent_at + EVERY_S or (self._due_at is not None and now >= self._due_at)
        if not due:
            return
        self._state.changed, self._due_at, self._sent_at = False, None, now
        self._state.forget_noticed()
        if self._state.leads:
            more = {"refused": self.refused()[: rows.DIFFERING_MAX], "pause": self.pausing.told()}
            body = json.dumps({**self.status(now), **more})
            for peer in self._state.peers.values():
                if peer.link is not None and peer.admitted:
                    self._state.do(Send(peer.link, View(body)))
        elif self._state.manager_link is not None:
            self._state.do(Send(self._state.manager_link, Report(json.dumps(self.own_report(now)))))

    def next_at(self, now: float) -> float:
        """Return when something is to be sent."""
        return self._due_at if self._due_at is not None else self._sent_at + EVERY_S

    # --- what it says -----------------------------------------------------------------------

    def own_report(self, now: float) -> dict[str, JSON]:
        """Return what a worker tells its manager."""
        return {
            "row": self.own_row(now),
            "held": list(rows.own_holds(self._state)),
            "refused": list(rows.own_refused(self._state)),
            "differing": list(
                rows.differing_rows(self._state, self._observing, self._advancing.wanted)
            ),
            "alarms": list(self._state.alarms.values()),
            "twins": self._twins(),
            "progress": self.own_progress(),
            "pause": self.pausing.told(),
            "withheld": self._state.withheld_as,
            "portions": sum(
                exemption.because is Because.PORTION for exemption in self._state.withheld.values()
            ),
            **outcomes_report(self._deploying),
        }

    def own_progress(self) -> dict[str, JSON] | None:
        """Return how far this node's job is; None if it has none."""
        job = self._advancing.job
        if job is None:
            return None
        waiting = [step for steps in job.lacking.values() for step in steps]
        left = sum(step.after.size for step in waiting if step.after)
        return {
            "name": self._state.me,
            "phase": str(job.phase),
            "files_done": job.files_total - len(waiting),
            "files_total": job.files_total,
            "bytes_done": job.bytes_total - left,
            "bytes_total": job.bytes_total,
        }

    def own_row(self, now: float) -> dict[str, JSON]:
        """Return this node's row."""
        state = self._state
        status, reason = self._own_state()
        views = self._observing.views.values()
        watch = ", ".join(sorted({view.watch for view in views}))
        return {
            "name": state.me,
            "role": "manager" if state.leads else "worker",
            "eligible": not state.unfit,
            "unfit": state.unfit,
            "ready": self.is_ready(),
            "priority": state.settings.election.priority,
            "state": status,
            "revision": state.standing.revision.number,
            "lag_s": 0.0,
            "artifacts": self._deploying.total(),
            **runtime_counts(self._deploying),
            "refused": len(state.refused) + len(left_out(state)),
            "watch": watch,
            "seen_s": 0.0,
            "reason": reason,
            "undeployed": list(rows.undeployed_rows(state, self._observing)),
        }

    def _own_state(self) -> tuple[str, str]:
        """Return this node's state and, where it is not Synced, why."""
        state = self._state
        own = [hold.text for hold in state.holds.values() if hold.node == state.me]
        if own:
            return "Held", own[0]
        if state.alarms:
            return "Degraded", next(iter(state.alarms.values()))
        if not self._observing.ready:
            return "Unknown", "the trees are being scanned for the first time"
        busy = self._busy()
        if busy is not None:
            return busy
        other = [path for path in self._observing.differing() if path not in state.refused]
        if other:
            return (
                "OutOfSync",
                f"{len(other)} differ from revision {state.standing.revision.number}",
            )
        left = left_out(state)
        which = f"{left[0].path}: {left[0].problem.reason}" if left else ""
        return ("OutOfSync", f"goes without {len(left)} of it: {which}") if left else ("Synced", "")

    def _busy(self) -> tuple[str, str] | None:
        """Return the state of a node that is on its way somewhere, or not allowed to be; else None."""
        job, role = self._advancing.job, self._state.role
        if self._state.paused:
            return "Paused", self._state.paused
        if job is not None:
            return ("OutOfSync" if job.phase is Stage.TREES else "Syncing"), job.reason
        if role in {Role.SURVEYING, Role.ADMITTING, Role.CATCHING_UP}:
            return "Syncing", f"becoming manager ({role})"
        return None

    def status(self, now: float) -> dict[str, JSON]:
        """Return the cluster as this node knows it."""
        state = self._state
        view = state.view if not state.leads and state.manager_link is not None else {}
        if view:
            return self._from_view(view, now)
        nodes = [self.own_row(now), *(self._peer_row(p, now) for p in state.peers.values())]
        nodes.sort(key=lambda row: (row["role"] != "manager", str(row["name"])))
        holder = state.guard.highest.holder if state.guard.highest else None
        manager = state.me if state.leads else (holder if state.manager_link is not None else None)
        alarms = [*state.alarms.values(), *twins.alarms(state, self._twins())]
        leader = leader_row(state, now, manager)
        if manager is None:
            alarms.append(str(leader["why"]))
        held = rows.own_holds(state)
        for peer in state.peers.values() if state.leads else ():
            held.extend(lately.held(peer))
        return {
            "apiVersion": API_VERSION,
            "cluster": state.settings.cluster,
            **mode_fields(state.settings),
            "manager": manager,
            "leader": leader,
            "paused": self.pausing.row(),
            "epoch": state.guard.epoch,
            "revision": state.standing.revision.number,
            "digest": state.standing.revision.digest,
            "state": rows.worst([row["state"] for row in nodes]) if manager else "Unknown",
            "nodes": nodes,
            "held": held,
            "alarms": alarms,
        }

    def why_not_synced(self, now: float) -> str:
        """Say what keeps the cluster from being in sync, as far as this node knows."""
        status, reason = self._own_state()
        if status != "Synced":
            return reason or status
        for peer in self._state.peers.values() if self._state.leads else ():
            if peer.link is None and not peer.unreachable:
                return f"{peer.name} is not connected yet"
            if peer.link is not None and peer.standing != self._leading.newest():
                return f"{peer.name} is at revision {peer.standing}: {peer.reason or peer.phase}"
        known = self._state.leads or self._state.manager_link is not None
        return "" if known else why_no_manager(self._state, now)

    def _from_view(self, view: Mapping[str, object], now: float) -> dict[str, JSON]:
        """Return the manager's view, aged, with what it says of this node fresh."""
        status: dict[str, JSON] = json.loads(json.dumps(view))
        age = round(now - self._state.view_at, 1)
        fresh = self.own_row(now)
        nodes = rows.listed(status, "nodes")
        for row in nodes:
            if row.get("name") == self._state.me:
                rows.refresh(row, fresh)
                continue
            seen = row.get("seen_s")
            if isinstance(seen, float | int):
                row["seen_s"] = round(seen + age, 1)
        status["nodes"] = nodes
        leader = status.get("leader")
        if isinstance(leader, dict) and isinstance(renewed := leader.get("renewed_s"), float | int):
            leader["renewed_s"] = round(renewed + age, 1)
        status |= {"paused": self.pausing.row(), **mode_fields(self._state.settings)}
        theirs = [row for row in rows.listed(status, "held") if row.get("node") != self._state.me]
        status["held"] = [*rows.own_holds(self._state), *theirs]
        status["state"] = rows.worst([row.get("state") for row in nodes])
        return status

    def _peer_row(self, peer: Peer, now: float) -> dict[str, JSON]:
        """Return a peer's row as this node knows it."""
        row: dict[str, JSON] = {
            "name": peer.name,
            "role": peer.role,
            **dict.fromkeys(_STANDING),
            "state": "Unknown",
            "revision": peer.standing.number if peer.standing else None,
            "lag_s": self._lag(peer, now),
            "artifacts": None,
            **dict.fromkeys(COUNTS),
            "runtime": None,
            "refused": None,
            "watch": None,
            "seen_s": None if peer.seen_at is None else round(now - peer.seen_at, 1),
            "reason": "",
            "undeployed": [],
            "waits_for_canary": self._state.leads and self._leading.waits_for_canary(peer),
        }
        known = peer.report.get("row")
        if isinstance(known, dict):
            kept = (
                "artifacts",
                *COUNTS,
                "runtime",
                "refused",
                "watch",
                *(() if peer.share else _STANDING),
            )
            row.update({name: known.get(name) for name in kept})
            row["state"] = str(known.get("state") or "Unknown")
            row["reason"] = str(known.get("reason") or "")
            row["undeployed"] = list(rows.listed(known, "undeployed"))
        if not self._state.leads:
            holder = self._state.guard.highest
            if holder and holder.holder == peer.name:
                row["role"] = "manager"
        elif peer.link is None:
            row["state"], row["reason"] = "Offline", peer.why_down
        elif peer.standing != self._leading.newest() and row["state"] in {
            "Synced",
            "Unknown",
            None,
        }:
            behind = peer.phase is Phase.DECLINED
            kept_back = self._leading.keeps_back(peer)
            row["state"] = "Held" if kept_back else "OutOfSync" if behind else "Syncing"
            row["reason"] = peer.reason or f"it stands on revision {row['revision']}"
        elif peer.phase is Phase.DONE and (row["state"] == "Unknown" or rows.older(known, row)):
            # Its own report is on its way; what it holds follows from where it stands.
            held = self._state.standing.manifest.project(TreeName(tree) for tree in peer.trees)
            row["state"], row["reason"] = "Synced", ""
            row["artifacts"] = len(held)
            if rows.older(known, row):
                # What its runtime had deployed of that revision is no word about this one.
                row.update(dict.fromkeys(COUNTS))
            said = sum(n for c in COUNTS if c != "unknown" and isinstance(n := row[c], int))
            row["unknown"] = max(0, len(held) - said)
        return row

    def _lag(self, peer: Peer, now: float) -> float | None:
        """Return for how long this peer has not stood on the newest revision (s)."""
        if not self._state.leads:
            self._behind.clear()
            return None
        if peer.standing == self._leading.newest():
            self._behind.pop(peer.name, None)
            return 0.0
        return round(now - self._behind.setdefault(peer.name, now), 1)
