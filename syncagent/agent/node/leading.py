"""The manager's side: offer the newest revision to each worker, commit it where it is prepared.

Workers are independent of each other: each has its own phase, and nothing here waits for one. What
a worker says is compared with what it should hold; a difference is offered again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import Hangup, KeepBlobs, Send, Serve
from syncagent.agent.node.gathering import AHEAD_BYTES_MAX
from syncagent.agent.node.patience import Patience
from syncagent.agent.node.peer import Phase
from syncagent.agent.node.trying import answers
from syncagent.core.artifact import TreeName
from syncagent.core.exempt import paths_digest
from syncagent.core.manifest import EMPTY
from syncagent.core.revision import REVISION_ZERO, RevisionId
from syncagent.core.rollout import Progress, Standing, may_commit
from syncagent.core.safety import HoldReason
from syncagent.core.wire.messages import Admit, Blobs, Commit, Offer, Survey, Want
from syncagent.core.wire.packing import compress_batch

if TYPE_CHECKING:
    from syncagent.agent.node.declaring import Declaring
    from syncagent.agent.node.peer import Peer
    from syncagent.agent.node.state import State
    from syncagent.agent.node.trying import Trying
    from syncagent.agent.results import Declared, Lacking
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.change import Change
    from syncagent.core.digest import Digest
    from syncagent.core.manifest import Manifest
    from syncagent.core.revision import Revision, Token
    from syncagent.core.wire.messages import Declined, Delta, Done, Failed, Prepared

CHANGES_MAX = 20_000
"""An offer with more changes than this sends the worker for the manifest instead."""
EARLY_CHANGES_MAX = 64
EARLY_BYTES_MAX = 1024 * 1024
DECLINED_AGAIN_S = 30.0
ANSWER_S = 120.0
"""A worker that says nothing about an offer or a commit for this long is dialled anew."""
SURVEY_EVERY_S = 60.0
ADMIT_EVERY_S = 30.0
"""How often a connected worker that did not admit the token is asked again: its disk may be mended."""


class Leading:
    """Keeps every worker on the newest revision."""

    def __init__(self, state: State, declaring: Declaring, trying: Trying) -> None:
        self._state = state
        self._declaring = declaring
        self._trying = trying
        self._silence = Patience(state)
        self._current: Revision | None = None
        self._ahead: tuple[RevisionId, Blobs | None] | None = None
        self._began: tuple[Token, RevisionId] | None = None
        self._filling: set[int] = set()
        self._survey_at = 0.0
        self._admit_at = 0.0

    # --- what is offered --------------------------------------------------------------------

    def newest(self) -> RevisionId:
        """Return the revision that workers should have; a small one while it goes to disk."""
        pending = self._early()
        return pending.id if pending is not None else self._state.standing.revision

    def _early(self) -> Revision | None:
        """Return the revision on its way to disk if it may be offered meanwhile.

        Its bytes are in memory, and the flush here overlaps with staging there.
        """
        pending = self._declaring.pending
        if pending is None or len(pending.changes) > EARLY_CHANGES_MAX or self._trying.trials:
            return None
        size = sum(change.after.size for change in pending.changes if change.after is not None)
        return pending if size <= EARLY_BYTES_MAX else None

    def stands_on(self, revision: Revision, now: float) -> None:
        """This node made `revision` live on its own trees: offer it."""
        self._current = revision
        self.push(now)

    def declared(self, result: Declared, now: float) -> None:
        """A revision is durable: whoever has prepared it may commit it."""
        self._current = result.revision
        self.push(now)

    def push(self, now: float) -> None:
        """Offer to each worker what it lacks, and let those commit that may."""
        if not self._state.leads or self._state.paused:
            return
        token = self._state.token
        assert token is not None, "who leads has one"
        if self._began is None or self._began[0] != token:
            self._began = token, self._state.standing.revision
        for peer in self._state.peers.values():
            self._offer(peer, now)
        self._commit_prepared(now)

    def _offer(self, peer: Peer, now: float) -> None:
        newest = self.newest()
        if peer.link is None or not peer.admitted or newest.number == 0 or self._state.paused:
            return
        withheld = self._withheld_from(peer)
        named = paths_digest(withheld)
        under_way = peer.phase in {Phase.OFFERED, Phase.PREPARED}
        same = (peer.offered, peer.offered_as) == (newest, named)
        # Who declined may wait for a tree to come back: it is called back like who prepares.
        holds_on = under_way or peer.phase is Phase.DECLINED
        if (peer.standing, peer.withheld) == (newest, named) and (same or not holds_on):
            peer.phase = Phase.DONE
            return
        if peer.phase is Phase.COMMITTING:
            return
        waiting = peer.phase is Phase.DECLINED and now < peer.phase_at + DECLINED_AGAIN_S
        if same and (under_way or waiting):
            return
        if withheld and not under_way and self._trying.nothing_for(peer.standing):
            self._phase(peer, Phase.IDLE, now, self._trying.why_waiting)
            return
        assert self._state.token is not None, "only a manager offers"
        record = self._early() or self._current
        known = record is not None and record.id == newest
        parent = record.parent if record is not None and known else _unknown_parent(newest)
        offer = Offer(
            token=self._state.token,
            revision=newest,
            parent=self._fork(peer, newest) or parent,
            author=record.author if record is not None and known else self._state.me,
            note=record.note if record is not None and known else "",
            released=record.released if record is not None and known else (),
            changes=self._changes(record, peer) if record is not None and known else None,
            withheld=tuple(sorted(withheld)),
        )
        self._phase(peer, Phase.OFFERED, now)
        peer.offered, peer.offered_as = newest, named
        ahead = self._ahead_of(offer)
        if ahead is not None:
            self._state.do(Send(peer.link, ahead))
        self._state.do(Send(peer.link, offer))

    def _withheld_from(self, peer: Peer) -> frozenset[ArtifactPath]:
        """Return what waits for a canary, and for the share nothing.

        No runtime takes anything from the share, and what was written there would be reverted.
        """
        return frozenset() if peer.share else self._trying.withheld

    def waits_for_canary(self, peer: Peer) -> bool:
        """Tell whether all that is newer than what a worker has is withheld from it."""
        return bool(self._withheld_from(peer)) and self._trying.nothing_for(peer.standing)

    def keeps_back(self, peer: Peer) -> bool:
        """Tell whether a worker gets nothing more until a person decides on a runtime's refusal."""
        refused = any(hold.reason is HoldReason.NACKED for hold in self._state.holds.values())
        return refused and self.waits_for_canary(peer)

    def _ahead_of(self, offer: Offer) -> Blobs | None:
        """Return the bytes of a small offer, to be sent before it: they save the asking."""
        if (
            offer.withheld
            or offer.changes is None
            or offer.revision.number <= self._state.standing.revision.number
        ):
            return None
        if self._ahead is None or self._ahead[0] != offer.revision:
            self._ahead = offer.revision, self._packed(offer.changes)
        return self._ahead[1]

    def _packed(self, changes: tuple[Change, ...]) -> Blobs | None:
        """Return the bytes that `changes` bring as one batch; None if they are not at hand."""
        entries = dict.fromkeys(change.after for change in changes if change.after is not None)
        if not entries or sum(entry.size for entry in entries) > AHEAD_BYTES_MAX:
            return None
        items = [(entry, self._state.read_lately(entry.digest)) for entry in entries]
        found = [(entry, content) for entry, content in items if content is not None]
        return Blobs(*compress_batch(found)) if len(found) == len(items) else None

    def _fork(self, peer: Peer, newest: RevisionId) -> RevisionId | None:
        """Return the revision after which `peer` left this manager's line; None if it did not.

        A deposed manager may stand on revisions that nobody else got: what they brought is kept
        there when it is overwritten.
        """
        assert self._began is not None, "set by push"
        epoch, began = self._began[0].epoch, self._began[1]
        standing = peer.standing
        strayed = standing is not None and standing.epoch < epoch and standing > began
        return began if strayed and began.number < newest.number else None

    @staticmethod
    def _changes(record: Revision, peer: Peer) -> tuple[Change, ...] | None:
        if peer.standing != record.parent or len(record.changes) > CHANGES_MAX:
            return None
        return record.changes

    def _phase(self, peer: Peer, phase: Phase, now: float, reason: str = "") -> None:
        peer.phase, peer.phase_at, peer.reason = phase, now, reason
        self._state.changed = True

    def _commit_prepared(self, now: float) -> None:
        """Send the word to prepared workers, in the rollout's order, once it is durable here."""
        newest = self._state.standing.revision
        if self._declaring.pending is not None or self._state.paused:
            return
        rows = [
            Progress(peer.name, self._progress(peer, now), answers=answers(peer))
            for peer in self._state.peers.values()
            if peer.link is not None and newest in {peer.offered, peer.standing}
        ]
        tried = self._trying.has_canary
        for name in may_commit(rows, self._state.rollout, manager_tried=tried):
            peer = self._state.peers[name]
            assert peer.link is not None, "filtered"
            assert self._state.token is not None, "only a manager commits"
            self._phase(peer, Phase.COMMITTING, now)
            self._declaring.undelivered.sent()
            self._state.do(Send(peer.link, Commit(self._state.token, newest)))

    def _progress(self, peer: Peer, now: float) -> Standing:
        """Return how far a peer is; what a runtime refused is withheld, and stops nobody else."""
        if peer.standing != self._state.standing.revision and peer.phase is Phase.IDLE:
            return Standing.BEHIND  # all that it lacks is withheld
        if peer.phase in {Phase.DONE, Phase.IDLE}:
            if self._trying.acked(peer):
                self._silence.answered(peer)
                return Standing.ACKED
            return Standing.ACKED if self._silence.is_over(peer, now) else Standing.COMMITTED
        return _STANDING.get(peer.phase, Standing.BEHIND)

    def reported(self, peer: Peer, now: float) -> None:
        """A worker has told how far its runtime is: the next wave may go."""
        if self._state.leads:
            self._trying.reported(peer, now)
            self._commit_prepared(now)

    # --- what workers say -------------------------------------------------------------------

    def want(self, link: int, want: Want) -> None:
        """Answer what a node lacks; the bytes are served beside the loop."""
        self._state.do(Serve(link, want, self._manifest_of(want.revision)))

    def _manifest_of(self, revision: RevisionId) -> Manifest | None:
        standing = self._state.standing
        if revision == standing.revision:
            return standing.manifest
        pending = self._declaring.pending
        if pending is not None and pending.id == revision:
            return standing.manifest.after(pending.changes)
        return None

    def lacking(self, result: Lacking, now: float) -> None:
        """A worker wants bytes that this node never had: ask who stands on the same revision.

        A manager that does not list a tree knows its rows but has none of its bytes.
        """
        if self._state.leads and result.revision == self._state.standing.revision:
            self._fill(result.blobs, but=result.link)

    def fetch(self, blobs: tuple[Digest, ...], now: float) -> None:
        """Ask for bytes that this node itself lacks of the revision on which it stands."""
        self._fill(blobs, but=None)

    def _fill(self, blobs: tuple[Digest, ...], but: int | None) -> None:
        standing = self._state.standing.revision
        for peer in self._state.peers.values():
            if peer.link is not None and peer.link != but and peer.standing == standing:
                self._filling.add(peer.link)
                self._state.do(Send(peer.link, Want(standing, manifest=False, blobs=blobs)))

    def blobs(self, link: int, message: Blobs | Delta) -> None:
        """Take bytes that were asked for on a worker's behalf; it is offered again soon."""
        if link in self._filling:
            self._state.do(KeepBlobs(0, message))

    def prepared(self, peer: Peer, message: Prepared, now: float) -> None:
        """A worker has everything staged."""
        if message.revision != peer.offered or peer.phase is Phase.COMMITTING:
            return
        self._phase(peer, Phase.PREPARED, now)
        self._commit_prepared(now)

    def declined(self, peer: Peer, message: Declined, now: float) -> None:
        """A worker can't or won't have it now; it says why, and is asked again later."""
        if message.revision == peer.offered:
            again = peer.phase is Phase.DECLINED and peer.reason == message.reason
            self._phase(peer, Phase.DECLINED, now, message.reason)
            if again:
                return
            self._state.event("declined", peer=peer.name, code=message.code, reason=message.reason)

    def failed(self, peer: Peer, message: Failed, now: float) -> None:
        """A worker's disk refused the commit; what is live there is a whole revision."""
        if message.revision == peer.offered:
            self._phase(peer, Phase.DECLINED, now, message.reason)
            self._state.event("commit-failed", peer=peer.name, reason=message.reason)

    def done(self, peer: Peer, message: Done, now: float) -> None:
        """A worker stands on a revision; the digest of its rows must be what we think."""
        peer.standing, peer.projection = message.revision, message.projection
        peer.withheld = message.withheld
        self._phase(peer, Phase.DONE if message.revision == self.newest() else Phase.IDLE, now)
        self._compare(peer)
        self._offer(peer, now)
        self._commit_prepared(now)

    def _compare(self, peer: Peer) -> None:
        """A worker that names our revision must have its rows: anything else is a defect."""
        if peer.standing != self._state.standing.revision or not peer.trees:
            return
        mine = self._state.standing.manifest.project(TreeName(t) for t in peer.trees).digest
        about = f"projection {peer.name}"
        if peer.projection == mine:
            self._state.alarm(about, None)
        else:
            self._state.alarm(about, f"{peer.name} holds other rows of revision {peer.standing}")

    # --- time -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Ask again who declined, give up on who is silent, compare now and then."""
        if not self._state.leads:
            return
        for peer in self._state.peers.values():
            self._patience(peer, now)
        if now >= self._admit_at:
            self._admit_at = now + ADMIT_EVERY_S
            self._admit_again()
        if now >= self._survey_at:
            self._survey_at = now + SURVEY_EVERY_S
            for peer in self._state.peers.values():
                if peer.link is not None and peer.phase is Phase.DONE:
                    self._state.do(Send(peer.link, Survey()))
            self._commit_prepared(now)

    def _admit_again(self) -> None:
        assert self._state.token is not None, "who leads has one"
        for peer in self._state.peers.values():
            if peer.link is not None and not peer.admitted:
                self._state.do(Send(peer.link, Admit(self._state.token)))

    def _patience(self, peer: Peer, now: float) -> None:
        if peer.link is None:
            return
        if peer.phase in {Phase.OFFERED, Phase.COMMITTING} and now >= _patient_until(peer):
            self._state.do(Hangup(peer.link, f"no answer for {ANSWER_S:.0f} s"))
            peer.phase_at = now
        if peer.phase is Phase.DECLINED and now >= peer.phase_at + DECLINED_AGAIN_S:
            if self.newest().number == 0:
                self._phase(peer, Phase.IDLE, now)  # what it declined was never made durable here
            self._offer(peer, now)

    def surveyed(self, peer: Peer, now: float) -> None:
        """The answer to the comparison: offer again if the worker stands elsewhere."""
        if self._state.leads and peer.phase is Phase.DONE:
            self._compare(peer)
            self._offer(peer, now)

    def next_at(self) -> float | None:
        """Return when `tick` has something to do."""
        if not self._state.leads:
            return None
        instants = [self._survey_at, self._admit_at]
        for peer in self._state.peers.values():
            if peer.link is not None and peer.admitted and peer.phase is Phase.DECLINED:
                if not self._state.paused:
                    instants.append(peer.phase_at + DECLINED_AGAIN_S)
            elif peer.link is not None and peer.phase in {Phase.OFFERED, Phase.COMMITTING}:
                instants.append(_patient_until(peer))
        return min(instants)


def _patient_until(peer: Peer) -> float:
    """Return when a worker has had long enough for an answer.

    One that takes long (a first sync, a slow disk) reports every few seconds that it is at work; one
    that only reports has lost the question.
    """
    at_work = isinstance(peer.report.get("progress"), dict)
    heard_at = (peer.seen_at or 0.0) if at_work else 0.0
    return max(peer.phase_at, heard_at) + ANSWER_S


def _unknown_parent(revision: RevisionId) -> RevisionId:
    """Return an id in the place of a parent that is not known (any more): it releases nothing."""
    if revision.number == 1:
        return REVISION_ZERO
    return RevisionId(revision.epoch, revision.number - 1, EMPTY.digest)


_STANDING = {
    Phase.PREPARED: Standing.PREPARED,
    Phase.COMMITTING: Standing.COMMITTING,
    Phase.DONE: Standing.COMMITTED,
}
