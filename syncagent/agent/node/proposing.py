"""The manager's side of `writers = "any"`: a worker's valid change becomes the next revision.

One proposal at a time. What collides with the manager's own state is lost to it: the worker's bytes
stay with the worker as a conflict once the manager's reach it. What validation refuses here is told
with its reason, and the rest becomes the revision (see `leftout`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from syncagent.agent.effects import KeepBlobs, Reply, Send
from syncagent.agent.node.gathering import WINDOW_BYTES
from syncagent.agent.node.job import Job, Why
from syncagent.agent.node.leftout import names
from syncagent.agent.node.rows import not_restored
from syncagent.core.revision import Revision, RevisionId
from syncagent.core.safety import judge_changes
from syncagent.core.settings import Writers
from syncagent.core.wire.messages import Blobs, Delta, Propose, Proposed, Want

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.declaring import Declaring
    from syncagent.agent.node.job import Name
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.agent.results import BlobsKept
    from syncagent.core.artifact import ArtifactPath, NodeName
    from syncagent.core.change import Change
    from syncagent.core.digest import Digest
    from syncagent.core.safety import Hold

HELD_S = 60.0
"""A hold of a proposal is listed this long after it last came: six times its pause."""
QUEUE_MAX = 100
"""Proposals that wait; one more is answered with all lost and comes again later."""
BYTES_S = 60.0
"""A proposer that sends none of its bytes for this long has lost: others wait behind it."""


@dataclass(slots=True)
class Proposal:
    """A worker's changes on their way into a revision."""

    id: int
    link: int
    author: NodeName
    message: Propose
    taken: tuple[Change, ...] = ()
    lost: tuple[ArtifactPath, ...] = ()
    released: tuple[Digest, ...] = ()
    refused: dict[ArtifactPath, str] = field(default_factory=dict)
    """What validation refused of it, and why."""
    without: frozenset[Name] = frozenset()
    lacking: dict[Digest, int] = field(default_factory=dict)
    asked: set[Digest] = field(default_factory=set)
    until: float = 0.0
    since: float = 0.0
    txid: int = 0
    reason: str = ""
    note: str = ""
    request: int = 0
    """The request that a person's wish has to be answered at; 0: it is a worker's own proposal."""

    @property
    def why_lost(self) -> str:
        """Say why something of it is lost; empty where the manager has other bytes."""
        said = [f"{path}: {reason}" for path, reason in sorted(self.refused.items())]
        return "; ".join([*([self.reason] if self.reason else []), *said])


class Proposing:
    """Takes proposals one after the other."""

    def __init__(
        self, state: State, observing: Observing, advancing: Advancing, declaring: Declaring
    ) -> None:
        self._state = state
        self._observing = observing
        self._advancing = advancing
        self._declaring = declaring
        self._queue: list[Proposal] = []
        self._held: dict[str, float] = {}
        self._now: Proposal | None = None
        self.rejected: Callable[[Change], str] = lambda _change: ""
        """Why a runtime would not have a change: one rejected these bytes before."""

    @property
    def busy(self) -> bool:
        """True while a proposal is being taken or waits."""
        return self._now is not None or bool(self._queue)

    def proposed(self, link: int, message: Propose, now: float) -> None:
        """Take a proposal in."""
        author = self._state.links.get(link)
        if author is None:
            return
        proposal = Proposal(self._state.number(), link, author, message)
        refused = ""
        if self._state.settings.writers is not Writers.ANY:
            refused = 'writers = "manager": only the manager\'s changes count'
        self._queue_up(proposal, refused, now)

    def adopt(
        self, request: int, who: tuple[int, NodeName], change: Change, note: str, now: float
    ) -> None:
        """Take in what a person wants of a worker's kept bytes, whatever `writers` says."""
        link, author = who
        number = self._state.number()
        message = Propose(number, self._state.standing.revision, (change,))
        proposal = Proposal(number, link, author, message, note=note, request=request)
        self._queue_up(proposal, "", now)

    def _queue_up(self, proposal: Proposal, refused: str, now: float) -> None:
        place = self._place(proposal)
        if self._state.token is None:
            # Who is about to lead takes it when it does.
            refused = "this node is not the manager"
        elif place >= QUEUE_MAX:
            refused = refused or "too many proposals wait"
        if refused:
            proposal.lost = tuple(change.path for change in proposal.message.changes)
            proposal.reason = refused
            self._answer(proposal)
            return
        proposal.since = now
        self._queue[place : place + 1] = [proposal]
        self.go_on(now)

    def _place(self, proposal: Proposal) -> int:
        """Return where in the queue a proposal belongs: where its worker's former one waits.

        A worker proposes what it has by then until it is answered. Its repetitions would fill the
        queue while a tree here is away, and keep all others out.
        """
        if not proposal.request:
            for place, each in enumerate(self._queue):
                if each.link == proposal.link and not each.request:
                    return place
        return len(self._queue)

    def go_on(self, now: float) -> None:
        """Begin with the next proposal if nothing else is under way."""
        if not self._state.leads:
            return
        late = self._now
        if late is not None and late.lacking and now >= late.until:
            self._lose(late, f"its bytes did not come within {BYTES_S:.0f} s", now)
            return
        idle = self._now is None and self._advancing.job is None and not self._declaring.busy
        proposal = self._next() if idle and self._observing.begun else None
        if proposal is None:
            return
        self._sort(proposal)
        if not proposal.taken:
            self._answer(proposal)
            self.go_on(now)
            return
        self._now = proposal
        proposal.lacking = {
            change.after.digest: change.after.size
            for change in proposal.taken
            if change.after is not None and not self._state.has_blob(change.after.digest)
        }
        self._ask_or_begin(proposal, now)

    def _next(self) -> Proposal | None:
        """Take the first proposal that concerns no tree here which can't be believed."""
        for proposal in self._queue:
            concerned = {change.path.tree for change in proposal.message.changes}
            if not self._observing.unready(concerned):
                self._queue.remove(proposal)
                return proposal
        return None

    def _ask_or_begin(self, proposal: Proposal, now: float) -> None:
        """Ask for the next window of what is lacking; begin if nothing is."""
        proposal.until = now + BYTES_S
        if not proposal.lacking:
            self._begin(proposal, now)
        elif not proposal.asked & proposal.lacking.keys():
            room, wanted = WINDOW_BYTES, []
            for digest, size in sorted(proposal.lacking.items()):
                wanted.append(digest)
                room -= size
                if room <= 0:
                    break
            proposal.asked.update(wanted)
            want = Want(proposal.message.base, manifest=False, blobs=tuple(wanted))
            self._state.do(Send(proposal.link, want))

    def _sort(self, proposal: Proposal) -> None:
        """Decide which of the proposed changes are taken: those that meet what they expect here."""
        taken: list[Change] = []
        lost = list(proposal.refused)
        for change in proposal.message.changes:
            here = self._state.standing.manifest.get(change.path)
            if here == change.after or change.path in proposal.refused:
                continue
            reason = self._unknown(change) or self.rejected(change)
            if reason:
                proposal.refused[change.path] = reason
                lost.append(change.path)
                continue
            view = self._observing.views[change.path.tree]
            edited = change.path.path in view.differing and change.path not in self._state.refused
            if here == change.before and not edited:
                taken.append(change)
            else:
                lost.append(change.path)
        # Both sides judge, each by what a person released on it: a worker's word is not enough.
        judgement = judge_changes(
            taken,
            self._state.base,
            replace(self._state.rules, node=proposal.author),
            vanished=(),
            approved=self._state.approved,
        )
        proposal.released = judgement.released
        self._show(proposal, judgement.holds)
        passed = set(judgement.passed)
        lost.extend(change.path for change in taken if change not in passed)
        if judgement.holds:
            proposal.reason = judgement.holds[0].text
        proposal.taken, proposal.lost = judgement.passed, tuple(sorted(lost))

    def _unknown(self, change: Change) -> str:
        """Say why a change can't be taken by this node: it may have no such tree. Empty: it can."""
        tree = change.path.tree
        listed = tree in self._state.settings.tree_names
        return "" if listed else f"{self._state.me} does not list the tree {tree}"

    def _show(self, proposal: Proposal, holds: tuple[Hold, ...]) -> None:
        """List what waits of a proposal; it is proposed again, and shown for as long as it is."""
        for hold in holds:
            if hold.id not in self._state.holds:
                self._state.event("held", id=hold.id, reason=hold.reason, text=hold.text)
            self._state.holds[hold.id] = hold
            self._held[hold.id] = proposal.since + HELD_S

    def tick(self, now: float) -> None:
        """Take holds off the list whose proposal has not come again."""
        for name in [name for name, until in self._held.items() if now >= until]:
            del self._held[name]
            hold = self._state.holds.get(name)
            if hold is not None and hold.node != self._state.me:
                del self._state.holds[name]
                self._state.event("hold-ended", id=name, reason=hold.reason)

    def blobs(self, link: int, message: Blobs | Delta) -> bool:
        """Take blobs of the proposal; return whether they belong to it."""
        proposal = self._now
        if proposal is None or proposal.link != link or not proposal.lacking:
            return False
        entries = message.entries if isinstance(message, Blobs) else (message.entry,)
        if not any(entry.digest in proposal.lacking for entry in entries):
            # Nothing of it was asked for: it is not kept either.
            return True
        self._state.do(KeepBlobs(proposal.id, message))
        return True

    def missing(self, link: int, now: float) -> None:
        """The proposer has not got its bytes any more: it edited on, and proposes that later."""
        proposal = self._now
        if proposal is not None and proposal.link == link and proposal.lacking:
            self._lose(proposal, "its bytes are not there any more", now)

    def kept(self, result: BlobsKept, now: float) -> None:
        """Blobs of the proposal are in the history."""
        proposal = self._now
        if proposal is None or proposal.id != result.job:
            self._advancing.kept(result, now)
            return
        if result.fault:
            self._lose(proposal, result.fault, now)
            return
        for digest in result.digests:
            proposal.lacking.pop(digest, None)
        self._ask_or_begin(proposal, now)

    def _begin(self, proposal: Proposal, now: float) -> None:
        """Make the proposal live on this node's own trees; the ledger record makes it a revision."""
        token = self._state.token
        stale = self._advancing.job is not None or self._declaring.busy or token is None
        parent = self._state.standing.revision
        if not stale:
            # Something else may have become a revision while the bytes travelled.
            taken = proposal.taken
            self._sort(proposal)
            stale = proposal.taken != taken
        if stale:
            self._now = None
            self._queue.insert(0, proposal)
            return
        assert token is not None, "stale otherwise"
        manifest = self._state.standing.manifest.after(proposal.taken)
        own = RevisionId(token.epoch, parent.number + 1, manifest.digest)
        note = proposal.note or f"proposal of {proposal.author}"
        record = Revision(own, parent, proposal.taken, proposal.author, note, proposal.released)
        proposal.txid = self._advancing.next_txid()
        job = Job(
            proposal.txid,
            Why.OWN,
            own,
            parent=parent,
            token=token,
            changes=proposal.taken,
            target=manifest,
            record=record,
        )
        job.released, job.without = proposal.released, proposal.without
        self._advancing.begin(job, now)

    def finished(self, job: Job, fault: str | None, now: float) -> bool:
        """Take the end of this node's own job; return whether it was a proposal's."""
        proposal = self._now
        if proposal is None or job.txid != proposal.txid:
            return False
        if fault is None:
            self._now = None
            self._answer(proposal)
        elif any(row.problem.code != "busy" for row in job.refused):
            self._go_without(proposal, job, now)
        else:
            self._lose(proposal, fault, now)
        return True

    def _go_without(self, proposal: Proposal, job: Job, now: float) -> None:
        """Leave out what was refused, and go on with the rest."""
        refused = [row for row in job.refused if row.problem.code != "busy"]
        proposal.without |= names(refused, job, self._observing)
        proposal.refused |= {row.path: row.problem.reason for row in refused}
        left = tuple(c for c in proposal.taken if c.path not in proposal.refused)
        if left:
            proposal.taken = left
            self._begin(proposal, now)
        else:
            self._lose(proposal, "", now)

    def link_down(self, link: int, now: float) -> None:
        """The proposer is gone: its proposal comes again when it is back."""
        self._queue = [proposal for proposal in self._queue if proposal.link != link]
        if self._now is not None and self._now.link == link and self._now.lacking:
            self._now = None
            self.go_on(now)

    def stop(self) -> None:
        """This node leads no more: the next manager is proposed to."""
        for proposal in [*self._queue, *([self._now] if self._now else [])]:
            proposal.lost = tuple(change.path for change in proposal.message.changes)
            proposal.taken, proposal.reason = (), "this node is not the manager any more"
            self._answer(proposal)
        self._queue, self._now = [], None

    def _lose(self, proposal: Proposal, reason: str, now: float) -> None:
        self._now = None
        lost = {*proposal.lost, *(change.path for change in proposal.taken)}
        proposal.lost = tuple(sorted(lost))
        proposal.taken, proposal.reason = (), reason
        self._answer(proposal)
        self.go_on(now)

    def _answer(self, proposal: Proposal) -> None:
        if proposal.request:
            self._answer_person(proposal)
            return
        if proposal.link not in self._state.links:
            return
        taken = tuple(change.path for change in proposal.taken)
        answer = Proposed(proposal.message.proposal, taken, proposal.lost, proposal.why_lost)
        self._state.do(Send(proposal.link, answer))

    def _answer_person(self, proposal: Proposal) -> None:
        """Say in which revision the wish came true, or why it did not."""
        (change,) = proposal.message.changes
        path, after = change.path, change.after
        assert after is not None, "bytes are restored, not their absence"
        if proposal.lost:
            by_now = f"{self._state.me}, the manager, has other bytes of it than there were"
            error = not_restored(path, proposal.why_lost or by_now)
            self._state.do(Reply(proposal.request, None, error))
            return
        number = self._state.standing.revision.number
        result = {"tree": path.tree, "path": path.path, "digest": after.digest, "revision": number}
        self._state.do(Reply(proposal.request, result))
