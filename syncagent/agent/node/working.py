"""The worker's side: admit a manager's token, take its offers, mend what drifted meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from syncagent.agent.effects import AdmitToken, Send
from syncagent.agent.node.inplaceof import let_go
from syncagent.agent.node.job import Job, Why, done_of
from syncagent.agent.node.meeting import Meeting
from syncagent.agent.node.state import Role
from syncagent.core.backoff import Backoff
from syncagent.core.exempt import paths_digest
from syncagent.core.guard import judge, refusal
from syncagent.core.revision import Revision
from syncagent.core.settings import Drift, Writers
from syncagent.core.wire.messages import Admitted, Fenced, Surveyed

if TYPE_CHECKING:
    from syncagent.agent.node.advancing import Advancing
    from syncagent.agent.node.observing import Observing
    from syncagent.agent.node.state import State
    from syncagent.agent.results import TokenAdmitted, TokenRefused
    from syncagent.core.artifact import ArtifactPath
    from syncagent.core.wire.messages import Admit, Commit, Offer

CALM_S = 600.0
"""A path that did not drift for this long is reverted at once again."""


class Working:
    """What this node does for whoever leads."""

    def __init__(self, state: State, observing: Observing, advancing: Advancing) -> None:
        self._state = state
        self._observing = observing
        self._advancing = advancing
        self._meeting = Meeting(state, observing)
        self._next: tuple[int, Offer] | None = None
        self._reverts: dict[ArtifactPath, tuple[int, float]] = {}
        self._backoff = Backoff(5.0, 300.0)
        self._wake_at: float | None = None

    # --- tokens -----------------------------------------------------------------------------

    def survey(self, link: int) -> None:
        """Tell what was admitted and where this node stands."""
        state = self._state
        answer = Surveyed(
            state.guard.highest,
            state.standing.revision,
            state.rows.digest,
            state.settings.tree_names,
            state.withheld_as,
        )
        state.do(Send(link, answer))

    def admit(self, link: int, message: Admit) -> None:
        """Have the guard judge a token."""
        self._state.do(AdmitToken(message.token, link))

    def token_admitted(self, result: TokenAdmitted) -> None:
        """The guard holds a manager's token: that connection is the manager's now."""
        state = self._state
        assert result.link is not None, "the own token goes elsewhere"
        if result.link not in state.links:
            return
        state.manager_link = result.link
        state.changed = True
        answer = Admitted(
            result.token,
            state.standing.revision,
            state.rows.digest,
            state.settings.tree_names,
            state.withheld_as,
        )
        state.do(Send(result.link, answer))

    def token_refused(self, result: TokenRefused) -> None:
        """The guard does not hold it: say what it holds."""
        highest = result.state.highest if result.state else None
        if result.link is not None:
            self._state.do(Send(result.link, Fenced(highest, result.reason)))
        if result.state is None:
            self._state.alarm("guard", result.reason)

    # --- offers -----------------------------------------------------------------------------

    def offer(self, link: int, offer: Offer, now: float) -> None:
        """Take an offer: at once, or when a commit that is under way has ended."""
        state = self._state
        admission = judge(state.guard, offer.token)
        if offer.token != state.guard.highest:
            reason = refusal(state.guard, offer.token, admission)
            state.do(Send(link, Fenced(state.guard.highest, reason)))
            return
        job = self._advancing.job
        if state.recording or (job is not None and not job.interruptible):
            self._next = (link, offer)
            return
        self._next = None
        here = offer.revision == state.standing.revision
        withhold = frozenset(offer.withheld)
        if here and paths_digest(withhold) == state.withheld_as:
            if job is not None and job.why is Why.OFFER:
                self._advancing.drop("the manager has called it back", now)
            state.do(Send(link, done_of(state)))
            return
        same = job is not None and job.revision == offer.revision and job.withhold == withhold
        if job is not None and job.link == link and same:
            self._advancing.say_again(now)
            return
        self._advancing.begin(
            Job(
                self._advancing.next_txid(),
                Why.OFFER,
                offer.revision,
                parent=offer.revision if here else offer.parent,
                token=offer.token,
                link=link,
                changes=() if here else offer.changes,
                target=state.standing.manifest if here else None,
                released=offer.released,
                record=None if here else self._record(offer),
                withhold=withhold,
            ),
            now,
        )

    @staticmethod
    def _record(offer: Offer) -> Revision | None:
        """Return the revision for the history; None if only the manifest came."""
        if offer.changes is None:
            return None
        return Revision(
            offer.revision, offer.parent, offer.changes, offer.author, offer.note, offer.released
        )

    def commit(self, link: int, message: Commit, now: float) -> None:
        """The manager's word. The token is judged here, and again under the guard's lock."""
        if message.token != self._state.guard.highest:
            admission = judge(self._state.guard, message.token)
            reason = refusal(self._state.guard, message.token, admission)
            self._state.do(Send(link, Fenced(self._state.guard.highest, reason)))
            return
        self._advancing.commit(link, message.revision, now)

    def job_ended(self, now: float) -> None:
        """A job has ended: an offer that came meanwhile is taken now."""
        if self._next is not None:
            (link, offer), self._next = self._next, None
            if link in self._state.links:
                self.offer(link, offer, now)

    # --- drift ------------------------------------------------------------------------------

    def mend(self, now: float) -> None:
        """Put back what changed here without a revision, unless settings say to leave it."""
        self._wake_at = None
        state = self._state
        settings = state.settings
        if state.role is not Role.WORKER or settings.writers is Writers.ANY or not state.writes:
            return
        idle = self._advancing.job is None and not state.recording and self._observing.begun
        if not idle or state.standing.revision.number == 0 or not self._may_mend():
            return
        reverted = {tree.name for tree in settings.trees if tree.drift is Drift.REVERT}
        waiting = self._meeting.waiting()
        reverted -= waiting
        let_go(state, self._observing)
        differing = self._observing.differing()
        if not differing and self._observing.ready:
            state.unsent = False
        drifted = [p for p in differing if p.tree in reverted and state.can_revert(p)]
        if not drifted or not self._may_revert(drifted, now):
            return
        for path in drifted:
            state.event("drift", path=str(path))
        job = Job(
            self._advancing.next_txid(),
            Why.REPAIR,
            state.standing.revision,
            parent=state.standing.revision,
            link=state.manager_link,
            changes=(),
            target=state.standing.manifest,
            only=frozenset(drifted) if waiting else None,
        )
        self._advancing.begin(job, now)

    def _may_mend(self) -> bool:
        """Tell whether a revision's version counts for more than what is here.

        Who led last, as far as it knows, may lead again: then what was edited meanwhile is declared.
        """
        state = self._state
        holder = state.guard.highest
        return holder is not None and holder.holder != state.me and not state.paused

    def _may_revert(self, drifted: list[ArtifactPath], now: float) -> bool:
        """Tell whether it is time: the same path again and again is not fought at full speed."""
        self._reverts = {
            path: (count, last)
            for path, (count, last) in self._reverts.items()
            if now - last <= CALM_S
        }
        fought = [self._reverts[path] for path in drifted if path in self._reverts]
        waits = [last + self._backoff.pause_s(count, 0.99) for count, last in fought]
        if waits and now < max(waits):
            self._wake_at = max(waits)
            return False
        for path in drifted:
            count, _ = self._reverts.get(path, (0, now))
            self._reverts[path] = (count + 1, now)
        return True

    def next_at(self, now: float) -> float | None:
        """Return when `mend` has something to do for its own sake; what was due had its chance."""
        if self._wake_at is not None and self._wake_at <= now:
            self._wake_at = None
        return self._wake_at
