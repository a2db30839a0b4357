"""What a runtime took up without a word for each artifact: at its start, or with its tenant.

It loads all that is there and speaks of failures only, so what was there before it began and is not
among the failures counts as deployed. What came while it was loading may or may not have been seen.
A tenant that nobody uses is not loaded at all: its artifacts are dormant until its first saying.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from syncagent.agent.node.outcomes import LOADING, Taking, Wait, taking
from syncagent.core.artifact import ArtifactPath, Kind, tenant_of
from syncagent.core.outcome import Deployment, Outcome, ack_deadline_s
from syncagent.core.runtime import EXCERPT_MAX, Phase, Saying
from syncagent.core.snapshot import Seen

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncagent.agent.node.outcomes import Outcomes
    from syncagent.agent.node.readiness import Readiness
    from syncagent.core.artifact import TreeName
    from syncagent.core.digest import Digest
    from syncagent.core.runtime import Heard

LOADED = "loaded when the runtime started"
LOADED_WITH_TENANT = "loaded with its tenant"
NOT_LOADED = "its tenant is not loaded: it is deployed when the tenant is used"
_SAID = frozenset({Deployment.REJECTED, Deployment.UNKNOWN})
"""What is known to have failed, or may have, since the start."""
OTHERS = "the runtime was started with other bytes than the revision's"
NEXT_START = "no deployer watches it: it takes effect when the runtime is started again"


def _is_over(known: Outcome, started: float) -> bool:
    return known.at < started or known.state not in _SAID


class Loading:
    """Concludes what was loaded, tree by tree. Instants are of this node's clock."""

    def __init__(self, outcomes: Outcomes, readiness: Readiness) -> None:
        self._state = outcomes.state
        self._observing = outcomes.observing
        self._outcomes = outcomes
        self._readiness = readiness
        self._about = self._state.runtime_about
        self._left: set[TreeName] = set(self._state.settings.tree_names)
        self.rejected: Callable[[Outcome], None] = lambda _outcome: None
        """Told of what was refused at the start (`Restores.rejected`)."""
        self.taken: Callable[[ArtifactPath], None] = lambda _path: None
        """Told of what was loaded at the start (`Restores.accepted`)."""
        self.recall: Callable[[ArtifactPath, float, float], None] = lambda _path, _since, _now: None
        """Has counted what was said of an artifact before this node stood on it (`Hearing.replay`)."""
        self.claim: Callable[[Heard, float], None] = lambda _heard, _now: None
        """Has found whose a saying is (`Hearing.give`)."""
        self._named: list[Heard] = []
        """What was said to be loaded at the start by its name alone."""
        self._look_since = float("-inf")
        self._tenants: set[TreeName] = set()
        """Trees of tenants that are loaded, as far as is known."""
        self._nameless: dict[Kind, set[Heard]] = {}
        """How the runtime refused something at its start, where it does not say what."""
        self._suspects: dict[Kind, set[ArtifactPath]] = {}
        """What that may have been, whenever it was asked since."""
        self._unsure: set[Kind] = set(Kind)
        """Kinds of which not all is known that was there at the start: that may have been it."""

    def anew(self) -> None:
        """Another process runs now: it has loaded everything again, and no tenant yet."""
        self._left = set(self._state.settings.tree_names)
        self._nameless.clear()
        self._named.clear()
        self._suspects.clear()
        self._unsure = self._not_known()
        started = self._readiness.started_at
        self._tenants = {
            outcome.path.tree
            for outcome in self._outcomes.known.values()
            if outcome.state is Deployment.DEPLOYED
            and tenant_of(outcome.path.tree)
            and outcome.at >= started > 0
        }

    def again(self) -> None:
        """This node stands on other rows than before: some of them may have been there already."""
        self._left = set(self._state.settings.tree_names)

    def _not_known(self) -> set[Kind]:
        """Return the kinds of which it is not known what is there now, when a start begins."""
        views = self._observing.views.values()
        if self._readiness.runtime.phase is not Phase.STARTING or not all(v.ready for v in views):
            return set(Kind)
        return {
            self._outcomes.kind(ArtifactPath(view.name, path))
            for view in views
            for path in view.differing
        }

    def moved(self, path: ArtifactPath) -> None:
        """Something came or went at `path` since the start."""
        self._unsure.add(self._outcomes.kind(path))

    def look_at_all(self, now: float) -> None:
        """Have all looked at: what came unseen before this start was loaded with the rest."""
        self._look_since = now
        self._observing.want_scans(now)

    @property
    def looked_at(self) -> bool:
        """True if all was looked at since the start, as far as it can be."""
        return self._observing.scans_begun(self._look_since)

    @property
    def left(self) -> bool:
        """True while something can be concluded."""
        return any(self._observing.views[tree].ready for tree in self._left)

    @property
    def open(self) -> bool:
        """True while what was said may yet decide what became of something.

        Of all that is in a tree that can't be seen, what was written back or moved away there too;
        at a start, of files that were there already and wait, or are in no revision (yet). Who comes
        after this agent has to hear it again until then.
        """
        if not self._observing.ready:
            return True
        if self._readiness.runtime.phase not in {Phase.READY, Phase.STUCK}:
            return False
        ready_at = self._readiness.runtime.ready_at
        waits = self._outcomes.waits.values()
        if self._left or any(wait.came <= ready_at for wait in waits):
            return True
        return any(
            isinstance(seen := view.files.get(path), Seen) and seen.mtime_ns / 1e9 <= ready_at
            for view in self._observing.views.values()
            for path in view.differing
        )

    def failed(self, heard: Heard) -> bool:
        """Take that something failed at the runtime's start, if a saying says that and not what."""
        started, ready = self._readiness.started_at, self._readiness.runtime.ready_at
        starting = self._readiness.runtime.phase is Phase.STARTING
        if heard.saying is not Saying.REJECTED or heard.kind is None or heard.path or heard.name:
            return False
        if heard.at < started or not (starting or heard.at <= ready):
            return False
        self._nameless.setdefault(heard.kind, set()).add(heard)
        self._left.update(tree for tree in self._state.settings.tree_names if not tenant_of(tree))
        return True

    def named(self, heard: Heard) -> bool:
        """Take that something was loaded at the start, if a saying gives its name alone.

        A file that nobody has looked at yet may have the name too: it waits for a look at all.
        """
        by_name = heard.saying is Saying.DEPLOYED and heard.path is None
        if not by_name or not self._left or heard.at < self._readiness.started_at:
            return False
        self._named.append(heard)
        return True

    def go_on(self, now: float) -> list[ArtifactPath]:
        """Conclude what the runtime loaded, of trees that were not ready before.

        Return the artifacts of which nothing can be known without asking.
        """
        unknown: list[ArtifactPath] = []
        for heard in self._named:
            self.claim(heard, now)
        for tree in sorted(tree for tree in self._left if self._observing.views[tree].ready):
            self._left.discard(tree)
            if self._nameless and not tenant_of(tree):
                self._blame(tree, now)
            for name, entry in self._state.base.tree(tree).items():
                path = ArtifactPath(tree, name)
                if not self._load(path, entry.digest, now):
                    unknown.append(path)
        if not self._left:
            self._named.clear()
        return unknown

    def _load(self, path: ArtifactPath, digest: Digest, now: float) -> bool:
        """Conclude what became of one artifact; return whether anything is known of it."""
        known = self._outcomes.known.get(path)
        if self._is_settled(path, digest, known, now):
            return True
        started = self._readiness.started_at
        wait = self._outcomes.waits.get(path)
        if wait is not None and wait.loading_since and self.is_loaded(path.tree):
            return True  # Its tenant may still fail to load it: its deadline concludes.
        came = self._came(path, known, wait)
        if came is None or not started:
            return known is not None
        if came > started:
            return self._missed(path, digest, now)
        if known is None:
            self.recall(path, started, now)
        if path not in self._outcomes.known or (known is not None and _is_over(known, started)):
            self._loaded(path, digest, now)
        return True

    def _is_settled(
        self, path: ArtifactPath, digest: Digest, known: Outcome | None, now: float
    ) -> bool:
        """Tell whether a start says nothing of these bytes (any more)."""
        if taking(self._about, self._outcomes.kind(path)) is Taking.NEVER:
            return True
        if known is not None and known.digest != digest:
            return True
        # What was missed by one scan still counts as there: nobody has loaded it.
        seen = isinstance(self._observing.views[path.tree].files.get(path.path), Seen)
        if seen and self._observing.observed(path) == digest:
            return known is not None and known.state is Deployment.DEPLOYED
        started = self._readiness.started_at
        if known is not None and known.at < started and path not in self._outcomes.waits:
            self._outcomes.turn(path, now, Deployment.UNKNOWN, OTHERS)
        return True

    def _blame(self, tree: TreeName, now: float) -> None:
        """Find what the runtime refused at its start without naming it, or who it may have been."""
        for kind, failures in list(self._nameless.items()):
            found = self._candidates(tree, kind)
            reason = "; ".join(sorted({each.reason for each in failures if each.reason}))
            reason = reason or "refused when the runtime started"
            excerpt = "\n".join(sorted({each.excerpt for each in failures}))[:EXCERPT_MAX]
            if not found:
                self._state.event("refused-at-start", kind=str(kind), reason=reason)
                continue
            suspects = self._suspects.setdefault(kind, set())
            suspects.update(path for path, _ in found)
            if self._others(tree, kind):
                self._unsure.add(kind)
            certain = len(suspects) == len(failures) and kind not in self._unsure
            state = Deployment.REJECTED if certain else Deployment.UNKNOWN
            text = (
                reason if certain else f"it may be what the runtime refused at its start: {reason}"
            )
            at = max(each.at for each in failures)
            for path, digest in found:
                made = self._outcomes.known.get(path) or self._new(path, digest)
                said = replace(made, state=state, reason=text, excerpt=excerpt, at=at)
                self._outcomes.put(said, now)
                if certain:
                    self.rejected(said)

    def _others(self, tree: TreeName, kind: Kind) -> bool:
        """Tell whether files of a kind differ from the revision: they may be what was refused.

        A file that is gone may have been there when the runtime started.
        """
        paths = (ArtifactPath(tree, path) for path in self._observing.views[tree].differing)
        return any(self._outcomes.kind(path) is kind for path in paths)

    def _candidates(self, tree: TreeName, kind: Kind) -> list[tuple[ArtifactPath, Digest]]:
        """Return what of a kind may have been refused at the start.

        Where the runtime names those that it took, the others; else those that were not deployed
        before, as they are now.
        """
        started = self._readiness.started_at
        ready_at = self._readiness.runtime.ready_at or float("inf")
        rows = (
            (ArtifactPath(tree, name), entry.digest)
            for name, entry in self._state.base.tree(tree).items()
        )
        named, before, found = [], [], []
        for path, digest in rows:
            if self._outcomes.kind(path) is not kind:
                continue
            known = self._outcomes.known.get(path)
            came = self._came(path, known, self._outcomes.waits.get(path))
            late = came is not None and came > ready_at
            if late or self._written(path) > started:
                self._unsure.add(kind)  # What it refused may not be there any more.
            if late:
                continue
            deployed = known is not None and known.state is Deployment.DEPLOYED
            if deployed and known is not None and known.at >= started and known.excerpt:
                named.append(path)
            elif deployed and not self._observing.index.rivals(path):
                before.append((path, digest))
            else:
                found.append((path, digest))
        return [*found, *before] if named else found

    def _came(self, path: ArtifactPath, known: Outcome | None, wait: Wait | None) -> float | None:
        """Return the wall time at which the bytes were there, None if nothing says it."""
        if wait is not None:
            return wait.loaded_by
        if known is not None:
            return known.at
        return self._written(path) or None

    def _written(self, path: ArtifactPath) -> float:
        """Return the wall time at which the file was written, 0.0 if nothing says it."""
        seen = self._observing.views[path.tree].files.get(path.path)
        return seen.mtime_ns / 1e9 if isinstance(seen, Seen) else 0.0

    def _missed(self, path: ArtifactPath, digest: Digest, now: float) -> bool:
        """Take what came after the runtime began to load: it needs a line of its own."""
        wait = self._outcomes.waits.get(path)
        if wait is not None:
            soon = now + max(1.0, self._about.scan_s)
            swallowed = wait.came < self._readiness.runtime.ready_at and not wait.tries
            if swallowed and (wait.due is None or soon < wait.due):
                # It may have been missed: it is shown again as soon as it would have been seen.
                wait.due = soon
            return True
        if self._outcomes.known.get(path) is not None:
            return True
        made = self._new(path, digest)
        if taking(self._about, self._outcomes.kind(path)) is Taking.AT_START:
            state, reason = Deployment.RESTART_REQUIRED, NEXT_START
        elif tenant_of(path.tree) and path.tree not in self._tenants:
            state, reason = Deployment.DORMANT, NOT_LOADED
        else:
            return False
        self._outcomes.put(replace(made, state=state, reason=reason, at=self._state.wall()), now)
        return True

    def _loaded(self, path: ArtifactPath, digest: Digest, now: float) -> None:
        """Take what was there when the runtime began to load, and is not among its failures."""
        made = self._outcomes.known.get(path) or self._new(path, digest)
        at = self._readiness.started_at
        state, reason = Deployment.DEPLOYED, LOADED
        if tenant_of(path.tree):
            reason = LOADED_WITH_TENANT
        if not self.is_loaded(path.tree):
            state, reason = Deployment.DORMANT, NOT_LOADED
        self._outcomes.put(replace(made, state=state, reason=reason, excerpt="", at=at), now)
        if state is Deployment.DEPLOYED:
            self.taken(path)

    def _new(self, path: ArtifactPath, digest: Digest) -> Outcome:
        number = self._state.standing.revision.number
        return Outcome(path, digest, Deployment.UNKNOWN, revision=number)

    # --- tenants ----------------------------------------------------------------------------

    def is_loaded(self, tree: TreeName) -> bool:
        """Tell whether a tree is of no tenant, or of one that is known to be loaded."""
        return not tenant_of(tree) or tree in self._tenants

    def spoke(self, tree: TreeName, at: float, now: float) -> None:
        """The runtime said something about a tree at the wall time `at`: its tenant is loaded."""
        if self.is_loaded(tree) or at < self._readiness.started_at:
            return
        self._tenants.add(tree)
        due = now + ack_deadline_s(self._about.scan_s, self._about.pause_s, 0)
        for outcome in self._outcomes.among(tree, Deployment.DORMANT):
            wait = Wait(outcome.at, due, loading_since=at)
            self._outcomes.wait_again(outcome.path, wait, LOADING, now)

    def loaded_with_tenant(self, path: ArtifactPath, wait: Wait, now: float) -> bool:
        """Conclude at its deadline what was there before its tenant was loaded, if that was so."""
        if wait.came >= wait.loading_since:
            return False
        self._outcomes.turn(path, now, Deployment.DEPLOYED, LOADED_WITH_TENANT)
        return True

    def unloaded(self, tree: TreeName) -> None:
        """The runtime says nothing of this tenant any more, even when a file was touched."""
        self._tenants.discard(tree)
