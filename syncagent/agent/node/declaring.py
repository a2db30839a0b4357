"""How local changes become a revision: on the manager from its own trees, elsewhere as proposals.

An invalid artifact stays where it is, is listed as refused, and keeps its last good version in the
manifest. Deletions pass the safety rules or wait; everything else of the same moment goes on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.effects import Backfill, Declare, KeepFile, Send
from syncagent.agent.node.sharing import refused_anyway
from syncagent.agent.node.undelivered import Undelivered
from syncagent.core.artifact import TreeName
from syncagent.core.change import Change
from syncagent.core.intent import Keep
from syncagent.core.ledger import StandingChange
from syncagent.core.revision import Revision, RevisionId
from syncagent.core.safety import Hold, HoldReason, judge_changes
from syncagent.core.settings import Writers
from syncagent.core.snapshot import Seen, Unread
from syncagent.core.verdict import Problem, Refused, Severity
from syncagent.core.wire.messages import Propose

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.agent.results import Declared, DeclareFailed
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.digest import Digest

SUSPECT = "suspect"
"""The note that names the trees of which deletions are held: a restart must not forget it."""
UNRESOLVED = "unresolved-reference"
"""The code of `core.crosscheck` for a name that nothing defines."""
DECLARED_HOLDS = frozenset(
    {
        HoldReason.DELETIONS,
        HoldReason.FOLDER_VANISHED,
        HoldReason.TREE_EMPTIED,
        HoldReason.UPDATES,
    }
)
RENAME_S = 1.5
"""An absent file is believed a second after its hint: until then its new name seems a duplicate."""
REDECLARE_S = 5.0
"""Pause after a revision could not be made durable (a full disk, say)."""
PROPOSE_AGAIN_S = 10.0
"""Pause before a proposal that was not answered is made again."""


class Declaring:
    """Turns what is observed into revisions or proposals."""

    def __init__(self, state: State, observing: Observing, advancing: Advancing) -> None:
        self._state = state
        self._observing = observing
        self._advancing = advancing
        self.begins: Callable[[Sequence[Change], int], None] = lambda _changes, _number: None
        """Told of each revision just before it is declared."""
        self.pending: Revision | None = None
        self._not_before = 0.0
        self._wake_at: float | None = None
        self._proposed: tuple[Change, ...] = ()
        self._proposed_until = 0.0
        self._told: dict[Change, str] = {}
        suspect: list[str] = json.loads(state.standing.notes.get(SUSPECT, "[]"))
        self.lasting = advancing.lasting
        self.undelivered = Undelivered(state)
        self._suspect = frozenset(TreeName(name) for name in suspect)
        self._shared = frozenset(tree.name for tree in state.settings.trees if tree.mark)

    @property
    def busy(self) -> bool:
        """True while a revision is being made durable."""
        return self.pending is not None or self._state.recording

    def next_at(self, now: float) -> float | None:
        """Return when a decision is due for its own sake; what was due has had its chance."""
        if self._wake_at is not None and self._wake_at <= now:
            self._wake_at = None
        return self._wake_at

    # --- deciding ---------------------------------------------------------------------------

    def decide(self, now: float) -> Revision | None:
        """Declare a new revision if the trees ask for one; return it while it is made durable."""
        if self.busy or now < self._not_before or self._advancing.job is not None:
            return None
        if not self._state.leads or not self._state.settings.apply or self._state.withholds:
            return None
        changes, released = self.changes(now)
        return self.declare(changes, released=released, note="edit") if changes else None

    def declare(
        self, changes: Sequence[Change], *, released: tuple[Digest, ...] = (), note: str = ""
    ) -> Revision:
        """Begin to declare `changes`, which the trees of this node hold already."""
        revision = self.revision(tuple(changes), note=note, released=released)
        self.begins(revision.changes, revision.id.number)
        assert self._state.token is not None, "only a manager declares"
        self.pending, self._state.recording = revision, True
        blobs = tuple((c.path, c.after) for c in changes if c.after is not None)
        in_place, notes = self._state.in_place, self.undelivered.noted(revision)
        self._state.do(Declare(self._state.token, revision, blobs, read=in_place, notes=notes))
        return revision

    def revision(
        self, changes: tuple[Change, ...], *, note: str, released: tuple[Digest, ...] = ()
    ) -> Revision:
        """Return the revision that follows the one on which this node stands."""
        assert self._state.token is not None, "only a manager declares"
        parent = self._state.standing.revision
        manifest = self._state.standing.manifest.after(changes)
        own = RevisionId(self._state.token.epoch, parent.number + 1, manifest.digest)
        return Revision(own, parent, changes, self._state.me, note, released)

    def propose(self, now: float) -> None:
        """As a worker whose changes count: send them to the manager."""
        link = self._state.manager_link
        job, settings = self._advancing.job, self._state.settings
        if self._state.in_place:
            self._only_look(now)
            return
        if settings.writers is not Writers.ANY or not settings.apply:
            return
        if job is not None:
            self._suspect_empty()
            return
        # Also while nobody can be told: what looks gone meanwhile is suspect from then on.
        changes, _released = self.changes(now)
        if link is None or self._state.paused:
            return
        if not changes or (tuple(changes) == self._proposed and now < self._proposed_until):
            return
        self._proposed, self._proposed_until = tuple(changes), now + PROPOSE_AGAIN_S
        self._wake_at = self._proposed_until
        self._have_at_hand(changes)
        base = self._state.standing.revision
        self._state.do(Send(link, Propose(self._state.number(), base, tuple(changes))))

    def _suspect_empty(self) -> None:
        """Suspect trees that are empty while a job is under way.

        It may write into such a tree, and what is still gone then looks like little.
        """
        for name, view in self._observing.views.items():
            if view.ready and view.base and not view.files:
                self._suspect |= {name}

    def _only_look(self, now: float) -> None:
        """Where all nodes have the same files: list what is refused of them; the manager declares."""
        self._wake_at = None
        refused = refused_anyway(self._observing)
        for path in self._observing.differing():
            self._change(path, refused, now)
        self._list_refused(refused)

    def _have_at_hand(self, changes: Sequence[Change]) -> None:
        """Put the bytes of a proposal into the history: memory holds a part of a large one only.

        If the manager asks too early it hears of the rest that it is missing, and is asked again.
        """
        rows = tuple((c.path, c.after) for c in changes if c.after is not None)
        lacking = tuple(row for row in rows if not self._state.has_blob(row[1].digest))
        if lacking:
            self._state.do(Backfill(lacking))

    # --- what the trees ask for -------------------------------------------------------------

    def changes(self, now: float) -> tuple[list[Change], tuple[Digest, ...]]:
        """Return the changes that may go into a revision now; list what is refused or held."""
        self._wake_at = None
        refused: dict[ArtifactPath, Refused] = {}
        found: list[Change] = []
        for path in self._observing.differing():
            change = self._change(path, refused, now)
            if change is not None and self._is_whole(change):
                found.append(change)
        gone = [change.path for change in found if change.after is None]
        vanished: set[ArtifactPath] = set()
        for name, view in self._observing.views.items():
            vanished |= view.vanished([path.path for path in gone if path.tree == name])
        judgement = judge_changes(
            found,
            self._state.base,
            replace(self._state.rules, suspect=self._suspect, shared=self._shared),
            vanished=vanished,
            approved=self._state.approved,
        )
        self._list_holds(judgement.holds)
        self._suspect_trees(judgement.holds)
        passed = self._without_clashes(judgement.passed, refused)
        refused |= self._refused_there(passed)
        self._list_refused(refused)
        return passed, judgement.released

    def _refused_there(self, changes: Sequence[Change]) -> dict[ArtifactPath, Refused]:
        """Return what the manager does not take of this node's changes, until it does."""
        if self._state.leads or not self._told:
            self._told = {}
            return {}
        wanted = set(changes)
        self._told = {change: why for change, why in self._told.items() if change in wanted}
        holder = self._state.guard.highest
        who = f"{holder.holder}, the manager," if holder is not None else "the manager"
        return {
            change.path: Refused(change.path, Problem("refused-there", f"{who} refuses it: {why}"))
            for change, why in self._told.items()
        }

    def _without_clashes(
        self, changes: Sequence[Change], refused: dict[ArtifactPath, Refused]
    ) -> list[Change]:
        """Return the changes that claim nothing that stays; none while that is not known."""
        facts = {
            change.path: examined.facts
            for change in changes
            if change.after is not None
            and (examined := self._observing.examined(change.path)) is not None
        }
        clashes = self.lasting.clashes(changes, facts)
        if clashes is None:
            return []
        refused.update({path: Refused(path, problem) for path, problem in clashes.items()})
        return [change for change in changes if change.path not in clashes]

    def _is_whole(self, change: Change) -> bool:
        """Tell whether a change may be judged now.

        A deletion waits until all that is gone with it is known, and what is new waits with it: the
        two may be one rename.
        """
        whole = self._observing.absence_is_whole(change.path.tree)
        return whole or (change.before is not None and change.after is not None)

    def _suspect_trees(self, holds: Sequence[Hold]) -> None:
        """Remember durably of which trees deletions are held, until they pass or are back."""
        held = {hold.tree for hold in holds if hold.reason is not HoldReason.UPDATES}
        known = {
            name
            for name, view in self._observing.views.items()
            if view.ready and self._observing.absence_is_whole(name)
        }
        suspect = frozenset(held | (self._suspect - known))
        if suspect != self._suspect:
            self._suspect = suspect
            text = json.dumps(sorted(self._suspect)) if self._suspect else ""
            self._state.note(StandingChange(notes={SUSPECT: text}))

    def _change(
        self, path: ArtifactPath, refused: dict[ArtifactPath, Refused], now: float
    ) -> Change | None:
        """Return the change that `path` asks for; None if it is refused or has to wait."""
        view = self._observing.views[path.tree]
        before = self._state.rows.get(path)
        seen = view.files.get(path.path)
        if seen is None:
            return Change(path, before, None) if before is not None else None
        if isinstance(seen, Unread):
            refused[path] = Refused(path, seen.problem)
            return None
        problem, wait_s = self._judge(path, now)
        if problem is not None:
            refused[path] = Refused(path, problem)
            return None
        if wait_s > 0:
            self._wake_at = min(self._wake_at or now + wait_s, now + wait_s)
            return None
        return Change(path, before, seen.entry) if before != seen.entry else None

    def _judge(self, path: ArtifactPath, now: float) -> tuple[Problem | None, float]:
        """Return the error that keeps an artifact out, or how long it still has to wait (s)."""
        view = self._observing.views[path.tree]
        examined = view.examined.get(path.path)
        if examined is None:
            self._observing.want_scan(path.tree, now)
            return None, 1.0
        problems = examined.problems
        if examined.valid:
            problems = self._observing.index.problems(path)
        # What was there before is not new: it has waited long enough.
        since = view.new_since.get(path.path, float("-inf"))
        for problem in problems:
            if problem.severity is Severity.ERROR:
                # A clash with another file may be a rename whose other half is still settling.
                clash_s = since + RENAME_S - now if examined.valid else 0.0
                return (None, clash_s) if clash_s > 0 else (problem, 0.0)
        fresh = path.path not in view.base and self._state.standing.revision.number > 0
        if fresh and any(problem.code == UNRESOLVED for problem in problems):
            return None, since + self._state.settings.limits.reference_wait_s - now
        return None, 0.0

    def _list_refused(self, refused: dict[ArtifactPath, Refused]) -> None:
        """Replace the list of refused artifacts; keep the bytes of each that is new on it."""
        before = self._state.refused
        for path, row in refused.items():
            if before.get(path) == row:
                continue
            self._state.event(
                "refused", path=str(path), line=row.problem.line, reason=row.problem.reason
            )
            seen = self._observing.views[path.tree].files.get(path.path)
            if isinstance(seen, Seen) and self._state.keeps:
                detail = row.problem.reason
                self._state.do(KeepFile(path, seen.entry.digest, Keep.REFUSED, detail))
        if before != refused:
            self._state.changed = True
        self._state.refused = refused

    def _list_holds(self, holds: Sequence[Hold]) -> None:
        """Replace the holds that come from this node's own changes."""
        own = {hold.id: hold for hold in holds}
        for name, hold in list(self._state.holds.items()):
            if hold.reason in DECLARED_HOLDS and hold.node == self._state.me and name not in own:
                del self._state.holds[name]
                self._state.event("hold-ended", id=name, reason=hold.reason)
        for name, hold in own.items():
            if name not in self._state.holds:
                self._state.holds[name] = hold
                self._state.event("held", id=name, reason=hold.reason, text=hold.text)

    # --- what becomes of it -----------------------------------------------------------------

    def stop(self) -> None:
        """This node leads no more: what it held back and refused was for its own revisions."""
        self.pending = None
        self.undelivered.stop()
        job = self._advancing.job
        self._list_holds([job.hold] if job is not None and job.hold is not None else [])
        self._list_refused({})

    def declared(self, result: Declared) -> bool:
        """Take that a revision is durable; return whether it is the one that was meant."""
        self._state.recording = False
        if self.pending != result.revision:
            return False
        self.pending = None
        return True

    def failed(self, result: DeclareFailed, now: float) -> None:
        """Take that a revision could not be made durable: look again, try again."""
        self._state.recording = False
        if self.pending is None or self.pending.id != result.revision:
            return
        self.pending = None
        if result.changed:
            for tree in {path.tree for path in result.changed}:
                self._observing.want_scan(tree, now)
        else:
            self._state.alarm("declare", result.reason)
            self._not_before = now + REDECLARE_S
        self._wake_at = now + REDECLARE_S

    def answered(
        self, lost: Sequence[ArtifactPath], refused: Mapping[ArtifactPath, str], *, taken: bool
    ) -> list[ArtifactPath]:
        """Take that a proposal was answered; return what is lost and was not known to be refused.

        What is left may be proposed again: at once if something was taken and nothing lost. What was
        neither is in a revision already that is on its way here, or withheld.
        """
        if taken and not lost:
            self._proposed_until = 0.0
        before = self._told
        self._told = {c: refused[c.path] for c in self._proposed if c.path in refused}
        known = {change.path for change, why in self._told.items() if before.get(change) == why}
        return [path for path in lost if path not in known]
