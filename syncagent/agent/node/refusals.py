"""What a runtime refused: held for a person, put back, or passed over, by `on_reject`.

A refused group becomes a hold that a person approves (have it in spite of that) or rejects (put
back what was there before, everywhere, by a new revision). With `on_reject = "rollback"` the
manager rejects by itself, with `continue` it goes on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.node import rows
from syncagent.agent.node.job import Job, Why
from syncagent.core.artifact import kind_of, stem_of
from syncagent.core.change import Change
from syncagent.core.ledger import StandingChange
from syncagent.core.revision import Revision, RevisionId
from syncagent.core.safety import Hold, HoldReason, hold_id, set_digest
from syncagent.core.trials import Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.trials import Trials

NOTE = "rolled-back"
"""The ledger's note that names what was put back, so that it is not taken from a worker again."""
HELD_NOTE = "held"
"""The ledger's note of what the manager holds, as it told last: it may be gone when this node leads."""
REMEMBERED_MAX = 200
AGAIN_S = 10.0
"""How long after a rollback that came to nothing it is tried again, where no person decides."""
UNKNOWN = "another node"
UNFINISHED = "its deployer died before it had taken this up"
NOT_BACK = "rollback"
"""What the alarm is about that says that it came to nothing."""
ROLLED_BACK = "rolled-back"
"""What the alarm is about that says that the gateways are behind whoever publishes."""


class Refusals:
    """The holds of refused groups, and the way back from them."""

    def __init__(self, state: State, observing: Observing, advancing: Advancing) -> None:
        self._state = state
        self._observing = observing
        self._advancing = advancing
        self._groups: dict[str, Sequence[Trial]] = {}
        self._rolling: dict[int, frozenset[ArtifactPath]] = {}
        self._again_at: float | None = None
        """When to try again what came to nothing; None if nothing did."""
        self._rolled: frozenset[ArtifactPath] = frozenset()
        self._refused: tuple[Trial, ...] = ()
        self._rejected: dict[tuple[str, str, str], str] = _read(state.standing.notes.get(NOTE, ""))
        self._refused_at = 0.0

    @property
    def holds(self) -> list[Hold]:
        """What waits for a person."""
        return [h for h in self._state.holds.values() if h.reason is HoldReason.NACKED]

    def rolled_back(self, since: float) -> list[Trial]:
        """Return what a runtime refused and was put back since `since`, the last time only."""
        return list(self._refused) if self._refused_at >= since else []

    def why_rejected(self, change: Change) -> str:
        """Return why a runtime refused just these bytes there, when they were put back; "" if none.

        Where any node may write, the worker that wrote them still has them and proposes them again.
        A person who writes them on the manager has them tried once more.
        """
        after = change.after
        return self._rejected.get((*change.path, after.digest), "") if after is not None else ""

    def _remember(self, group: Sequence[Trial]) -> None:
        for trial in group:
            if trial.nacked_by and trial.after is not None:
                key: tuple[str, str, str] = (*trial.path, trial.after.digest)
                self._rejected[key] = f"the runtime of {trial.nacked_by} refused it: {trial.reason}"
        for old in list(self._rejected)[:-REMEMBERED_MAX]:
            del self._rejected[old]
        text = json.dumps([[*key, why] for key, why in self._rejected.items()])
        if text != self._state.standing.notes.get(NOTE, ""):
            self._state.note(StandingChange(notes={NOTE: text}))

    def is_rollback(self, job: Job) -> bool:
        """Tell whether a job puts a refused group back."""
        return job.txid in self._rolling

    def overtaken_by(self, changes: Sequence[Change]) -> None:
        """Something is declared: where it was put back, whoever publishes has published again."""
        if self._rolled.intersection(change.path for change in changes):
            self._rolled = frozenset()
            self._state.alarm(ROLLED_BACK, None)

    # --- holding ----------------------------------------------------------------------------

    def keep(self, groups: Sequence[Sequence[Trial]], now: float) -> set[ArtifactPath]:
        """Hold these groups, or do with them what was decided; return what is on trial no more."""
        rollout = self._state.rollout
        over: set[ArtifactPath] = set()
        self._groups = {}
        holds: dict[str, Hold] = {}
        for group in groups:
            hold = self._hold(group)
            self._groups[hold.id] = group
            if hold.set_digest in self._state.approved or rollout.on_reject == "continue":
                self._state.use_up((hold.set_digest,))
                over.update(hold.paths)
            elif rollout.on_reject == "rollback" and any(trial.nacked_by for trial in group):
                late = self._again_at is None or now >= self._again_at
                if late and not self._state.withholds:
                    over |= self.roll_back(hold, now)
                if self._again_at is not None:
                    # It could not be put back: meanwhile a person may decide.
                    holds[hold.id] = hold
            else:
                holds[hold.id] = hold
        if not self._groups:
            self._again_at = None
            self._state.alarm(NOT_BACK, None)
        self._list(holds)
        return over

    def forget(self) -> None:
        """This node leads no more: what it held was for its own revisions."""
        self._again_at = None
        self._state.alarm(NOT_BACK, None)
        self._list({})

    def _hold(self, group: Sequence[Trial]) -> Hold:
        """Return the hold of a group that a runtime refused."""
        changes = [trial.change for trial in group]
        digest = set_digest(changes)
        first = next((trial for trial in group if trial.nacked_by), group[0])
        kind = kind_of(self._state.settings.tree_kinds[first.path.tree], first.path.path)
        examined = self._observing.examined(first.path)
        name = (examined.facts.name if examined else None) or stem_of(first.path.path)
        ident = hold_id(HoldReason.NACKED, digest)
        others = len({trial.group for trial in group}) - 1
        groups = "1 other group" if others == 1 else f"{others} other groups"
        more = f" and {groups}: one" if others else ": it"
        what = (
            f"the runtime of {first.nacked_by} refused {kind}/{name}: {first.reason}. Mend it"
            if first.nacked_by
            else f"the deployer of {self._state.me} died before it had taken up {kind}/{name}{more}"
            " may be what killed it. Restart that runtime"
        )
        size = "1 artifact" if len(group) == 1 else f"{len(group)} artifacts"
        text = (
            f"{what}, or syncagent reject {ident} to put back what was there before, or syncagent"
            f" approve {ident} to go on: nobody else gets {'them' if others else 'its group'} ({size})"
            " meanwhile"
        )
        return Hold(
            ident,
            self._state.me,
            first.path.tree,
            HoldReason.NACKED,
            digest,
            tuple(trial.path for trial in group),
            text,
            cause=first.reason if first.nacked_by else UNFINISHED,
            refused_by=first.nacked_by or self._state.me,
        )

    def _list(self, holds: dict[str, Hold]) -> None:
        known = self._state.holds
        for name in [
            n for n, h in known.items() if h.reason is HoldReason.NACKED and n not in holds
        ]:
            del known[name]
            self._state.event("hold-ended", id=name, reason=HoldReason.NACKED)
        for name, hold in holds.items():
            before = known.get(name)
            known[name] = hold
            if before is None or before.text != hold.text:
                # What may have killed a deployer may have been found since.
                self._state.event("held", id=name, reason=hold.reason, text=hold.text)

    # --- going back -------------------------------------------------------------------------

    def roll_back(self, hold: Hold, now: float) -> set[ArtifactPath]:
        """Begin to put back what was there before a refused group, as soon as that can be.

        Return what is on trial no more: what was put back already.
        """
        state, token = self._state, self._state.token
        if self._advancing.job is not None or state.recording or token is None:
            return set()
        group = self._groups.get(hold.id, ())
        standing = state.standing
        changes = tuple(
            Change(trial.path, here, trial.before)
            for trial in group
            if (here := standing.manifest.get(trial.path)) != trial.before
        )
        if not changes:
            return set(hold.paths)
        target = standing.manifest.after(changes)
        own = RevisionId(token.epoch, standing.revision.number + 1, target.digest)
        first = next((trial for trial in group if trial.nacked_by), group[0])
        by = first.nacked_by or f"{state.me}, whose deployer died"
        note = f"rollback of {first.path}: refused by the runtime of {by}"
        job = Job(
            self._advancing.next_txid(),
            Why.OWN,
            own,
            parent=standing.revision,
            token=token,
            changes=changes,
            target=target,
            record=Revision(own, standing.revision, changes, state.me, note),
        )
        self._rolling[job.txid] = frozenset(trial.path for trial in group)
        self._refused, self._refused_at = tuple(tr for tr in group if tr.nacked_by), now
        state.event("rollback", path=str(first.path), node=first.nacked_by, reason=first.reason)
        self._remember(group)
        self._advancing.begin(job, now)
        return set()

    def finished(self, job: Job, fault: str | None, now: float) -> frozenset[ArtifactPath]:
        """A job has ended: return what it has put back."""
        paths = self._rolling.pop(job.txid, frozenset())
        if not paths:
            return frozenset()
        if fault is not None:
            self._again_at = now + AGAIN_S
            self._state.alarm(NOT_BACK, f"what a runtime refused could not be put back: {fault}")
            return frozenset()
        self._again_at, self._rolled = None, paths
        self._state.alarm(NOT_BACK, None)
        self._state.alarm(
            ROLLED_BACK,
            f"revision {job.revision.number} put back what a runtime refused: the Publisher is"
            " ahead of the gateways until it publishes again",
        )
        return paths


def remember_held(state: State) -> None:
    """Note what this node's manager holds because a runtime refused it, durably."""
    held = [
        {name: row.get(name) for name in ("id", "kind", "paths", "cause", "refused_by")}
        for row in rows.listed(state.view, "held")
        if row.get("kind") == HoldReason.NACKED
    ]
    text = json.dumps(held[:REMEMBERED_MAX]) if held else ""
    if text != state.standing.notes.get(HELD_NOTE, ""):
        state.note(StandingChange(notes={HELD_NOTE: text}))


def inherited(state: State) -> Trials:
    """Return as trials what the last manager held of what it withheld from this node.

    A runtime refused it, or died of it: a new manager does not try it on its own as well, also if it
    was restarted since it was told.
    """
    found: Trials = {}
    by_name = {str(path): exemption for path, exemption in state.withheld.items()}
    for row in rows.listed({"held": json.loads(state.standing.notes.get(HELD_NOTE, "[]"))}, "held"):
        paths = row.get("paths")
        if not isinstance(paths, list):
            continue
        by, why = str(row.get("refused_by") or UNKNOWN), str(row.get("cause") or "")
        for left in (by_name[name] for name in map(str, paths) if name in by_name):
            after, number = state.rows.get(left.path), state.standing.revision.number
            trial = Trial(left.path, str(row.get("id")), left.here, after, number)
            found[left.path] = replace(trial, nacked_by=by, reason=why)
    return found


def _read(text: str) -> dict[tuple[str, str, str], str]:
    """Return what `_remember` wrote down."""
    return {(tree, path, digest): why for tree, path, digest, why in json.loads(text or "[]")}
